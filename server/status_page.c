/* SPDX-License-Identifier: MIT */
#include "status_page.h"
#include "base/check.h"
#include "doc_walk.h"
#include "embedded.h"
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHA256_LEN = 32, BASE64_MAX = 4 * ((SHA256_LEN + 2) / 3) + 1 };
static const char marker[] = "<!--FIGURES-->";

static const char *page(void)
{
    return (const char *)status_html; /* ends in a NUL */
}

/* ---- The table ---- */

static void put_escaped(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '<':
            (void)fputs("&lt;", out);
            break;
        case '>':
            (void)fputs("&gt;", out);
            break;
        case '&':
            (void)fputs("&amp;", out);
            break;
        default:
            (void)fputc(*text, out);
        }
    }
}

static void put_figure(void *arg, const char *path, const json_t *value)
{
    FILE *out = arg;
    char *text = json_is_string(value)
                     ? NULL
                     : json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));

    (void)fputs("<tr><td>", out);
    put_escaped(out, path);
    (void)fputs("</td><td>", out);
    put_escaped(out, json_is_string(value) ? json_string_value(value)
                     : text != NULL        ? text
                                           : "");
    (void)fputs("</td></tr>\n", out);
    free(text);
}

char *status_page(const struct stats_snapshot *s, const struct server_view *v, size_t *len)
{
    const char *at = strstr(page(), marker);
    json_t *doc = stats_json(s, v);
    char *text = NULL;
    size_t size = 0;

    if (doc == NULL)
        return NULL;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL) {
        json_decref(doc);
        return NULL;
    }
    ASSERT(at != NULL); /* our own page */
    (void)fwrite(page(), 1, (size_t)(at - page()), out);
    doc_walk(doc, put_figure, out);
    (void)fputs(at + sizeof marker - 1, out);
    json_decref(doc);
    bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed) {
        free(text);
        return NULL;
    }
    *len = size;
    return text;
}

/* ---- The policy ---- */

/* Of what stands between `begin` and `end`. */
static bool hash_of(const char *begin, const char *end, char out[BASE64_MAX])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    const char *from = strstr(page(), begin);
    const char *to = from != NULL ? strstr(from, end) : NULL;
    size_t len = 0;

    ASSERT(to != NULL); /* our own page */
    from += strlen(begin);
    if (EVP_Q_digest(NULL, "SHA256", NULL, from, (size_t)(to - from), digest, &len) != 1)
        return false;
    ASSERT(len == SHA256_LEN);
    (void)EVP_EncodeBlock((unsigned char *)out, digest, SHA256_LEN);
    return true;
}

bool status_page_policy(char out[STATUS_PAGE_POLICY_MAX])
{
    char style[BASE64_MAX], script[BASE64_MAX];

    if (!hash_of("<style>", "</style>", style) || !hash_of("<script>", "</script>", script))
        return false;
    (void)snprintf(
        out, STATUS_PAGE_POLICY_MAX,
        "default-src 'none'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; style-src 'sha256-%s'; script-src 'sha256-%s'",
        style, script);
    return true;
}
