/* SPDX-License-Identifier: MIT */
/* The program runs itself again with the library preloaded, in a network namespace without any
 * route: what libmpconvert_dns.so answers cannot have come from a name server. Its /etc/hosts
 * is ours, too: what libc answers by itself is HOSTS_IP. */
#include "runner.h"
#include "shared.h"
#include "tempfile.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SKIPPED = 77 };

#define HOSTS_NAME "hosts.example.net"
#define HOSTS_IP "192.0.2.7"

static struct shared *run;

static struct addr addr_of(const struct sockaddr *sa, socklen_t len)
{
    struct addr a;

    ck_assert(addr_from_sockaddr(sa, len, &a));
    return a;
}

static struct addrinfo *ask(const char *name, const char *service, int family, int flags)
{
    struct addrinfo hints = {
        .ai_family = family, .ai_flags = flags, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;

    ck_assert_int_eq(getaddrinfo(name, service, &hints, &list), 0);
    return list;
}

static void ck_name(const struct addrinfo *ai, uint8_t family, const char *name)
{
    struct addr a = addr_of(ai->ai_addr, ai->ai_addrlen);
    char got[256];

    ck_assert_uint_eq(a.family, family);
    ck_assert(name_is_addr(&a));
    ck_assert(name_from_addr(run, &a, got));
    ck_assert_str_eq(got, name);
}

START_TEST(a_name_gets_an_address_of_the_family_asked_for)
{
    struct addrinfo *four = ask("a.example.net", "80", AF_INET, 0);
    struct addrinfo *six = ask("a.example.net", "80", AF_INET6, 0);

    ck_name(four, ADDR_IPV4, "a.example.net");
    ck_name(six, ADDR_IPV6, "a.example.net");
    ck_assert_ptr_null(four->ai_next);
    ck_assert_ptr_null(six->ai_next);
    ck_assert_uint_eq(addr_of(four->ai_addr, four->ai_addrlen).port, 80);
    ck_assert_uint_eq(addr_of(six->ai_addr, six->ai_addrlen).port, 80);
    ck_assert_int_eq(four->ai_socktype, SOCK_STREAM);
    freeaddrinfo(four);
    freeaddrinfo(six);
}
END_TEST

START_TEST(both_families_come_when_none_is_named)
{
    struct addrinfo *list = ask("b.example.net", "https", AF_UNSPEC, 0);

    ck_name(list, ADDR_IPV4, "b.example.net");
    ck_assert_ptr_nonnull(list->ai_next);
    ck_name(list->ai_next, ADDR_IPV6, "b.example.net");
    ck_assert_ptr_null(list->ai_next->ai_next);
    ck_assert_uint_eq(addr_of(list->ai_next->ai_addr, list->ai_next->ai_addrlen).port, 443);
    freeaddrinfo(list);
}
END_TEST

START_TEST(every_socket_type_comes_when_none_is_named)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC}, *list;
    unsigned n = 0;

    ck_assert_int_eq(getaddrinfo("b.example.net", "80", &hints, &list), 0);
    for (struct addrinfo *at = list; at != NULL; at = at->ai_next, n++)
        ck_name(at, at->ai_family == AF_INET ? ADDR_IPV4 : ADDR_IPV6, "b.example.net");
    ck_assert_uint_ge(n, 4);
    ck_assert_uint_eq(n % 2, 0);
    freeaddrinfo(list);
}
END_TEST

START_TEST(hosts_without_ipv6_get_ipv4_under_addrconfig)
{
    struct addrinfo *list = ask("c.example.net", "80", AF_UNSPEC, AI_ADDRCONFIG);

    ck_name(list, ADDR_IPV4, "c.example.net"); /* though IPv4 is not configured either */
    ck_assert_ptr_null(list->ai_next);
    freeaddrinfo(list);
}
END_TEST

START_TEST(no_hints_are_as_good_as_the_usual_ones)
{
    struct addrinfo *list;

    ck_assert_int_eq(getaddrinfo("c.example.net", NULL, NULL, &list), 0);
    ck_name(list, ADDR_IPV4, "c.example.net");
    freeaddrinfo(list);
}
END_TEST

START_TEST(the_canonical_name_is_the_name_when_asked_for)
{
    struct addrinfo *list = ask("D.Example.net", "80", AF_UNSPEC, AI_CANONNAME);

    ck_assert_str_eq(list->ai_canonname, "D.Example.net");
    ck_assert_ptr_null(list->ai_next->ai_canonname);
    freeaddrinfo(list);
    list = ask("D.Example.net", "80", AF_INET6, AI_CANONNAME);
    ck_assert_str_eq(list->ai_canonname, "D.Example.net");
    freeaddrinfo(list);
    list = ask("D.Example.net", "80", AF_INET, 0);
    ck_assert_ptr_null(list->ai_canonname);
    freeaddrinfo(list);
}
END_TEST

START_TEST(the_same_name_has_the_same_address)
{
    static const char *const spelled[] = {"e.example.net", "E.EXAMPLE.NET", "e.example.net."};
    struct addrinfo *first = ask("e.example.net", NULL, AF_INET, 0);

    for (size_t i = 0; i < 3; i++) {
        struct addrinfo *again = ask(spelled[i], NULL, AF_INET, 0);
        ck_assert_mem_eq(first->ai_addr, again->ai_addr, first->ai_addrlen);
        freeaddrinfo(again);
    }
    struct addrinfo *another = ask("f.example.net", NULL, AF_INET, 0);
    ck_assert_mem_ne(first->ai_addr, another->ai_addr, first->ai_addrlen);
    freeaddrinfo(another);
    freeaddrinfo(first);
}
END_TEST

static void ck_literal(const char *name, int family, const char *ip)
{
    struct addrinfo *list = ask(name, "80", family, 0);
    char text[ADDR_TEXT_MAX];
    struct addr a = addr_of(list->ai_addr, list->ai_addrlen);

    ck_assert_str_eq(addr_print_ip(&a, text, sizeof text), ip);
    freeaddrinfo(list);
}

START_TEST(literals_and_local_names_stay_what_they_are)
{
    struct utsname u;
    struct addrinfo *list;

    ck_literal("192.0.2.1", AF_UNSPEC, "192.0.2.1");
    ck_literal("2001:db8::1", AF_UNSPEC, "2001:db8::1");
    ck_literal("127.1", AF_INET, "127.0.0.1");
    ck_literal("localhost", AF_INET, "127.0.0.1");
    ck_literal("LocalHost", AF_INET, "127.0.0.1");
    ck_literal("198.18.0.5", AF_INET, "198.18.0.5"); /* of the pool, but written by hand */
    ck_assert_int_eq(uname(&u), 0);
    if (getaddrinfo(u.nodename, NULL, NULL, &list) == 0) {
        struct addr a = addr_of(list->ai_addr, list->ai_addrlen);
        ck_assert(!name_is_addr(&a));
        freeaddrinfo(list);
    }
}
END_TEST

START_TEST(local_suffixes_are_asked_here)
{
    static const char *const local[] = {"printer.lan.test", "LAN.test", "x.y.corp.test."};
    static const char *const remote[] = {"printerlan.test", "lan.test.example.net", "lan"};
    struct addrinfo *list;

    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_ne(getaddrinfo(local[i], "80", NULL, &list), 0); /* nobody to ask */
        ck_assert_ptr_null(gethostbyname(local[i]));
    }
    for (size_t i = 0; i < 3; i++) {
        list = ask(remote[i], "80", AF_INET, 0);
        ck_name(list, ADDR_IPV4, remote[i]);
        freeaddrinfo(list);
    }
}
END_TEST

START_TEST(what_is_not_a_name_is_not_looked_up)
{
    static const char *const bad[] = {"two words.test", "a..b", "-\x01-", "\xc3\xa4.test", "."};
    struct addrinfo *list, hints = {.ai_family = AF_UNSPEC};

    for (size_t i = 0; i < 5; i++) {
        ck_assert_int_eq(getaddrinfo(bad[i], "80", &hints, &list), EAI_NONAME);
        ck_assert_ptr_null(gethostbyname(bad[i]));
        ck_assert_int_eq(h_errno, HOST_NOT_FOUND);
    }
}
END_TEST

START_TEST(errors_of_the_question_are_those_of_libc)
{
    struct addrinfo *list, hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};

    ck_assert_int_eq(getaddrinfo("g.example.net", "no-such-service", &hints, &list),
                     EAI_SERVICE);
    ck_assert_int_eq(getaddrinfo(NULL, NULL, &hints, &list), EAI_NONAME);
    hints.ai_flags = AI_NUMERICHOST;
    ck_assert_int_eq(getaddrinfo("g.example.net", "80", &hints, &list), EAI_NONAME);
    hints.ai_flags = 0x40000000;
    ck_assert_int_eq(getaddrinfo("g.example.net", "80", &hints, &list), EAI_BADFLAGS);
    hints = (struct addrinfo){.ai_family = AF_UNIX};
    ck_assert_int_eq(getaddrinfo("g.example.net", "80", &hints, &list), EAI_FAMILY);
}
END_TEST

START_TEST(errno_is_left_alone_on_success)
{
    errno = ENOTTY;
    freeaddrinfo(ask("h.example.net", "80", AF_INET, 0));
    ck_assert_int_eq(errno, ENOTTY);
}
END_TEST

static const int families[] = {AF_INET, AF_INET6};

START_TEST(getnameinfo_gives_the_name_back)
{
    struct addrinfo *list = ask("i.example.net", "80", families[_i], 0);
    char host[256], service[32], literal[ADDR_TEXT_MAX];
    const struct sockaddr *sa = list->ai_addr;
    socklen_t len = list->ai_addrlen;

    ck_assert_int_eq(getnameinfo(sa, len, host, 14, service, 32, NI_NAMEREQD), 0);
    ck_assert_str_eq(host, "i.example.net");
    ck_assert_str_eq(service, "http");
    ck_assert_int_eq(getnameinfo(sa, len, host, 13, NULL, 0, 0), EAI_OVERFLOW);
    ck_assert_int_eq(getnameinfo(sa, len, host, 256, service, 32, NI_NUMERICSERV), 0);
    ck_assert_str_eq(service, "80");
    ck_assert_int_eq(getnameinfo(sa, len, host, 256, NULL, 0, NI_NUMERICHOST), 0);
    struct addr a = addr_of(sa, len);
    ck_assert_str_eq(host, addr_print_ip(&a, literal, sizeof literal));
    freeaddrinfo(list);
}
END_TEST

START_TEST(an_address_of_the_pool_without_a_name_has_none)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(80)};
    char host[256];

    ck_assert_int_eq(inet_pton(AF_INET, "198.19.255.255", &in.sin_addr), 1);
    ck_assert_int_eq(
        getnameinfo((struct sockaddr *)&in, sizeof in, host, 256, NULL, 0, NI_NAMEREQD),
        EAI_NONAME);
    ck_assert_int_eq(getnameinfo((struct sockaddr *)&in, sizeof in, host, 256, NULL, 0, 0), 0);
    ck_assert_str_eq(host, "198.19.255.255");
    ck_assert_ptr_null(gethostbyaddr(&in.sin_addr, 4, AF_INET));
    ck_assert_int_eq(h_errno, HOST_NOT_FOUND);
}
END_TEST

static void ck_host(const struct hostent *h, int family, const char *name)
{
    struct addr a;
    char got[256];

    ck_assert_ptr_nonnull(h);
    ck_assert_str_eq(h->h_name, name);
    ck_assert_ptr_null(h->h_aliases[0]);
    ck_assert_int_eq(h->h_addrtype, family);
    ck_assert_int_eq(h->h_length, family == AF_INET ? 4 : 16);
    ck_assert_ptr_nonnull(h->h_addr_list[0]);
    ck_assert_ptr_null(h->h_addr_list[1]);
    const uint8_t *ip = (const uint8_t *)h->h_addr_list[0];
    a = family == AF_INET ? addr_ipv4(ip, 0) : addr_ipv6(ip, 0);
    ck_assert(name_from_addr(run, &a, got));
    ck_assert_str_eq(got, name);
}

START_TEST(the_older_functions_do_the_same)
{
    uint8_t ip[16];

    ck_host(gethostbyname("j.example.net"), AF_INET, "j.example.net");
    struct hostent *h = gethostbyname2("k.example.net", families[_i]);
    ck_host(h, families[_i], "k.example.net");
    memcpy(ip, h->h_addr_list[0], (size_t)h->h_length);
    h = gethostbyaddr(ip, (socklen_t)h->h_length, h->h_addrtype);
    ck_host(h, families[_i], "k.example.net");
    h = gethostbyname("127.0.0.1");
    ck_assert_str_eq(h->h_name, "127.0.0.1");
    ck_assert_ptr_nonnull(gethostbyname("localhost"));
}
END_TEST

/* Exact-size heap buffers of every length, well aligned and not. */
static void ck_buffers(int family, size_t skip)
{
    bool fits = false;

    for (size_t len = 0; len < 128; len++) {
        char *buffer = malloc(len + skip);
        struct hostent h, *result = &h;
        int error = 0;
        int rc =
            gethostbyname2_r("l.example.net", family, &h, buffer + skip, len, &result, &error);

        if (rc == 0) {
            fits = true;
            ck_assert_ptr_eq(result, &h);
            ck_host(result, family, "l.example.net");
            struct hostent back;
            char more[256];
            ck_assert_int_eq(gethostbyaddr_r(h.h_addr_list[0], (socklen_t)h.h_length, family,
                                             &back, more, sizeof more, &result, &error),
                             0);
            ck_host(result, family, "l.example.net");
        } else {
            ck_assert(!fits);
            ck_assert_int_eq(rc, ERANGE);
            ck_assert_ptr_null(result);
            ck_assert_int_eq(error, NETDB_INTERNAL);
        }
        free(buffer);
    }
    ck_assert(fits);
}

START_TEST(too_small_a_buffer_is_erange)
{
    for (size_t skip = 1; skip <= 8; skip++)
        ck_buffers(families[_i], skip);
}
END_TEST

START_TEST(not_found_is_an_answer_of_the_reentrant_ones)
{
    struct hostent h, *result = &h;
    char buffer[256];
    int error = 0;

    ck_assert_int_eq(gethostbyname_r("two words", &h, buffer, sizeof buffer, &result, &error),
                     0);
    ck_assert_ptr_null(result);
    ck_assert_int_eq(error, HOST_NOT_FOUND);
    ck_assert_int_eq(
        gethostbyname_r("m.example.net", &h, buffer, sizeof buffer, &result, &error), 0);
    ck_host(result, AF_INET, "m.example.net");
}
END_TEST

static void *many_lookups(void *arg)
{
    for (int i = 0; i < 300; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "t%d.example.net", i);
        struct addrinfo *list = ask(name, "80", AF_UNSPEC, 0);
        ck_name(list, ADDR_IPV4, name);
        ck_name(list->ai_next, ADDR_IPV6, name);
        freeaddrinfo(list);
    }
    return arg;
}

START_TEST(threads_may_ask_at_once)
{
    pthread_t thread[4];

    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, many_lookups, NULL), 0);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
}
END_TEST

/* This program again, as "lookup NAME", with one variable changed: the first address as text,
 * or the errors of getaddrinfo() and gethostbyname(). */
static void lookup_elsewhere(const char *variable, const char *value, const char *name,
                             char out[128])
{
    int ends[2];

    ck_assert_int_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        if (variable != NULL &&
            (value != NULL ? setenv(variable, value, 1) : unsetenv(variable)))
            _exit(1);
        if (dup2(ends[1], 1) < 0)
            _exit(1);
        (void)execl("/proc/self/exe", "dns_test", "lookup", name, (char *)NULL);
        _exit(1);
    }
    ck_assert_int_eq(close(ends[1]), 0);
    ssize_t n = read(ends[0], out, 127);
    ck_assert_int_gt(n, 0);
    out[n] = '\0';
    ck_assert_int_eq(close(ends[0]), 0);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
}

static int lookup(const char *name)
{
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *list;
    char text[ADDR_TEXT_MAX];
    struct addr a;
    int rc = getaddrinfo(name, "80", &hints, &list);

    if (rc != 0) {
        bool found = gethostbyname(name) != NULL;
        return printf("error %d %d", rc, found ? 0 : h_errno) > 0 ? 0 : 1;
    }
    if (addr_from_sockaddr(list->ai_addr, list->ai_addrlen, &a))
        (void)printf("%s", addr_print_ip(&a, text, sizeof text));
    freeaddrinfo(list);
    return 0;
}

START_TEST(other_programs_of_the_run_get_the_same_address)
{
    struct addrinfo *list = ask("n.example.net", NULL, AF_INET, 0);
    char here[ADDR_TEXT_MAX], there[128];
    struct addr a = addr_of(list->ai_addr, list->ai_addrlen);

    lookup_elsewhere(NULL, NULL, "n.example.net", there);
    ck_assert_str_eq(there, addr_print_ip(&a, here, sizeof here));
    freeaddrinfo(list);
}
END_TEST

static const struct {
    const char *variable, *value;
} passing[] = {
    {"MPCONVERT_REMOTE_DNS", "0"},     {"MPCONVERT_REMOTE_DNS", NULL},
    {"MPCONVERT_DIALECT", "nonsense"}, {"MPCONVERT_PROXY", NULL},
    {"MPCONVERT_RUN", NULL},
};

START_TEST(everything_passes_when_it_is_off)
{
    char there[128];

    lookup_elsewhere(passing[_i].variable, passing[_i].value, HOSTS_NAME, there);
    ck_assert_msg(strcmp(there, HOSTS_IP) == 0, "%s=%s: %s", passing[_i].variable,
                  passing[_i].value, there);
    lookup_elsewhere(passing[_i].variable, passing[_i].value, "127.0.0.1", there);
    ck_assert_str_eq(there, "127.0.0.1");
}
END_TEST

START_TEST(names_are_not_looked_up_once_the_run_is_gone)
{
    struct tempfile other = tempfile_text("not the file of a run");
    const char *const gone[] = {"/nonexistent", "/", other.path};
    char want[32], there[128];

    ck_assert_int_gt(snprintf(want, sizeof want, "error %d %d", EAI_AGAIN, TRY_AGAIN), 0);
    for (unsigned i = 0; i < sizeof gone / sizeof *gone; i++) {
        lookup_elsewhere("MPCONVERT_RUN", gone[i], HOSTS_NAME, there);
        ck_assert_msg(strcmp(there, want) == 0, "%s: %s", gone[i], there);
        lookup_elsewhere("MPCONVERT_RUN", gone[i], "127.0.0.1", there);
        ck_assert_str_eq(there, "127.0.0.1");
        lookup_elsewhere("MPCONVERT_RUN", gone[i], "localhost", there);
        ck_assert_str_eq(there, "127.0.0.1");
    }
    tempfile_done(&other);
}
END_TEST

START_TEST(a_full_pool_says_try_again)
{
    char path[64], name[256], want[32], there[128];
    struct addr a;

    ck_assert_int_gt(snprintf(path, sizeof path, "/tmp/mpconvert-full-%d", getpid()), 0);
    ck_assert_int_eq(shared_create(path), 0);
    struct shared *full = shared_map(path);
    ck_assert_ptr_nonnull(full);
    for (unsigned n = 0; n < 200000; n++) {
        int len = snprintf(name, sizeof name, "%063u.%063u.%063u", n, n, n);
        if (!name_to_addr(full, name, (size_t)len, ADDR_IPV4, &a))
            break;
    }
    for (unsigned n = 0; n < 200000; n++) {
        int len = snprintf(name, sizeof name, "%u", n);
        name[len++] = 'x';
        if (!name_to_addr(full, name, (size_t)len, ADDR_IPV4, &a))
            break;
    }
    ck_assert_int_gt(snprintf(want, sizeof want, "error %d %d", EAI_AGAIN, TRY_AGAIN), 0);
    lookup_elsewhere("MPCONVERT_RUN", path, "p.example.net", there);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_str_eq(there, want);
}
END_TEST

static int suite(void)
{
    Suite *s = suite_create("dns");
    TCase *tc = tcase_create("dns");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_name_gets_an_address_of_the_family_asked_for);
    tcase_add_test(tc, both_families_come_when_none_is_named);
    tcase_add_test(tc, every_socket_type_comes_when_none_is_named);
    tcase_add_test(tc, hosts_without_ipv6_get_ipv4_under_addrconfig);
    tcase_add_test(tc, no_hints_are_as_good_as_the_usual_ones);
    tcase_add_test(tc, the_canonical_name_is_the_name_when_asked_for);
    tcase_add_test(tc, the_same_name_has_the_same_address);
    tcase_add_test(tc, literals_and_local_names_stay_what_they_are);
    tcase_add_test(tc, local_suffixes_are_asked_here);
    tcase_add_test(tc, what_is_not_a_name_is_not_looked_up);
    tcase_add_test(tc, errors_of_the_question_are_those_of_libc);
    tcase_add_test(tc, errno_is_left_alone_on_success);
    tcase_add_loop_test(tc, getnameinfo_gives_the_name_back, 0, 2);
    tcase_add_test(tc, an_address_of_the_pool_without_a_name_has_none);
    tcase_add_loop_test(tc, the_older_functions_do_the_same, 0, 2);
    tcase_add_loop_test(tc, too_small_a_buffer_is_erange, 0, 2);
    tcase_add_test(tc, not_found_is_an_answer_of_the_reentrant_ones);
    tcase_add_test(tc, threads_may_ask_at_once);
    tcase_add_test(tc, other_programs_of_the_run_get_the_same_address);
    tcase_add_loop_test(tc, everything_passes_when_it_is_off, 0,
                        sizeof passing / sizeof *passing);
    tcase_add_test(tc, names_are_not_looked_up_once_the_run_is_gone);
    tcase_add_test(tc, a_full_pool_says_try_again);
    suite_add_tcase(s, tc);
    return runner_main(s);
}

static int skip(const char *why)
{
    (void)fprintf(stderr, "skipped: %s\n", why);
    return SKIPPED;
}

/* The library lies beside us in the build tree. */
static bool library(char out[PATH_MAX])
{
    static const char beside[] = "/../client/libmpconvert_dns.so";
    const char *given = getenv("MPCONVERT_DNS_LIBRARY");
    char self[PATH_MAX - sizeof beside];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

    if (given != NULL)
        return snprintf(out, PATH_MAX, "%s", given) > 0 && access(out, R_OK) == 0;
    if (n <= 0)
        return false;
    self[n] = '\0';
    *strrchr(self, '/') = '\0';
    return snprintf(out, PATH_MAX, "%s%s", self, beside) > 0 && access(out, R_OK) == 0;
}

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return false;
    bool ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    return close(fd) == 0 && ok;
}

static bool leave_the_network(void)
{
    char map[64];
    uid_t uid = geteuid();

    if (unshare(CLONE_NEWNET | CLONE_NEWNS) == 0)
        return true;
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS) != 0)
        return false;
    (void)snprintf(map, sizeof map, "%u %u 1", uid, uid);
    return write_text("/proc/self/uid_map", map);
}

/* In a mount namespace of our own. The name stands beyond what dns_local.h reads, so that only
 * libc finds it there. */
static bool own_hosts(void)
{
    enum { BEYOND = 65536 };
    static char text[BEYOND + 128];
    char path[64];

    memset(text, '\n', BEYOND);
    (void)snprintf(text + BEYOND, sizeof text - BEYOND, "127.0.0.1 localhost\n%s %s\n",
                   HOSTS_IP, HOSTS_NAME);
    (void)snprintf(path, sizeof path, "/tmp/mpconvert-hosts-%d", getpid());
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return false;
    bool ok = close(fd) == 0 && write_text(path, text) &&
              mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
              mount(path, "/etc/hosts", NULL, MS_BIND, NULL) == 0;
    return unlink(path) == 0 && ok; /* the mount keeps it */
}

static bool prepare(const char *run_path, const char *preload)
{
    return setenv("LD_PRELOAD", preload, 1) == 0 && setenv("MPCONVERT_RUN", run_path, 1) == 0 &&
           setenv("MPCONVERT_REMOTE_DNS", "1", 1) == 0 &&
           setenv("MPCONVERT_DIALECT", "socks5", 1) == 0 &&
           setenv("MPCONVERT_PROXY", "192.0.2.1:1080", 1) == 0 &&
           setenv("MPCONVERT_LOCAL_NAMES", "lan.test,.corp.test", 1) == 0 &&
           setenv("RES_OPTIONS", "attempts:1 timeout:1", 1) == 0 &&
           /* the sanitizer's runtime wants to be the first library, and works as the second */
           setenv("ASAN_OPTIONS", "verify_asan_link_order=0", 0) == 0;
}

int main(int argc, char **argv)
{
    char preload[PATH_MAX], run_path[64];

    if (argc == 3 && strcmp(argv[1], "lookup") == 0)
        return lookup(argv[2]);
    if (argc == 2 && strcmp(argv[1], "preloaded") == 0) {
        run = shared_map(getenv("MPCONVERT_RUN"));
        return run != NULL ? suite() : EXIT_FAILURE;
    }
    if (!library(preload))
        return skip("libmpconvert_dns.so is not built");
    if (!leave_the_network() || !own_hosts())
        return skip("no network and mount namespaces without privilege here");
    (void)snprintf(run_path, sizeof run_path, "/tmp/mpconvert-dns-%d", getpid());
    if (shared_create(run_path) != 0 || !prepare(run_path, preload))
        return EXIT_FAILURE;
    int status = EXIT_FAILURE;
    pid_t child = fork();
    if (child == 0) {
        (void)execl("/proc/self/exe", argv[0], "preloaded", (char *)NULL);
        _exit(EXIT_FAILURE);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        status = EXIT_FAILURE;
    (void)unlink(run_path);
    return status == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
