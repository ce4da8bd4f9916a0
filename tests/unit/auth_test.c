/* SPDX-License-Identifier: MIT */
#include "auth.h"
#include "crypto_fault.h"
#include "runner.h"
#include "tempfile.h"
#include <crypt.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

/* Cheap hashes of "secret", one per method; made with mkpasswd. */
#define YESCRYPT "$y$j75$jV.LXaFNhi3GwkmNtj6sh1$z4Evchjps2d5eGG4XzdvmbesgF4cJhov.aKiRAh44ZD"
#define GOST "$gy$j75$IWkZyBhWsPzDGOcNmizJ.1$1MbXJVWvIxgtardxLjrbqfHNdf/5q9D.ZAEdeGKICr2"
#define BCRYPT "$2b$04$oNbMpVb9tVPRPrS8uZYMdeh1q4VWROWSfO3Q4nM1CRatHjlcwr3Q6"
#define SHA256 "$5$rounds=1000$hSJr40AaNyATvimU$yOxH4g3J3eix1HePSlAUYfpkbFrB68VZlfWo2.Frun6"
/* clang-format off */
#define SHA512 "$6$rounds=1000$ASELjQkHz0LN8sjZ$DxRNyNMKl3RvfQOkXQPgw0GZ48hp0kg7WY82Aymg19LrxOumGpWpLXwVQQZ5gRp2ZqswrkHA9UA0qDVFtS1oM."
/* clang-format on */
/* clang-format off */
#define SHA256_OF_NOTHING "$5$rounds=1000$hSJr40AaNyATvimU$0W3DqMQG164x9oU08.cBtVim3/q4r6Ub7hiBDrXpnO/" /* the empty password */
/* clang-format on */
#define MD5 "$1$isifUmOX$kvzHvv0CCf6gRL6AZFkAP."

/* --- crypt_r(3) under observation: how often, with which setting, and failing on demand --- */

static struct {
    atomic_uint calls;
    atomic_bool fail;
    char setting[CRYPT_OUTPUT_SIZE];
} observed;

char *crypt_r(const char *phrase, const char *setting, struct crypt_data *data)
{
    char *(*real)(const char *, const char *, struct crypt_data *);
    void *found = dlsym(RTLD_NEXT, "crypt_r");

    memcpy(&real, &found, sizeof real); /* C has no cast from object to function pointer */
    if (atomic_fetch_add(&observed.calls, 1) == 0)
        (void)snprintf(observed.setting, sizeof observed.setting, "%s", setting);
    return atomic_load(&observed.fail) ? NULL : real(phrase, setting, data);
}

/* --- */

static struct span text(const char *s)
{
    return span_of(s, strlen(s));
}

static struct auth_users *load(const char *content)
{
    struct tempfile f = tempfile_text(content);
    struct conf_error err = {""};
    struct auth_users *u = auth_users_load(f.path, &err);

    ck_assert_msg(u != NULL, "%s", err.text);
    tempfile_done(&f);
    return u;
}

static void refused(const char *content, size_t line, const char *reason)
{
    struct tempfile f = tempfile_text(content);
    struct conf_error err = {""};
    char start[128];

    ck_assert_ptr_null(auth_users_load(f.path, &err));
    (void)snprintf(start, sizeof start, "%s:%zu: ", f.path, line);
    ck_assert_msg(strncmp(err.text, start, strlen(start)) == 0, "%s", err.text);
    ck_assert_msg(strstr(err.text, reason) != NULL, "%s", err.text);
    tempfile_done(&f);
}

static enum auth_verdict verify(const struct auth_users *u, const char *user, const char *pass)
{
    return auth_verify(u, text(user), text(pass));
}

START_TEST(verdicts_have_the_names_of_the_stats)
{
    ck_assert_str_eq(auth_verdict_name(AUTH_BAD_CREDENTIALS), "bad_credentials");
    ck_assert_str_eq(auth_verdict_name(AUTH_UNKNOWN_USER), "unknown_user");
    ck_assert_str_eq(auth_verdict_name(AUTH_DISABLED), "disabled");
    for (int v = 0; v < AUTH_VERDICT_COUNT; v++)
        ck_assert_ptr_nonnull(auth_verdict_name((enum auth_verdict)v));
}
END_TEST

START_TEST(every_modern_method_verifies)
{
    static const char *const hashes[] = {YESCRYPT, GOST, BCRYPT, SHA256, SHA512, MD5};

    for (size_t i = 0; i < ARRAY_LEN(hashes); i++) {
        char line[256];

        (void)snprintf(line, sizeof line, "alice:%s\n", hashes[i]);
        struct auth_users *u = load(line);
        ck_assert_int_eq(verify(u, "alice", "secret"), AUTH_OK);
        ck_assert_int_eq(verify(u, "alice", "Secret"), AUTH_BAD_CREDENTIALS);
        ck_assert_int_eq(verify(u, "alice", "secret2"), AUTH_BAD_CREDENTIALS);
        ck_assert_int_eq(verify(u, "alice", "secre"), AUTH_BAD_CREDENTIALS);
        ck_assert_int_eq(verify(u, "alice", ""), AUTH_BAD_CREDENTIALS);
        auth_users_free(u);
    }
}
END_TEST

START_TEST(each_user_is_found_and_nobody_else)
{
    struct auth_users *u =
        load("# users\n\nmallory:" SHA256 "\r\nal:" SHA256 "\nalice:" SHA256 "\n"
             "al ice:" SHA256 "\n\xff\xfe:" SHA256 "\nali:!\nz:" SHA256);
    static const char *const known[] = {"mallory", "al", "alice", "al ice", "\xff\xfe", "z"};
    static const char *const unknown[] = {"",      "a",       "alic", "alicee",
                                          "Alice", "# users", "zz",   "\xff"};

    ck_assert_uint_eq(auth_users_count(u), 7);
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        ck_assert_int_eq(verify(u, known[i], "secret"), AUTH_OK);
    for (size_t i = 0; i < ARRAY_LEN(unknown); i++)
        ck_assert_int_eq(verify(u, unknown[i], "secret"), AUTH_UNKNOWN_USER);
    ck_assert_int_eq(auth_verify(u, span_of(NULL, 0), span_of(NULL, 0)), AUTH_UNKNOWN_USER);
    ck_assert_int_eq(auth_verify(u, span_of("al\0", 3), text("secret")), AUTH_UNKNOWN_USER);
    auth_users_free(u);
}
END_TEST

START_TEST(marked_users_are_disabled)
{
    struct auth_users *u = load("a:!" SHA256 "\nb:*\nc:!\nd:*" SHA256 "\ne:!!\nf:" SHA256 "\n");
    static const char *const disabled[] = {"a", "b", "c", "d", "e"};

    for (size_t i = 0; i < ARRAY_LEN(disabled); i++) {
        ck_assert_int_eq(verify(u, disabled[i], "secret"), AUTH_DISABLED);
        ck_assert_int_eq(verify(u, disabled[i], "wrong"), AUTH_DISABLED);
    }
    ck_assert_int_eq(verify(u, "f", "secret"), AUTH_OK);
    auth_users_free(u);
}
END_TEST

/* From an exact-size heap copy, so that a read beyond the end is seen. */
START_TEST(a_password_with_nul_or_too_long_is_wrong)
{
    struct auth_users *u = load("alice:" SHA256 "\n");
    struct {
        const char *octets;
        size_t len;
    } row[] = {{"secret\0", 7}, {"secret\0more", 11}, {"\0secret", 7}, {"\0", 1}};
    char *longest = malloc(256);

    ck_assert_ptr_nonnull(longest);
    for (size_t i = 0; i < ARRAY_LEN(row); i++)
        ck_assert_int_eq(auth_verify(u, text("alice"), span_of(row[i].octets, row[i].len)),
                         AUTH_BAD_CREDENTIALS);
    memset(longest, 'a', 256);
    ck_assert_int_eq(auth_verify(u, text("alice"), span_of(longest, 255)),
                     AUTH_BAD_CREDENTIALS);
    ck_assert_int_eq(auth_verify(u, text("alice"), span_of(longest, 256)),
                     AUTH_BAD_CREDENTIALS);
    ck_assert_int_eq(auth_verify(u, span_of(longest, 256), text("secret")), AUTH_UNKNOWN_USER);
    ck_assert_int_eq(auth_verify(u, text("alice"), span_of(NULL, 0)), AUTH_BAD_CREDENTIALS);
    free(longest);
    auth_users_free(u);
    u = load("alice:" SHA256_OF_NOTHING "\n");
    ck_assert_int_eq(auth_verify(u, text("alice"), span_of(NULL, 0)), AUTH_OK);
    ck_assert_int_eq(auth_verify(u, text("alice"), span_of("\0", 1)), AUTH_BAD_CREDENTIALS);
    auth_users_free(u);
}
END_TEST

static unsigned hashes_for(const struct auth_users *u, const char *user, struct span pass)
{
    atomic_store(&observed.calls, 0);
    (void)auth_verify(u, text(user), pass);
    return atomic_load(&observed.calls);
}

START_TEST(unknown_and_disabled_users_cost_one_hash_of_the_same_kind)
{
    struct auth_users *u = load("off:!\nfirst:" SHA256 "\nalice:" SHA512 "\n");

    ck_assert_uint_eq(hashes_for(u, "alice", text("wrong")), 1);
    ck_assert_str_eq(observed.setting, SHA512);
    ck_assert_uint_eq(hashes_for(u, "nobody", text("wrong")), 1);
    ck_assert_str_eq(observed.setting, SHA256);
    ck_assert_uint_eq(hashes_for(u, "off", text("wrong")), 1);
    ck_assert_str_eq(observed.setting, SHA256);
    ck_assert_uint_eq(hashes_for(u, "alice", span_of("a\0b", 3)), 1);
    ck_assert_uint_eq(hashes_for(u, "", text("")), 1);
    auth_users_free(u);
}
END_TEST

START_TEST(a_locked_hash_serves_as_the_dummy)
{
    struct auth_users *u = load("off:!" SHA256 "\n");

    ck_assert_uint_eq(hashes_for(u, "nobody", text("wrong")), 1);
    ck_assert_str_eq(observed.setting, SHA256);
    auth_users_free(u);
}
END_TEST

START_TEST(the_dummy_never_lets_anybody_in)
{
    struct auth_users *u = load("alice:" SHA256 "\noff:!" SHA256 "\n"); /* both "secret" */

    ck_assert_int_eq(verify(u, "nobody", "secret"), AUTH_UNKNOWN_USER);
    ck_assert_int_eq(verify(u, "off", "secret"), AUTH_DISABLED);
    auth_users_free(u);
}
END_TEST

START_TEST(a_hash_that_cannot_be_made_is_a_wrong_password)
{
    struct auth_users *u = load("alice:" SHA256 "\n");

    atomic_store(&observed.fail, true);
    ck_assert_int_eq(verify(u, "alice", "secret"), AUTH_BAD_CREDENTIALS);
    atomic_store(&observed.fail, false);
    ck_assert_int_eq(verify(u, "alice", "secret"), AUTH_OK);
    auth_users_free(u);
}
END_TEST

START_TEST(an_empty_file_knows_nobody)
{
    struct auth_users *u = load("# none\n\n");

    ck_assert_uint_eq(auth_users_count(u), 0);
    ck_assert_int_eq(verify(u, "alice", "secret"), AUTH_UNKNOWN_USER);
    auth_users_free(u);
}
END_TEST

START_TEST(bad_lines_are_named)
{
    char line[600];

    refused("alice:" SHA256 "\nbob\n", 2, "expected: name");
    refused(":" SHA256 "\n", 1, "expected: name");
    refused("\nalice:\n", 2, "not a hash");
    refused("alice:secret\n", 1, "not a hash");        /* a password in clear */
    refused("alice:sejNfvbaqmXCw\n", 1, "not a hash"); /* traditional DES */
    refused("alice:se$0123456789012345678901234567\n", 1, "not a hash"); /* DES again */
    refused("alice:$9$abc$0123456789012345678901234567\n", 1, "not a hash");
    refused("alice:$6$ASELjQkHz0LN8sjZ\n", 1, "not a hash"); /* salt only */
    refused("alice:$6$ASELjQkHz0LN8sjZ$short\n", 1, "not a hash");
    refused("alice:" SHA256 ":18000:0:\n", 1, "not a hash"); /* a line of shadow(5) */
    refused("alice:" SHA256 " \n", 1, "not a hash");
    refused("alice:" SHA256 "\nbob:" SHA256 "\nalice:" MD5 "\n", 3, "line 1 already");
    memset(line, 'a', 256);
    (void)snprintf(line + 256, sizeof line - 256, ":%s\n", SHA256);
    refused(line, 1, "1..255");
    auth_users_free(load(line + 1));
}
END_TEST

START_TEST(a_message_never_shows_the_hash)
{
    struct tempfile f = tempfile_text("alice:hunter2\n");
    struct conf_error err = {""};

    ck_assert_ptr_null(auth_users_load(f.path, &err));
    ck_assert_ptr_null(strstr(err.text, "hunter2"));
    tempfile_done(&f);
}
END_TEST

START_TEST(a_file_that_is_missing_or_writable_by_others_is_refused)
{
    static const char content[] = "alice:" SHA256 "\n";
    struct tempfile w = tempfile_make(content, sizeof content - 1, 0602);
    struct tempfile r = tempfile_make(content, sizeof content - 1, 0644);
    struct conf_error err = {""};

    ck_assert_ptr_null(auth_users_load("/nonexistent/users", &err));
    ck_assert_str_eq(err.text, "/nonexistent/users: No such file or directory");
    ck_assert_ptr_null(auth_users_load(w.path, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "write"));
    struct auth_users *u = auth_users_load(r.path, &err);
    ck_assert_ptr_nonnull(u);
    auth_users_free(u);
    tempfile_done(&w);
    tempfile_done(&r);
}
END_TEST

START_TEST(more_users_than_the_limit_are_refused)
{
    enum { USERS = 65536 };
    size_t len = 0, cap = (USERS + 1) * sizeof "u65536:!\n";
    char *many = malloc(cap);

    ck_assert_ptr_nonnull(many);
    for (int i = 0; i <= USERS; i++)
        len += (size_t)snprintf(many + len, cap - len, "u%d:!\n", i);
    refused(many, USERS + 1, "more than 65536");
    many[len - (sizeof "u65536:!\n" - 1)] = '#';
    struct auth_users *u = load(many);
    ck_assert_uint_eq(auth_users_count(u), USERS);
    ck_assert_int_eq(verify(u, "u65535", ""), AUTH_DISABLED);
    ck_assert_int_eq(verify(u, "u65536", ""), AUTH_UNKNOWN_USER);
    auth_users_free(u);
    free(many);
}
END_TEST

START_TEST(users_live_until_the_last_reference_goes)
{
    struct auth_users *u = load("alice:" SHA256 "\n");

    ck_assert_ptr_eq(auth_users_ref(u), u);
    auth_users_free(u);
    ck_assert_int_eq(verify(u, "alice", "secret"),
                     AUTH_OK); /* ASan would see a use after free */
    auth_users_free(u);
    auth_users_free(NULL);
}
END_TEST

struct crowd {
    struct auth_users *users;
    atomic_uint wrong; /* assertions belong to the main thread */
};

static void *verify_many(void *arg)
{
    struct crowd *w = arg;
    struct auth_users *u = auth_users_ref(w->users);

    for (int i = 0; i < 20; i++) {
        w->wrong += verify(u, "alice", "secret") != AUTH_OK;
        w->wrong += verify(u, "alice", "wrong") != AUTH_BAD_CREDENTIALS;
        w->wrong += verify(u, "bob", "wrong") != AUTH_UNKNOWN_USER;
    }
    auth_users_free(u);
    return NULL;
}

START_TEST(any_thread_may_verify)
{
    struct crowd w = {.users = load("alice:" SHA256 "\n")};
    pthread_t t[3];

    atomic_store(&observed.calls, 1); /* leave the setting alone: it is not made for threads */
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, verify_many, &w), 0);
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        ck_assert_int_eq(pthread_join(t[i], NULL), 0);
    ck_assert_uint_eq(w.wrong, 0);
    auth_users_free(w.users);
}
END_TEST

/* --- cache --- */

static enum auth_verdict find(struct auth_cache *c, const struct auth_users *u,
                              const char *user, const char *pass, uint64_t now_ms)
{
    return auth_cache_find(c, u, text(user), text(pass), now_ms);
}

static void store(struct auth_cache *c, const struct auth_users *u, const char *user,
                  const char *pass, enum auth_verdict v, uint64_t now_ms)
{
    auth_cache_store(c, u, text(user), text(pass), v, now_ms);
}

static struct auth_cache *make_cache(size_t entries, uint32_t ttl_ms)
{
    struct auth_cache *c = auth_cache_new(entries, ttl_ms);

    ck_assert_ptr_nonnull(c);
    return c;
}

START_TEST(a_good_answer_is_found_for_that_user_and_password_only)
{
    struct auth_users *u = load("alice:!\n");
    struct auth_cache *c = make_cache(8, 1000);

    ck_assert_int_eq(find(c, u, "alice", "secret", 0), AUTH_ASK);
    store(c, u, "alice", "secret", AUTH_OK, 0);
    ck_assert_int_eq(find(c, u, "alice", "secret", 0), AUTH_OK);
    ck_assert_int_eq(find(c, u, "alice", "secre", 0), AUTH_ASK);
    ck_assert_int_eq(find(c, u, "alice", "wrong", 0), AUTH_ASK);
    ck_assert_int_eq(find(c, u, "bob", "secret", 0), AUTH_ASK);
    ck_assert_int_eq(find(c, u, "alices", "ecret", 0),
                     AUTH_ASK); /* where one ends and the other begins counts */
    ck_assert_int_eq(find(c, u, "", "", 0), AUTH_ASK);
    store(c, u, "", "", AUTH_OK, 0);
    ck_assert_int_eq(auth_cache_find(c, u, span_of(NULL, 0), span_of(NULL, 0), 0), AUTH_OK);
    auth_cache_free(c);
    auth_users_free(u);
}
END_TEST

START_TEST(only_good_answers_are_kept)
{
    static const enum auth_verdict others[] = {AUTH_BAD_CREDENTIALS, AUTH_UNKNOWN_USER,
                                               AUTH_DISABLED, AUTH_ASK};
    struct auth_users *u = load("");
    struct auth_cache *c = make_cache(8, 1000);

    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        store(c, u, "alice", "secret", others[i], 0);
        ck_assert_int_eq(find(c, u, "alice", "secret", 0), AUTH_ASK);
    }
    auth_cache_free(c);
    auth_users_free(u);
}
END_TEST

START_TEST(an_answer_ends_with_its_time)
{
    struct auth_users *u = load("");
    struct auth_cache *c = make_cache(8, 1000), *never = make_cache(8, 0);

    store(c, u, "alice", "secret", AUTH_OK, 500);
    ck_assert_int_eq(find(c, u, "alice", "secret", 1499),
                     AUTH_OK); /* and finding it does not prolong it */
    ck_assert_int_eq(find(c, u, "alice", "secret", 1500), AUTH_ASK);
    ck_assert_int_eq(find(c, u, "alice", "secret", 1499), AUTH_ASK);
    store(c, u, "alice", "secret", AUTH_OK, 2000);
    store(c, u, "alice", "secret", AUTH_OK, 2900);
    ck_assert_int_eq(find(c, u, "alice", "secret", 3899), AUTH_OK);
    store(never, u, "alice", "secret", AUTH_OK, 0);
    ck_assert_int_eq(find(never, u, "alice", "secret", 0), AUTH_ASK);
    auth_cache_free(c);
    auth_cache_free(never);
    auth_users_free(u);
}
END_TEST

START_TEST(an_answer_is_good_for_the_very_users)
{
    struct auth_cache *c = make_cache(64, 1000);

    for (int i = 0; i < 20; i++) { /* the allocator will hand out the same address again */
        struct auth_users *u = load("alice:" SHA256 "\n");

        ck_assert_int_eq(find(c, u, "alice", "secret", 0), AUTH_ASK);
        store(c, u, "alice", "secret", AUTH_OK, 0);
        ck_assert_int_eq(find(c, u, "alice", "secret", 0), AUTH_OK);
        auth_users_free(u);
    }
    auth_cache_free(c);
}
END_TEST

START_TEST(the_least_recently_used_answer_goes_first)
{
    struct auth_users *u = load("");
    struct auth_cache *c = make_cache(3, 1000);

    store(c, u, "a", "1", AUTH_OK, 0);
    store(c, u, "b", "2", AUTH_OK, 0);
    store(c, u, "c", "3", AUTH_OK, 0);
    ck_assert_int_eq(find(c, u, "a", "1", 1), AUTH_OK);
    store(c, u, "c", "3", AUTH_OK, 1); /* known already: nobody has to go */
    store(c, u, "d", "4", AUTH_OK, 1);
    ck_assert_int_eq(find(c, u, "b", "2", 1), AUTH_ASK);
    ck_assert_int_eq(find(c, u, "a", "1", 1), AUTH_OK);
    ck_assert_int_eq(find(c, u, "c", "3", 1), AUTH_OK);
    ck_assert_int_eq(find(c, u, "d", "4", 1), AUTH_OK);
    auth_cache_free(c);
    auth_users_free(u);
}
END_TEST

START_TEST(the_cache_is_bounded)
{
    struct auth_users *u = load("");
    static const size_t sizes[] = {0, 1, 7, 100};

    for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
        struct auth_cache *c = make_cache(sizes[s], 1000);
        size_t kept = 0;
        char name[16];

        for (int i = 0; i < 1000; i++) {
            (void)snprintf(name, sizeof name, "u%d", i);
            store(c, u, name, "secret", AUTH_OK, 0);
            ck_assert_int_eq(find(c, u, name, "secret", 0), sizes[s] > 0 ? AUTH_OK : AUTH_ASK);
        }
        for (int i = 0; i < 1000; i++) {
            (void)snprintf(name, sizeof name, "u%d", i);
            kept += find(c, u, name, "secret", 0) == AUTH_OK;
        }
        ck_assert_uint_eq(kept, sizes[s]);
        auth_cache_free(c);
    }
    auth_users_free(u);
}
END_TEST

START_TEST(fields_longer_than_the_protocol_has_are_never_found)
{
    struct auth_users *u = load("");
    struct auth_cache *c = make_cache(8, 1000);
    char big[256];

    memset(big, 'a', sizeof big);
    auth_cache_store(c, u, span_of(big, 256), text("x"), AUTH_OK, 0);
    ck_assert_int_eq(auth_cache_find(c, u, span_of(big, 256), text("x"), 0), AUTH_ASK);
    auth_cache_store(c, u, text("x"), span_of(big, 256), AUTH_OK, 0);
    ck_assert_int_eq(auth_cache_find(c, u, text("x"), span_of(big, 256), 0), AUTH_ASK);
    auth_cache_store(c, u, span_of(big, 255), span_of(big, 255), AUTH_OK, 0);
    ck_assert_int_eq(auth_cache_find(c, u, span_of(big, 255), span_of(big, 255), 0), AUTH_OK);
    auth_cache_free(c);
    auth_cache_free(NULL);
    auth_users_free(u);
}
END_TEST

START_TEST(a_cache_without_openssl_memory_is_null_or_knows_nothing)
{
    struct auth_users *u = load("");
    struct auth_cache *c = make_cache(8, 1000);

    store(c, u, "alice", "secret", AUTH_OK, 0);
    crypto_fault_set(true);
    ck_assert_ptr_null(auth_cache_new(8, 1000));
    ck_assert_int_eq(find(c, u, "alice", "secret", 0), AUTH_ASK);
    store(c, u, "bob", "secret", AUTH_OK, 0);
    crypto_fault_set(false);
    ck_assert_int_eq(find(c, u, "alice", "secret", 0), AUTH_OK);
    ck_assert_int_eq(find(c, u, "bob", "secret", 0), AUTH_ASK);
    auth_cache_free(c);
    auth_users_free(u);
}
END_TEST

static void add_cache_tests(Suite *s)
{
    TCase *t = tcase_create("cache");

    tcase_add_test(t, a_good_answer_is_found_for_that_user_and_password_only);
    tcase_add_test(t, only_good_answers_are_kept);
    tcase_add_test(t, an_answer_ends_with_its_time);
    tcase_add_test(t, an_answer_is_good_for_the_very_users);
    tcase_add_test(t, the_least_recently_used_answer_goes_first);
    tcase_add_test(t, the_cache_is_bounded);
    tcase_add_test(t, fields_longer_than_the_protocol_has_are_never_found);
    suite_add_tcase(s, t);
}

static Suite *auth_suite(void)
{
    Suite *s = suite_create("auth");
    TCase *t = tcase_create("users");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, verdicts_have_the_names_of_the_stats);
    tcase_add_test(t, every_modern_method_verifies);
    tcase_add_test(t, each_user_is_found_and_nobody_else);
    tcase_add_test(t, marked_users_are_disabled);
    tcase_add_test(t, a_password_with_nul_or_too_long_is_wrong);
    tcase_add_test(t, unknown_and_disabled_users_cost_one_hash_of_the_same_kind);
    tcase_add_test(t, a_locked_hash_serves_as_the_dummy);
    tcase_add_test(t, the_dummy_never_lets_anybody_in);
    tcase_add_test(t, a_hash_that_cannot_be_made_is_a_wrong_password);
    tcase_add_test(t, an_empty_file_knows_nobody);
    tcase_add_test(t, bad_lines_are_named);
    tcase_add_test(t, a_message_never_shows_the_hash);
    tcase_add_test(t, a_file_that_is_missing_or_writable_by_others_is_refused);
    tcase_add_test(t, more_users_than_the_limit_are_refused);
    tcase_add_test(t, users_live_until_the_last_reference_goes);
    tcase_add_test(t, any_thread_may_verify);
    tcase_add_test(t, a_cache_without_openssl_memory_is_null_or_knows_nothing);
    suite_add_tcase(s, t);
    add_cache_tests(s);
    return s;
}

int main(void)
{
    crypto_fault_install();
    return runner_main(auth_suite());
}
