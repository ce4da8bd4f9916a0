/* SPDX-License-Identifier: MIT */
/* Happy path: open, read, close, pick. Failure path: the figure stays 0. The files are the
 * kernel's, so their text is trusted to be short, but not to have the names we look for: those
 * differ between kernels. */
#include "procfs.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { NETSTAT_MAX = 32 * 1024, SYSCTL_MAX = 128 };

/* Reads up to cap - 1 octets and ends them with a NUL; false leaves an empty string. */
static bool read_text(const char *path, char *buf, size_t cap)
{
    size_t len = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    buf[0] = '\0';
    if (fd < 0)
        return false;
    while (len < cap - 1) {
        ssize_t n = read(fd, buf + len, cap - 1 - len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    buf[len] = '\0';
    (void)close(fd); /* read only: nothing to lose */
    return len > 0;
}

/* Digits at *at, which moves behind them; false: none, or more than 64 bits. */
static bool take_number(const char **at, uint64_t *out)
{
    char *end;

    if (**at < '0' || **at > '9')
        return false;
    errno = 0;
    unsigned long long v = strtoull(*at, &end, 10);
    if (errno != 0)
        return false;
    *at = end;
    *out = v;
    return true;
}

static uint64_t count_fds(void)
{
    struct stat st;

    /* Linux 6.2 and later tell the number as the directory's size; before, it is 0. */
    if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0)
        return (uint64_t)st.st_size;
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL)
        return 0;
    uint64_t n = 0;
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        if (e->d_name[0] != '.')
            n++;
    }
    (void)closedir(dir);      /* read only */
    return n > 0 ? n - 1 : 0; /* the one that counted */
}

static uint64_t resident_bytes(void)
{
    char text[SYSCTL_MAX];
    uint64_t size, resident;
    long page = sysconf(_SC_PAGESIZE);

    if (!read_text("/proc/self/statm", text, sizeof text) || page <= 0)
        return 0;
    const char *at = text;
    if (!take_number(&at, &size) || *at++ != ' ' || !take_number(&at, &resident))
        return 0;
    return resident * (uint64_t)page;
}

void procfs_process(struct procfs_process *out)
{
    struct rlimit lim;
    struct timespec cpu;

    *out = (struct procfs_process){.open_fds = count_fds(), .resident_bytes = resident_bytes()};
    if (getrlimit(RLIMIT_NOFILE, &lim) == 0)
        out->max_fds = lim.rlim_cur;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) == 0)
        out->cpu_seconds = (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9;
}

/* Which of the kernel's counters add to which of ours. */
struct counter_name {
    const char *group, *name;
    size_t offset;
};

/* clang-format off */
static const struct counter_name counter_names[] = {
    {"MPTcpExt", "MPJoinAckRx",            offsetof(struct procfs_mptcp, joins)},
    {"MPTcpExt", "MPJoinAckHMacFailure",   offsetof(struct procfs_mptcp, joins_rejected)},
    {"MPTcpExt", "MPJoinRejected",         offsetof(struct procfs_mptcp, joins_rejected)},
    {"MPTcpExt", "MismatchPortSynRx",      offsetof(struct procfs_mptcp, joins_rejected)},
    {"MPTcpExt", "MismatchPortAckRx",      offsetof(struct procfs_mptcp, joins_rejected)},
    {"MPTcpExt", "MPJoinNoTokenFound",     offsetof(struct procfs_mptcp, joins_no_token)},
    {"MPTcpExt", "AddAddrTx",              offsetof(struct procfs_mptcp, add_addr_sent)},
    {"MPTcpExt", "MPTCPRetrans",           offsetof(struct procfs_mptcp, retransmits)},
    {"TcpExt",   "ListenOverflows",        offsetof(struct procfs_mptcp, listen_overflows)},
};
/* clang-format on */

static void add_counter(const char *group, size_t group_len, const char *name, size_t name_len,
                        uint64_t value, struct procfs_mptcp *out)
{
    for (size_t i = 0; i < ARRAY_LEN(counter_names); i++) {
        const struct counter_name *c = &counter_names[i];

        if (strlen(c->group) == group_len && memcmp(c->group, group, group_len) == 0 &&
            strlen(c->name) == name_len && memcmp(c->name, name, name_len) == 0) {
            uint64_t *to = (uint64_t *)(void *)((char *)out + c->offset);
            *to += value;
            return;
        }
    }
}

/* "Group: name name name" and below it "Group: 1 2 3". Stops where the two do not match any
 * more. */
static void read_pair(const char *names, const char *values, struct procfs_mptcp *out)
{
    size_t group_len = strcspn(names, ":\n");

    if (names[group_len] != ':' || strncmp(names, values, group_len + 1) != 0)
        return;
    const char *name = names + group_len + 1, *at = values + group_len + 1;
    while (*name == ' ' && *at == ' ') {
        uint64_t value;
        size_t name_len = strcspn(++name, " \n");

        at++;
        /* MaxConn of Tcp is -1: no counter of ours, but values follow it. */
        if (take_number(&at, &value))
            add_counter(names, group_len, name, name_len, value, out);
        else
            at += strcspn(at, " \n");
        name += name_len;
    }
}

void procfs_mptcp_parse(const char *text, struct procfs_mptcp *out)
{
    *out = (struct procfs_mptcp){0};
    for (const char *names = text;;) {
        const char *end = strchr(names, '\n');
        if (end == NULL)
            return;
        const char *values = end + 1;
        read_pair(names, values, out);
        end = strchr(values, '\n');
        if (end == NULL)
            return;
        names = end + 1;
    }
}

void procfs_mptcp(struct procfs_mptcp *out)
{
    char text[NETSTAT_MAX];

    (void)read_text("/proc/net/netstat", text, sizeof text); /* empty on failure: all 0 */
    procfs_mptcp_parse(text, out);
}

static json_t *sysctl_value(char *text)
{
    const char *at = text;
    uint64_t number;

    text[strcspn(text, "\n")] = '\0';
    if (take_number(&at, &number) && *at == '\0' && number <= INT64_MAX)
        return json_integer((json_int_t)number);
    return json_string(text); /* NULL when it is no UTF-8; the kernel's names are ASCII */
}

json_t *procfs_mptcp_sysctls(void)
{
    static const char *const names[] = {
        "enabled",
        "add_addr_timeout",
        "allow_join_initial_addr_port",
        "checksum_enabled",
        "blackhole_timeout",
        "close_timeout",
        "path_manager",
        "pm_type",
        "scheduler",
        "stale_loss_cnt",
        "syn_retrans_before_tcp_fallback",
    };
    json_t *all = json_object();

    for (size_t i = 0; all != NULL && i < ARRAY_LEN(names); i++) {
        char path[SYSCTL_MAX], text[SYSCTL_MAX];

        (void)snprintf(path, sizeof path, "/proc/sys/net/mptcp/%s",
                       names[i]); /* fits: our literals */
        if (!read_text(path, text, sizeof text))
            continue;
        if (json_object_set_new(all, names[i], sysctl_value(text)) != 0) {
            json_decref(all);
            all = NULL;
        }
    }
    return all;
}
