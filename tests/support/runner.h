/* SPDX-License-Identifier: MIT */
/* runner - runs one suite of check tests as a program: its exit status. */
#ifndef SUPPORT_RUNNER_H
#define SUPPORT_RUNNER_H
#include <check.h>
#include <stdlib.h>

/* Takes the suite. CK_VERBOSITY in the environment counts. */
static inline int runner_main(Suite *s)
{
    SRunner *sr = srunner_create(s);

    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
