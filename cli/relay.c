/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One poll loop per run. Nothing is set non-blocking on descriptors that the caller shares with other programs (the
 * shell would find its terminal changed): they are read and written after poll said so, and written at most PIPE_BUF
 * bytes at once, which a pipe that polls writable takes whole.
 */
#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>

#include "base/util.h"
#include "nsbox.h"

/* How often a terminal that nobody inside has open is looked at again: it polls as hung up all the time. */
#define REOPENED_MS 100

struct flow {
	char data[PIPE_BUF];
	size_t len;
};

struct relay {
	sandbox_runtime *runtime;
	sandbox_call *call;
	int signals;
	int terminal; /* of the call, -1: none */
	struct asking *asking; /* NULL: nobody is asked about anything */
	bool input_open, output_open, hung_up;
	char last_input;
	struct flow to_call, to_caller;
};

static struct termios saved_settings;
static int settings_of = -1; /* the descriptor of the caller's terminal that they belong to */

static void restore_terminal(void)
{
	if (settings_of >= 0)
		tcsetattr(settings_of, TCSADRAIN, &saved_settings);
	settings_of = -1;
}

/* Without -t the call holds the caller's own terminal and may change its settings, from its first moment on: they are
 * put back afterwards. */
static void remember_terminal(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO && settings_of < 0; fd++) {
		if (tcgetattr(fd, &saved_settings) == 0)
			settings_of = fd;
	}
}

/* Every byte goes to the private terminal as it is, Ctrl-C as byte 3: its line discipline knows who is in the
 * foreground there. */
static void raw_terminal(void)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &saved_settings) < 0)
		return; /* -t with input from a pipe */
	raw = saved_settings;
	cfmakeraw(&raw);
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0)
		settings_of = STDIN_FILENO;
}

void relay_window_size(unsigned *ret_rows, unsigned *ret_columns)
{
	struct winsize size;

	*ret_rows = 24;
	*ret_columns = 80;
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_row && size.ws_col) {
			*ret_rows = size.ws_row;
			*ret_columns = size.ws_col;
			return;
		}
	}
}

int relay_signals(bool terminal)
{
	static const int forwarded[] = { SIGHUP, SIGINT, SIGTERM, SIGQUIT };
	struct sigaction action;
	sigset_t set, blocked;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_LEN(forwarded); i++) {
		/* Ignored from the start, as nohup does: it stays so. */
		if (sigaction(forwarded[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
			sigaddset(&set, forwarded[i]);
	}
	if (terminal)
		sigaddset(&set, SIGWINCH);
	else
		remember_terminal();
	blocked = set;
	sigaddset(&blocked, SIGPIPE); /* a closed stdout is an error of write(), with the terminal put back after it */
	if (sigprocmask(SIG_BLOCK, &blocked, NULL) < 0)
		return -errno;
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

static void take_signals(struct relay *r)
{
	struct signalfd_siginfo info;
	struct winsize size;

	while (read(r->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo != SIGWINCH) {
			sandbox_call_signal(r->call, (int)info.ssi_signo, NULL); /* -ESRCH: it ended meanwhile */
		} else if (r->terminal >= 0 && (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0 ||
						ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)) {
			ioctl(r->terminal, TIOCSWINSZ, &size);
		}
	}
}

/* End of our input is Ctrl-D for a program that reads lines; one that has read half a line needs it twice. */
static void input_ended(struct relay *r)
{
	struct termios t;
	size_t n = r->last_input == '\n' ? 1 : 2;

	r->input_open = false;
	if (tcgetattr(r->terminal, &t) < 0 || !(t.c_lflag & ICANON))
		return;
	memset(r->to_call.data, t.c_cc[VEOF], n);
	r->to_call.len = n;
}

/* A person is asked: the terminal is for that alone. */
static bool asks(const struct relay *r)
{
	return r->asking && r->asking->shown;
}

static void read_input(struct relay *r)
{
	char typed[PIPE_BUF];
	bool answer = asks(r);
	char *to = answer ? typed : r->to_call.data;
	ssize_t n = read(STDIN_FILENO, to, PIPE_BUF);

	if (n > 0 && answer) {
		/* Ctrl-C is for the command also then: nobody has to answer first. */
		if (memchr(typed, 3, (size_t)n) && r->to_call.len < sizeof(r->to_call.data))
			r->to_call.data[r->to_call.len++] = 3;
		asking_take(r->asking, typed, (size_t)n, now_us());
	} else if (n > 0) {
		r->to_call.len = (size_t)n;
		r->last_input = r->to_call.data[n - 1];
	} else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
		input_ended(r);
	}
}

static void drop_written(struct flow *f, size_t n)
{
	memmove(f->data, f->data + n, f->len - n);
	f->len -= n;
}

static void write_terminal(struct relay *r)
{
	ssize_t n = write(r->terminal, r->to_call.data, r->to_call.len);

	if (n >= 0)
		drop_written(&r->to_call, (size_t)n);
	else if (errno != EINTR && errno != EAGAIN)
		r->to_call.len = 0;
}

static void read_terminal(struct relay *r)
{
	ssize_t n = read(r->terminal, r->to_caller.data, sizeof(r->to_caller.data));

	if (n > 0)
		r->to_caller.len = (size_t)n;
	else if (n == 0 || (errno != EINTR && errno != EAGAIN))
		r->hung_up = true; /* EIO: no process has it open just now */
	if (!r->output_open)
		r->to_caller.len = 0; /* go on reading, or the command would wait for ever */
}

static void write_output(struct relay *r)
{
	ssize_t n = write(STDOUT_FILENO, r->to_caller.data, r->to_caller.len);

	if (n >= 0) {
		drop_written(&r->to_caller, (size_t)n);
	} else if (errno != EINTR && errno != EAGAIN) {
		r->output_open = false;
		r->to_caller.len = 0;
		sandbox_call_signal(r->call, SIGHUP, NULL);
	}
}

/* poll() reports errors also of what it is asked nothing about, so an idle descriptor is left out. */
static struct pollfd wish(int fd, bool in, bool out)
{
	short events = (short)((in ? POLLIN : 0) | (out ? POLLOUT : 0));
	return (struct pollfd){ .fd = events ? fd : -1, .events = events };
}

static int turn(struct relay *r)
{
	bool terminal = r->terminal >= 0;
	struct pollfd p[] = {
		wish(sandbox_runtime_fd(r->runtime), true, false),
		wish(r->signals, true, false),
		wish(STDIN_FILENO, terminal && r->input_open && (asks(r) || r->to_call.len == 0), false),
		wish(STDOUT_FILENO, false, r->to_caller.len > 0 && !asks(r)),
		wish(r->terminal, terminal && !r->hung_up && r->to_caller.len == 0,
		     terminal && !r->hung_up && r->to_call.len > 0),
	};

	if (poll(p, ARRAY_LEN(p), r->hung_up ? REOPENED_MS : -1) < 0)
		return errno == EINTR ? 0 : -errno;
	r->hung_up = false;
	if (p[1].revents)
		take_signals(r);
	if (p[2].revents)
		read_input(r);
	if (p[3].revents)
		write_output(r);
	if (p[4].revents & (POLLIN | POLLHUP | POLLERR) && r->to_caller.len == 0)
		read_terminal(r);
	if (p[4].revents & POLLOUT)
		write_terminal(r);
	return 0;
}

/* What the command wrote last is still in the terminal when it is gone. */
static void drain(struct relay *r)
{
	while (r->terminal >= 0 && r->output_open) {
		if (write_all(STDOUT_FILENO, r->to_caller.data, r->to_caller.len) < 0)
			return;
		r->to_caller.len = 0;
		r->hung_up = false;
		read_terminal(r);
		if (r->to_caller.len == 0)
			return;
	}
}

int relay_run(sandbox_runtime *runtime, sandbox_call *call, int signals, struct report *report)
{
	struct relay r = {
		.runtime = runtime,
		.call = call,
		.signals = signals,
		.terminal = sandbox_call_terminal(call),
		.asking = report->asking,
		.input_open = true,
		.output_open = true,
		.last_input = '\n',
	};
	sandbox_error *error = NULL;
	int result;

	if (r.terminal >= 0) {
		fcntl(r.terminal, F_SETFL, fcntl(r.terminal, F_GETFL) | O_NONBLOCK);
		raw_terminal();
	}
	for (;;) {
		/* Before the first poll: a short command may have ended while it was started. A loss ends the call too. */
		sandbox_runtime_dispatch(runtime, NULL);
		report_take_events(report, runtime);
		if (r.asking)
			asking_look(r.asking, now_us());
		if (sandbox_call_state(call) >= SANDBOX_CALL_ENDED) {
			result = sandbox_call_wait(call, 0, &error);
			break;
		}
		result = turn(&r);
		if (result < 0)
			break;
	}
	if (r.asking)
		asking_end(r.asking);
	if (result == 0)
		drain(&r);
	restore_terminal();
	if (result == 0)
		return 0;
	if (error)
		return refuse_error(error);
	return refuse("the sandbox was lost: %s", strerrordesc_np(-result));
}
