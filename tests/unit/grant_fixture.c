/* SPDX-License-Identifier: Apache-2.0 */
/* Policies with grants, for tests. */
#include "grant_fixture.h"

#include <string.h>
#include <sys/stat.h>

#include "base/util.h"

int grant_setup(void **state)
{
	static const char *const dirs[] = { "w/src", "w/src/vendor", "w/docs", "w/.vscode", "out" };

	if (setup(state) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		if (mkdir(in_dir(dirs[i]), 0700) < 0)
			return -1;
	}
	put_file("w/secret.env", "x", 1);
	return 0;
}

struct policy *load(const char *text)
{
	struct policy *p;

	assert_int_equal(policy_new(&p), 0);
	assert_int_equal(policy_set_workdir(p, in_dir("w"), false, &e), 0);
	put_file("p.ini", text, strlen(text));
	if (policy_load_file(p, in_dir("p.ini"), &e) < 0) {
		policy_free(p);
		return NULL;
	}
	return p;
}

struct policy *finished(const char *text)
{
	struct policy *p = load(text);

	if (!p || policy_finish(p, &e) < 0)
		fail_msg("%s", e.message);
	return p;
}
