/* SPDX-License-Identifier: MIT */
/* fds - how many descriptors this process has open, to see that none is left behind. */
#ifndef SUPPORT_FDS_H
#define SUPPORT_FDS_H
#include <check.h>
#include <dirent.h>

/* One more than there are, always the same one: what is read here is open meanwhile. */
static inline unsigned open_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    unsigned n = 0;

    ck_assert_ptr_nonnull(d);
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        n += e->d_name[0] != '.';
    ck_assert_int_eq(closedir(d), 0);
    return n;
}

#endif
