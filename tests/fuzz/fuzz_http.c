/* SPDX-License-Identifier: MIT */
/* The input is the start of a connection to the stats endpoint: a status once given stays, a
 * whole head is whole at one place. The first line is tried as Host, If-None-Match and numbers
 * as well. */
#include "http.h"
#include "property.h"

enum {
    INPUT_MAX = 300,
    PREFIXES = 5, /* tried of each input where there is no time for all */
};

static void head_holds(struct span in)
{
    unsigned status = 0;
    bool was_whole = false;
    size_t stride = property_try_all() ? 1 : 1 + in.len / PREFIXES;

    for (size_t n = in.len % stride; n <= in.len; n += stride) { /* ends with all of it */
        uint8_t *copy = malloc(n > 0 ? n : 1);
        bool whole, is_head;

        if (copy == NULL)
            return;
        if (n > 0)
            memcpy(copy, in.ptr, n);
        struct http_verdict v = http_read(span_of(copy, n), &whole, &is_head);
        free(copy);
        ASSERT(v.status == 0 || (v.status >= 400 && v.status <= 505 && v.detail != NULL));
        ASSERT(status == 0 || v.status == status);
        ASSERT(!was_whole || (whole && v.status == status));
        status = v.status;
        was_whole = whole;
    }
}

static void text_holds(struct span in)
{
    char text[INPUT_MAX + 1];
    struct addr bound = addr_ipv4((const uint8_t[4]){192, 0, 2, 1}, 80);
    struct conf_strings none = {0};
    uint64_t n = 0;
    size_t len = 0;

    while (len < in.len && in.ptr[len] != '\r' && in.ptr[len] != '\0')
        len++;
    if (len > 0)
        memcpy(text, in.ptr, len);
    text[len] = '\0';
    (void)http_host_allowed(span_of(text, len), &bound, &none);
    (void)http_etag_listed(text, "\"abc\"");
    ASSERT(!http_number(span_of(text, len), 1000, &n) || n <= 1000);
    ASSERT(!http_seconds(span_of(text, len), &n) || n <= UINT64_C(1000000000999999));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_of(data, size < INPUT_MAX ? size : INPUT_MAX);

    head_holds(in);
    text_holds(in);
    return 0;
}
