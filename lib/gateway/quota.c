/* SPDX-License-Identifier: Apache-2.0 */
/* Counting requests and bytes. */
#include "gateway/quota.h"

#include <string.h>

#define HOUR_US (3600u * UINT64_C(1000000))
#define SECOND_US UINT64_C(1000000)

/* All that can be saved up: the requests of a second, but at least one. At the highest rate 2^49. */
static uint64_t credit_max(const struct usage *u)
{
	uint64_t burst = u->rate / 3600;

	return (burst ? burst : 1) * HOUR_US;
}

/* Full after a second, or after the time of one request, which is at most an hour: more need not be multiplied. */
static uint64_t credit_now(const struct usage *u, uint64_t now)
{
	uint64_t passed = now > u->credit_at ? now - u->credit_at : 0, most = credit_max(u);
	uint64_t credit = u->credit + (passed < HOUR_US ? passed : HOUR_US) * u->rate;

	return credit < most ? credit : most;
}

void usage_set_rate(struct usage *u, uint64_t an_hour)
{
	u->rate = an_hour;
	u->credit = credit_max(u);
}

void quotas_init(struct quotas *q, const struct policy *p)
{
	q->of = policy_quotas(p, &q->n);
	for (size_t i = 0; i < q->n; i++) {
		struct usage *u = &q->usage[i];
		u->max_requests = q->of[i].limits[QUOTA_REQUESTS];
		u->max_bytes_up = q->of[i].limits[QUOTA_UP];
		usage_set_rate(u, q->of[i].limits[QUOTA_RATE]);
	}
}

/* The next one that pays, behind those that came before; *at is 0 for the first. */
static struct usage *next_payer(const struct payers *by, size_t *at, struct usage *before, const char **ret_quota)
{
	for (; *at < by->quotas->n; (*at)++) {
		if (!(by->mask >> *at & 1))
			continue;
		*ret_quota = by->quotas->of[*at].name;
		return &by->quotas->usage[(*at)++];
	}
	bool in_quotas = before >= by->quotas->usage && before < by->quotas->usage + POLICY_QUOTAS_MAX;
	*ret_quota = NULL;
	return !before || in_quotas ? by->call : before->parent;
}

/* Of quotas the names are those of the policy file, of grants those that they had first. */
static struct over_quota over(const struct usage *u, const char *quota, uint64_t length, uint64_t now)
{
	struct over_quota o = { .quota = quota };

	if (u->max_requests && u->requests >= u->max_requests) {
		o.reason = quota ? "max-requests" : "uses";
	} else if (u->max_bytes_up && (u->bytes_up >= u->max_bytes_up || length > u->max_bytes_up - u->bytes_up)) {
		o.reason = quota ? "max-up" : "bytes-up";
	} else if (u->rate && credit_now(u, now) < HOUR_US) {
		uint64_t us = (HOUR_US - credit_now(u, now) + u->rate - 1) / u->rate;
		o.reason = "rate";
		o.retry_after = (unsigned)((us + SECOND_US - 1) / SECOND_US);
	}
	return o;
}

struct over_quota quota_over(const struct payers *by, uint64_t length, uint64_t now)
{
	const char *quota;
	size_t at = 0;

	for (struct usage *u = NULL; (u = next_payer(by, &at, u, &quota));) {
		struct over_quota o = over(u, quota, length, now);
		if (o.reason)
			return o;
	}
	return (struct over_quota){ 0 };
}

void quota_count_request(const struct payers *by, uint64_t now)
{
	const char *quota;
	size_t at = 0;

	for (struct usage *u = NULL; (u = next_payer(by, &at, u, &quota));) {
		u->requests++;
		if (!u->rate)
			continue;
		uint64_t credit = credit_now(u, now);
		u->credit = credit > HOUR_US ? credit - HOUR_US : 0;
		u->credit_at = now;
	}
}

struct over_quota quota_count_upload(const struct payers *by, uint64_t bytes)
{
	struct over_quota first = { 0 };
	const char *quota;
	size_t at = 0;

	/* Everybody pays, whoever was over. */
	for (struct usage *u = NULL; (u = next_payer(by, &at, u, &quota));) {
		u->bytes_up += bytes;
		if (!first.reason && u->max_bytes_up && u->bytes_up > u->max_bytes_up)
			first = (struct over_quota){ .reason = quota ? "max-up" : "bytes-up", .quota = quota };
	}
	return first;
}

const char *quota_detail(const struct over_quota *o)
{
	if (strcmp(o->reason, "uses") == 0)
		return "The grant of this call allows no more requests.";
	if (strcmp(o->reason, "bytes-up") == 0)
		return "The grant of this call allows no more bytes to be sent.";
	if (strcmp(o->reason, "max-requests") == 0)
		return "A quota of the policy allows no more requests here.";
	if (strcmp(o->reason, "max-up") == 0)
		return "A quota of the policy allows no more bytes to be sent here.";
	return o->quota ? "A quota of the policy allows fewer requests in this time." :
			  "The grant of this call allows fewer requests in this time.";
}
