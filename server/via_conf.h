/* SPDX-License-Identifier: MIT */
/* via_conf - the configuration's list of concentrators that connections are sent through. No
 * uv.h. */
#ifndef SERVER_VIA_CONF_H
#define SERVER_VIA_CONF_H
#include "base/conffile.h"
#include "wire/detect.h"

enum { VIA_CONCENTRATORS_MAX = 16 };

struct via_concentrator {
    struct addr address;
    int dialect;           /* enum via_dialect */
    uint32_t priority;     /* lower first; equal ones share clients between them */
    bool fastopen;         /* the request goes in the SYN */
    char *user, *password; /* SOCKS5 (RFC 1929); NULL: none */
    bool tell_source;      /* MP_CONVERT: the client's address, in a D=1 element */
    char *cookie;          /* RFC 8803 static cookie, hexadecimal; NULL: none */
};
struct via_list {
    struct via_concentrator *item;
    size_t count;
};
enum via_dialect { VIA_MP_CONVERT, VIA_CONVERT, VIA_SOCKS5 };
enum via_direct { VIA_DIRECT_NEVER, VIA_DIRECT_LAST };

enum protocol via_protocol(enum via_dialect d);

/* For the table in options_keys.c: conf_key.parse, .clear and .dump of a struct via_list. */
bool via_parse(struct conf_parse *p, const json_t *value, void *field);
void via_clear(void *field);
json_t *via_dump(const void *field);
const struct conf_key *via_keys(void); /* of one entry; for the reference */

#endif
