/* SPDX-License-Identifier: Apache-2.0 */
/* What the groups of attempts share: facts given by the driver, and lines of result for it. */
#ifndef NSBOX_ESCAPE_PROBE_H
#define NSBOX_ESCAPE_PROBE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/time.h>
#include <sys/types.h>

struct attempt {
	int number; /* of the list in DESIGN 15's escape layer; 0 ends a table */
	const char *name;
	void (*run)(void);
};

struct tool {
	const char *name; /* "@name" on the command line */
	int (*run)(int argc, char **argv);
};

extern const struct attempt fs_attempts[], fs_more_attempts[], proc_attempts[], net_attempts[], wire_attempts[],
	ipc_attempts[], tty_attempts[], ns_attempts[], seccomp_attempts[], syscall_attempts[], cred_attempts[],
	rs_attempts[], sibling_attempts[], more_attempts[];
extern const struct tool tools[];

/* As it was before the time limit of the attempts was set. */
extern struct itimerval inherited_timer;

/* Value of KEY=VALUE on the command line, or NULL. */
const char *fact(const char *key);
/* The same, but the attempt ends with a row "setup" when it is missing. */
const char *need(const char *key);
long need_number(const char *key);
/* Joined path in one of a few rotating buffers: good until the 16th call after it. */
const char *in(const char *dir, const char *name);
/* For tools that make attempts: from now on these are the facts, and one attempt with them. */
void set_facts(char **all);
void run_attempt(int number);
int tool_target(int argc, char **argv);
int tool_pair(int argc, char **argv);
int tool_wait(int argc, char **argv);
int tool_leave(int argc, char **argv);
int tool_look(int argc, char **argv);
int tool_lend(int argc, char **argv);
int tool_borrow(int argc, char **argv);
int tool_sigsys(int argc, char **argv);
int tool_garbage(int argc, char **argv);
int tool_stay(int argc, char **argv);
/* True in a negative control: the attempt runs outside of any sandbox and must succeed. */
bool outside(void);
/* True in a control that owns a fresh set of namespaces (and so every capability over them). */
bool in_own_namespaces(void);
/* True in a control that runs in the host's own namespaces. */
bool on_host(void);
/* Ends an attempt that would change the host, or send packets from it, should run.py's table ever let it run there. */
void keep_host_safe(void);

/* One line "RESULT number row token detail". */
void result(const char *row, const char *token, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* token "ok" for rc >= 0, else the name of errno. */
void report(const char *row, long rc);
const char *errno_name(int e);

#define TRY(row, call)                      \
	do {                                \
		errno = 0;                  \
		report(row, (long)(call));  \
	} while (0)

/* open() and close at once: 0 or -1 with errno. */
int try_open(const char *path, int flags);
int try_openat(int dir, const char *path, int flags);
int try_write_file(const char *path, const char *text);
bool slurp(const char *path, char *buf, size_t size, ssize_t *ret_len);
/* Make DIR/ready and wait until DIR/go appears, at most ten seconds: the host acts in between. */
void meet_host(const char *dir);
/* Run fn in a child: its exit status 0..125, 1000 + signal, or -1 with errno. */
int in_child(int (*fn)(void *), void *arg);
/* The process to attack: pid 1 inside, the driver's victim outside. */
pid_t target_pid(void);
int enter_own_namespaces(void);
int loopback_up(void);

#endif
