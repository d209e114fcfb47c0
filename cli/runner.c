/* SPDX-License-Identifier: Apache-2.0 */
/* Running one call: the command from options, its end as an exit status, what is said about it. */
#include "runner.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/util.h"
#include "nsbox.h"
#include "relay.h"

enum { OPTION_TERMINAL = 1, OPTION_NO_TERMINAL, OPTION_DETACH, OPTION_ISOLATION, OPTION_JSON };

#define CALL(which) .id = OPTION_CALL, .layer = which

const struct option call_options[] = {
	{ CALL(OPTION_TERMINAL), .letter = 't', .name = "terminal",
	  .help = "run on a private terminal (default when stdin and stdout both are one)" },
	{ CALL(OPTION_NO_TERMINAL), .letter = 'T', .name = "no-terminal",
	  .help = "hand stdin, stdout and stderr on as they are" },
	{ CALL(OPTION_ISOLATION), .name = "isolation", .value = "light|full",
	  .help = "full: own process ids, terminals and IPC; light (default): shared with other calls, as files are in both" },
	{ CALL(OPTION_JSON), .name = "json",
	  .help = "at the end one JSON object on stderr: {sandbox, started, exit, signal, reason, denied, protected}" },
	{ 0 },
};

const struct option detach_options[] = {
	{ CALL(OPTION_DETACH), .letter = 'd', .name = "detach",
	  .help = "do not wait: the command goes on in its named sandbox, its output is kept for nsbox logs" },
	{ 0 },
};

int runner_take(struct runner *runner, const struct option_reader *r)
{
	switch (r->option->layer) {
	case OPTION_TERMINAL:
		runner->terminal = TERMINAL_YES;
		break;
	case OPTION_NO_TERMINAL:
		runner->terminal = TERMINAL_NO;
		break;
	case OPTION_DETACH:
		runner->detach = true;
		break;
	case OPTION_ISOLATION:
		runner->isolation = r->value;
		break;
	case OPTION_JSON:
		runner->json = true;
		break;
	default:
		break;
	}
	return 0;
}

/* A command that is not there, no program, or denied by who decides is told from a failure of ours, as shells do. */
static int start_failure_status(const sandbox_error *error)
{
	if (error && sandbox_error_stage(error) == SANDBOX_STAGE_AUDITOR && sandbox_error_errno(error) == EACCES)
		return EXIT_NOT_EXECUTABLE;
	if (!error || sandbox_error_stage(error) != SANDBOX_STAGE_EXEC)
		return EXIT_NSBOX;
	switch (sandbox_error_errno(error)) {
	case ENOENT:
	case ENOTDIR:
		return EXIT_NOT_FOUND;
	case EACCES:
	case EPERM:
	case ENOEXEC:
	case EISDIR:
	case ELOOP:
	case ELIBBAD:
	case ETXTBSY:
		return EXIT_NOT_EXECUTABLE;
	default:
		return EXIT_NSBOX;
	}
}

static int call_status(const sandbox_call *call)
{
	int signal = sandbox_call_exit_signal(call);

	if (strcmp(sandbox_call_reason(call), "timeout") == 0)
		return EXIT_TIMEOUT;
	return signal ? 128 + signal : sandbox_call_exit_status(call);
}

bool runner_on_terminal(const struct runner *r)
{
	if (r->detach)
		return false;
	return r->terminal == TERMINAL_YES ||
	       (r->terminal == TERMINAL_AUTO && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO));
}

int runner_prepare(struct runner *r)
{
	sandbox_error *error = NULL;
	unsigned rows, columns;
	int k = 0;

	if (r->detach && r->terminal == TERMINAL_YES)
		return refuse("-d and -t exclude each other: nobody is at the terminal of a detached command");
	if (r->detach && r->json)
		return refuse("-d and --json exclude each other: the end of a detached command is not waited for (nsbox "
			      "events, nsbox audit show)");
	if (sandbox_command_new((const char *const *)r->argv, &r->command, &error) < 0 ||
	    (r->isolation && sandbox_command_set_isolation(r->command, r->isolation, &error) < 0))
		return refuse_error(error);
	if (runner_on_terminal(r)) {
		relay_window_size(&rows, &columns);
		k = sandbox_command_set_terminal(r->command, rows, columns);
	}
	if (k == 0 && r->detach)
		k = sandbox_command_set_stdio(r->command, SANDBOX_STDIO_NULL, SANDBOX_STDIO_LOG, SANDBOX_STDIO_LOG);
	if (k == 0 && r->detach)
		k = sandbox_command_set_detached(r->command, 1);
	if (k == 0 && r->last)
		k = sandbox_command_set_last(r->command, r->drops ? SANDBOX_LAST_DROPS : 1);
	return k < 0 ? refuse("cannot prepare the command: %s", strerrordesc_np(-k)) : 0;
}

/* A start takes less, unless somebody is asked. */
#define ASKED_AFTER_MS 500

/* A person may have to be asked first, and says so in an event; a signal gives the command up. */
static int wait_started(struct runner *r, int signals, sandbox_error **error)
{
	struct pollfd p[] = { { .fd = sandbox_runtime_fd(r->runtime), .events = POLLIN },
			      { .fd = signals, .events = POLLIN } };
	struct signalfd_siginfo info;

	for (;;) {
		sandbox_runtime_dispatch(r->runtime, NULL); /* a loss ends the call too */
		if (sandbox_call_state(r->call) == SANDBOX_CALL_FAILED)
			return sandbox_call_wait(r->call, 0, error);
		if (sandbox_call_state(r->call) != SANDBOX_CALL_STARTING)
			return 0;
		report_take_events(&r->report, r->runtime);
		if (poll(p, ARRAY_LEN(p), -1) < 0 && errno != EINTR)
			return -errno;
		/* The command may run already, and the news of it be on the way: then the signal is the command's. */
		if (p[1].revents && poll(p, 1, ASKED_AFTER_MS) == 0 &&
		    read(signals, &info, sizeof(info)) == sizeof(info) && info.ssi_signo != SIGWINCH)
			sandbox_call_cancel(r->call, NULL);
	}
}

int runner_run(struct runner *r)
{
	_cleanup_close_ int signals = -EBADF;
	sandbox_error *error = NULL;

	r->report.sandbox = strdup(sandbox_id(r->box));
	if (!r->detach) {
		signals = relay_signals(runner_on_terminal(r));
		if (signals < 0)
			return refuse("cannot take signals: %s", strerrordesc_np(-signals));
	}
	if (sandbox_start_async(r->box, r->command, &r->call, &error) < 0 || wait_started(r, signals, &error) < 0) {
		int status = start_failure_status(error);
		refuse_error(error);
		/* In a sandbox that others use too, nothing that was denied is known to be ours. */
		if (!r->report.fixed)
			report_take_events(&r->report, r->runtime);
		return status;
	}
	r->report.started = true;
	r->report.call_id = sandbox_call_id(r->call);
	if (r->report.fixed)
		r->report.call = r->report.call_id;
	if (r->detach)
		return EXIT_YES;
	int status = relay_run(r->runtime, r->call, signals, &r->report);
	if (status)
		return status;
	r->report.reason = sandbox_call_reason(r->call);
	r->report.signal = sandbox_call_exit_signal(r->call);
	if (strcmp(r->report.reason, "lost") == 0)
		say("the sandbox ended, and the command with it: its init, or what guards the command, was killed, perhaps for "
		    "lack of memory (nsbox audit show %s)",
		    sandbox_id(r->box));
	if (strcmp(r->report.reason, "unrecorded") == 0)
		return refuse("the command ended, but the audit log of %s could not be written any more (is the disk full?): what it "
			      "did last, and files that the host would execute, may be missing in it", sandbox_id(r->box));
	return call_status(r->call);
}

void runner_report(struct runner *r, int status)
{
	r->report.exit = status;
	size_t said = report_protected(&r->report);
	if (status != 0)
		report_hints(&r->report, REPORT_LINES - said);
	if (r->json)
		report_json(&r->report);
}

void runner_free(struct runner *r)
{
	sandbox_runtime_free(r->runtime);
	sandbox_call_free(r->call);
	sandbox_command_free(r->command);
	sandbox_free(r->box);
	report_free(&r->report);
}
