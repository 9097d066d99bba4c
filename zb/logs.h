/* logs.h - what the two halves of zb logs share: choosing records, and printing them. */
#ifndef DZ_ZB_LOGS_H
#define DZ_ZB_LOGS_H

#include "zb/zb.h"

/* The line that a worker is in the middle of. */
struct log_lane {
    char worker[DOC_WORKER];
    char *test; /* owned; the id of the test that it is in; NULL: none */
    int64_t time_us;
    struct dz_buf line; /* owned */
};

struct log_printer {
    struct zb *zb;
    struct zone *zone; /* borrowed */
    bool is_raw, has_notes;
    uint64_t records;       /* printed so far */
    struct log_lane *lanes; /* owned */
    size_t lane_count;
    char **ring; /* owned; the last lines, until log_printer_release() */
    size_t *ring_lens;
    size_t tail, ring_at; /* tail 0: print at once */
    struct dz_buf text;   /* the line being made */
};

void log_printer_init(struct log_printer *self, struct zb *zb, struct zone *zone, size_t tail);
void log_print(struct log_printer *self, const struct doc_log *log);
/* Unfinished lines, which nothing will end any more. */
void log_printer_finish(struct log_printer *self);
/* Print what was held back for --tail; from now on everything at once. */
void log_printer_release(struct log_printer *self);
void log_printer_fini(struct log_printer *self);

#endif
