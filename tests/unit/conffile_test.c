/* SPDX-License-Identifier: MIT */
#include "base/check.h"
#include "base/conffile.h"
#include "runner.h"
#include "tempfile.h"
#include <string.h>

/* One key of each type, and a list of objects. */
struct item {
    char *name;
    uint32_t weight;
};
struct item_list {
    struct item *item;
    size_t count;
};
struct sample {
    bool flag;
    uint32_t number, any_number;
    uint64_t size, any_size;
    uint32_t timeout_ms, any_ms;
    char *name, *secret, *nothing;
    int colour;
    struct addr address, no_address;
    struct conf_strings words;
    struct conf_prefixes sources;
    struct item_list items;
};

static const char *const colours[] = {"red", "green", "blue", NULL};

/* clang-format off */
static const struct conf_key item_keys[] = {
    {"name", CONF_STRING, offsetof(struct item, name), NULL, .help = "Name."},
    {"weight", CONF_U32, offsetof(struct item, weight), "1", .max = 10, .help = "Weight."},
    {.path = NULL},
};
/* clang-format on */

static bool parse_items(struct conf_parse *p, const json_t *value, void *field)
{
    struct item_list *list = field;

    if (!json_is_array(value))
        return conf_fail(p, "expected an array");
    list->item = calloc(json_array_size(value) + 1, sizeof *list->item);
    ck_assert_ptr_nonnull(list->item);
    for (size_t i = 0; i < json_array_size(value); i++) {
        conf_enter(p, NULL, i);
        list->count = i + 1;
        if (!conf_object(p, json_array_get(value, i), item_keys, &list->item[i],
                         sizeof list->item[i]))
            return false;
        if (strcmp(list->item[i].name, "bad") == 0) {
            conf_enter(p, "name", 0);
            (void)conf_fail(p, "is a %s name", list->item[i].name);
            (void)conf_fail(p, "and a second reason");
            conf_leave(p);
            return false;
        }
        conf_leave(p);
    }
    return true;
}

static void clear_items(void *field)
{
    struct item_list *list = field;

    for (size_t i = 0; i < list->count; i++)
        conf_clear(item_keys, &list->item[i]);
    free(list->item);
    *list = (struct item_list){0};
}

static json_t *dump_items(const void *field)
{
    const struct item_list *list = field;
    json_t *out = json_array();

    for (size_t i = 0; i < list->count; i++)
        ck_assert_int_eq(
            json_array_append_new(out, conf_dump(item_keys, &list->item[i], false)), 0);
    return out;
}

#define OFF(field) offsetof(struct sample, field)
/* clang-format off */
static const struct conf_key keys[] = {
    {"flag", CONF_BOOL, OFF(flag), "true", .help = "Flag."},
    {"limits.number", CONF_U32, OFF(number), "7", .min = 5, .max = 10, .unit = "sheep", .help = "Sheep."},
    {"limits.any_number", CONF_U32, OFF(any_number), "0", .help = "Any."},
    {"limits.size", CONF_U64, OFF(size), "\"64k\"", .min = 1024, .max = UINT64_C(4) << 30, .help = "Size."},
    {"limits.any_size", CONF_U64, OFF(any_size), "0", .help = "Any."},
    {"timeouts.deep.wait_seconds", CONF_MS, OFF(timeout_ms), "2.5", .min = 50, .max = 60000, .help = "Wait."},
    {"timeouts.any_seconds", CONF_MS, OFF(any_ms), "0", .help = "Any."},
    {"name", CONF_STRING, OFF(name), "\"default\"", .help = "Name."},
    {"secret", CONF_STRING, OFF(secret), "null", .secret = true, .help = "Secret."},
    {"nothing", CONF_STRING, OFF(nothing), "null", .secret = true, .help = "Nothing."},
    {"colour", CONF_ENUM, OFF(colour), "\"green\"", .choices = colours, .help = "Colour."},
    {"address", CONF_ADDR, OFF(address), "\"127.0.0.1:80\"", .help = "Address."},
    {"no_address", CONF_ADDR, OFF(no_address), "null", .help = "Address."},
    {"words", CONF_STRINGS, OFF(words), "[\"a\"]", .max = 3, .help = "Words."},
    {"sources", CONF_PREFIXES, OFF(sources), "[\"192.0.2.0/24\"]", .max = 3, .help = "Sources."},
    {"items", CONF_CUSTOM, OFF(items), "[]", .parse = parse_items, .clear = clear_items, .dump = dump_items, .help = "Items."},
    {.path = NULL},
};
/* clang-format on */

/* As the contract says it: all octets. */
static bool is_zero(const struct sample *s)
{
    const unsigned char *octet = (const unsigned char *)s;
    size_t n = 0;

    while (n < sizeof *s && octet[n] == 0)
        n++;
    return n == sizeof *s;
}

static struct sample load(const char *text)
{
    struct conf_error err = {""};
    struct sample s;

    memset(&s, 0xff, sizeof s);
    ck_assert_msg(conf_load_text(text, "test.json", keys, &s, sizeof s, &err), "%s", err.text);
    return s;
}

static void check_error(const char *text, const char *wanted)
{
    struct conf_error err = {""};
    struct sample s;

    memset(&s, 0xff, sizeof s);
    ck_assert_msg(!conf_load_text(text, "test.json", keys, &s, sizeof s, &err), "%s", text);
    ck_assert_str_eq(err.text, wanted);
    ck_assert(is_zero(&s));
}

START_TEST(absent_keys_have_their_defaults)
{
    struct sample s = load("{}");
    char text[ADDR_TEXT_MAX];

    ck_assert(s.flag);
    ck_assert_uint_eq(s.number, 7);
    ck_assert_uint_eq(s.size, 65536);
    ck_assert_uint_eq(s.timeout_ms, 2500);
    ck_assert_str_eq(s.name, "default");
    ck_assert_ptr_null(s.nothing);
    ck_assert_int_eq(s.colour, 1);
    ck_assert_str_eq(addr_print(&s.address, text, sizeof text), "127.0.0.1:80");
    ck_assert_uint_eq(s.no_address.family, ADDR_NONE);
    ck_assert_uint_eq(s.words.count, 1);
    ck_assert_str_eq(s.words.item[0], "a");
    ck_assert_uint_eq(s.sources.count, 1);
    ck_assert_uint_eq(s.sources.item[0].bits, 24);
    ck_assert_uint_eq(s.items.count, 0);
    conf_clear(keys, &s);
}
END_TEST

START_TEST(every_type_is_read)
{
    struct sample s =
        load("{\"flag\": false, \"limits\": {\"number\": 10, \"size\": 2048, \"any_number\": "
             "4294967295},"
             "\"timeouts\": {\"deep\": {\"wait_seconds\": 0.05}, \"any_seconds\": 3}, "
             "\"name\": \"n\\u00e9\","
             "\"colour\": \"blue\", \"address\": null, \"no_address\": \"[2001:db8::1]:443\","
             "\"words\": [], \"sources\": [\"2001:db8::/32\", \"192.0.2.1\"],"
             "\"items\": [{\"name\": \"x\"}, {\"name\": \"y\", \"weight\": 2}]}");
    char text[ADDR_TEXT_MAX];

    ck_assert(!s.flag);
    ck_assert_uint_eq(s.number, 10);
    ck_assert_uint_eq(s.any_number, UINT32_MAX);
    ck_assert_uint_eq(s.size, 2048);
    ck_assert_uint_eq(s.timeout_ms, 50);
    ck_assert_uint_eq(s.any_ms, 3000);
    ck_assert_str_eq(s.name, "n\xc3\xa9");
    ck_assert_int_eq(s.colour, 2);
    ck_assert_uint_eq(s.address.family, ADDR_NONE);
    ck_assert_str_eq(addr_print(&s.no_address, text, sizeof text), "[2001:db8::1]:443");
    ck_assert_uint_eq(s.words.count, 0);
    ck_assert_uint_eq(s.sources.count, 2);
    ck_assert_uint_eq(s.sources.item[0].bits, 32);
    ck_assert_uint_eq(s.sources.item[1].bits, 32);
    ck_assert_uint_eq(s.items.count, 2);
    ck_assert_str_eq(s.items.item[0].name, "x");
    ck_assert_uint_eq(s.items.item[0].weight, 1);
    ck_assert_uint_eq(s.items.item[1].weight, 2);
    conf_clear(keys, &s);
}
END_TEST

START_TEST(null_string_is_the_default)
{
    struct sample s = load("{\"name\": null, \"nothing\": null}");

    ck_assert_str_eq(s.name, "default");
    ck_assert_ptr_null(s.nothing);
    conf_clear(keys, &s);
}
END_TEST

START_TEST(sizes_have_suffixes)
{
    static const struct {
        const char *text;
        uint64_t size;
    } good[] = {
        {"\"1k\"", 1024},
        {"\"1K\"", 1024},
        {"\"64k\"", 65536},
        {"\"4M\"", 4194304},
        {"\"4m\"", 4194304},
        {"\"1G\"", 1073741824},
        {"\"2g\"", 2147483648},
        {"\"1024\"", 1024},
        {"1500", 1500},
        {"0", 0},
        {"9223372036854775807", INT64_MAX},
    };
    static const char *const bad[] = {"\"\"",
                                      "\"k\"",
                                      "\"1kk\"",
                                      "\"1T\"",
                                      "\"-1k\"",
                                      "\" 1k\"",
                                      "\"1 k\"",
                                      "1.5",
                                      "true",
                                      "\"99999999999999999999\"",
                                      "\"18014398509481984G\"",
                                      "\"0x10\""};

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        char text[128];
        struct sample s;

        (void)snprintf(text, sizeof text, "{\"limits\": {\"any_size\": %s}}", good[i].text);
        s = load(text);
        ck_assert_uint_eq(s.any_size, good[i].size);
        conf_clear(keys, &s);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char text[128];

        (void)snprintf(text, sizeof text, "{\"limits\": {\"any_size\": %s}}", bad[i]);
        check_error(text, "test.json:1: limits.any_size: expected a number of octets such as "
                          "65536, \"64k\" or \"4M\"");
    }
}
END_TEST

START_TEST(seconds_are_kept_to_the_millisecond)
{
    static const struct {
        const char *text;
        uint32_t ms;
    } good[] = {{"0", 0},         {"1", 1000},   {"0.001", 1},     {"0.25", 250},
                {"0.0004", 0},    {"0.0006", 1}, {"1e3", 1000000}, {"4294967.295", UINT32_MAX},
                {"33.333", 33333}};

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        char text[128];
        struct sample s;

        (void)snprintf(text, sizeof text, "{\"timeouts\": {\"any_seconds\": %s}}",
                       good[i].text);
        s = load(text);
        ck_assert_uint_eq(s.any_ms, good[i].ms);
        conf_clear(keys, &s);
    }
}
END_TEST

/* Type, range and form of each kind of value; line and key path in each message. */
START_TEST(bad_value_is_named_with_line_path_and_reason)
{
    static const char *const cases[][2] = {
        {"{\n\"flag\": 1}", "2: flag: expected true or false"},
        {"{\"limits\":\n{\"number\": 4}}", "2: limits.number: must be 5 to 10 sheep"},
        {"{\"limits\":\n{\"number\": 11}}", "2: limits.number: must be 5 to 10 sheep"},
        {"{\"limits\":{\"number\": -1}}", "1: limits.number: must be 5 to 10 sheep"},
        {"{\"limits\":{\"number\": 7.0}}", "1: limits.number: expected a whole number"},
        {"{\"limits\":{\"number\": \"7\"}}", "1: limits.number: expected a whole number"},
        {"{\"limits\":{\"any_number\": 4294967296}}",
         "1: limits.any_number: must be 0 to 4294967295"},
        {"{\"limits\":{\"size\": \"1\"}}", "1: limits.size: must be 1k to 4G octets"},
        {"{\"limits\":{\"size\": \"5G\"}}", "1: limits.size: must be 1k to 4G octets"},
        {"{\"limits\":{\"size\": -1}}", "1: limits.size: must be 1k to 4G octets"},
        {"{\"timeouts\":{\"deep\":{\n\"wait_seconds\": 0.049}}}",
         "2: timeouts.deep.wait_seconds: must be 0.05 to 60 seconds"},
        {"{\"timeouts\":{\"deep\":{\"wait_seconds\": 61}}}",
         "1: timeouts.deep.wait_seconds: must be 0.05 to 60 seconds"},
        {"{\"timeouts\":{\"any_seconds\": -0.001}}",
         "1: timeouts.any_seconds: must be 0 to 4294967.295 seconds"},
        {"{\"timeouts\":{\"any_seconds\": 1e300}}",
         "1: timeouts.any_seconds: must be 0 to 4294967.295 seconds"},
        {"{\"timeouts\":{\"any_seconds\": \"1\"}}",
         "1: timeouts.any_seconds: expected a number of seconds"},
        {"{\"name\": 1}", "1: name: expected a string"},
        {"{\"colour\": \"pink\"}", "1: colour: must be one of \"red\", \"green\", \"blue\""},
        {"{\"colour\": 1}", "1: colour: must be one of \"red\", \"green\", \"blue\""},
        {"{\"address\": \"192.0.2.1\"}", "1: address: expected an address and port such as "
                                         "\"192.0.2.1:80\" or \"[2001:db8::1]:80\""},
        {"{\"address\": 80}", "1: address: expected an address and port such as "
                              "\"192.0.2.1:80\" or \"[2001:db8::1]:80\""},
        {"{\"words\": \"a\"}", "1: words: expected an array of strings"},
        {"{\"words\": [\"a\",\n1]}", "2: words[1]: expected a string"},
        {"{\"words\": [\"a\",\"b\",\"c\",\"d\"]}", "1: words: has more than 3 entries"},
        {"{\"sources\": {}}", "1: sources: expected an array of prefixes"},
        {"{\"sources\": [\"192.0.2.1/24\"]}",
         "1: sources[0]: expected a prefix such as \"192.0.2.0/24\" or \"2001:db8::/32\", "
         "without host bits"},
        {"{\"sources\": [1]}", "1: sources[0]: expected a prefix such as \"192.0.2.0/24\" or "
                               "\"2001:db8::/32\", without host bits"},
        {"{\"flag\": null}", "1: flag: expected true or false"},
        {"{\"limits\": null}", "1: limits: expected an object"},
        {"{\"timeouts\":{\"deep\": []}}", "1: timeouts.deep: expected an object"},
        {"[]", "1: expected an object"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char wanted[256];

        (void)snprintf(wanted, sizeof wanted, "test.json:%s", cases[i][1]);
        check_error(cases[i][0], wanted);
    }
}
END_TEST

START_TEST(custom_parser_reports_its_own_path_and_the_first_reason)
{
    check_error("{\"items\": 1}", "test.json:1: items: expected an array");
    check_error("{\"items\": [{\"name\": \"a\"},\n{\"name\": \"bad\"}]}",
                "test.json:2: items[1].name: is a bad name");
    check_error("{\"items\": [{\"name\": \"a\"},\n{\"name\": \"b\",\n\"weight\": 11}]}",
                "test.json:3: items[1].weight: must be 0 to 10");
    check_error("{\"items\": [{\"name\": \"a\"},\n3]}",
                "test.json:2: items[1]: expected an object");
    check_error("{\"items\": [{\"nane\": \"a\"}]}",
                "test.json:1: items[0].nane: unknown key; did you mean \"name\"?");
}
END_TEST

START_TEST(key_without_default_is_required)
{
    check_error("{\"items\": [{\"name\": \"a\"},\n{}]}",
                "test.json:2: items[1].name: is required");
    check_error("{\"items\": [{\"name\": null}]}", "test.json:1: items[0].name: is required");
}
END_TEST

START_TEST(unknown_key_is_an_error_that_suggests_a_known_one)
{
    check_error("{\n\"flags\": true}",
                "test.json:2: flags: unknown key; did you mean \"flag\"?");
    check_error("{\"LIMITS\": {}}",
                "test.json:1: LIMITS: unknown key; did you mean \"limits\"?");
    check_error("{\"limits\":\n{\"nummber\": 1}}",
                "test.json:2: limits.nummber: unknown key; did you mean \"limits.number\"?");
    check_error("{\"number\": 1}",
                "test.json:1: number: unknown key; did you mean \"limits.number\"?");
    check_error("{\"limits\": {\"colour\": 1}}",
                "test.json:1: limits.colour: unknown key; did you mean \"colour\"?");
    check_error("{\"timeouts\": {\"deep\": {\"zzzzzzzzzzzzzz\": 1}}}",
                "test.json:1: timeouts.deep.zzzzzzzzzzzzzz: unknown key");
    check_error("{\"\": 1}", "test.json:1: unknown key");
}
END_TEST

START_TEST(dotted_key_is_explained)
{
    check_error("{\"limits.number\": 7}",
                "test.json:1: \"limits.number\": a dot stands for an object in an object");
    check_error("{\"timeouts\":\n{\"deep.wait_seconds\": 7}}",
                "test.json:1: timeouts: \"deep.wait_seconds\": a dot stands for an object in "
                "an object");
}
END_TEST

START_TEST(key_with_underscore_is_a_comment)
{
    struct sample s = load("{\"_comment\": [\"anything\"], \"limits\": {\"_\": {}, \"number\": "
                           "6}, \"items\": [{\"_x\": 1, \"name\": \"a\"}]}");

    ck_assert_uint_eq(s.number, 6);
    ck_assert_uint_eq(s.items.count, 1);
    conf_clear(keys, &s);
}
END_TEST

static void check_syntax(const char *text, const char *start)
{
    struct conf_error err = {""};
    struct sample s;

    memset(&s, 0xff, sizeof s);
    ck_assert(!conf_load_text(text, "test.json", keys, &s, sizeof s, &err));
    ck_assert_msg(strncmp(err.text, start, strlen(start)) == 0, "%s", err.text);
    ck_assert(is_zero(&s));
}

START_TEST(syntax_error_has_its_line)
{
    check_syntax("{\n\n\"flag\": tru}", "test.json:3: ");
    check_syntax("{\"flag\": true,\n}", "test.json:2: ");
    check_syntax("{} {}", "test.json:1: ");
    check_syntax("", "test.json:1: ");
    check_syntax("{\"name\": \"\xff\"}", "test.json:1: ");
    check_syntax("{\"name\": \"\\u0000\"}", "test.json:1: ");
    check_syntax("{\"limits\": {\"any_size\": 99999999999999999999}}",
                 "test.json:1: too big integer");
}
END_TEST

START_TEST(duplicate_key_is_an_error)
{
    check_syntax("{\"flag\": true,\n\"flag\": true}", "test.json:2: duplicate object key");
    check_syntax("{\"limits\": {\"number\": 6, \"number\": 6}}",
                 "test.json:1: duplicate object key");
}
END_TEST

START_TEST(message_has_no_control_octets_and_fits)
{
    char text[2000], path[1000];
    struct conf_error err;
    struct sample s;

    memset(path, 'x', sizeof path);
    path[sizeof path - 1] = '\0';
    check_error("{\"a\\u001b[31m\\nb\": 1}", "test.json: a?[31m?b: unknown key");
    (void)snprintf(text, sizeof text, "{\"limits\": {\"%s\": 1}}", path);
    ck_assert(!conf_load_text(text, "test.json", keys, &s, sizeof s, &err));
    ck_assert_uint_lt(strlen(err.text), sizeof err.text);
    ck_assert(!conf_load_text("{\"flag\": 1}", path, keys, &s, sizeof s, &err));
    ck_assert_uint_eq(strlen(err.text), sizeof err.text - 1);
}
END_TEST

START_TEST(file_is_read_like_text)
{
    struct tempfile f = tempfile_text("{\n\"limits\": {\"number\": 9}}");
    struct conf_error err;
    struct sample s;

    ck_assert(conf_load(f.path, keys, &s, sizeof s, &err));
    ck_assert_uint_eq(s.number, 9);
    conf_clear(keys, &s);
    tempfile_done(&f);
}
END_TEST

static void check_unreadable(const char *path, const char *reason)
{
    struct conf_error err = {""};
    char wanted[512];
    struct sample s;

    memset(&s, 0xff, sizeof s);
    ck_assert(!conf_load(path, keys, &s, sizeof s, &err));
    ck_assert(is_zero(&s));
    (void)snprintf(wanted, sizeof wanted, "%s: %s", path, reason);
    ck_assert_str_eq(err.text, wanted);
    ck_assert_ptr_null(conf_read(path, &err));
}

START_TEST(file_that_cannot_be_used_is_an_error)
{
    static char large[(1 << 20) + 2];
    struct tempfile f;

    check_unreadable("/nonexistent/test.json", "cannot be read: No such file or directory");
    check_unreadable("/", "cannot be read: Is a directory");
    f = tempfile_make("{}\0{}", 5, 0600);
    check_unreadable(f.path, "has a NUL in it");
    tempfile_done(&f);
    memset(large, ' ', sizeof large);
    f = tempfile_make(large, sizeof large - 1, 0600);
    check_unreadable(f.path, "cannot be read: File too large");
    tempfile_done(&f);
}
END_TEST

START_TEST(largest_file_is_read)
{
    static char large[1 << 20];
    struct conf_error err;
    struct tempfile f;
    char *text;

    memset(large, ' ', sizeof large);
    f = tempfile_make(large, sizeof large, 0600);
    text = conf_read(f.path, &err);
    ck_assert_ptr_nonnull(text);
    ck_assert_uint_eq(strlen(text), sizeof large);
    free(text);
    tempfile_done(&f);
}
END_TEST

START_TEST(report_finds_the_line_where_there_is_text)
{
    struct conf_error err;

    ck_assert(!conf_report(&err, "f.json", "{\n\"flag\": true}", "flag", "is %d", 5));
    ck_assert_str_eq(err.text, "f.json:2: flag: is 5");
    ck_assert(!conf_report(&err, "f.json", NULL, "flag", "is %d", 5));
    ck_assert_str_eq(err.text, "f.json: flag: is 5");
    ck_assert(!conf_report(&err, "f.json", "{}", "flag", "is %d", 5));
    ck_assert_str_eq(err.text, "f.json: flag: is 5");
    ck_assert(!conf_report(&err, "f.json", NULL, "", "gone"));
    ck_assert_str_eq(err.text, "f.json: gone");
}
END_TEST

START_TEST(clear_is_idempotent)
{
    struct sample s = load("{\"items\": [{\"name\": \"a\"}]}");

    conf_clear(keys, &s);
    ck_assert_ptr_null(s.name);
    ck_assert_ptr_null(s.words.item);
    ck_assert_uint_eq(s.sources.count, 0);
    conf_clear(keys, &s);
}
END_TEST

/* Another load of what was dumped gives the same again, whatever the values. */
START_TEST(dump_is_read_back)
{
    static const char *const texts[] = {
        "{}",
        "{\"limits\": {\"size\": 1500, \"any_size\": \"3G\"}, \"timeouts\": {\"deep\": "
        "{\"wait_seconds\": 0.051}}}",
        "{\"name\": \"\\\"\\\\\\n\", \"words\": [\"\", \"x y\"], \"sources\": [\"0.0.0.0/0\", "
        "\"2001:db8::/33\"]}",
        "{\"address\": null, \"no_address\": \"0.0.0.0:0\", \"colour\": \"red\", \"items\": "
        "[{\"name\": \"a\", \"weight\": 10}]}",
    };

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct sample a = load(texts[i]), b;
        json_t *first = conf_dump(keys, &a, false), *second;
        char *text = json_dumps(first, 0);

        ck_assert_ptr_nonnull(text);
        b = load(text);
        second = conf_dump(keys, &b, false);
        ck_assert(json_equal(first, second));
        ck_assert_uint_eq(a.timeout_ms, b.timeout_ms);
        json_decref(first);
        json_decref(second);
        free(text);
        conf_clear(keys, &a);
        conf_clear(keys, &b);
    }
}
END_TEST

START_TEST(dump_shows_every_key_in_the_form_of_the_file)
{
    struct sample s = load("{\"secret\": \"hidden\"}");
    json_t *dump = conf_dump(keys, &s, true);
    char *text = json_dumps(dump, JSON_REAL_PRECISION(10));

    ck_assert_str_eq(text, "{\"flag\": true, \"limits\": {\"number\": 7, \"any_number\": 0, "
                           "\"size\": \"64k\", \"any_size\": 0}, "
                           "\"timeouts\": {\"deep\": {\"wait_seconds\": 2.5}, \"any_seconds\": "
                           "0}, \"name\": \"default\", "
                           "\"secret\": \"***\", \"nothing\": null, \"colour\": \"green\", "
                           "\"address\": \"127.0.0.1:80\", "
                           "\"no_address\": null, \"words\": [\"a\"], \"sources\": "
                           "[\"192.0.2.0/24\"], \"items\": []}");
    json_decref(dump);
    free(text);
    dump = conf_dump(keys, &s, false);
    ck_assert_str_eq(json_string_value(json_object_get(dump, "secret")), "hidden");
    json_decref(dump);
    conf_clear(keys, &s);
}
END_TEST

START_TEST(values_print_as_people_write_them)
{
    char buf[CONF_VALUE_MAX];

    ck_assert_str_eq(conf_print(CONF_U32, 1024, buf), "1024");
    ck_assert_str_eq(conf_print(CONF_U64, 0, buf), "0");
    ck_assert_str_eq(conf_print(CONF_U64, 1023, buf), "1023");
    ck_assert_str_eq(conf_print(CONF_U64, 1024, buf), "1k");
    ck_assert_str_eq(conf_print(CONF_U64, 1536 << 10, buf), "1536k");
    ck_assert_str_eq(conf_print(CONF_U64, UINT64_C(1) << 40, buf), "1024G");
    ck_assert_str_eq(conf_print(CONF_U64, UINT64_MAX, buf), "18446744073709551615");
    ck_assert_str_eq(conf_print(CONF_MS, 0, buf), "0");
    ck_assert_str_eq(conf_print(CONF_MS, 10000, buf), "10");
    ck_assert_str_eq(conf_print(CONF_MS, 250, buf), "0.25");
    ck_assert_str_eq(conf_print(CONF_MS, 1001, buf), "1.001");
    ck_assert_str_eq(conf_unit(&keys[1]), "sheep");
    ck_assert_str_eq(conf_unit(&keys[2]), "");
    ck_assert_str_eq(conf_unit(&keys[3]), "octets");
    ck_assert_str_eq(conf_unit(&keys[5]), "seconds");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("conffile");
    TCase *tc = tcase_create("conffile");

    tcase_add_test(tc, absent_keys_have_their_defaults);
    tcase_add_test(tc, every_type_is_read);
    tcase_add_test(tc, null_string_is_the_default);
    tcase_add_test(tc, sizes_have_suffixes);
    tcase_add_test(tc, seconds_are_kept_to_the_millisecond);
    tcase_add_test(tc, bad_value_is_named_with_line_path_and_reason);
    tcase_add_test(tc, custom_parser_reports_its_own_path_and_the_first_reason);
    tcase_add_test(tc, key_without_default_is_required);
    tcase_add_test(tc, unknown_key_is_an_error_that_suggests_a_known_one);
    tcase_add_test(tc, dotted_key_is_explained);
    tcase_add_test(tc, key_with_underscore_is_a_comment);
    tcase_add_test(tc, syntax_error_has_its_line);
    tcase_add_test(tc, duplicate_key_is_an_error);
    tcase_add_test(tc, message_has_no_control_octets_and_fits);
    tcase_add_test(tc, file_is_read_like_text);
    tcase_add_test(tc, file_that_cannot_be_used_is_an_error);
    tcase_add_test(tc, largest_file_is_read);
    tcase_add_test(tc, report_finds_the_line_where_there_is_text);
    tcase_add_test(tc, clear_is_idempotent);
    tcase_add_test(tc, dump_is_read_back);
    tcase_add_test(tc, dump_shows_every_key_in_the_form_of_the_file);
    tcase_add_test(tc, values_print_as_people_write_them);
    suite_add_tcase(s, tc);
    return runner_main(s);
}
