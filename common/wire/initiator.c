/* SPDX-License-Identifier: MIT */
/* A flight is what we send before we need an answer. MP_CONVERT, PM08, CONVERT and pipelined
 * SOCKS5 have one; SOCKS5 without pipelining has two or three. One buffer holds the flight of
 * the moment.
 *
 * Happy path: SEND until the flight is out, WAIT until its answers are in, then the next flight
 * or READY. Failure path: a verdict (REFUSED, BROKEN) is final; it wipes the flight and keeps
 * what the caller may use: failure, errno, waiting time, cookie. */
#include "wire/initiator.h"
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

enum {
    FIELD_MAX = 255, /* RFC 1929 s2 */
    /* What is left beside the fixed header, a Base Connect, an Info and the cookie's own head.
     */
    COOKIE_MAX = CONVERT_COOKIE_MAX - 20 - 4,
    RETRY_DEFAULT_S = 30, /* RFC 8803 s6.2.8: wait at least that long when no time is given */
    HOST_UNREACHABLE = 1, /* RFC 792 code: the one that leads back to REP 04 */
};

/* Which answer comes next. */
enum state {
    STATE_NONE, /* PM08, or no answer wanted: none will */
    STATE_METHOD,
    STATE_AUTH,
    STATE_REPLY,
    STATE_ECHO,
    STATE_ANSWER,
    STATE_PROBED,
};

/* Answers what socks5_rep_errno() does not: which outcome a REP stands for. A general failure
 * is what a concentrator says that is out of means, and what others say for want of a better
 * code: another one may do better. */
static struct failure failure_of_rep(uint8_t rep)
{
    switch (rep) {
    case SOCKS5_REP_NOT_ALLOWED:
        return (struct failure){.why = OUTCOME_DENIED};
    case SOCKS5_REP_NET_UNREACHABLE:
        return (struct failure){.why = OUTCOME_NO_ROUTE};
    case SOCKS5_REP_HOST_UNREACHABLE:
        return (struct failure){.why = OUTCOME_UNREACHABLE, .detail = HOST_UNREACHABLE};
    case SOCKS5_REP_REFUSED:
        return (struct failure){.why = OUTCOME_REFUSED};
    case SOCKS5_REP_TTL_EXPIRED:
        return (struct failure){.why = OUTCOME_CONNECT_TIMEOUT};
    case SOCKS5_REP_COMMAND:
        return (struct failure){.why = OUTCOME_UNSUPPORTED_COMMAND};
    case SOCKS5_REP_ADDRESS_TYPE:
        return (struct failure){.why = OUTCOME_UNSUPPORTED_ADDRESS};
    default:
        return (struct failure){.why = OUTCOME_NO_RESOURCES};
    }
}

/* `value` is the first value octet, RFC 8803 s6.2.8. The code of a 97 is ICMPv6's when the
 * target is IPv6. */
static struct failure failure_of_error(uint8_t code, uint8_t value, bool ipv6)
{
    switch (code) {
    case CONVERT_ERROR_UNSUPPORTED_VERSION:
        return (struct failure){.why = OUTCOME_UNSUPPORTED_VERSION};
    case CONVERT_ERROR_UNSUPPORTED_MESSAGE:
        return (struct failure){.why = OUTCOME_UNSUPPORTED_MESSAGE};
    case CONVERT_ERROR_MISSING_COOKIE:
        return (struct failure){.why = OUTCOME_MISSING_COOKIE};
    case CONVERT_ERROR_NOT_AUTHORIZED:
        return (struct failure){.why = OUTCOME_DENIED};
    case CONVERT_ERROR_UNSUPPORTED_OPTION:
        return (struct failure){.why = OUTCOME_UNSUPPORTED_OPTION, .detail = value};
    case CONVERT_ERROR_RESOURCE_EXCEEDED:
        return (struct failure){.why = OUTCOME_NO_RESOURCES, .detail = value};
    case CONVERT_ERROR_NETWORK_FAILURE:
        return (struct failure){.why = OUTCOME_NO_ROUTE};
    case CONVERT_ERROR_CONNECTION_RESET:
        return (struct failure){.why = OUTCOME_REFUSED};
    case CONVERT_ERROR_UNREACHABLE:
        return (struct failure){.why = OUTCOME_UNREACHABLE, .detail = value, .icmp6 = ipv6};
    default: /* CONVERT_ERROR_MALFORMED, and codes nobody assigned */
        return (struct failure){.why = OUTCOME_MALFORMED};
    }
}

static struct wr flight_begin(struct initiator *in)
{
    explicit_bzero(in->sent, in->out_len);
    in->out_len = in->out_sent = 0;
    return (struct wr){.buf = in->sent, .cap = sizeof in->sent};
}

/* Every flight fits: the longest is pipelined SOCKS5 with 3 + 513 + 262 octets, or a Convert
 * message. */
static void flight_end(struct initiator *in, const struct wr *w, enum state next)
{
    in->out_len = (uint16_t)wr_done(w).len;
    in->state = (uint8_t)next;
    in->step = INITIATOR_SEND;
}

static void conclude(struct initiator *in, enum initiator_step verdict)
{
    (void)flight_begin(in); /* for the wiping */
    in->step = verdict;
}

static void refuse(struct initiator *in, struct failure f, int error)
{
    in->failure = f;
    in->error = error;
    conclude(in, INITIATOR_REFUSED);
}

static void start_socks5(struct initiator *in)
{
    static const uint8_t methods[] = {SOCKS5_METHOD_NONE, SOCKS5_METHOD_USERPASS};
    const struct initiator_options *opt = &in->opt;
    struct wr w = flight_begin(in);

    if (opt->user.len == 0)
        socks5_encode_greeting(&w, methods, 1);
    else if (!opt->pipeline)
        socks5_encode_greeting(&w, methods, 2);
    else /* P8: foreseeable only when there is nothing to choose from */
        socks5_encode_greeting(&w, methods + 1, 1);
    if (opt->pipeline) {
        if (opt->user.len > 0)
            socks5_encode_userpass(&w, opt->user, opt->pass);
        socks5_encode_request(&w, SOCKS5_CONNECT, &in->target);
    }
    flight_end(in, &w, STATE_METHOD);
}

static struct addr address_of(const struct target *t)
{
    struct addr a = t->addr;

    a.port = t->port;
    return a;
}

/* K1: the port is always sent. C1, -10 s5.2: at most one element for each D. */
static void start_mpconvert(struct initiator *in)
{
    struct addr destination = address_of(&in->target);
    const struct addr *source = &in->opt.source;
    bool alone = source->family == ADDR_NONE;
    enum mpconvert_m_bit m = in->opt.m_bit;
    struct wr w = flight_begin(in);

    if (in->opt.no_answer)
        mpconvert_encode_no_answer(&w, false, m);
    if (in->opt.anonymous)
        destination = (struct addr){.family = ADDR_NONE};
    mpconvert_encode(&w, &destination, !in->opt.anonymous, false, alone, m);
    if (!alone)
        mpconvert_encode(&w, source, source->port != 0, true, true, m);
    flight_end(in, &w, in->opt.no_answer ? STATE_NONE : STATE_ECHO);
}

static void start_pm08(struct initiator *in)
{
    struct addr destination = address_of(&in->target);
    const struct addr *source = &in->opt.source;
    struct wr w = flight_begin(in);

    if (source->family != ADDR_NONE)
        pm08_encode_option(&w, source, source->port != 0, true, IPPROTO_TCP);
    pm08_encode_option(&w, &destination, true, false, IPPROTO_TCP);
    pm08_encode_end(&w);
    flight_end(in, &w, STATE_NONE);
}

static void start_convert(struct initiator *in)
{
    struct convert_request request = {
        .info = in->opt.want_info && !in->opt.no_answer,
        .connect = true,
        .no_answer = in->opt.no_answer,
        .target = address_of(&in->target),
        .cookie = in->opt.cookie,
    };
    struct wr w = flight_begin(in);

    convert_encode_request(&w, &request);
    flight_end(in, &w, in->opt.no_answer ? STATE_NONE : STATE_ANSWER);
}

/* 0: this can be expressed. */
static int objection(const struct initiator_options *opt, const struct target *t)
{
    bool named = target_is_name(t);

    if (opt->dialect == PROTOCOL_MP_CONVERT && opt->anonymous)
        return 0;
    if (!named && t->addr.family == ADDR_NONE)
        return EINVAL;
    if (opt->dialect == PROTOCOL_SOCKS5) {
        if (opt->user.len > FIELD_MAX || opt->pass.len > FIELD_MAX)
            return EINVAL;
        return opt->user.len > 0 && opt->pass.len == 0 ? EINVAL : 0;
    }
    if (opt->dialect != PROTOCOL_MP_CONVERT && opt->dialect != PROTOCOL_PM08 &&
        opt->dialect != PROTOCOL_CONVERT)
        return EPROTONOSUPPORT;
    if (named)
        return EAFNOSUPPORT;
    return opt->dialect == PROTOCOL_CONVERT && opt->cookie.len > COOKIE_MAX ? EINVAL : 0;
}

bool initiator_init(struct initiator *in, const struct initiator_options *opt,
                    const struct target *t, int *error)
{
    int err = objection(opt, t);

    if (err != 0) {
        *error = err;
        return false;
    }
    *in = (struct initiator){.opt = *opt, .target = *t};
    if (opt->dialect == PROTOCOL_SOCKS5)
        start_socks5(in);
    else if (opt->dialect == PROTOCOL_MP_CONVERT)
        start_mpconvert(in);
    else if (opt->dialect == PROTOCOL_PM08)
        start_pm08(in);
    else
        start_convert(in);
    return true;
}

bool initiator_init_probe(struct initiator *in, enum protocol dialect, struct span cookie,
                          int *error)
{
    bool known = dialect == PROTOCOL_MP_CONVERT || dialect == PROTOCOL_CONVERT;

    if (!known || (dialect == PROTOCOL_CONVERT && cookie.len > COOKIE_MAX)) {
        *error = known ? EINVAL : EPROTONOSUPPORT;
        return false;
    }
    *in = (struct initiator){.opt = {.dialect = dialect, .cookie = cookie}};
    struct wr w = flight_begin(in);
    if (dialect == PROTOCOL_MP_CONVERT)
        mpconvert_encode_probe(&w, MPCONVERT_M_DRAFT);
    else
        convert_encode_request(
            &w, &(struct convert_request){.info = true, .no_answer = true, .cookie = cookie});
    flight_end(in, &w, STATE_PROBED);
    return true;
}

struct span initiator_output(const struct initiator *in)
{
    if (in->step != INITIATOR_SEND)
        return span_of(NULL, 0);
    return span_of(in->sent + in->out_sent, (size_t)in->out_len - in->out_sent);
}

void initiator_sent(struct initiator *in, size_t n)
{
    size_t left = initiator_output(in).len;

    if (in->step != INITIATOR_SEND)
        return;
    in->out_sent = (uint16_t)(in->out_sent + (n < left ? n : left));
    if (in->out_sent < in->out_len)
        return;
    if (in->state == STATE_NONE)
        conclude(in, INITIATOR_READY);
    else
        in->step = INITIATOR_WAIT;
}

static void ask_socks5(struct initiator *in)
{
    if (!in->opt.pipeline) { /* else the request is on its way */
        struct wr w = flight_begin(in);

        socks5_encode_request(&w, SOCKS5_CONNECT, &in->target);
        flight_end(in, &w, STATE_REPLY);
    }
    in->state = STATE_REPLY;
}

static void authenticate(struct initiator *in)
{
    if (!in->opt.pipeline) {
        struct wr w = flight_begin(in);

        socks5_encode_userpass(&w, in->opt.user, in->opt.pass);
        flight_end(in, &w, STATE_AUTH);
    }
    in->state = STATE_AUTH;
}

static struct decode take_method(struct initiator *in, struct span data)
{
    uint8_t method;
    struct decode d = socks5_decode_method(data, &method);
    bool has_user = in->opt.user.len > 0;

    if (d.status != DECODE_DONE)
        return d;
    if (method == SOCKS5_METHOD_UNACCEPTABLE) {
        struct failure f = {.why = OUTCOME_NO_METHOD};
        refuse(in, f, failure_errno(f));
    } else if (method == SOCKS5_METHOD_USERPASS && has_user) {
        authenticate(in);
    } else if (method == SOCKS5_METHOD_NONE && !(has_user && in->opt.pipeline)) {
        ask_socks5(in);
    } else {
        return decode_bad(REJECT_MISMATCH); /* it was not offered */
    }
    return d;
}

static struct decode take_auth(struct initiator *in, struct span data)
{
    bool ok;
    struct decode d = socks5_decode_userpass_status(data, &ok);

    if (d.status != DECODE_DONE)
        return d;
    if (ok) {
        ask_socks5(in);
    } else {
        struct failure f = {.why = OUTCOME_AUTH_FAILED};
        refuse(in, f, failure_errno(f));
    }
    return d;
}

static struct decode take_reply(struct initiator *in, struct span data)
{
    struct socks5_reply reply;
    struct decode d = socks5_decode_reply(data, &reply);

    if (d.status != DECODE_DONE)
        return d;
    if (reply.rep == SOCKS5_REP_OK)
        conclude(in, INITIATOR_READY);
    else
        refuse(in, failure_of_rep(reply.rep), socks5_rep_errno(reply.rep));
    return d;
}

static struct decode take_echo(struct initiator *in, struct span data)
{
    struct decode d = mpconvert_match_echo(data, span_of(in->sent, in->out_len));

    if (d.status == DECODE_DONE)
        conclude(in, INITIATOR_READY);
    return d;
}

/* Y4: `value` is one zero octet, then the cookie. A longer one than we can keep is of no use.
 */
static void keep_cookie(struct initiator *in, struct span value)
{
    struct span cookie = span_skip(value, 1);

    if (cookie.len == 0 || cookie.len > sizeof in->cookie)
        return;
    memcpy(in->cookie, cookie.ptr, cookie.len);
    in->cookie_len = (uint8_t)cookie.len;
}

static void take_error(struct initiator *in, uint8_t code, struct span value)
{
    uint8_t first = value.len > 0 ? value.ptr[0] : 0;
    struct failure f = failure_of_error(code, first, in->target.addr.family == ADDR_IPV6);

    if (code == CONVERT_ERROR_MISSING_COOKIE)
        keep_cookie(in, value);
    if (code == CONVERT_ERROR_RESOURCE_EXCEEDED || code == CONVERT_ERROR_NETWORK_FAILURE)
        in->retry_after = first != 0 ? first : RETRY_DEFAULT_S; /* L7 */
    refuse(in, f, f.icmp6 ? failure_errno(f) : convert_error_errno(code, first));
}

static struct decode take_answer(struct initiator *in, struct span data)
{
    struct convert_answer answer;
    struct decode d = convert_decode_answer(data, &answer);

    if (d.status != DECODE_DONE)
        return d;
    if (answer.is_error) {
        take_error(in, answer.error_code, answer.error_value);
    } else {
        in->server_mptcp = answer.server_mptcp;
        conclude(in, INITIATOR_READY);
    }
    return d;
}

/* An Error 2 comes from a converter that knows Info, which is the RFC's, but not No Answer. */
static struct decode take_probed(struct initiator *in, struct span data)
{
    struct convert_answer answer = {.is_error = false};
    struct decode d;

    if (in->opt.dialect == PROTOCOL_MP_CONVERT)
        d = mpconvert_match_probe(data, span_of(in->sent, in->out_len), &answer.exact);
    else
        d = convert_decode_answer(data, &answer);
    if (d.status != DECODE_DONE)
        return d;
    if (answer.is_error && answer.error_code != CONVERT_ERROR_UNSUPPORTED_MESSAGE) {
        take_error(in, answer.error_code, answer.error_value);
    } else {
        in->exact = answer.exact && !answer.is_error;
        conclude(in, INITIATOR_READY);
    }
    return d;
}

static struct decode take(struct initiator *in, struct span data)
{
    switch ((enum state)in->state) {
    case STATE_METHOD:
        return take_method(in, data);
    case STATE_AUTH:
        return take_auth(in, data);
    case STATE_REPLY:
        return take_reply(in, data);
    case STATE_ECHO:
        return take_echo(in, data);
    case STATE_ANSWER:
        return take_answer(in, data);
    case STATE_PROBED:
        return take_probed(in, data);
    case STATE_NONE:
        break;
    }
    return decode_more(data.len + 1); /* not reached: who wants no answer never waits */
}

static void give_up(struct initiator *in, enum reject why)
{
    bool foreign = why == REJECT_MAGIC || why == REJECT_VERSION || why == REJECT_MISMATCH;

    in->failure =
        (struct failure){.why = foreign ? OUTCOME_UNKNOWN_PROTOCOL : OUTCOME_MALFORMED};
    in->error = failure_errno(in->failure);
    conclude(in, INITIATOR_BROKEN);
}

enum initiator_step initiator_input(struct initiator *in, struct span data, size_t *consumed)
{
    size_t used = 0;

    in->heard = in->heard || data.len > 0;
    while (in->step == INITIATOR_WAIT) {
        struct decode d = take(in, span_skip(data, used));

        if (d.status == DECODE_MORE)
            break;
        if (d.status == DECODE_BAD)
            give_up(in, d.why);
        used += d.bytes;
    }
    *consumed = used;
    return in->step;
}

enum initiator_step initiator_closed(struct initiator *in, int err)
{
    bool ended = err == 0 || err == ECONNRESET || err == EPIPE;
    bool abort_is_answer = in->opt.dialect == PROTOCOL_MP_CONVERT && !in->heard;

    if (in->step != INITIATOR_SEND && in->step != INITIATOR_WAIT)
        return in->step;
    if (ended && abort_is_answer) {
        refuse(in, (struct failure){.why = OUTCOME_REFUSED}, ECONNREFUSED);
    } else if (ended) {
        struct failure f = {.why = err == 0 ? OUTCOME_UPSTREAM_EOF : OUTCOME_UPSTREAM_RESET};
        refuse(in, f, ECONNRESET);
    } else {
        refuse(in, failure_from_connect(err, false, -1, -1, false), err);
    }
    return in->step;
}
