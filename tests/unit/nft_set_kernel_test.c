/* SPDX-License-Identifier: MIT */
/* What a real kernel makes of the requests. Every case has a network namespace of its own. */
#include "nft_play.h"
#include "nft_set.h"
#include "runner.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <stdio.h>

static const struct nft_set_name tokens = {NFPROTO_INET, "t", "tokens"};
static struct nft_link link_;

static void set_up(void)
{
    ck_assert(nft_play_begin());
    ck_assert_int_eq(nft_link_open(&link_), 0);
}

static void tear_down(void)
{
    nft_link_close(&link_);
    nft_link_close(&link_); /* twice is fine */
}

START_TEST(without_table_or_set_there_is_enoent)
{
    const struct nft_set_name missing = {NFPROTO_INET, "t", "missing"};
    const uint32_t one = 1;

    ck_assert_int_eq(nft_set_add(&link_, &tokens, &one, 1), -ENOENT);
    ck_assert_int_eq(nft_set_flush(&link_, &tokens), -ENOENT);
    ck_assert_int_eq(nft_set_renew(&link_, &tokens, 1000), -ENOENT);
    ck_assert(nft_play_rules());
    ck_assert_int_eq(nft_set_add(&link_, &missing, &one, 1), -ENOENT);
    ck_assert_int_eq(nft_set_has(&link_, &missing, 1), -ENOENT);
}
END_TEST

START_TEST(elements_come_and_go)
{
    const uint32_t two[] = {htonl(0x11), htonl(0x22)}; /* as marks of the host's order */

    ck_assert(nft_play_rules());
    ck_assert_int_eq(nft_set_add(&link_, &tokens, two, 2), 0);
    ck_assert_int_eq(nft_set_add(&link_, &tokens, two, 1), 0); /* again */
    ck_assert(nft_play_lists("inet t tokens", "0x00000011"));
    ck_assert(nft_play_lists("inet t tokens", "0x00000022"));
    ck_assert_int_eq(nft_set_has(&link_, &tokens, two[1]), 0);
    ck_assert_int_eq(nft_set_remove(&link_, &tokens, two, 1), 0);
    ck_assert_int_eq(nft_set_has(&link_, &tokens, two[0]), -ENOENT);
    ck_assert_int_eq(nft_set_remove(&link_, &tokens, two, 2), -ENOENT);
    ck_assert_int_eq(nft_set_has(&link_, &tokens, two[1]), 0); /* all or nothing */
    ck_assert_int_eq(nft_set_flush(&link_, &tokens), 0);
    ck_assert_int_eq(nft_set_has(&link_, &tokens, two[1]), -ENOENT);
    ck_assert_int_eq(nft_set_flush(&link_, &tokens), 0); /* empty already */
}
END_TEST

START_TEST(a_full_set_takes_none)
{
    const struct nft_set_name small = {NFPROTO_INET, "t", "small"};
    const uint32_t three[] = {1, 2, 3};

    ck_assert(nft_play_rules());
    ck_assert_int_eq(nft_set_add(&link_, &small, three, 3), -ENFILE);
    ck_assert_int_eq(nft_set_has(&link_, &small, 1), -ENOENT);
    ck_assert_int_eq(nft_set_add(&link_, &small, three, 2), 0);
}
END_TEST

START_TEST(a_sign_of_life_ends_and_a_permanent_one_becomes_such)
{
    const struct nft_set_name life = {NFPROTO_INET, "t", "life"};

    ck_assert(nft_play_rules());
    ck_assert(nft_play("add element inet t life { tcp }"));
    ck_assert_int_eq(nft_set_renew(&link_, &life, 60000), 0);
    ck_assert(nft_play_lists("inet t life", "tcp timeout 1m expires"));
    ck_assert_int_eq(nft_set_renew(&link_, &life, 100), 0);
    for (int i = 0; i < 500 && nft_play_lists("inet t life", "tcp"); i++)
        (void)usleep(10000);
    ck_assert(!nft_play_lists("inet t life", "tcp"));
    ck_assert_int_eq(nft_set_renew(&link_, &life, 60000), 0);
    ck_assert(nft_play_lists("inet t life", "tcp timeout 1m expires"));
}
END_TEST

START_TEST(many_requests_one_after_the_other)
{
    uint32_t many[NFT_SET_CHANGE_MAX];

    ck_assert(nft_play_rules());
    for (uint32_t round = 0; round < 20; round++) {
        for (uint32_t i = 0; i < NFT_SET_CHANGE_MAX; i++)
            many[i] = round << 16 | i;
        ck_assert_int_eq(nft_set_add(&link_, &tokens, many, NFT_SET_CHANGE_MAX), 0);
    }
    ck_assert_int_eq(nft_set_has(&link_, &tokens, 3u << 16 | 5), 0);
    ck_assert_int_eq(nft_set_remove(&link_, &tokens, many, NFT_SET_CHANGE_MAX), 0);
    ck_assert_int_eq(nft_set_flush(&link_, &tokens), 0);
}
END_TEST

int main(void)
{
    if (!nft_play_is_possible()) {
        (void)fprintf(stderr, "skipped: needs nft and a network namespace (root, or user "
                              "namespaces)\n");
        return 77;
    }
    Suite *s = suite_create("nft_set_kernel");
    TCase *tc = tcase_create("kernel");

    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, without_table_or_set_there_is_enoent);
    tcase_add_test(tc, elements_come_and_go);
    tcase_add_test(tc, a_full_set_takes_none);
    tcase_add_test(tc, a_sign_of_life_ends_and_a_permanent_one_becomes_such);
    tcase_add_test(tc, many_requests_one_after_the_other);
    tcase_set_timeout(tc, 60);
    suite_add_tcase(s, tc);
    return runner_main(s);
}
