/* SPDX-License-Identifier: MIT */
/* install - puts one socket in another's place in this process: descriptor number, FD_CLOEXEC,
 * epoll registrations. Nobody who waits loses an event. No allocation, no errno.
 *
 * Epoll keys are (file, number), so a registration dies with the file it named. They are found
 * by inode in /proc/self/fdinfo of the epoll instances this process was seen to use; where it
 * owns an io_uring, which can register without a call we see, of every epoll instance it has.
 *
 * Threads: install_lock() serialises replacing with what changes the descriptor table or a
 * registration; the hooks for those calls take it while install_busy(). It is held for system
 * calls that do not block, never across anything of the program, and released in forked
 * children (install_forked()). Not for signal handlers that interrupt a holder: these find it
 * held by their own thread and install_lock() says so. */
#ifndef CLIENT_INSTALL_H
#define CLIENT_INSTALL_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

/* What epoll_ctl() was asked, before it is: `ep` is an epoll instance, `fd` may be registered.
 */
void install_saw_epoll(int ep, int fd);
/* Not needed, but they save looks into /proc: before EPOLL_CTL_DEL (then install_saw_epoll()
 * also *after* each successful ADD), and before a descriptor is closed or replaced. */
void install_saw_epoll_del(int ep, int fd);
void install_saw_close(int fd);
/* All of that for one epoll_ctl() of the program, made here: notes, and the lock, which an ADD
 * always takes: one that is inside the kernel while its descriptor is replaced would register
 * the former file, and no look at /proc can see it coming. The kernel's value. */
int install_epoll_ctl(int ep, int op, int fd, const struct epoll_event *ev);
void install_saw_io_uring(void); /* io_uring_setup() succeeded */

/* A swap may come at any time: counted up while placeholders are out. */
bool install_busy(void);
void install_expect(int change); /* +1, -1 */
bool install_lock(void); /* false: this thread holds it already (a signal handler); go on
                            without */
void install_unlock(void);
void install_forked(void); /* in the child of fork(): other threads are gone */

/* `with` takes the place of `fd`, whose socket must still be the one with `cookie`: -ESTALE
 * when the program closed or replaced it. On success `with` is closed (it lives on at `fd`),
 * and *old, unless NULL, is a close-on-exec descriptor of the former socket, no longer in any
 * epoll set; else nothing changed and `with` is the caller's. The number of registrations
 * moved, or -errno. The caller holds the lock, or no other thread can be in the way. */
int install_at(int fd, uint64_t cookie, int with, int *old);

#endif
