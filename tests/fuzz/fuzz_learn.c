/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is learned from a hostile record: records of nsbox watch, and behind a byte 1 a JSON array of denials. What comes of
 * it is a policy that our reader takes, whose lines for files are not of credentials.
 */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "learn.h"
#include "fuzz.h"

static char root[] = "/dev/shm/fuzz_learn.XXXXXX";
static char home[64], work[64];

static void put(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", home, name);
	for (char *slash = path + strlen(home) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	FILE *f = fopen(path, "w");
	CHECK(f && fclose(f) == 0);
}

static int drop(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static void clean(void)
{
	nftw(root, drop, 16, FTW_DEPTH | FTW_PHYS);
}

static void make(void)
{
	CHECK(mkdtemp(root));
	atexit(clean);
	snprintf(home, sizeof(home), "%s/home", root);
	snprintf(work, sizeof(work), "%s/work", root);
	CHECK(mkdir(home, 0700) == 0 && mkdir(work, 0700) == 0);
	put(".ssh/id_ed25519");
	put(".config/tool/a");
	put("d/1");
	put("d/with ; comment");
	CHECK(symlink(".ssh", strcat(strcpy((char[128]){ 0 }, home), "/link")) == 0);
	setenv("HOME", home, 1);
}

static sandbox_policy *policy_of(const char *file)
{
	sandbox_policy *policy = NULL;
	sandbox_error *error = NULL;

	CHECK(sandbox_policy_new(&policy, NULL) == 0);
	CHECK(sandbox_policy_set_workdir(policy, work, 1, NULL) == 0);
	if ((file && sandbox_policy_load_file(policy, file, &error) < 0) || sandbox_policy_check(policy, &error) < 0) {
		fprintf(stderr, "%s\n", sandbox_error_message(error));
		abort();
	}
	return policy;
}

/* Each line that counts. */
static void look(char *text)
{
	for (char *line; (line = strsep(&text, "\n"));) {
		if (strncmp(line, "read = ", 7) != 0 && strncmp(line, "write = ", 8) != 0)
			continue;
		const char *value = strstr(line, " = ") + 3;
		char *comment = strstr(line, " ; "), path[8192];
		if (comment)
			*comment = '\0';
		snprintf(path, sizeof(path), "%s%s", value[0] == '~' ? home : "", value + (value[0] == '~'));
		_cleanup_free_ char *real = realpath(path, NULL);
		CHECK(real && !learn_is_secret(real, home) && strcmp(real, home) != 0 && strcmp(real, "/") != 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char command[] = "command";
	char *const argv[] = { command, NULL };
	const uint8_t *end = size ? memchr(data, 1, size) : NULL;
	size_t len = end ? (size_t)(end - data) : size;
	char file[64];

	if (!home[0])
		make();
	sandbox_policy *policy = policy_of(NULL);
	struct learn learn = { .file = file, .workdir = work, .command = argv, .rules = json_object() };
	CHECK(sandbox_policy_dump(policy, &learn.effective, NULL) == 0);
	json_t *denied = end ? json_loadb((const char *)end + 1, size - len - 1, 0, NULL) : NULL;
	_cleanup_buf_ struct buf text = { 0 };
	_cleanup_close_ int fd = memfd_create("policy", MFD_CLOEXEC);
	snprintf(file, sizeof(file), "/proc/self/fd/%d", fd);
	learn_paths(&learn, policy, (const char *)data, len);
	learn_network(&learn, denied);
	CHECK(learn_text(&learn, &text) == 0);
	CHECK(write(fd, text.data, text.len) == (ssize_t)text.len && lseek(fd, 0, SEEK_SET) == 0);
	sandbox_policy_free(policy_of(file));
	look((char *)text.data);
	sandbox_policy_free(policy);
	json_decref(denied);
	learn_free(&learn);
	return 0;
}
