/* SPDX-License-Identifier: MIT */
/* A request is a batch: begin, messages, end; the messages between ask for acknowledgments.
 *
 * An element's timeout cannot be changed (before Linux 6.12), and deleting an element that is
 * not there is an error, which undoes the whole batch. So the sign of life is added, which is
 * nothing where it is there already, deleted, and added with its timeout: no packet sees a
 * moment without it, since a batch takes effect at once. */
#include "nft_set.h"
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <libnftnl/set.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <netinet/in.h>
#include <stdalign.h>
#include <string.h>

enum {
    ELEMENT = 32, /* octets of one, at most: a key and a timeout are 28 */
    HEADS = 4096, /* batch, messages, names */
    REQUEST = NFT_SET_CHANGE_MAX * ELEMENT + HEADS /* its lengths stay under 64 k */
};

/* ---- names ---- */

static bool is_name(const char *text, size_t len)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

    if (len == 0 || len > NFT_SET_NAME_MAX || strchr(letters, text[0]) == NULL)
        return false;
    for (size_t i = 1; i < len; i++)
        if (strchr(letters, text[i]) == NULL && strchr("0123456789_-.", text[i]) == NULL)
            return false;
    return true;
}

bool nft_set_parse(const char *text, struct nft_set_name *out)
{
    static const struct {
        const char *word;
        uint8_t family;
    } families[] = {{"inet ", NFPROTO_INET}, {"ip ", NFPROTO_IPV4}, {"ip6 ", NFPROTO_IPV6}};

    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        size_t head = strlen(families[i].word);
        if (strncmp(text, families[i].word, head) != 0)
            continue;
        const char *table = text + head;
        size_t table_len = strcspn(table, " ");
        const char *set = table + table_len + (table[table_len] == ' ');
        size_t set_len = strlen(set);
        if (!is_name(table, table_len) || !is_name(set, set_len))
            return false;
        *out = (struct nft_set_name){.family = families[i].family};
        memcpy(out->table, table, table_len);
        memcpy(out->set, set, set_len);
        return true;
    }
    return false;
}

bool nft_set_same(const struct nft_set_name *a, const struct nft_set_name *b)
{
    return a->family == b->family && strcmp(a->table, b->table) == 0 &&
           strcmp(a->set, b->set) == 0;
}

/* ---- requests ---- */

struct request {
    struct nft_link *link;
    const struct nft_set_name *name;
    size_t len;
    uint32_t first, count; /* of the messages that are acknowledged */
    bool failed;           /* out of memory */
    alignas(struct nlmsghdr) char buf[REQUEST];
};

static void begin(struct request *r, struct nft_link *l, const struct nft_set_name *n)
{
    r->link = l;
    r->name = n;
    r->count = 0;
    r->failed = false;
    const struct nlmsghdr *nlh = nftnl_batch_begin(r->buf, ++l->seq);
    r->len = NLMSG_ALIGN(nlh->nlmsg_len);
    r->first = l->seq + 1;
}

static struct nftnl_set *named(const struct nft_set_name *n)
{
    struct nftnl_set *s = nftnl_set_alloc();

    if (s != NULL && (nftnl_set_set_str(s, NFTNL_SET_TABLE, n->table) != 0 ||
                      nftnl_set_set_str(s, NFTNL_SET_NAME, n->set) != 0)) {
        nftnl_set_free(s);
        return NULL;
    }
    return s;
}

/* False: out of memory. */
static bool put(struct nftnl_set *s, const void *key, uint32_t key_len, uint64_t timeout_ms)
{
    struct nftnl_set_elem *e = nftnl_set_elem_alloc();

    if (e == NULL)
        return false;
    (void)nftnl_set_elem_set(e, NFTNL_SET_ELEM_KEY, key, key_len); /* copies into the element */
    if (timeout_ms != 0)
        nftnl_set_elem_set_u64(e, NFTNL_SET_ELEM_TIMEOUT, timeout_ms);
    nftnl_set_elem_add(s, e); /* now the set's */
    return true;
}

/* One message of the batch; takes `s`, NULL after a failure. */
static void append(struct request *r, uint16_t type, struct nftnl_set *s)
{
    if (s == NULL)
        r->failed = true;
    if (!r->failed) {
        uint16_t flags = NLM_F_ACK | (type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0);
        struct nlmsghdr *nlh = nftnl_nlmsg_build_hdr(r->buf + r->len, type, r->name->family,
                                                     flags, ++r->link->seq);
        nftnl_set_elems_nlmsg_build_payload(nlh, s);
        r->len += NLMSG_ALIGN(nlh->nlmsg_len);
        r->count++;
    }
    if (s != NULL)
        nftnl_set_free(s);
}

static int carry_out(struct request *r)
{
    if (r->failed)
        return -ENOMEM;
    const struct nlmsghdr *nlh = nftnl_batch_end(r->buf + r->len, ++r->link->seq);
    return nft_link_ask(r->link, r->buf, r->len + NLMSG_ALIGN(nlh->nlmsg_len), r->first,
                        r->count);
}

/* Elements with these tokens; NULL: out of memory. */
static struct nftnl_set *of_tokens(const struct nft_set_name *n, const uint32_t *tokens,
                                   size_t count)
{
    struct nftnl_set *s = named(n);

    for (size_t i = 0; s != NULL && i < count; i++) {
        uint32_t key = htonl(tokens[i]);
        if (!put(s, &key, sizeof key, 0)) {
            nftnl_set_free(s);
            return NULL;
        }
    }
    return s;
}

static int change(struct nft_link *l, const struct nft_set_name *n, uint16_t type,
                  const uint32_t *tokens, size_t count)
{
    struct request r;

    ASSERT(count > 0 && count <= NFT_SET_CHANGE_MAX);
    begin(&r, l, n);
    append(&r, type, of_tokens(n, tokens, count));
    return carry_out(&r);
}

int nft_set_add(struct nft_link *l, const struct nft_set_name *n, const uint32_t *tokens,
                size_t count)
{
    return change(l, n, NFT_MSG_NEWSETELEM, tokens, count);
}

int nft_set_remove(struct nft_link *l, const struct nft_set_name *n, const uint32_t *tokens,
                   size_t count)
{
    return change(l, n, NFT_MSG_DELSETELEM, tokens, count);
}

int nft_set_flush(struct nft_link *l, const struct nft_set_name *n)
{
    struct request r;

    begin(&r, l, n);
    append(&r, NFT_MSG_DELSETELEM, named(n)); /* no element: all of them */
    return carry_out(&r);
}

/* A question is no transaction. */
int nft_set_has(struct nft_link *l, const struct nft_set_name *n, uint32_t token)
{
    alignas(struct nlmsghdr) char buf[HEADS];
    struct nftnl_set *s = of_tokens(n, &token, 1);

    if (s == NULL)
        return -ENOMEM;
    struct nlmsghdr *nlh =
        nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETSETELEM, n->family, NLM_F_ACK, ++l->seq);
    nftnl_set_elems_nlmsg_build_payload(nlh, s);
    nftnl_set_free(s);
    return nft_link_ask(l, buf, nlh->nlmsg_len, l->seq, 1);
}

static struct nftnl_set *of_life(const struct nft_set_name *n, uint64_t timeout_ms)
{
    const uint8_t key = IPPROTO_TCP;
    struct nftnl_set *s = named(n);

    if (s != NULL && !put(s, &key, sizeof key, timeout_ms)) {
        nftnl_set_free(s);
        return NULL;
    }
    return s;
}

int nft_set_renew(struct nft_link *l, const struct nft_set_name *n, uint64_t timeout_ms)
{
    struct request r;

    begin(&r, l, n);
    append(&r, NFT_MSG_NEWSETELEM, of_life(n, timeout_ms));
    append(&r, NFT_MSG_DELSETELEM, of_life(n, 0));
    append(&r, NFT_MSG_NEWSETELEM, of_life(n, timeout_ms));
    return carry_out(&r);
}
