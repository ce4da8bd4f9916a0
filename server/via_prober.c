/* SPDX-License-Identifier: MIT */
#include "via_prober.h"
#include "options.h"

static void end(struct via_probing *q)
{
    via_probe_stop(&q->probe);
    config_unref(q->config);
    q->config = NULL;
}

static void unreached(const struct via_probe *p)
{
    via_health_failed(p->how.health, p->how.to, VIA_FAILURE_SILENT, p->started_ms,
                      uv_now(p->how.env->loop));
}

static void on_probed(struct via_probe *p, enum via_probe_end how)
{
    if (how == VIA_PROBE_UNREACHED)
        unreached(p);
    end(p->arg);
}

static void look(struct via_probing *q)
{
    via_probe_look(&q->probe);
    if (q->config == NULL ||
        uv_now(q->probe.how.env->loop) - q->probe.started_ms < VIA_PROBE_MAX_MS)
        return;
    unreached(&q->probe);
    end(q);
}

static void begin(struct via_probing *q, const struct via_probe_how *how, struct config *config)
{
    q->config = config_ref(config);
    if (via_probe_start(&q->probe, how, on_probed, q))
        return;
    unreached(&q->probe);
    end(q);
}

void via_prober_tick(struct via_prober *p, const struct connector_env *env,
                     struct via_shared *shared, struct config *config)
{
    const struct via_list *list = &config->via.concentrators;
    size_t at = 0;

    for (size_t i = 0; i < VIA_PROBES_MAX; i++)
        if (p->probing[i].config != NULL)
            look(&p->probing[i]);
    for (size_t i = 0; config->via.probe && i < list->count; i++) {
        struct via_probe_how how = {.env = env,
                                    .health = &shared->health,
                                    .options = &config->via,
                                    .to = &list->item[i]};
        while (at < VIA_PROBES_MAX && p->probing[at].config != NULL)
            at++;
        if (at == VIA_PROBES_MAX)
            return;
        if (via_known_probe_due(&shared->health, how.to, uv_now(env->loop)))
            begin(&p->probing[at], &how, config);
    }
}

void via_prober_stop(struct via_prober *p)
{
    for (size_t i = 0; i < VIA_PROBES_MAX; i++)
        if (p->probing[i].config != NULL)
            end(&p->probing[i]);
}
