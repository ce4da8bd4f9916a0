/* SPDX-License-Identifier: MIT */
/* User and password: asked of the cache, else hashed off the loop. */
#include "negotiation.h"
#include "worker.h"
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

static void count_auth(struct session *s, enum auth_verdict v)
{
    struct worker *w = s->worker;
    enum stat_id id = STAT_AUTH_BAD_CREDENTIALS;

    if (v == AUTH_OK)
        id = STAT_AUTH_SUCCESS;
    else if (v == AUTH_UNKNOWN_USER)
        id = STAT_AUTH_UNKNOWN_USER;
    else if (v == AUTH_DISABLED)
        id = STAT_AUTH_DISABLED;
    stats_add(w->stats, id, 1);
    if (v != AUTH_OK)
        limits_auth_failed(w->shared->limits, s->source, worker_now_ms(w));
}

static void on_password(uv_work_t *req)
{
    struct password_work *work = CONTAINER_OF(req, struct password_work, req);

    work->verdict = auth_verify(work->users, span_of(work->text, work->user_len),
                                span_of(work->text + work->user_len, work->pass_len));
}

static void password_free(struct password_work *work)
{
    OPENSSL_cleanse(work->text, sizeof work->text);
    auth_users_free(work->users);
    free(work);
}

static void on_password_done(uv_work_t *req, int status)
{
    struct password_work *work = CONTAINER_OF(req, struct password_work, req);
    struct session *s = work->session;
    struct worker *w = s->worker;
    struct negotiation *n = s->negotiation;
    uint8_t buf[HANDSHAKE_REPLY_MAX];
    struct wr reply = {.buf = buf, .cap = sizeof buf};
    enum auth_verdict v = status == 0 ? work->verdict : AUTH_BAD_CREDENTIALS;

    n->work = NULL;
    s->pinned = false;
    if (s->state == SESSION_CLOSING) {
        password_free(work);
        return;
    }
    auth_cache_store(w->auth_cache, work->users, span_of(work->text, work->user_len),
                     span_of(work->text + work->user_len, work->pass_len), v, worker_now_ms(w));
    password_free(work);
    count_auth(s, v);
    session_move(s, SESSION_NEGOTIATE);
    struct handshake_step step = handshake_authenticated(&n->handshake, v == AUTH_OK, &reply);
    if (step.action == HANDSHAKE_REFUSE) {
        negotiation_finish(s, step.failure, step.close, &reply);
        return;
    }
    if (!negotiation_answer(s, &reply))
        return;
    negotiation_feed_kept(s); /* pipelined behind the password */
}

static bool set_user(struct session *s, struct span user)
{
    free(s->user);
    s->user = strndup((const char *)user.ptr, user.len);
    return s->user != NULL;
}

/* Hashing takes milliseconds: off the loop. False: refuse. */
static bool hash_password(struct session *s, const struct handshake_step *step)
{
    struct password_work *work = calloc(1, sizeof *work);

    if (work == NULL)
        return false;
    work->session = s;
    work->users = auth_users_ref(s->config->users);
    work->user_len = step->user.len;
    work->pass_len = step->pass.len;
    if (step->user.len > 0)
        memcpy(work->text, step->user.ptr, step->user.len);
    if (step->pass.len > 0)
        memcpy(work->text + step->user.len, step->pass.ptr, step->pass.len);
    if (uv_queue_work(&s->worker->loop, &work->req, on_password, on_password_done) != 0) {
        password_free(work);
        return false;
    }
    s->negotiation->work = work;
    s->pinned = true;
    session_move(s, SESSION_VERIFY);
    return true;
}

/* True: the handshake goes on with *step (authenticated at once, or refused); false: the
 * verdict comes later, or the session is gone. */
bool negotiation_authenticate(struct session *s, struct span left, struct handshake_step *step,
                              struct wr *reply)
{
    struct worker *w = s->worker;
    struct negotiation *n = s->negotiation;
    uint64_t now = worker_now_ms(w);

    if (s->shed) { /* will be refused whatever the password: nothing is told, hashed or counted
                    */
        *step = handshake_authenticated(&n->handshake, true, reply);
        return true;
    }
    if (!limits_auth_allowed(w->shared->limits, s->source, now)) {
        stats_add(w->stats, STAT_AUTH_THROTTLED, 1);
        *step = handshake_authenticated(&n->handshake, false, reply);
        return true;
    }
    enum auth_verdict v =
        auth_cache_find(w->auth_cache, s->config->users, step->user, step->pass, now);
    if (!set_user(s, step->user)) {
        session_stop(s, OUTCOME_NO_RESOURCES);
        return false;
    }
    if (v != AUTH_ASK) {
        count_auth(s, v);
        *step = handshake_authenticated(&n->handshake, v == AUTH_OK, reply);
        return true;
    }
    struct handshake_step asked = *step;
    if (!negotiation_answer(s, reply))
        return false;
    reply->pos = 0;
    if (hash_password(s, &asked) && negotiation_keep(n, left))
        return false;
    session_stop(s, OUTCOME_NO_RESOURCES);
    return false;
}
