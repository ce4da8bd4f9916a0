/* SPDX-License-Identifier: MIT */
#include "resolver_hosts.h"
#include "resolver_name.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOOK_EVERY_MS = 1000 };

struct host {
    const char *name; /* into hosts.text */
    size_t order;     /* in the file */
    struct addr addr;
};

struct resolver_hosts {
    char *path;
    uint64_t next_look_ms;
    bool looked;
    struct timespec changed; /* of the file as read; `size` and `inode` too */
    off_t size;
    ino_t inode;
    char *text;        /* the file, cut into NUL-terminated lower-case names */
    struct host *host; /* sorted by name, then by order */
    size_t count, cap;
};

struct resolver_hosts *resolver_hosts_new(const char *path)
{
    struct resolver_hosts *h = calloc(1, sizeof *h);

    if (h == NULL)
        return NULL;
    h->path = strdup(path);
    if (h->path == NULL) {
        free(h);
        return NULL;
    }
    return h;
}

static void clear(struct resolver_hosts *h)
{
    free(h->text);
    free(h->host);
    h->text = NULL;
    h->host = NULL;
    h->count = h->cap = 0;
}

void resolver_hosts_free(struct resolver_hosts *h)
{
    if (h == NULL)
        return;
    clear(h);
    free(h->path);
    free(h);
}

static int compare(const void *a, const void *b)
{
    const struct host *x = a, *y = b;
    int by_name = strcmp(x->name, y->name);

    if (by_name != 0)
        return by_name;
    return x->order < y->order ? -1 : x->order > y->order;
}

static bool add(struct resolver_hosts *h, char *name, const struct addr *addr)
{
    if (h->count == h->cap) {
        size_t cap = h->cap == 0 ? 16 : h->cap * 2; /* bounded by the file's size */
        struct host *more = realloc(h->host, cap * sizeof *more);
        if (more == NULL)
            return false;
        h->host = more;
        h->cap = cap;
    }
    for (char *p = name; *p != 0; p++) {
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
    }
    h->host[h->count] = (struct host){.name = name, .order = h->count, .addr = *addr};
    h->count++;
    return true;
}

/* The next word of a line, NUL-terminated in place; NULL at its end. */
static char *next_word(char **at)
{
    static const char blank[] = " \t\r\f\v";
    char *word = *at + strspn(*at, blank);

    if (*word == 0)
        return NULL;
    char *end = word + strcspn(word, blank);
    *at = *end == 0 ? end : end + 1;
    *end = 0;
    return word;
}

static bool parse_line(struct resolver_hosts *h, char *line)
{
    struct addr addr;

    line[strcspn(line, "#")] = 0;
    char *word = next_word(&line);
    if (word == NULL || !addr_parse_ip(word, strlen(word), &addr))
        return true;
    while ((word = next_word(&line)) != NULL) {
        size_t len = strlen(word);
        if (word[len - 1] == '.')
            word[len - 1] = 0;
        if (word[0] != 0 && len <= RESOLVER_NAME_MAX && !add(h, word, &addr))
            return false;
    }
    return true;
}

/* Cuts h->text (`len` octets and a NUL) up. False: out of memory. */
static bool parse(struct resolver_hosts *h, size_t len)
{
    char *end = h->text + len;

    for (char *line = h->text; line < end;) {
        char *stop = memchr(line, '\n', (size_t)(end - line));
        char *next = stop == NULL ? end : stop + 1;
        if (stop != NULL)
            *stop = 0;
        if (!parse_line(h, line)) /* stops at a NUL in the file: what follows is not a name */
            return false;
        line = next;
    }
    if (h->count > 0)
        qsort(h->host, h->count, sizeof *h->host, compare);
    return true;
}

static void read_file(struct resolver_hosts *h, int fd)
{
    size_t len = 0;

    h->text = malloc(RESOLVER_HOSTS_BYTES_MAX + 1);
    if (h->text == NULL)
        return;
    while (len < RESOLVER_HOSTS_BYTES_MAX) {
        ssize_t n = read(fd, h->text + len, RESOLVER_HOSTS_BYTES_MAX - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    if (len == RESOLVER_HOSTS_BYTES_MAX) {
        while (len > 0 && h->text[len - 1] != '\n')
            len--; /* no half a line */
    }
    h->text[len] = 0;
    char *fit = realloc(h->text, len + 1);
    if (fit != NULL)
        h->text = fit;
    if (!parse(h, len))
        clear(h); /* tried again when the file changes */
}

static void refresh(struct resolver_hosts *h, uint64_t now_ms)
{
    struct stat st;

    if (h->looked && now_ms < h->next_look_ms)
        return;
    h->looked = true;
    h->next_look_ms = now_ms + LOOK_EVERY_MS;
    if (stat(h->path, &st) != 0 || !S_ISREG(st.st_mode)) {
        clear(h);
        h->inode = 0;
        return;
    }
    if (st.st_ino == h->inode && st.st_size == h->size &&
        st.st_mtim.tv_sec == h->changed.tv_sec && st.st_mtim.tv_nsec == h->changed.tv_nsec)
        return;
    h->inode = st.st_ino;
    h->size = st.st_size;
    h->changed = st.st_mtim;
    clear(h);
    int fd = open(h->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return;
    read_file(h, fd);
    (void)close(fd); /* only read from */
}

/* The first entry not before `name`. */
static size_t lower_bound(const struct resolver_hosts *h, const char *name)
{
    size_t from = 0, to = h->count;

    while (from < to) {
        size_t mid = from + (to - from) / 2;
        if (strcmp(h->host[mid].name, name) < 0)
            from = mid + 1;
        else
            to = mid;
    }
    return from;
}

bool resolver_hosts_find(struct resolver_hosts *h, const char *name, enum addr_family family,
                         uint64_t now_ms, struct resolver_answer *out)
{
    refresh(h, now_ms);
    size_t i = lower_bound(h, name), n = 0;
    if (i == h->count || strcmp(h->host[i].name, name) != 0)
        return false;
    for (; i < h->count && strcmp(h->host[i].name, name) == 0; i++) {
        if (h->host[i].addr.family == family && n < RESOLVER_ADDRS_MAX)
            out->addr[n++] = h->host[i].addr;
    }
    out->count = n;
    out->why = n > 0 ? OUTCOME_OK : OUTCOME_NAME_NOT_FOUND;
    return true;
}

const char *resolver_hosts_name(struct resolver_hosts *h, const struct addr *a, uint64_t now_ms)
{
    const struct host *best = NULL;

    refresh(h, now_ms);
    for (size_t i = 0; i < h->count; i++) {
        const struct host *at = &h->host[i];
        if (addr_equal_ip(&at->addr, a) && (best == NULL || at->order < best->order))
            best = at;
    }
    return best == NULL ? NULL : best->name;
}
