/* SPDX-License-Identifier: MIT */
/* refusal - what the packet in place of a SYN-ACK owes its reader (server/synack_packet.h),
 * checked octet by octet and with checksums of its own. For unit tests and fuzzers alike: no
 * test library. */
#ifndef SUPPORT_REFUSAL_H
#define SUPPORT_REFUSAL_H
#include "synack_packet.h"

/* NULL, or which rule is broken: synack_parse() and synack_refuse_packet() agree about what is
 * FOREIGN, and leave their output alone then; else the refusal `how` of `synack` is what a
 * client in SYN-SENT accepts. */
const char *refusal_flaw(struct span synack, struct synack_refusal how);

#endif
