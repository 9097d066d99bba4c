/* doc_nodes.c - the nodes of a job, and what happened to them. */
#include <inttypes.h>
#include <stdio.h>

#include "store/doc.h"
#include "store/jot.h"

enum { NAME = 24 };

enum store_node_state
doc_node_state(const struct doc_job *self, uint32_t node)
{
    enum store_node_state state = self->nodes->nodes[node].state;
    bool is_lost = state == STORE_NODE_THERE && self->info.state != STORE_RUNNING;
    return is_lost && self->nodes->nodes[node].arrived_us ? STORE_NODE_LOST : state;
}

static void
member_json(struct dz_buf *out, const struct doc_job *self, uint32_t number)
{
    const struct store_node *node = &self->nodes->nodes[number];
    char name[NAME], id[NAME];
    (void) snprintf(name, sizeof(name), "n%" PRIu32, number);
    (void) snprintf(id, sizeof(id), "%016" PRIx64, node->id);
    jot_open(out, '{');
    jot_text(out, "node", name);
    jot_text(out, "id", id);
    jot_text(out, "state", store_node_state_name(doc_node_state(self, number)));
    if (node->exit_code >= 0)
        jot_int(out, "exit_code", node->exit_code);
    else
        jot_null(out, "exit_code");
    jot_text(out, "why", node->why);
    jot_time(out, "arrived", node->arrived_us);
    jot_time(out, "ended", node->ended_us);
    jot_int(out, "runs", self->node_runs[number]);
    jot_text(out, "host", node->host);
    jot_int(out, "workers", node->workers);
    jot_int(out, "cpus", node->cpus);
    jot_int(out, "memory", node->memory);
    jot_int(out, "slot", node->slot);
    jot_int(out, "slots", node->slots);
    jot_text(out, "how", node->how);
    jot_text(out, "endpoint", node->way);
    jot_int(out, "led", node->led);
    jot_int(out, "epoch", (int64_t) node->epoch);
    jot_bool(out, "shard", node->is_shard);
    jot_close(out, '}');
}

static void
event_json(struct dz_buf *out, const struct store_event *event)
{
    char name[NAME];
    (void) snprintf(name, sizeof(name), "n%" PRIu32, event->node);
    jot_open(out, '{');
    jot_time(out, "time", event->at_us);
    jot_text(out, "node", name);
    jot_text(out, "event", event->word);
    jot_bool(out, "main", event->is_main);
    jot_text(out, "text", event->text);
    jot_close(out, '}');
}

static void
plan_json(struct dz_buf *out, const struct store_plan *plan)
{
    if (plan->tests == 0) {
        jot_null(out, "plan");
        return;
    }
    jot_key(out, "plan");
    jot_open(out, '{');
    jot_int(out, "tests", plan->tests);
    jot_int(out, "known", plan->known);
    jot_int(out, "work_us", plan->work_us);
    jot_int(out, "longest_us", plan->longest_us);
    jot_close(out, '}');
}

void
doc_nodes_json(struct dz_buf *out, const struct doc_job *self)
{
    plan_json(out, &self->nodes->plan);
    jot_key(out, "members");
    jot_open(out, '[');
    for (uint32_t i = 0; i < self->nodes->node_count; i++)
        member_json(out, self, i);
    jot_close(out, ']');
    jot_key(out, "events");
    jot_open(out, '[');
    for (uint32_t i = 0; i < self->nodes->event_count && i < DOC_EVENTS_MAX; i++)
        event_json(out, &self->nodes->events[i]);
    jot_close(out, ']');
}
