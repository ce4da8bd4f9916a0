/* SPDX-License-Identifier: MIT */
/* Whose are the queues? The kernel tells the netlink port of the socket that is bound to each
 * (/proc/net/netfilter/nfnetlink_queue), which socket has this port (/proc/net/netlink), and
 * which process has this socket (/proc/PID/fd). */
#include "doctor_checks.h"
#include "server.h"
#include <ctype.h>
#include <dirent.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FIELDS_MAX = 10, COMM_MAX = 32 };

unsigned doctor_queue_count(const struct config *c)
{
    return server_workers(c);
}

/* The next line's numbers, of base 10; false at the end. What is no number is 0. */
static bool read_row(FILE *f, unsigned long field[FIELDS_MAX])
{
    char line[256];

    if (fgets(line, sizeof line, f) == NULL)
        return false;
    const char *at = line;
    for (unsigned i = 0; i < FIELDS_MAX; i++) {
        char *end;
        field[i] = strtoul(at, &end, 10);
        at = end + strcspn(end, " \n");
        at += strspn(at, " ");
    }
    return true;
}

/* queue, port, packets waiting, copy mode, copy range, dropped, dropped, sequence, 1 */
struct doctor_queue doctor_queue_look(unsigned number)
{
    FILE *f = fopen("/proc/net/netfilter/nfnetlink_queue", "re");
    struct doctor_queue q = {.bound = false};
    unsigned long field[FIELDS_MAX];

    if (f == NULL)
        return q;
    while (!q.bound && read_row(f, field))
        if (field[0] == number)
            q = (struct doctor_queue){
                .bound = true, .portid = (uint32_t)field[1], .sequence = (uint32_t)field[7]};
    (void)fclose(f); /* only read */
    return q;
}

/* Of the netfilter netlink socket with this port; 0: none. Columns: sk Eth Pid Groups Rmem Wmem
 * Dump Locks Drops Inode. */
static unsigned long inode_of(uint32_t portid)
{
    FILE *f = fopen("/proc/net/netlink", "re");
    unsigned long field[FIELDS_MAX], inode = 0;

    if (f == NULL)
        return 0;
    while (inode == 0 && read_row(f, field))
        if (field[1] == NETLINK_NETFILTER && field[2] == portid)
            inode = field[9];
    (void)fclose(f); /* only read */
    return inode;
}

static bool has_socket(const char *pid, unsigned long inode)
{
    char path[64], wanted[64], link[64];
    bool found = false;

    (void)snprintf(wanted, sizeof wanted, "socket:[%lu]", inode);
    (void)snprintf(path, sizeof path, "/proc/%.16s/fd", pid);
    DIR *fds = opendir(path);
    if (fds == NULL)
        return false;
    for (const struct dirent *e; !found && (e = readdir(fds)) != NULL;) {
        ssize_t n = readlinkat(dirfd(fds), e->d_name, link, sizeof link - 1);
        link[n > 0 ? n : 0] = '\0';
        found = strcmp(link, wanted) == 0;
    }
    (void)closedir(fds);
    return found;
}

struct holder {
    char pid[16], name[COMM_MAX]; /* "" when it cannot be told */
};

static void read_name(struct holder *h)
{
    char path[64];

    (void)snprintf(path, sizeof path, "/proc/%s/comm", h->pid);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return;
    if (fgets(h->name, sizeof h->name, f) != NULL)
        h->name[strcspn(h->name, "\n")] = '\0';
    (void)fclose(f); /* only read */
}

static struct holder holder_of(uint32_t portid)
{
    struct holder h = {.pid = ""};
    unsigned long inode = inode_of(portid);
    DIR *proc = inode != 0 ? opendir("/proc") : NULL;

    if (proc == NULL)
        return h;
    for (const struct dirent *e; h.pid[0] == '\0' && (e = readdir(proc)) != NULL;)
        if (isdigit((unsigned char)e->d_name[0]) != 0 && has_socket(e->d_name, inode))
            (void)snprintf(h.pid, sizeof h.pid, "%.15s", e->d_name);
    (void)closedir(proc);
    if (h.pid[0] != '\0')
        read_name(&h);
    return h;
}

struct doctor_finding doctor_check_queues(const struct doctor *d)
{
    unsigned first = d->config->exact.queue, count = doctor_queue_count(d->config), held = 0;
    struct holder daemon = {.pid = ""};

    if (first + count - 1 > UINT16_MAX)
        return doctor_bad("lower exact.queue, or workers",
                          "queues %u to %u are wanted; the last one there can be is 65535",
                          first, first + count - 1);
    for (unsigned i = 0; i < count; i++) {
        struct doctor_queue q = doctor_queue_look(first + i);
        if (!q.bound)
            continue;
        held++;
        daemon = holder_of(q.portid);
        if (strcmp(daemon.name, "mpconvertd") != 0)
            return doctor_bad("set exact.queue to other numbers, or end that process",
                              "queue %u belongs to another program: %s, process %s", first + i,
                              daemon.name[0] != '\0' ? daemon.name : "not to be seen from here",
                              daemon.pid[0] != '\0' ? daemon.pid : "unknown");
    }
    if (held == 0)
        return doctor_good("queues %u to %u are free; no daemon runs", first,
                           first + count - 1);
    if (held < count)
        return doctor_bad("restart the daemon: the number of workers has changed",
                          "only %u of the queues %u to %u belong to the running daemon", held,
                          first, first + count - 1);
    return doctor_good("queues %u to %u belong to mpconvertd, process %s", first,
                       first + count - 1, daemon.pid);
}
