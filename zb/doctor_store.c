/* doctor_store.c - zb doctor --store: all of the store is read, and put right where it can be. */
#include <inttypes.h>
#include <stdlib.h>

#include "store/care.h"
#include "zb/doctor.h"

enum { SHOWN_MAX = 50 };

struct look {
    struct doctor *doctor;
    bool is_repairing;
    uint32_t shown;
};

static void
note(void *arg, const struct store_trouble *trouble)
{
    struct look *self = arg;
    enum finding finding = self->is_repairing ? FINDING_NOTE : FINDING_WRONG;
    if (self->shown++ >= SHOWN_MAX)
        return;
    doctor_say(self->doctor, finding, "store", NULL, "%s%s%s%s", trouble->ulid[0] ? "job " : "",
               trouble->ulid, trouble->ulid[0] ? ": " : "", trouble->text);
}

static void
look(struct doctor *self, const char *home)
{
    struct look seen = { .doctor = self };
    struct store_check work = { .on_trouble = note, .arg = &seen };
    struct dz_err err;
    enum dz_rc rc = store_check(home, &work, &err);
    if (rc == DZ_ABSENT)
        doctor_say(self, FINDING_NOTE, "store", NULL,
                   "none yet: the first 'pytest --dagz' makes it");
    else if (rc == DZ_CORRUPT)
        doctor_say(self, FINDING_WRONG, "store",
                   "'zb doctor --store --repair' saves what can be read", "%s", err.text);
    else if (rc != DZ_OK)
        doctor_say(self, FINDING_WRONG, "store", NULL, "%s", err.text);
    else if (work.troubles == 0)
        doctor_say(self, FINDING_OK, "store", NULL,
                   "%" PRIu64 " jobs, %" PRIu64 " values: all read, all in agreement", work.jobs,
                   work.records);
    else
        doctor_say(self, FINDING_WRONG, "store",
                   "'zb doctor --store --repair' puts them right and drops what cannot be read",
                   "%u troubles in %" PRIu64 " jobs; %u of them cost no record", work.troubles,
                   work.jobs, work.repairable);
}

static void
repair(struct doctor *self, const char *home)
{
    struct look seen = { .doctor = self, .is_repairing = true };
    struct store_check work = { .on_trouble = note, .arg = &seen };
    struct dz_err err;
    DZ_AUTO(dz_free) char *saved = NULL;
    enum dz_rc rc = store_repair(home, &work, &saved, &err);
    if (rc != DZ_OK && rc != DZ_ABSENT)
        doctor_say(self, FINDING_WRONG, "store", NULL, "%s", err.text);
    if (saved)
        doctor_say(self, FINDING_NOTE, "store", NULL,
                   "what could be read of a damaged file was saved; the file itself is in %s",
                   saved);
    if (rc == DZ_OK && work.troubles > 0)
        doctor_say(self, FINDING_NOTE, "store", NULL, "%u troubles were put right", work.troubles);
}

void
doctor_look_through_store(struct doctor *self, bool is_repairing)
{
    DZ_AUTO(dz_free) char *home = store_home();
    if (is_repairing)
        repair(self, home);
    look(self, home);
}
