#include "shared/wire/lease.h"

#include "shared/base/mutant.h"

static bool
is_live(const struct dz_lease *self, dz_us now)
{
    return self->epoch.n > 0 && now < self->until;
}

static bool
has_witness(const struct dz_lease *self, uint64_t node)
{
    for (uint64_t i = 0; i < self->witness_count; i++)
        if (self->witnesses[i] == node)
            return true;
    return false;
}

/* One connection that ended may be the asker's own fault.  Half of those who should have one to
 * the holder are believed. */
static bool
is_revoked(struct dz_lease *self, const struct dz_lease_ask *ask, bool *is_changed)
{
    if (ask->gone.n == 0 || dz_epoch_cmp(&ask->gone, &self->epoch) != 0)
        return false;
    if (!has_witness(self, ask->me.node) && self->witness_count < DZ_LEASE_WITNESSES) {
        self->witnesses[self->witness_count++] = ask->me.node;
        *is_changed = true;
    }
    uint64_t others = self->members > 1 ? self->members - 1 : 1;
    uint64_t needed = (others + 1) / 2;
    return self->witness_count >= (needed < DZ_LEASE_WITNESSES ? needed : DZ_LEASE_WITNESSES);
}

static void
grant(struct dz_lease *self, struct dz_epoch epoch, dz_us now, struct dz_lease_reply *out)
{
    self->epoch = epoch;
    self->until = now + DZ_LEASE_TTL_US;
    self->witness_count = 0;
    *out = (struct dz_lease_reply){ DZ_LEASE_GRANTED, epoch, DZ_LEASE_TTL_US, 0 };
}

static bool
claim(struct dz_lease *self, const struct dz_lease_ask *ask, dz_us now, struct dz_lease_reply *out)
{
    bool is_changed = false;
    bool is_own = ask->me.node == self->epoch.node; /* of an earlier life, or the reply was lost */
    if (is_live(self, now) && !is_own && !is_revoked(self, ask, &is_changed)) {
        *out = (struct dz_lease_reply){ DZ_LEASE_HELD, self->epoch, self->until - now, 0 };
        return is_changed;
    }
    struct dz_epoch epoch = ask->me;
    if (epoch.n < self->epoch.n && !DZ_BROKEN(LEASE_RISES))
        epoch.n = self->epoch.n;
    epoch.n++;
    uint64_t members = self->members > 0 && !is_own ? self->members - 1 : self->members;
    grant(self, epoch, now, out);
    out->members = members;
    return true;
}

/* One that others elected while we were away registers in the same way: the greater epoch wins. */
static bool
renew(struct dz_lease *self, const struct dz_lease_ask *ask, dz_us now, struct dz_lease_reply *out)
{
    if (dz_epoch_cmp(&ask->me, &self->epoch) < 0) {
        dz_us left = is_live(self, now) ? self->until - now : 0;
        *out = (struct dz_lease_reply){ DZ_LEASE_HELD, self->epoch, left, 0 };
        return false;
    }
    self->members = ask->members;
    grant(self, ask->me, now, out);
    return true;
}

static bool
release(struct dz_lease *self, const struct dz_lease_ask *ask, struct dz_lease_reply *out)
{
    *out = (struct dz_lease_reply){ .word = DZ_LEASE_FREE };
    if (dz_epoch_cmp(&ask->me, &self->epoch) != 0)
        return false;
    self->until = 0;
    return true;
}

bool
dz_lease_step(struct dz_lease *self, const struct dz_lease_ask *ask, dz_us now,
              struct dz_lease_reply *out)
{
    if (self->is_sealed) {
        *out = (struct dz_lease_reply){ .word = DZ_LEASE_SEALED, .epoch = self->epoch };
        return false;
    }
    switch (ask->kind) {
    case DZ_LEASE_CLAIM: return claim(self, ask, now, out);
    case DZ_LEASE_RENEW: return renew(self, ask, now, out);
    case DZ_LEASE_RELEASE: return release(self, ask, out);
    case DZ_LEASE_WHO: break;
    }
    bool is_held = is_live(self, now);
    *out = (struct dz_lease_reply){ .word = is_held ? DZ_LEASE_HELD : DZ_LEASE_FREE,
                                    .epoch = self->epoch,
                                    .ttl_us = is_held ? self->until - now : 0 };
    return false;
}
