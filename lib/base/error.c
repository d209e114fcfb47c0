/* SPDX-License-Identifier: Apache-2.0 */
/* Filling of error records. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"

static void fill(struct error *e, int err, enum sandbox_stage stage, const char *object, const char *fmt, va_list ap)
{
	e->err = err;
	e->stage = (int32_t)stage;
	snprintf(e->object, sizeof(e->object), "%s", object ? object : "");
	char text[sizeof(e->message)];
	vsnprintf(text, sizeof(text), fmt, ap);
	/* It may quote an auditor, or a name that a call chose. */
	escape_controls(text, e->message, sizeof(e->message));
}

int fail(struct error *e, int err, enum sandbox_stage stage, const char *object, const char *fmt, ...)
{
	if (e) {
		va_list ap;
		va_start(ap, fmt);
		fill(e, err, stage, object, fmt, ap);
		va_end(ap);
	}
	return -err;
}

int fail_errno(struct error *e, int err, enum sandbox_stage stage, const char *object, const char *fmt, ...)
{
	if (e) {
		va_list ap;
		va_start(ap, fmt);
		fill(e, err, stage, object, fmt, ap);
		va_end(ap);
		size_t n = strlen(e->message);
		/* strerrordesc_np: thread-safe and untranslated, so that messages are stable. */
		const char *text = strerrordesc_np(err);
		snprintf(e->message + n, sizeof(e->message) - n, ": %s", text ? text : "unknown error");
	}
	return -err;
}
