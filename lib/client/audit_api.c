/* SPDX-License-Identifier: Apache-2.0 */
/* Finding and verifying audit logs. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "audit/log.h"
#include "base/util.h"
#include "client/client.h"
#include "client/registry.h"
#include "client/state.h"

static int newest(const char *dir, char **ret, struct error *e)
{
	DIR *d = opendir(dir);
	struct timespec best = { 0 };
	struct dirent *entry;

	*ret = NULL;
	while (d && (entry = readdir(d))) {
		struct stat st;
		size_t len = strlen(entry->d_name);
		if (len <= 6 || strcmp(entry->d_name + len - 6, ".jsonl") != 0 ||
		    fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
			continue;
		if (st.st_mtim.tv_sec < best.tv_sec ||
		    (st.st_mtim.tv_sec == best.tv_sec && st.st_mtim.tv_nsec <= best.tv_nsec))
			continue;
		best = st.st_mtim;
		free(*ret);
		if (asprintf(ret, "%s/%s", dir, entry->d_name) < 0)
			*ret = NULL;
	}
	if (d)
		closedir(d);
	return *ret ? 0 : fail(e, ENOENT, SANDBOX_STAGE_AUDIT, dir, "there is no audit log in %s yet", dir);
}

/* A living sandbox by its name, or any by its id. */
static int of_sandbox(const char *dir, const char *name, char **ret, struct error *e)
{
	_cleanup_(entry_clear) struct entry entry = { 0 };

	/* Names and ids become file names: nothing but their letters. */
	int r = name_check(name, e);
	if (r < 0)
		return r;
	if (registry_peek(name, &entry) == 0 && *entry.audit) {
		*ret = TAKE_PTR(entry.audit);
		return 0;
	}
	if (asprintf(ret, "%s/%s.jsonl", dir, name) < 0) {
		*ret = NULL;
		return fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, name, "out of memory");
	}
	if (access(*ret, F_OK) == 0)
		return 0;
	/* By id, with a log of the caller's own choice. */
	entry_clear(&entry);
	struct error ignored;
	if (registry_lookup(name, &entry, &ignored) == 0 && *entry.audit) {
		free(*ret);
		*ret = TAKE_PTR(entry.audit);
		return 0;
	}
	return fail(e, ENOENT, SANDBOX_STAGE_AUDIT, name, "there is no audit log of sandbox %s (%s)", name, *ret);
}

int sandbox_audit_path(const char *id, char **ret_path, sandbox_error **error)
{
	_cleanup_free_ char *dir = NULL, *path = NULL;
	struct error e = { 0 };

	int r = state_audit_dir(&dir, &e);
	if (r == 0)
		r = id ? of_sandbox(dir, id, &path, &e) : newest(dir, &path, &e);
	if (r < 0)
		return error_publish(&e, error);
	*ret_path = TAKE_PTR(path);
	return 0;
}

int sandbox_audit_verify(const char *path, const char *head, int *ret_ok, char **ret_text, sandbox_error **error)
{
	_cleanup_buf_ struct buf text = { 0 };
	struct error e = { 0 };
	struct stat st;

	/* Not waiting for the writer of a FIFO; what is no regular file may never end. */
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd >= 0 && fstat(fd, &st) == 0 && !S_ISREG(st.st_mode)) {
		fail(&e, EINVAL, SANDBOX_STAGE_AUDIT, path, "the audit log %s is not a regular file", path);
		return error_publish(&e, error);
	}
	if (fd < 0) {
		fail_errno(&e, errno, SANDBOX_STAGE_AUDIT, path, "cannot open the audit log %s", path);
		return error_publish(&e, error);
	}
	int r = audit_verify(fd, head, &text);
	if (r < 0 || !buf_str(&text)) {
		fail_errno(&e, r < 0 ? -r : ENOMEM, SANDBOX_STAGE_AUDIT, path, "cannot read the audit log %s", path);
		return error_publish(&e, error);
	}
	*ret_ok = r;
	if (ret_text)
		*ret_text = (char *)TAKE_PTR(text.data);
	return 0;
}
