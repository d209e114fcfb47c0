/* SPDX-License-Identifier: Apache-2.0 */
/* Theory of operation: source_place.h. */
#include "client/source_place.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "client/client.h"

/* When nothing of the caller's is left: an empty PATH would be the current directory. */
#define PATH_OF_SYSTEM "/usr/local/bin:/usr/bin:/bin"

static bool is_variable(const char *entry, enum secret_source source, const char *name)
{
	size_t len = source == SOURCE_ENV && name ? strlen(name) : 0;

	return len && strncmp(entry, name, len) == 0 && entry[len] == '=';
}

static bool is_source(const struct policy *policy, const char *entry)
{
	size_t n;
	const struct policy_secret *secrets = policy_secrets(policy, &n);
	const struct policy_upstream_proxy *proxy = policy_upstream_proxy(policy);

	for (size_t i = 0; i < n; i++) {
		if (is_variable(entry, secrets[i].source, secrets[i].source_arg))
			return true;
	}
	return proxy && is_variable(entry, proxy->source, proxy->source_arg);
}

/* A relative directory is another one wherever a command goes, and so it may be one that the sandbox writes. */
static int put_path(const struct policy *present, const char *value, struct buf *out)
{
	_cleanup_free_ char *all = strdup(value);
	int r = all ? buf_puts(out, "PATH=") : -ENOMEM;
	size_t empty = out->len;

	for (char *rest = all, *dir; r == 0 && rest && (dir = strsep(&rest, ":"));) {
		if (dir[0] != '/' || !policy_keeps(present, dir))
			continue;
		r = out->len > empty ? buf_putc(out, ':') : 0;
		if (r == 0)
			r = buf_puts(out, dir);
	}
	return r == 0 && out->len == empty ? buf_puts(out, PATH_OF_SYSTEM) : r;
}

/* A path in it that the sandbox can change: of modules, of a configuration that names programs, whatever the variable is. */
static bool leads_inside(const struct policy *present, const char *value)
{
	static const char ends[] = " \t\n:;,='\"()|&<>";
	_cleanup_free_ char *all = strdup(value);
	bool found = !all;

	for (char *rest = all, *word; !found && rest && (word = strsep(&rest, ends));) {
		word += strspn(word, "-@");
		found = word[0] == '/' && !policy_keeps(present, word);
	}
	return found;
}

static bool is_passed_on(const struct policy *policy, const struct policy *present, const char *entry)
{
	const char *value = strchr(entry, '=');

	return value && !is_source(policy, entry) && !is_source(present, entry) && !leads_inside(present, value + 1);
}

int source_place(const struct policy *policy, const struct policy *present, struct source_place *ret)
{
	_cleanup_buf_ struct buf path = { 0 };
	_cleanup_free_ char *here = getcwd(NULL, 0);
	size_t n = strv_len(environ), kept = 0;
	int r = 0;

	ret->at_root = !here || here[0] != '/' || !policy_keeps(present, here);
	ret->env = calloc(n + 1, sizeof(*ret->env));
	for (size_t i = 0; ret->env && i < n && r == 0; i++) {
		bool is_path = strncmp(environ[i], "PATH=", 5) == 0;
		if (!is_path && is_passed_on(policy, present, environ[i]))
			ret->env[kept++] = environ[i];
		/* A second one would be read by some. */
		if (!is_path || ret->path)
			continue;
		r = put_path(present, environ[i] + 5, &path);
		if (r == 0 && !buf_str(&path))
			r = -ENOMEM;
		ret->path = (char *)TAKE_PTR(path.data);
		ret->env[kept++] = ret->path;
	}
	return ret->env ? r : -ENOMEM;
}

void source_place_done(struct source_place *p)
{
	free(p->env);
	free(p->path);
}
