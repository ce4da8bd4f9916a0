/* SPDX-License-Identifier: MIT */
/* What a converter makes of the TCP options in an Extended Connect. */
#include "runner.h"
#include "wire/convert.h"

struct judged {
    const char *what;
    size_t len;
    uint8_t octets[24];
    bool ok, mptcp, fastopen;
    uint8_t kinds_len, kinds[4];
};

/* RFC 8803 s6.2.5, s7.1..s7.7; R13, R14 */
static const struct judged judged[] = {
    {"none", 0, {0}, true, false, false, 0, {0}},
    {"End, NOP, MSS, WSCALE, SACK are ignored",
     20,
     {1, 2, 4, 5, 0xb4, 3, 3, 7, 5, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 0},
     true,
     false,
     false,
     0,
     {0}},
    {"SACK-permitted, Timestamps and MPTCP are granted",
     8,
     {4, 2, 8, 2, 30, 2, 0, 0},
     true,
     true,
     false,
     0,
     {0}},
    {"an empty TFO asks for a cookie", 4, {34, 2, 0, 0}, true, false, true, 0, {0}},
    {"TFO with a cookie", 8, {34, 6, 1, 2, 3, 4, 0, 0}, true, false, false, 1, {34}},
    {"MPTCP with content", 4, {30, 4, 0, 1}, true, false, false, 1, {30}},
    {"SACK-permitted with content", 4, {4, 3, 0, 0}, true, false, false, 1, {4}},
    {"Timestamps with content", 12, {8, 10, 1, 2, 3, 4}, true, false, false, 1, {8}},
    {"TCP-AO, always", 4, {29, 2, 29, 2}, true, false, false, 1, {29}},
    {"each refused kind once, in order",
     12,
     {99, 2, 29, 3, 0, 99, 2, 254, 2, 30, 2, 0},
     true,
     true,
     false,
     3,
     {99, 29, 254}},
    {"what follows End is padding", 4, {0, 99, 2, 2}, true, false, false, 0, {0}},
    {"a kind without length", 1, {30}, false, false, false, 0, {0}},
    {"length 0", 4, {30, 0, 0, 0}, false, false, false, 0, {0}},
    {"length 1", 4, {30, 1, 0, 0}, false, false, false, 0, {0}},
    {"length over the end", 4, {30, 5, 0, 0}, false, false, false, 0, {0}},
    {"an ignored one over the end", 4, {2, 5, 0, 0}, false, false, false, 0, {0}},
};

START_TEST(options_are_judged_by_kind_and_content)
{
    const struct judged *j = &judged[_i];
    uint8_t *copy = malloc(j->len > 0 ? j->len : 1);
    struct convert_options o, before;

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, j->octets, j->len);
    memset(&before, 0xA5, sizeof before);
    o = before;
    ck_assert_msg(convert_judge_options(span_of(copy, j->len), &o) == j->ok, "%s", j->what);
    free(copy);
    if (!j->ok) {
        ck_assert_mem_eq(&o, &before, sizeof o);
        return;
    }
    ck_assert_msg(o.mptcp == j->mptcp && o.fastopen == j->fastopen, "%s", j->what);
    ck_assert_msg(o.refused == (j->kinds_len > 0), "%s", j->what);
    ck_assert(span_equal(span_of(o.kinds, o.kinds_len), span_of(j->kinds, j->kinds_len)));
}
END_TEST

START_TEST(more_refused_kinds_than_a_syn_can_carry_are_cut)
{
    uint8_t list[400];
    struct convert_options o;

    for (size_t i = 0; i < 200; i++) {
        list[2 * i] = (uint8_t)(40 + i);
        list[2 * i + 1] = 2;
    }
    ck_assert(convert_judge_options(span_of(list, sizeof list), &o));
    ck_assert(o.refused);
    ck_assert_uint_eq(o.kinds_len, CONVERT_OPTIONS_MAX);
    ck_assert_uint_eq(o.kinds[CONVERT_OPTIONS_MAX - 1], 40 + CONVERT_OPTIONS_MAX - 1);
}
END_TEST

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))

int main(void)
{
    Suite *s = suite_create("convert_options");
    TCase *t = tcase_create("options");

    tcase_add_loop_test(t, options_are_judged_by_kind_and_content, 0, COUNT(judged));
    tcase_add_test(t, more_refused_kinds_than_a_syn_can_carry_are_cut);
    suite_add_tcase(s, t);
    return runner_main(s);
}
