/* SPDX-License-Identifier: MIT */
#include "fault.h"
#include "resolver_hosts.h"
#include "resolver_name.h"
#include "runner.h"
#include "tempfile.h"
#include <fcntl.h>
#include <string.h>

static const char text[] = "# a comment\n"
                           "127.0.0.1 localhost\n"
                           "\n"
                           "192.0.2.1\tAlpha.Example.net  alpha # the first\r\n"
                           "192.0.2.2 alpha\n"
                           "2001:db8::1   beta.example.net. beta\n"
                           "not-an-address gamma\n"
                           "192.0.2.9\n"
                           "   192.0.2.3 delta";

static struct tempfile file;
static struct resolver_hosts *hosts;

static void setup(void)
{
    file = tempfile_text(text);
    hosts = resolver_hosts_new(file.path);
    ck_assert_ptr_nonnull(hosts);
}

static void teardown(void)
{
    resolver_hosts_free(hosts);
    tempfile_done(&file);
}

static void rewrite(const char *content)
{
    int fd = open(file.path, O_WRONLY | O_TRUNC);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, content, strlen(content)), (ssize_t)strlen(content));
    (void)close(fd);
}

/* The last octets of all addresses, or why there is none: "1,2", "none", "unknown". */
static const char *find(const char *name, enum addr_family family, uint64_t now_ms)
{
    static char out[128];
    struct resolver_answer a;

    out[0] = 0;
    if (!resolver_hosts_find(hosts, name, family, now_ms, &a))
        return "unknown";
    ck_assert_int_eq(a.count > 0, a.why == OUTCOME_OK);
    if (a.count == 0) {
        ck_assert_int_eq(a.why, OUTCOME_NAME_NOT_FOUND);
        return "none";
    }
    for (size_t i = 0; i < a.count; i++) {
        size_t len = strlen(out);
        ck_assert_int_eq(a.addr[i].family, family);
        ck_assert_uint_eq(a.addr[i].port, 0);
        (void)snprintf(out + len, sizeof out - len, i == 0 ? "%u" : ",%u",
                       a.addr[i].ip[family == ADDR_IPV4 ? 3 : 15]);
    }
    return out;
}

START_TEST(names_have_their_addresses_in_the_files_order)
{
    ck_assert_str_eq(find("alpha", ADDR_IPV4, 0), "1,2");
    ck_assert_str_eq(find("alpha.example.net", ADDR_IPV4, 0), "1"); /* upper case in the file */
    ck_assert_str_eq(find("beta.example.net", ADDR_IPV6, 0),
                     "1");                              /* a trailing dot in the file */
    ck_assert_str_eq(find("delta", ADDR_IPV4, 0), "3"); /* no newline at the end */
    ck_assert_str_eq(find("localhost", ADDR_IPV4, 0), "1");
}
END_TEST

START_TEST(a_name_of_the_other_family_has_no_address)
{
    ck_assert_str_eq(find("alpha", ADDR_IPV6, 0), "none");
    ck_assert_str_eq(find("beta", ADDR_IPV4, 0), "none");
}
END_TEST

START_TEST(comments_and_nonsense_are_no_names)
{
    static const char *const name[] = {"a",     "comment", "the",       "first", "#",
                                       "gamma", "",        "192.0.2.9", "alph",  "alphaa"};

    for (size_t i = 0; i < ARRAY_LEN(name); i++)
        ck_assert_str_eq(find(name[i], ADDR_IPV4, 0), "unknown");
}
END_TEST

START_TEST(an_address_has_its_first_name)
{
    struct addr a = addr_ipv4((const uint8_t[4]){192, 0, 2, 1}, 80);

    ck_assert_str_eq(resolver_hosts_name(hosts, &a, 0), "alpha.example.net");
    a.ip[3] = 9;
    ck_assert_ptr_null(resolver_hosts_name(hosts, &a, 0));
}
END_TEST

START_TEST(a_changed_file_is_read_again_after_a_second)
{
    ck_assert_str_eq(find("delta", ADDR_IPV4, 10), "3");
    rewrite("192.0.2.44 delta\n");
    ck_assert_str_eq(find("delta", ADDR_IPV4, 1009), "3");
    ck_assert_str_eq(find("delta", ADDR_IPV4, 1010), "44");
    ck_assert_str_eq(find("alpha", ADDR_IPV4, 1010), "unknown");
}
END_TEST

START_TEST(a_missing_file_is_an_empty_one)
{
    ck_assert_str_eq(find("delta", ADDR_IPV4, 0), "3");
    ck_assert_int_eq(unlink(file.path), 0);
    ck_assert_str_eq(find("delta", ADDR_IPV4, 1000), "unknown");
    int fd = open(file.path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    ck_assert_int_ge(fd, 0);
    (void)close(fd);
    rewrite("192.0.2.5 delta\n"); /* and it may come back */
    ck_assert_str_eq(find("delta", ADDR_IPV4, 2000), "5");
}
END_TEST

START_TEST(what_is_no_file_is_an_empty_one)
{
    resolver_hosts_free(hosts);
    hosts = resolver_hosts_new("/dev/zero");
    ck_assert_str_eq(find("delta", ADDR_IPV4, 0), "unknown");
}
END_TEST

START_TEST(a_name_has_no_more_addresses_than_fit)
{
    char many[RESOLVER_ADDRS_MAX * 40] = "";

    for (unsigned i = 0; i < RESOLVER_ADDRS_MAX + 4; i++) {
        size_t len = strlen(many);
        (void)snprintf(many + len, sizeof many - len, "192.0.2.%u x\n", i);
    }
    rewrite(many);
    struct resolver_answer a;
    ck_assert(resolver_hosts_find(hosts, "x", ADDR_IPV4, 0, &a));
    ck_assert_uint_eq(a.count, RESOLVER_ADDRS_MAX);
}
END_TEST

START_TEST(a_name_too_long_for_the_dns_is_none)
{
    char line[400] = "192.0.2.1 ";
    size_t at = strlen(line);

    memset(line + at, 'a', RESOLVER_NAME_MAX + 1);
    rewrite(line);
    ck_assert_str_eq(find(line + at, ADDR_IPV4, 0), "unknown");
    line[at + RESOLVER_NAME_MAX] = 0;
    rewrite(line);
    ck_assert_str_eq(find(line + at, ADDR_IPV4, 1000), "1");
}
END_TEST

START_TEST(a_file_beyond_the_bound_is_cut_at_a_line)
{
    static char big[RESOLVER_HOSTS_BYTES_MAX + 100];
    static const char first[] = "192.0.2.1 first\n", last[] = "192.0.2.2 last.example.net\n";

    memset(big, '\n', sizeof big - 1);
    memcpy(big, first, sizeof first - 1);
    memcpy(big + RESOLVER_HOSTS_BYTES_MAX - 14, last,
           sizeof last - 1); /* cut inside the name: "last" */
    rewrite(big);
    ck_assert_str_eq(find("first", ADDR_IPV4, 0), "1");
    ck_assert_str_eq(find("last", ADDR_IPV4, 0), "unknown");
    ck_assert_str_eq(find("last.example.net", ADDR_IPV4, 0), "unknown");
}
END_TEST

START_TEST(a_nul_in_the_file_hides_only_its_line)
{
    static const char with_nul[] = "192.0.2.1 a\0b c\n192.0.2.2 d\n";
    int fd = open(file.path, O_WRONLY | O_TRUNC);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, with_nul, sizeof with_nul - 1), (ssize_t)sizeof with_nul - 1);
    (void)close(fd);
    ck_assert_str_eq(find("a", ADDR_IPV4, 0), "1");
    ck_assert_str_eq(find("c", ADDR_IPV4, 0), "unknown");
    ck_assert_str_eq(find("d", ADDR_IPV4, 0), "2");
}
END_TEST

START_TEST(without_memory_it_is_empty_until_the_file_changes)
{
    unsigned n = 1;

    for (;; n++) {
        fault_after(n);
        struct resolver_hosts *h = resolver_hosts_new(file.path);
        struct resolver_answer a;
        bool found = h != NULL && resolver_hosts_find(h, "delta", ADDR_IPV4, 0, &a);
        bool hit = fault_hit();
        resolver_hosts_free(h);
        if (!hit) {
            ck_assert(found);
            break;
        }
    }
    ck_assert_uint_ge(n, 5);
    resolver_hosts_free(NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("resolver_hosts");
    TCase *t = tcase_create("hosts");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, names_have_their_addresses_in_the_files_order);
    tcase_add_test(t, a_name_of_the_other_family_has_no_address);
    tcase_add_test(t, comments_and_nonsense_are_no_names);
    tcase_add_test(t, an_address_has_its_first_name);
    tcase_add_test(t, a_changed_file_is_read_again_after_a_second);
    tcase_add_test(t, a_missing_file_is_an_empty_one);
    tcase_add_test(t, what_is_no_file_is_an_empty_one);
    tcase_add_test(t, a_name_has_no_more_addresses_than_fit);
    tcase_add_test(t, a_name_too_long_for_the_dns_is_none);
    tcase_add_test(t, a_file_beyond_the_bound_is_cut_at_a_line);
    tcase_add_test(t, a_nul_in_the_file_hides_only_its_line);
    tcase_add_test(t, without_memory_it_is_empty_until_the_file_changes);
    suite_add_tcase(s, t);
    return runner_main(s);
}
