/* SPDX-License-Identifier: MIT */
/* log_queue - finished lines to a file descriptor by a thread of its own: bounded, never blocks
 * the caller. Any thread. Part of log: use base/log.h. */
#ifndef BASE_LOG_QUEUE_H
#define BASE_LOG_QUEUE_H
#include "base/log.h"

struct log_queue;

/* `fd` is borrowed. NULL: out of memory or no thread. */
struct log_queue *log_queue_new(int fd);
/* Flushes for at most one second. A sink that blocks for longer keeps its thread, which ends
 * when the kernel lets it. */
void log_queue_free(struct log_queue *q);
/* `text` ends with its only newline. What does not fit is dropped and counted. */
void log_queue_put(struct log_queue *q, const char *text, size_t len);
struct log_counts
log_queue_counts(const struct log_queue *q); /* written and dropped are lines */

#endif
