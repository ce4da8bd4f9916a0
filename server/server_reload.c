/* SPDX-License-Identifier: MIT */
/* Reload: everything that can fail first, then the workers hear of it. */
#include "server_impl.h"
#include <stdlib.h>
#include <string.h>

/* NULL: out of memory. */
static struct worker_message *make_reload(struct server *s, struct config *c, uint32_t worker,
                                          const int *fds)
{
    size_t count = c->listeners.count;
    struct worker_message *m = calloc(1, sizeof *m);

    if (m == NULL)
        return NULL;
    m->fds = calloc(count, sizeof *m->fds);
    m->counters = calloc(count, sizeof(_Atomic uint64_t *));
    if (m->fds == NULL || m->counters == NULL) {
        server_message_free(m);
        return NULL;
    }
    memcpy(m->fds, fds + worker * count, count * sizeof *fds);
    server_point_counters(s, c, worker, m->counters);
    m->order = WORKER_RELOAD;
    m->done = server_message_done;
    m->server = s;
    return m;
}

/* All messages are made before the first is sent: all workers hear of it, or none. */
static int send_reload(struct server *s, struct config *c, const int *fds)
{
    struct list ready;
    bool ok = true;

    list_init(&ready);
    for (uint32_t w = 0; ok && w < s->worker_count; w++) {
        struct worker_message *m = make_reload(s, c, w, fds);
        ok = m != NULL;
        if (ok)
            list_append(&ready, &m->link);
    }
    uint32_t w = 0;
    for (struct list *at = ready.next; at != &ready;) {
        struct worker_message *m = CONTAINER_OF(at, struct worker_message, link);
        at = at->next;
        if (!ok) {
            server_message_free(m);
            continue;
        }
        m->config = config_ref(c);
        worker_post(s->workers[w++], m);
    }
    return ok ? 0 : UV_ENOMEM;
}

static int try_reload(struct server *s, struct config *c, struct conf_error *err)
{
    size_t total = c->listeners.count * s->worker_count;

    if (!options_reloadable(s->config, c, err))
        return -1;
    int *fds = calloc(total, sizeof *fds);
    if (fds == NULL)
        return server_fail(err, "reload", c->path, UV_ENOMEM);
    int rc = server_check_egress(c, err);
    if (rc == 0)
        rc = server_open_offers(s, c, err);
    if (rc == 0)
        rc = server_open_synack(s, c, err);
    if (rc == 0)
        rc = server_open_nft(s, c, err);
    if (rc == 0)
        rc = server_open_listeners(s, c, s->config, fds, err);
    if (rc == 0)
        server_budget(s, c); /* the workers read it when the order reaches them */
    if (rc == 0 && send_reload(s, c, fds) != 0) {
        server_budget(s, s->config);
        server_close_fds(fds, total);
        rc = server_fail(err, "reload", c->path, UV_ENOMEM);
    }
    if (rc == 0)
        server_note_fds(s, c, fds);
    free(fds);
    return rc;
}

static void on_attached(void *arg)
{
    struct server *s = arg;

    via_forget(&s->shared.via);
    log_message(s->log, LOG_LEVEL_INFO, "attachment",
                "addresses or default routes changed: what was learnt of concentrators is "
                "forgotten");
}

void server_watch_attachment(struct server *s, const struct config *c)
{
    if (s->attachment.open || (c->via.concentrators.count == 0 && !c->via.implicit))
        return;
    int rc = attachment_open(&s->attachment, s->loop, on_attached, s);
    if (rc != 0)
        log_message(s->log, LOG_LEVEL_WARNING, "attachment",
                    "changes of addresses are not seen: %s", uv_strerror(rc));
}

int server_reload(struct server *s, struct conf_error *err)
{
    if (s->state == SERVER_SERVING)
        notify_reloading(&s->notify, uv_hrtime() / 1000);

    struct config *c = s->state == SERVER_SERVING ? options_load(s->config->path, err) : NULL;

    if (s->state != SERVER_SERVING)
        (void)snprintf(err->text, sizeof err->text, "the server is stopping");
    if (c == NULL || try_reload(s, c, err) != 0) {
        config_unref(c);
        s->reload_failure++;
        s->last_reload_ok = s->reload_latest_ok = false;
        if (s->state == SERVER_SERVING)
            notify_reload_failed(&s->notify, err->text);
        return -1;
    }
    if (!via_list_equal(&s->config->via.concentrators, &c->via.concentrators))
        via_forget(&s->shared.via); /* K5 */
    server_watch_attachment(s, c);
    config_unref(s->config);
    s->config = c;
    server_use_nft(s);
    struct limits_config limits = server_limits(s, c);
    limits_configure(s->shared.limits, &limits);
    if (s->shared.synack != NULL)
        synack_configure(s->shared.synack, c);
    if (c->upstream.forget_on_reload)
        offer_forget(atomic_load(&s->shared.offers));
    log_set_level(s->log, (enum log_level)c->log.level);
    log_set_format(s->log, (enum log_format)c->log.format);
    server_forget_closed(s, c);
    server_warn_egress(s, c);
    s->reloads_sent++;
    s->reload_orders += s->worker_count;
    s->reload_latest_ok = true;
    return 0;
}

void server_reload_carried_out(struct server *s)
{
    if (--s->reload_orders > 0)
        return;
    s->reload_success += s->reloads_sent;
    s->reloads_sent = 0;
    s->last_reload_ok = s->reload_latest_ok;
    s->loaded_wall_us = server_wall_us();
    if (s->state == SERVER_SERVING)
        notify_ready(&s->notify);
    log_message(s->log, LOG_LEVEL_INFO, "reloaded", "%s sha256 %s",
                s->config->path != NULL ? s->config->path : "defaults", s->config->sha256);
}
