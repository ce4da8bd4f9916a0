/* SPDX-License-Identifier: MIT */
/* under_tsan - is ThreadSanitizer's runtime in this program? It turns vfork() into fork(),
 * delivers a signal only at the next call it intercepts (a raw system call is none), and does
 * not survive memory shared by clone() or a first thread that has ended. What is about these is
 * left out there.
 */
#ifndef TESTS_UNDER_TSAN_H
#define TESTS_UNDER_TSAN_H

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#endif
#ifndef UNDER_TSAN
#define UNDER_TSAN 0
#endif

#endif
