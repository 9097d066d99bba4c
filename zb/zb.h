/* zb.h - what the commands of zb share.
 *
 * main.c holds the one table of commands; help, usage and the list of schemas are printed from
 * it.  A command is a function that gets its arguments and returns an exit code; what goes wrong
 * is one line on stderr. */
#ifndef DZ_ZB_ZB_H
#define DZ_ZB_ZB_H

#include <argp.h>

#include "shared/base/base.h"
#include "shared/base/buf.h"
#include "store/doc.h"
#include "store/jot.h"
#include "store/project.h"
#include "store/zone.h"
#include "zb/source.h"

enum zb_exit {
    ZB_DONE = 0,
    ZB_FAILED = 1, /* what was asked about failed */
    ZB_USAGE = 2,
    ZB_NO_STORE = 3, /* not reachable, not readable */
    ZB_DENIED = 4,
    ZB_ABSENT = 5,
    ZB_VERSION = 6,
    ZB_TIMEOUT = 7,
};

struct zb;

enum {
    ZB_STREAM = 1, /* --json gives one document a line */
    ZB_PAGED = 2,  /* text goes through the pager on a terminal */
};

struct zb_command {
    const char *name, *args, *summary;
    const char *doc;                   /* a paragraph or two */
    const char *examples;              /* lines: command, two spaces or more, what it does */
    const char *schema;                /* of --json; NULL: none */
    unsigned kind;                     /* ZB_STREAM, ZB_PAGED */
    const struct argp_option *options; /* ended by { 0 }; NULL: none of its own */
    int (*run)(struct zb *zb, int argc, char **argv);
};

/* ---- out.c: the terminal ---- */

enum zb_tint { ZB_PLAIN, ZB_DIM, ZB_BOLD, ZB_RED, ZB_GREEN, ZB_YELLOW, ZB_BLUE, ZB_CYAN };

struct zb {
    const struct zb_command *commands; /* static */
    size_t command_count;
    const struct zb_command *command; /* the one that runs */

    /* options that every command has */
    bool is_json, is_help, is_unpaged;
    const char *color; /* "auto", "always", "never" */
    const char *dir;   /* -C, or NULL */
    const char *url;   /* --url, or NULL */

    bool has_color, is_tty;
    bool has_cursor;   /* a terminal on which what was written can be drawn over */
    bool wants_pager;  /* the first zb_flush() starts it */
    int pager;         /* its process; 0: none */
    int width;         /* columns of the terminal, 0: not one, do not cut */
    struct dz_buf out; /* what will be written to stdout */
    int64_t now_us;

    struct source *source;  /* owned; after zb_open() */
    struct project project; /* likewise */
};

void zb_tint(struct zb *self, enum zb_tint tint); /* ZB_PLAIN ends a colour */
void zb_say(struct zb *self, const char *fmt, ...) DZ_PRINTF(2, 3);
void zb_put(struct zb *self, struct dz_slice bytes); /* as they are */
void zb_pad(struct zb *self, int columns);
void zb_flush(struct zb *self);
void zb_spill(struct zb *self);       /* flush when much has gathered; after a JSON document */
void zb_out_init(struct zb *self);    /* once the options are known */
void zb_out_measure(struct zb *self); /* again, when the terminal may have another width */
void zb_pager_start(struct zb *self);
void zb_pager_end(struct zb *self); /* after the last zb_flush(): until the user has left it */
/* Where an error goes: "zb jobs: ..." on stderr; gives `code` back. */
int zb_fail(struct zb *self, int code, const char *fmt, ...) DZ_PRINTF(3, 4);

/* ---- text.c: making things readable ---- */

enum { ZB_WORD = 64 };

/* Text for one line of a terminal: no control characters, at most `columns` wide (0: any), the
 * middle or the end cut with "...".  Returns the columns used. */
int zb_text(struct zb *self, struct dz_slice text, int columns);
int zb_id(struct zb *self, struct dz_slice node_id, int columns); /* loses its beginning */
int zb_columns(struct dz_slice text);
/* Text that must not lose its end, on as many lines as it needs; those after the first are
 * indented. */
void zb_fold(struct zb *self, const char *text, int indent);
/* Paragraphs and tables that were laid out for a wide terminal, on this one; ends with a newline. */
void zb_prose(struct zb *self, const char *text);

const char *zb_span(char out[ZB_WORD], int64_t us); /* "3.1 ms", "2 m 05 s" */
const char *zb_when(char out[ZB_WORD], const struct zone *zone, int64_t us, int64_t now_us);
const char *zb_clock(char out[ZB_WORD], const struct zone *zone, int64_t us); /* 14:03:02.123 */
enum zb_tint zb_result_tint(enum dz_result result);

/* ---- open.c: which project, which job ---- */

/* Find the project and open the store for reading.  ZB_DONE, or the error is told. */
DZ_MUST_USE int zb_open(struct zb *self);
/* The same, but a store that nobody wrote yet leaves self->source NULL. */
DZ_MUST_USE int zb_open_if_there(struct zb *self);
DZ_MUST_USE int zb_find_job(struct zb *self, const char *spec, char ulid_out[STORE_ULID_LEN + 1]);
void zb_close(struct zb *self);
/* On stderr, one a line: the tests that may have been meant by a name that none has. */
void zb_suggest_tests(struct zb *self, const char *ulid, const char *name);
int zb_exit_of(enum dz_rc rc);
/* Print the hint for somebody who has no job yet. */
void zb_say_first_steps(struct zb *self);

/* ---- args.c ---- */

/* Parse with the command's own options (handled by `parse`, whose state->input is `input`) and
 * those of every command.  ZB_DONE to go on; otherwise *done_out says whether it was an error. */
DZ_MUST_USE int zb_parse(struct zb *self, int argc, char **argv, argp_parser_t parse, void *input,
                         bool *is_over_out);
/* Is every option one of these, and has its value?  ZB_DONE, or one line was said. */
DZ_MUST_USE int zb_check_options(struct zb *self, const struct argp_option *options, int argc,
                                 char **argv); /* mistakes.c */
/* "90", "1.5s", "10m", "2h" in milliseconds; false: none of these. */
bool zb_read_span(const char *text, int64_t *ms_out);
/* A parser for commands that take nothing. */
error_t zb_parse_nothing(int key, char *arg, struct argp_state *state);
extern const struct argp_option zb_common_options[]; /* the first is --json */
const struct argp_option *zb_common_of(const struct zb_command *command);

/* ---- commands ---- */

int cmd_init(struct zb *zb, int argc, char **argv);
int cmd_jobs(struct zb *zb, int argc, char **argv);
int cmd_job(struct zb *zb, int argc, char **argv);
int cmd_tests(struct zb *zb, int argc, char **argv);
int cmd_logs(struct zb *zb, int argc, char **argv);
int cmd_span_logs(struct zb *zb, int argc, char **argv);
int cmd_ci(struct zb *zb, int argc, char **argv);
int cmd_daemon(struct zb *zb, int argc, char **argv);
int cmd_push(struct zb *zb, int argc, char **argv);
int cmd_help(struct zb *zb, int argc, char **argv);

int cmd_watch(struct zb *zb, int argc, char **argv);
int cmd_wait(struct zb *zb, int argc, char **argv);
int cmd_export(struct zb *zb, int argc, char **argv);
int cmd_doctor(struct zb *zb, int argc, char **argv);
int cmd_completion(struct zb *zb, int argc, char **argv);
int cmd_version(struct zb *zb, int argc, char **argv);
void zb_help_of(struct zb *self, const struct zb_command *command);
void zb_help_all(struct zb *self);
/* "-n, --number=N"; without a letter four blanks. */
void zb_option_text(char out[ZB_WORD], const struct argp_option *option);

struct zb_exit_code {
    int code;
    const char *meaning;
};
extern const struct zb_exit_code zb_exit_codes[]; /* ended by a meaning of NULL */

struct zb_topic {
    const char *name, *title;
    const char *text; /* NULL: the exit codes */
};
extern const struct zb_topic zb_topics[]; /* ended by a name of NULL */

/* ---- manual.c ---- */

void zb_man_of(struct zb *self, const struct zb_command *command);
void zb_man_all(struct zb *self);
void zb_markdown(struct zb *self); /* the table of commands, for docs/user/zb.md */

extern const struct argp_option cmd_push_options[];
extern const struct argp_option cmd_init_options[], cmd_jobs_options[], cmd_job_options[],
    cmd_tests_options[], cmd_daemon_options[], cmd_logs_options[], cmd_ci_options[],
    cmd_help_options[], cmd_watch_options[], cmd_wait_options[], cmd_export_options[],
    cmd_doctor_options[], cmd_span_logs_options[];

/* A job's verdict in one word. */
const char *zb_job_word(const struct store_job_info *job, enum zb_tint *tint_out);
/* Of one that broke off before it wrote a result nobody knows. */
bool zb_job_has_length(const struct store_job_info *job);
/* "3 failed, 2137 ok, 12 skipped" */
void zb_job_counts(const struct store_job_info *job, struct dz_buf *out);
void zb_say_verdict(struct zb *self, const struct store_job_info *job); /* one line */

#endif
