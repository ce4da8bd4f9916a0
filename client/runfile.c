/* SPDX-License-Identifier: MIT */
#include "runfile.h"
#include "shared.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    TRIES = 16,
    YOUNG_SECONDS = 60, /* it may just have been made, and not be locked yet */
};
static const char name_prefix[] = "run-";

static bool fail(struct settings_error *err, const char *path, int code)
{
    (void)snprintf(err->text, sizeof err->text, "run file: %.200s: %.100s", path,
                   strerror(code));
    return false;
}

/* 0, or errno: EPERM when somebody else could have put things there. */
static int make_own(const char *path)
{
    struct stat st;

    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return errno;
    if (lstat(path, &st) != 0)
        return errno;
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() ||
        (st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return EPERM;
    return 0;
}

/* What a launcher that was killed left behind: nobody has it locked. */
static void sweep(const char *folder)
{
    DIR *dir = opendir(folder);
    const struct dirent *e;

    while (dir != NULL && (e = readdir(dir)) != NULL) {
        struct stat st;
        int fd;

        if (strncmp(e->d_name, name_prefix, sizeof name_prefix - 1) != 0)
            continue;
        /* a FIFO of that name must not hold us up */
        fd = openat(dirfd(dir), e->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0)
            continue;
        if (fstat(fd, &st) == 0 && st.st_ctime + YOUNG_SECONDS < time(NULL) &&
            flock(fd, LOCK_EX | LOCK_NB) == 0)
            (void)unlinkat(dirfd(dir), e->d_name, 0); /* another one was faster, if anything */
        (void)close(fd);                              /* only read from */
    }
    if (dir != NULL)
        (void)closedir(dir); /* only read from */
}

/* 0 or errno. */
static int create_in(struct runfile *out, const char *folder)
{
    int rc = -EEXIST;

    for (int i = 0; rc == -EEXIST && i < TRIES; i++) {
        unsigned number = 0;
        int n;

        if (getrandom(&number, sizeof number, GRND_NONBLOCK) < 0)
            number = (unsigned)i;
        n = snprintf(out->path, sizeof out->path, "%s/%s%ld-%08x", folder, name_prefix,
                     (long)getpid(), number);
        if (n < 0 || (size_t)n >= sizeof out->path)
            return ENAMETOOLONG;
        rc = shared_create(out->path);
    }
    if (rc != 0)
        return -rc;
    out->fd = open(out->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (out->fd < 0) {
        rc = errno;
        (void)unlink(out->path); /* it was ours a moment ago */
        return rc;
    }
    (void)flock(out->fd, LOCK_SH | LOCK_NB); /* without, it may be swept after a minute */
    return 0;
}

bool runfile_create(struct runfile *out, const char *runtime_dir, struct settings_error *err)
{
    struct runfile made = {.fd = -1};
    char folder[SETTINGS_NAMES_MAX] = "";
    bool usable = runtime_dir != NULL && runtime_dir[0] == '/';
    int code;

    if (usable) {
        int n = snprintf(folder, sizeof folder, "%s/mpconvert", runtime_dir);

        usable = n > 0 && (size_t)n < sizeof folder && make_own(folder) == 0;
    }
    if (!usable)
        (void)snprintf(folder, sizeof folder, "/tmp/mpconvert-%ld", (long)geteuid()); /* fits */
    code = usable ? 0 : make_own(folder);
    if (code != 0)
        return fail(err, folder, code);
    sweep(folder);
    code = create_in(&made, folder);
    if (code != 0)
        return fail(err, made.path[0] != '\0' ? made.path : folder, code);
    *out = made;
    return true;
}

void runfile_remove(struct runfile *f)
{
    if (f->path[0] != '\0')
        (void)unlink(f->path); /* gone already, if anything */
    if (f->fd >= 0)
        (void)close(f->fd); /* only read from */
    *f = (struct runfile){.fd = -1};
}
