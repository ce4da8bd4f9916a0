/* SPDX-License-Identifier: MIT */
/* What the control socket may ask: one row per command. Each answers exactly once. */
#include "server_control.h"
#include "doc.h"
#include <stdlib.h>
#include <string.h>

enum { PAGE_DEFAULT = 100, DRAIN_SECONDS_MAX = 7 * 86400 };

/* Where an answer goes. */
struct to {
    control_answer_fn *answer;
    void *arg;
};

static void answer(const struct to *to, json_t *a)
{
    to->answer(to->arg, a);
}

/* Steals `result` (NULL: out of memory). */
static void good(const struct to *to, json_t *result)
{
    answer(to, result == NULL ? NULL : json_pack("{s:b, s:o}", "ok", 1, "result", result));
}

static void done(const struct to *to)
{
    answer(to, json_pack("{s:b}", "ok", 1));
}

/* ---- Arguments ---- */

/* The member `key`, a string; NULL: absent. What is of another type sets *wrong. */
static const char *text_of(const json_t *request, const char *key, const char **wrong)
{
    const json_t *v = json_object_get(request, key);

    if (v != NULL && !json_is_string(v))
        *wrong = key;
    return json_string_value(v);
}

static bool number_of(const json_t *request, const char *key, uint64_t min, uint64_t max,
                      uint64_t *out, const char **wrong)
{
    const json_t *v = json_object_get(request, key);
    json_int_t n = json_integer_value(v);

    if (v == NULL)
        return false;
    if (!json_is_integer(v) || n < 0 || (uint64_t)n < min || (uint64_t)n > max) {
        *wrong = key;
        return false;
    }
    *out = (uint64_t)n;
    return true;
}

/* "17": session ids are text in all documents. */
static bool id_of(const json_t *request, uint64_t *out, const char **wrong)
{
    const char *text = text_of(request, "id", wrong);
    char *end;

    if (text == NULL)
        return false;
    unsigned long long n = strtoull(text, &end, 10);
    if (text[0] < '1' || text[0] > '9' || *end != '\0')
        *wrong = "id";
    *out = n;
    return *wrong == NULL;
}

/* Which sessions. NULL, or the member that is wrong. */
static const char *read_query(const json_t *request, struct session_query *q)
{
    const char *wrong = NULL;
    uint64_t limit = PAGE_DEFAULT;

    *q = (struct session_query){.protocol = -1};
    (void)id_of(request, &q->id, &wrong); /* absent: any */
    (void)number_of(request, "limit", 1, VIEW_SESSIONS_MAX, &limit, &wrong);
    q->limit = (uint32_t)limit;
    const char *cursor = text_of(request, "cursor", &wrong);
    char *end = NULL;
    if (cursor != NULL)
        q->after = strtoull(cursor, &end, 16); /* as the last page gave it */
    if (cursor != NULL && *end != '\0')
        wrong = "cursor";
    const char *user = text_of(request, "user", &wrong);
    const char *source = text_of(request, "source", &wrong);
    const char *protocol = text_of(request, "protocol", &wrong);
    enum protocol p;

    if (user != NULL && snprintf(q->user, sizeof q->user, "%s", user) >= (int)sizeof q->user)
        wrong = "user";
    if (source != NULL && !prefix_parse(source, &q->source))
        wrong = "source";
    q->by_source = source != NULL;
    if (protocol != NULL && stats_json_protocol(protocol, &p))
        q->protocol = (int)p;
    else if (protocol != NULL)
        wrong = "protocol";
    return wrong;
}

/* ---- Looking ---- */

static void show_stats(struct server *s, const json_t *request, const struct to *to)
{
    struct stats_snapshot sum = {0};
    struct server_view view;

    (void)request;
    s->source.snapshot(s->source.arg, &sum, &view);
    good(to, stats_json(&sum, &view));
}

static void show_configuration(struct server *s, const json_t *request, const struct to *to)
{
    (void)request;
    good(to, options_dump(s->config, true));
}

static void on_sessions(void *arg, const struct session_view *list, size_t n, bool truncated)
{
    struct to to = *(struct to *)arg;

    free(arg);
    good(&to, sessions_json(list, n, truncated && n > 0 ? list[n - 1].id : 0));
}

static void on_session(void *arg, const struct session_view *list, size_t n, bool truncated)
{
    struct to to = *(struct to *)arg;

    (void)truncated;
    free(arg);
    if (n == 0)
        answer(&to, control_error("no such session (any more)"));
    else
        good(&to, session_json(&list[0]));
}

static void show_sessions(struct server *s, const json_t *request, const struct to *to)
{
    struct session_query q;
    const char *wrong = read_query(request, &q);
    struct to *kept = wrong == NULL ? malloc(sizeof *kept) : NULL;

    if (wrong != NULL) {
        answer(to, control_error("%s: not a good value", wrong));
        return;
    }
    if (kept == NULL) {
        answer(to, NULL);
        return;
    }
    *kept = *to;
    if (!s->source.sessions(s->source.arg, &q, q.id != 0 ? on_session : on_sessions, kept)) {
        free(kept);
        answer(to, control_error("the workers cannot be asked now"));
    }
}

static void test_access(struct server *s, const json_t *request, const struct to *to)
{
    const char *wrong = NULL, *user = text_of(request, "user", &wrong);
    const char *from = text_of(request, "source", &wrong);
    const char *name = text_of(request, "name", &wrong);
    const char *target = text_of(request, "target", &wrong);
    struct addr source, address;

    if (wrong == NULL && (from == NULL || !addr_parse_ip(from, strlen(from), &source)))
        wrong = "source";
    if (wrong == NULL && (target == NULL || !addr_parse(target, &address) || address.port == 0))
        wrong = "target";
    if (wrong != NULL) {
        answer(to, control_error("%s: source is an address, target address:port, name and user "
                                 "are text",
                                 wrong));
        return;
    }
    struct acl_verdict v = acl_check(s->config->acl, &source, user, &address, name);
    good(to, json_pack("{s:s, s:s, s:i}", "action", v.action == ACL_ALLOW ? "allow" : "deny",
                       "cause", acl_cause_name(v.cause), "rule", v.rule));
}

/* ---- Changing ---- */

static void reload(struct server *s, const json_t *request, const struct to *to)
{
    struct conf_error err = {.text = ""};

    (void)request;
    if (server_reload(s, &err) != 0)
        answer(to, control_error("%s; the running configuration stays", err.text));
    else
        good(to, json_pack("{s:s}", "sha256", s->config->sha256));
}

static void drain(struct server *s, const json_t *request, const struct to *to)
{
    const char *wrong = NULL;
    uint64_t seconds = s->config->timeouts.drain_ms / 1000;

    (void)number_of(request, "seconds", 0, DRAIN_SECONDS_MAX, &seconds, &wrong);
    if (wrong != NULL)
        answer(to, control_error("seconds: 0 to %d", DRAIN_SECONDS_MAX));
    else if (s->state != SERVER_SERVING)
        answer(to, control_error("it is %s", server_state_name(s->state)));
    else {
        server_drain_within(s, (uint32_t)seconds * 1000);
        good(to, json_pack("{s:i}", "sessions", (int)limits_sessions(s->shared.limits)));
    }
}

static void undrain(struct server *s, const json_t *request, const struct to *to)
{
    (void)request;
    if (server_undrain(s) != 0)
        answer(to, control_error("it is %s", server_state_name(s->state)));
    else
        done(to);
}

static void stop(struct server *s, const json_t *request, const struct to *to)
{
    (void)request;
    done(to);
    server_drain(s);
    if (s->state == SERVER_DRAINING)
        server_drain(s); /* at once */
}

static void set_level(struct server *s, const json_t *request, const struct to *to)
{
    const char *wrong = NULL, *word = text_of(request, "level", &wrong);

    for (unsigned level = LOG_LEVEL_ERROR; word != NULL && level <= LOG_LEVEL_DEBUG; level++) {
        if (strcmp(word, log_level_name((enum log_level)level)) == 0) {
            log_set_level(s->log, (enum log_level)level);
            done(to);
            return;
        }
    }
    answer(to, control_error("level: error, warning, info or debug"));
}

static void on_killed(void *arg, uint64_t count)
{
    struct to to = *(struct to *)arg;

    free(arg);
    good(&to, json_pack("{s:I}", "ended", (json_int_t)count));
}

static void kill_sessions(struct server *s, const json_t *request, const struct to *to)
{
    struct session_query q;
    const char *wrong = read_query(request, &q);

    if (wrong != NULL) {
        answer(to, control_error("%s: not a good value", wrong));
        return;
    }
    if (q.id == 0 && q.user[0] == '\0' && !q.by_source) {
        answer(to, control_error("which: id, user or source"));
        return;
    }
    struct to *kept = malloc(sizeof *kept);
    if (kept == NULL) {
        answer(to, NULL);
        return;
    }
    *kept = *to;
    if (!server_kill(s, &q, on_killed, kept)) {
        free(kept);
        answer(to, control_error("the workers cannot be asked now"));
    }
}

/* ---- The table ---- */

static const struct command {
    const char *name;
    bool changes;
    void (*carry_out)(struct server *s, const json_t *request, const struct to *to);
} commands[] = {
    {"stats", false, show_stats},       {"config", false, show_configuration},
    {"sessions", false, show_sessions}, {"acl", false, test_access},
    {"reload", true, reload},           {"drain", true, drain},
    {"undrain", true, undrain},         {"stop", true, stop},
    {"log", true, set_level},           {"kill", true, kill_sessions},
};

static void carry_out(void *arg, const json_t *request, bool may_change,
                      control_answer_fn *answer_fn, void *answer_arg)
{
    const char *wrong = NULL, *name = text_of(request, "command", &wrong);
    const struct to to = {answer_fn, answer_arg};
    const struct command *c = NULL;

    for (size_t i = 0; name != NULL && i < ARRAY_LEN(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            c = &commands[i];
    if (c == NULL)
        answer(&to, control_error("no such command"));
    else if (c->changes && !may_change)
        answer(&to, control_error("only root and the daemon's own user may do that"));
    else
        c->carry_out(arg, request, &to);
}

struct control_handler server_control_handler(struct server *s)
{
    return (struct control_handler){.arg = s, .carry_out = carry_out};
}
