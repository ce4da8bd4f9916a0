/* SPDX-License-Identifier: MIT */
#include "runner.h"
#include "wire/bytes.h"

static const uint8_t five[] = {1, 2, 3, 4, 5};

static struct rd reader(size_t n)
{
    return (struct rd){.in = span_of(five, n)};
}

START_TEST(skip_leaves_what_lies_behind)
{
    struct span s = span_skip(span_of(five, 5), 2);

    ck_assert_uint_eq(s.len, 3);
    ck_assert_ptr_eq(s.ptr, five + 2);
    ck_assert_uint_eq(span_skip(span_of(five, 5), 0).len, 5);
    ck_assert_uint_eq(span_skip(span_of(five, 5), 5).len, 0);
    ck_assert_uint_eq(span_skip(span_of(five, 5), SIZE_MAX).len, 0);
}
END_TEST

START_TEST(spans_are_equal_by_content)
{
    static const uint8_t same[] = {1, 2, 3};

    ck_assert(span_equal(span_of(five, 3), span_of(same, 3)));
    ck_assert(!span_equal(span_of(five, 3), span_of(same, 2)));
    ck_assert(!span_equal(span_of(five + 1, 3), span_of(same, 3)));
    ck_assert(span_equal(span_of(NULL, 0), span_of(five, 0)));
}
END_TEST

START_TEST(reads_are_big_endian_and_in_order)
{
    struct rd r = reader(5);

    ck_assert_uint_eq(rd_u8(&r), 1);
    ck_assert_uint_eq(rd_be16(&r), 0x0203);
    ck_assert_uint_eq(rd_left(&r), 2);
    ck_assert_uint_eq(r.pos, 3);
    ck_assert_uint_eq(r.want, 0);

    r = reader(5);
    ck_assert_uint_eq(rd_be32(&r), 0x01020304);
    ck_assert_uint_eq(r.pos, 4);
}
END_TEST

START_TEST(a_view_borrows_the_input)
{
    struct rd r = reader(5);
    struct span s = rd_span(&r, 2);

    ck_assert_ptr_eq(s.ptr, five);
    ck_assert_uint_eq(s.len, 2);
    ck_assert_uint_eq(rd_span(&r, 0).len, 0);
    ck_assert_uint_eq(r.pos, 2);
    ck_assert_uint_eq(r.want, 0);
}
END_TEST

START_TEST(first_read_past_the_end_latches_the_length_it_needed)
{
    struct rd r = reader(3);

    (void)rd_be16(&r);
    ck_assert_uint_eq(rd_be16(&r), 0);
    ck_assert_uint_eq(r.want, 4);
    ck_assert_uint_eq(r.pos, 2);     /* moved nothing */
    ck_assert_uint_eq(rd_u8(&r), 0); /* although one octet is left */
    ck_assert_uint_eq(rd_span(&r, 1).len, 0);
    ck_assert_uint_eq(rd_span(&r, 100).len, 0);
    ck_assert_uint_eq(rd_be32(&r), 0);
    ck_assert_uint_eq(r.want, 4);
    ck_assert_uint_eq(r.pos, 2);
}
END_TEST

START_TEST(be32_wants_what_its_second_half_needs)
{
    struct rd r = reader(3);

    ck_assert_uint_eq(rd_be32(&r), 0x01020000);
    ck_assert_uint_eq(r.want, 4);
}
END_TEST

START_TEST(an_empty_reader_wants_the_first_octet)
{
    struct rd r = {.in = span_of(NULL, 0)};

    ck_assert_uint_eq(rd_u8(&r), 0);
    ck_assert_uint_eq(r.want, 1);
}
END_TEST

START_TEST(writes_are_big_endian_and_in_order)
{
    uint8_t buf[8];
    struct wr w = {.buf = buf, .cap = sizeof buf};

    wr_u8(&w, 1);
    wr_be16(&w, 0x0203);
    wr_zero(&w, 2);
    wr_bytes(&w, five + 1, 3);
    wr_bytes(&w, NULL, 0);
    ck_assert(!w.overflow);
    ck_assert(span_equal(wr_done(&w), span_of((const uint8_t[]){1, 2, 3, 0, 0, 2, 3, 4}, 8)));
}
END_TEST

START_TEST(first_write_past_the_end_latches_overflow)
{
    uint8_t buf[3] = {9, 9, 9};
    struct wr w = {.buf = buf, .cap = 2};

    wr_u8(&w, 1);
    wr_be16(&w, 0x0203);
    ck_assert(w.overflow);
    wr_u8(&w, 4); /* there is room, but the message is spoiled */
    wr_zero(&w, 1);
    wr_bytes(&w, five, 1);
    ck_assert_uint_eq(wr_done(&w).len, 0);
    ck_assert_uint_eq(buf[0], 1);
    ck_assert_uint_eq(buf[1], 9);
    ck_assert_uint_eq(buf[2], 9);
}
END_TEST

START_TEST(huge_lengths_do_not_wrap)
{
    uint8_t buf[4];
    struct wr w = {.buf = buf, .cap = sizeof buf};
    struct wr z = w;
    struct rd r = reader(5);

    (void)rd_u8(&r);
    ck_assert_uint_eq(rd_span(&r, SIZE_MAX - 1).len, 0);
    ck_assert_uint_ne(r.want, 0);
    wr_u8(&w, 1);
    wr_bytes(&w, five, SIZE_MAX);
    ck_assert(w.overflow);
    wr_zero(&z, SIZE_MAX);
    ck_assert(z.overflow);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("bytes");
    TCase *tc = tcase_create("bytes");

    tcase_add_test(tc, skip_leaves_what_lies_behind);
    tcase_add_test(tc, spans_are_equal_by_content);
    tcase_add_test(tc, reads_are_big_endian_and_in_order);
    tcase_add_test(tc, a_view_borrows_the_input);
    tcase_add_test(tc, first_read_past_the_end_latches_the_length_it_needed);
    tcase_add_test(tc, be32_wants_what_its_second_half_needs);
    tcase_add_test(tc, an_empty_reader_wants_the_first_octet);
    tcase_add_test(tc, writes_are_big_endian_and_in_order);
    tcase_add_test(tc, first_write_past_the_end_latches_overflow);
    tcase_add_test(tc, huge_lengths_do_not_wrap);
    suite_add_tcase(s, tc);
    return runner_main(s);
}
