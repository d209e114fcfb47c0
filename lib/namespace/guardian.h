/* SPDX-License-Identifier: Apache-2.0 */
/* The guardian of a call: what its files share. Theory of operation: guardian.c. */
#ifndef NSBOX_NAMESPACE_GUARDIAN_H
#define NSBOX_NAMESPACE_GUARDIAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* Its descriptors: /dev/null of the sandbox as 0 to 2, then these. */
#define GUARDIAN_SOCKET 3
#define GUARDIAN_RULESET 4
#define GUARDIAN_COUNTERS 5
#define GUARDIAN_BASE 6

/* Where a call goes. Descriptors are borrowed. */
struct guardian_setup {
	int init_pidfd, net, ruleset; /* net: -EBADF for none of its own */
	uint32_t open_files, number; /* number: of the slot */
	bool full, wired; /* wired: there is a way to a gateway */
	const void *covers; /* cover.h; only of a full call */
	size_t covers_len;
	int store; /* view.h: of the sandbox, then for guardian_main() what view_take() gave; -EBADF: no view is asked for */
	const void *base; /* what every grant has of the files, as in LAUNCHER_SANDBOX */
	size_t base_len;
};

/* What is granted at and below a path (enum landlock_grant). */
struct call_path {
	char *path;
	uint32_t grants;
};

struct call_paths {
	uint32_t n;
	const struct call_path *path;
};

/* A program that was decided about before, as GUARDIAN_SHOWN described it then. */
struct expected {
	const char *path;
	uint64_t dev, ino, size, ctime_ns;
};

/* What GUARDIAN_EXEC asks for; points into memory of guardian_request.c. */
struct call_request {
	char **argv, **env;
	char *cwd;
	uint32_t flags, rows, columns; /* enum start_flag */
	uint32_t open_files; /* 0: the sandbox's limit */
	/* The layer of its grant: the rules of GUARDIAN_BASE (on_base) and these. Neither: files as in the sandbox. */
	bool on_base;
	struct call_paths paths;
	struct expected expected; /* with START_EXPECT */
	int stdio[3];
};

/* What a call executes, when that is shown before it runs. */
struct program {
	int file, fd;	 /* as found; as executed: the same, or a sealed copy */
	bool by_path;	 /* nothing in the sandbox can change what the path leads to */
	char path[4096]; /* of file, without links */
};

/* The process that becomes the command, in memory that it shares with the guardian until it executes. */
struct command {
	pid_t pid;
	int notice; /* its end */
	int timer;  /* set when it is about to execute: for the guardian, at once or with START_ASYNC later */
	uint32_t open_files;
	bool layer; /* GUARDIAN_RULESET is one, to be entered */
	bool asked; /* it has got a command */
	struct call_request request;
	struct program program;
	struct error outcome; /* err 0: executed */
};

/* The signal of GUARDIAN_SIGNAL, or -EPROTO (guardian_request.c). */
int call_signal_parse(const void *data, size_t len);

/* guardian.c: in the process that is to become the guardian; sock is its end of the connection. */
_Noreturn void guardian_main(const struct guardian_setup *setup, int sock);
/* Into the call's namespaces; the pid namespace is the caller's business. */
int guardian_enter(const struct guardian_setup *setup, struct error *e);

/* guardian_command.c: ret_notice gets one packet with the terminal's other side when one was asked, and is at its end
 * when the command has executed or failed. Until then the caller may do nothing but wait: for the timer or for the
 * command's end, then for that of the notice. */
int command_clone(struct command *command, int *ret_notice, struct error *e);

/* guardian_request.c */
int call_request_parse(const void *data, size_t len, size_t n_fds, struct call_request *ret);
/* u32 n, n times a path and what is granted there; in the same memory as those of a request. */
int call_paths_parse(const void *data, size_t len, struct call_paths *ret);
/* From GUARDIAN_SOCKET. A negative errno also when it was closed. */
int call_request_receive(struct call_request *ret);
/* What the supervisor says about what it was shown: GUARDIAN_PROGRAM (ret_copied), GUARDIAN_GO (into request, and
 * ret_by_path), or a negative errno, also when the connection was closed. */
int program_message_receive(struct call_request *request, bool *ret_copied, bool *ret_by_path);
/* Take the page faults of receiving one. */
void call_request_touch(void);

/* guardian_paths.c: a ruleset of what every grant has; its descriptor, or a negative errno. */
int paths_prepare(const void *base, size_t len, struct error *e);
/* Enter the layer of the request. */
int paths_enter(const struct call_request *q, struct error *e);

/* guardian_program.c: with START_SHOW, show the program and wait for the word that it may run. */
int program_show(struct call_request *q, struct program *program, struct error *e);
/* With START_EXPECT: find it, and fail with ESTALE when it is another one by now. */
int program_expect(const struct call_request *q, struct program *program, struct error *e);
/* Does not return but with the errno: ENOENT, or of the best attempt. */
int program_execute(struct call_request *q, const struct program *program);

#endif
