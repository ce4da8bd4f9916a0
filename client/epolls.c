/* SPDX-License-Identifier: MIT */
/* Each descriptor number has a word of bits, one for each epoll instance (by its number, in the
 * order they were first seen) that was asked to watch it. A bit that is set for nothing costs a
 * look into that instance's fdinfo; one that is missing would cost the program an event. So
 * bits are set before and after the call that registers, and cleared before the call that
 * removes: whatever the order of two threads that do both at once, a registration that remains
 * has its bit.
 *
 * Where the bits cannot tell, every descriptor of the process is looked at: more instances than
 * bits; an io_uring, which registers without a call of libc; a noted number that is no epoll
 * instance any more (the instance may live on under another number).
 *
 * The kernel writes a whole fdinfo under the instance's lock at the first read() (seq_file), so
 * what is read in pieces here is one moment's state. */
#include "epolls.h"
#include "sys.h"
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>

enum {
    RING_LOOK_MS = 1000, /* how often the process is searched for an io_uring */
    LINE_MAX_LEN = 160,  /* an fdinfo line of an epoll instance is about 90 octets */
    READ_SIZE = 2048,
    PROC_PATH_MAX = 48,
};
#define OVERFLOW_BIT (UINT64_C(1) << EPOLLS_KNOWN_MAX)
/* Not /proc/self: a thread may have a descriptor table of its own, and the main thread may have
 * ended, which empties /proc/self/fd. */
#define PROC_FD "/proc/thread-self/fd"
#define PROC_FDINFO "/proc/thread-self/fdinfo/"

static struct {
    _Atomic uint64_t mask[EPOLLS_FDS_MAX]; /* 512 KiB, of which only pages in use exist */
    _Atomic uint64_t above;                /* all descriptors from EPOLLS_FDS_MAX on */
    _Atomic int known[EPOLLS_KNOWN_MAX];   /* the instance's number + 1, 0: free */
    _Atomic bool ring;
    _Atomic uint64_t ring_look_ms; /* when the next search is due */
    _Atomic int owner;             /* the process whose notes these are; 0: none yet */
} g;

/* ---- notes ---- */

static _Atomic uint64_t *mask_of(int fd)
{
    return fd < EPOLLS_FDS_MAX ? &g.mask[fd] : &g.above;
}

static uint64_t bit_of(int ep, bool make)
{
    for (unsigned i = 0; i < EPOLLS_KNOWN_MAX; i++) {
        int is = atomic_load(&g.known[i]);

        if (is == 0) {
            if (!make)
                return 0;
            if (atomic_compare_exchange_strong(&g.known[i], &is, ep + 1))
                return UINT64_C(1) << i;
        }
        if (is == ep + 1) /* found, or another thread made it meanwhile */
            return UINT64_C(1) << i;
    }
    return OVERFLOW_BIT;
}

void epolls_saw(int ep, int fd)
{
    if (ep < 0 || fd < 0)
        return;
    if (atomic_load(&g.owner) == 0)
        atomic_store(&g.owner, sys_pid());
    uint64_t bit = bit_of(ep, true);
    _Atomic uint64_t *mask = mask_of(fd);

    if ((atomic_load(mask) & bit) == 0)
        (void)atomic_fetch_or(mask, bit);
}

void epolls_saw_del(int ep, int fd)
{
    if (ep < 0 || fd < 0 || fd >= EPOLLS_FDS_MAX)
        return; /* a shared note stays */
    uint64_t bit = bit_of(ep, false);

    if (bit != OVERFLOW_BIT && (atomic_load(mask_of(fd)) & bit) != 0)
        (void)atomic_fetch_and(mask_of(fd), ~bit);
}

/* A child of vfork() closes its own descriptors, but writes into its parent's notes. */
void epolls_saw_close(int fd)
{
    if (fd >= 0 && fd < EPOLLS_FDS_MAX && atomic_load(mask_of(fd)) != 0 &&
        sys_pid() == atomic_load(&g.owner))
        atomic_store(mask_of(fd), 0);
}

void epolls_saw_io_uring(void)
{
    atomic_store(&g.ring, true);
}

void epolls_forked(void)
{
    atomic_store(&g.owner, sys_pid());
}

/* ---- /proc ---- */

/* `base` with its slash, then the number. */
static void proc_path(char out[PROC_PATH_MAX], const char *base, int fd)
{
    char digits[12];
    size_t at = strlen(base), n = 0;

    memcpy(out, base, at);
    do {
        digits[n++] = (char)('0' + fd % 10);
        fd /= 10;
    } while (fd > 0);
    while (n > 0)
        out[at++] = digits[--n];
    out[at] = '\0';
}

static bool is_link_to(int fd, const char *what)
{
    char path[PROC_PATH_MAX], to[32];
    size_t len = strlen(what);

    proc_path(path, PROC_FD "/", fd);
    ssize_t got = sys_readlink(path, to, sizeof to);
    return got == (ssize_t)len && memcmp(to, what, len) == 0;
}

static bool is_epoll(int fd)
{
    return is_link_to(fd, "anon_inode:[eventpoll]");
}

static int open_fdinfo(int fd)
{
    char path[PROC_PATH_MAX];

    proc_path(path, PROC_FDINFO, fd);
    return sys_open(path, O_RDONLY | O_CLOEXEC, 0);
}

/* "key: number", blanks before the number; the cursor moves behind it. */
static bool read_field(const char **at, const char *key, unsigned base, uint64_t *out)
{
    const char *p = strstr(*at, key);
    uint64_t value = 0;

    if (p == NULL)
        return false;
    p += strlen(key);
    while (*p == ' ')
        p++;
    const char *first = p;
    for (;; p++) {
        unsigned digit;

        if (*p >= '0' && *p <= '9')
            digit = (unsigned)(*p - '0');
        else if (*p >= 'a' && *p <= 'f')
            digit = (unsigned)(*p - 'a') + 10;
        else
            break;
        if (digit >= base)
            break;
        value = value * base + digit;
    }
    *at = p;
    *out = value;
    return p != first;
}

struct wanted {
    uint64_t fd, inode;
};

/* "tfd:        8 events:       19 data:                8  pos:0 ino:d51 sdev:8" */
static bool line_has(const char *line, const struct wanted *w, struct epoll_event *out)
{
    uint64_t tfd, events, data, inode;

    if (strncmp(line, "tfd:", 4) != 0 || !read_field(&line, "tfd:", 10, &tfd) || tfd != w->fd ||
        !read_field(&line, "events:", 16, &events) || !read_field(&line, "data:", 16, &data) ||
        !read_field(&line, "ino:", 16, &inode) || inode != w->inode)
        return false;
    *out = (struct epoll_event){.events = (uint32_t)events, .data.u64 = data};
    return true;
}

/* One instance has a file and number at most once. 1: found, 0: not, -errno. */
static int search_lines(int info, const struct wanted *w, struct epoll_event *out)
{
    char text[READ_SIZE + 1];
    size_t have = 0;

    for (;;) {
        ssize_t got = sys_read(info, text + have, READ_SIZE - have);

        if (got == -EINTR)
            continue;
        if (got < 0)
            return (int)got;
        have += (size_t)got;
        char *line = text, *end;
        while ((end = memchr(line, '\n', have - (size_t)(line - text))) != NULL) {
            *end = '\0';
            if (line_has(line, w, out))
                return 1;
            line = end + 1;
        }
        if (got == 0)
            return 0;
        have -= (size_t)(line - text);
        if (have >= READ_SIZE - LINE_MAX_LEN)
            have = 0; /* a line this long is none of ours */
        memmove(text, line, have);
    }
}

static int search_instance(int ep, const struct wanted *w, struct epolls_found *out)
{
    struct epoll_event event;
    int info = open_fdinfo(ep);

    if (info == -ENOENT)
        return 0; /* closed meanwhile */
    if (info < 0)
        return info;
    int rc = search_lines(info, w, &event);
    (void)sys_close(info);
    if (rc <= 0)
        return rc == -ENOENT ? 0 : rc; /* as above, after open() */
    if (out->count == EPOLLS_FOUND_MAX)
        return -ENOBUFS;
    out->entry[out->count].ep = ep;
    out->entry[out->count++].event = event;
    return 0;
}

/* ---- every descriptor of the process ---- */

/* 0: go on; anything else ends it and is returned. */
typedef int each_fn(int fd, void *arg);

/* struct linux_dirent64, which no header of libc has: inode (8), offset (8), length (2), type
 * (1), then the name. */
enum { DIRENT_LEN_AT = 16, DIRENT_NAME_AT = 19 };

static int visit_entries(const char *text, size_t len, int dir, each_fn *each, void *arg)
{
    for (size_t at = 0; at + DIRENT_NAME_AT < len;) {
        uint16_t record;
        int fd = 0;
        const char *p = text + at + DIRENT_NAME_AT;

        memcpy(&record, text + at + DIRENT_LEN_AT, sizeof record);
        if (record <= DIRENT_NAME_AT || record > len - at)
            return -EIO;
        at += record;
        if (*p < '0' || *p > '9')
            continue; /* "." and ".." */
        for (; *p >= '0' && *p <= '9'; p++)
            fd = fd * 10 + (*p - '0');
        int rc = fd == dir ? 0 : each(fd, arg);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int visit_fds(each_fn *each, void *arg)
{
    char text[1024] = ""; /* memory checkers do not know what getdents64() writes */
    int rc = 0, dir = sys_open(PROC_FD, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);

    if (dir < 0)
        return dir;
    while (rc == 0) {
        long got = sys_call(SYS_getdents64, dir, (long)text, sizeof text, 0, 0, 0);

        if (got <= 0) {
            rc = (int)got;
            break;
        }
        rc = visit_entries(text, (size_t)got, dir, each, arg);
    }
    (void)sys_close(dir);
    return rc;
}

static int ring_visit(int fd, void *arg)
{
    (void)arg;
    return is_link_to(fd, "anon_inode:[io_uring]") ? 1 : 0;
}

/* The process may get one at any time, without a call that libc sees; looking at every
 * descriptor for every connection would cost more than the connection. */
static bool owns_ring(void)
{
    uint64_t now = sys_now_ms(), due = atomic_load(&g.ring_look_ms);

    if (atomic_load(&g.ring))
        return true;
    if (now < due)
        return false;
    atomic_store(&g.ring_look_ms, now + RING_LOOK_MS);
    if (visit_fds(ring_visit, NULL) != 1)
        return false;
    atomic_store(&g.ring, true);
    return true;
}

struct search {
    struct wanted want;
    struct epolls_found *out;
};

static int search_visit(int fd, void *arg)
{
    const struct search *s = arg;

    return is_epoll(fd) ? search_instance(fd, &s->want, s->out) : 0;
}

/* ---- the question ---- */

bool epolls_may(int fd)
{
    return fd >= 0 && (atomic_load(mask_of(fd)) != 0 || owns_ring());
}

int epolls_find(int fd, uint64_t inode, struct epolls_found *out)
{
    struct search s = {.want = {(uint64_t)fd, inode}, .out = out};
    uint64_t mask = atomic_load(mask_of(fd)), gone = 0;
    unsigned before = out->count;

    if (!atomic_load(&g.ring) && (mask & OVERFLOW_BIT) == 0) {
        for (unsigned i = 0; i < EPOLLS_KNOWN_MAX; i++) {
            int ep = atomic_load(&g.known[i]) - 1, rc;

            if ((mask & UINT64_C(1) << i) == 0)
                continue;
            if (!is_epoll(ep)) {
                gone |= UINT64_C(1) << i;
                continue;
            }
            rc = search_instance(ep, &s.want, out);
            if (rc < 0)
                return rc;
        }
        if (gone == 0)
            return 0;
    }
    out->count = before;
    int rc = visit_fds(search_visit, &s);
    if (rc == 0 && gone != 0 && fd < EPOLLS_FDS_MAX)
        (void)atomic_fetch_and(mask_of(fd), ~gone);
    return rc;
}
