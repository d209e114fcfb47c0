/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kill_at N COMMAND...: run a command and kill it (SIGKILL) right before its N-th system call that changes files, so
 * that a crash can be had at every point there is. Exit status: 137 killed; else the command's own. N 0 kills never
 * and prints how many there were as the last line of stderr. With AT_EACH in the environment that is run by a shell
 * before each of them, and the command is killed there when that ends with status 137. Follows no children.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static bool changes_files(const struct __ptrace_syscall_info *info)
{
	static const long calls[] = {
		SYS_renameat2, SYS_renameat,  SYS_unlinkat,    SYS_linkat,	SYS_mkdirat, SYS_symlinkat, SYS_mknodat,
		SYS_fchmod,    SYS_fchmodat,  SYS_fchown,      SYS_utimensat,	SYS_write,   SYS_pwrite64,  SYS_ftruncate,
		SYS_fsetxattr, SYS_fremovexattr, SYS_syncfs,
#ifdef SYS_chmod
		SYS_chmod,     SYS_unlink,    SYS_rmdir,       SYS_rename,
#endif
	};
	long nr = (long)info->entry.nr;

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (calls[i] == nr)
			return true;
	return nr == SYS_openat && (info->entry.args[2] & O_CREAT);
}

static int run(pid_t pid, long at)
{
	struct __ptrace_syscall_info info;
	long n = 0;
	int status;

	while (waitpid(pid, &status, 0) == pid) {
		if (WIFEXITED(status) || WIFSIGNALED(status)) {
			if (at == 0)
				fprintf(stderr, "%ld\n", n);
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		}
		int signal = WSTOPSIG(status) == (SIGTRAP | 0x80) || WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
		if (WSTOPSIG(status) == (SIGTRAP | 0x80) &&
		    ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof(info), &info) > 0 &&
		    info.op == PTRACE_SYSCALL_INFO_ENTRY && changes_files(&info)) {
			int said = getenv("AT_EACH") ? system(getenv("AT_EACH")) : 0;
			if (said < 0)
				return 125;
			if (++n == at || (WIFEXITED(said) && WEXITSTATUS(said) == 137))
				kill(pid, SIGKILL);
			signal = 0;
		}
		ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(long)signal);
	}
	return 125;
}

int main(int argc, char **argv)
{
	int status;

	if (argc < 3)
		return 125;
	pid_t pid = fork();
	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		execvp(argv[2], argv + 2);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status) ||
	    ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)) < 0) {
		perror("kill_at");
		return 125;
	}
	ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
	return run(pid, atol(argv[1]));
}
