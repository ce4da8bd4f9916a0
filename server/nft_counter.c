/* SPDX-License-Identifier: MIT */
/* With libmnl alone: libnftnl's parser of objects ends the program when the kernel's message is
 * not what it expects ("ABI breakage"). */
#include "nft_counter.h"
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdalign.h>
#include <string.h>
#include <sys/socket.h>

enum { REQUEST = 512, ANSWER = 8192, DATAGRAMS_MAX = 16 /* read for one request */ };

/* What one message tells. Borrows from it. */
struct told {
    const char *table, *name;
    uint32_t type;
    const struct nlattr *data;
};

static const char *text_of(const struct nlattr *a)
{
    return mnl_attr_validate(a, MNL_TYPE_NUL_STRING) < 0 ? NULL : mnl_attr_get_str(a);
}

static int note_object(const struct nlattr *a, void *arg)
{
    struct told *t = arg;

    switch (mnl_attr_get_type(a)) {
    case NFTA_OBJ_TABLE:
        t->table = text_of(a);
        break;
    case NFTA_OBJ_NAME:
        t->name = text_of(a);
        break;
    case NFTA_OBJ_TYPE:
        if (mnl_attr_validate(a, MNL_TYPE_U32) == 0)
            t->type = be32toh(mnl_attr_get_u32(a));
        break;
    case NFTA_OBJ_DATA:
        if (mnl_attr_validate(a, MNL_TYPE_NESTED) == 0)
            t->data = a;
        break;
    default:
        break;
    }
    return MNL_CB_OK;
}

static int note_packets(const struct nlattr *a, void *packets)
{
    if (mnl_attr_get_type(a) != NFTA_COUNTER_PACKETS)
        return MNL_CB_OK;
    if (mnl_attr_validate(a, MNL_TYPE_U64) < 0)
        return MNL_CB_ERROR;
    *(uint64_t *)packets = be64toh(mnl_attr_get_u64(a));
    return MNL_CB_STOP;
}

static int judge_error(const struct nlmsghdr *nlh)
{
    const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);

    if (mnl_nlmsg_get_payload_len(nlh) < sizeof *e || e->error >= 0)
        return -EBADMSG;
    return e->error;
}

static int judge(const struct nlmsghdr *nlh, const struct nft_set_name *n, uint64_t *packets)
{
    struct told t = {.data = NULL};
    uint64_t value = 0;

    if (nlh->nlmsg_type == NLMSG_ERROR)
        return judge_error(nlh);
    if (nlh->nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWOBJ) ||
        nlh->nlmsg_len % NLMSG_ALIGNTO != 0 || /* libmnl would read up to the next multiple */
        mnl_nlmsg_get_payload_len(nlh) < sizeof(struct nfgenmsg) ||
        mnl_attr_parse(nlh, sizeof(struct nfgenmsg), note_object, &t) < 0)
        return -EBADMSG;
    if (t.table == NULL || strcmp(t.table, n->table) != 0 || t.name == NULL ||
        strcmp(t.name, n->set) != 0 || t.type != NFT_OBJECT_COUNTER || t.data == NULL ||
        mnl_attr_parse_nested(t.data, note_packets, &value) != MNL_CB_STOP)
        return -EBADMSG;
    *packets = value;
    return 0;
}

int nft_counter_parse(struct span datagram, uint32_t seq, const struct nft_set_name *n,
                      uint64_t *packets)
{
    const struct nlmsghdr *nlh = (const struct nlmsghdr *)(const void *)datagram.ptr;

    for (int left = (int)datagram.len; mnl_nlmsg_ok(nlh, left);
         nlh = mnl_nlmsg_next(nlh, &left))
        if (nlh->nlmsg_seq == seq)
            return judge(nlh, n, packets);
    return -EAGAIN;
}

/* -EAGAIN: nothing is there. */
static int take(const struct nft_link *l, const struct nft_set_name *n, uint64_t *packets)
{
    alignas(struct nlmsghdr) uint8_t buf[ANSWER];

    for (int i = 0; i < DATAGRAMS_MAX; i++) {
        struct sockaddr_nl from = {0};
        socklen_t from_len = sizeof from;
        ssize_t len =
            recvfrom(l->fd, buf, sizeof buf, MSG_DONTWAIT, (struct sockaddr *)&from, &from_len);
        if (len < 0)
            return -errno;
        if (from.nl_pid != 0) /* somebody else's */
            continue;
        int rc = nft_counter_parse(span_of(buf, (size_t)len), l->seq, n, packets);
        if (rc != -EAGAIN)
            return rc;
    }
    return -EBADMSG;
}

int nft_counter_read(struct nft_link *l, const struct nft_set_name *n, uint64_t *packets)
{
    alignas(struct nlmsghdr) char buf[REQUEST];
    struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
    struct nfgenmsg *head;

    nlh->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETOBJ;
    nlh->nlmsg_flags = NLM_F_REQUEST;
    nlh->nlmsg_seq = ++l->seq;
    head = mnl_nlmsg_put_extra_header(nlh, sizeof *head);
    *head = (struct nfgenmsg){.nfgen_family = n->family, .version = NFNETLINK_V0};
    mnl_attr_put_strz(nlh, NFTA_OBJ_TABLE, n->table);
    mnl_attr_put_strz(nlh, NFTA_OBJ_NAME, n->set);
    mnl_attr_put_u32(nlh, NFTA_OBJ_TYPE, htobe32(NFT_OBJECT_COUNTER));
    if (send(l->fd, buf, nlh->nlmsg_len, MSG_NOSIGNAL) < 0)
        return -errno;
    int rc = take(l, n, packets);
    return rc == -EAGAIN ? -ENODATA : rc;
}
