/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that wait for a person, put to the one at the terminal of the run. See asking.c. */
#ifndef NSBOX_CLI_ASKING_H
#define NSBOX_CLI_ASKING_H

#include <jansson.h>
#include <sandbox/sandbox.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct asking {
	sandbox *box;
	/* By place, as https://HOST[:PORT] or tcp://HOST:PORT: {"answer": "yes", "no" or "always", "rules": {RULE: true}}, the
	 * rules being what a yes was said to, as "GET https://HOST/path". */
	json_t *answers;
	bool look; /* something came to wait, or waits no more */

	json_t *shown; /* the ticket that is asked about, NULL: none */
	uint64_t shown_us;
	char line[16]; /* what was typed of the answer */
	size_t len;
};

/* Answer what has an answer by what was said before, and show the next question. */
void asking_look(struct asking *asking, uint64_t now);
/* What was typed while a question is shown. */
void asking_take(struct asking *asking, const char *typed, size_t n, uint64_t now);
/* The command has ended. */
void asking_end(struct asking *asking);

#endif
