/* SPDX-License-Identifier: MIT */
#include "seat.h"
#include "install.h"
#include "room.h"
#include "sockopts.h"
#include "sys.h"
#include <errno.h>

int seat_take(const struct reach_env *env, const struct plan *p, int fd, int with,
              enum truth_state state)
{
    struct truth t = {.state = state, .peer = p->peer, .family = (uint8_t)p->family};
    uint64_t cookie = sys_cookie(with);

    sockopts_copy_flags(fd, with);
    truth_set(env->shared, cookie, &t); /* before the program can ask for it */
    install_expect(1);
    bool locked = install_lock();
    int rc = room_install(fd, p->cookie, with, NULL);

    if (locked)
        install_unlock();
    install_expect(-1);
    if (rc < 0) {
        truth_forget(env->shared, cookie);
        (void)sys_close(with);
        return rc == -ESTALE ? -EBADF : rc;
    }
    shared_add(env->shared, SHARED_EPOLL_MOVED, (uint64_t)rc);
    return 0;
}
