/* SPDX-License-Identifier: MIT */
#include "lane.h"
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const double NS_PER_MS = 1e6;

/* splitmix64: small, and good enough that consecutive drops are independent. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15U);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

void lane_init(struct lane *l, int in, int out, const struct lane_settings *settings,
               uint64_t seed)
{
    *l = (struct lane){.in = in, .out = out, .settings = *settings, .random_state = seed};
    l->tail = &l->head;
}

void lane_flush(struct lane *l)
{
    while (l->head != NULL) {
        struct lane_frame *f = l->head;

        l->head = f->next;
        free(f);
        l->counters.cut++;
    }
    l->tail = &l->head;
    l->shaper_free_ns = 0;
}

void lane_done(struct lane *l)
{
    lane_flush(l);
}

static bool is_lost(struct lane *l)
{
    double unit = (double)(next_random(&l->random_state) >> 11) * 0x1p-53;

    return unit * 100 < l->settings.loss_percent;
}

/* When the last octet of the frame leaves the shaper; -1 when the queue has no room for it. */
static int64_t shape(struct lane *l, int64_t now_ns, size_t len)
{
    double ns_per_octet = l->settings.rate_mbit > 0 ? 8e3 / l->settings.rate_mbit : 0;
    int64_t start = l->shaper_free_ns > now_ns ? l->shaper_free_ns : now_ns;

    if (ns_per_octet > 0 &&
        (double)(start - now_ns) / ns_per_octet > l->settings.queue_kib * 1024)
        return -1;
    l->shaper_free_ns = start + (int64_t)(ns_per_octet * (double)len);
    return l->shaper_free_ns;
}

static struct lane_frame *copy_frame(const struct virtio_net_hdr *vh, const uint8_t *octets,
                                     size_t len)
{
    struct lane_frame *f = malloc(sizeof *f + len);

    if (f == NULL)
        return NULL;
    f->next = NULL;
    f->len = len;
    f->vh = *vh;
    f->vh.flags &=
        VIRTIO_NET_HDR_F_NEEDS_CSUM; /* DATA_VALID means something else on the way out */
    memcpy(f->octets, octets, len);
    return f;
}

/* The counter of the fate that keeps the frame from going on; NULL when it is on its way. */
static uint64_t *stopped_by(struct lane *l, int64_t now_ns, struct lane_frame *f)
{
    enum middlebox_verdict verdict =
        middlebox_apply(&l->settings.rules, &f->vh, f->octets, &f->len);

    if (verdict == MIDDLEBOX_DROP)
        return &l->counters.dropped;
    if (verdict == MIDDLEBOX_EDITED)
        l->counters.edited++;
    if (is_lost(l))
        return &l->counters.lost;
    int64_t sent_ns = shape(l, now_ns, f->len);

    if (sent_ns < 0)
        return &l->counters.overflow;
    f->due_ns = sent_ns + (int64_t)(l->settings.delay_ms * NS_PER_MS);
    if (f->due_ns < l->last_due_ns)
        f->due_ns = l->last_due_ns; /* a delay that became shorter must not reorder */
    l->last_due_ns = f->due_ns;
    return NULL;
}

bool lane_accept(struct lane *l, int64_t now_ns, const struct virtio_net_hdr *vh,
                 const uint8_t *octets, size_t len)
{
    if (l->settings.cut) {
        l->counters.cut++;
        return true;
    }
    struct lane_frame *f = copy_frame(vh, octets, len);

    if (f == NULL)
        return false;
    uint64_t *fate = stopped_by(l, now_ns, f);

    if (fate != NULL) {
        ++*fate;
        free(f);
        return true;
    }
    *l->tail = f;
    l->tail = &f->next;
    return true;
}

int64_t lane_deliver(struct lane *l, int64_t now_ns)
{
    _Static_assert(offsetof(struct lane_frame, octets) ==
                       offsetof(struct lane_frame, vh) + sizeof(struct virtio_net_hdr),
                   "header and octets are written in one call");
    while (l->head != NULL && l->head->due_ns <= now_ns) {
        struct lane_frame *f = l->head;

        if (write(l->out, &f->vh, sizeof f->vh + f->len) < 0) {
            l->counters.failed++; /* interface down or send buffer full: a real box would drop
                                     it, too */
        } else {
            l->counters.frames++;
            l->counters.octets += f->len;
        }
        l->head = f->next;
        if (l->head == NULL)
            l->tail = &l->head;
        free(f);
    }
    return l->head != NULL ? l->head->due_ns : -1;
}
