/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The error record. Fixed size and without pointers, so that it can cross a process boundary as it is: a setup
 * failure in a child arrives at the caller with its exact stage, errno and object.
 *
 * Convention: functions return 0 or a negative errno and fill the record only on failure; a NULL record is allowed.
 */
#ifndef NSBOX_BASE_ERROR_H
#define NSBOX_BASE_ERROR_H

#include <stdint.h>

#include <sandbox/error.h>

struct error {
	int32_t err;   /* positive errno */
	int32_t stage; /* enum sandbox_stage */
	char object[256];
	char message[768]; /* whole sentence without "nsbox: ", naming the object and the way out */
};

/* Fill e (when given) and return -err. Object may be NULL. Over-long texts are cut. */
int fail(struct error *e, int err, enum sandbox_stage stage, const char *object, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
/* The same with ": strerror(err)" behind the message. */
int fail_errno(struct error *e, int err, enum sandbox_stage stage, const char *object, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

#endif
