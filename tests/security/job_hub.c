/* job_hub.c - a job's place for other nodes to come to, as an agent has it, and nothing behind it:
 * what a member says is said back to it.
 *
 *     job_hub
 *
 * Prints "KEY NODE ENDPOINT", then takes commands, a line each, and answers each with a line:
 *
 *     admit KEY    expel KEY    count
 *
 * and ends with its input.  DAGZ_AGENT_LOG: its log, as an agent's. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/fd.h"
#include "shared/base/log.h"
#include "shared/net/contact.h"
#include "shared/net/hub.h"
#include "shared/wire/frame.h"
#include "vassal/io/mesh.h"

struct job_hub {
    struct dz_loop *loop;
    struct dz_gate *gate;
    struct mesh *mesh;
    struct dz_watch input;
    struct dz_keys keys;
    struct dz_buf lines;
    uint64_t frames;
};

static void
say(const char *text)
{
    (void) puts(text);
    (void) fflush(stdout);
}

static void
on_frame(void *arg, struct dz_slice frame)
{
    struct job_hub *self = arg;
    struct dz_msg_mesh envelope;
    if (dz_mesh_open(frame, &envelope) != DZ_OK)
        return;
    self->frames++;
    uint64_t node = envelope.node, inc = envelope.inc;
    envelope.node = dz_key_node(&self->keys.public);
    DZ_AUTO(dz_buf_fini) struct dz_buf answer = { 0 };
    dz_mesh_seal(&envelope, &answer);
    mesh_send(self->mesh, node, inc, dz_buf_slice(&answer));
}

static void
on_gone(void *arg, uint64_t node, uint64_t inc)
{
    (void) arg;
    (void) node;
    (void) inc;
}

static void
on_way(void *arg, uint64_t node, const char *endpoint)
{
    (void) arg;
    (void) node;
    (void) endpoint;
}

static void
obey(struct job_hub *self, const char *line)
{
    struct dz_key key;
    const char *space = strchr(line, ' ');
    bool has_key = space && dz_key_parse(dz_str(space + 1), &key) == DZ_OK;
    if (has_key && strncmp(line, "admit", 5) == 0) {
        say(dz_gate_admit(self->gate, &key) == DZ_OK ? "ok" : "refused");
    } else if (has_key && strncmp(line, "expel", 5) == 0) {
        dz_gate_expel(self->gate, &key);
        say("ok");
    } else {
        (void) printf("{\"frames\":%" PRIu64 ",\"impostors\":%" PRIu64 ",\"refused\":%" PRIu64
                      "}\n",
                      self->frames, mesh_impostors(self->mesh), dz_gate_refused(self->gate));
        (void) fflush(stdout);
    }
}

static void
on_input(void *arg, unsigned events)
{
    struct job_hub *self = arg;
    (void) events;
    uint8_t piece[512];
    ssize_t got = read(self->input.fd, piece, sizeof(piece));
    if (got <= 0) {
        dz_loop_stop(self->loop);
        return;
    }
    dz_buf_add(&self->lines, piece, (size_t) got);
    uint8_t *end;
    while ((end = memchr(self->lines.data, '\n', self->lines.len))) {
        *end = '\0';
        size_t len = (size_t) (end - self->lines.data) + 1;
        obey(self, (const char *) self->lines.data);
        memmove(self->lines.data, end + 1, self->lines.len - len);
        self->lines.len -= len;
    }
}

static enum dz_rc
open_all(struct job_hub *self, struct dz_err *err)
{
    enum dz_rc rc = dz_keys_make(&self->keys, err);
    rc = rc == DZ_OK ? dz_loop_new(&self->loop, err) : rc;
    rc = rc == DZ_OK ? dz_gate_new(self->loop, &self->gate, err) : rc;
    if (rc != DZ_OK)
        return rc;
    struct mesh_cfg cfg = {
        .loop = self->loop,
        .node = dz_key_node(&self->keys.public),
        .inc = 1,
        .name = "inproc://job-hub",
        .keys = &self->keys,
        .gate = self->gate,
        .ops = { .frame = on_frame, .gone = on_gone, .way = on_way, .arg = self },
    };
    rc = mesh_new(&cfg, &self->mesh, err);
    self->input = (struct dz_watch){
        .fd = STDIN_FILENO, .events = DZ_LOOP_READ, .fn = on_input, .arg = self
    };
    return rc == DZ_OK ? dz_loop_watch(self->loop, &self->input, err) : rc;
}

static void
tell_where(const struct job_hub *self)
{
    DZ_AUTO(dz_contact_fini) struct dz_contact contact = { 0 };
    char key[DZ_KEY_TEXT];
    enum dz_rc rc = dz_contact_read(mesh_contact(self->mesh), &contact);
    dz_assert(rc == DZ_OK && contact.endpoints.len > 0);
    dz_key_format(&self->keys.public, key);
    (void) printf("%s %016" PRIx64 " %s\n", key, dz_key_node(&self->keys.public),
                  contact.endpoints.items[contact.endpoints.len - 1]); /* loopback is the last */
    (void) fflush(stdout);
}

int
main(void)
{
    struct job_hub self = { 0 };
    struct dz_err err = { "" };
    const char *log = getenv("DAGZ_AGENT_LOG"); // NOLINT(concurrency-mt-unsafe): one thread
    if (log && dz_log_open(log, DZ_LOG_DEBUG, &err) != DZ_OK)
        (void) fprintf(stderr, "job_hub: %s\n", err.text);
    dz_fd_raise_limit();
    dz_net_setup();
    enum dz_rc rc = open_all(&self, &err);
    if (rc == DZ_OK) {
        tell_where(&self);
        rc = dz_loop_run(self.loop, &err);
    }
    if (rc != DZ_OK)
        (void) fprintf(stderr, "job_hub: %s\n", err.text);
    if (self.input.fd >= 0 && self.loop)
        dz_loop_unwatch(self.loop, &self.input);
    mesh_destroy(&self.mesh);
    dz_gate_destroy(&self.gate);
    dz_loop_destroy(&self.loop);
    dz_net_teardown();
    dz_keys_forget(&self.keys);
    dz_buf_fini(&self.lines);
    return rc == DZ_OK ? 0 : 1;
}
