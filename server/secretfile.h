/* SPDX-License-Identifier: MIT */
/* secretfile - a small text file of secrets, whole in memory, line by line; wiped when done.
 * Header only: policy modules load with it at start and reload, nothing calls it while serving.
 * Refused, with a reason: what is not a regular file (a FIFO would block the start), what
 * others may read or write, what is longer than SECRETFILE_MAX, and NUL octets (they would cut
 * a line unseen). */
#ifndef SERVER_SECRETFILE_H
#define SERVER_SECRETFILE_H
#include "base/check.h"
#include "base/conffile.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECRETFILE_MAX = 16 << 20 };

struct secretfile {
    const char *path; /* borrowed */
    char *text;
    size_t len, pos, line; /* line: number of the line last given out */
};

/* "FILE:LINE: reason", without the line before the first one. Returns false. */
__attribute__((format(printf, 3, 4))) static inline bool
secretfile_fail(const struct secretfile *f, struct conf_error *err, const char *format, ...)
{
    int n = f->line == 0 ? snprintf(err->text, sizeof err->text, "%s: ", f->path)
                         : snprintf(err->text, sizeof err->text, "%s:%zu: ", f->path, f->line);
    va_list args;

    if (n < 0 || (size_t)n >= sizeof err->text)
        return false; /* the path alone fills the message */
    va_start(args, format);
    (void)vsnprintf(err->text + n, sizeof err->text - (size_t)n, format, args); /* may be cut */
    va_end(args);
    return false;
}

static inline bool secretfile_slurp(struct secretfile *f, int fd, mode_t forbidden,
                                    struct conf_error *err)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return secretfile_fail(f, err, "%s", strerror(errno));
    if (!S_ISREG(st.st_mode))
        return secretfile_fail(f, err, "not a regular file");
    if ((st.st_mode & forbidden) != 0)
        return secretfile_fail(f, err, "mode %04o lets other users %s it; chmod o-rwx",
                               (unsigned)(st.st_mode & 07777),
                               (st.st_mode & forbidden & S_IWOTH) != 0 ? "write" : "read");
    if (st.st_size > SECRETFILE_MAX)
        return secretfile_fail(f, err, "longer than %d octets", SECRETFILE_MAX);
    f->text = malloc((size_t)st.st_size + 1);
    if (f->text == NULL)
        return secretfile_fail(f, err, "out of memory");
    while (f->len <
           (size_t)st.st_size) { /* what is appended meanwhile is left for the next reload */
        ssize_t n = read(fd, f->text + f->len, (size_t)st.st_size - f->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return secretfile_fail(f, err, "%s", strerror(errno));
        if (n == 0)
            break;
        f->len += (size_t)n;
    }
    f->text[f->len] = '\0';
    if (memchr(f->text, 0, f->len) != NULL)
        return secretfile_fail(f, err, "a NUL octet");
    return true;
}

/* NULL or half-read is fine. */
static inline void secretfile_done(struct secretfile *f)
{
    if (f->text != NULL)
        OPENSSL_cleanse(f->text, f->len);
    free(f->text);
    f->text = NULL;
}

/* `forbidden`: permission bits that must not be set. False: *err is filled, nothing is held.
 * `path` is borrowed. */
static inline MUST_CHECK bool secretfile_read(struct secretfile *f, const char *path,
                                              mode_t forbidden, struct conf_error *err)
{
    *f = (struct secretfile){.path = path};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return secretfile_fail(f, err, "%s", strerror(errno));
    bool ok = secretfile_slurp(f, fd, forbidden, err);
    (void)close(fd); /* was only read */
    if (!ok)
        secretfile_done(f);
    return ok;
}

/* The next line that is neither empty nor a '#' comment, NUL-terminated in place, without CR
 * LF; NULL at the end. */
static inline char *secretfile_next(struct secretfile *f)
{
    while (f->pos < f->len) {
        char *line = f->text + f->pos;
        size_t n = strcspn(line, "\n");

        f->pos += n + 1;
        f->line++;
        line[n] = '\0';
        if (n > 0 && line[n - 1] == '\r')
            line[n - 1] = '\0';
        if (line[0] != '\0' && line[0] != '#')
            return line;
    }
    return NULL;
}

#endif
