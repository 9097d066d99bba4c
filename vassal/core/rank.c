/* rank.c - who schedules, as this node sees it, and when this node does.
 *
 * The authority (store or host) is asked first and believed.  While it cannot be reached the nodes
 * agree among themselves: the scheduler told the order in which they succeed it, each waits by its
 * place, and takes the next number.  Two that take it at once are no harm (epochs are ordered), only
 * waste.
 *
 * `holder` is who should schedule: named by the authority, by a NACK, or by its own LEAD.  HELLO goes to
 * it until it leads, and to the successors as well once it is lost. */
#include <stdlib.h>
#include <string.h>

#include "vassal/core/inside.h"

enum {
    SLACK_US = 100 * 1000, /* the driver's own deadline comes first */
    JOIN_TRIES = 2,
    COMPANY_TRIES = 4,           /* the same where others are known to have come, and not who */
    CLAIM_SOON_US = 10 * 1000,   /* the first time; doubled each time, up to */
    CLAIM_AGAIN_US = 100 * 1000, /* the lease of one that is lost has not run out */
    CLAIMS_SOON = 20, /* so many; then it does not run out, and all of us only keep it busy */
    CLAIM_RARE_US = 1600 * 1000,
    RETRY_US = 200 * 1000, /* nobody answered */
    VOUCHED_MAX = 4,       /* then it is lost, whatever the authority says */
};

static void
saw(struct vassal *self, uint64_t n)
{
    if (n > self->seen_n)
        self->seen_n = n;
}

static void
hello_now(struct vassal *self, dz_us now)
{
    self->hellos = 0;
    if (rank_may_hear(self))
        session_hello(self, now);
}

/* ------------------------------------------------------------------ asking the authority */

static void
ask_at(struct vassal *self, dz_us at)
{
    self->ranking.ask_at = at;
    vassal_wake(self, at);
}

static void
ask(struct vassal *self, enum dz_lease_kind kind, dz_us now)
{
    struct ranking *it = &self->ranking;
    if (self->cfg.rendezvous == VASSAL_ALONE)
        return;
    bool is_own = kind == DZ_LEASE_RENEW || kind == DZ_LEASE_RELEASE;
    it->asked = ++it->asks;
    it->kind = kind;
    it->asked_at = now;
    it->ask_at = INT64_MAX;
    struct vassal_effect *fx = vassal_effect(self, VASSAL_FX_ASK);
    fx->as.ask.number = it->asked;
    fx->as.ask.patience_us = rank_patience_us(self);
    fx->as.ask.ask = (struct dz_lease_ask){
        .kind = kind,
        .me = { is_own ? it->claimed_n : self->seen_n, self->cfg.node, self->cfg.inc },
        .members = it->members,
    };
    if (kind == DZ_LEASE_CLAIM && it->is_holder_gone)
        fx->as.ask.ask.gone = it->holder;
    vassal_wake(self, now + rank_patience_us(self) + SLACK_US);
}

/* ------------------------------------------------------------------ leading */

static void
lead(struct vassal *self, enum rank_turn turn, uint64_t n, uint64_t expected, const char *why,
     dz_us now)
{
    struct ranking *it = &self->ranking;
    bool is_blind = it->unreachables > 0;
    struct dz_epoch epoch = { n, self->cfg.node, self->cfg.inc };
    it->holder = epoch;
    it->is_holder_gone = false;
    it->holder_at = now;
    if (!rank_turn(self, turn, why, now))
        return;
    it->claimed_n = n;
    saw(self, n);
    struct vassal_effect *fx = vassal_effect(self, VASSAL_FX_LEAD);
    fx->as.lead.n = n;
    fx->as.lead.expected = expected > 1 ? (unsigned) expected : 1;
    fx->as.lead.is_blind = is_blind;
    if (it->rank == RANK_SHARD) {
        fx->as.lead.shard_index = self->cfg.shard_index;
        fx->as.lead.shard_total = self->cfg.shard_total;
    } else {
        ask_at(self, now + DZ_LEASE_RENEW_US);
    }
    it->unreachables = 0;
    hello_now(self, now);
}

/* No authority, and nobody known: every slot of the step runs its own share, or (one slot) all. */
static void
go_alone(struct vassal *self, dz_us now)
{
    bool is_shard = self->cfg.shard_total > 1;
    const char *why = self->cfg.rendezvous == VASSAL_ALONE ? "this node is alone"
                      : is_shard                           ? "no store answers"
                                 : "no store answers and no other slot is expected";
    lead(self, is_shard ? RANK_TURN_ALONE : RANK_TURN_GRANT, self->seen_n + 1, 1, why, now);
}

void
rank_join(struct vassal *self, dz_us now)
{
    if (rank_turn(self, RANK_TURN_JOIN, "asks who schedules", now))
        ask(self, DZ_LEASE_CLAIM, now);
}

void
rank_collected(struct vassal *self, dz_us now)
{
    struct ranking *it = &self->ranking;
    if (self->cfg.rendezvous == VASSAL_ALONE && rank_turn(self, RANK_TURN_JOIN, "collected", now))
        go_alone(self, now);
    else if (it->rank == RANK_VASSAL && it->holder.n == 0 && !it->asked)
        ask(self, DZ_LEASE_WHO, now); /* it has yielded */
    else if (it->holder.n > 0 || it->peer_count > 0)
        hello_now(self, now);
    it->holder_at = now; /* nothing could be heard of it before */
    vassal_wake(self, now + self->dead_us);
}

/* ------------------------------------------------------------------ somebody else leads */

static void
follow(struct vassal *self, const struct dz_epoch *holder, dz_us now)
{
    struct ranking *it = &self->ranking;
    it->holder = *holder;
    it->is_holder_gone = false;
    it->holder_at = now;
    it->vouched = 0;
    saw(self, holder->n);
    hello_now(self, now);
    vassal_wake(self, now + self->dead_us);
}

static void
abdicate(struct vassal *self, const struct dz_epoch *to)
{
    vassal_effect(self, VASSAL_FX_ABDICATE)->as.abdicate = *to;
}

static void
step_down(struct vassal *self, const struct dz_epoch *to, const char *why, dz_us now)
{
    if (!rank_turn(self, RANK_TURN_OUTRANKED, why, now))
        return;
    abdicate(self, to);
    follow(self, to, now);
}

static void
lose(struct vassal *self, const char *why, dz_us now)
{
    struct ranking *it = &self->ranking;
    if (!rank_turn(self, RANK_TURN_LOST, why, now))
        return;
    it->unreachables = 0;
    it->pause = 0;
    it->claims = it->vouched < VOUCHED_MAX ? 0 : CLAIMS_SOON; /* it lives, and does not hear us */
    ask(self, DZ_LEASE_CLAIM, now);
    hello_now(self, now);
}

bool
rank_admits(struct vassal *self, const struct dz_msg_mesh *from, const struct dz_epoch *epoch,
            dz_us now)
{
    struct ranking *it = &self->ranking;
    bool is_alone = self->cfg.rendezvous == VASSAL_ALONE;
    if (from->node == self->cfg.node) {
        bool is_leading = it->rank == RANK_LEADING || it->rank == RANK_SHARD ||
                          (it->rank == RANK_LEAVING && it->holder.node == self->cfg.node);
        if (!is_leading || (epoch->n != it->claimed_n && !is_alone))
            return false;
        it->claimed_n = epoch->n;
        it->holder = *epoch;
        return true;
    }
    bool is_late = it->is_holder_gone && it->asked && it->kind == DZ_LEASE_CLAIM;
    if (is_late && dz_epoch_cmp(epoch, &it->holder) == 0 && !DZ_BROKEN(GONE_IS_GONE))
        return false; /* said before its process ended; the lease may be ours in a moment */
    bool was_leading = it->rank == RANK_LEADING;
    struct dz_epoch before = it->holder;
    it->holder = *epoch;
    if (!rank_turn(self, RANK_TURN_LED, VASSAL_WHY_LED, now)) {
        it->holder = before;
        return false;
    }
    it->is_holder_gone = false;
    it->holder_at = now;
    it->vouched = it->unreachables = 0;
    if (was_leading)
        abdicate(self, epoch);
    return true;
}

void
rank_hint(struct vassal *self, const struct dz_epoch *epoch, dz_us now)
{
    struct ranking *it = &self->ranking;
    if (epoch->n == 0) {
        it->is_holder_gone = true;
        lose(self, "its scheduler leaves", now);
        return;
    }
    if (it->rank == RANK_LEADING || epoch->node == self->cfg.node ||
        dz_epoch_cmp(epoch, &it->holder) <= 0)
        return;
    if (rank_turn(self, RANK_TURN_HELD, "was told of another scheduler", now))
        follow(self, epoch, now);
}

/* Its coordinator has no manifest yet, and others that have one wait.  Without one this node does not
 * claim the lease again. */
static void
yield(struct vassal *self, dz_us now)
{
    struct ranking *it = &self->ranking;
    it->holder = (struct dz_epoch){ 0 };
    if (!rank_turn(self, RANK_TURN_YIELD, VASSAL_WHY_YIELDS, now))
        return;
    it->holder_at = now;
    ask(self, DZ_LEASE_RELEASE, now);
}

void
rank_deposed(struct vassal *self, const struct dz_epoch *by, dz_us now)
{
    bool is_us = by->node == self->cfg.node && by->inc == self->cfg.inc;
    if (by->n == 0 && self->ranking.rank == RANK_LEADING) {
        yield(self, now);
        return;
    }
    if (by->n == 0 || is_us ||
        !rank_turn(self, RANK_TURN_OUTRANKED, "another scheduler has a greater epoch", now))
        return;
    follow(self, by, now);
    if (by->node == self->cfg.node) /* an earlier life of ours, of which we kept nothing */
        lose(self, "its scheduler was this node before it died", now);
    else
        ask(self, DZ_LEASE_WHO, now); /* how it is reached */
}

/* ------------------------------------------------------------------ the authority's word */

static void
on_granted(struct vassal *self, const struct vassal_event *event, dz_us now)
{
    struct ranking *it = &self->ranking;
    const struct dz_lease_reply *reply = &event->as.answer.reply;
    bool is_renewal = it->rank == RANK_LEADING;
    if (is_renewal) {
        ask_at(self, now + DZ_LEASE_RENEW_US);
        return;
    }
    bool is_refused = it->rank == RANK_VASSAL && DZ_BROKEN(LATE_GRANT);
    if (rank_after(it->rank, RANK_TURN_GRANT) < 0 || is_refused)
        return;                           /* it comes too late: the lease runs out by itself */
    if (reply->epoch.n <= self->seen_n) { /* we have learned of a greater one since we asked */
        if (it->rank != RANK_VASSAL)
            ask(self, DZ_LEASE_CLAIM, now);
        return;
    }
    uint64_t known = it->members > 0 ? it->members - 1 : 0;
    lead(self, RANK_TURN_GRANT, reply->epoch.n, known > reply->members ? known : reply->members,
         "the lease was granted", now);
}

static void
on_held(struct vassal *self, const struct dz_epoch *epoch, dz_us now)
{
    struct ranking *it = &self->ranking;
    bool is_newer = dz_epoch_cmp(epoch, &it->holder) > 0;
    if (it->rank == RANK_LEADING && is_newer && !DZ_BROKEN(STEP_DOWN)) {
        step_down(self, epoch, "the lease is another's", now);
    } else if (it->rank == RANK_LEADING) {
        ask_at(self, now + DZ_LEASE_RENEW_US);
    } else if (is_newer && epoch->node != self->cfg.node) {
        if (rank_turn(self, RANK_TURN_HELD, "another node schedules", now))
            follow(self, epoch, now);
    } else if (it->rank == RANK_VASSAL && dz_epoch_cmp(epoch, &it->holder) == 0) {
        it->holder_at = now; /* it renews its lease: others are before us */
        it->vouched++;
    } else if (it->rank == RANK_CANDIDATE || it->rank == RANK_LEAVING) {
        saw(self, epoch->n);
        it->pause = it->pause == 0 ? CLAIM_SOON_US : it->pause * 2;
        dz_us most = it->claims++ < CLAIMS_SOON ? CLAIM_AGAIN_US : CLAIM_RARE_US;
        it->pause = it->pause < most ? it->pause : most;
        ask_at(self, now + it->pause);
    }
}

static void
on_unreachable(struct vassal *self, dz_us now)
{
    struct ranking *it = &self->ranking;
    unsigned tries = self->nodes > 1 ? COMPANY_TRIES : JOIN_TRIES;
    if (it->unreachables++ == 0)
        it->cut_off_at = now;
    if (it->rank == RANK_JOINING && it->peer_count > 0)
        lose(self, "no store answers, and others were known", now);
    else if (it->rank == RANK_JOINING && it->unreachables >= tries)
        go_alone(self, now);
    else if (it->rank != RANK_VASSAL && it->rank != RANK_SHARD && it->rank != RANK_OUT)
        ask_at(self, now + (it->rank == RANK_LEADING ? DZ_LEASE_RENEW_US : RETRY_US));
}

static void
on_sealed(struct vassal *self, dz_us now)
{
    bool was_member = self->scheduler != 0;
    struct dz_epoch none = { 0 };
    if (self->ranking.rank == RANK_LEADING)
        abdicate(self, &none); /* others have ended it meanwhile */
    if (!rank_turn(self, RANK_TURN_END, "the job has ended", now))
        return;
    self->end.is_late = true;
    if (self->state == MEMBER_EXITED)
        return;
    self->state = MEMBER_EXITED; /* whatever it was: there is nothing left to do */
    slots_end(self, 2);
    self->end.pending = self->pending;
    vassal_note(self, 0,
                was_member ? "the job was sealed while this node was cut off from it"
                           : "the job had ended before this node could join it");
    vassal_finish(self, false, now);
}

void
rank_answer(struct vassal *self, const struct vassal_event *event, dz_us now)
{
    struct ranking *it = &self->ranking;
    const struct dz_lease_reply *reply = &event->as.answer.reply;
    bool is_awaited = event->as.answer.number == it->asked;
    if (!is_awaited && reply->word != DZ_LEASE_GRANTED)
        return; /* of an earlier question */
    if (is_awaited)
        it->asked = 0;
    if (it->rank == RANK_OUT || it->rank == RANK_SHARD)
        return;
    if (reply->word != DZ_LEASE_UNREACHABLE)
        it->unreachables = 0;
    session_crowd(self, event->as.answer.nodes);
    switch (reply->word) {
    case DZ_LEASE_GRANTED: on_granted(self, event, now); break;
    case DZ_LEASE_HELD:
        rank_meet(self, event);
        on_held(self, &reply->epoch, now);
        break;
    case DZ_LEASE_FREE:
        if (it->rank == RANK_LEAVING)
            ask_at(self, now + CLAIM_AGAIN_US);
        else if (it->rank == RANK_VASSAL && !rank_is_led(self) &&
                 now - it->holder_at >= self->dead_us)
            lose(self, "its scheduler has no lease", now);
        break;
    case DZ_LEASE_SEALED:
        if (!DZ_BROKEN(LATE))
            on_sealed(self, now);
        break;
    case DZ_LEASE_UNREACHABLE: on_unreachable(self, now); break;
    }
}

/* ------------------------------------------------------------------ somebody is gone */

void
rank_gone(struct vassal *self, uint64_t node, uint64_t inc, dz_us now)
{
    struct ranking *it = &self->ranking;
    for (size_t i = 0; i < it->peer_count; i++)
        if (it->peers[i].node == node && it->peers[i].inc == inc)
            it->peers[i].is_gone = true;
    if (node != it->holder.node || inc != it->holder.inc || node == self->cfg.node)
        return;
    it->is_holder_gone = true;
    if (it->rank == RANK_VASSAL && !DZ_BROKEN(LOSE_GONE))
        lose(self, "its scheduler is gone", now);
    else if (it->rank == RANK_CANDIDATE)
        ask(self, DZ_LEASE_CLAIM, now);
}

/* ------------------------------------------------------------------ leaving, and time */

void
rank_leave(struct vassal *self, dz_us now)
{
    struct ranking *it = &self->ranking;
    bool was_leading = it->rank == RANK_LEADING;
    if (!rank_turn(self, RANK_TURN_LEAVE, "told to leave", now) || it->rank != RANK_LEAVING)
        return;
    if (was_leading && self->cfg.rendezvous == VASSAL_MEETS) {
        struct dz_epoch none = { 0 };
        ask(self, DZ_LEASE_RELEASE, now);
        abdicate(self, &none);
        it->holder = none;
    } else if (!was_leading && it->holder.n == 0) {
        ask(self, DZ_LEASE_WHO, now);
    }
}

/* Its own coordinator parts with the others first, if it was that one which ended the job. */
void
rank_end(struct vassal *self, dz_us now)
{
    struct dz_epoch none = { 0 };
    bool is_own =
        self->scheduler == self->cfg.node && self->flow.epoch.n == self->ranking.claimed_n;
    if ((self->ranking.rank == RANK_LEADING || self->ranking.rank == RANK_SHARD) && !is_own)
        abdicate(self, &none);
    if (self->ranking.rank == RANK_LEADING)
        ask(self, DZ_LEASE_RELEASE, now);
    (void) rank_turn(self, RANK_TURN_END, "ends", now);
    self->ranking.asked = 0;
    self->ranking.ask_at = INT64_MAX;
}

static void
ask_what_is_due(struct vassal *self, dz_us now)
{
    switch (self->ranking.rank) {
    case RANK_JOINING:
    case RANK_CANDIDATE: ask(self, DZ_LEASE_CLAIM, now); break;
    case RANK_LEADING: ask(self, DZ_LEASE_RENEW, now); break;
    case RANK_LEAVING: ask(self, DZ_LEASE_WHO, now); break;
    default: self->ranking.ask_at = INT64_MAX; break;
    }
}

static void
watch_holder(struct vassal *self, dz_us now)
{
    const struct ranking *it = &self->ranking;
    bool is_led = rank_is_led(self);
    dz_us heard = is_led && self->heard_at > it->holder_at ? self->heard_at : it->holder_at;
    bool is_silent = now - heard >= self->dead_us && !DZ_BROKEN(LOSE_SILENT);
    if (is_silent && !is_led && it->unreachables == 0 && it->vouched < VOUCHED_MAX) {
        if (!it->asked)
            ask(self, DZ_LEASE_WHO, now);
    } else if (is_silent) {
        lose(self, "its scheduler is silent", now);
    } else {
        vassal_wake(self, heard + self->dead_us);
    }
}

static void
wait_for_turn(struct vassal *self, dz_us now)
{
    const struct ranking *it = &self->ranking;
    if (it->unreachables == 0 || self->cfg.contact.len == 0 || DZ_BROKEN(SUCCEED))
        return;
    dz_us since = it->since > it->cut_off_at ? it->since : it->cut_off_at;
    dz_us at = since + rank_wait_us(self);
    if (now < at) {
        vassal_wake(self, at);
        return;
    }
    uint64_t expected = it->members > 0 ? it->members - 1 : 1;
    lead(self, RANK_TURN_GRANT, self->seen_n + 1, expected, "succeeds, no store answers", now);
}

void
rank_tick(struct vassal *self, dz_us now)
{
    struct ranking *it = &self->ranking;
    dz_us late_at = it->asked_at + rank_patience_us(self) + SLACK_US;
    if (it->asked && now >= late_at) {
        it->asked = 0;
        on_unreachable(self, now);
    } else if (it->asked) {
        vassal_wake(self, late_at);
    }
    if (now >= it->ask_at)
        ask_what_is_due(self, now);
    else
        vassal_wake(self, it->ask_at);
    if (it->rank == RANK_VASSAL && rank_may_hear(self))
        watch_holder(self, now);
    else if (it->rank == RANK_CANDIDATE && rank_may_hear(self))
        wait_for_turn(self, now);
}
