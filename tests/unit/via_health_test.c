/* SPDX-License-Identifier: MIT */
#include "runner.h"
#include "via_health.h"
#include <check.h>
#include <string.h>

enum { CLIENTS = 3000, NOW = 1000000 };

static struct via_health health;
static struct via_concentrator item[VIA_CONCENTRATORS_MAX];

static struct addr numbered(uint16_t network, uint16_t n, uint16_t port)
{
    const uint8_t ip[4] = {192, 0, (uint8_t)(network + (n >> 8)), (uint8_t)n};

    return addr_ipv4(ip, port);
}

static struct via_list some(size_t count)
{
    memset(&health, 0, sizeof health);
    memset(item, 0, sizeof item);
    for (size_t i = 0; i < count; i++)
        item[i] =
            (struct via_concentrator){.address = numbered(2, (uint16_t)i, 1080), .priority = 1};
    return (struct via_list){.item = item, .count = count};
}

static void lose(const struct via_concentrator *c, uint64_t now_ms)
{
    via_health_failed(&health, c, VIA_FAILURE_CERTAIN, now_ms, now_ms);
}

static uint8_t best(const struct via_list *list, unsigned client, uint64_t now_ms)
{
    uint8_t order[VIA_CONCENTRATORS_MAX];
    struct addr a = numbered(100, (uint16_t)client, (uint16_t)(40000 + client % 100));

    ck_assert_uint_eq(via_health_order(&health, list, &a, NULL, now_ms, order), list->count);
    return order[0];
}

START_TEST(priority_comes_first)
{
    struct via_list list = some(3);

    item[1].priority = 0;
    for (unsigned c = 0; c < 100; c++)
        ck_assert_uint_eq(best(&list, c, NOW), 1);
}
END_TEST

START_TEST(equals_share_the_clients)
{
    struct via_list list = some(3);
    unsigned share[3] = {0};

    for (unsigned c = 0; c < CLIENTS; c++)
        share[best(&list, c, NOW)]++;
    for (size_t i = 0; i < 3; i++)
        ck_assert_uint_gt(share[i], CLIENTS / 4);
}
END_TEST

START_TEST(a_client_stays_with_its_own_whatever_its_port_and_the_order_of_the_list)
{
    struct via_list list = some(4);
    uint8_t order[VIA_CONCENTRATORS_MAX];

    for (unsigned c = 0; c < 200; c++) {
        struct addr a = numbered(100, (uint16_t)c, 1), b = numbered(100, (uint16_t)c, 2);
        (void)via_health_order(&health, &list, &a, NULL, NOW, order);
        struct addr chosen = item[order[0]].address;
        struct via_concentrator first = item[0];
        item[0] = item[3];
        item[3] = first;
        (void)via_health_order(&health, &list, &b, NULL, NOW, order);
        ck_assert(addr_equal(&chosen, &item[order[0]].address));
    }
}
END_TEST

START_TEST(only_the_clients_of_one_that_goes_move)
{
    struct via_list list = some(4);
    uint8_t before[CLIENTS];

    for (unsigned c = 0; c < CLIENTS; c++)
        before[c] = best(&list, c, NOW);
    lose(&item[2], NOW);
    for (unsigned c = 0; c < CLIENTS; c++) {
        uint8_t now = best(&list, c, NOW + 1);
        ck_assert(before[c] == 2 ? now != 2 : now == before[c]);
    }
}
END_TEST

START_TEST(after_its_time_one_connection_tries_it_and_success_brings_all_back)
{
    struct via_list list = some(2);
    unsigned client = 0;

    while (best(&list, client, NOW) != 1)
        client++;
    lose(&item[1], NOW);
    ck_assert_uint_eq(best(&list, client, NOW + 999), 0);
    ck_assert_uint_eq(best(&list, client, NOW + 1000), 1); /* the one */
    ck_assert_uint_eq(best(&list, client, NOW + 1000), 0); /* the others */
    via_health_good(&health, &item[1], NOW + 1000);
    ck_assert_uint_eq(best(&list, client, NOW + 1001), 1);
    ck_assert_uint_eq(best(&list, client, NOW + 1001), 1);
}
END_TEST

START_TEST(the_wait_doubles_to_a_minute)
{
    struct via_list list = some(1);
    static const uint64_t wait[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000};
    uint64_t now = NOW;

    for (size_t i = 0; i < sizeof wait / sizeof wait[0]; i++) {
        lose(&list.item[0], now);
        ck_assert(via_health_is_down(&health, &list.item[0], now + wait[i] - 1));
        ck_assert(!via_health_is_down(&health, &list.item[0], now + wait[i]));
        now += wait[i];
    }
}
END_TEST

START_TEST(when_all_are_down_all_are_tried)
{
    struct via_list list = some(3);
    uint8_t order[VIA_CONCENTRATORS_MAX];
    struct addr a = numbered(100, 1, 1);

    for (size_t i = 0; i < 3; i++)
        lose(&item[i], NOW);
    ck_assert_uint_eq(via_health_order(&health, &list, &a, NULL, NOW, order), 3);
    ck_assert_uint_eq((1u << order[0]) | (1u << order[1]) | (1u << order[2]), 7);
}
END_TEST

/* Reloads may bring ever new ones: those without a place count as healthy. */
START_TEST(more_than_can_be_remembered_do_no_harm)
{
    struct via_list list = some(1);

    for (uint16_t i = 0; i < 1000; i++) {
        struct via_concentrator c = {.address = numbered(50, i, 1)};
        lose(&c, NOW);
    }
    ck_assert_uint_eq(best(&list, 1, NOW), 0);
    ck_assert(!via_health_is_down(&health, &item[0], NOW));
}
END_TEST

START_TEST(one_dialect_of_an_address_does_not_answer_for_the_other)
{
    struct via_list list = some(2);

    item[1].address = item[0].address;
    item[1].dialect = VIA_SOCKS5;
    lose(&item[0], NOW);
    ck_assert(!via_health_is_down(&health, &item[1], NOW));
    ck_assert_uint_eq(best(&list, 1, NOW), 1);
}
END_TEST

START_TEST(silence_is_none_while_others_are_answered)
{
    (void)some(1);
    via_health_good(&health, &item[0], NOW + 50);
    via_health_failed(&health, &item[0], VIA_FAILURE_SILENT, NOW, NOW + 300);
    ck_assert(!via_health_is_down(&health, &item[0], NOW + 300));
    via_health_failed(&health, &item[0], VIA_FAILURE_SILENT, NOW + 51, NOW + 351);
    ck_assert(via_health_is_down(&health, &item[0], NOW + 351));
}
END_TEST

/* Back after each back-off, tried at once, and gone again a second later, for an hour: it must
 * not take a connection with it more than once a minute, after the first few. */
START_TEST(one_that_comes_and_goes_is_used_less_and_less)
{
    struct via_list list = some(2);
    unsigned client = 0, failures = 0, early = 0;

    while (best(&list, client, NOW) != 0)
        client++;
    for (uint64_t s = 0; s < 3600; s++) { /* there in every other second */
        uint64_t now = NOW + 1000 * s;
        if (best(&list, client, now) != 0)
            continue;
        if (s % 2 == 0) {
            via_health_good(&health, &item[0], now);
            continue;
        }
        lose(&item[0], now);
        failures++;
        early += s < 120;
    }
    ck_assert_uint_le(early, 8);
    ck_assert_uint_le(failures, 8 + 3600 / 60);
    ck_assert_uint_ge(failures, 10); /* it is not given up either */
}
END_TEST

START_TEST(a_minute_of_health_makes_a_failure_a_first_one_again)
{
    (void)some(1);
    for (unsigned i = 0; i < 4; i++)
        lose(&item[0], NOW);
    via_health_good(&health, &item[0], NOW + 10000);
    lose(&item[0], NOW + 10000 + VIA_HEALTH_STEADY_MS - 1);
    ck_assert(
        via_health_is_down(&health, &item[0], NOW + 10000 + VIA_HEALTH_STEADY_MS + 15000));
    via_health_good(&health, &item[0], NOW + 100000);
    lose(&item[0], NOW + 100000 + VIA_HEALTH_STEADY_MS);
    ck_assert(!via_health_is_down(&health, &item[0], NOW + 101000 + VIA_HEALTH_STEADY_MS));
}
END_TEST

/* A SYN is lost now and then, and there is nobody else whose answer tells: a second, each time.
 */
START_TEST(lost_syns_do_not_add_up)
{
    (void)some(1);
    for (uint64_t i = 0; i < 20; i++) {
        uint64_t now = NOW + 10000 * i;
        via_health_failed(&health, &item[0], VIA_FAILURE_SILENT, now - 300, now);
        ck_assert(via_health_is_down(&health, &item[0], now + VIA_HEALTH_FIRST_MS - 1));
        ck_assert(!via_health_is_down(&health, &item[0], now + VIA_HEALTH_FIRST_MS));
        via_health_good(&health, &item[0], now + VIA_HEALTH_FIRST_MS);
    }
}
END_TEST

START_TEST(only_those_that_serve_a_target_are_asked)
{
    struct via_list list = some(3);
    struct target inside = {.addr = numbered(113, 7, 0), .port = 443};
    struct target outside = {.addr = numbered(114, 7, 0), .port = 80};
    struct target name = {.name = "example.net", .name_len = 11, .port = 443};
    struct prefix prefix = {.base = numbered(113, 0, 0), .bits = 24};
    struct via_port_range range = {443, 445};
    struct addr a = numbered(100, 1, 1);
    uint8_t order[VIA_CONCENTRATORS_MAX];

    item[0].targets = (struct conf_prefixes){.item = &prefix, .count = 1};
    item[1].ports = (struct via_ports){.item = &range, .count = 1};
    ck_assert_uint_eq(via_health_order(&health, &list, &a, &inside, NOW, order), 3);
    ck_assert_uint_eq(via_health_order(&health, &list, &a, &outside, NOW, order), 1);
    ck_assert_uint_eq(order[0], 2);
    ck_assert_uint_eq(via_health_order(&health, &list, &a, &name, NOW, order), 2);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("via_health");
    TCase *t = tcase_create("via_health");

    tcase_add_test(t, priority_comes_first);
    tcase_add_test(t, equals_share_the_clients);
    tcase_add_test(t, a_client_stays_with_its_own_whatever_its_port_and_the_order_of_the_list);
    tcase_add_test(t, only_the_clients_of_one_that_goes_move);
    tcase_add_test(t, after_its_time_one_connection_tries_it_and_success_brings_all_back);
    tcase_add_test(t, the_wait_doubles_to_a_minute);
    tcase_add_test(t, when_all_are_down_all_are_tried);
    tcase_add_test(t, more_than_can_be_remembered_do_no_harm);
    tcase_add_test(t, one_dialect_of_an_address_does_not_answer_for_the_other);
    tcase_add_test(t, silence_is_none_while_others_are_answered);
    tcase_add_test(t, one_that_comes_and_goes_is_used_less_and_less);
    tcase_add_test(t, a_minute_of_health_makes_a_failure_a_first_one_again);
    tcase_add_test(t, lost_syns_do_not_add_up);
    tcase_add_test(t, only_those_that_serve_a_target_are_asked);
    suite_add_tcase(s, t);
    return runner_main(s);
}
