/* SPDX-License-Identifier: MIT */
/* Requests as a played kernel reads them, and its answers. */
#include "nft_play.h"
#include "nft_set.h"
#include "runner.h"
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <netinet/in.h>
#include <stdalign.h>
#include <stdio.h>
#include <string.h>

static const struct nft_set_name tokens = {NFPROTO_INET, "t", "tokens"};
static struct nft_link link_;

/* ---- names ---- */

#define LETTERS_16 "abcdefghijklmnop"
#define LETTERS_64 LETTERS_16 LETTERS_16 LETTERS_16 LETTERS_16

START_TEST(names_are_a_family_a_table_and_a_set)
{
    static const struct {
        const char *text;
        uint8_t family;
        const char *table, *set;
    } good[] = {{"inet mpconvert_onpath tokens", NFPROTO_INET, "mpconvert_onpath", "tokens"},
                {"ip a b", NFPROTO_IPV4, "a", "b"},
                {"ip6 A-1.x s_2", NFPROTO_IPV6, "A-1.x", "s_2"}};
    static const char *const bad[] = {
        "",
        "inet",
        "inet ",
        "inet a",
        "inet a ",
        "inet a b ",
        "inet a b c",
        "inet  a b",
        " inet a b",
        "bridge a b",
        "inet 1a b",
        "inet a 2b",
        "inet a b;",
        "inet a \"b",
        "INET a b",
        "inet a/b c",
        "inet a\tb c",
        "ip6a b c",
        "inet a " LETTERS_64,
    };
    struct nft_set_name n, kept;

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        ck_assert(nft_set_parse(good[i].text, &n));
        ck_assert_uint_eq(n.family, good[i].family);
        ck_assert_str_eq(n.table, good[i].table);
        ck_assert_str_eq(n.set, good[i].set);
        ck_assert(nft_set_same(&n, &n) && !nft_set_same(&n, &tokens));
    }
    kept = n;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        ck_assert_msg(!nft_set_parse(bad[i], &n), "%s", bad[i]);
        ck_assert(nft_set_same(&n, &kept));
    }
}
END_TEST

/* ---- a played kernel ---- */

enum { SEEN_MAX = 8 };

static struct seen {
    uint16_t type;
    uint32_t seq, count;
    uint64_t timeout;
    uint32_t key_len, first, last; /* of the elements */
} seen[SEEN_MAX];
static size_t seen_count;
static bool seen_begin, seen_end;
static int answers[SEEN_MAX]; /* to the n-th message */
static size_t silent_from;    /* which are not answered */

/* By hand: libnftnl cannot read a list of several that it wrote itself. */
static int note_part(const struct nlattr *a, void *arg)
{
    struct seen *s = arg;

    if (mnl_attr_get_type(a) == NFTA_SET_ELEM_TIMEOUT)
        s->timeout = be64toh(mnl_attr_get_u64(a));
    if (mnl_attr_get_type(a) != NFTA_SET_ELEM_KEY)
        return MNL_CB_OK;
    const struct nlattr *v = mnl_attr_get_payload(a);
    ck_assert_uint_eq(mnl_attr_get_type(v), NFTA_DATA_VALUE);
    s->key_len = mnl_attr_get_payload_len(v);
    ck_assert_uint_le(s->key_len, sizeof s->last);
    memcpy(&s->last, mnl_attr_get_payload(v), s->key_len);
    if (s->count++ == 0)
        s->first = s->last;
    return MNL_CB_OK;
}

static int note_element(const struct nlattr *a, void *arg)
{
    return mnl_attr_parse_nested(a, note_part, arg);
}

static int note_attribute(const struct nlattr *a, void *arg)
{
    if (mnl_attr_get_type(a) == NFTA_SET_ELEM_LIST_TABLE)
        ck_assert_str_eq(mnl_attr_get_str(a), "t");
    if (mnl_attr_get_type(a) != NFTA_SET_ELEM_LIST_ELEMENTS)
        return MNL_CB_OK;
    return mnl_attr_parse_nested(a, note_element, arg);
}

static void note_message(const struct nlmsghdr *nlh)
{
    const struct nfgenmsg *g = mnl_nlmsg_get_payload(nlh);
    struct seen *s = &seen[seen_count];

    ck_assert_uint_lt(seen_count, SEEN_MAX);
    ck_assert_int_eq(nlh->nlmsg_type >> 8, NFNL_SUBSYS_NFTABLES);
    ck_assert((nlh->nlmsg_flags & (NLM_F_REQUEST | NLM_F_ACK)) == (NLM_F_REQUEST | NLM_F_ACK));
    ck_assert_uint_eq(g->nfgen_family, NFPROTO_INET);
    *s = (struct seen){.type = nlh->nlmsg_type & 0xff, .seq = nlh->nlmsg_seq};
    ck_assert_int_eq(mnl_attr_parse(nlh, sizeof *g, note_attribute, s), MNL_CB_OK);
    seen_count++;
}

static ssize_t play(int peer, const void *request, size_t len)
{
    const struct nlmsghdr *nlh = request;
    int left = (int)len;

    seen_count = 0;
    seen_begin = seen_end = false;
    for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
        if (nlh->nlmsg_type == NFNL_MSG_BATCH_BEGIN)
            seen_begin = seen_count == 0;
        else if (nlh->nlmsg_type == NFNL_MSG_BATCH_END)
            seen_end = true;
        else
            note_message(nlh);
    }
    ck_assert_int_eq(left, 0);
    for (size_t i = 0; i < seen_count && i < silent_from; i++)
        nft_play_ack(peer, seen[i].seq, answers[i]);
    return (ssize_t)len;
}

static void set_up(void)
{
    memset(answers, 0, sizeof answers);
    silent_from = SEEN_MAX;
    nft_play_kernel(&link_, play);
}

static void ck_batch(size_t messages)
{
    ck_assert(seen_begin && seen_end);
    ck_assert_uint_eq(seen_count, messages);
}

START_TEST(tokens_go_in_network_order)
{
    const uint32_t two[] = {0x01020304, 0xfffefdfc};

    ck_assert_int_eq(nft_set_add(&link_, &tokens, two, 2), 0);
    ck_batch(1);
    ck_assert_uint_eq(seen[0].type, NFT_MSG_NEWSETELEM);
    ck_assert_uint_eq(seen[0].count, 2);
    ck_assert_uint_eq(seen[0].key_len, 4);
    ck_assert_uint_eq(seen[0].timeout, 0);
    ck_assert_uint_eq(seen[0].first, htonl(two[0]));
    ck_assert_uint_eq(seen[0].last, htonl(two[1]));
    ck_assert_int_eq(nft_set_remove(&link_, &tokens, two, 2), 0);
    ck_batch(1);
    ck_assert_uint_eq(seen[0].type, NFT_MSG_DELSETELEM);
    ck_assert_uint_eq(seen[0].count, 2);
}
END_TEST

START_TEST(a_request_holds_as_many_as_it_says)
{
    uint32_t many[NFT_SET_CHANGE_MAX];

    for (uint32_t i = 0; i < NFT_SET_CHANGE_MAX; i++)
        many[i] = i;
    ck_assert_int_eq(nft_set_add(&link_, &tokens, many, NFT_SET_CHANGE_MAX), 0);
    ck_batch(1);
    ck_assert_uint_eq(seen[0].count, NFT_SET_CHANGE_MAX);
    ck_assert_uint_eq(seen[0].last, htonl(NFT_SET_CHANGE_MAX - 1));
}
END_TEST

START_TEST(a_flush_names_no_element)
{
    ck_assert_int_eq(nft_set_flush(&link_, &tokens), 0);
    ck_batch(1);
    ck_assert_uint_eq(seen[0].type, NFT_MSG_DELSETELEM);
    ck_assert_uint_eq(seen[0].count, 0);
}
END_TEST

START_TEST(a_question_is_no_batch)
{
    ck_assert_int_eq(nft_set_has(&link_, &tokens, 7), 0);
    ck_assert(!seen_begin && !seen_end);
    ck_assert_uint_eq(seen[0].type, NFT_MSG_GETSETELEM);
    ck_assert_uint_eq(seen[0].first, htonl(7));
    answers[0] = -ENOENT;
    ck_assert_int_eq(nft_set_has(&link_, &tokens, 7), -ENOENT);
}
END_TEST

START_TEST(a_sign_of_life_is_put_in_its_place)
{
    const struct nft_set_name life = {NFPROTO_INET, "t", "life"};

    ck_assert_int_eq(nft_set_renew(&link_, &life, 3000), 0);
    ck_batch(3);
    ck_assert_uint_eq(seen[0].type, NFT_MSG_NEWSETELEM); /* so that there is one to delete */
    ck_assert_uint_eq(seen[1].type, NFT_MSG_DELSETELEM);
    ck_assert_uint_eq(seen[2].type, NFT_MSG_NEWSETELEM);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_uint_eq(seen[i].count, 1);
        ck_assert_uint_eq(seen[i].key_len, 1);
        ck_assert_int_eq(memcmp(&seen[i].first, &(uint8_t){IPPROTO_TCP}, 1), 0);
    }
    ck_assert_uint_eq(seen[2].timeout, 3000);
}
END_TEST

START_TEST(the_first_error_is_told)
{
    const struct nft_set_name life = {NFPROTO_INET, "t", "life"};

    answers[1] = -ENOENT;
    answers[2] = -EEXIST;
    ck_assert_int_eq(nft_set_renew(&link_, &life, 1), -ENOENT);
    answers[1] = 5; /* no kernel says so */
    ck_assert_int_eq(nft_set_renew(&link_, &life, 1), -EBADMSG);
}
END_TEST

/* No permission: the kernel refuses the batch, not its messages. */
static ssize_t play_refusal(int peer, const void *request, size_t len)
{
    const struct nlmsghdr *nlh = request;

    ck_assert_uint_eq(nlh->nlmsg_type, NFNL_MSG_BATCH_BEGIN);
    nft_play_ack(peer, nlh->nlmsg_seq, -EPERM);
    return (ssize_t)len;
}

START_TEST(a_batch_that_is_refused_is_an_error)
{
    nft_play_kernel(&link_, play_refusal);
    ck_assert_int_eq(nft_set_flush(&link_, &tokens), -EPERM);
}
END_TEST

START_TEST(a_missing_acknowledgment_is_an_error)
{
    const struct nft_set_name life = {NFPROTO_INET, "t", "life"};

    silent_from = 2;
    ck_assert_int_eq(nft_set_renew(&link_, &life, 1), -ENODATA);
    silent_from = 0;
    ck_assert_int_eq(nft_set_flush(&link_, &tokens), -ENODATA);
}
END_TEST

/* What is in the socket from before, cut, foreign or garbage. */
static ssize_t play_garbage(int peer, const void *request, size_t len)
{
    alignas(struct nlmsghdr) char octets[64];
    struct nlmsghdr *nlh = (struct nlmsghdr *)(void *)octets;

    for (size_t cut = 0; cut < sizeof octets; cut++) {
        memset(octets, 0xff, sizeof octets);
        nlh->nlmsg_type = NLMSG_ERROR;
        nlh->nlmsg_len = (uint32_t)cut;
        nlh->nlmsg_seq = link_.seq + 7;
        ck_assert_int_eq(write(peer, octets, cut), (ssize_t)cut);
    }
    nft_play_ack(peer, link_.seq - 3, -EIO);
    nft_play_ack(peer, link_.seq + 1, -EIO);
    return play(peer, request, len);
}

START_TEST(what_is_no_answer_is_passed_over)
{
    nft_play_kernel(&link_, play_garbage);
    link_.seq = UINT32_MAX - 1; /* numbers go round */
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(nft_set_flush(&link_, &tokens), 0);
}
END_TEST

static ssize_t play_deaf(int peer, const void *request, size_t len)
{
    (void)peer;
    (void)request;
    (void)len;
    errno = EPERM;
    return -1;
}

START_TEST(a_send_that_fails_is_told)
{
    nft_play_kernel(&link_, play_deaf);
    ck_assert_int_eq(nft_set_flush(&link_, &tokens), -EPERM);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("nft_set");
    TCase *names = tcase_create("names"), *played = tcase_create("played");

    tcase_add_test(names, names_are_a_family_a_table_and_a_set);
    suite_add_tcase(s, names);
    tcase_add_checked_fixture(played, set_up, NULL);
    tcase_add_test(played, tokens_go_in_network_order);
    tcase_add_test(played, a_request_holds_as_many_as_it_says);
    tcase_add_test(played, a_flush_names_no_element);
    tcase_add_test(played, a_question_is_no_batch);
    tcase_add_test(played, a_sign_of_life_is_put_in_its_place);
    tcase_add_test(played, the_first_error_is_told);
    tcase_add_test(played, a_batch_that_is_refused_is_an_error);
    tcase_add_test(played, a_missing_acknowledgment_is_an_error);
    tcase_add_test(played, what_is_no_answer_is_passed_over);
    tcase_add_test(played, a_send_that_fails_is_told);
    suite_add_tcase(s, played);
    return s;
}

int main(void)
{
    return runner_main(suite());
}
