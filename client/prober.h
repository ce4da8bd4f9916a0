/* SPDX-License-Identifier: MIT */
/* prober - a process beside the program that finds out which concentrators are exact, so that
 * no connect() has to wait for it. It asks those of whom nothing is known when a run begins,
 * and again when a connect() wishes it (shared.h); in between it sleeps. */
#ifndef CLIENT_PROBER_H
#define CLIENT_PROBER_H
#include "reach.h"
#include <sys/types.h>

/* Before the caller has a second thread. It dies with the thread that started it, and holds no
 * descriptor. 0: none is needed with these settings; -errno. */
pid_t prober_start(const struct reach_env *env);

#endif
