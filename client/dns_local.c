/* SPDX-License-Identifier: MIT */
#include "dns_local.h"
#include "sys.h"
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/utsname.h>

enum { HOSTS_MAX = 65536, HOSTS_CHUNK = 4096, NAME_ROOM = 256 };

static bool same(const char *a, size_t len, const char *b, size_t b_len)
{
    return len == b_len && strncasecmp(a, b, len) == 0;
}

/* `name` is `suffix`, or ends with "." and it. */
static bool below(const char *name, size_t len, const char *suffix, size_t suffix_len)
{
    if (suffix_len == 0 || len < suffix_len ||
        strncasecmp(name + (len - suffix_len), suffix, suffix_len) != 0)
        return false;
    return len == suffix_len || name[len - suffix_len - 1] == '.';
}

static bool in_local_names(const char *name, size_t len, const char *suffixes)
{
    const char *at = suffixes;

    while (*at != '\0') {
        at += strspn(at, ", \t");
        const char *suffix = at;
        size_t suffix_len = strcspn(at, ", \t");
        at += suffix_len;
        while (suffix_len > 0 && *suffix == '.') {
            suffix++;
            suffix_len--;
        }
        if (below(name, len, suffix, suffix_len))
            return true;
    }
    return false;
}

/* Reads words over the borders of what read() returns. */
struct hosts {
    char word[NAME_ROOM]; /* cut, which makes it longer than any name */
    size_t len;
    unsigned field; /* of the line: 0 is the address */
    bool comment;
};

/* True when that octet ends a word that is the name. */
static bool hosts_step(struct hosts *h, char c, const char *name, size_t len)
{
    bool end = c == '\n' || c == '#', blank = end || c == ' ' || c == '\t' || c == '\r';
    bool found = false;

    if (!h->comment && !blank && h->len < sizeof h->word)
        h->word[h->len++] = c;
    if (!h->comment && blank && h->len > 0) {
        found = h->field > 0 && same(h->word, h->len, name, len);
        h->field++;
        h->len = 0;
    }
    if (c == '#')
        h->comment = true;
    if (c == '\n') {
        h->comment = false;
        h->field = 0;
    }
    return found;
}

static bool in_hosts(const char *name, size_t len)
{
    struct hosts h = {.len = 0};
    char chunk[HOSTS_CHUNK];
    bool found = false;
    size_t all = 0;
    ssize_t n = 0;
    int fd = sys_open("/etc/hosts", O_RDONLY | O_CLOEXEC, 0);

    if (fd < 0)
        return false;
    while (!found && all < HOSTS_MAX && (n = sys_read(fd, chunk, sizeof chunk)) > 0) {
        for (ssize_t i = 0; i < n && !found; i++)
            found = hosts_step(&h, chunk[i], name, len);
        all += (size_t)n;
    }
    (void)sys_close(fd);
    return found ||
           (n == 0 && hosts_step(&h, '\n', name, len)); /* a last line without its end */
}

static bool own_name(const char *name, size_t len)
{
    struct utsname u;

    return uname(&u) == 0 && same(name, len, u.nodename, strlen(u.nodename));
}

bool dns_local(const char *name, const char *suffixes)
{
    static const char localhost[] = "localhost";
    size_t len = strlen(name);

    if (len > 0 && name[len - 1] == '.')
        len--;
    return below(name, len, localhost, sizeof localhost - 1) ||
           in_local_names(name, len, suffixes) || own_name(name, len) || in_hosts(name, len);
}
