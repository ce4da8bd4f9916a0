/* SPDX-License-Identifier: MIT */
#include "prefix_table.h"
#include "runner.h"
#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { MANY = 2000 };

static struct prefix prefix(const char *text)
{
    struct prefix p;

    ck_assert_msg(prefix_parse(text, &p), "%s", text);
    return p;
}

static struct addr address(const char *text)
{
    struct addr a;

    ck_assert_msg(addr_parse_ip(text, strlen(text), &a), "%s", text);
    return a;
}

static struct prefix_table *table(const char *const *text, size_t count)
{
    struct prefix_entry entry[16];

    for (size_t i = 0; i < count; i++)
        entry[i] = (struct prefix_entry){prefix(text[i]), (uint32_t)i};
    struct prefix_table *t = prefix_table_new(entry, count);
    ck_assert_ptr_nonnull(t);
    ck_assert_uint_eq(prefix_table_count(t), count);
    return t;
}

START_TEST(the_longest_prefix_decides)
{
    static const char *const text[] = {"0.0.0.0/0",  "192.0.2.0/24",  "192.0.2.128/25",
                                       "192.0.2.7",  "2001:db8::/32", "2001:db8:0:1::/64",
                                       "2001:db8::7"};
    static const struct {
        const char *address;
        uint32_t value;
    } row[] = {
        {"198.51.100.1", 0},     {"192.0.2.1", 1},
        {"192.0.2.200", 2},      {"192.0.2.7", 3},
        {"192.0.2.6", 1},        {"::ffff:192.0.2.7", 3},
        {"2001:db8:ffff::1", 4}, {"2001:db8:0:1::9", 5},
        {"2001:db8::7", 6},      {"2001:db9::1", UINT32_MAX},
    };
    struct prefix_table *t = table(text, ARRAY_LEN(text));

    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        struct addr a = address(row[i].address);
        ck_assert_msg(prefix_table_find(t, &a) == row[i].value, "%s", row[i].address);
    }
    ck_assert_uint_eq(prefix_table_duplicate(t), PREFIX_TABLE_NONE);
    prefix_table_free(t);
}
END_TEST

START_TEST(every_entry_of_many_is_found)
{
    struct prefix_entry *entry = calloc(MANY, sizeof *entry);

    ck_assert_ptr_nonnull(entry);
    for (uint32_t i = 0; i < MANY; i++) {
        const uint8_t ip[4] = {100, 64, (uint8_t)(i >> 8), (uint8_t)i};
        entry[i] = (struct prefix_entry){{.base = addr_ipv4(ip, 0), .bits = 32}, MANY - i};
    }
    struct prefix_table *t = prefix_table_new(entry, MANY);
    ck_assert_ptr_nonnull(t);
    for (uint32_t i = 0; i < MANY; i++)
        ck_assert_uint_eq(prefix_table_find(t, &entry[i].prefix.base), MANY - i);
    prefix_table_free(t);
    free(entry);
}
END_TEST

START_TEST(an_empty_table_has_nothing)
{
    struct prefix_table *t = prefix_table_new(NULL, 0);
    struct addr a = address("192.0.2.1"), none = {.family = ADDR_NONE};

    ck_assert_ptr_nonnull(t);
    ck_assert_uint_eq(prefix_table_find(t, &a), PREFIX_TABLE_NONE);
    ck_assert_uint_eq(prefix_table_find(t, &none), PREFIX_TABLE_NONE);
    ck_assert_uint_eq(prefix_table_duplicate(t), PREFIX_TABLE_NONE);
    prefix_table_free(t);
    prefix_table_free(NULL);
}
END_TEST

START_TEST(the_second_of_two_equal_prefixes_is_named)
{
    static const char *const text[] = {"192.0.2.0/24", "198.51.100.0/24", "192.0.2.0/25",
                                       "198.51.100.0/24", "192.0.2.0/24"};
    struct prefix_table *t = table(text, ARRAY_LEN(text));

    ck_assert_uint_eq(prefix_table_duplicate(t), 3);
    prefix_table_free(t);
}
END_TEST

static Suite *prefix_table_suite(void)
{
    Suite *s = suite_create("prefix_table");
    TCase *tc = tcase_create("prefix_table");

    tcase_add_test(tc, the_longest_prefix_decides);
    tcase_add_test(tc, every_entry_of_many_is_found);
    tcase_add_test(tc, an_empty_table_has_nothing);
    tcase_add_test(tc, the_second_of_two_equal_prefixes_is_named);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    return runner_main(prefix_table_suite());
}
