/* SPDX-License-Identifier: Apache-2.0 */
/* Extended attributes: comparing, copying, overlayfs' marks. */
#include "overlay/attr.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/xattr.h>

#include "base/util.h"

/* The kernel's own bounds: names together, one value. */
#define LIST_MAX 65536u
#define VALUE_MAX 65536u

static bool counts(const char *name, bool marks)
{
	if (!marks && strncmp(name, "user.overlay.", 13) == 0)
		return false;
	return strncmp(name, "user.", 5) == 0 || strcmp(name, "system.posix_acl_access") == 0 ||
	       strcmp(name, "system.posix_acl_default") == 0;
}

struct list {
	char *names;
	ssize_t len;
	bool marks; /* overlayfs' own count too */
};

static void list_free(struct list *l)
{
	free(l->names);
}

static int list_read(int fd, struct list *ret)
{
	ret->names = malloc(LIST_MAX);
	if (!ret->names)
		return -ENOMEM;
	ret->len = flistxattr(fd, ret->names, LIST_MAX);
	if (ret->len < 0)
		ret->len = 0;
	return 0;
}

static const char *next(const struct list *l, const char *name)
{
	for (name = name ? name + strlen(name) + 1 : l->names; name < l->names + l->len; name += strlen(name) + 1) {
		if (counts(name, l->marks))
			return name;
	}
	return NULL;
}

/* All of the first are in the second with the same value. */
static bool are_in(const struct list *l, int a, int b)
{
	_cleanup_free_ char *values = malloc(2 * (size_t)VALUE_MAX);

	for (const char *name = next(l, NULL); name; name = next(l, name)) {
		ssize_t na = values ? fgetxattr(a, name, values, VALUE_MAX) : -1;
		ssize_t nb = na < 0 ? -1 : fgetxattr(b, name, values + VALUE_MAX, VALUE_MAX);
		if (na < 0 || na != nb || memcmp(values, values + VALUE_MAX, (size_t)na) != 0)
			return false;
	}
	return true;
}

bool attr_equal(int a, int b)
{
	_cleanup_(list_free) struct list la = { 0 }, lb = { 0 };

	return list_read(a, &la) == 0 && list_read(b, &lb) == 0 && are_in(&la, a, b) && are_in(&lb, b, a);
}

static int copy(int from, int to, bool marks)
{
	_cleanup_(list_free) struct list lf = { .marks = marks }, lt = { .marks = marks };
	_cleanup_free_ char *value = malloc(VALUE_MAX);

	int r = list_read(from, &lf);
	if (r == 0)
		r = list_read(to, &lt);
	if (r < 0 || !value)
		return -ENOMEM;
	for (const char *name = next(&lt, NULL); name; name = next(&lt, name)) {
		if (fgetxattr(from, name, NULL, 0) < 0 && fremovexattr(to, name) < 0 && errno != ENODATA)
			return -errno;
	}
	for (const char *name = next(&lf, NULL); name; name = next(&lf, name)) {
		ssize_t n = fgetxattr(from, name, value, VALUE_MAX);
		if (n < 0 || fsetxattr(to, name, value, (size_t)n, 0) < 0)
			return -errno;
	}
	return 0;
}

int attr_copy(int from, int to)
{
	return copy(from, to, false);
}

int attr_clone(int from, int to)
{
	return copy(from, to, true);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int attr_each(int fd, void (*f)(void *arg, const char *name, const void *value, size_t len), void *arg)
{
	_cleanup_(list_free) struct list l = { 0 };
	_cleanup_free_ char *value = malloc(VALUE_MAX);
	size_t n = 0;

	if (!value || list_read(fd, &l) < 0)
		return -ENOMEM;
	for (const char *name = next(&l, NULL); name; name = next(&l, name))
		n++;
	_cleanup_free_ const char **names = calloc(n + 1, sizeof(*names));
	if (!names)
		return -ENOMEM;
	n = 0;
	for (const char *name = next(&l, NULL); name; name = next(&l, name))
		names[n++] = name;
	qsort(names, n, sizeof(*names), by_name);
	for (size_t i = 0; i < n; i++) {
		ssize_t len = fgetxattr(fd, names[i], value, VALUE_MAX);
		if (len < 0)
			return -errno;
		f(arg, names[i], value, (size_t)len);
	}
	return 0;
}

bool attr_is_opaque(int dir)
{
	char value[4];

	return fgetxattr(dir, "user.overlay.opaque", value, sizeof(value)) == 1 && value[0] == 'y';
}

bool attr_is_foreign(int fd)
{
	static const char *const unknown[] = { "user.overlay.redirect", "user.overlay.metacopy", "user.overlay.whiteout" };
	char value[4];

	for (size_t i = 0; i < ARRAY_LEN(unknown); i++) {
		if (fgetxattr(fd, unknown[i], NULL, 0) >= 0)
			return true;
	}
	return fgetxattr(fd, "user.overlay.opaque", value, sizeof(value)) == 1 && value[0] != 'y';
}
