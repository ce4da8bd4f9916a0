/* SPDX-License-Identifier: MIT */
#include "libc.h"
#include <pthread.h>
#include <stdlib.h>

/* glibc's pthread_atfork() is in a static part of it and calls this, its dynamic half. */
extern int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void),
                             void *dso);
#pragma weak __register_atfork
#pragma weak pthread_atfork
#pragma weak secure_getenv

const char *libc_variable(const char *name)
{
    return secure_getenv != NULL ? secure_getenv(name) : getenv(name);
}

void libc_at_fork(void (*child)(void))
{
    if (__register_atfork != NULL)
        (void)__register_atfork(NULL, NULL, child, NULL); /* no handle: never unloaded */
    else if (pthread_atfork != NULL)
        (void)pthread_atfork(NULL, NULL, child);
}
