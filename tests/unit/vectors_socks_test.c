/* SPDX-License-Identifier: MIT */
/* Every golden SOCKS message decodes and encodes again to the same octets; and the five files
 * are complete. */
#include "runner.h"
#include "vectors.h"
#include "wire/socks4.h"
#include "wire/socks5.h"

static struct vectors socks5, socks4;

static void load(void)
{
    vectors_load("socks5.hex", &socks5);
    vectors_load("socks4.hex", &socks4);
}

/* One message after the other is encoded here and compared with the whole vector. */
struct again {
    uint8_t buf[VECTOR_OCTETS_MAX];
    struct wr w;
    struct span left;
};

static void begin(struct again *a, const struct vectors *all, const char *id)
{
    *a = (struct again){.left = vector_span(vectors_find(all, id))};
    a->w = (struct wr){.buf = a->buf, .cap = sizeof a->buf};
}

static void take(struct again *a, struct decode d)
{
    ck_assert_int_eq(d.status, DECODE_DONE);
    a->left = span_skip(a->left, d.bytes);
}

static void take_data(struct again *a)
{
    wr_bytes(&a->w, a->left.ptr, a->left.len);
    a->left = span_skip(a->left, a->left.len);
}

static void ck_same(const struct again *a, const struct vectors *all, const char *id)
{
    ck_assert_uint_eq(a->left.len, 0);
    ck_assert(span_equal(wr_done(&a->w), vector_span(vectors_find(all, id))));
}

static void greeting(struct again *a)
{
    struct socks5_greeting g;

    take(a, socks5_decode_greeting(a->left, &g));
    socks5_encode_greeting(&a->w, g.methods.ptr, (uint8_t)g.methods.len);
}

static void userpass(struct again *a)
{
    struct socks5_userpass up;

    take(a, socks5_decode_userpass(a->left, &up));
    socks5_encode_userpass(&a->w, up.user, up.pass);
}

static void request(struct again *a)
{
    struct socks5_request req;
    struct target t;

    take(a, socks5_decode_request(a->left, &req));
    ck_assert(socks5_request_target(&req, &t));
    socks5_encode_request(&a->w, req.command, &t);
}

START_TEST(greetings_come_back)
{
    static const char *const ids[] = {"S501", "S502"};
    struct again a;

    begin(&a, &socks5, ids[_i]);
    greeting(&a);
    ck_same(&a, &socks5, ids[_i]);
}
END_TEST

START_TEST(methods_come_back)
{
    struct again a;
    uint8_t method;

    begin(&a, &socks5, "S503");
    while (a.left.len > 0) {
        take(&a, socks5_decode_method(a.left, &method));
        socks5_encode_method(&a.w, (enum socks5_method)method);
    }
    ck_same(&a, &socks5, "S503");
}
END_TEST

START_TEST(credentials_come_back)
{
    struct again a;

    begin(&a, &socks5, "S504");
    userpass(&a);
    ck_same(&a, &socks5, "S504");
}
END_TEST

START_TEST(credential_statuses_come_back)
{
    struct again a;
    bool ok;

    begin(&a, &socks5, "S505");
    while (a.left.len > 0) {
        take(&a, socks5_decode_userpass_status(a.left, &ok));
        socks5_encode_userpass_status(&a.w, ok);
    }
    ck_same(&a, &socks5, "S505");
}
END_TEST

START_TEST(requests_come_back)
{
    static const char *const ids[] = {"S506", "S507", "S508", "S50C", "S511", "S512"};
    struct again a;

    begin(&a, &socks5, ids[_i]);
    request(&a);
    ck_same(&a, &socks5, ids[_i]);
}
END_TEST

START_TEST(replies_come_back)
{
    static const char *const ids[] = {"S509", "S50A", "S50B"};
    struct again a;
    struct socks5_reply reply;

    begin(&a, &socks5, ids[_i]);
    take(&a, socks5_decode_reply(a.left, &reply));
    struct addr bound = reply.bound.addr;
    bound.port = reply.bound.port;
    socks5_encode_reply(&a.w, (enum socks5_rep)reply.rep, &bound);
    ck_same(&a, &socks5, ids[_i]);
}
END_TEST

START_TEST(udp_headers_come_back)
{
    static const char *const ids[] = {"S50D", "S50E"};
    struct again a;
    struct socks5_udp udp;

    begin(&a, &socks5, ids[_i]);
    take(&a, socks5_decode_udp(a.left, &udp));
    ck_assert_uint_eq(a.left.len, 2);
    socks5_encode_udp(&a.w, &udp.target);
    take_data(&a);
    ck_same(&a, &socks5, ids[_i]);
}
END_TEST

START_TEST(pipelined_messages_come_back_in_order)
{
    struct again a;

    begin(&a, &socks5, "S50F");
    greeting(&a);
    request(&a);
    ck_assert_uint_eq(a.left.len, 18); /* GET / HTTP/1.0 */
    take_data(&a);
    ck_same(&a, &socks5, "S50F");

    begin(&a, &socks5, "S510");
    greeting(&a);
    userpass(&a);
    request(&a);
    ck_assert_uint_eq(a.left.len, 18);
    take_data(&a);
    ck_same(&a, &socks5, "S510");
}
END_TEST

START_TEST(fwd_udp_frame_comes_back)
{
    struct again a;
    struct target t;
    uint16_t data_len;

    begin(&a, &socks5, "S513");
    take(&a, socks5_decode_fwd_udp(a.left, &t, &data_len));
    ck_assert_uint_eq(data_len, a.left.len);
    socks5_encode_fwd_udp(&a.w, &t, data_len);
    take_data(&a);
    ck_same(&a, &socks5, "S513");
}
END_TEST

/* There is no SOCKS4 client in the tree, so the request is put together from what was decoded.
 */
START_TEST(socks4_requests_come_back)
{
    static const char *const ids[] = {"S401", "S402"};
    struct again a;
    struct socks4_request req;

    begin(&a, &socks4, ids[_i]);
    take(&a, socks4_decode_request(a.left, &req));
    wr_u8(&a.w, SOCKS4_VERSION);
    wr_u8(&a.w, req.command);
    wr_be16(&a.w, req.target.port);
    if (target_is_name(&req.target))
        wr_bytes(&a.w, (const uint8_t[]){0, 0, 0, 1}, 4);
    else
        wr_bytes(&a.w, req.target.addr.ip, 4);
    wr_bytes(&a.w, req.user.ptr, req.user.len);
    wr_u8(&a.w, 0);
    if (target_is_name(&req.target))
        wr_bytes(&a.w, req.target.name, (size_t)req.target.name_len + 1);
    ck_same(&a, &socks4, ids[_i]);
}
END_TEST

START_TEST(socks4_replies_come_back)
{
    struct again a;

    begin(&a, &socks4, "S403");
    socks4_encode_reply(&a.w, SOCKS4_GRANTED);
    socks4_encode_reply(&a.w, SOCKS4_REJECTED);
    a.left = span_skip(a.left, a.left.len);
    ck_same(&a, &socks4, "S403");
}
END_TEST

START_TEST(no_vector_is_missing)
{
    static const char *const files[] = {"mp_convert.hex", "pm08.hex", "convert.hex",
                                        "socks5.hex", "socks4.hex"};
    static const size_t counts[] = {27, 4, 33, 19, 3};
    struct vectors all;

    vectors_load(files[_i], &all);
    ck_assert_uint_eq(all.count, counts[_i]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("vectors_socks");
    TCase *tc = tcase_create("golden");

    tcase_add_checked_fixture(tc, load, NULL);
    tcase_add_loop_test(tc, greetings_come_back, 0, 2);
    tcase_add_test(tc, methods_come_back);
    tcase_add_test(tc, credentials_come_back);
    tcase_add_test(tc, credential_statuses_come_back);
    tcase_add_loop_test(tc, requests_come_back, 0, 6);
    tcase_add_loop_test(tc, replies_come_back, 0, 3);
    tcase_add_loop_test(tc, udp_headers_come_back, 0, 2);
    tcase_add_test(tc, pipelined_messages_come_back_in_order);
    tcase_add_test(tc, fwd_udp_frame_comes_back);
    tcase_add_loop_test(tc, socks4_requests_come_back, 0, 2);
    tcase_add_test(tc, socks4_replies_come_back);
    tcase_add_loop_test(tc, no_vector_is_missing, 0, 5);
    suite_add_tcase(s, tc);

    return runner_main(s);
}
