/* SPDX-License-Identifier: MIT */
/* First three octets of the input: RST or ICMP, type, code. The rest: the packet. */
#include "property.h"
#include "refusal.h"

enum { INPUT_MAX = 160 }; /* more than the queue ever copies */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    struct synack_refusal how = {.icmp = data[0] != 0, .type = data[1], .code = data[2]};
    struct span in = span_of(data + 3, size - 3 < INPUT_MAX ? size - 3 : INPUT_MAX);
    const char *flaw = refusal_flaw(in, how);

    if (flaw != NULL) {
        (void)fprintf(stderr, "%s\n", flaw);
        abort();
    }
    return 0;
}
