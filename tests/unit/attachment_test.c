/* SPDX-License-Identifier: MIT */
#include "attachment.h"
#include "runner.h"
#include <check.h>
#include <linux/rtnetlink.h>
#include <string.h>

struct message {
    struct nlmsghdr head;
    struct rtmsg route;
};

static struct message route(uint16_t type, uint8_t bits, uint8_t kind)
{
    return (struct message){.head = {.nlmsg_len = sizeof(struct message), .nlmsg_type = type},
                            .route = {.rtm_dst_len = bits, .rtm_type = kind}};
}

START_TEST(default_routes_and_addresses_concern)
{
    struct message m = route(RTM_NEWROUTE, 0, RTN_UNICAST);
    bool is_route = false;

    ck_assert(attachment_concerns(&m, sizeof m, &is_route) && is_route);
    m = route(RTM_DELROUTE, 0, RTN_UNICAST);
    is_route = false;
    ck_assert(attachment_concerns(&m, sizeof m, &is_route) && is_route);
    m = route(RTM_NEWADDR, 64, 0);
    is_route = false;
    ck_assert(attachment_concerns(&m, sizeof m, &is_route) && !is_route);
}
END_TEST

START_TEST(other_routes_and_messages_do_not)
{
    struct message m[4] = {route(RTM_NEWROUTE, 24, RTN_UNICAST),
                           route(RTM_NEWROUTE, 0, RTN_LOCAL), route(RTM_NEWNEIGH, 0, 0),
                           route(NLMSG_NOOP, 0, 0)};
    bool is_route = false;

    ck_assert(!attachment_concerns(m, sizeof m, &is_route) && !is_route);
}
END_TEST

START_TEST(several_in_one_datagram_are_all_looked_at)
{
    struct message m[3] = {route(RTM_NEWROUTE, 24, RTN_UNICAST), route(RTM_NEWNEIGH, 0, 0),
                           route(RTM_NEWROUTE, 0, RTN_UNICAST)};
    bool is_route = false;

    ck_assert(attachment_concerns(m, sizeof m, &is_route) && is_route);
}
END_TEST

START_TEST(what_is_cut_short_or_lies_about_its_length_is_nothing)
{
    struct message m = route(RTM_NEWROUTE, 0, RTN_UNICAST);
    bool is_route = false;

    for (size_t n = 0; n < sizeof m; n++)
        ck_assert(!attachment_concerns(&m, n, &is_route));
    for (uint32_t n = 0; n < sizeof m.head; n++) {
        m.head.nlmsg_len = n;
        ck_assert(!attachment_concerns(&m, sizeof m, &is_route));
    }
    m.head.nlmsg_len = sizeof m.head + 1; /* no room for what it should have */
    ck_assert(!attachment_concerns(&m, sizeof m, &is_route));
    m.head.nlmsg_len = UINT32_MAX;
    ck_assert(!attachment_concerns(&m, sizeof m, &is_route));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("attachment");
    TCase *t = tcase_create("attachment");

    tcase_add_test(t, default_routes_and_addresses_concern);
    tcase_add_test(t, other_routes_and_messages_do_not);
    tcase_add_test(t, several_in_one_datagram_are_all_looked_at);
    tcase_add_test(t, what_is_cut_short_or_lies_about_its_length_is_nothing);
    suite_add_tcase(s, t);
    return runner_main(s);
}
