/* SPDX-License-Identifier: MIT */
#include "runner.h"
#include "settings.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char secret[] = "Sesame-1";

static unsigned row(const char *name)
{
    for (unsigned i = 0; i < settings_count(); i++) {
        if (strcmp(settings_name(i), name) == 0)
            return i;
    }
    ck_abort_msg("%s", name);
    return 0;
}

static const char *value(const struct settings *s, const char *name)
{
    static char text[SETTINGS_VALUE_MAX];

    return settings_value(s, row(name), text);
}

static void set(struct settings *s, const char *name, const char *text)
{
    struct settings_error err = {.text = ""};

    ck_assert_msg(settings_set(s, name, text, &err), "%s", err.text);
}

/* By what they say: padding says nothing. */
static bool same(const struct settings *a, const struct settings *b)
{
    char one[SETTINGS_VALUE_MAX], other[SETTINGS_VALUE_MAX];

    for (unsigned i = 0; i < settings_count(); i++) {
        if (strcmp(settings_value(a, i, one), settings_value(b, i, other)) != 0)
            return false;
    }
    return true;
}

/* Refused with this text, and nothing changed. */
static void refuse(const char *name, const char *text, const char *expected)
{
    static struct settings s, before;
    struct settings_error err;

    memset(&err, 'x', sizeof err);
    settings_default(&s);
    before = s;
    ck_assert_msg(!settings_set(&s, name, text, &err), "%s=%s", name, text);
    ck_assert_str_eq(err.text, expected);
    ck_assert_mem_eq(&s, &before, sizeof s);
}

START_TEST(the_defaults_are_as_documented)
{
    static const char *const rows[][2] = {
        {"MPCONVERT_PROXY", ""},
        {"MPCONVERT_DIALECT", "mp_convert"},
        {"MPCONVERT_USER", ""},
        {"MPCONVERT_PASSWORD", ""},
        {"MPCONVERT_COOKIE", ""},
        {"MPCONVERT_BYPASS", "127.0.0.0/8,::1,169.254.0.0/16,fe80::/10,0.0.0.0/8,::"},
        {"MPCONVERT_BYPASS_LOCAL", "0"},
        {"MPCONVERT_NATIVE", "none"},
        {"MPCONVERT_BYPASS_LEARNED", "off"},
        {"MPCONVERT_LEARNED_SECONDS", "86400"},
        {"MPCONVERT_ON_FAILURE", "fail"},
        {"MPCONVERT_NONBLOCK", "swap"},
        {"MPCONVERT_TFO", "auto"},
        {"MPCONVERT_EXACT", "auto"},
        {"MPCONVERT_MPTCP", "1"},
        {"MPCONVERT_RECEIVE_BUFFER", "4M"},
        {"MPCONVERT_CONNECT_SECONDS", "30"},
        {"MPCONVERT_UDP443", "pass"},
        {"MPCONVERT_REMOTE_DNS", "0"},
        {"MPCONVERT_LOCAL_NAMES", ""},
        {"MPCONVERT_SOCKOPT", "lenient"},
        {"MPCONVERT_LOG", ""},
        {"MPCONVERT_RUN", ""},
        {"MPCONVERT_CACHE", "auto"},
    };
    static struct settings s;
    struct bypass b;
    char text[256];

    settings_default(&s);
    ck_assert_uint_eq(settings_count(), sizeof rows / sizeof rows[0]);
    for (unsigned i = 0; i < settings_count(); i++) {
        ck_assert_str_eq(settings_name(i), rows[i][0]);
        ck_assert_str_eq(value(&s, rows[i][0]), rows[i][1]);
        ck_assert(settings_help(i)[0] != '\0' && strchr(settings_help(i), '\n') == NULL);
        bool hidden = strstr("MPCONVERT_PASSWORD MPCONVERT_COOKIE", rows[i][0]) != NULL;
        ck_assert_int_eq(settings_secret(i), hidden);
    }
    bypass_default(&b);
    ck_assert_uint_eq(s.bypass.count, b.count);
    ck_assert_str_eq(value(&s, "MPCONVERT_BYPASS"), bypass_print(&b, text, sizeof text));
    ck_assert_uint_eq(s.receive_buffer, 4U << 20);
    ck_assert_uint_eq(s.connect_ms, 30000);
    ck_assert_int_eq(s.dialect, PROTOCOL_MP_CONVERT);
}
END_TEST

START_TEST(there_is_nothing_behind_the_table)
{
    static struct settings s;
    char text[SETTINGS_VALUE_MAX] = "x";

    settings_default(&s);
    ck_assert_ptr_null(settings_name(settings_count()));
    ck_assert_ptr_null(settings_help(settings_count()));
    ck_assert(!settings_secret(settings_count()));
    ck_assert_str_eq(settings_value(&s, settings_count(), text), "");
}
END_TEST

/* Name, what is set, what is printed. */
static const char *const samples[][3] = {
    {"MPCONVERT_PROXY", "192.0.2.1:1080, [2001:db8::1]:1 ,[::ffff:192.0.2.7]:2",
     "192.0.2.1:1080,[2001:db8::1]:1,192.0.2.7:2"},
    {"MPCONVERT_PROXY", "[fe80::1%3]:1080", "[fe80::1%3]:1080"},
    {"MPCONVERT_DIALECT", "convert", "convert"},
    {"MPCONVERT_DIALECT", "socks5", "socks5"},
    {"MPCONVERT_USER", "j d,o", "j d,o"},
    {"MPCONVERT_PASSWORD", " \x01\xff'", " \x01\xff'"},
    {"MPCONVERT_COOKIE", "00aBFf", "00abff"},
    {"MPCONVERT_BYPASS", "192.0.2.0/24:80, [2001:db8::/32]:443",
     "192.0.2.0/24:80,[2001:db8::/32]:443"},
    {"MPCONVERT_BYPASS", "none", "none"},
    {"MPCONVERT_BYPASS_LOCAL", "1", "1"},
    {"MPCONVERT_NATIVE", "192.0.2.0/24:80, 2001:db8::1", "192.0.2.0/24:80,2001:db8::1"},
    {"MPCONVERT_BYPASS_LEARNED", "auto", "auto"},
    {"MPCONVERT_LEARNED_SECONDS", "604800", "604800"},
    {"MPCONVERT_ON_FAILURE", "direct", "direct"},
    {"MPCONVERT_NONBLOCK", "block", "block"},
    {"MPCONVERT_TFO", "on", "on"},
    {"MPCONVERT_TFO", "off", "off"},
    {"MPCONVERT_EXACT", "off", "off"},
    {"MPCONVERT_MPTCP", "0", "0"},
    {"MPCONVERT_RECEIVE_BUFFER", "0", "0"},
    {"MPCONVERT_RECEIVE_BUFFER", "1g", "1G"},
    {"MPCONVERT_RECEIVE_BUFFER", "1048576", "1M"},
    {"MPCONVERT_RECEIVE_BUFFER", "3k", "3K"},
    {"MPCONVERT_RECEIVE_BUFFER", "4097", "4097"},
    {"MPCONVERT_CONNECT_SECONDS", "1", "1"},
    {"MPCONVERT_CONNECT_SECONDS", "600", "600"},
    {"MPCONVERT_UDP443", "refuse", "refuse"},
    {"MPCONVERT_REMOTE_DNS", "1", "1"},
    {"MPCONVERT_LOCAL_NAMES", ".lan, corp.example", ".lan,corp.example"},
    {"MPCONVERT_SOCKOPT", "strict", "strict"},
    {"MPCONVERT_LOG", "/tmp/a b.log", "/tmp/a b.log"},
    {"MPCONVERT_RUN", "/run/x", "/run/x"},
    {"MPCONVERT_CACHE", "none", "none"},
};

START_TEST(what_is_printed_sets_the_same_again)
{
    static struct settings s, again, fresh;

    settings_default(&fresh);
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        settings_default(&s);
        settings_default(&again);
        set(&s, samples[i][0], samples[i][1]);
        ck_assert_str_eq(value(&s, samples[i][0]), samples[i][2]);
        ck_assert(!same(&s, &fresh));
        set(&again, samples[i][0], value(&s, samples[i][0]));
        ck_assert(same(&s, &again));
        set(&s, samples[i][0], ""); /* an empty value is the default */
        ck_assert(same(&s, &fresh));
    }
    for (unsigned i = 0; i < settings_count(); i++) { /* every setting has a sample */
        bool found = false;
        for (size_t k = 0; k < sizeof samples / sizeof samples[0]; k++)
            found = found || strcmp(samples[k][0], settings_name(i)) == 0;
        ck_assert_msg(found, "%s", settings_name(i));
    }
}
END_TEST

START_TEST(malformed_values_say_why)
{
    static const char *const bad[][3] = {
        {"MPCONVERT_PROXY", "here:x", "MPCONVERT_PROXY: 'here:x': not an address with a port"},
        {"MPCONVERT_PROXY", "192.0.2.1",
         "MPCONVERT_PROXY: '192.0.2.1': not an address with a port"},
        {"MPCONVERT_PROXY", "192.0.2.1:0",
         "MPCONVERT_PROXY: '192.0.2.1:0': not an address with a port"},
        {"MPCONVERT_PROXY", "2001:db8::1:80",
         "MPCONVERT_PROXY: '2001:db8::1:80': not an address with a port"},
        {"MPCONVERT_PROXY", "192.0.2.1:1,", "MPCONVERT_PROXY: '': not an address with a port"},
        {"MPCONVERT_PROXY", " ", "MPCONVERT_PROXY: '': not an address with a port"},
        {"MPCONVERT_PROXY",
         "192.0.2.1:1,192.0.2.1:2,192.0.2.1:3,192.0.2.1:4,192.0.2.1:5,"
         "192.0.2.1:6,192.0.2.1:7,192.0.2.1:8,192.0.2.1:9",
         "MPCONVERT_PROXY: '192.0.2.1:9': more than 8 concentrators"},
        {"MPCONVERT_DIALECT", "socks4",
         "MPCONVERT_DIALECT: 'socks4': not mp_convert, convert or socks5"},
        {"MPCONVERT_DIALECT", "SOCKS5",
         "MPCONVERT_DIALECT: 'SOCKS5': not mp_convert, convert or socks5"},
        {"MPCONVERT_BYPASS", "192.0.2.0/24,x\x1b",
         "MPCONVERT_BYPASS: 'x?': not a network, nor one with a port"},
        {"MPCONVERT_BYPASS", "192.0.2.0/24,",
         "MPCONVERT_BYPASS: '': not a network, nor one with a port"},
        {"MPCONVERT_BYPASS_LOCAL", "yes", "MPCONVERT_BYPASS_LOCAL: 'yes': not 0 or 1"},
        {"MPCONVERT_NATIVE", "192.0.2.0/24,x",
         "MPCONVERT_NATIVE: 'x': not a network, nor one with a port"},
        {"MPCONVERT_BYPASS_LEARNED", "1", "MPCONVERT_BYPASS_LEARNED: '1': not off or auto"},
        {"MPCONVERT_LEARNED_SECONDS", "0",
         "MPCONVERT_LEARNED_SECONDS: '0': not a number from 1 to 604800"},
        {"MPCONVERT_ON_FAILURE", "x", "MPCONVERT_ON_FAILURE: 'x': not fail or direct"},
        {"MPCONVERT_NONBLOCK", "x", "MPCONVERT_NONBLOCK: 'x': not swap or block"},
        {"MPCONVERT_TFO", "1", "MPCONVERT_TFO: '1': not auto, on or off"},
        {"MPCONVERT_EXACT", "on", "MPCONVERT_EXACT: 'on': not auto or off"},
        {"MPCONVERT_MPTCP", "01", "MPCONVERT_MPTCP: '01': not 0 or 1"},
        {"MPCONVERT_RECEIVE_BUFFER", "2G",
         "MPCONVERT_RECEIVE_BUFFER: '2G': not a number from 0 to 1G"},
        {"MPCONVERT_RECEIVE_BUFFER", "1T",
         "MPCONVERT_RECEIVE_BUFFER: '1T': not a number from 0 to 1G"},
        {"MPCONVERT_RECEIVE_BUFFER", "1MB",
         "MPCONVERT_RECEIVE_BUFFER: '1MB': not a number from 0 to 1G"},
        {"MPCONVERT_RECEIVE_BUFFER", "-1",
         "MPCONVERT_RECEIVE_BUFFER: '-1': not a number from 0 to 1G"},
        {"MPCONVERT_RECEIVE_BUFFER", "18446744073709551616",
         "MPCONVERT_RECEIVE_BUFFER: '18446744073709551616': not a number from 0 to 1G"},
        {"MPCONVERT_RECEIVE_BUFFER", "9999999999G",
         "MPCONVERT_RECEIVE_BUFFER: '9999999999G': not a number from 0 to 1G"},
        {"MPCONVERT_CONNECT_SECONDS", "0",
         "MPCONVERT_CONNECT_SECONDS: '0': not a number from 1 to 600"},
        {"MPCONVERT_CONNECT_SECONDS", "601",
         "MPCONVERT_CONNECT_SECONDS: '601': not a number from 1 to 600"},
        {"MPCONVERT_CONNECT_SECONDS", "1K",
         "MPCONVERT_CONNECT_SECONDS: '1K': not a number from 1 to 600"},
        {"MPCONVERT_UDP443", "x", "MPCONVERT_UDP443: 'x': not pass or refuse"},
        {"MPCONVERT_REMOTE_DNS", "2", "MPCONVERT_REMOTE_DNS: '2': not 0 or 1"},
        {"MPCONVERT_LOCAL_NAMES", "lan,a b",
         "MPCONVERT_LOCAL_NAMES: 'a b': not a name's suffix"},
        {"MPCONVERT_LOCAL_NAMES", "lan,,x", "MPCONVERT_LOCAL_NAMES: '': not a name's suffix"},
        {"MPCONVERT_LOCAL_NAMES", ".", "MPCONVERT_LOCAL_NAMES: '.': not a name's suffix"},
        {"MPCONVERT_SOCKOPT", "x", "MPCONVERT_SOCKOPT: 'x': not lenient or strict"},
        {"MPCONVERT_COOKIE", "abc", "MPCONVERT_COOKIE: an odd number of hexadecimal digits"},
        {"MPCONVERT_COOKIE", "0g", "MPCONVERT_COOKIE: not hexadecimal"},
        {"MPCONVERT_COLOUR", "x", "'MPCONVERT_COLOUR': no such setting"},
        {"", "x", "'': no such setting"},
        {"MPCONVERT_TF", "on", "'MPCONVERT_TF': no such setting"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        refuse(bad[i][0], bad[i][1], bad[i][2]);
}
END_TEST

START_TEST(overlong_values_are_refused_and_their_error_fits)
{
    static char text[20000];

    for (unsigned i = 0; i < settings_count(); i++) {
        static struct settings s, before;
        struct settings_error err = {.text = ""};

        memset(text, 'a', sizeof text - 1);
        settings_default(&s);
        before = s;
        ck_assert_msg(!settings_set(&s, settings_name(i), text, &err), "%s", settings_name(i));
        ck_assert_uint_lt(strlen(err.text), sizeof err.text);
        ck_assert_int_eq(strncmp(err.text, settings_name(i), strlen(settings_name(i))), 0);
        ck_assert_mem_eq(&s, &before, sizeof s);
    }
}
END_TEST

/* The longest that is taken, and one more. */
static void limit(const char *name, char c, size_t max, const char *why)
{
    static struct settings s;
    struct settings_error err = {.text = ""};
    char text[1024];

    settings_default(&s);
    memset(text, c, sizeof text);
    text[max] = '\0';
    set(&s, name, text);
    ck_assert_str_eq(value(&s, name), text);
    text[max] = c;
    text[max + 1] = c;
    text[max + 2] = '\0';
    ck_assert(!settings_set(&s, name, text, &err));
    ck_assert_msg(strstr(err.text, why) != NULL, "%s", err.text);
}

START_TEST(texts_have_their_limits)
{
    limit("MPCONVERT_USER", 'u', 255, "longer than 255 octets");
    limit("MPCONVERT_PASSWORD", 'p', 255, "longer than 255 octets");
    limit("MPCONVERT_COOKIE", 'c', 510, "longer than 255 octets");
    limit("MPCONVERT_LOG", '/', 511, "longer than 511 octets");
    limit("MPCONVERT_RUN", '/', 511, "longer than 511 octets");
    limit("MPCONVERT_CACHE", '/', 511, "longer than 511 octets");
    limit("MPCONVERT_LOCAL_NAMES", 'n', 254, "not a name's suffix");
}
END_TEST

START_TEST(every_full_list_fits_its_text)
{
    static struct settings s, again;
    static char text[SETTINGS_VALUE_MAX];
    struct settings_error err = {.text = ""};
    size_t len = 0;

    settings_default(&s);
    settings_default(&again);
    for (unsigned i = 0; i < BYPASS_MAX; i++)
        len += (size_t)snprintf(text + len, sizeof text - len,
                                "%s[2001:db8:ffff:ffff:ffff:ffff:ffff:ff00/120]:%u",
                                i > 0 ? "," : "", 65535 - i);
    set(&s, "MPCONVERT_BYPASS", text);
    ck_assert_str_eq(value(&s, "MPCONVERT_BYPASS"), text);
    set(&again, "MPCONVERT_BYPASS", text);
    ck_assert(same(&s, &again));
    (void)snprintf(text + len, sizeof text - len, ",192.0.2.1");
    ck_assert(!settings_set(&s, "MPCONVERT_BYPASS", text, &err));
    ck_assert_str_eq(err.text, "MPCONVERT_BYPASS: '192.0.2.1': more than 128 networks");
}
END_TEST

START_TEST(a_secret_is_in_no_error)
{
    static struct settings s;
    static char text[1024];
    struct settings_error err = {.text = ""};

    settings_default(&s);
    for (size_t n = 0; n < 600; n += strlen(secret))
        memcpy(text + n, secret, sizeof secret);
    ck_assert(!settings_set(&s, "MPCONVERT_PASSWORD", text, &err));
    ck_assert_str_eq(err.text, "MPCONVERT_PASSWORD: longer than 255 octets");
    ck_assert(!settings_set(&s, "MPCONVERT_COOKIE", secret, &err));
    ck_assert_str_eq(err.text, "MPCONVERT_COOKIE: not hexadecimal");
    set(&s, "MPCONVERT_PASSWORD", secret);
    ck_assert(!settings_check(&s, &err));
    ck_assert_ptr_null(strstr(err.text, secret));
}
END_TEST

START_TEST(contradictions_are_named)
{
    static const char *const rows[][6] = {
        {"MPCONVERT_PROXY: not set: no concentrator"},
        {"MPCONVERT_USER: only socks5 carries it, not mp_convert", "MPCONVERT_USER", "u",
         "MPCONVERT_PASSWORD", "p"},
        {"MPCONVERT_PASSWORD: only socks5 carries it, not convert", "MPCONVERT_PASSWORD", "p",
         "MPCONVERT_DIALECT", "convert"},
        {"MPCONVERT_COOKIE: only convert carries it, not socks5", "MPCONVERT_COOKIE", "ab",
         "MPCONVERT_DIALECT", "socks5"},
        {"MPCONVERT_USER: needs MPCONVERT_PASSWORD", "MPCONVERT_USER", "u", "MPCONVERT_DIALECT",
         "socks5"},
        {"MPCONVERT_PASSWORD: needs MPCONVERT_USER", "MPCONVERT_PASSWORD", "p",
         "MPCONVERT_DIALECT", "socks5"},
        {"MPCONVERT_REMOTE_DNS: only socks5 carries names, not mp_convert",
         "MPCONVERT_REMOTE_DNS", "1"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        static struct settings s;
        struct settings_error err = {.text = ""};

        settings_default(&s);
        if (i > 0)
            set(&s, "MPCONVERT_PROXY", "192.0.2.1:1080");
        for (size_t k = 1; k < 6 && rows[i][k] != NULL; k += 2)
            set(&s, rows[i][k], rows[i][k + 1]);
        ck_assert(!settings_check(&s, &err));
        ck_assert_str_eq(err.text, rows[i][0]);
    }
}
END_TEST

START_TEST(what_belongs_together_passes)
{
    static struct settings s;
    struct settings_error err = {.text = ""};

    settings_default(&s);
    set(&s, "MPCONVERT_PROXY", "192.0.2.1:1080");
    ck_assert(settings_check(&s, &err));
    set(&s, "MPCONVERT_DIALECT", "convert");
    set(&s, "MPCONVERT_COOKIE", "00");
    ck_assert(settings_check(&s, &err));
    set(&s, "MPCONVERT_COOKIE", "");
    set(&s, "MPCONVERT_DIALECT", "socks5");
    set(&s, "MPCONVERT_USER", "u");
    set(&s, "MPCONVERT_PASSWORD", "p");
    set(&s, "MPCONVERT_REMOTE_DNS", "1");
    ck_assert(settings_check(&s, &err));
    ck_assert_str_eq(err.text, "");
}
END_TEST

static const char *good(const char *name)
{
    return strcmp(name, "MPCONVERT_PROXY") == 0   ? "192.0.2.1:1080"
           : strcmp(name, "MPCONVERT_MPTCP") == 0 ? "0"
           : strcmp(name, "MPCONVERT_TFO") == 0   ? ""
                                                  : NULL;
}

static const char *bad(const char *name)
{
    return strcmp(name, "MPCONVERT_PROXY") == 0   ? "192.0.2.1:1080"
           : strcmp(name, "MPCONVERT_MPTCP") == 0 ? "2"
           : strcmp(name, "MPCONVERT_LOG") == 0   ? "/tmp/log"
                                                  : NULL;
}

static const char *nothing(const char *name)
{
    (void)name;
    return NULL;
}

START_TEST(an_environment_is_defaults_and_what_it_sets)
{
    static struct settings s, expected;
    struct settings_error err = {.text = ""};

    memset(&s, 0xAA, sizeof s);
    errno = EXDEV;
    ck_assert_msg(settings_from(&s, good, &err), "%s", err.text);
    ck_assert_int_eq(errno, EXDEV);
    settings_default(&expected);
    set(&expected, "MPCONVERT_PROXY", "192.0.2.1:1080");
    set(&expected, "MPCONVERT_MPTCP", "0");
    ck_assert(same(&s, &expected));
}
END_TEST

START_TEST(a_bad_environment_leaves_everything_alone_but_the_log)
{
    static struct settings s, expected;
    struct settings_error err = {.text = ""};

    errno = EXDEV;
    ck_assert(!settings_from(&s, bad, &err));
    ck_assert_str_eq(err.text, "MPCONVERT_MPTCP: '2': not 0 or 1");
    settings_default(&expected);
    set(&expected, "MPCONVERT_LOG", "/tmp/log");
    ck_assert(same(&s, &expected));
    ck_assert_uint_eq(s.proxies, 0);
    ck_assert(!settings_from(&s, nothing, &err));
    ck_assert_str_eq(err.text, "MPCONVERT_PROXY: not set: no concentrator");
    ck_assert_int_eq(errno, EXDEV);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("settings");
    TCase *t = tcase_create("settings");

    tcase_add_test(t, the_defaults_are_as_documented);
    tcase_add_test(t, there_is_nothing_behind_the_table);
    tcase_add_test(t, what_is_printed_sets_the_same_again);
    tcase_add_test(t, malformed_values_say_why);
    tcase_add_test(t, overlong_values_are_refused_and_their_error_fits);
    tcase_add_test(t, texts_have_their_limits);
    tcase_add_test(t, every_full_list_fits_its_text);
    tcase_add_test(t, a_secret_is_in_no_error);
    tcase_add_test(t, contradictions_are_named);
    tcase_add_test(t, what_belongs_together_passes);
    tcase_add_test(t, an_environment_is_defaults_and_what_it_sets);
    tcase_add_test(t, a_bad_environment_leaves_everything_alone_but_the_log);
    suite_add_tcase(s, t);
    return runner_main(s);
}
