/* SPDX-License-Identifier: MIT */
/* fault_calls - makes the n-th call of a system or libuv function by the code under test fail,
 * or all of them. Link fault_calls.c and pass @tests/support/fault_calls.wrap when linking.
 * Calls made inside shared libraries are out of reach. Each call is counted, so a test can also
 * say what something costs. One thread; no fault is set when a test begins.
 * With _FORTIFY_SOURCE read and recv become other functions and escape. */
#ifndef SUPPORT_FAULT_CALLS_H
#define SUPPORT_FAULT_CALLS_H
#include <stdbool.h>

/* clang-format off */
#define FAULT_CALL_MAP(X)                                                                      \
    X(socket) X(connect) X(bind) X(listen) X(accept4) X(setsockopt) X(getsockopt) X(shutdown)  \
    X(sendto) X(sendmsg) X(send) X(recv) X(recvmsg) X(recvfrom) X(write) X(writev)             \
    X(read) X(pipe2) X(splice) X(fcntl) X(open) X(epoll_create1) X(epoll_ctl) X(epoll_wait)    \
    X(eventfd) X(getrandom)                                                                    \
    X(uv_loop_init) X(uv_timer_init) X(uv_timer_start) X(uv_poll_init) X(uv_poll_start)        \
    X(uv_idle_init) X(uv_idle_start) X(uv_async_init) X(uv_async_send) X(uv_signal_init)       \
    X(uv_signal_start) X(uv_queue_work) X(uv_thread_create)
/* clang-format on */
enum fault_call {
#define X(name) FAULT_##name,
    FAULT_CALL_MAP(X)
#undef X
        FAULT_CALL_COUNT
};

/* The n-th call from now on (1: the next) fails once with `error`, a positive errno: a system
 * call returns -1 with errno set, a libuv function -errno. n 0: none. Counts from here. */
void fault_call_after(enum fault_call c, unsigned n, int error);
void fault_call_always(enum fault_call c,
                       int error);      /* every call fails until fault_calls_reset() */
bool fault_call_hit(enum fault_call c); /* since either of them */
unsigned
fault_call_count(enum fault_call c); /* since either of them or reset; failed calls included */
void fault_calls_reset(void);
const char *fault_call_name(enum fault_call c);

#endif
