/* SPDX-License-Identifier: MIT */
/* libmpconvert_dns.so: names are resolved by the concentrator. Preloaded only with
 * remote_dns = 1; without that setting, without a run or with settings that do not hold, every
 * call passes. Of a run whose file is gone or cannot be mapped no name is looked up at all: the
 * answer is "try again"; literals and local names still pass.
 *
 * Happy path: a name gets an address of the run's pool (shared.h), libc is asked for that
 * literal, and what it returns is libc's own memory; connect() finds the name behind the
 * address. The other way, an address of the pool gives the name. No query leaves this host for
 * a name we take: when the pool is full the answer is "try again", when it is not a name, "no
 * such name".
 *
 * Passed on, as the program asked it:
 *  - literals: what libc takes for one under AI_NUMERICHOST;
 *  - names of this host and its neighbours (dns_local.h);
 *  - addresses outside the pool: SOCKS5 cannot ask for their names.
 * Not covered: programs with a resolver of their own (res_query(), c-ares, Go),
 * getaddrinfo_a().
 *
 * IPv4 comes first in an AF_UNSPEC answer: both lead to the same place, and every host has
 * IPv4 sockets. AI_ADDRCONFIG counts for IPv6 only, as the pool is no network to be configured.
 * Lists of two getaddrinfo() calls are joined: glibc frees them node by node. */
#include "dns_local.h"
#include "libc.h"
#include "settings.h"
#include "shared.h"
#include "wire/target.h"
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_ROOM = 256 };

#define REAL_MAP(X)     \
    X(getaddrinfo)      \
    X(getnameinfo)      \
    X(gethostbyname)    \
    X(gethostbyname2)   \
    X(gethostbyname_r)  \
    X(gethostbyname2_r) \
    X(gethostbyaddr)    \
    X(gethostbyaddr_r)

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct settings settings; /* too large for a stack that is not ours */
static struct shared *run;       /* NULL: no name has an address, see stand_in() */
static bool taking;              /* names are ours to answer; else everything passes */
static struct {
#define X(name) __typeof__(name)(*(name));
    REAL_MAP(X)
#undef X
} real;

static void init(void)
{
    struct settings_error ignored; /* the launcher has told; in a program we are silent */

/* POSIX lets a data pointer hold a function; ISO C has no conversion for it. */
#define X(name)                                   \
    do {                                          \
        void *found = dlsym(RTLD_NEXT, #name);    \
        memcpy(&real.name, &found, sizeof found); \
    } while (0);
    REAL_MAP(X)
#undef X
    if (!settings_from(&settings, libc_variable, &ignored))
        return;
    taking = settings.remote_dns && settings.run[0] != '\0';
    if (taking)
        run = shared_map(settings.run);
}

/* errno is the caller's to restore: the first call finds libc's functions. */
static bool on(void)
{
    int saved = errno;

    (void)pthread_once(&once, init);
    errno = saved;
    return taking;
}

/* What stands for a name: EAI_NONAME when it cannot be one, EAI_AGAIN when the pool is full or
 * not to be had. */
static int stand_in(const char *name, uint8_t family, struct addr *out)
{
    struct span text = {(const uint8_t *)name, strlen(name)};
    struct target t;

    if (run != NULL && name_to_addr(run, name, text.len, family, out))
        return 0;
    return target_from_host(text, 0, &t) ? EAI_AGAIN : EAI_NONAME;
}

static int ask_literal(const struct addr *a, const char *service, const struct addrinfo *hints,
                       struct addrinfo **res)
{
    struct addrinfo h = *hints;
    char text[ADDR_TEXT_MAX];

    h.ai_flags |= AI_NUMERICHOST;
    h.ai_family = a->family == ADDR_IPV4 ? AF_INET : AF_INET6;
    if (a->family == ADDR_IPV4)
        h.ai_flags &= ~AI_ADDRCONFIG;
    return real.getaddrinfo(addr_print_ip(a, text, sizeof text), service, &h, res);
}

/* libc made the literal the canonical name. */
static int keep_name(struct addrinfo *list, const char *name)
{
    if (list->ai_canonname == NULL)
        return 0;
    char *copy = strdup(name);
    if (copy == NULL)
        return EAI_MEMORY;
    free(list->ai_canonname);
    list->ai_canonname = copy;
    return 0;
}

static int ask_both(const char *name, const char *service, const struct addrinfo *hints,
                    struct addrinfo **res)
{
    struct addrinfo *list = NULL, *more = NULL, second = *hints;
    struct addr a;
    int rc = EAI_NONAME;

    if (hints->ai_family != AF_INET6) {
        rc = stand_in(name, ADDR_IPV4, &a);
        if (rc == 0)
            rc = ask_literal(&a, service, hints, &list);
        if (rc != 0)
            return rc;
        second.ai_flags &= ~AI_CANONNAME; /* the first of the list has it */
    }
    if (hints->ai_family != AF_INET) {
        rc = stand_in(name, ADDR_IPV6, &a);
        if (rc == 0)
            rc = ask_literal(&a, service, &second, &more);
        if (rc != 0 && list == NULL)
            return rc;
    }
    struct addrinfo **end = &list;
    while (*end != NULL)
        end = &(*end)->ai_next;
    *end = more; /* unset where there is no IPv6: then IPv4 it is */
    if (list == NULL)
        return EAI_NONAME;
    rc = keep_name(list, name);
    if (rc != 0)
        freeaddrinfo(list);
    else
        *res = list;
    return rc;
}

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): glibc's are reserved names
 */
int getaddrinfo(const char *restrict name, const char *restrict service,
                const struct addrinfo *restrict hints, struct addrinfo **restrict res)
{
    /* what glibc takes for no hints */
    static const struct addrinfo usual = {.ai_flags = AI_V4MAPPED | AI_ADDRCONFIG};
    bool ours = on();
    int saved = errno;

    if (real.getaddrinfo == NULL)
        return EAI_SYSTEM;
    const struct addrinfo *asked = hints != NULL ? hints : &usual;
    if (!ours || name == NULL || *name == '\0' || (asked->ai_flags & AI_NUMERICHOST) != 0)
        return real.getaddrinfo(name, service, hints, res);
    struct addrinfo literal = *asked;
    literal.ai_flags |= AI_NUMERICHOST;
    int rc = real.getaddrinfo(name, service, &literal, res);
    if (rc != EAI_NONAME)
        return rc;
    if (dns_local(name, settings.local_names))
        return real.getaddrinfo(name, service, hints, res);
    rc = ask_both(name, service, asked, res);
    if (rc == 0)
        errno = saved;
    return rc;
}

int getnameinfo(const struct sockaddr *restrict sa, socklen_t sa_len, char *restrict host,
                socklen_t host_len, char *restrict service, socklen_t service_len, int flags)
{
    char name[NAME_ROOM];
    struct addr a;
    bool ours = on();

    if (real.getnameinfo == NULL)
        return EAI_SYSTEM;
    if (!ours || host == NULL || host_len == 0 || (flags & NI_NUMERICHOST) != 0 ||
        !addr_from_sockaddr(sa, sa_len, &a) || !name_is_addr(&a))
        return real.getnameinfo(sa, sa_len, host, host_len, service, service_len, flags);
    if (run == NULL || !name_from_addr(run, &a, name)) {
        if ((flags & NI_NAMEREQD) != 0)
            return EAI_NONAME;
        return real.getnameinfo(sa, sa_len, host, host_len, service, service_len,
                                flags | NI_NUMERICHOST);
    }
    if (strlen(name) >= host_len)
        return EAI_OVERFLOW;
    if (service != NULL && service_len > 0) {
        int rc =
            real.getnameinfo(sa, sa_len, NULL, 0, service, service_len, flags & ~NI_NAMEREQD);
        if (rc != 0)
            return rc;
    }
    memcpy(host, name, strlen(name) + 1);
    return 0;
}

/* The older interface. A hostent with one address and no alias, within the caller's buffer. */
struct answer {
    char *aliases[1], *addresses[2];
    char ip[16];
    char name[]; /* the rest */
};

static int fill(const char *name, const struct addr *a, struct hostent *out, char *buffer,
                size_t len, struct hostent **result, int *h_error)
{
    size_t skip = (size_t)(-(uintptr_t)buffer) % _Alignof(struct answer),
           name_len = strlen(name);

    *result = NULL;
    if (len < skip || len - skip < sizeof(struct answer) + name_len + 1) {
        *h_error = NETDB_INTERNAL;
        errno = ERANGE; /* callers ask again with more, by the returned value or this */
        return ERANGE;
    }
    struct answer *w = (void *)(buffer + skip);
    w->aliases[0] = NULL;
    w->addresses[0] = w->ip;
    w->addresses[1] = NULL;
    memcpy(w->ip, a->ip, sizeof w->ip);
    memcpy(w->name, name, name_len + 1);
    *out = (struct hostent){.h_name = w->name,
                            .h_aliases = w->aliases,
                            .h_addrtype = a->family == ADDR_IPV4 ? AF_INET : AF_INET6,
                            .h_length = a->family == ADDR_IPV4 ? 4 : 16,
                            .h_addr_list = w->addresses};
    *result = out;
    *h_error = NETDB_SUCCESS;
    return 0;
}

/* Names for these functions are literals in more forms: "127.1", "0x7f.1". */
static bool passes(const char *name, int family)
{
    struct in_addr v4;
    struct addr any;

    return !on() || name == NULL || *name == '\0' ||
           (family != AF_INET && family != AF_INET6) || inet_aton(name, &v4) != 0 ||
           addr_parse_ip(name, strlen(name), &any) || strchr(name, ':') != NULL ||
           dns_local(name, settings.local_names);
}

static int by_name(const char *name, int family, struct hostent *out, char *buffer, size_t len,
                   struct hostent **result, int *h_error)
{
    struct addr a;
    int rc = stand_in(name, family == AF_INET ? ADDR_IPV4 : ADDR_IPV6, &a);

    if (rc == 0)
        return fill(name, &a, out, buffer, len, result, h_error);
    *result = NULL;
    *h_error = rc == EAI_AGAIN ? TRY_AGAIN : HOST_NOT_FOUND;
    return rc == EAI_AGAIN ? EAGAIN : 0; /* as glibc: not found is an answer */
}

/* A libc that lacks the function: the program found ours only because we export it. */
static int no_function(struct hostent **result, int *h_error)
{
    *result = NULL;
    *h_error = NO_RECOVERY;
    return ENOSYS;
}

static struct hostent *no_host(void)
{
    h_errno = NO_RECOVERY;
    return NULL;
}

/* For the functions that return memory of the library's own; these never were thread-safe. */
static struct hostent static_host;
static char static_buffer[sizeof(struct answer) + NAME_ROOM + NAME_ROOM];

int gethostbyname2_r(const char *restrict name, int family, struct hostent *restrict out,
                     char *restrict buffer, size_t len, struct hostent **restrict result,
                     int *restrict h_error)
{
    if (!passes(name, family))
        return by_name(name, family, out, buffer, len, result, h_error);
    if (real.gethostbyname2_r == NULL)
        return no_function(result, h_error);
    return real.gethostbyname2_r(name, family, out, buffer, len, result, h_error);
}

int gethostbyname_r(const char *restrict name, struct hostent *restrict out,
                    char *restrict buffer, size_t len, struct hostent **restrict result,
                    int *restrict h_error)
{
    if (!passes(name, AF_INET))
        return by_name(name, AF_INET, out, buffer, len, result, h_error);
    if (real.gethostbyname_r == NULL)
        return no_function(result, h_error);
    return real.gethostbyname_r(name, out, buffer, len, result, h_error);
}

static struct hostent *by_name_static(const char *name, int family)
{
    struct hostent *result = NULL;

    (void)by_name(name, family, &static_host, static_buffer, sizeof static_buffer, &result,
                  &h_errno); /* the result says it */
    return result;
}

struct hostent *gethostbyname2(const char *name, int family)
{
    if (!passes(name, family))
        return by_name_static(name, family);
    return real.gethostbyname2 != NULL ? real.gethostbyname2(name, family) : no_host();
}

struct hostent *gethostbyname(const char *name)
{
    if (!passes(name, AF_INET))
        return by_name_static(name, AF_INET);
    return real.gethostbyname != NULL ? real.gethostbyname(name) : no_host();
}

/* An address of the pool, while we are on. */
static bool pool_address(const void *ip, socklen_t len, int family, struct addr *out)
{
    bool ours = on();

    if (!ours || ip == NULL)
        return false;
    if (family == AF_INET && len == 4)
        *out = addr_ipv4(ip, 0);
    else if (family == AF_INET6 && len == 16)
        *out = addr_ipv6(ip, 0);
    else
        return false;
    return name_is_addr(out);
}

static int by_address(const struct addr *a, struct hostent *out, char *buffer, size_t len,
                      struct hostent **result, int *h_error)
{
    char name[NAME_ROOM];

    if (run != NULL && name_from_addr(run, a, name))
        return fill(name, a, out, buffer, len, result, h_error);
    *result = NULL;
    *h_error = HOST_NOT_FOUND;
    return 0;
}

int gethostbyaddr_r(const void *restrict ip, socklen_t ip_len, int family,
                    struct hostent *restrict out, char *restrict buffer, size_t len,
                    struct hostent **restrict result, int *restrict h_error)
{
    struct addr a;

    if (pool_address(ip, ip_len, family, &a))
        return by_address(&a, out, buffer, len, result, h_error);
    if (real.gethostbyaddr_r == NULL)
        return no_function(result, h_error);
    return real.gethostbyaddr_r(ip, ip_len, family, out, buffer, len, result, h_error);
}

struct hostent *gethostbyaddr(const void *ip, socklen_t ip_len, int family)
{
    struct hostent *result = NULL;
    struct addr a;

    if (!pool_address(ip, ip_len, family, &a))
        return real.gethostbyaddr != NULL ? real.gethostbyaddr(ip, ip_len, family) : no_host();
    (void)by_address(&a, &static_host, static_buffer, sizeof static_buffer, &result,
                     &h_errno); /* the result says it */
    return result;
}
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
