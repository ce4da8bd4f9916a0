/* SPDX-License-Identifier: MIT */
#include "nft_counter.h"
#include "runner.h"
#include <endian.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>

enum { SEQ = 7 };

static const struct nft_set_name wanted = {.family = NFPROTO_INET, .table = "t", .set = "c"};

/* What the kernel might say. */
struct answer {
    const char *table, *name;
    uint32_t type;
    bool data, packets;
    uint64_t count;
};
static const struct answer good = {"t",  "c",  NFT_OBJECT_COUNTER,
                                   true, true, 0x0102030405060708};

union message {
    struct nlmsghdr head;
    char buf[512];
};

static size_t make(union message *m, const struct answer *a)
{
    memset(m, 0, sizeof *m);
    struct nlmsghdr *nlh = mnl_nlmsg_put_header(m->buf);
    struct nfgenmsg *head = mnl_nlmsg_put_extra_header(nlh, sizeof *head);

    nlh->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWOBJ;
    nlh->nlmsg_seq = SEQ;
    head->nfgen_family = NFPROTO_INET;
    if (a->table != NULL)
        mnl_attr_put_strz(nlh, NFTA_OBJ_TABLE, a->table);
    if (a->name != NULL)
        mnl_attr_put_strz(nlh, NFTA_OBJ_NAME, a->name);
    mnl_attr_put_u32(nlh, NFTA_OBJ_TYPE, htobe32(a->type));
    if (a->data) {
        struct nlattr *data = mnl_attr_nest_start(nlh, NFTA_OBJ_DATA);
        mnl_attr_put_u64(nlh, NFTA_COUNTER_BYTES, htobe64(99));
        if (a->packets)
            mnl_attr_put_u64(nlh, NFTA_COUNTER_PACKETS, htobe64(a->count));
        mnl_attr_nest_end(nlh, data);
    }
    mnl_attr_put_u64(nlh, NFTA_OBJ_HANDLE, 1);
    return nlh->nlmsg_len;
}

/* From an exact-size copy, so that reading past its end is seen. */
static int parse(const void *octets, size_t len, uint64_t *packets)
{
    void *copy = malloc(len > 0 ? len : 1);

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, octets, len);
    int rc = nft_counter_parse(span_of(copy, len), SEQ, &wanted, packets);
    free(copy);
    return rc;
}

START_TEST(a_counter_is_read)
{
    union message m;
    uint64_t packets = 0;

    ck_assert_int_eq(parse(&m, make(&m, &good), &packets), 0);
    ck_assert_uint_eq(packets, UINT64_C(0x0102030405060708));
}
END_TEST

START_TEST(another_answer_is_none)
{
    static const struct answer bad[] = {
        {"u", "c", NFT_OBJECT_COUNTER, true, true, 1},
        {"t", "d", NFT_OBJECT_COUNTER, true, true, 1},
        {NULL, "c", NFT_OBJECT_COUNTER, true, true, 1},
        {"t", NULL, NFT_OBJECT_COUNTER, true, true, 1},
        {"t", "c", NFT_OBJECT_QUOTA, true, true, 1},
        {"t", "c", NFT_OBJECT_COUNTER, false, true, 1},
        {"t", "c", NFT_OBJECT_COUNTER, true, false, 1},
    };
    union message m;
    uint64_t packets = 17;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_int_eq(parse(&m, make(&m, &bad[i]), &packets), -EBADMSG);
    size_t len = make(&m, &good);
    m.head.nlmsg_seq = SEQ + 1;
    ck_assert_int_eq(parse(&m, len, &packets), -EAGAIN);
    (void)make(&m, &good);
    m.head.nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWSET;
    ck_assert_int_eq(parse(&m, len, &packets), -EBADMSG);
    ck_assert_uint_eq(packets, 17);
}
END_TEST

START_TEST(errors_are_passed_on)
{
    static const struct {
        int error, rc;
    } c[] = {{-ENOENT, -ENOENT}, {-EPERM, -EPERM}, {0, -EBADMSG}, {5, -EBADMSG}};
    union message m;
    uint64_t packets = 17;

    for (size_t i = 0; i < ARRAY_LEN(c); i++) {
        memset(&m, 0, sizeof m);
        struct nlmsghdr *nlh = mnl_nlmsg_put_header(m.buf);
        nlh->nlmsg_type = NLMSG_ERROR;
        nlh->nlmsg_seq = SEQ;
        struct nlmsgerr *e = mnl_nlmsg_put_extra_header(nlh, sizeof *e);
        e->error = c[i].error;
        ck_assert_int_eq(parse(&m, nlh->nlmsg_len, &packets), c[i].rc);
        nlh->nlmsg_len = NLMSG_HDRLEN + 2; /* cut off */
        ck_assert_int_eq(parse(&m, nlh->nlmsg_len, &packets), -EBADMSG);
    }
    ck_assert_uint_eq(packets, 17);
}
END_TEST

START_TEST(whatever_is_cut_off_is_no_answer)
{
    union message m;
    size_t len = make(&m, &good);

    for (size_t n = 0; n < len; n++) {
        uint64_t packets = 17;

        ck_assert_int_eq(parse(&m, n, &packets), -EAGAIN); /* the header says more */
        ck_assert_uint_eq(packets, 17);
    }
    for (uint32_t n = NLMSG_HDRLEN; n < len; n++) { /* the header believes it */
        uint64_t packets = 17;
        union message cut = m;

        cut.head.nlmsg_len = n;
        int rc = parse(&cut, n, &packets);
        ck_assert(rc == 0 ? packets == good.count : packets == 17);
    }
}
END_TEST

START_TEST(no_octet_makes_it_read_elsewhere)
{
    union message m;
    size_t len = make(&m, &good);

    for (size_t at = 0; at < len; at++)
        for (unsigned value = 0; value < 256; value++) {
            union message other = m;
            uint64_t packets = 17;

            other.buf[at] = (char)value;
            int rc = parse(&other, len, &packets);
            ck_assert(rc <= 0 && (rc == 0 || packets == 17));
        }
}
END_TEST

START_TEST(the_kernel_is_asked)
{
    struct nft_link l;
    struct nft_set_name none = {
        .family = NFPROTO_INET, .table = "mpconvert_no_such", .set = "counter"};
    uint64_t packets = 17;
    int rc = nft_link_open(&l);

    if (rc == 0) { /* a kernel without netfilter's netlink has no such socket */
        rc = nft_counter_read(&l, &none, &packets);
        ck_assert(rc == -ENOENT || rc == -EPERM || rc == -EINVAL);
        nft_link_close(&l);
        rc = nft_counter_read(&l, &none, &packets);
        ck_assert_int_eq(rc, -EBADF);
    }
    ck_assert_uint_eq(packets, 17);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("nft_counter");
    TCase *tc = tcase_create("nft_counter");

    tcase_add_test(tc, a_counter_is_read);
    tcase_add_test(tc, another_answer_is_none);
    tcase_add_test(tc, errors_are_passed_on);
    tcase_add_test(tc, whatever_is_cut_off_is_no_answer);
    tcase_add_test(tc, no_octet_makes_it_read_elsewhere);
    tcase_add_test(tc, the_kernel_is_asked);
    suite_add_tcase(s, tc);
    return runner_main(s);
}
