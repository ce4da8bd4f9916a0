/* SPDX-License-Identifier: MIT */
#include "runner.h"
#include "subflow_diag.h"
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/mptcp.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union message {
    struct nlmsghdr head;
    char buf[512];
};

static size_t make(union message *m, uint32_t token, uint32_t flags)
{
    memset(m, 0, sizeof *m);
    struct nlmsghdr *nlh = mnl_nlmsg_put_header(m->buf);

    nlh->nlmsg_type = SOCK_DIAG_BY_FAMILY;
    (void)mnl_nlmsg_put_extra_header(nlh, sizeof(struct inet_diag_msg));
    mnl_attr_put_u8(nlh, INET_DIAG_TOS, 0);
    struct nlattr *ulp = mnl_attr_nest_start(nlh, INET_DIAG_ULP_INFO);
    mnl_attr_put_strz(nlh, INET_ULP_INFO_NAME, "mptcp");
    struct nlattr *mptcp = mnl_attr_nest_start(nlh, INET_ULP_INFO_MPTCP);
    mnl_attr_put_u32(nlh, MPTCP_SUBFLOW_ATTR_TOKEN_REM, token);
    mnl_attr_put_u32(nlh, MPTCP_SUBFLOW_ATTR_TOKEN_LOC, 5);
    mnl_attr_put_u64(nlh, MPTCP_SUBFLOW_ATTR_MAP_SEQ, 6);
    mnl_attr_put_u32(nlh, MPTCP_SUBFLOW_ATTR_FLAGS, flags);
    mnl_attr_nest_end(nlh, mptcp);
    mnl_attr_nest_end(nlh, ulp);
    return nlh->nlmsg_len;
}

static int parse(const void *octets, size_t len, struct subflow_told *out)
{
    void *copy = malloc(len > 0 ? len : 1); /* exact, so that reading past its end is seen */

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, octets, len);
    int rc = subflow_diag_parse(span_of(copy, len), out);
    free(copy);
    return rc;
}

START_TEST(token_and_flags_are_read)
{
    static const struct {
        uint32_t flags;
        bool backup;
    } c[] = {{0, false},
             {MPTCP_SUBFLOW_FLAG_BKUP_REM, true},
             {MPTCP_SUBFLOW_FLAG_BKUP_LOC, true},
             {~(uint32_t)(MPTCP_SUBFLOW_FLAG_BKUP_LOC | MPTCP_SUBFLOW_FLAG_BKUP_REM), false}};
    union message m;

    for (size_t i = 0; i < ARRAY_LEN(c); i++) {
        struct subflow_told told = {.backup = !c[i].backup};

        ck_assert_int_eq(parse(&m, make(&m, 0xdeadbeef, c[i].flags), &told), 0);
        ck_assert_uint_eq(told.remote_token, 0xdeadbeef);
        ck_assert_int_eq(told.backup, c[i].backup);
    }
}
END_TEST

START_TEST(what_is_no_answer_changes_nothing)
{
    union message m;
    size_t len = make(&m, 1, 0);
    struct subflow_told told = {.remote_token = 17};

    m.head.nlmsg_type = NLMSG_ERROR;
    ck_assert_int_eq(parse(&m, len, &told), -ENOENT);
    m.head.nlmsg_type = NLMSG_DONE;
    ck_assert_int_eq(parse(&m, len, &told), -EBADMSG);
    (void)make(&m, 1, 0);
    for (size_t n = 0; n < len; n++)
        ck_assert_int_eq(parse(&m, n, &told), -EBADMSG);
    ck_assert_uint_eq(told.remote_token, 17);
    for (uint32_t n = NLMSG_HDRLEN; n < len; n++) { /* the header believes it */
        union message cut = m;

        told.remote_token = 17;
        cut.head.nlmsg_len = n;
        int rc = parse(&cut, n, &told);
        ck_assert(rc == 0 ? told.remote_token <= 1 : told.remote_token == 17);
    }
}
END_TEST

START_TEST(no_octet_makes_it_read_elsewhere)
{
    union message m;
    size_t len = make(&m, 1, MPTCP_SUBFLOW_FLAG_BKUP_REM);

    for (size_t at = 0; at < len; at++)
        for (unsigned value = 0; value < 256; value++) {
            union message other = m;
            struct subflow_told told = {.remote_token = 17};

            other.buf[at] = (char)value;
            int rc = parse(&other, len, &told);
            ck_assert(rc <= 0 && (rc == 0 || told.remote_token == 17));
        }
}
END_TEST

START_TEST(a_connection_that_is_not_there_is_left_as_it_is)
{
    struct mptcp_snapshot m = {.active = true, .remote_token = 3, .listed = 3};

    ck_assert(addr_parse("192.0.2.1:5", &m.list[0].local));
    ck_assert(addr_parse("192.0.2.2:6", &m.list[0].remote));
    m.list[1].backup = true; /* without addresses */
    ck_assert(addr_parse("[2001:db8::1]:5", &m.list[2].local));
    ck_assert(addr_parse("192.0.2.2:6", &m.list[2].remote));
    subflow_diag(&m);
    ck_assert(!m.list[0].backup && m.list[1].backup && m.remote_token == 3);
    m.active = false;
    subflow_diag(&m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("subflow_diag");
    TCase *tc = tcase_create("subflow_diag");

    tcase_add_test(tc, token_and_flags_are_read);
    tcase_add_test(tc, what_is_no_answer_changes_nothing);
    tcase_add_test(tc, no_octet_makes_it_read_elsewhere);
    tcase_add_test(tc, a_connection_that_is_not_there_is_left_as_it_is);
    suite_add_tcase(s, tc);
    return runner_main(s);
}
