/* nodes.c - the chronicle of a job becomes nodes, and lines for people. */
#include "store/nodes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/chronicle.h"
#include "store/disk.h"

enum { TEXT_MAX = 400, AGENT_ONLY = -2 };

const char *
store_node_state_name(enum store_node_state state)
{
    static const char *const names[STORE_NODE_STATES] = {
        [STORE_NODE_THERE] = "running",
        [STORE_NODE_ENDED] = "ended",
        [STORE_NODE_LEFT] = "left",
        [STORE_NODE_LOST] = "lost",
    };
    return (unsigned) state < STORE_NODE_STATES ? names[state] : "unknown";
}

void
store_nodes_fini(struct store_nodes *self)
{
    for (uint32_t i = 0; i < self->node_count; i++) {
        free(self->nodes[i].host);
        free(self->nodes[i].how);
        free(self->nodes[i].way);
        free(self->nodes[i].why);
    }
    for (uint32_t i = 0; i < self->event_count; i++) {
        free(self->events[i].word);
        free(self->events[i].text);
    }
    free(self->nodes);
    free(self->events);
    dz_map_fini(&self->numbers);
    *self = (struct store_nodes){ 0 };
}

uint32_t
store_nodes_find(const struct store_nodes *self, uint64_t id)
{
    void *place = dz_map_get(&self->numbers, id);
    return place ? (uint32_t) ((uintptr_t) place - 1) : self->node_count;
}

uint32_t
store_nodes_number(struct store_nodes *self, uint64_t id)
{
    uint32_t number = store_nodes_find(self, id);
    if (number < self->node_count)
        return number;
    if (self->node_count == self->node_cap) {
        self->node_cap = self->node_cap ? 2 * self->node_cap : 8;
        self->nodes = dz_realloc(self->nodes, self->node_cap, sizeof(*self->nodes));
    }
    self->nodes[self->node_count] = (struct store_node){ .id = id,
                                                         .host = dz_strdup(""),
                                                         .how = dz_strdup(""),
                                                         .way = dz_strdup(""),
                                                         .why = dz_strdup(""),
                                                         .exit_code = -1 };
    (void) dz_map_put(&self->numbers, id, (void *) (uintptr_t) (number + 1));
    return self->node_count++;
}

/* ---- one line ---- */

struct line {
    struct store_nodes *all;
    uint32_t number;
    const char *word;
    json_t *facts; /* owned; NULL: none that can be read */
    int64_t at_us;
};

/* Valid until another node is met. */
static struct store_node *
node_of(struct line *line)
{
    return &line->all->nodes[line->number];
}

static uint64_t
hex_at(const json_t *facts, const char *key)
{
    return strtoull(head_text(facts, key), NULL, 16);
}

static uint32_t
count_at(const json_t *facts, const char *key)
{
    int64_t number = head_number(facts, key);
    return number > 0 && number < UINT32_MAX ? (uint32_t) number : 0;
}

static void
keep(char **field, const char *text)
{
    free(*field);
    *field = dz_strdup(text);
}

static void
add_event(struct line *line, const char *word, bool is_main, const char *text)
{
    struct store_nodes *all = line->all;
    if (all->event_count == all->event_cap) {
        all->event_cap = all->event_cap ? 2 * all->event_cap : 16;
        all->events = dz_realloc(all->events, all->event_cap, sizeof(*all->events));
    }
    all->events[all->event_count++] = (struct store_event){ .at_us = line->at_us,
                                                            .node = line->number,
                                                            .word = dz_strdup(word),
                                                            .text = dz_strdup(text),
                                                            .is_main = is_main };
}

static void
on_arrived(struct line *line)
{
    struct store_node *node = node_of(line);
    const json_t *facts = line->facts;
    char text[TEXT_MAX];
    keep(&node->host, head_text(facts, "host"));
    keep(&node->how, head_text(facts, "how"));
    node->workers = count_at(facts, "workers");
    node->cpus = count_at(facts, "cpus");
    node->slot = count_at(facts, "slot");
    node->slots = count_at(facts, "slots");
    node->memory = head_number(facts, "memory");
    node->arrived_us = node->arrived_us ? node->arrived_us : line->at_us;
    node->state = STORE_NODE_THERE;
    node->lives++;
    if (node->lives > 1)
        (void) snprintf(text, sizeof(text), "n%u has a new agent", line->number);
    else
        (void) snprintf(text, sizeof(text), "n%u arrived from %.64s with %u worker%s: %.200s",
                        line->number, node->host, node->workers, node->workers == 1 ? "" : "s",
                        node->how);
    add_event(line, line->word, true, text);
}

static void
on_rank(struct line *line)
{
    const char *rank = head_text(line->facts, "rank"), *why = head_text(line->facts, "why");
    uint64_t epoch = (uint64_t) head_number(line->facts, "epoch");
    uint64_t leader = hex_at(line->facts, "leader");
    char text[TEXT_MAX];
    bool leads = strcmp(rank, "LEADING") == 0;
    bool is_shard = strcmp(rank, "SHARD") == 0;
    bool follows = strcmp(rank, "VASSAL") == 0;
    node_of(line)->is_shard |= is_shard;
    if (leads) {
        node_of(line)->led++;
        node_of(line)->epoch = epoch;
    }
    if (leads)
        (void) snprintf(text, sizeof(text), "n%u is scheduler, epoch %" PRIu64 ": %.200s",
                        line->number, epoch, why);
    else if (is_shard)
        (void) snprintf(text, sizeof(text), "n%u runs its own share: %.200s", line->number, why);
    else if (follows && leader)
        (void) snprintf(text, sizeof(text), "n%u follows n%u, epoch %" PRIu64 ": %.200s",
                        line->number, store_nodes_number(line->all, leader), epoch, why);
    else
        (void) snprintf(text, sizeof(text), "n%u is %.40s: %.200s", line->number, rank, why);
    add_event(line, leads ? "leads" : is_shard ? "shard" : "rank", leads || is_shard, text);
}

static void
on_way(struct line *line)
{
    const char *endpoint = head_text(line->facts, "endpoint");
    unsigned by = store_nodes_number(line->all, hex_at(line->facts, "by"));
    bool is_detour = strcmp(endpoint, CHRONICLE_WAY_STORE) == 0;
    bool was_detour = strcmp(node_of(line)->way, CHRONICLE_WAY_STORE) == 0;
    char text[TEXT_MAX];
    keep(&node_of(line)->way, endpoint);
    if (is_detour)
        (void) snprintf(text, sizeof(text), "n%u is reached by n%u through the store", line->number,
                        by);
    else if (strcmp(endpoint, CHRONICLE_WAY_ITSELF) == 0)
        (void) snprintf(text, sizeof(text), "n%u is reached by n%u directly again", line->number,
                        by);
    else
        (void) snprintf(text, sizeof(text), "n%u is reached by n%u at %.200s", line->number, by,
                        endpoint);
    add_event(line, line->word, is_detour || was_detour, text);
}

static void
on_joined(struct line *line)
{
    char text[TEXT_MAX];
    if (node_of(line)->state == STORE_NODE_LOST)
        node_of(line)->state = STORE_NODE_THERE;
    (void) snprintf(text, sizeof(text), "n%u joined", line->number);
    add_event(line, line->word, true, text);
}

static void
on_differs(struct line *line)
{
    char text[TEXT_MAX];
    (void) snprintf(text, sizeof(text), "n%u collected other tests: %.200s", line->number,
                    head_text(line->facts, "why"));
    add_event(line, line->word, true, text);
}

static void
on_planned(struct line *line)
{
    struct store_plan plan = { .tests = count_at(line->facts, "tests"),
                               .known = count_at(line->facts, "known"),
                               .work_us = head_number(line->facts, "work_us"),
                               .longest_us = head_number(line->facts, "longest_us") };
    char text[TEXT_MAX];
    if (plan.known > plan.tests || plan.work_us < 0 || plan.longest_us < 0)
        return;
    if (line->all->plan.tests == 0)
        line->all->plan = plan;
    (void) snprintf(text, sizeof(text),
                    "n%u plans %" PRIu32 " tests; earlier runs tell how long %" PRIu32
                    " of them take",
                    line->number, plan.tests, plan.known);
    add_event(line, line->word, false, text);
}

static void
on_end(struct line *line)
{
    const char *why = head_text(line->facts, "why");
    const json_t *code = json_object_get(line->facts, "exit_code");
    bool is_lost = strcmp(line->word, "lost") == 0, has_left = strcmp(line->word, "left") == 0;
    enum { SIGTERM_EXIT = 128 + 15 };
    char text[TEXT_MAX];
    struct store_node *node = node_of(line);
    if (is_lost && (node->state == STORE_NODE_ENDED || node->state == STORE_NODE_LEFT))
        return; /* it said goodbye itself */
    keep(&node->why, why);
    node->ended_us = line->at_us;
    node->exit_code = code ? (int) json_integer_value(code) : node->exit_code;
    if (is_lost)
        node->state = STORE_NODE_LOST;
    else
        node->state =
            has_left || node->exit_code == SIGTERM_EXIT ? STORE_NODE_LEFT : STORE_NODE_ENDED;
    if (code)
        (void) snprintf(text, sizeof(text), "n%u ended with exit code %d%s%.200s", line->number,
                        node->exit_code, *why ? ": " : "", why);
    else
        (void) snprintf(text, sizeof(text), "n%u %s%s%.200s", line->number, line->word,
                        *why ? ": " : "", why);
    add_event(line, line->word, true, text);
}

/* A newer writer's. */
static void
on_other(struct line *line)
{
    char text[TEXT_MAX];
    DZ_AUTO(dz_free) char *facts = line->facts ? json_dumps(line->facts, JSON_COMPACT) : NULL;
    (void) snprintf(text, sizeof(text), "n%u %.40s %.300s", line->number, line->word,
                    facts ? facts : "");
    add_event(line, line->word, false, text);
}

static const struct {
    const char *word;
    void (*read)(struct line *line);
} WORDS[] = {
    { "differs", on_differs }, { "arrived", on_arrived }, { "rank", on_rank },
    { "way", on_way },         { "joined", on_joined },   { "lost", on_end },
    { "left", on_end },        { "ended", on_end },       { "planned", on_planned },
};

static void
take(struct store_nodes *self, const struct store_span *span)
{
    size_t prefix = strlen(CHRONICLE_TYPE);
    if (span->type.len <= prefix || memcmp(span->type.ptr, CHRONICLE_TYPE, prefix) != 0 ||
        self->event_count == STORE_EVENTS_MAX)
        return;
    DZ_AUTO(dz_free)
    char *word =
        dz_slice_dup((struct dz_slice){ span->type.ptr + prefix, span->type.len - prefix });
    struct line line = { .all = self, .word = word, .at_us = span->start_us };
    line.facts = json_loadb((const char *) span->name.ptr, span->name.len, 0, NULL);
    line.number = store_nodes_number(self, span->node);
    size_t i = 0;
    while (i < DZ_LEN(WORDS) && strcmp(WORDS[i].word, word) != 0)
        i++;
    if (i < DZ_LEN(WORDS))
        WORDS[i].read(&line);
    else
        on_other(&line);
    json_decref(line.facts);
}

/* ---- all ---- */

enum dz_rc
store_nodes_load(struct store *self, const char *ulid, struct store_nodes *out, struct dz_err *err)
{
    struct store_span_filter filter = { .worker = AGENT_ONLY };
    struct store_spans *spans = NULL;
    struct store_span span;
    struct store_nodes nodes = { 0 };
    enum dz_rc rc = store_spans_open(self, ulid, &filter, &spans, err);
    if (rc != DZ_OK)
        return rc;
    while ((rc = store_spans_next(spans, &span, err)) == DZ_OK)
        take(&nodes, &span);
    store_spans_close(&spans);
    if (rc != DZ_ABSENT) {
        store_nodes_fini(&nodes);
        return rc;
    }
    *out = nodes;
    return DZ_OK;
}
