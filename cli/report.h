/* SPDX-License-Identifier: Apache-2.0 */
/* What is said about a run at its end: denials with the flag that would allow each, and the object of --json. */
#ifndef NSBOX_CLI_REPORT_H
#define NSBOX_CLI_REPORT_H

#include <jansson.h>
#include <sandbox/sandbox.h>
#include <stdbool.h>

#include "asking.h"
#include "base/buf.h"

/* Different denials kept; a program that scans would fill the memory else. The audit log has them all. */
#define REPORT_MAX_DENIALS 256u

struct report {
	json_t *denied; /* array, or NULL: none yet */
	json_t *used;	/* array of what was allowed; NULL: nobody wants to know */
	struct asking *asking; /* who asks about what waits for a person; NULL: it is only said */
	uint64_t left_out;
	json_t *protected_paths; /* array, or NULL: what was moved from where the host would execute it */
	char *sandbox;
	const char *call_id; /* of the command, as long as it is there */
	const char *call; /* only what this one did; NULL: everything */
	bool fixed;	  /* the policy was chosen before: no flag of this command changes it */
	bool started;
	int exit, signal;
	const char *reason;
};

/* The events to ask the runtime for. */
#define REPORT_DENIALS "net.deny,http.deny,secret.misuse,call.denied"
#define REPORT_EVENTS REPORT_DENIALS ",approval.asked,fs.protected"

/* Pull the waiting events: keep the denials, and say what waits for a person. */
void report_take_events(struct report *report, sandbox_runtime *runtime);
/* report_path.c: words of the failed command that are paths on the host and are not there inside. */
void report_paths(struct report *report, sandbox_policy *policy, const char *workdir, char *const *argv);
/* One denial, as the audit log has it. */
void report_add_denial(struct report *report, const char *event_json);
/* Lines on stderr about what was found and what was denied, together. */
#define REPORT_LINES 5u
/* report_protected.c: one finding, as the audit log has it; and lines of them on stderr: how many. */
void report_add_protected(struct report *report, const char *event_json);
size_t report_protected(const struct report *report);
/* At most so many lines on stderr. */
void report_hints(const struct report *report, size_t lines);
/* The object of --json on stderr. */
void report_json(const struct report *report);
void report_free(struct report *report);

/* Ports where nobody speaks HTTP, so that a rule for HTTP would not help; 0 ends them. */
extern const unsigned short report_opaque_ports[];

/* What was denied, why, and how often. */
void denial_text(struct buf *b, const json_t *denial);
/* The line of a policy that would allow it: its value into b, and its key; NULL when none does. */
const char *denial_line(const json_t *denial, struct buf *b);
/* The same as a flag, into b; false when no flag does. */
bool denial_flag(const json_t *denial, struct buf *b);

#endif
