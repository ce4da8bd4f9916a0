/* SPDX-License-Identifier: MIT */
/* The keeper with its thread and a real kernel. Every case has a network namespace of its own;
 * it waits for what must come, never for a time. */
#include "nft_keeper.h"
#include "nft_play.h"
#include "runner.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

enum { PATIENCE = 1000 }; /* times 10 ms */

static struct nft_keeper *k;
static struct listener_options item[OPTIONS_LISTENERS_MAX];
static struct listener_list list = {.item = item};
static char tokens_name[] = "inet t tokens", small_name[] = "inet t small",
            life_name[] = "inet t life";

static void set_up(void)
{
    int rc;

    ck_assert(nft_play_begin());
    k = nft_keeper_new(NULL, &rc);
    ck_assert_ptr_nonnull(k);
    memset(item, 0, sizeof item);
    list.count = 1;
}

static void tear_down(void)
{
    nft_keeper_free(k);
    nft_keeper_free(NULL);
}

static uint64_t value(enum stat_id which)
{
    return atomic_load(&nft_keeper_stats(k)->value[which]);
}

#define WAIT_FOR(cond)                                   \
    do {                                                 \
        for (int n_ = 0; n_ < PATIENCE && !(cond); n_++) \
            (void)usleep(10000);                         \
        ck_assert(cond);                                 \
    } while (0)

static struct nft_tokens *learn(char *name)
{
    item[0].join_tokens = name;
    ck_assert_int_eq(nft_keeper_learn(k, &list), 0);
    struct nft_tokens *t = nft_keeper_tokens(k, name);
    ck_assert_ptr_nonnull(t);
    return t;
}

/* A mark that nft lists as 0x000000nn. */
static uint32_t mark(uint32_t nn)
{
    return htonl(nn);
}

static bool listed(const char *nn)
{
    char text[16];

    (void)snprintf(text, sizeof text, "0x000000%s", nn);
    return nft_play_lists("inet t tokens", text);
}

START_TEST(a_set_is_emptied_and_then_kept)
{
    ck_assert(nft_play_rules());
    ck_assert(nft_play("add element inet t tokens { 0xee }"));
    struct nft_tokens *t = learn(tokens_name);
    WAIT_FOR(!listed("ee"));
    ck_assert(nft_tokens_add(t, mark(0x11)));
    ck_assert(nft_tokens_add(t, mark(0x22)));
    WAIT_FOR(listed("11") && listed("22"));
    WAIT_FOR(value(STAT_NFT_TOKENS) == 2);
    nft_tokens_remove(t, mark(0x11));
    WAIT_FOR(!listed("11"));
    WAIT_FOR(value(STAT_NFT_REMOVED) == 1);
    ck_assert_uint_eq(value(STAT_NFT_TOKENS), 1);
    ck_assert_uint_eq(value(STAT_NFT_ADDED), 2);
    ck_assert_uint_eq(value(STAT_NFT_REFILLS), 1);
    ck_assert_uint_eq(value(STAT_NFT_ERRORS), 0);
}
END_TEST

START_TEST(a_set_is_known_once_and_by_its_name)
{
    struct nft_tokens *t = learn(tokens_name);

    ck_assert_ptr_eq(learn(tokens_name), t);
    ck_assert_ptr_ne(learn(small_name), t);
    ck_assert_ptr_null(nft_keeper_tokens(k, "inet t other"));
    ck_assert_ptr_null(nft_keeper_tokens(k, "nonsense"));
}
END_TEST

START_TEST(there_is_a_most_of_sets)
{
    char name[NFT_KEEPER_SETS_MAX + 1][32];

    for (int i = 0; i <= NFT_KEEPER_SETS_MAX; i++) {
        (void)snprintf(name[i], sizeof name[i], "inet t set%d", i);
        item[0].join_tokens = item[0].alive_set = name[i];
        ck_assert_int_eq(nft_keeper_learn(k, &list), i < NFT_KEEPER_SETS_MAX ? 0 : -E2BIG);
    }
    item[0].join_tokens = name[0];
    ck_assert_int_eq(nft_keeper_learn(k, &list), -E2BIG); /* of the signs of life */
}
END_TEST

START_TEST(tokens_that_come_before_the_rules_are_told_later)
{
    struct nft_tokens *t = learn(tokens_name);

    ck_assert(nft_tokens_add(t, mark(0x11)));
    WAIT_FOR(value(STAT_NFT_ERRORS) > 0);
    ck_assert(nft_play_rules());
    WAIT_FOR(listed("11"));
}
END_TEST

START_TEST(rules_that_are_lost_get_all_tokens_once_they_are_back)
{
    ck_assert(nft_play_rules());
    struct nft_tokens *t = learn(tokens_name);
    ck_assert(nft_tokens_add(t, mark(0x11)));
    WAIT_FOR(listed("11"));
    ck_assert(nft_play("delete table inet t"));
    ck_assert(nft_tokens_add(t, mark(0x22)));
    nft_tokens_remove(t, mark(0x11));
    WAIT_FOR(value(STAT_NFT_ERRORS) > 0);
    ck_assert(nft_tokens_add(t, mark(0x33)));
    ck_assert(nft_play_rules());
    WAIT_FOR(listed("22") && listed("33"));
    ck_assert(!listed("11"));
    WAIT_FOR(value(STAT_NFT_TOKENS) == 2);
}
END_TEST

/* Nobody says that a set was emptied. */
START_TEST(a_set_that_was_emptied_is_noticed)
{
    ck_assert(nft_play_rules());
    struct nft_tokens *t = learn(tokens_name);
    ck_assert(nft_tokens_add(t, mark(0x11)));
    WAIT_FOR(listed("11"));
    ck_assert(nft_play("flush set inet t tokens"));
    WAIT_FOR(listed("11"));
    ck_assert_uint_eq(value(STAT_NFT_REFILLS), 2);
    ck_assert_uint_eq(value(STAT_NFT_TOKENS), 1);
}
END_TEST

START_TEST(a_full_set_loses_nothing_it_has)
{
    ck_assert(nft_play_rules());
    struct nft_tokens *t = learn(small_name);
    for (uint32_t i = 1; i <= 2; i++) {
        ck_assert(nft_tokens_add(t, mark(i)));
        WAIT_FOR(value(STAT_NFT_TOKENS) == i);
    }
    ck_assert(nft_tokens_add(t, mark(3)));
    WAIT_FOR(value(STAT_NFT_ERRORS) > 0);
    ck_assert(nft_play_lists("inet t small", "0x00000001"));
    ck_assert(nft_play_lists("inet t small", "0x00000002"));
    nft_tokens_remove(t, mark(1));
    WAIT_FOR(nft_play_lists("inet t small", "0x00000003"));
    ck_assert_uint_eq(value(STAT_NFT_REFILLS), 1);
}
END_TEST

START_TEST(many_tokens_are_all_told)
{
    enum { MANY = 20000 };

    ck_assert(nft_play_rules());
    struct nft_tokens *t = learn(tokens_name);
    for (uint32_t i = 0; i < MANY; i++)
        ck_assert(nft_tokens_add(t, i));
    WAIT_FOR(value(STAT_NFT_TOKENS) == MANY);
    for (uint32_t i = 0; i < MANY; i++)
        nft_tokens_remove(t, i);
    WAIT_FOR(value(STAT_NFT_TOKENS) == 0);
    ck_assert(!nft_play_lists("inet t tokens", "0x[0-9a-f]*"));
}
END_TEST

START_TEST(a_sign_of_life_is_given_when_told_and_taken_away)
{
    ck_assert(nft_play_rules());
    ck_assert(nft_play("add element inet t life { tcp }"));
    item[0].alive_set = life_name;
    ck_assert_int_eq(nft_keeper_learn(k, &list), 0);
    nft_keeper_alive(k); /* not in use yet */
    nft_keeper_use(k, &list);
    nft_keeper_alive(k);
    WAIT_FOR(nft_play_lists("inet t life", "tcp timeout 3s expires"));
    nft_keeper_leave(k);
    WAIT_FOR(!nft_play_lists("inet t life", "tcp"));
}
END_TEST

START_TEST(a_sign_of_life_ends_by_itself)
{
    ck_assert(nft_play_rules());
    item[0].alive_set = life_name;
    ck_assert_int_eq(nft_keeper_learn(k, &list), 0);
    nft_keeper_use(k, &list);
    nft_keeper_alive(k);
    WAIT_FOR(nft_play_lists("inet t life", "tcp"));
    list.count = 0;
    nft_keeper_use(k, &list); /* a reload has taken it out */
    nft_keeper_alive(k);
    WAIT_FOR(!nft_play_lists("inet t life", "tcp"));
    ck_assert_uint_eq(value(STAT_NFT_RENEWALS), 1);
}
END_TEST

START_TEST(the_end_leaves_nothing_behind)
{
    ck_assert(nft_play_rules());
    item[0].alive_set = life_name;
    struct nft_tokens *t = learn(tokens_name);
    nft_keeper_use(k, &list);
    nft_keeper_alive(k);
    ck_assert(nft_tokens_add(t, mark(0x11)));
    WAIT_FOR(listed("11") && nft_play_lists("inet t life", "tcp"));
    nft_keeper_free(k);
    k = NULL;
    ck_assert(!listed("11"));
    ck_assert(!nft_play_lists("inet t life", "tcp"));
}
END_TEST

START_TEST(without_the_capability_errors_are_counted)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
    int rc;

    ck_assert(nft_play_rules());
    ck_assert_int_eq(syscall(SYS_capset, &head, none), 0);
    struct nft_keeper *poor = nft_keeper_new(NULL, &rc);
    ck_assert_ptr_nonnull(poor);
    item[0].join_tokens = tokens_name;
    ck_assert_int_eq(nft_keeper_learn(poor, &list), 0);
    struct nft_tokens *t = nft_keeper_tokens(poor, tokens_name);
    ck_assert(nft_tokens_add(t, 1));
    WAIT_FOR(atomic_load(&nft_keeper_stats(poor)->value[STAT_NFT_ERRORS]) > 0);
    nft_tokens_remove(t, 1);
    nft_keeper_free(poor);
}
END_TEST

int main(void)
{
    if (!nft_play_is_possible()) {
        (void)fprintf(stderr, "skipped: needs nft and a network namespace (root, or user "
                              "namespaces)\n");
        return 77;
    }
    Suite *s = suite_create("nft_keeper");
    TCase *tc = tcase_create("keeper");

    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, a_set_is_emptied_and_then_kept);
    tcase_add_test(tc, a_set_is_known_once_and_by_its_name);
    tcase_add_test(tc, there_is_a_most_of_sets);
    tcase_add_test(tc, tokens_that_come_before_the_rules_are_told_later);
    tcase_add_test(tc, rules_that_are_lost_get_all_tokens_once_they_are_back);
    tcase_add_test(tc, a_set_that_was_emptied_is_noticed);
    tcase_add_test(tc, a_full_set_loses_nothing_it_has);
    tcase_add_test(tc, many_tokens_are_all_told);
    tcase_add_test(tc, a_sign_of_life_is_given_when_told_and_taken_away);
    tcase_add_test(tc, a_sign_of_life_ends_by_itself);
    tcase_add_test(tc, the_end_leaves_nothing_behind);
    tcase_add_test(tc, without_the_capability_errors_are_counted);
    tcase_set_timeout(tc, 60);
    suite_add_tcase(s, tc);
    return runner_main(s);
}
