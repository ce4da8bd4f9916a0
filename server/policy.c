/* SPDX-License-Identifier: MIT */
#include "policy.h"
#include "base/mptcp.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DSCP_MAX = 63, DSCP_SHIFT = 2 /* the low two bits are ECN's */ };

/* --- Values --- */

bool policy_dscp_parse(const char *text, uint8_t *out)
{
    static const struct {
        const char *name;
        uint8_t value;
    } known[] = {
        {"DF", 0},    {"CS0", 0},   {"LE", 1},    {"CS1", 8},   {"AF11", 10}, {"AF12", 12},
        {"AF13", 14}, {"CS2", 16},  {"AF21", 18}, {"AF22", 20}, {"AF23", 22}, {"CS3", 24},
        {"AF31", 26}, {"AF32", 28}, {"AF33", 30}, {"CS4", 32},  {"AF41", 34}, {"AF42", 36},
        {"AF43", 38}, {"CS5", 40},  {"VA", 44},   {"EF", 46},   {"CS6", 48},  {"CS7", 56},
    };
    size_t digits = strspn(text, "0123456789");

    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (strcasecmp(text, known[i].name) == 0) {
            *out = known[i].value;
            return true;
        }
    if (digits == 0 || digits > 2 || text[digits] != '\0')
        return false;
    unsigned long value = strtoul(text, NULL, 10); /* two digits */
    if (value > DSCP_MAX)
        return false;
    *out = (uint8_t)value;
    return true;
}

/* --- Whose --- */

const struct policy *policy_named(const struct policy_list *all, const char *name)
{
    for (size_t i = 0; i < all->count; i++)
        if (strcmp(all->item[i].name, name) == 0)
            return &all->item[i];
    return NULL;
}

static int compare_user(const void *name, const void *entry)
{
    return strcmp(name, ((const struct policy_user *)entry)->name);
}

const struct policy *policy_of_user(const struct policy_list *all, const char *user)
{
    const struct policy_user *found = NULL;

    if (user != NULL && all->user_count > 0)
        found = bsearch(user, all->user, all->user_count, sizeof *all->user, compare_user);
    return found != NULL ? found->policy : NULL;
}

const struct policy *policy_of_source(const struct policy_list *all, const struct addr *source)
{
    for (size_t i = 0; i < all->count; i++) {
        const struct conf_prefixes *set = &all->item[i].sources;

        for (size_t k = 0; k < set->count; k++)
            if (prefix_contains(&set->item[k], source))
                return &all->item[i];
    }
    return NULL;
}

bool policy_leg_empty(const struct policy_leg *leg)
{
    return leg->congestion_control == NULL && !leg->dscp.set && !leg->mark.set && leg->mss == 0;
}

struct policy_leg policy_leg_merge(const struct policy_leg *base, const struct policy_leg *over)
{
    struct policy_leg leg = {.congestion_control = NULL};

    if (base != NULL)
        leg = *base;
    if (over == NULL)
        return leg;
    if (over->congestion_control != NULL)
        leg.congestion_control = over->congestion_control;
    if (over->dscp.set)
        leg.dscp = over->dscp;
    if (over->mark.set)
        leg.mark = over->mark;
    if (over->mss != 0)
        leg.mss = over->mss;
    return leg;
}

/* --- Sockets --- */

static int set_option(int fd, int level, int name, const void *value, socklen_t len)
{
    return setsockopt(fd, level, name, value, len) == 0 ? 0 : -errno;
}

static int set_congestion(int fd, const char *name)
{
    return set_option(fd, IPPROTO_TCP, TCP_CONGESTION, name, (socklen_t)strlen(name));
}

static int set_mark(int fd, uint32_t mark)
{
    return set_option(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark);
}

static int set_mss(int fd, uint32_t mss)
{
    return set_option(fd, IPPROTO_TCP, TCP_MAXSEG, &mss, sizeof mss);
}

static void set_dscp(int fd, struct policy_families f, uint8_t dscp)
{
    int tos = dscp << DSCP_SHIFT;

    if (f.ipv4)
        (void)set_option(fd, IPPROTO_IP, IP_TOS, &tos, sizeof tos);
    if (f.ipv6) /* MPTCP, up to 6.18: EOPNOTSUPP; the start has warned */
        (void)set_option(fd, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof tos);
}

int policy_apply(int fd, struct policy_families f, const struct policy_leg *leg)
{
    int rc = 0;

    if (leg->mark.set)
        rc = set_mark(fd, leg->mark.value);
    if (rc == 0 && leg->congestion_control != NULL)
        rc = set_congestion(fd, leg->congestion_control);
    if (rc == 0 && leg->mss != 0)
        rc = set_mss(fd, leg->mss);
    if (leg->dscp.set)
        set_dscp(fd, f, leg->dscp.value);
    return rc;
}

/* What a socket gets that asks for nothing. */
static int reset_congestion(int fd)
{
    char name[POLICY_CONGESTION_MAX + 1] = "";
    socklen_t len = sizeof name;
    int fresh = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc;

    if (fresh < 0)
        return -errno;
    rc = getsockopt(fresh, IPPROTO_TCP, TCP_CONGESTION, name, &len) == 0 ? 0 : -errno;
    (void)close(fresh);
    name[sizeof name - 1] = '\0';
    return rc != 0 ? rc : set_congestion(fd, name);
}

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

int policy_replace(int fd, struct policy_families f, const struct policy_leg *before,
                   const struct policy_leg *leg)
{
    const struct policy_leg a = policy_leg_merge(NULL, before);
    const struct policy_leg b = policy_leg_merge(NULL, leg);
    int rc = 0;

    if (a.mark.set != b.mark.set || a.mark.value != b.mark.value)
        rc = set_mark(fd, b.mark.set ? b.mark.value : 0);
    if (rc == 0 && !same_text(a.congestion_control, b.congestion_control))
        rc = b.congestion_control != NULL ? set_congestion(fd, b.congestion_control)
                                          : reset_congestion(fd);
    if (rc == 0 && a.mss != b.mss)
        rc = set_mss(fd, b.mss); /* 0 takes the limit away */
    if (a.dscp.set != b.dscp.set || a.dscp.value != b.dscp.value)
        set_dscp(fd, f, b.dscp.set ? b.dscp.value : 0);
    return rc;
}

bool policy_ipv6_dscp_works(void)
{
    bool is_mptcp = false;
    int zero = 0, fd = mptcp_socket(AF_INET6, true, &is_mptcp);

    if (fd < 0)
        return true; /* no IPv6 at all: nothing to warn of */
    int rc = set_option(fd, IPPROTO_IPV6, IPV6_TCLASS, &zero, sizeof zero);
    (void)close(fd);
    return !is_mptcp || rc == 0;
}
