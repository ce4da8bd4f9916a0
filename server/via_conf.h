/* SPDX-License-Identifier: MIT */
/* via_conf - the configuration's list of concentrators that connections are sent through, and
 * what else it says of them. No uv.h. */
#ifndef SERVER_VIA_CONF_H
#define SERVER_VIA_CONF_H
#include "base/conffile.h"
#include "wire/bytes.h"
#include "wire/detect.h"
#include "wire/target.h"

enum {
    VIA_CONCENTRATORS_MAX = 16,
    VIA_TARGETS_MAX = 256,
    VIA_PORTS_MAX = 64,
    VIA_COOKIE_MAX = 255
};

enum via_dialect { VIA_MP_CONVERT, VIA_CONVERT, VIA_SOCKS5 };
enum via_exact { VIA_EXACT_AUTO, VIA_EXACT_ON, VIA_EXACT_OFF };
enum via_direct { VIA_DIRECT_NEVER, VIA_DIRECT_LAST };
enum via_bypass { VIA_BYPASS_NEVER, VIA_BYPASS_LEARNED };

struct via_ports {
    struct via_port_range {
        uint16_t first, last;
    } * item;
    size_t count;
};
struct via_concentrator {
    struct addr address;
    int dialect;       /* enum via_dialect */
    uint32_t priority; /* lower first; equal ones share clients between them */
    bool fastopen;     /* the request goes in the SYN */
    int exact;         /* enum via_exact: does it answer the SYN when its target has */
    struct conf_prefixes targets; /* it is asked for these only; empty: for all */
    struct via_ports ports;       /* and for these only; empty: for all */
    bool tell_source;             /* MP_CONVERT: the client's address, in a D=1 element */
    char *user, *password;        /* SOCKS5 (RFC 1929); NULL: none */
    char *cookie;                 /* RFC 8803 static cookie, hexadecimal; NULL: none */
};
struct via_list {
    struct via_concentrator *item;
    size_t count;
};
struct via_options {
    struct via_list concentrators;
    int direct;              /* enum via_direct */
    bool probe;              /* find out by probes, beside the clients' connections */
    uint32_t relearn_ms;     /* for how long what was learnt of a concentrator holds (K5) */
    uint32_t tfo_backoff_ms; /* without SYN data, after it was lost three times in a row (K9) */
    bool implicit;           /* ask a concentrator on the path, by dialling the target itself */
    struct conf_prefixes native; /* targets that are dialled directly, with MPTCP */
    int bypass; /* enum via_bypass: those that were found to speak MPTCP, too */
};

enum protocol via_protocol(enum via_dialect d);
/* The static cookie's octets, in `buf`; empty: none. */
struct span via_cookie(const struct via_concentrator *c, uint8_t buf[VIA_COOKIE_MAX]);
/* `a` has nothing learnt of it that does not hold for `b` as well. */
bool via_list_equal(const struct via_list *a, const struct via_list *b);
/* Whether `c` is asked for `t`, by its targets and ports. A name is inside no prefix. */
bool via_serves(const struct via_concentrator *c, const struct target *t);

/* For the table in options_keys.c: conf_key.parse, .clear and .dump of a struct via_list. */
bool via_parse(struct conf_parse *p, const json_t *value, void *field);
void via_clear(void *field);
json_t *via_dump(const void *field);
const struct conf_key *via_keys(void); /* of one entry; for the reference */

#endif
