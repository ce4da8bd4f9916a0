/* SPDX-License-Identifier: MIT */
/* server_control - what the control socket's commands do to the root object
 * (docs/operations.md, "The control socket"). Main thread only. */
#ifndef SERVER_SERVER_CONTROL_H
#define SERVER_SERVER_CONTROL_H
#include "control.h"
#include "server_impl.h"

struct control_handler server_control_handler(struct server *s);

#endif
