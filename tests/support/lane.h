/* SPDX-License-Identifier: MIT */
/* lane - one direction of an emulated path: a token-less shaper with a tail-drop queue, a fixed
 * delay, random loss that a seed makes reproducible, and a middlebox. Time is the caller's
 * (CLOCK_MONOTONIC nanoseconds); frames keep their order. */
#ifndef SUPPORT_LANE_H
#define SUPPORT_LANE_H
#include "middlebox.h"

struct lane_settings {
    double delay_ms;
    double rate_mbit; /* 0: unlimited */
    double queue_kib; /* what the shaper may hold; the rest is dropped */
    double loss_percent;
    bool cut; /* nothing passes, and what is under way is lost */
    struct middlebox_rules rules;
};

struct lane_counters {
    uint64_t frames, octets; /* that came out at the far end */
    uint64_t lost, overflow, cut, dropped, edited, failed;
};

struct lane_frame {
    struct lane_frame *next;
    int64_t due_ns;
    size_t len;
    struct virtio_net_hdr
        vh; /* must stay directly before `octets`: both are written in one call */
    uint8_t octets[];
};

struct lane {
    int in, out; /* packet sockets */
    struct lane_settings settings;
    struct lane_counters counters;
    int64_t shaper_free_ns, last_due_ns;
    uint64_t random_state;
    struct lane_frame *head, **tail;
};

void lane_init(struct lane *l, int in, int out, const struct lane_settings *settings,
               uint64_t seed);
void lane_done(struct lane *l);

/* Judges one frame; a copy waits in the lane when it passes. False: out of memory. */
bool lane_accept(struct lane *l, int64_t now_ns, const struct virtio_net_hdr *vh,
                 const uint8_t *octets, size_t len);
/* Sends what is due; returns when the next frame is, or -1. */
int64_t lane_deliver(struct lane *l, int64_t now_ns);
void lane_flush(struct lane *l); /* loses what is under way */

#endif
