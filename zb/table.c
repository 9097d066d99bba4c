/* table.c - widths first, then lines. */
#include "zb/table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { GAP = 2, CUT_MOST = 6 };

struct layout {
    int widths[ZB_COLUMNS]; /* 0: left out */
    int order_last;         /* the last column that is shown */
};

void
zb_table_add(struct zb_table *self, enum zb_tint tint, const char *fmt, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, fmt);
    int len = vasprintf(&text, fmt, args);
    va_end(args);
    dz_assert(len >= 0);
    if (self->cell_count % 128 == 0)
        self->cells = dz_realloc(self->cells, self->cell_count + 128, sizeof(*self->cells));
    self->cells[self->cell_count++] = (struct zb_cell){ text, tint };
}

static int
total(const struct zb_table *self, const struct layout *layout, int indent)
{
    int sum = indent - GAP;
    for (int c = 0; c < self->column_count; c++)
        sum += layout->widths[c] ? layout->widths[c] + GAP : 0;
    return sum;
}

static void
measure(const struct zb_table *self, struct layout *layout)
{
    *layout = (struct layout){ 0 };
    for (int c = 0; c < self->column_count; c++)
        if (self->columns[c].title && self->cell_count > 0)
            layout->widths[c] = zb_columns(dz_str(self->columns[c].title));
    for (size_t i = 0; i < self->cell_count; i++) {
        int *width = &layout->widths[i % (size_t) self->column_count];
        int wide = zb_columns(dz_str(self->cells[i].text));
        *width = wide > *width ? wide : *width;
    }
}

/* Is there one column whose cutting is enough?  Then cut it. */
static bool
cut_one(const struct zb_table *self, struct layout *layout, int missing)
{
    for (int c = 0; c < self->column_count; c++) {
        int least = self->columns[c].least;
        if (least && layout->widths[c] - missing >= least) {
            layout->widths[c] -= missing;
            return true;
        }
    }
    return false;
}

static bool
drop_one(const struct zb_table *self, struct layout *layout)
{
    int weakest = -1;
    for (int c = 0; c < self->column_count; c++) {
        int keep = self->columns[c].keep;
        bool is_weaker = weakest < 0 || keep < self->columns[weakest].keep;
        if (layout->widths[c] && keep > 0 && is_weaker)
            weakest = c;
    }
    if (weakest < 0)
        return false;
    layout->widths[weakest] = 0;
    return true;
}

/* Cut a little, else drop what matters least; when nothing is left to drop, cut deeper. */
static void
fit(const struct zb_table *self, struct layout *layout, int indent, int width)
{
    for (;;) {
        int missing = total(self, layout, indent) - width;
        if (missing <= 0 || cut_one(self, layout, missing))
            return;
        if (!drop_one(self, layout))
            break;
    }
    for (int c = 0; c < self->column_count; c++) {
        int over = total(self, layout, indent) - width, *wide = &layout->widths[c];
        if (over > 0 && self->columns[c].least && *wide > CUT_MOST)
            *wide = *wide - over > CUT_MOST ? *wide - over : CUT_MOST;
    }
}

static void
print_cell(struct zb *zb, const struct zb_column *column, int width, struct zb_cell cell,
           bool is_last)
{
    struct dz_slice text = dz_str(cell.text);
    int wide = zb_columns(text);
    if (column->is_right && wide < width)
        zb_pad(zb, width - wide);
    if (cell.tint != ZB_PLAIN)
        zb_tint(zb, cell.tint);
    int used = column->is_id ? zb_id(zb, text, width) : zb_text(zb, text, width);
    if (cell.tint != ZB_PLAIN)
        zb_tint(zb, ZB_PLAIN);
    if (!is_last)
        zb_pad(zb, (column->is_right ? 0 : width - used) + GAP);
}

static void
print_row(struct zb *zb, const struct zb_table *self, const struct layout *layout,
          const struct zb_cell *cells, int indent)
{
    zb_pad(zb, indent);
    for (int c = 0; c <= layout->order_last; c++)
        if (layout->widths[c])
            print_cell(zb, &self->columns[c], layout->widths[c], cells[c], c == layout->order_last);
    zb_put(zb, dz_str("\n"));
}

void
zb_table_print(struct zb_table *self, struct zb *zb, int indent)
{
    struct layout layout;
    measure(self, &layout);
    if (zb->width > 0)
        fit(self, &layout, indent, zb->width);
    for (int c = 0; c < self->column_count; c++)
        if (layout.widths[c])
            layout.order_last = c;
    if (self->columns[0].title && self->cell_count > 0) {
        struct zb_cell heads[ZB_COLUMNS];
        for (int c = 0; c < self->column_count; c++)
            heads[c] = (struct zb_cell){ (char *) self->columns[c].title, ZB_DIM };
        print_row(zb, self, &layout, heads, indent);
    }
    for (size_t i = 0; i < self->cell_count; i += (size_t) self->column_count)
        print_row(zb, self, &layout, &self->cells[i], indent);
    for (size_t i = 0; i < self->cell_count; i++)
        free(self->cells[i].text);
    free(self->cells);
    self->cells = NULL;
    self->cell_count = 0;
}
