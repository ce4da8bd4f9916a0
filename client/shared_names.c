/* SPDX-License-Identifier: MIT */
/* The names behind addresses: a hash table with linear probing whose slot number is the
 * address.
 *
 * A name is written to the text area first, where only its writer knows it, and then its place
 * is put into the first empty slot of its probe sequence. Slots are never emptied or changed:
 * whoever looks for the same name walks the same way and ends at the same slot, so the same
 * name has the same address in every process. A writer that dies wastes the text it had
 * reserved. The pool is full when the text area is, or when a name finds no slot in
 * NAMES_PROBES steps. */
#include "shared.h"
#include "shared_layout.h"
#include "wire/target.h"
#include <string.h>

enum { NAMES_PROBES = 1024 };

static const uint8_t pool4[2] = {198, 18}; /* /15, RFC 2544 */
/* A unique local prefix of our own (RFC 4193): "mpcnv" in its 40 random bits. */
static const uint8_t pool6[8] = {0xfd, 0x6d, 0x70, 0x63, 0x6e, 0x76, 0, 0};

static uint32_t hash(const char *name, size_t len)
{
    uint32_t h = 2166136261u;

    for (size_t i = 0; i < len; i++)
        h = (h ^ (uint8_t)name[i]) * 16777619u;
    h ^= h >> 15;
    h *= 0x2c1b3c6du;
    return h ^ (h >> 13);
}

/* Some programs take x.y.z.0 and x.y.z.255 for networks and broadcasts. */
static bool usable(uint32_t number)
{
    return (number & 0xff) != 0 && (number & 0xff) != 0xff;
}

/* The record of a filled slot. False: it does not lie in the text area, whoever
 * wrote that. */
static bool record(const struct shared *s, uint32_t place, const char **name, size_t *len)
{
    if (place == 0 || place >= NAMES_TEXT)
        return false;
    *len = (uint8_t)s->text[place - 1];
    *name = &s->text[place];
    return *len > 0 && *len <= NAMES_TEXT - place;
}

/* Where the record begins, plus one; 0: no room. */
static uint32_t reserve(struct shared *s, size_t size)
{
    uint32_t at = atomic_load_explicit(&s->text_used, memory_order_relaxed);

    do {
        if (at > NAMES_TEXT || size > NAMES_TEXT - at)
            return 0;
    } while (!atomic_compare_exchange_weak_explicit(
        &s->text_used, &at, at + (uint32_t)size, memory_order_acq_rel, memory_order_relaxed));
    return at + 1;
}

static uint32_t write_record(struct shared *s, const char *name, size_t len)
{
    uint32_t place = reserve(s, len + 1);

    if (place != 0) {
        s->text[place - 1] = (char)len;
        memcpy(&s->text[place], name, len);
    }
    return place;
}

/* Somebody else was first with the same name; nobody knows of this record yet. */
static void give_back(struct shared *s, uint32_t place, size_t len)
{
    uint32_t end = place + (uint32_t)len;

    if (place != 0)
        (void)atomic_compare_exchange_strong_explicit(
            &s->text_used, &end, place - 1, memory_order_acq_rel, memory_order_relaxed);
}

static bool slot_is(const struct shared *s, uint32_t place, const char *name, size_t len)
{
    const char *there;
    size_t there_len;

    return record(s, place, &there, &there_len) && there_len == len &&
           memcmp(there, name, len) == 0;
}

/* 0: full, as that slot is never used. */
static uint32_t number_of(struct shared *s, const char *name, size_t len)
{
    uint32_t mine = 0;

    for (uint32_t at = hash(name, len), n = 0; n < NAMES_PROBES; at++, n++) {
        uint32_t number = at % NAMES_SLOTS;
        if (!usable(number))
            continue;
        uint32_t place = atomic_load_explicit(&s->name[number], memory_order_acquire);
        if (place == 0) {
            if (mine == 0)
                mine = write_record(s, name, len);
            if (mine == 0)
                return 0;
            if (atomic_compare_exchange_strong_explicit(
                    &s->name[number], &place, mine, memory_order_acq_rel, memory_order_acquire))
                return number;
        }
        if (slot_is(s, place, name, len)) {
            give_back(s, mine, len);
            return number;
        }
    }
    give_back(s, mine, len);
    return 0;
}

static struct addr address_of(uint32_t number, uint8_t family)
{
    uint8_t ip[16] = {0};

    if (family == ADDR_IPV4) {
        memcpy(ip, pool4, sizeof pool4);
        ip[1] = (uint8_t)(ip[1] | number >> 16);
        ip[2] = (uint8_t)(number >> 8);
        ip[3] = (uint8_t)number;
        return addr_ipv4(ip, 0);
    }
    memcpy(ip, pool6, sizeof pool6);
    ip[13] = (uint8_t)(number >> 16);
    ip[14] = (uint8_t)(number >> 8);
    ip[15] = (uint8_t)number;
    return addr_ipv6(ip, 0);
}

bool name_to_addr(struct shared *s, const char *name, size_t len, uint8_t family,
                  struct addr *out)
{
    struct target t;

    if (s == NULL || (family != ADDR_IPV4 && family != ADDR_IPV6))
        return false;
    if (!target_from_host((struct span){(const uint8_t *)name, len}, 0, &t) ||
        !target_is_name(&t))
        return false;
    for (size_t i = 0; i < t.name_len; i++) /* names are the same in either case, RFC 4343 */
        if (t.name[i] >= 'A' && t.name[i] <= 'Z')
            t.name[i] = (char)(t.name[i] + ('a' - 'A'));
    uint32_t number = number_of(s, t.name, t.name_len);
    if (number == 0)
        return false;
    *out = address_of(number, family);
    return true;
}

bool name_is_addr(const struct addr *a)
{
    struct addr u = addr_unmap(*a);

    if (u.family == ADDR_IPV4)
        return u.ip[0] == pool4[0] && (u.ip[1] & 0xfe) == pool4[1];
    return u.family == ADDR_IPV6 && memcmp(u.ip, pool6, sizeof pool6) == 0;
}

bool name_from_addr(const struct shared *s, const struct addr *a, char out[256])
{
    static const uint8_t nothing[5];
    struct addr u = addr_unmap(*a);
    const char *name;
    size_t len;

    if (s == NULL || !name_is_addr(&u))
        return false;
    const uint8_t *low = u.family == ADDR_IPV4 ? &u.ip[1] : &u.ip[13];
    if (u.family == ADDR_IPV6 && (memcmp(&u.ip[8], nothing, sizeof nothing) != 0 || low[0] > 1))
        return false;
    uint32_t number = (uint32_t)(low[0] & 1) << 16 | (uint32_t)low[1] << 8 | low[2];
    uint32_t place = atomic_load_explicit(&s->name[number], memory_order_acquire);
    if (!record(s, place, &name, &len))
        return false;
    memcpy(out, name, len);
    out[len] = '\0';
    return true;
}
