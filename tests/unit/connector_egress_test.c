/* SPDX-License-Identifier: MIT */
/* Where connections leave from, over loopback: what the kernel is told, and what becomes of it
 * when it does not take it. */
#include "connector_fixture.h"
#include "egress.h"
#include "fault.h"
#include "fault_calls.h"
#include "runner.h"

static struct egress_policy policy; /* as egress_conf makes it; loopback is for us alone */
static struct prefix pool;

static void leave_from(const char *prefix)
{
    ck_assert(prefix_parse(prefix, &pool));
    policy = (struct egress_policy){.ipv4 = EGRESS_SHARE,
                                    .ipv6 = EGRESS_SHARE,
                                    .pool = {.item = &pool, .count = 1},
                                    .subscriber_prefix4 = 32,
                                    .subscriber_prefix6 = 56};
}

static bool start_from(const char *host, const char *told, bool mptcp)
{
    struct target target = target_of(host, t.port);
    struct connector_request req = request_of(&target);
    struct addr source = {.family = ADDR_NONE};

    if (told != NULL)
        source = literal(told);
    req.egress = &policy;
    req.told = &source; /* not needed any more when this returns */
    req.want_mptcp = mptcp;
    return start_request(&req);
}

static struct addr local_address(int fd)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    struct addr a;

    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
    ck_assert(addr_from_sockaddr((struct sockaddr *)&ss, len, &a));
    return a;
}

START_TEST(a_connection_leaves_from_the_pool)
{
    struct addr wanted = literal("127.0.0.9");

    leave_from("127.0.0.9");
    for (int mptcp = 0; mptcp < 2; mptcp++) {
        ck_assert(start_from("127.0.0.1", NULL, mptcp != 0));
        wait_done();
        ck_assert_int_eq(t.why.why, OUTCOME_OK);
        struct addr a = local_address(t.up.fd);
        ck_assert(addr_equal_ip(&a, &wanted));
        ck_assert_uint_ne(a.port, 0);
        drop_connection();
    }
}
END_TEST

START_TEST(a_pool_costs_two_calls)
{
    leave_from("127.0.0.8/29");
    fault_calls_reset();
    ck_assert(start_from("127.0.0.1", NULL, false));
    wait_done();
    ck_assert_uint_eq(fault_call_count(FAULT_setsockopt), 1);
    ck_assert_uint_eq(fault_call_count(FAULT_bind), 1);
    drop_connection();
}
END_TEST

START_TEST(another_family_is_the_kernels_to_choose)
{
    leave_from("2001:db8:9::/64");
    fault_calls_reset();
    ck_assert(start_from("127.0.0.1", NULL, false));
    expect_connected("127.0.0.1");
    ck_assert_uint_eq(fault_call_count(FAULT_bind), 0);
}
END_TEST

START_TEST(an_address_that_is_not_ours_is_told_and_nobody_is_connected_to)
{
    leave_from("198.51.100.9");
    fault_calls_reset();
    ck_assert(start_from("127.0.0.1", NULL, false));
    expect_failure(OUTCOME_EGRESS_FAILED);
    ck_assert_uint_eq(fault_call_count(FAULT_connect), 0);
    ck_assert_uint_eq(count(STAT_EGRESS_FAILED), 1);
    ck_assert_uint_eq(count(STAT_CONNECT_ATTEMPTS), 0);
    ck_assert(nothing_arrived(t.listener));
}
END_TEST

START_TEST(what_the_kernel_refuses_is_told)
{
    static const struct {
        enum fault_call call;
        int error;
        enum outcome why;
        enum stat_id counter;
    } row[] = {
        {FAULT_setsockopt, EPERM, OUTCOME_EGRESS_FAILED, STAT_EGRESS_FAILED},
        {FAULT_bind, EACCES, OUTCOME_EGRESS_FAILED, STAT_EGRESS_FAILED},
        {FAULT_bind, EADDRINUSE, OUTCOME_NO_RESOURCES, STAT_PORTS_EXHAUSTED},
        {FAULT_connect, EADDRNOTAVAIL, OUTCOME_NO_RESOURCES, STAT_PORTS_EXHAUSTED},
    };

    leave_from("127.0.0.9");
    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        uint64_t before = count(row[i].counter);

        fault_call_after(row[i].call, 1, row[i].error);
        ck_assert(start_from("127.0.0.1", NULL, false));
        expect_failure(row[i].why);
        ck_assert_uint_eq(count(row[i].counter), before + 1);
    }
}
END_TEST

START_TEST(a_client_without_an_address_is_refused_without_a_word)
{
    leave_from("127.0.0.9");
    policy.ipv6 = EGRESS_PRESERVE_ADDRESS;
    policy.assigned_prefix6 = 56;
    ck_assert(egress_build(&policy));
    fault_calls_reset();
    ck_assert(start_from("2001:db8:5::1", NULL, false)); /* the client's address is IPv4 */
    expect_failure(OUTCOME_EGRESS_DENIED);
    ck_assert_uint_eq(count(STAT_EGRESS_DENIED), 1);
    ck_assert(start_from("2001:db8:5::1", "2001:db8:66::1", false));
    expect_failure(OUTCOME_SOURCE_DENIED);
    ck_assert_uint_eq(count(STAT_EGRESS_SOURCE_DENIED), 1);
    ck_assert_uint_eq(fault_call_count(FAULT_connect), 0);
    ck_assert_uint_eq(count(STAT_CONNECT_ATTEMPTS), 0);
    egress_unbuild(&policy);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("connector_egress");
    TCase *c = tcase_create("connector_egress");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, a_connection_leaves_from_the_pool);
    tcase_add_test(c, a_pool_costs_two_calls);
    tcase_add_test(c, another_family_is_the_kernels_to_choose);
    tcase_add_test(c, an_address_that_is_not_ours_is_told_and_nobody_is_connected_to);
    tcase_add_test(c, what_the_kernel_refuses_is_told);
    tcase_add_test(c, a_client_without_an_address_is_refused_without_a_word);
    suite_add_tcase(s, c);
    return runner_main(s);
}
