/* SPDX-License-Identifier: MIT */
#include "cookie.h"
#include "crypto_fault.h"
#include "runner.h"
#include "tempfile.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

/* Key 1 is that of the vector, RFC 8803 s6.2.7 leaves the format to us. */
#define KEY1 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY2 "202122232425262728292a2b2c2d2e2f"
#define KEY3 "404142434445464748494a4b4c4d4e4f"
static const uint64_t EPOCH = COOKIE_EPOCH_SECONDS;

static struct addr ip(const char *text)
{
    struct addr a;

    ck_assert_msg(addr_parse_ip(text, strlen(text), &a), "%s", text);
    return a;
}

static struct span text(const char *s)
{
    return span_of(s, strlen(s));
}

/* Loads from file texts (NULL: no file) and asserts success. */
static struct cookie_keys *load(enum cookie_mode mode, const char *statics, const char *keys,
                                bool prefix64)
{
    struct tempfile s = tempfile_text(statics != NULL ? statics : ""),
                    k = tempfile_text(keys != NULL ? keys : "");
    struct conf_error err;
    struct cookie_keys *c = cookie_keys_load(mode, statics != NULL ? s.path : NULL,
                                             keys != NULL ? k.path : NULL, prefix64, &err);

    ck_assert_msg(c != NULL, "%s", err.text);
    tempfile_done(&s);
    tempfile_done(&k);
    return c;
}

static struct cookie_keys *computed(const char *keys)
{
    return load(COOKIE_COMPUTED, NULL, keys, false);
}

static enum cookie_verdict judge(const struct cookie_keys *k, const char *client,
                                 struct span cookie, uint64_t wall_s)
{
    struct addr a = ip(client);

    return cookie_check(k, &a, cookie, wall_s, NULL);
}

/* The file is refused: the message names it and has `reason`. */
static void refused(enum cookie_mode mode, const char *content, const char *place,
                    const char *reason)
{
    struct tempfile f = tempfile_text(content);
    struct conf_error err = {""};
    char start[128];

    ck_assert_ptr_null(cookie_keys_load(mode, f.path, f.path, false, &err));
    (void)snprintf(start, sizeof start, "%s%s: ", f.path, place);
    ck_assert_msg(strncmp(err.text, start, strlen(start)) == 0, "%s", err.text);
    ck_assert_msg(strstr(err.text, reason) != NULL, "%s", err.text);
    tempfile_done(&f);
}

START_TEST(vector_cv40_is_made_and_accepted)
{
    static const uint8_t cv40[COOKIE_LEN] = {0x01, 0x00, 0x00, 0x07, 0x43, 0x2e, 0xf8, 0xda,
                                             0xb0, 0x98, 0xac, 0xb0, 0xdc, 0xf1, 0x91, 0x7e};
    struct cookie_keys *k = computed("1 " KEY1 "\n");
    struct addr client = ip("192.0.2.77");
    uint8_t made[COOKIE_LEN];

    cookie_make(k, &client, 7 * EPOCH, made);
    ck_assert_mem_eq(made, cv40, COOKIE_LEN);
    cookie_make(k, &client, 8 * EPOCH - 1, made);
    ck_assert_mem_eq(made, cv40, COOKIE_LEN);
    ck_assert_int_eq(judge(k, "192.0.2.77", span_of(cv40, COOKIE_LEN), 7 * EPOCH),
                     COOKIE_VALID_COMPUTED);
    cookie_keys_free(k);
}
END_TEST

START_TEST(current_and_previous_epoch_are_accepted)
{
    struct cookie_keys *k = computed("1 " KEY1 "\n");
    struct addr client = ip("2001:db8::1");
    const uint64_t epochs[] = {1, 7, 65535, 65536, 90000}; /* the field is 16 bits wide */

    for (size_t i = 0; i < ARRAY_LEN(epochs); i++) {
        const uint64_t start = epochs[i] * EPOCH;
        uint8_t c[COOKIE_LEN];
        struct span made = span_of(c, sizeof c);

        cookie_make(k, &client, start, c);
        ck_assert_int_eq(judge(k, "2001:db8::1", made, start - 1), COOKIE_INVALID);
        ck_assert_int_eq(judge(k, "2001:db8::1", made, start), COOKIE_VALID_COMPUTED);
        ck_assert_int_eq(judge(k, "2001:db8::1", made, start + 2 * EPOCH - 1),
                         COOKIE_VALID_COMPUTED);
        ck_assert_int_eq(judge(k, "2001:db8::1", made, start + 2 * EPOCH), COOKIE_INVALID);
    }
    cookie_keys_free(k);
}
END_TEST

START_TEST(a_cookie_is_bound_to_the_address)
{
    struct cookie_keys *k = computed("1 " KEY1 "\n");
    struct addr v4 = ip("192.0.2.77"), v6 = ip("2001:db8::1");
    uint8_t c4[COOKIE_LEN], c6[COOKIE_LEN];

    v4.port = 1000; /* the port does not matter */
    cookie_make(k, &v4, EPOCH, c4);
    cookie_make(k, &v6, EPOCH, c6);
    ck_assert_int_eq(judge(k, "192.0.2.77", span_of(c4, sizeof c4), EPOCH),
                     COOKIE_VALID_COMPUTED);
    ck_assert_int_eq(judge(k, "::ffff:192.0.2.77", span_of(c4, sizeof c4), EPOCH),
                     COOKIE_VALID_COMPUTED);
    ck_assert_int_eq(judge(k, "192.0.2.78", span_of(c4, sizeof c4), EPOCH), COOKIE_INVALID);
    ck_assert_int_eq(judge(k, "2001:db8::1", span_of(c6, sizeof c6), EPOCH),
                     COOKIE_VALID_COMPUTED);
    ck_assert_int_eq(judge(k, "2001:db8::2", span_of(c6, sizeof c6), EPOCH), COOKIE_INVALID);
    cookie_keys_free(k);
}
END_TEST

START_TEST(bound_to_the_prefix_when_so_configured)
{
    struct cookie_keys *k = load(COOKIE_COMPUTED, NULL, "1 " KEY1 "\n", true);
    struct addr v4 = ip("192.0.2.77"), v6 = ip("2001:db8::1");
    uint8_t c4[COOKIE_LEN], c6[COOKIE_LEN];

    cookie_make(k, &v4, EPOCH, c4);
    cookie_make(k, &v6, EPOCH, c6);
    ck_assert_int_eq(judge(k, "2001:db8::ffff:2", span_of(c6, sizeof c6), EPOCH),
                     COOKIE_VALID_COMPUTED);
    ck_assert_int_eq(judge(k, "2001:db8:0:1::1", span_of(c6, sizeof c6), EPOCH),
                     COOKIE_INVALID);
    ck_assert_int_eq(judge(k, "192.0.2.78", span_of(c4, sizeof c4), EPOCH), COOKIE_INVALID);
    cookie_keys_free(k);
}
END_TEST

START_TEST(every_single_octet_change_is_refused)
{
    struct cookie_keys *k = computed("1 " KEY1 "\n2 " KEY2 "\n");
    struct addr client = ip("192.0.2.77");
    uint8_t c[COOKIE_LEN];

    cookie_make(k, &client, EPOCH, c);
    for (size_t i = 0; i < sizeof c; i++) {
        for (unsigned v = 1; v < 256; v++) {
            c[i] = (uint8_t)(c[i] ^ v);
            ck_assert_int_eq(judge(k, "192.0.2.77", span_of(c, sizeof c), EPOCH),
                             COOKIE_INVALID);
            c[i] = (uint8_t)(c[i] ^ v);
        }
    }
    ck_assert_int_eq(judge(k, "192.0.2.77", span_of(c, sizeof c), EPOCH),
                     COOKIE_VALID_COMPUTED);
    cookie_keys_free(k);
}
END_TEST

/* From exact-size heap copies, so that a read beyond the end is seen. */
START_TEST(every_other_length_is_refused)
{
    struct cookie_keys *k = load(COOKIE_BOTH, "some-cookie\n", "1 " KEY1 "\n", false);
    struct addr client = ip("192.0.2.77");
    uint8_t c[1100] = {0};

    cookie_make(k, &client, EPOCH, c);
    ck_assert_uint_ne(c[COOKIE_LEN - 1],
                      0); /* or a cookie one octet shorter would be the same one */
    for (size_t n = 0; n <= sizeof c; n++) {
        uint8_t *copy = malloc(n > 0 ? n : 1);

        ck_assert_ptr_nonnull(copy);
        memcpy(copy, c, n);
        ck_assert_int_eq(judge(k, "192.0.2.77", span_of(copy, n), EPOCH),
                         n == COOKIE_LEN ? COOKIE_VALID_COMPUTED : COOKIE_INVALID);
        free(copy);
    }
    ck_assert_int_eq(judge(k, "192.0.2.77", span_of(NULL, 0), EPOCH), COOKIE_INVALID);
    cookie_keys_free(k);
}
END_TEST

START_TEST(first_key_makes_first_two_verify)
{
    struct cookie_keys *both = computed("# next\n2 " KEY2 "\n1 " KEY1 "\n3 " KEY3 "\n");
    struct cookie_keys *one = computed("1 " KEY1 "\n"), *three = computed("3 " KEY3);
    struct addr client = ip("192.0.2.77");
    uint8_t c[COOKIE_LEN];
    struct span made = span_of(c, sizeof c);

    cookie_make(both, &client, EPOCH, c);
    ck_assert_uint_eq(c[0], 2);
    ck_assert_int_eq(judge(both, "192.0.2.77", made, EPOCH), COOKIE_VALID_COMPUTED);
    ck_assert_int_eq(judge(one, "192.0.2.77", made, EPOCH), COOKIE_INVALID);
    cookie_make(one, &client, EPOCH, c);
    ck_assert_int_eq(judge(both, "192.0.2.77", made, EPOCH), COOKIE_VALID_COMPUTED);
    cookie_make(three, &client, EPOCH, c);
    ck_assert_int_eq(judge(both, "192.0.2.77", made, EPOCH), COOKIE_INVALID);
    cookie_keys_free(both);
    cookie_keys_free(one);
    cookie_keys_free(three);
}
END_TEST

START_TEST(the_id_alone_is_not_the_key)
{
    struct cookie_keys *a = computed("1 " KEY1 "\n"), *b = computed("1 " KEY2 "\n");
    struct addr client = ip("192.0.2.77");
    uint8_t c[COOKIE_LEN];

    cookie_make(a, &client, EPOCH, c);
    ck_assert_int_eq(judge(b, "192.0.2.77", span_of(c, sizeof c), EPOCH), COOKIE_INVALID);
    cookie_keys_free(a);
    cookie_keys_free(b);
}
END_TEST

START_TEST(without_a_keys_file_the_key_is_random)
{
    struct cookie_keys *a = computed(NULL), *b = computed(NULL);
    struct addr client = ip("192.0.2.77");
    uint8_t c[COOKIE_LEN];
    struct span made = span_of(c, sizeof c);

    ck_assert(cookie_computes(a));
    cookie_make(a, &client, EPOCH, c);
    ck_assert_int_eq(judge(a, "192.0.2.77", made, EPOCH), COOKIE_VALID_COMPUTED);
    ck_assert_int_eq(judge(b, "192.0.2.77", made, EPOCH), COOKIE_INVALID);
    cookie_keys_free(a);
    cookie_keys_free(b);
}
END_TEST

START_TEST(the_mode_decides_what_is_computed_and_accepted)
{
    struct cookie_keys *off = load(COOKIE_OFF, "abcd\n", "1 " KEY1 "\n", false);
    struct cookie_keys *fixed = load(COOKIE_STATIC, "abcd\n", "1 " KEY1 "\n", false);
    struct cookie_keys *made = load(COOKIE_COMPUTED, "abcd\n", "1 " KEY1 "\n", false);
    struct cookie_keys *both = load(COOKIE_BOTH, "abcd\n", "1 " KEY1 "\n", false);
    struct addr client = ip("192.0.2.77");
    uint8_t c[COOKIE_LEN];
    struct span cookie = span_of(c, sizeof c);

    cookie_make(made, &client, EPOCH, c);
    ck_assert(!cookie_computes(off) && !cookie_computes(fixed) && cookie_computes(made) &&
              cookie_computes(both));
    ck_assert_int_eq(judge(off, "192.0.2.77", text("abcd"), EPOCH), COOKIE_INVALID);
    ck_assert_int_eq(judge(off, "192.0.2.77", cookie, EPOCH), COOKIE_INVALID);
    ck_assert_int_eq(judge(fixed, "192.0.2.77", text("abcd"), EPOCH), COOKIE_VALID_STATIC);
    ck_assert_int_eq(judge(fixed, "192.0.2.77", cookie, EPOCH), COOKIE_INVALID);
    ck_assert_int_eq(judge(made, "192.0.2.77", text("abcd"), EPOCH), COOKIE_INVALID);
    ck_assert_int_eq(judge(made, "192.0.2.77", cookie, EPOCH), COOKIE_VALID_COMPUTED);
    ck_assert_int_eq(judge(both, "192.0.2.77", text("abcd"), EPOCH), COOKIE_VALID_STATIC);
    ck_assert_int_eq(judge(both, "192.0.2.77", cookie, EPOCH), COOKIE_VALID_COMPUTED);
    cookie_keys_free(off);
    cookie_keys_free(fixed);
    cookie_keys_free(made);
    cookie_keys_free(both);
}
END_TEST

START_TEST(static_cookies_are_text_or_hex_with_or_without_name)
{
    struct cookie_keys *k =
        load(COOKIE_STATIC,
             "# subscribers\n\nplain\nhex:a0A1a2a3\n\t line-7 \t hex:b0b1b2b3b4b5b6b7\r\n"
             "line-8 other\n   \nline-9 #9",
             NULL, false);
    static const uint8_t a[] = {0xa0, 0xa1, 0xa2, 0xa3},
                         b[] = {0xb0, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7};
    const struct {
        struct span cookie;
        const char *name;
    } good[] = {{text("plain"), NULL},
                {span_of(a, sizeof a), NULL},
                {span_of(b, sizeof b), "line-7"},
                {text("other"), "line-8"},
                {text("#9"), "line-9"}};
    struct addr client = ip("192.0.2.1");

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        const char *name = "untouched";

        ck_assert_int_eq(cookie_check(k, &client, good[i].cookie, 0, &name),
                         COOKIE_VALID_STATIC);
        ck_assert_int_eq(cookie_check(k, &client, good[i].cookie, 0, NULL),
                         COOKIE_VALID_STATIC);
        ck_assert_pstr_eq(name, good[i].name);
    }
    const char *const bad[] = {"plai",         "plain2",        "Plain", "line-7",
                               "hex:a0a1a2a3", "# subscribers", "\n",    " "};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        const char *name = "untouched";

        ck_assert_int_eq(cookie_check(k, &client, text(bad[i]), 0, &name), COOKIE_INVALID);
        ck_assert_ptr_null(name);
    }
    cookie_keys_free(k);
}
END_TEST

START_TEST(padding_to_four_octets_does_not_count)
{
    struct cookie_keys *k =
        load(COOKIE_STATIC, "a\nabcde\nhex:c0c1c200\nhex:d000000000000000", NULL, false);
    const struct {
        const char *octets;
        size_t len;
        bool good;
    } row[] = {
        {"a", 1, true},
        {"a\0", 2, true},
        {"a\0\0\0", 4, true},
        {"a\0\0\0\0\0\0\0", 8, false}, /* padding is at most three octets */
        {"a\0\0b", 4, false},
        {"abcde\0\0\0", 8, true},
        {"abcde\0\0", 7, true},
        {"abcd", 4, false},
        {"\xc0\xc1\xc2", 3, true},
        {"\xc0\xc1\xc2\0", 4, true},
        {"\xd0\0\0\0\0", 5, true},
        {"\xd0\0\0\0", 4, false},
    };

    for (size_t i = 0; i < ARRAY_LEN(row); i++)
        ck_assert_msg(judge(k, "192.0.2.1", span_of(row[i].octets, row[i].len), 0) ==
                          (row[i].good ? COOKIE_VALID_STATIC : COOKIE_INVALID),
                      "row %zu", i);
    cookie_keys_free(k);
}
END_TEST

START_TEST(longest_static_cookie_fits)
{
    char line[2 * 1013 + 8] = "hex:";
    uint8_t value[1016];
    struct cookie_keys *k;

    memset(line + 4, 'a', (size_t)2 * 1012);
    memset(value, 0xaa, sizeof value);
    k = load(COOKIE_STATIC, line, NULL, false);
    ck_assert_int_eq(judge(k, "192.0.2.1", span_of(value, 1012), 0), COOKIE_VALID_STATIC);
    ck_assert_int_eq(judge(k, "192.0.2.1", span_of(value, 1011), 0), COOKIE_INVALID);
    ck_assert_int_eq(judge(k, "192.0.2.1", span_of(value, 1013), 0), COOKIE_INVALID);
    ck_assert_int_eq(judge(k, "192.0.2.1", span_of(value, 1016), 0), COOKIE_INVALID);
    cookie_keys_free(k);
    memset(line + 4, 'a', (size_t)2 * 1013);
    refused(COOKIE_STATIC, line, ":1", "1..1012 octets");
    memset(line, 'a', 1013);
    line[1013] = '\0';
    refused(COOKIE_STATIC, line, ":1", "1..1012 octets");
}
END_TEST

START_TEST(an_empty_static_file_lets_nobody_in)
{
    struct cookie_keys *k = load(COOKIE_STATIC, "# none yet\n", NULL, false);

    ck_assert_int_eq(judge(k, "192.0.2.1", text("abcd"), 0), COOKIE_INVALID);
    ck_assert_int_eq(judge(k, "192.0.2.1", text("\0\0\0"), 0), COOKIE_INVALID);
    cookie_keys_free(k);
}
END_TEST

START_TEST(bad_lines_are_named)
{
    refused(COOKIE_STATIC, "good\nname cookie more\n", ":2", "expected");
    refused(COOKIE_STATIC, "hex:\n", ":1", "1..1012");
    refused(COOKIE_STATIC, "\nhex:a0a\n", ":2", "1..1012");
    refused(COOKIE_STATIC, "name hex:zz\n", ":1", "1..1012");
    refused(COOKIE_STATIC, "one abc\ntwo hex:61626300\n", ":2", "twice");
    refused(COOKIE_COMPUTED, "1\n", ":1", "expected");
    refused(COOKIE_COMPUTED, "1 " KEY1 " x\n", ":1", "expected");
    refused(COOKIE_COMPUTED, "256 " KEY1 "\n", ":1", "0..255");
    refused(COOKIE_COMPUTED, "0001 " KEY1 "\n", ":1", "0..255");
    refused(COOKIE_COMPUTED, "-1 " KEY1 "\n", ":1", "0..255");
    refused(COOKIE_COMPUTED, "1 " KEY1 "\n1 " KEY2 "\n", ":2", "key id 1 again");
    refused(COOKIE_COMPUTED, "1 " KEY1 "\n2 " KEY2 "\n3 0011\n", ":3", "16..64");
    refused(COOKIE_COMPUTED, "1 000102030405060708090a0b0c0d0e\n", ":1", "16..64");
    refused(COOKIE_COMPUTED, "1 " KEY1 KEY1 "00\n", ":1", "16..64");
    refused(COOKIE_COMPUTED, "1 g0" KEY1 "\n", ":1", "16..64");
    refused(COOKIE_COMPUTED, "# empty\n", ":1", "no key");
}
END_TEST

START_TEST(a_message_never_shows_the_secret)
{
    struct tempfile f = tempfile_text("1 " KEY1 "zz\n");
    struct conf_error err = {""};

    ck_assert_ptr_null(cookie_keys_load(COOKIE_COMPUTED, NULL, f.path, false, &err));
    ck_assert_ptr_null(strstr(err.text, "0001020304"));
    tempfile_done(&f);
}
END_TEST

START_TEST(files_open_to_others_are_refused)
{
    static const mode_t open_modes[] = {0604, 0602, 0666, 0601};
    struct conf_error err;

    for (size_t i = 0; i < ARRAY_LEN(open_modes); i++) {
        struct tempfile f =
            tempfile_make("1 " KEY1 "\n", sizeof "1 " KEY1 "\n" - 1, open_modes[i]);

        err.text[0] = '\0';
        ck_assert_ptr_null(cookie_keys_load(COOKIE_COMPUTED, NULL, f.path, false, &err));
        ck_assert_msg(strstr(err.text, f.path) == err.text &&
                          strstr(err.text, "other users") != NULL,
                      "%s", err.text);
        ck_assert_ptr_null(cookie_keys_load(COOKIE_STATIC, f.path, NULL, false, &err));
        tempfile_done(&f);
    }
    struct tempfile group = tempfile_make("1 " KEY1 "\n", sizeof "1 " KEY1 "\n" - 1, 0640);
    struct cookie_keys *k = cookie_keys_load(COOKIE_COMPUTED, NULL, group.path, false, &err);
    ck_assert_ptr_nonnull(k);
    cookie_keys_free(k);
    tempfile_done(&group);
}
END_TEST

START_TEST(unreadable_files_are_named)
{
    struct conf_error err = {""};
    struct tempfile nul = tempfile_make("abc\0def\n", 8, 0600), fifo = tempfile_text("");

    ck_assert_ptr_null(
        cookie_keys_load(COOKIE_COMPUTED, NULL, "/nonexistent/keys", false, &err));
    ck_assert_str_eq(err.text, "/nonexistent/keys: No such file or directory");
    ck_assert_ptr_null(cookie_keys_load(COOKIE_STATIC, "/tmp", NULL, false, &err));
    ck_assert_str_eq(err.text, "/tmp: not a regular file");
    ck_assert_ptr_null(cookie_keys_load(COOKIE_STATIC, nul.path, NULL, false, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "NUL"));
    tempfile_done(&fifo);
    ck_assert_int_eq(mkfifo(fifo.path, 0600), 0);
    ck_assert_ptr_null(cookie_keys_load(COOKIE_STATIC, fifo.path, NULL, false, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "not a regular file"));
    tempfile_done(&fifo);
    tempfile_done(&nul);
    ck_assert_ptr_null(cookie_keys_load(COOKIE_STATIC, NULL, NULL, false, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "static_file"));
}
END_TEST

START_TEST(more_static_cookies_than_the_limit_are_refused)
{
    static char many[4097 * 6 + 1]; /* lines of six octets */

    for (size_t i = 0; i < sizeof many / 6; i++)
        (void)snprintf(many + i * 6, 7, "c%04zu\n", i);
    refused(COOKIE_STATIC, many, ":4097", "more than 4096");
    many[sizeof many - 1 - 6] = '\0';
    struct cookie_keys *k = load(COOKIE_STATIC, many, NULL, false);
    ck_assert_int_eq(judge(k, "192.0.2.1", text("c0000"), 0), COOKIE_VALID_STATIC);
    ck_assert_int_eq(judge(k, "192.0.2.1", text("c4095"), 0), COOKIE_VALID_STATIC);
    ck_assert_int_eq(judge(k, "192.0.2.1", text("c4096"), 0), COOKIE_INVALID);
    cookie_keys_free(k);
}
END_TEST

START_TEST(free_of_null_is_fine)
{
    cookie_keys_free(NULL);
}
END_TEST

struct crowd {
    const struct cookie_keys *keys;
    struct addr client, other;
    atomic_uint wrong; /* assertions belong to the main thread */
};

static void *check_many(void *arg)
{
    struct crowd *w = arg;

    for (int i = 0; i < 2000; i++) {
        uint8_t c[COOKIE_LEN];
        struct span made = span_of(c, sizeof c);

        cookie_make(w->keys, &w->client, EPOCH, c);
        w->wrong +=
            cookie_check(w->keys, &w->client, made, EPOCH, NULL) != COOKIE_VALID_COMPUTED;
        w->wrong += cookie_check(w->keys, &w->other, made, EPOCH, NULL) != COOKIE_INVALID;
        w->wrong +=
            cookie_check(w->keys, &w->other, text("fixed"), EPOCH, NULL) != COOKIE_VALID_STATIC;
    }
    return NULL;
}

START_TEST(any_thread_may_check)
{
    struct cookie_keys *k = load(COOKIE_BOTH, "fixed", "1 " KEY1 "\n", false);
    struct crowd w = {.keys = k, .client = ip("192.0.2.77"), .other = ip("192.0.2.78")};
    pthread_t t[3];

    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, check_many, &w), 0);
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        ck_assert_int_eq(pthread_join(t[i], NULL), 0);
    ck_assert_uint_eq(w.wrong, 0);
    cookie_keys_free(k);
}
END_TEST

START_TEST(loading_without_openssl_memory_is_an_error)
{
    struct tempfile s = tempfile_text("name abc\nother def\n"),
                    k = tempfile_text("1 " KEY1 "\n2 " KEY2 "\n");
    struct conf_error err = {""};

    crypto_fault_set(true);
    ck_assert_ptr_null(cookie_keys_load(COOKIE_STATIC, s.path, NULL, false, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "out of memory"));
    err.text[0] = '\0';
    ck_assert_ptr_null(cookie_keys_load(COOKIE_COMPUTED, NULL, k.path, false, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "out of memory"));
    err.text[0] = '\0';
    ck_assert_ptr_null(cookie_keys_load(COOKIE_COMPUTED, NULL, NULL, false, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "out of memory"));
    crypto_fault_set(false);
    tempfile_done(&s);
    tempfile_done(&k);
}
END_TEST

START_TEST(without_memory_no_cookie_is_made_or_valid)
{
    static const uint8_t zeros[COOKIE_LEN];
    struct cookie_keys *k = load(COOKIE_BOTH, "fixed", "0 " KEY1 "\n", false);
    struct addr client = ip("192.0.2.77");
    uint8_t good[COOKIE_LEN], bad[COOKIE_LEN];

    cookie_make(k, &client, EPOCH, good);
    crypto_fault_set(true);
    cookie_make(k, &client, EPOCH, bad);
    ck_assert_mem_eq(bad, zeros, COOKIE_LEN);
    ck_assert_int_eq(judge(k, "192.0.2.77", span_of(good, COOKIE_LEN), EPOCH), COOKIE_INVALID);
    ck_assert_int_eq(judge(k, "192.0.2.77", span_of(zeros, COOKIE_LEN), 0), COOKIE_INVALID);
    ck_assert_int_eq(judge(k, "192.0.2.77", text("fixed"), EPOCH), COOKIE_INVALID);
    crypto_fault_set(false);
    ck_assert_int_eq(judge(k, "192.0.2.77", span_of(zeros, COOKIE_LEN), 0), COOKIE_INVALID);
    ck_assert_int_eq(judge(k, "192.0.2.77", span_of(good, COOKIE_LEN), EPOCH),
                     COOKIE_VALID_COMPUTED);
    cookie_keys_free(k);
}
END_TEST

static Suite *cookie_suite(void)
{
    Suite *s = suite_create("cookie");
    TCase *t = tcase_create("all");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, vector_cv40_is_made_and_accepted);
    tcase_add_test(t, current_and_previous_epoch_are_accepted);
    tcase_add_test(t, a_cookie_is_bound_to_the_address);
    tcase_add_test(t, bound_to_the_prefix_when_so_configured);
    tcase_add_test(t, every_single_octet_change_is_refused);
    tcase_add_test(t, every_other_length_is_refused);
    tcase_add_test(t, first_key_makes_first_two_verify);
    tcase_add_test(t, the_id_alone_is_not_the_key);
    tcase_add_test(t, without_a_keys_file_the_key_is_random);
    tcase_add_test(t, the_mode_decides_what_is_computed_and_accepted);
    tcase_add_test(t, static_cookies_are_text_or_hex_with_or_without_name);
    tcase_add_test(t, padding_to_four_octets_does_not_count);
    tcase_add_test(t, longest_static_cookie_fits);
    tcase_add_test(t, an_empty_static_file_lets_nobody_in);
    tcase_add_test(t, bad_lines_are_named);
    tcase_add_test(t, a_message_never_shows_the_secret);
    tcase_add_test(t, files_open_to_others_are_refused);
    tcase_add_test(t, unreadable_files_are_named);
    tcase_add_test(t, more_static_cookies_than_the_limit_are_refused);
    tcase_add_test(t, free_of_null_is_fine);
    tcase_add_test(t, any_thread_may_check);
    tcase_add_test(t, without_memory_no_cookie_is_made_or_valid);
    tcase_add_test(t, loading_without_openssl_memory_is_an_error);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    crypto_fault_install();
    return runner_main(cookie_suite());
}
