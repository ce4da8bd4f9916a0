/* SPDX-License-Identifier: MIT */
#include "doctor.h"
#include "doc.h"
#include "doctor_checks.h"
#include "privileges.h"
#include <stdarg.h>
#include <stdlib.h>

/* In the order in which things are to be put right. */
static const struct row {
    const char *name;
    enum doctor_need needs;
    doctor_check_fn *check;
} rows[] = {
    {"config", DOCTOR_NEEDS_NOTHING, doctor_check_config},
    {"mptcp", DOCTOR_NEEDS_CONFIG, doctor_check_mptcp},
    {"fastopen", DOCTOR_NEEDS_CONFIG, doctor_check_fastopen},
    {"egress", DOCTOR_NEEDS_CONFIG, doctor_check_egress},
    {"privilege", DOCTOR_NEEDS_PRIVILEGED, doctor_check_privilege},
    {"nfqueue", DOCTOR_NEEDS_EXACT | DOCTOR_NEEDS_ADMIN, doctor_check_nfqueue},
    {"queues", DOCTOR_NEEDS_EXACT | DOCTOR_NEEDS_ADMIN, doctor_check_queues},
    {"rules-ipv4", DOCTOR_NEEDS_EXACT | DOCTOR_NEEDS_ADMIN, doctor_check_rules4},
    {"rules-ipv6", DOCTOR_NEEDS_EXACT | DOCTOR_NEEDS_ADMIN, doctor_check_rules6},
};

/* Findings. */

struct doctor_finding doctor_good(const char *format, ...)
{
    struct doctor_finding f = {.verdict = DOCTOR_GOOD};
    va_list args;

    va_start(args, format);
    (void)vsnprintf(f.found, sizeof f.found, format, args); /* cut, if anything */
    va_end(args);
    return f;
}

struct doctor_finding doctor_skipped(const char *format, ...)
{
    struct doctor_finding f = {.verdict = DOCTOR_SKIPPED};
    va_list args;

    va_start(args, format);
    (void)vsnprintf(f.found, sizeof f.found, format, args); /* cut, if anything */
    va_end(args);
    return f;
}

struct doctor_finding doctor_bad(const char *advice, const char *format, ...)
{
    struct doctor_finding f = {.verdict = DOCTOR_BAD};
    va_list args;

    va_start(args, format);
    (void)vsnprintf(f.found, sizeof f.found, format, args); /* cut, if anything */
    va_end(args);
    (void)snprintf(f.advice, sizeof f.advice, "%s", advice);
    return f;
}

/* Checks. */

static bool has_exact(const struct config *c)
{
    bool found = false;

    for (size_t i = 0; i < c->listeners.count; i++)
        found |= c->listeners.item[i].exact;
    return found;
}

static struct doctor_finding examine(const struct doctor *d, const struct row *r)
{
    if ((r->needs & DOCTOR_NEEDS_CONFIG) != 0 && d->config == NULL)
        return doctor_skipped("the configuration does not load");
    if ((r->needs & DOCTOR_NEEDS_EXACT) == DOCTOR_NEEDS_EXACT && !has_exact(d->config))
        return doctor_skipped("no listener is exact");
    if ((r->needs & DOCTOR_NEEDS_PRIVILEGED) == DOCTOR_NEEDS_PRIVILEGED &&
        !privileges_needed(d->config, 0).net_admin)
        return doctor_skipped("no listener needs CAP_NET_ADMIN");
    if ((r->needs & DOCTOR_NEEDS_ADMIN) != 0 && !privileges_have_net_admin())
        return doctor_skipped("cannot be told without CAP_NET_ADMIN");
    return r->check(d);
}

/* Output. */

static const char *verdict_name(enum doctor_verdict v)
{
    return v == DOCTOR_GOOD ? "good" : v == DOCTOR_BAD ? "bad" : "skipped";
}

static bool print_text(FILE *to, const struct doctor_finding *found)
{
    bool ok = true;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ok &= fprintf(to, "%-7s  %-10s  %s\n", verdict_name(found[i].verdict), rows[i].name,
                      found[i].found) >= 0;
        if (found[i].advice[0] != '\0')
            ok &= fprintf(to, "%21s%s\n", "", found[i].advice) >= 0;
    }
    return ok && fflush(to) == 0;
}

static json_t *check_json(const char *name, const struct doctor_finding *f)
{
    struct doc d = doc_new();

    doc_put(&d, "name", doc_text(name));
    doc_put(&d, "verdict", doc_text(verdict_name(f->verdict)));
    doc_put(&d, "found", doc_text(f->found));
    doc_put(&d, "advice", doc_text(f->advice));
    return doc_finish(&d);
}

static bool print_json(FILE *to, const struct doctor_finding *found, bool good)
{
    struct doc d = doc_new();
    json_t *checks = json_array();
    bool ok = checks != NULL;

    for (size_t i = 0; ok && i < ARRAY_LEN(rows); i++)
        ok = json_array_append_new(checks, check_json(rows[i].name, &found[i])) == 0;
    doc_put(&d, "good", json_boolean(good));
    doc_put(&d, "checks", checks);
    json_t *root = doc_finish(&d);
    ok = ok && root != NULL && json_dumpf(root, to, JSON_INDENT(2)) == 0 &&
         fputc('\n', to) != EOF && fflush(to) == 0;
    json_decref(root);
    return ok;
}

int doctor_run(const char *path, bool json, FILE *to)
{
    struct doctor_finding found[ARRAY_LEN(rows)];
    struct doctor d = {.path = path};
    bool good = true;

    d.config = options_load(path, &d.error);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        found[i] = examine(&d, &rows[i]);
        good &= found[i].verdict != DOCTOR_BAD;
    }
    config_unref(d.config);
    bool printed = json ? print_json(to, found, good) : print_text(to, found);
    return good && printed ? EXIT_SUCCESS : EXIT_FAILURE;
}
