/* SPDX-License-Identifier: MIT */
#include "privileges.h"
#include "runner.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define BIT(cap) (UINT64_C(1) << (cap))

/* A row of /proc/thread-self/status, or of another process's. */
static uint64_t row_of(const char *path, const char *name)
{
    FILE *f = fopen(path, "re");
    char line[256];
    size_t len = strlen(name);
    uint64_t value = 0;
    bool found = false;

    ck_assert_ptr_nonnull(f);
    while (fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, name, len) == 0 && line[len] == ':') {
            value = strtoull(line + len + 1, NULL, 16);
            found = true;
        }
    (void)fclose(f);
    ck_assert(found);
    return value;
}

static uint64_t row(const char *name)
{
    return row_of("/proc/thread-self/status", name);
}

static void expect(uint64_t caps)
{
    ck_assert_uint_eq(row("CapEff"), caps);
    ck_assert_uint_eq(row("CapPrm"), caps);
    ck_assert_uint_eq(row("CapInh"), 0);
    ck_assert_uint_eq(row("CapAmb"), 0);
    ck_assert_uint_eq(row("NoNewPrivs"), 1);
}

static const struct privileges nothing = {.net_admin = false};
static const struct privileges admin = {.net_admin = true};
static const struct privileges both = {.net_admin = true, .net_bind_service = true};

static void set_caps(uint64_t permitted, uint64_t inheritable)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct d[2] = {
        {(uint32_t)permitted, (uint32_t)permitted, (uint32_t)inheritable},
        {(uint32_t)(permitted >> 32), (uint32_t)(permitted >> 32), 0}};

    ck_assert_int_eq(syscall(SYS_capset, &head, d), 0);
}

START_TEST(nothing_is_left)
{
    set_caps(row("CapPrm"), BIT(CAP_NET_ADMIN) | BIT(CAP_CHOWN));
    ck_assert_int_eq(
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, (unsigned long)CAP_CHOWN, 0, 0), 0);
    ck_assert(privileges_have_net_admin());
    ck_assert_int_eq(privileges_drop(nothing), 0);
    expect(0);
    ck_assert_uint_eq(row("CapBnd"), 0);
    ck_assert(!privileges_have_net_admin());
}
END_TEST

START_TEST(what_is_to_be_kept_is_left)
{
    ck_assert_int_eq(privileges_drop(both), 0);
    expect(BIT(CAP_NET_ADMIN) | BIT(CAP_NET_BIND_SERVICE));
    ck_assert_uint_eq(row("CapBnd"), 0);
    ck_assert(privileges_have_net_admin());
    ck_assert_int_eq(privileges_drop(admin), 0); /* less, a second time */
    expect(BIT(CAP_NET_ADMIN));
}
END_TEST

START_TEST(what_is_missing_is_not_given)
{
    set_caps(BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_CHOWN), 0);
    ck_assert_int_eq(privileges_drop(both), 0);
    expect(BIT(CAP_NET_BIND_SERVICE));
}
END_TEST

START_TEST(without_cap_setpcap_the_bounding_set_stays)
{
    uint64_t bounding = row("CapBnd");

    set_caps(BIT(CAP_NET_ADMIN) | BIT(CAP_CHOWN), 0);
    ck_assert_int_eq(privileges_drop(admin), 0);
    expect(BIT(CAP_NET_ADMIN));
    ck_assert_uint_eq(row("CapBnd"), bounding);
}
END_TEST

START_TEST(marks_keep_one_capability)
{
    set_caps(BIT(CAP_NET_ADMIN) | BIT(CAP_NET_RAW), 0);
    ck_assert_int_eq(privileges_drop((struct privileges){.mark = true}), 0);
    expect(BIT(CAP_NET_ADMIN));
}
END_TEST

START_TEST(marks_keep_the_narrower_capability_where_there_is_no_other)
{
    set_caps(BIT(CAP_CHOWN) | BIT(CAP_NET_RAW), 0);
    ck_assert_int_eq(privileges_drop((struct privileges){.mark = true}), 0);
    expect(BIT(CAP_NET_RAW));
}
END_TEST

static int bind_to(uint16_t port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons(port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = bind(fd, (struct sockaddr *)&sa, sizeof sa) == 0 ? 0 : -errno;

    ck_assert_int_eq(close(fd), 0);
    return rc;
}

START_TEST(low_ports_need_to_be_asked_for)
{
    ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
    ck_assert_uint_eq(privileges_low_ports(), 1024);
    ck_assert_int_eq(bind_to(443), 0);
    ck_assert_int_eq(privileges_drop(both), 0);
    ck_assert_int_eq(bind_to(443), 0);
    ck_assert_int_eq(privileges_drop(admin), 0);
    ck_assert_int_eq(bind_to(443), -EACCES);
    ck_assert_int_eq(bind_to(1024), 0);
}
END_TEST

START_TEST(low_ports_are_told_by_the_kernel)
{
    ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
    FILE *f = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "we");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_gt(fprintf(f, "80"), 0);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_uint_eq(privileges_low_ports(), 80);
}
END_TEST

static void *look(void *arg)
{
    uint64_t *caps = arg;

    *caps = row("CapEff");
    return NULL;
}

START_TEST(later_threads_have_no_more)
{
    uint64_t caps = 0;
    pthread_t thread;

    ck_assert_int_eq(privileges_drop(admin), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, look, &caps), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_uint_eq(caps, BIT(CAP_NET_ADMIN));
}
END_TEST

START_TEST(exec_brings_nothing_back)
{
    int ends[2], status;
    char text[64] = "";

    ck_assert_int_eq(privileges_drop(admin), 0);
    ck_assert_int_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        (void)dup2(ends[1], STDOUT_FILENO);
        (void)execlp("sed", "sed", "-n", "s/^CapPrm:[[:space:]]*//p", "/proc/self/status",
                     (char *)NULL);
        _exit(127);
    }
    ck_assert_int_eq(close(ends[1]), 0);
    ck_assert_int_gt(read(ends[0], text, sizeof text - 1), 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_str_eq(text, "0000000000000000\n");
    ck_assert_int_eq(close(ends[0]), 0);
}
END_TEST

/* What a configuration needs. */

static struct config with(struct listener_options *items, size_t count)
{
    return (struct config){.listeners = {.item = items, .count = count}};
}

START_TEST(only_exact_listeners_need_cap_net_admin)
{
    struct listener_options l[2] = {{.address.port = 1080}, {.address.port = 1081}};
    struct config c = with(l, 2);

    ck_assert(!privileges_needed(&c, 1024).net_admin);
    l[1].exact = true;
    ck_assert(privileges_needed(&c, 1024).net_admin);
    ck_assert(!privileges_needed(&c, 1024).net_bind_service);
    c = with(NULL, 0);
    ck_assert(!privileges_needed(&c, 1024).net_admin);
}
END_TEST

START_TEST(preserved_addresses_need_cap_net_admin)
{
    struct egress_policy own = {.ipv6 = EGRESS_PRESERVE}, pool = {.ipv4 = EGRESS_SHARE};
    struct listener_options l[2] = {{.address.port = 1080, .egress = &pool},
                                    {.address.port = 1081}};
    struct config c = with(l, 2);

    ck_assert(!privileges_needed(&c, 1024).net_admin);
    l[1].egress = &own;
    ck_assert(privileges_needed(&c, 1024).net_admin);
}
END_TEST

START_TEST(only_low_ports_need_cap_net_bind_service)
{
    static const struct {
        uint32_t low_ports;
        uint16_t port;
        bool needed;
    } rows[] = {{1024, 1024, false}, {1024, 1023, true}, {1024, 0, false},    {1024, 1, true},
                {443, 443, false},   {0, 443, false},    {65536, 65535, true}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct listener_options l[2] = {{.address.port = rows[i].port}, {.address.port = 0}};
        struct config c = with(l, 2);
        ck_assert_int_eq(privileges_needed(&c, rows[i].low_ports).net_bind_service,
                         rows[i].needed);
        l[0].address.port = 0;
        ck_assert(!privileges_needed(&c, rows[i].low_ports).net_bind_service);
        c.stats.address.port = rows[i].port; /* the statistics listen, too */
        ck_assert_int_eq(privileges_needed(&c, rows[i].low_ports).net_bind_service,
                         rows[i].needed);
    }
}
END_TEST

START_TEST(policies_need_what_their_legs_need)
{
    char reno[] = "reno", restricted[] = "nonesuch"; /* at least not allowed to everybody */
    struct policy p = {.client.congestion_control = reno, .upstream.dscp = {.set = true}};
    struct config c = {.policies = {.item = &p, .count = 1}};

    ck_assert(!privileges_needed(&c, 1024).net_admin);
    ck_assert(!privileges_needed(&c, 1024).mark);
    p.upstream.mark.set = true;
    ck_assert(privileges_needed(&c, 1024).mark);
    ck_assert(!privileges_needed(&c, 1024).net_admin);
    p.client.congestion_control = restricted;
    ck_assert(privileges_needed(&c, 1024).net_admin);
}
END_TEST

/* A plain user has all capabilities in a user namespace. */
static bool be_privileged(void)
{
    char map[64];
    uid_t uid = geteuid();
    FILE *f;

    if (uid == 0)
        return true;
    if (unshare(CLONE_NEWUSER) != 0 || (f = fopen("/proc/self/uid_map", "we")) == NULL)
        return false;
    (void)snprintf(map, sizeof map, "0 %u 1", uid);
    bool ok = fputs(map, f) >= 0;
    return fclose(f) == 0 && ok;
}

int main(void)
{
    Suite *s = suite_create("privileges");
    TCase *t = tcase_create("privileges");

    if (!be_privileged()) {
        (void)fprintf(stderr, "skipped: needs root or user namespaces\n");
        return 77;
    }
    tcase_add_test(t, nothing_is_left);
    tcase_add_test(t, what_is_to_be_kept_is_left);
    tcase_add_test(t, what_is_missing_is_not_given);
    tcase_add_test(t, without_cap_setpcap_the_bounding_set_stays);
    tcase_add_test(t, marks_keep_one_capability);
    tcase_add_test(t, marks_keep_the_narrower_capability_where_there_is_no_other);
    tcase_add_test(t, policies_need_what_their_legs_need);
    tcase_add_test(t, low_ports_need_to_be_asked_for);
    tcase_add_test(t, low_ports_are_told_by_the_kernel);
    tcase_add_test(t, later_threads_have_no_more);
    tcase_add_test(t, exec_brings_nothing_back);
    tcase_add_test(t, only_exact_listeners_need_cap_net_admin);
    tcase_add_test(t, preserved_addresses_need_cap_net_admin);
    tcase_add_test(t, only_low_ports_need_cap_net_bind_service);
    suite_add_tcase(s, t);
    return runner_main(s);
}
