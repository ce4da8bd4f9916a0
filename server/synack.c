/* SPDX-License-Identifier: MIT */
#include "synack_impl.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    PACKETS_PER_TURN = 128,
    LATE_MS = 3000,   /* of an orphan that has passed: for its SYN-ACK sent again */
    ORPHAN_MS = 2000, /* between a SYN-ACK and the accept() of its connection, under load */
    SLACK_MS = 1000,  /* the session's own deadline decides, if it can */
    QUEUE_MIN = 1024,
    WARNING_PAUSE_MS = 60000,
};

/* As the kernel chooses among listeners of one port; 0: not this one. */
static unsigned fit(const struct listener_options *o, const struct addr *local)
{
    struct addr a = addr_unmap(o->address);

    a.scope = 0;
    if (a.port != local->port)
        return 0;
    if (addr_class(&a) != ADDR_CLASS_UNSPECIFIED)
        return addr_equal(&a, local) ? 3 : 0;
    if (a.family == local->family)
        return 2;
    return a.family == ADDR_IPV6 ? 1 : 0;
}

/* Whose listener has the connection; a SYN-ACK held for nobody would wait in vain. */
static bool is_exact(const struct config *c, const struct addr *local)
{
    unsigned best = 0;
    bool exact = false;

    for (size_t i = 0; i < c->listeners.count; i++) {
        const struct listener_options *o = &c->listeners.item[i];
        unsigned how = fit(o, local);
        if (how > best) {
            best = how;
            exact = o->exact;
        }
    }
    return exact;
}

/* Life. */

static struct synack_times times_of(const struct config *c)
{
    return (struct synack_times){.tcp_ms = c->timeouts.connect_ms + SLACK_MS,
                                 .mptcp_ms = c->exact.mptcp_hold_ms,
                                 .orphan_ms = ORPHAN_MS,
                                 .late_ms = LATE_MS};
}

void synack_configure(struct synack *s, const struct config *c)
{
    synack_table_configure(s->table, times_of(c));
}

static void fail(struct conf_error *err, unsigned queue, int rc)
{
    if (rc == -EPERM)
        (void)snprintf(err->text, sizeof err->text,
                       "exact listener: cannot have netfilter queue %u: no CAP_NET_ADMIN, or "
                       "another process has it",
                       queue);
    else
        (void)snprintf(err->text, sizeof err->text, "exact listener: netfilter queue %u: %s",
                       queue, strerror(-rc));
}

struct synack *synack_new(const struct config *c, unsigned workers, struct conf_error *err)
{
    uint32_t length = c->exact.held_max < QUEUE_MIN / 2 ? QUEUE_MIN : 2 * c->exact.held_max;
    struct synack *s = calloc(1, sizeof *s + workers * sizeof s->reader[0]);

    if (s == NULL || (s->table = synack_table_new(c->exact.held_max, times_of(c))) == NULL) {
        free(s);
        fail(err, c->exact.queue, -ENOMEM);
        return NULL;
    }
    s->count = workers;
    s->first = (uint16_t)c->exact.queue;
    s->rounds = length / PACKETS_PER_TURN + 2; /* and an overrun */
    for (unsigned i = 0; i < workers; i++) {
        unsigned number = c->exact.queue + i;
        int rc = number > UINT16_MAX
                     ? -ERANGE
                     : synack_queue_open(&s->reader[i].queue, (uint16_t)number, length);
        if (rc != 0) {
            fail(err, number, rc);
            synack_free(s);
            return NULL;
        }
        (void)pthread_mutex_init(&s->reader[i].lock, NULL); /* no attributes: cannot fail */
        s->opened++;
    }
    return s;
}

void synack_free(struct synack *s)
{
    if (s == NULL)
        return;
    for (unsigned i = 0; i < s->opened; i++) {
        synack_queue_close(&s->reader[i].queue);
        (void)pthread_mutex_destroy(&s->reader[i].lock);
    }
    synack_table_free(s->table);
    free(s);
}

void synack_look(const struct synack *s, uint64_t *held, uint64_t *tracked)
{
    *held = s == NULL ? 0 : synack_table_held(s->table);
    *tracked = s == NULL ? 0 : synack_table_count(s->table);
}

/* Packets. */

struct reading {
    struct synack_port *port;
    unsigned queue;
};

uint64_t synack_now_ms(void)
{
    return uv_hrtime() / 1000000;
}

const struct synack_queue *synack_queue_of(const struct synack_port *p, unsigned index)
{
    return &p->synack->reader[index].queue;
}

void synack_accept_packet(const struct synack_port *p, unsigned queue, uint32_t id)
{
    if (synack_queue_accept(synack_queue_of(p, queue), id) != 0)
        stats_add(p->stats, STAT_EXACT_VERDICT_ERRORS, 1);
}

void synack_drop_packet(const struct synack_port *p, unsigned queue, uint32_t id)
{
    if (synack_queue_drop(synack_queue_of(p, queue), id) != 0)
        stats_add(p->stats, STAT_EXACT_VERDICT_ERRORS, 1);
}

/* Nobody has claimed it: either its connection waits to be accepted, or the kernel did not take
 * the SYN's data and waits for the third ACK before it tells us anything. */
static enum synack_verdict judge_unknown(const struct reading *r, const struct synack_key *key,
                                         const struct listener_options *transparent,
                                         const struct synack_held *held)
{
    const struct synack_port *p = r->port;
    uint64_t cookie = 0;

    stats_add(p->stats, STAT_EXACT_LOOKUPS, 1);
    switch (synack_diag_whose(synack_queue_of(p, p->index)->diag_fd, key, &cookie)) {
    case SYNACK_WHOSE_CHILD:
        return synack_table_orphan(p->synack->table, key, held, synack_now_ms());
    case SYNACK_WHOSE_REQUEST:
        if (transparent != NULL)
            return synack_embryo_judge(p, transparent, key, cookie, held);
        return SYNACK_PASS;
    default:
        return SYNACK_PASS;
    }
}

/* `transparent`: the listener whose host waits for it; NULL: it is no transparent one's. */
static void judge(const struct reading *r, uint32_t id, struct span packet,
                  const struct synack_packet *parsed,
                  const struct listener_options *transparent)
{
    const struct synack_port *p = r->port;
    struct synack_key key = {.local = parsed->local, .peer = parsed->peer};
    struct synack_held held = {.id = id,
                               .queue = (uint16_t)r->queue,
                               .len = (uint16_t)packet.len,
                               .mptcp = parsed->mptcp};

    memcpy(held.packet, packet.ptr, packet.len);
    enum synack_verdict v = synack_table_packet(p->synack->table, &key, &held, synack_now_ms());
    if (v == SYNACK_ASK)
        v = judge_unknown(r, &key, transparent, &held);
    switch (v) {
    case SYNACK_PASS:
    case SYNACK_ASK:
        stats_add(p->stats, STAT_EXACT_PLAIN, 1);
        synack_accept_packet(p, r->queue, id);
        break;
    case SYNACK_DROP:
        stats_add(p->stats, STAT_EXACT_DUPLICATES, 1);
        synack_drop_packet(p, r->queue, id);
        break;
    case SYNACK_HOLD:
        stats_add(p->stats, STAT_EXACT_HELD, 1);
        break;
    }
}

static void on_packet(void *arg, struct synack_arrival a, struct span packet)
{
    const struct reading *r = arg;
    const struct synack_port *p = r->port;
    const struct listener_options *transparent = synack_embryo_listener(p->config, a.mark);
    struct synack_packet parsed;

    switch (packet.len <= SYNACK_PACKET_MAX ? synack_parse(packet, &parsed) : SYNACK_FOREIGN) {
    case SYNACK_FIRST:
        if (transparent != NULL || is_exact(p->config, &parsed.local)) {
            judge(r, a.id, packet, &parsed, transparent);
            return;
        }
        stats_add(p->stats, STAT_EXACT_FOREIGN, 1);
        break;
    case SYNACK_JOIN:
        stats_add(p->stats, STAT_EXACT_JOINS, 1);
        break;
    case SYNACK_FOREIGN:
        stats_add(p->stats, STAT_EXACT_FOREIGN, 1);
        break;
    }
    synack_accept_packet(p, r->queue, a.id);
}

/* True: more may be there. */
static bool read_queue(struct synack_port *p, unsigned index)
{
    struct reader *reader = &p->synack->reader[index];
    struct reading reading = {.port = p, .queue = index};
    uint64_t foreign = 0;

    (void)pthread_mutex_lock(&reader->lock); /* neither recursive nor robust: cannot fail */
    int rc = synack_queue_read(&reader->queue, PACKETS_PER_TURN, on_packet, &reading, &foreign);
    (void)pthread_mutex_unlock(&reader->lock);
    stats_add(p->stats, STAT_EXACT_FOREIGN, foreign);
    if (rc == -ENOBUFS)
        stats_add(p->stats, STAT_EXACT_OVERRUNS, 1);
    return rc == 1 || rc == -ENOBUFS;
}

/* The worker's end. */

static void on_readable(struct watch *watch, uint32_t events)
{
    (void)events;
    CONTAINER_OF(watch, struct synack_port, watch)->due = true;
}

int synack_attach(struct synack_port *p, struct synack *s, unsigned index,
                  struct poller *poller, struct stats *stats, struct log *log)
{
    ASSERT(index < s->count && p->synack == NULL);
    int rc = poller_add_listener(poller, &p->watch, s->reader[index].queue.fd, on_readable);
    if (rc != 0)
        return rc;
    p->synack = s;
    p->stats = stats;
    p->poller = poller;
    p->log = log;
    p->index = index;
    return 0;
}

void synack_use(struct synack_port *p, const struct config *c)
{
    p->config = c;
}

void synack_detach(struct synack_port *p)
{
    if (p->synack == NULL)
        return;
    poller_pause(p->poller, &p->watch,
                 true); /* the queue stays open, and in the kernel's set */
    poller_remove(p->poller, &p->watch);
    p->synack = NULL;
}

void synack_turn(struct synack_port *p)
{
    if (!p->due || p->synack == NULL)
        return;
    p->due = false;
    (void)read_queue(p, p->index); /* level-triggered: what is left raises it again */
}

void synack_tick(struct synack_port *p)
{
    struct synack_held held;

    if (p->synack == NULL)
        return;
    uint64_t now = synack_now_ms();
    while (synack_table_expire(p->synack->table, p->index, p->synack->count, now, &held)) {
        if (held.stale) {
            synack_drop_packet(p, held.queue, held.id);
            continue;
        }
        stats_add(p->stats, STAT_EXACT_EXPIRED, 1);
        synack_accept_packet(p, held.queue, held.id);
    }
}

/* Sessions. */

void synack_claim(struct synack_port *p, struct synack_hold *h, const struct addr *local,
                  const struct addr *peer)
{
    if (p->synack == NULL)
        return;
    h->key = (struct synack_key){.local = addr_unmap(*local), .peer = addr_unmap(*peer)};
    h->key.local.scope = h->key.peer.scope = 0;
    h->claimed = synack_table_claim(p->synack->table, &h->key, synack_now_ms());
    h->decided = false;
    stats_add(p->stats, h->claimed ? STAT_EXACT_CLAIMED : STAT_EXACT_TABLE_FULL, 1);
}

void synack_release(struct synack_port *p, struct synack_hold *h)
{
    struct synack_held held;
    bool expired = false;

    if (p->synack == NULL || !h->claimed || h->decided)
        return;
    h->decided = true;
    if (synack_table_decide(p->synack->table, &h->key, SYNACK_DECIDE_PASS, &held, &expired) ==
        SYNACK_OWED_VERDICT)
        synack_accept_packet(p, held.queue, held.id);
}

/* The kernel queues a SYN-ACK before it lets us accept its connection: what has not been read
 * by now is in one of the queues, or the rule is missing. */
static bool bring_in(struct synack_port *p, const struct synack_hold *h)
{
    for (unsigned i = 0; i < p->synack->count; i++) {
        unsigned index = (p->index + i) % p->synack->count;
        if (synack_table_seen(p->synack->table, &h->key))
            return true;
        /* More than the queue is long came later. */
        for (unsigned left = p->synack->rounds; left > 0 && read_queue(p, index); left--)
            if (synack_table_seen(p->synack->table, &h->key))
                return true;
    }
    return synack_table_seen(p->synack->table, &h->key);
}

void synack_missed(struct synack_port *p, struct synack_hold *h)
{
    struct synack *s = p->synack;

    h->missed = true;
    stats_add(p->stats, STAT_EXACT_UNHELD, 1);
    if (s == NULL)
        return;
    uint64_t now = synack_now_ms();
    uint64_t again = atomic_load_explicit(&s->warn_again_ms, memory_order_relaxed);
    if (now >= again && atomic_compare_exchange_strong_explicit(
                            &s->warn_again_ms, &again, now + WARNING_PAUSE_MS,
                            memory_order_relaxed, memory_order_relaxed))
        log_message(p->log, LOG_LEVEL_WARNING, "exact",
                    "listener %s: a SYN-ACK did not come to netfilter queues %u to %u: is the "
                    "firewall's rule there (mpconvert doctor), or did a queue overflow?",
                    h->listener, (unsigned)s->first, s->first + s->count - 1);
}

static int replace(const struct synack_port *p, const struct synack_held *held,
                   struct failure f)
{
    uint8_t buf[SYNACK_REFUSAL_MAX];
    struct wr out = {.buf = buf, .cap = sizeof buf};
    struct synack_refusal how = synack_refusal(f, (held->packet[0] >> 4) == 6);

    synack_refuse_packet(span_of(held->packet, held->len), how, &out);
    ASSERT(!out.overflow);
    stats_add(p->stats, how.icmp ? STAT_EXACT_REFUSED_ICMP : STAT_EXACT_REFUSED_RESET, 1);
    return synack_queue_replace(synack_queue_of(p, held->queue), held->id,
                                span_of(buf, out.pos));
}

bool synack_refuse(struct synack_port *p, struct synack_hold *h, struct failure f)
{
    struct synack_held held;
    bool expired = false;

    if (p->synack == NULL || !h->claimed || h->decided)
        return false;
    if (!bring_in(p, h)) {
        synack_missed(p, h);
        synack_release(p, h); /* should it come late, it must not be stuck */
        return false;
    }
    h->decided = true;
    if (synack_table_decide(p->synack->table, &h->key, SYNACK_DECIDE_REFUSE, &held, &expired) !=
        SYNACK_OWED_VERDICT)
        return false;
    synack_embryo_cancel(p, h);
    if (synack_embryo_silent(h, f)) {
        stats_add(p->stats, STAT_EXACT_REFUSED_SILENT, 1);
        synack_drop_packet(p, held.queue, held.id);
    } else if (replace(p, &held, f) != 0) {
        stats_add(p->stats, STAT_EXACT_VERDICT_ERRORS, 1);
        synack_drop_packet(p, held.queue, held.id); /* the socket's own reset will have to do */
    }
    return true;
}

void synack_forget(struct synack_port *p, struct synack_hold *h)
{
    struct synack_held held;

    if (p->synack == NULL || !h->claimed)
        return;
    h->claimed = false;
    if (h->embryo)
        synack_embryo_forget(p, h);
    else if (synack_table_forget(p->synack->table, &h->key, &held))
        synack_drop_packet(p, held.queue, held.id);
}

/* The client has acknowledged the SYN-ACK: it came to the table before it was let go. */
void synack_proven(struct synack_port *p, struct synack_hold *h)
{
    if (p->synack != NULL && h->claimed && !h->missed &&
        !synack_table_seen(p->synack->table, &h->key))
        synack_missed(p, h);
    synack_forget(p, h);
}
