/* SPDX-License-Identifier: MIT */
/* middlebox - edits Ethernet frames the way unfriendly boxes on a path do: SYNs lose their
 * payload, MPTCP options vanish, chosen SYNs disappear. Pure: no I/O, no clock. Frames that are
 * not TCP over IPv4/IPv6 (or are cut short) pass untouched. */
#ifndef SUPPORT_MIDDLEBOX_H
#define SUPPORT_MIDDLEBOX_H
#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct middlebox_rules {
    bool strip_syn_data; /* a SYN goes on without its payload */
    bool drop_syn_data;  /* a SYN with payload is dropped */
    bool strip_mptcp;    /* MPTCP options (kind 30) become NOPs, on every segment */
    unsigned drop_syn; /* the n-th initial SYN from now on is dropped, once; counts down to 0 =
                          none */
};

enum middlebox_verdict { MIDDLEBOX_PASS, MIDDLEBOX_EDITED, MIDDLEBOX_DROP };

/* `vh` is the frame's virtio_net_hdr as AF_PACKET gave it: a partial checksum stays partial
 * while that is enough. `*len` shrinks when payload goes. */
enum middlebox_verdict middlebox_apply(struct middlebox_rules *rules, struct virtio_net_hdr *vh,
                                       uint8_t *frame, size_t *len);

#endif
