/* SPDX-License-Identifier: MIT */
/* Runs a fuzzer's corpus without libFuzzer: every file of the directories given as arguments,
 * and every prefix of it, from exact-size heap copies; with the whole file, properties are
 * tried exhaustively. A broken one aborts. Finding nothing to replay is a failure. */
#include "property.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    FILE_MAX = 4096
}; /* corpus files are small; the rest of a larger one is not looked at */

bool property_exhaustive;

static void run_prefix(const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len == 0 ? 1 : len);

    if (copy == NULL)
        abort();
    memcpy(copy, data, len);
    (void)LLVMFuzzerTestOneInput(copy, len); /* 0 by libFuzzer's contract */
    free(copy);
}

static int run_file(const char *path)
{
    uint8_t data[FILE_MAX];
    FILE *f = fopen(path, "rbe");

    if (f == NULL) {
        perror(path);
        return -1;
    }
    size_t len = fread(data, 1, sizeof data, f);
    int error = ferror(f);
    (void)fclose(f); /* only read from */
    if (error != 0) {
        (void)fprintf(stderr, "%s: cannot be read\n", path);
        return -1;
    }
    for (size_t n = 0; n < len; n++)
        run_prefix(data, n);
    property_exhaustive = true;
    run_prefix(data, len);
    property_exhaustive = false;
    return 0;
}

/* The number of files, or -1. */
static int run_directory(const char *dir)
{
    char path[4096];
    int count = 0;
    DIR *d = opendir(dir);

    if (d == NULL) {
        perror(dir);
        return -1;
    }
    for (const struct dirent *e = readdir(d); e != NULL && count >= 0; e = readdir(d)) {
        if (e->d_name[0] == '.')
            continue;
        int len = snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (len < 0 || (size_t)len >= sizeof path || run_file(path) != 0)
            count = -1;
        else
            count++;
    }
    (void)closedir(d);
    return count;
}

int main(int argc, char **argv)
{
    int total = 0;

    for (int i = 1; i < argc; i++) {
        int count = run_directory(argv[i]);

        if (count < 0)
            return EXIT_FAILURE;
        total += count;
    }
    printf("%d files replayed\n", total);
    return total > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
