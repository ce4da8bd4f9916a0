/* SPDX-License-Identifier: MIT */
#include "base/check.h"
#include "base/conftext.h"
#include "runner.h"
#include <string.h>

static const char text[] = "{ \"a\": 1,\n"
                           "  \"b\": {\"x\": [1, 2, {\"a\": 3}],\n"
                           "    \"y\": \"{[,]}\\\"\"},\n"
                           "  \"list\": [\n"
                           "    {\"name\": \"one\"},\n"
                           "    [],\n"
                           "    {\"name\": \"two\",\n"
                           "     \"a\": true}\n"
                           "  ],\n"
                           "\n"
                           "  \"last\"\n"
                           "  :\n"
                           "  null }\n";

START_TEST(line_is_that_of_the_key_or_element)
{
    static const struct {
        const char *path;
        unsigned line;
    } wanted[] = {
        {"", 1},
        {"a", 1},
        {"b", 2},
        {"b.x", 2},
        {"b.x[2].a", 2},
        {"b.y", 3},
        {"list", 4},
        {"list[0]", 5},
        {"list[1]", 6},
        {"list[2]", 7},
        {"list[2].name", 7},
        {"list[2].a", 8},
        {"last", 11},
    };

    for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
        ck_assert_msg(conftext_line(text, strlen(text), wanted[i].path) == wanted[i].line,
                      "%s: %u", wanted[i].path,
                      conftext_line(text, strlen(text), wanted[i].path));
}
END_TEST

START_TEST(line_of_what_is_missing_is_that_of_the_innermost_part_there)
{
    ck_assert_uint_eq(conftext_line(text, strlen(text), "list[2].address"), 7);
    ck_assert_uint_eq(conftext_line(text, strlen(text), "list[3].name"), 4);
    ck_assert_uint_eq(conftext_line(text, strlen(text), "b.y.z"), 3);
    ck_assert_uint_eq(conftext_line(text, strlen(text), "last[0]"), 11);
    ck_assert_uint_eq(conftext_line(text, strlen(text), "c"), 0);
    ck_assert_uint_eq(conftext_line(text, strlen(text), "c.a"), 0);
    ck_assert_uint_eq(conftext_line(text, strlen(text), "[0]"), 0);
    ck_assert_uint_eq(conftext_line(text, strlen(text), "a..b"), 1);
}
END_TEST

/* What is not JSON never reaches it; if it did, the search ends inside the text (ASan) and
 * somewhere sensible. */
START_TEST(line_reads_no_further_than_the_text)
{
    static const char *const paths[] = {"list[2].a", "last", "b.y", "nothing", "list[9]"};

    for (size_t len = 0; len <= strlen(text); len++) {
        char *copy = malloc(len > 0 ? len : 1);

        ck_assert_ptr_nonnull(copy);
        memcpy(copy, text, len);
        for (size_t i = 0; i < ARRAY_LEN(paths); i++)
            ck_assert_uint_le(conftext_line(copy, len, paths[i]), 13);
        for (size_t i = 0; i < len; i++) {
            char before = copy[i];

            copy[i] = "\"{[\\,]}"[i % 7];
            ck_assert_uint_le(conftext_line(copy, len, "list[2].a"), 13);
            copy[i] = before;
        }
        free(copy);
    }
}
END_TEST

START_TEST(distance_counts_insertions_deletions_and_exchanges)
{
    ck_assert_uint_eq(conftext_distance("", "", 5), 0);
    ck_assert_uint_eq(conftext_distance("", "abc", 5), 3);
    ck_assert_uint_eq(conftext_distance("abc", "", 5), 3);
    ck_assert_uint_eq(conftext_distance("workers", "worker", 5), 1);
    ck_assert_uint_eq(conftext_distance("kitten", "sitting", 5), 3);
    ck_assert_uint_eq(conftext_distance("ab", "ba", 5), 2);
}
END_TEST

START_TEST(distance_ignores_case_and_stops_at_the_limit)
{
    ck_assert_uint_eq(conftext_distance("Workers", "wORKERS", 5), 0);
    ck_assert_uint_eq(conftext_distance("abcdefgh", "zyxwvuts", 3), 4);
}
END_TEST

START_TEST(distance_to_a_long_name_is_far)
{
    char name[65];

    memset(name, 'a', sizeof name);
    name[63] = '\0';
    ck_assert_uint_eq(conftext_distance(name, name, 5), 0);
    name[63] = 'a';
    name[64] = '\0';
    ck_assert_uint_eq(conftext_distance(name, name, 5), 6);
    ck_assert_uint_eq(conftext_distance("a", name, 5), 6);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("conftext");
    TCase *tc = tcase_create("conftext");

    tcase_add_test(tc, line_is_that_of_the_key_or_element);
    tcase_add_test(tc, line_of_what_is_missing_is_that_of_the_innermost_part_there);
    tcase_add_test(tc, line_reads_no_further_than_the_text);
    tcase_add_test(tc, distance_counts_insertions_deletions_and_exchanges);
    tcase_add_test(tc, distance_ignores_case_and_stops_at_the_limit);
    tcase_add_test(tc, distance_to_a_long_name_is_far);
    suite_add_tcase(s, tc);
    return runner_main(s);
}
