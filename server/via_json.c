/* SPDX-License-Identifier: MIT */
#include "via_json.h"
#include "via_known.h"

static const char *state_of(const struct via_known *k)
{
    if (k->listed)
        return "listed";
    if (k->down)
        return "backing_off";
    return k->proven ? "healthy" : "unproven";
}

static json_t *concentrator(const struct via_concentrator *c, const struct via_known *k)
{
    static const char *const exact[] = {[VIA_KNOWN_EXACT_UNKNOWN] = "unknown",
                                        [VIA_KNOWN_EXACT_NO] = "no",
                                        [VIA_KNOWN_EXACT_YES] = "yes"};
    char text[ADDR_TEXT_MAX];
    struct doc d = doc_new();

    doc_put(&d, "address", json_string(addr_print(&c->address, text, sizeof text)));
    doc_put(&d, "dialect",
            json_string(protocol_name(via_protocol((enum via_dialect)c->dialect))));
    doc_put(&d, "state", json_string(state_of(k)));
    doc_put(&d, "proven", json_boolean(k->proven));
    doc_put(&d, "exact", json_string(exact[k->exact]));
    doc_put(&d, "fastopen", json_boolean(c->fastopen && !k->tfo_off));
    doc_put(&d, "failures_total", doc_number(k->failures));
    doc_put(&d, "rtt_seconds", k->rtt_us != 0 ? doc_seconds(k->rtt_us) : json_null());
    doc_put(&d, "answered_seconds_ago",
            k->seen_ago_ms != UINT64_MAX ? doc_seconds(k->seen_ago_ms * 1000) : json_null());
    return doc_finish(&d);
}

void via_json(struct doc *d, const struct via_options *o, struct via_shared *s, uint64_t now_ms)
{
    json_t *list = json_array();

    for (size_t i = 0; list != NULL && i < o->concentrators.count; i++) {
        const struct via_concentrator *c = &o->concentrators.item[i];
        struct via_known k = via_known_look(&s->health, c, now_ms);
        if (json_array_append_new(list, concentrator(c, &k)) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    doc_put(d, "via.concentrators", list);
    doc_put(d, "via.forgotten_total", doc_number(atomic_load(&s->health.flushes)));
    doc_put(d, "via.native_servers", doc_number(via_memory_count(&s->native, now_ms)));
    doc_put(d, "via.path_proven.ipv4", json_boolean(via_path_is_proven(&s->path, ADDR_IPV4)));
    doc_put(d, "via.path_proven.ipv6", json_boolean(via_path_is_proven(&s->path, ADDR_IPV6)));
}
