/* SPDX-License-Identifier: MIT */
/* Output that cannot be written is nobody's fault here: results are told by exit status, too.
 * Text from a concentrator is never printed as it came (probe.c words what it said). */
#include "report.h"
#include <inttypes.h>
#include <string.h>

static const struct {
    enum shared_count which;
    const char *text;
} meanings[] = {
    {SHARED_CONNECTS, "connections redirected"},
    {SHARED_BYPASSED, "left alone by the bypass list"},
    {SHARED_SUCCEEDED, "connected"},
    {SHARED_REFUSED, "refused by the concentrator or the target"},
    {SHARED_FAILED, "failed: no concentrator"},
    {SHARED_DIRECT, "connected without a concentrator"},
    {SHARED_NATIVE, "directly, to targets that speak Multipath TCP"},
    {SHARED_MPTCP, "over Multipath TCP"},
    {SHARED_FALLBACK, "fell back to TCP"},
    {SHARED_EXACT, "in place, through an exact concentrator"},
    {SHARED_TFO, "request taken in the SYN"},
    {SHARED_TFO_MISSED, "request in the SYN not taken"},
    {SHARED_PENDING, "non-blocking, by placeholder"},
    {SHARED_SUPERVISED, "by seccomp"},
    {SHARED_EPOLL_MOVED, "epoll registrations carried over"},
    {SHARED_OPTION_LOST, "socket options lost"},
    {SHARED_UDP_REFUSED, "QUIC datagrams refused"},
};

void report_stats(const struct shared *s, FILE *to)
{
    uint64_t good = shared_get(s, SHARED_SUCCEEDED), sum = shared_get(s, SHARED_ANSWER_MS);

    (void)fprintf(to, "mpconvert:%10" PRIu64 "  %s\n", shared_get(s, SHARED_CONNECTS),
                  meanings[0].text);
    for (size_t i = 1; i < sizeof meanings / sizeof meanings[0]; i++) {
        uint64_t n = shared_get(s, meanings[i].which);

        if (n > 0)
            (void)fprintf(to, "mpconvert:%10" PRIu64 "  %s\n", n, meanings[i].text);
    }
    if (good > 0 && sum < good) /* it is counted in whole milliseconds */
        (void)fprintf(to, "mpconvert:%10s  ms for a connection, on average\n", "under 1");
    else if (good > 0)
        (void)fprintf(to, "mpconvert:%10.1f  ms for a connection, on average\n",
                      (double)sum / (double)good);
}

const char *report_verdict(enum probe_verdict v)
{
    switch (v) {
    case PROBE_WORKS:
        return "works";
    case PROBE_UNREACHED:
        return "unreached";
    case PROBE_SILENT:
        return "silent";
    case PROBE_FOREIGN:
        return "foreign";
    case PROBE_REFUSED:
        return "refused";
    }
    return "unknown";
}

static bool was_reached(const struct probe_result *r)
{
    return r->connect_ms >= 0;
}

static const char *tfo_word(const struct probe_result *r)
{
    if (!was_reached(r) || !r->tfo_asked)
        return "-";
    return r->tfo_taken ? "yes" : "no";
}

static const char *milliseconds(double ms, const char *none, char out[24])
{
    if (ms < 0)
        (void)snprintf(out, 24, "%s", none); /* fits */
    else
        (void)snprintf(out, 24, "%.1f", ms); /* fits: bounded by the time-out */
    return out;
}

static const char *exact_word(const struct probe_result *r)
{
    if (r->exact == PROXIES_EXACT_UNKNOWN)
        return "-";
    return r->exact == PROXIES_EXACT_YES ? "yes" : "no";
}

static void print_row(const struct report_probe *p, FILE *to)
{
    char proxy[ADDR_TEXT_MAX], connect[24], answer[24];
    const struct probe_result *r = &p->result;

    (void)fprintf(to, "%-24s %-11s %-10s %-5s %-5s %-5s %8s %8s%s%s%s%s\n",
                  addr_print(&p->proxy, proxy, sizeof proxy), protocol_name(p->dialect),
                  report_verdict(r->verdict), tfo_word(r),
                  !was_reached(r) ? "-"
                  : r->mptcp      ? "yes"
                                  : "no",
                  exact_word(r), milliseconds(r->connect_ms, "-", connect),
                  milliseconds(r->answer_ms, "-", answer),
                  r->error != 0 || r->detail[0] != '\0' ? "  " : "",
                  r->error != 0 ? strerror(r->error) : "",
                  r->error != 0 && r->detail[0] != '\0' ? ", " : "", r->detail);
}

static const char *json_bool(bool known, bool value)
{
    if (!known)
        return "null";
    return value ? "true" : "false";
}

/* Every text here is our own: nothing to escape. */
static void print_json(const struct report_probe *p, bool last, FILE *to)
{
    char proxy[ADDR_TEXT_MAX], connect[24], answer[24];
    const struct probe_result *r = &p->result;
    bool reached = was_reached(r);

    (void)fprintf(to, "  {\"proxy\": \"%s\", \"dialect\": \"%s\", \"verdict\": \"%s\", ",
                  addr_print(&p->proxy, proxy, sizeof proxy), protocol_name(p->dialect),
                  report_verdict(r->verdict));
    (void)fprintf(to, "\"syn_data\": %s, \"mptcp\": %s, \"connect_ms\": %s, ",
                  json_bool(reached && r->tfo_asked, r->tfo_taken),
                  json_bool(reached, r->mptcp), milliseconds(r->connect_ms, "null", connect));
    (void)fprintf(to, "\"exact\": %s, ",
                  json_bool(r->exact != PROXIES_EXACT_UNKNOWN, r->exact == PROXIES_EXACT_YES));
    (void)fprintf(to,
                  "\"answer_ms\": %s, \"error\": ", milliseconds(r->answer_ms, "null", answer));
    if (r->error != 0)
        (void)fprintf(to, "\"%s\"", strerrorname_np(r->error));
    else
        (void)fputs("null", to);
    (void)fprintf(to, ", \"detail\": \"%s\"}%s\n", r->detail, last ? "" : ",");
}

void report_probes(const struct report_probe *rows, size_t count, bool json, FILE *to)
{
    if (json)
        (void)fputs("[\n", to);
    else
        (void)fprintf(to, "%-24s %-11s %-10s %-5s %-5s %-5s %8s %8s\n", "concentrator",
                      "dialect", "verdict", "SYN", "MPTCP", "exact", "SYN-ACK", "answer");
    for (size_t i = 0; i < count; i++) {
        if (json)
            print_json(&rows[i], i + 1 == count, to);
        else
            print_row(&rows[i], to);
    }
    if (json)
        (void)fputs("]\n", to);
}
