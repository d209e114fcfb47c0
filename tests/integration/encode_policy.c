/* SPDX-License-Identifier: Apache-2.0 */
/* Policy file, or a template in it, to the bytes that cross processes, for tests that run one helper alone:
 * encode_policy FILE [GRANT] >BYTES */
#include <stdio.h>

#include "base/error.h"
#include "policy/grant.h"
#include "policy/policy.h"

int main(int argc, char **argv)
{
	struct error e = { 0 };
	struct policy *p;
	struct buf out = { 0 };

	if (argc < 2 || argc > 3 || policy_new(&p) < 0)
		return 2;
	if (policy_set_workdir(p, "/tmp", true, &e) < 0 || policy_load_file(p, argv[1], &e) < 0 || policy_finish(p, &e) < 0) {
		fprintf(stderr, "%s\n", e.message);
		return 1;
	}
	const struct grant *g = argc == 3 ? policy_grant(p, argv[2]) : NULL;
	int r = argc == 2 ? policy_encode(p, &out) : g ? grant_encode(g, &out) : -1;
	bool ok = r == 0 && fwrite(out.data, 1, out.len, stdout) == out.len && fflush(stdout) == 0;
	buf_free(&out);
	policy_free(p);
	return ok ? 0 : 1;
}
