/* doctor.h - what zb doctor looks at. */
#ifndef DZ_ZB_DOCTOR_H
#define DZ_ZB_DOCTOR_H

#include <stdarg.h>

#include "zb/zb.h"

enum finding { FINDING_OK, FINDING_NOTE, FINDING_WARNING, FINDING_WRONG };

struct doctor {
    struct zb *zb;
    unsigned wrong, warnings;
};

/* One finding; `advice` is what to do about it, or NULL. */
void doctor_say(struct doctor *self, enum finding finding, const char *name, const char *advice,
                const char *fmt, ...) DZ_PRINTF(5, 6);

void doctor_look_at_programs(struct doctor *self);
void doctor_look_at_home(struct doctor *self);
void doctor_look_at_daemon(struct doctor *self, const char *home);
void doctor_look_at_machine(struct doctor *self);
void doctor_look_at_project(struct doctor *self);
/* Reads all of it, which may take a while. */
void doctor_look_through_store(struct doctor *self, bool is_repairing);

#endif
