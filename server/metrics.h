/* SPDX-License-Identifier: MIT */
/* metrics - a snapshot as Prometheus text: exposition format 0.0.4, or OpenMetrics 1.0. Every
 * counter of STAT_MAP is there: under the name and label that the table in metrics.c gives it,
 * else under its path in /v1/stats with dots made underscores, where a member behind an object
 * `x_total` is the label `kind` of x_total. Durations are histograms whose bounds are
 * powers of four of a microsecond: those are bounds of stats.h, so the counts are exact. Users
 * and addresses never become labels. Pure but for reading /proc and the accept queues; any
 * thread. No uv.h. */
#ifndef SERVER_METRICS_H
#define SERVER_METRICS_H
#include "stats_json.h"

/* Text from malloc, the caller's, *len octets without the NUL; NULL: out of memory. */
char *metrics_text(const struct stats_snapshot *s, const struct server_view *v,
                   bool openmetrics, size_t *len) MUST_CHECK;

#endif
