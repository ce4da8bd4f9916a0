/* SPDX-License-Identifier: MIT */
/* control - the Unix socket through which an operator asks and changes things: one JSON object
 * per line, one line of answer each, in order. Main thread only. Who may change anything is
 * told by the kernel (SO_PEERCRED): root and the user the daemon runs as; others that the
 * socket's permissions let in may ask.
 *
 * Happy path: connection -> line -> handler -> answer -> next line. Failure path: a line that
 * is no JSON object, or longer than CONTROL_LINE_MAX, is answered with the reason and the
 * connection closed; who says nothing for CONTROL_IDLE_MS, or does not take his answer, is cut.
 */
#ifndef SERVER_CONTROL_H
#define SERVER_CONTROL_H
#include "base/conffile.h"
#include <jansson.h>
#include <uv.h>

enum { CONTROL_LINE_MAX = 4096, CONTROL_CONNECTIONS = 16, CONTROL_IDLE_MS = 30000 };

struct control;

/* The answer, stolen (NULL: out of memory). Runs exactly once per line, perhaps from inside
 * carry_out, and may run after control_stop(). */
typedef void control_answer_fn(void *arg, json_t *answer);

struct control_handler {
    void *arg;
    /* `request` is an object, borrowed for the call. */
    void (*carry_out)(void *arg, const json_t *request, bool may_change,
                      control_answer_fn *answer, void *answer_arg);
};

/* Binds `path`, mode 0660, in place of a socket there that nobody serves any more. 0, or -1
 * with *err filled. `handler` is copied. */
int control_start(uv_loop_t *loop, const char *path, const struct control_handler *handler,
                  struct control **out, struct conf_error *err) MUST_CHECK;
/* Ends connections and removes the socket; handles close in the next turns of the loop, then
 * memory goes. */
void control_stop(struct control *c);

/* {"ok": false, "error": "..."}; NULL: out of memory. */
json_t *control_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
