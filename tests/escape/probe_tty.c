/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts 55, 56, 58: typing into, or disturbing, the terminal of the caller. */
#include "probe.h"

#include <fcntl.h>
#include <linux/kd.h>
#include <linux/vt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

static void type_into(void)
{
	static const char *const names[] = { "stdin", "stdout", "stderr" };
	char c = 'Z', row[32];
	int tty;

	for (int fd = 0; fd < 3; fd++)
		TRY(names[fd], ioctl(fd, TIOCSTI, &c));
	/* the upper half of the request is ignored by the kernel, but not by a careless filter */
	for (int fd = 0; fd < 3; fd++) {
		snprintf(row, sizeof(row), "%s-high-bits", names[fd]);
		TRY(row, syscall(SYS_ioctl, fd, (unsigned long)TIOCSTI | 1UL << 32, &c));
	}
	tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
	report("open-tty", tty);
	if (tty < 0) {
		setsid();
		TRY("acquire", ioctl(0, TIOCSCTTY, 1));
		tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
	}
	TRY("dev-tty", ioctl(tty, TIOCSTI, &c));
}

static void console_controls(void)
{
	char paste[8] = { 99 }; /* no such request: reachable says EINVAL or ENOTTY */
	struct vt_stat vt;
	struct kbentry kb = { 0 };

	TRY("paste", ioctl(0, TIOCLINUX, paste));
	TRY("paste-high-bits", syscall(SYS_ioctl, 0, (unsigned long)TIOCLINUX | 1UL << 32, paste));
	TRY("vt-state", ioctl(0, VT_GETSTATE, &vt));
	TRY("keyboard", ioctl(0, KDGKBENT, &kb));
	TRY("tty0", try_open("/dev/tty0", O_RDWR));
	TRY("console", ioctl(open("/dev/console", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC), TIOCLINUX, paste));
	TRY("vcs", try_open("/dev/vcs", O_RDONLY));
}

/* Everything that would leave traces on the caller's terminal: run.py compares its settings afterwards. */
static void disturb(void)
{
	struct termios t;
	struct winsize w = { .ws_row = 3, .ws_col = 7 };

	TRY("take-session", ioctl(0, TIOCSCTTY, 1));
	TRY("foreground", tcsetpgrp(0, getpgrp()));
	if (!tcgetattr(0, &t)) {
		cfmakeraw(&t);
		t.c_cc[VINTR] = 'x';
		t.c_lflag &= ~(tcflag_t)ECHO;
		TRY("settings", tcsetattr(0, TCSANOW, &t));
	} else {
		report("settings", -1);
	}
	TRY("size", ioctl(0, TIOCSWINSZ, &w));
	TRY("exclusive", ioctl(0, TIOCEXCL));
	if (!outside())
		TRY("hang-up", vhangup());
}

const struct attempt tty_attempts[] = {
	{ 55, "type-into-terminal", type_into },
	{ 56, "console-controls", console_controls },
	{ 58, "disturb-terminal", disturb },
	{ 0 },
};
