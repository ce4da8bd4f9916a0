/* SPDX-License-Identifier: MIT */
/* What the launcher prepares is in place before the program's process exists, so that there is
 * one place that says what is wrong, and nothing half-done to undo but the run file. */
#include "run.h"
#include "keeper.h"
#include "keeper_fds.h"
#include "proxies.h"
#include "report.h"
#include "runfile.h"
#include "shared.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_TEXT_MAX = 1024, LIST_MAX = 8192 };
static const char library[] = "libmpconvert_preload.so", dns_library[] = "libmpconvert_dns.so";

static bool fail(struct settings_error *err, const char *what, const char *why)
{
    (void)snprintf(err->text, sizeof err->text, "%.180s: %.180s", what,
                   why); /* cut there, if anything */
    return false;
}

static bool try_place(const char *folder, const char *file, char *out, size_t cap)
{
    int n = snprintf(out, cap, "%s/%s", folder, file);

    return n > 0 && (size_t)n < cap && access(out, R_OK) == 0;
}

bool run_find_library(const char *file, char *out, size_t cap)
{
    char here[PATH_TEXT_MAX], beside[PATH_TEXT_MAX + 32];
    ssize_t n = readlink("/proc/self/exe", here, sizeof here - 1);

    here[n < 0 ? 0 : n] = '\0';
    char *slash = strrchr(here, '/');
    if (slash != NULL) {
        *slash = '\0';
        (void)snprintf(beside, sizeof beside, "%s/../lib/mpconvert", here); /* fits */
        if (try_place(here, file, out, cap) || try_place(beside, file, out, cap))
            return true;
    }
    return try_place(PRELOAD_DIR, file, out, cap);
}

bool run_preload_list(const char *const *ours, size_t count, const char *before, char *out,
                      size_t cap)
{
    size_t len = 0;

    for (size_t i = 0; i <= count; i++) {
        const char *item = i < count ? ours[i] : before;
        int n;

        if (item == NULL || *item == '\0')
            continue;
        if (i < count && strpbrk(item, " :") != NULL)
            return false;
        n = snprintf(out + len, cap - len, "%s%s", len == 0 ? "" : ":", item);
        if (n < 0 || (size_t)n >= cap - len)
            return false;
        len += (size_t)n;
    }
    return len > 0;
}

bool run_export(const struct settings *s, struct settings_error *err)
{
    char value[SETTINGS_VALUE_MAX], normal[SETTINGS_VALUE_MAX];
    struct settings defaults;
    bool good = true;

    settings_default(&defaults);
    for (unsigned i = 0; good && i < settings_count(); i++) {
        const char *name = settings_name(i);
        const char *text = settings_value(s, i, value);
        bool same = strcmp(text, settings_value(&defaults, i, normal)) == 0;

        if ((same ? unsetenv(name) : setenv(name, text, 1)) != 0)
            good = fail(err, name, strerror(errno));
    }
    explicit_bzero(value, sizeof value);
    return good;
}

static bool export_preload(bool with_dns, struct settings_error *err)
{
    char path[2][PATH_TEXT_MAX], list[LIST_MAX];
    const char *const ours[] = {path[0], path[1]};

    if (!run_find_library(library, path[0], sizeof path[0]))
        return fail(err, library, "neither beside mpconvert nor in " PRELOAD_DIR);
    if (with_dns && !run_find_library(dns_library, path[1], sizeof path[1]))
        return fail(err, dns_library, "neither beside mpconvert nor in " PRELOAD_DIR);
    if (!run_preload_list(ours, with_dns ? 2 : 1, getenv("LD_PRELOAD"), list, sizeof list))
        return fail(err, path[0],
                    "LD_PRELOAD can hold no such path (a space or a colon), or is too long");
    if (setenv("LD_PRELOAD", list, 1) != 0)
        return fail(err, "LD_PRELOAD", strerror(errno));
    return true;
}

/* What the library and the supervisor share. */
static bool map_shared(const struct settings *s, struct reach_env *env,
                       struct settings_error *err)
{
    char path[SETTINGS_NAMES_MAX];
    const char *cache = proxies_file(s, getenv("XDG_RUNTIME_DIR"), path, sizeof path);

    env->settings = s;
    env->shared = shared_map(s->run);
    env->proxies =
        cache != NULL ? proxies_map(cache) : proxies_within(shared_page(env->shared));
    env->natives = natives_open(s, cache, shared_natives(env->shared));
    if (env->shared == NULL)
        return fail(err, s->run, "cannot be mapped");
    return env->proxies != NULL || fail(err, "run", "out of memory");
}

static bool prepare(struct settings *s, enum cli_mode mode, struct runfile *run_file,
                    struct reach_env *env, struct settings_error *err)
{
    return runfile_create(run_file, getenv("XDG_RUNTIME_DIR"), err) &&
           settings_set(s, "MPCONVERT_RUN", run_file->path, err) && map_shared(s, env, err) &&
           run_export(s, err) && (mode == CLI_SECCOMP || export_preload(s->remote_dns, err));
}

int run_program(const struct cli *c, const struct settings *s, enum cli_mode mode)
{
    struct settings own = *s;
    struct settings_error err = {.text = ""};
    struct runfile run_file = {.fd = -1};
    struct keeper k = {.program = c->rest,
                       .filter = mode != CLI_PRELOAD,
                       .filter_needed = mode == CLI_SECCOMP,
                       .keep_stderr = c->stats,
                       .run_file = &run_file};
    int status;

    keeper_fds_reserve();
    if (!prepare(&own, mode, &run_file, &k.env, &err)) {
        (void)fprintf(stderr, "mpconvert: %s\n", err.text);
        runfile_remove(&run_file);
        return CLI_EXIT_OURS << 8;
    }
    status = keeper_run(&k);
    if (c->stats)
        report_stats(k.env.shared, stderr);
    explicit_bzero(&own, sizeof own);
    return status;
}
