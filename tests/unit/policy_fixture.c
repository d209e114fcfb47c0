/* SPDX-License-Identifier: Apache-2.0 */
/* Policies of a test. */
#include "policy_fixture.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char dir[64]; /* of this test; a workdir "w", a home "h" */
struct error e;

const char *in_dir(const char *name)
{
	static char path[4][256];
	static unsigned at;
	char *p = path[at++ % 4];
	snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	return p;
}

void put_file(const char *name, const char *text, size_t len)
{
	FILE *f = fopen(in_dir(name), "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	fclose(f);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

int setup(void **state)
{
	(void)state;
	memset(&e, 0, sizeof(e));
	strcpy(dir, "/tmp/nsbox-policy-XXXXXX");
	if (!mkdtemp(dir) || mkdir(in_dir("w"), 0700) < 0 || mkdir(in_dir("h"), 0700) < 0)
		return -1;
	return setenv("HOME", in_dir("h"), 1);
}

int teardown(void **state)
{
	(void)state;
	return nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

struct policy *new_policy(void)
{
	struct policy *p;
	assert_int_equal(policy_new(&p), 0);
	assert_int_equal(policy_set_workdir(p, in_dir("w"), false, &e), 0);
	return p;
}

void set(struct policy *p, const char *section, const char *key, const char *value)
{
	if (policy_set(p, section, key, value, NULL, "--flag", &e) < 0)
		fail_msg("%s", e.message);
}

void finish(struct policy *p)
{
	if (policy_finish(p, &e) < 0)
		fail_msg("%s", e.message);
}

char *dump(struct policy *p)
{
	struct buf b = { 0 };
	assert_int_equal(policy_dump(p, &b), 0);
	assert_non_null(buf_str(&b));
	return (char *)b.data;
}

void strip_comments(char *text)
{
	char *out = text;
	for (char *in = text; *in;) {
		if (strncmp(in, " ; ", 3) == 0)
			in += strcspn(in, "\n");
		else
			*out++ = *in++;
	}
	*out = '\0';
}

void finish_refused(struct policy *p, const char *message)
{
	assert_true(policy_finish(p, &e) < 0);
	if (!strstr(e.message, message))
		fail_msg("%s\nnot: %s", e.message, message);
	policy_free(p);
}

void refused_bytes(const char *text, size_t len, const char *message)
{
	struct policy *p = new_policy();
	char expected[512];

	put_file("p.ini", text, len);
	int r = policy_load_file(p, in_dir("p.ini"), &e);
	if (r == 0)
		fail_msg("accepted: %s", text);
	snprintf(expected, sizeof(expected), "%s%s", in_dir("p.ini"), message);
	if (strncmp(e.message, expected, strlen(expected)) != 0)
		fail_msg("%s\nnot: %s", e.message, expected);
	assert_int_equal(e.stage, SANDBOX_STAGE_POLICY);
	policy_free(p);
}

const struct policy_path *entry(struct policy *p, enum path_kind kind, const char *path)
{
	size_t n;
	const struct policy_path *paths = policy_paths(p, &n);
	for (size_t i = 0; i < n; i++) {
		if (paths[i].kind == kind && strcmp(paths[i].path, path) == 0)
			return &paths[i];
	}
	return NULL;
}
