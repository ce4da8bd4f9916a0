/* SPDX-License-Identifier: MIT */
/* What ThreadSanitizer must be told of the client's tests; its runtime looks these functions
 * up. They are of no use to anybody else.
 *
 * It believes that the threads of a process share their descriptors. The supervisor's do not
 * (unshare(CLONE_FILES)), so that two files of one number look like one: in functions that
 * share nothing else this is ignored. And it ends a child of fork() that starts threads; ours
 * does. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_options(void);

const char *__tsan_default_suppressions(void)
{
    return "race:^tracee_\n";
}

const char *__tsan_default_options(void)
{
    return "die_after_fork=0";
}
