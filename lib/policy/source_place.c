/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where commands and files of secrets, and files that say whom the gateway trusts, may be: where no call can change
 * them. A file with a secret is also kept out of view.
 */
#include <errno.h>
#include <limits.h>
#include <unistd.h>

#include "policy/internal.h"

static int check_revoke(const struct policy *p, const struct policy_secret *s, const char *dir, struct error *e)
{
	const struct host_use use = { "the revoke command of secret", s->name, SANDBOX_STAGE_SECRET, dir, true };

	return s->revoke ? place_check_command(p, &use, s->revoke, e) : 0;
}

static int check_source(const struct policy *p, const struct host_use *use, enum secret_source source, const char *arg,
			struct error *e)
{
	char real[PATH_MAX];

	return source == SOURCE_EXEC ? place_check_command(p, use, arg, e) :
	       source == SOURCE_FILE ? place_check_file(p, use, arg, real, e) :
				       0;
}

static int check_secret(const struct policy *p, const struct policy_secret *s, const char *dir, struct error *e)
{
	const struct host_use use = { "the source of secret", s->name, SANDBOX_STAGE_SECRET, dir, true };

	int r = check_source(p, &use, s->source, s->source_arg, e);
	return r < 0 ? r : check_revoke(p, s, dir, e);
}

static int check_upstream(const struct policy *p, const char *dir, struct error *e)
{
	const struct host_use proxy = { "the password of", "upstream_proxy", SANDBOX_STAGE_SECRET, dir, true };
	const struct host_use ca = { "the file of", "upstream_ca", SANDBOX_STAGE_POLICY, dir, true };
	const struct host_use cert = { "a file of", "client_cert", SANDBOX_STAGE_POLICY, dir, true };
	char real[PATH_MAX];
	int r = 0;

	for (size_t i = 0; i < p->n_cas && r == 0; i++)
		r = place_check_file(p, &ca, p->cas[i].path, real, e);
	for (size_t i = 0; i < p->n_client_certs && r == 0; i++) {
		r = place_check_file(p, &cert, p->client_certs[i].cert, real, e);
		if (r == 0)
			r = place_check_file(p, &cert, p->client_certs[i].key, real, e);
	}
	if (r == 0 && p->proxy.host && p->proxy.source_arg)
		r = check_source(p, &proxy, p->proxy.source, p->proxy.source_arg, e);
	return r;
}

static int current_directory(char **ret, struct error *e)
{
	*ret = getcwd(NULL, 0);
	return *ret ? 0 : fail_errno(e, errno, SANDBOX_STAGE_SECRET, ".", "cannot find the current directory, where commands "
				     "of secrets run");
}

/* After the checks: what a path leads to cannot be changed any more by a call. */
static int hide_sources(struct policy *p, struct error *e)
{
	int r = 0;

	for (size_t i = 0; i < p->n_secrets && r == 0; i++) {
		if (p->secrets[i].source == SOURCE_FILE)
			r = policy_hide(p, p->secrets[i].source_arg, "a secret is read from it", e);
	}
	for (size_t i = 0; i < p->n_client_certs && r == 0; i++)
		r = policy_hide(p, p->client_certs[i].key, "it is the key of a client_cert", e);
	if (r == 0 && p->proxy.host && p->proxy.source_arg && p->proxy.source == SOURCE_FILE)
		r = policy_hide(p, p->proxy.source_arg, "the password of upstream_proxy is read from it", e);
	return r;
}

int policy_guard_sources(struct policy *p, struct error *e)
{
	_cleanup_free_ char *dir = NULL;

	if (p->n_secrets == 0 && p->n_cas == 0 && p->n_client_certs == 0 && !p->proxy.host)
		return 0;
	int r = current_directory(&dir, e);
	for (size_t i = 0; i < p->n_secrets && r == 0; i++)
		r = check_secret(p, &p->secrets[i], dir, e);
	if (r == 0)
		r = check_upstream(p, dir, e);
	return r < 0 ? r : hide_sources(p, e);
}

int policy_check_source(const struct policy *p, const struct policy_secret *s, struct error *e)
{
	_cleanup_free_ char *dir = NULL;
	struct path_verdict verdict;

	int r = current_directory(&dir, e);
	if (r == 0)
		r = check_secret(p, s, dir, e);
	if (r == 0 && s->source == SOURCE_FILE) {
		r = policy_check_path(p, s->source_arg, false, &verdict, e);
		if (r == 0 && path_verdict_shows(&verdict))
			r = fail(e, EPERM, SANDBOX_STAGE_SECRET, s->name,
				 "secret %s: %s is where the sandbox can see it (%s), and so its value; keep it elsewhere", s->name,
				 s->source_arg, verdict.rule[0] ? verdict.rule : verdict.reason);
	}
	return r;
}
