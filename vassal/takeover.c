#include "vassal/takeover.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "store/sync.h"
#include "vassal/client.h"

enum {
    PAGE_MS = 500, /* for one page: a scheduler is waited for */
    ABSENT = 404,
};

struct takeover {
    struct dz_loop *loop; /* borrowed */
    struct dz_timer over;
    char *url; /* owned: without `from` */
    struct client client;
    struct dz_buf *pages; /* owned */
    size_t page_count;
    uint64_t rows;
    bool is_over, is_good, wants_list;
    void (*on_end)(void *arg);
    void *arg;
};

static void ask(struct takeover *self);

/* Its user may destroy it, which an answer of the client's must not see. */
static void
on_over(void *arg)
{
    struct takeover *self = arg;
    self->on_end(self->arg);
}

static void
end(struct takeover *self, bool is_good)
{
    self->is_over = true;
    self->is_good = is_good;
    log_info("takeover.end", "good=%d rows=%" PRIu64, is_good, self->rows);
    dz_loop_set(self->loop, &self->over, dz_clock_us());
}

static void
keep(struct takeover *self, struct dz_slice page)
{
    self->pages = dz_realloc(self->pages, self->page_count + 1, sizeof(*self->pages));
    self->pages[self->page_count] = (struct dz_buf){ 0 };
    dz_buf_add(&self->pages[self->page_count++], page.ptr, page.len);
}

static void
on_page(void *arg, const struct dz_http_answer *answer)
{
    struct takeover *self = arg;
    struct dz_err err;
    uint64_t rows = self->rows;
    if (answer->status == ABSENT) { /* nobody has told the store anything yet */
        end(self, true);
        return;
    }
    if (answer->status != 200 || store_rows_end(answer->body, &rows, &err) != DZ_OK ||
        rows < self->rows) {
        log_warn("takeover.page", "status=%d why=%s", answer->status, answer->why);
        end(self, false);
        return;
    }
    bool is_last = rows == self->rows;
    if (!is_last || (self->wants_list && self->page_count == 0))
        keep(self, answer->body);
    self->rows = rows;
    if (is_last)
        end(self, true);
    else
        ask(self);
}

static void
ask(struct takeover *self)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf url = { 0 };
    struct dz_err err;
    dz_buf_addf(&url, "%s&from=%" PRIu64 "%s", self->url, self->rows,
                self->wants_list && self->page_count == 0 ? "&list=1" : "");
    dz_buf_add(&url, "", 1);
    struct dz_http_ask asked = { .method = "GET",
                                 .url = (const char *) url.data,
                                 .answer_max = STORE_PARCEL_MAX,
                                 .timeout_ms = PAGE_MS,
                                 .fn = on_page,
                                 .arg = self };
    if (dz_http_ask(self->client.http, &asked, &err) == DZ_OK)
        return;
    log_warn("takeover.page", "why=%s", err.text);
    end(self, false);
}

enum dz_rc
takeover_put(struct takeover *self, struct store_job *job, struct dz_err *err)
{
    enum dz_rc rc = DZ_OK;
    for (size_t i = 0; rc == DZ_OK && i < self->page_count; i++)
        rc = store_rows_take(job, dz_buf_slice(&self->pages[i]), err);
    return rc;
}

const struct dz_buf *
takeover_pages(const struct takeover *self, size_t *count_out)
{
    *count_out = self->page_count;
    return self->pages;
}

bool
takeover_is_over(const struct takeover *self)
{
    return self->is_over;
}

bool
takeover_is_good(const struct takeover *self)
{
    return self->is_good;
}

enum dz_rc
takeover_new(const struct takeover_cfg *cfg, struct takeover **self_out, struct dz_err *err)
{
    DZ_AUTO(takeover_destroy) struct takeover *self = dz_alloc0(1, sizeof(*self));
    struct dz_buf url = { 0 };
    self->loop = cfg->loop;
    self->over = (struct dz_timer){ .fn = on_over, .arg = self };
    self->wants_list = cfg->wants_list;
    self->on_end = cfg->on_end;
    self->arg = cfg->arg;
    dz_buf_addf(&url, "%s/api/v1/jobs/%s/ledger?project=", cfg->url, cfg->ulid);
    dz_url_add(&url, cfg->uri);
    dz_buf_add(&url, "", 1);
    self->url = (char *) url.data;
    enum dz_rc rc = client_open(&self->client, cfg->loop, NULL, NULL, err);
    if (rc != DZ_OK)
        return rc;
    ask(self);
    *self_out = dz_move(self);
    return DZ_OK;
}

void
takeover_destroy(struct takeover **self_p)
{
    struct takeover *self = dz_move(*self_p);
    if (!self)
        return;
    client_close(&self->client);
    dz_loop_unset(self->loop, &self->over);
    for (size_t i = 0; i < self->page_count; i++)
        dz_buf_fini(&self->pages[i]);
    free(self->pages);
    free(self->url);
    free(self);
}
