/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and using the place of an auditor. */
#include "audit/auditor_spec.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/util.h"

static int bad_spec(struct error *e, const char *text, const char *why)
{
	return fail(e, EINVAL, SANDBOX_STAGE_AUDITOR, text,
		    "the auditor '%s' %s; give unix:PATH (a socket that an auditor listens on) or exec:COMMAND", text, why);
}

static bool has_control_byte(const char *s)
{
	for (; *s; s++) {
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return true;
	}
	return false;
}

int auditor_spec_parse(const char *text, struct auditor_spec *ret, struct error *e)
{
	if (has_control_byte(text))
		return bad_spec(e, "?", "holds a control byte");
	if (strncmp(text, "unix:", 5) == 0) {
		*ret = (struct auditor_spec){ AUDITOR_UNIX, text + 5 };
		if (ret->value[0] != '/')
			return bad_spec(e, text, "names no absolute path");
		if (strlen(ret->value) >= sizeof(((struct sockaddr_un *)0)->sun_path))
			return bad_spec(e, text, "has a path that is too long for a socket (107 bytes)");
		return 0;
	}
	if (strncmp(text, "exec:", 5) == 0) {
		*ret = (struct auditor_spec){ AUDITOR_EXEC, text + 5 };
		return ret->value[strspn(ret->value, " ")] ? 0 : bad_spec(e, text, "names no command");
	}
	return bad_spec(e, text, "has no known prefix");
}

int auditor_deadline_parse(const char *text, uint64_t *ret_us, struct error *e)
{
	static const struct {
		const char *unit;
		uint64_t us;
	} units[] = { { "ms", 1000 }, { "s", 1000000 }, { "m", 60000000 } };
	size_t digits = strspn(text, "0123456789");
	uint64_t value = 0;

	for (size_t i = 0; i < digits && digits <= 9; i++)
		value = value * 10 + (uint64_t)(text[i] - '0');
	for (size_t i = 0; digits > 0 && digits <= 9 && i < ARRAY_LEN(units); i++) {
		if (strcmp(text + digits, units[i].unit) != 0)
			continue;
		uint64_t us = value * units[i].us;
		if (us < AUDITOR_MIN_DEADLINE_US || us > AUDITOR_MAX_DEADLINE_US)
			break;
		*ret_us = us;
		return 0;
	}
	return fail(e, EINVAL, SANDBOX_STAGE_AUDITOR, text,
		    "the deadline of the auditor is a time from 5ms to 60s, such as 250ms, not '%s'", text);
}

static int bad_socket(struct error *e, int err, const char *path, const char *why)
{
	return fail(e, err, SANDBOX_STAGE_AUDITOR, path, "the auditor at %s %s", path, why);
}

int auditor_connect(const char *path, int *ret_fd, struct error *e)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct ucred peer = { 0 };
	socklen_t len = sizeof(peer);

	if (strlen(path) >= sizeof(address.sun_path))
		return bad_socket(e, ENAMETOOLONG, path, "has a path that is too long for a socket (107 bytes)");
	memcpy(address.sun_path, path, strlen(path));
	/* Non-blocking, also for connect(): one that does not accept must not hold up everything else. */
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_AUDITOR, path, "cannot make a socket for the auditor");
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		if (errno == EAGAIN)
			return bad_socket(e, EAGAIN, path, "does not accept connections: too many wait already");
		if (errno == EPROTOTYPE)
			return bad_socket(e, EPROTOTYPE, path, "listens on a socket of another type; it has to be SOCK_SEQPACKET");
		return fail_errno(e, errno, SANDBOX_STAGE_AUDITOR, path, "cannot connect to the auditor at %s; does it run?", path);
	}
	/* The path may lie where others can write: an auditor of somebody else could allow everything. */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_AUDITOR, path, "cannot tell whose auditor listens at %s", path);
	if (peer.uid != 0 && peer.uid != geteuid())
		return bad_socket(e, EPERM, path, "belongs to another user; it has to run as this user or root");
	*ret_fd = TAKE_FD(fd);
	return 0;
}

void auditor_spec_command(const struct auditor_spec *spec, struct auditor_command *ret)
{
	_Static_assert(AUDITOR_CHILD_FD == 3, "the number in NSBOX_AUDITOR_FD");
	*ret = (struct auditor_command){
		.argv = { "/bin/sh", "-c", spec->value, NULL },
		.env = { "PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin", "NSBOX_AUDITOR_FD=3", NULL },
	};
}
