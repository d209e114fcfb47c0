/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who we are to the HTTP proxy through which servers are reached, when the policy names one with a source for that:
 * USER:PASSWORD. From a command it comes with an end, and the next is asked for before that.
 */
#ifndef NSBOX_GATEWAY_UPSTREAM_LOGIN_H
#define NSBOX_GATEWAY_UPSTREAM_LOGIN_H

#include "base/error.h"
#include "gateway/locked.h"
#include "gateway/loop.h"
#include "gateway/records.h"
#include "policy/policy.h"

struct gateway;

struct upstream_login {
	struct locked value; /* USER:PASSWORD */
	size_t len;	     /* 0: there is none */

	/* Of a command. */
	struct source source; /* its helper (lib/source), to its end */
	struct gateway *gw;   /* NULL: it is of none */
	uint64_t seconds;     /* that the first is good for */
	uint64_t expires, next_at, again_at; /* 0: never */
	struct timer timer;
	struct waiter waiter; /* for the record of the question */
	bool asked, failing;
};

/* fd: it can be read there to its end, or the socket of its helper, which is taken over. It is not looked at without a
 * proxy that has a source. Waits, but no longer than the supervisor at parent_fd lives. */
int upstream_login_init(struct upstream_login *l, const struct policy *policy, int *fd, int parent_fd, bool unlocked,
			struct error *e);
/* From here on in the loop. 0 or -errno. */
int upstream_login_start(struct gateway *gw);
/* False: one is needed, and what there was has expired. The command is asked again, if it may be. */
bool upstream_login_there(struct gateway *gw);

#endif
