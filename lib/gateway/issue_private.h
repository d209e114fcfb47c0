/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of issue.h share: the values and who gives them. */
#ifndef NSBOX_GATEWAY_ISSUE_PRIVATE_H
#define NSBOX_GATEWAY_ISSUE_PRIVATE_H

#include "gateway/gateway.h"
#include "gateway/issue.h"
#include "gateway/secret_source.h"

struct issue {
	struct issue *next;
	struct issuer *issuer;
	uint32_t number;
	struct holder *holder; /* NULL: nobody's yet, or not any more */
	struct ending *ending; /* of its call */
	struct locked pages;   /* NULL: there is no value */
	size_t len;
	uint64_t expires, next_at; /* 0: never */
	uint64_t again_at;	   /* after a failure: not before */
	struct timer timer;
	struct waiter waiter; /* for the record of the question */
	bool asked, failing, had_one, renewing;
	bool outdated; /* what is being asked for was, before it was to be renewed */
	char *why; /* of the last failure */
};

struct issuer {
	struct source source; /* first; as long as the gateway */
	struct gateway *gw;
	size_t secret;
	struct issue *issues, *first; /* first: is among them */
	uint32_t last;
	uint32_t renewal; /* the ticket of whoever waits */
	size_t n_renewing;
	struct error renewal_failed;
};

/* issue.c: one value. A new one has number, issuer and holder (NULL: nobody's). NULL: no memory. */
struct issue *issue_new(struct issuer *r, struct holder *h);
void issue_free(struct issue *i);
void issue_drop_value(struct issue *i);
/* It is good for so many seconds, 0: for ever. */
void issue_hold(struct issue *i, uint64_t seconds);
/* Ask the command, once the record of it is written. */
void issue_ask(struct issue *i);
void issue_answered(struct issue *i, struct source_answer *a);
/* What has to be done next has a time. */
void issue_set_timer(struct issue *i);
/* The requests that wait for it: each goes on, is refused, or waits again. h: NULL for nobody's. */
void issue_wake(struct holder *h);
/* In the audit log, as limit.hit. call and why may be NULL. */
void issue_record(const struct issuer *r, const struct call *call, const char *reason, const char *why);

/* issue_end.c: nobody needs it any more. True: i->ending hears of its revocation by issue_ended(). */
bool issue_end(struct issue *i);
/* Its value is revoked, or will not be (why). */
void issue_ended(struct issue *i, const char *why);

/* issuer.c: what a renewal waited for is there, or not (why). */
void issuer_renewed(struct issue *i, const char *why);

#endif
