/* table.h - rows of cells that fit the terminal: columns that matter less leave first. */
#ifndef DZ_ZB_TABLE_H
#define DZ_ZB_TABLE_H

#include "zb/zb.h"

enum { ZB_COLUMNS = 8 };

struct zb_column {
    const char *title; /* NULL: no heading for the whole table */
    int keep;          /* the column with the smallest number leaves first; 0 never leaves */
    int least;         /* may be cut down to this width; 0: not at all */
    bool is_right;     /* aligned */
    bool is_id;        /* loses its beginning when cut, not its end */
};

struct zb_cell {
    char *text; /* owned */
    enum zb_tint tint;
};

struct zb_table {
    const struct zb_column *columns; /* static */
    int column_count;
    struct zb_cell *cells; /* owned */
    size_t cell_count;
};

/* The next cell, row by row. */
void zb_table_add(struct zb_table *self, enum zb_tint tint, const char *fmt, ...) DZ_PRINTF(3, 4);
/* Print, indented, and forget the rows. */
void zb_table_print(struct zb_table *self, struct zb *zb, int indent);

#endif
