/* mutant.h - tests of the tests: each rule of the cores can be broken on purpose.
 *
 * Only a build with DZ_MUTANTS has mutants (tests/sim/mutants.c runs them); in every other build
 * DZ_BROKEN() is the constant false and leaves no trace. */
#ifndef DZ_SHARED_BASE_MUTANT_H
#define DZ_SHARED_BASE_MUTANT_H

/* X(name, the rule that holds while it is not broken) */
#define DZ_RULE_LIST(X) \
    X(NONE, "") \
    X(JOURNAL_FIRST, "a result is told only when it is journaled") \
    X(FENCE, "commands of a lower epoch are refused") \
    X(MY_LIFE, "a LEAD to an earlier life of this node is ignored") \
    X(FITS_LIFE, "what was said to an earlier life of this node is ignored") \
    X(TELL_AGAIN, "a new session tells every result again that was not acknowledged") \
    X(STATE_HELD, "STATE says what the slots hold") \
    X(STATE_RESULTS, "STATE announces results, and the scheduler waits for them") \
    X(KEEP_TILL_RACK, "a record is kept until the scheduler's word on it") \
    X(GIVE_BACK, "a dead worker's unstarted tests go back") \
    X(ANSWER_REVOKE, "a REVOKE is answered") \
    X(DRAIN_EMPTY, "a node is drained only when nothing of it is unacknowledged") \
    X(LED_ANEW, "a new scheduler clears the old one's DRAIN") \
    X(PERSIST_FIRST, "an epoch is used only when it is on disk") \
    X(COUNT_FIRST, "a result is acknowledged only when it is in the ledger") \
    X(COUNT_ONCE, "a test is counted once in the account") \
    X(DEAD_RETURN, "what a lost node held is free again") \
    X(STRIKES, "a worker's death counts only at the last strike") \
    X(STRIKE_ONCE, "the same death is one strike") \
    X(STRIKE_AGAIN, "a test whose worker died is granted again") \
    X(ANSWER_WANT, "a slot that waits is answered even if there is nothing") \
    X(DRAIN_ALL, "DRAIN waits until all is counted") \
    X(SEAL_DRAINED, "SEAL waits until every member is drained") \
    X(GREET_ANEW, "a node that was given up begins a new session") \
    X(HELLO_AGAIN, "a node that hears nothing says HELLO again") \
    X(UNPARK, "an idle slot hears of tests that came back") \
    X(TAKE_ONCE, "the plan gives a test once") \
    X(HELD_ONCE, "what a node holds, as its STATE says, is given to nobody else") \
    X(SEQUENCE, "a body is handled once and in order") \
    X(RESEND, "a body is said until it is acknowledged") \
    X(COPY_OWN, "results of the scheduler's own node are copied to its successor") \
    X(COPY_FIRST, "the seal waits until nothing has a single copy") \
    X(ACK_KEEPS, "what only a scheduler acknowledged is told to the next one") \
    X(STORED_ONLY, "a record is given up only when the store has it") \
    X(LEASE_RISES, "the authority grants a greater number than it ever did") \
    X(LOSE_SILENT, "a node whose scheduler is silent looks for another") \
    X(LOSE_GONE, "a node whose scheduler's process has ended looks for another at once") \
    X(SUCCEED, "without an authority nodes succeed a lost scheduler") \
    X(STEP_DOWN, "a scheduler whose lease is another's steps down") \
    X(LATE, "a node hears that the job has ended") \
    X(ONLY_WHO_HAS, "a test goes only to nodes that have it") \
    X(SHARD_ONLY, "a shard runs its own share only") \
    X(REFUSE_FENCED, "a LEAD of a lower epoch is refused") \
    X(GONE_IS_GONE, "a scheduler whose process has ended is not obeyed any more") \
    X(LATE_GRANT, "a lease is taken by who is led when it is granted") \
    X(HAS_RESULT, "what has a result is not run again where it was run") \
    X(MAIN_ONLY, "what belongs to the main worker runs in slot 0") \
    X(ALONE, "what must be alone on its node is")

enum dz_rule {
#define X(name, text) DZ_RULE_##name,
    DZ_RULE_LIST(X)
#undef X
        DZ_RULES
};

#ifdef DZ_MUTANTS
#include <stdint.h>
extern uint64_t dz_broken_rules; /* one bit for each */
#define DZ_BROKEN(name) (dz_broken_rules >> DZ_RULE_##name & 1)
#else
#define DZ_BROKEN(name) false
#endif

#endif
