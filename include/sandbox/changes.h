/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file changes.h
 * What sandboxes wrote into overlaid directories (policy: filesystem, overlay). It is kept, outside of the directories
 * themselves, when the sandbox ends: to be looked at, committed to the host, or discarded.
 *
 * name is the sandbox's id, or its name when only one of that name has changes. paths: NULL-terminated, of files and
 * directories as the host names them, absolute, relative to the current directory or below ~/; NULL: all.
 */
#ifndef SANDBOX_CHANGES_H
#define SANDBOX_CHANGES_H

#include <sandbox/call.h>

#ifdef __cplusplus
extern "C" {
#endif

/** 1 when the sandbox has overlaid directories, else 0. */
SANDBOX_API int sandbox_has_overlay(const sandbox *box);
/** Sandboxes with changes: JSON array in a fresh string (free()): {id, name, workdir, roots, in_use, auditor, own}. roots
 *  are the overlaid directories; in_use: it still runs, or another process works on its changes; auditor: one is asked
 *  before a commit; own: ids of calls that wrote into layers of their own, which are kept. */
SANDBOX_API int sandbox_changes_list(char **ret_json, sandbox_error **error);
/** How many files were changed. -ENOENT when nothing of that sandbox is kept. */
SANDBOX_API int sandbox_changes_count(const char *name, unsigned long *ret_count, sandbox_error **error);
/** Flag of sandbox_changes_read(): also count lines. */
#define SANDBOX_CHANGES_LINES 1u
/** Flag of sandbox_changes_read(): also a digest of all that a commit of them would do. */
#define SANDBOX_CHANGES_DIGEST 2u
/**
 * The changes: JSON object in a fresh string (free()): {id, name, workdir, roots, in_use, auditor, own, calls, count,
 * changes}; calls: how many ran. Each change is {path, change, type, size, mode, flags, conflict, calls}, of a renamed
 * one also from, of another than a new one old_mode.
 * path is absolute; where it is not UTF-8, path_hex has its bytes. change: added, modified, deleted, renamed, mode or
 * type. type: file, directory, link or special. flags: why the host would execute it: tool, git, ci, build, shell,
 * program, setuid, link, policy; special, or hidden (the sandbox was not shown what the host has there, or in it): it
 * cannot be committed. conflict: the host's was changed since.
 * calls: one of these changed it last, the ids of those that ran then; with more_calls (true) or of others, empty: that
 * is not known.
 * With SANDBOX_CHANGES_DIGEST the object has digest too.
 * With SANDBOX_CHANGES_LINES also lines_added and lines_removed, where both sides are text.
 */
SANDBOX_API int sandbox_changes_read(const char *name, const char *const *paths, unsigned flags, char **ret_json,
				     sandbox_error **error);
/** Write the changes as a unified diff, as git apply takes it, to the descriptor. It holds what calls wrote: nothing of
 *  it is escaped. */
SANDBOX_API int sandbox_changes_patch(const char *name, const char *const *paths, int fd, sandbox_error **error);

/** Flag of sandbox_changes_commit(): also what the host would execute. */
#define SANDBOX_COMMIT_EXECUTABLE 1u

/**
 * Apply changes to the host; then nothing is kept of them. Either all of the selected are acceptable, or none is
 * applied: -EACCES when the auditor of the sandbox, or a person to whom it leaves that, does not allow it (and an allow
 * counts as SANDBOX_COMMIT_EXECUTABLE), -EEXIST when the host's file was changed after the sandbox began, -EPERM for
 * what the host would execute and what is no file, directory or link. -EBUSY while the sandbox runs. Each file is
 * replaced at once; after a crash or a kill at any point, committing again does the rest. *ret_count: how many.
 */
SANDBOX_API int sandbox_changes_commit(const char *name, const char *const *paths, unsigned flags,
				       unsigned long *ret_count, sandbox_error **error);
/** The same, of exactly what digest was taken of (SANDBOX_CHANGES_DIGEST, for the same paths): -ESTALE, and nothing is
 *  applied, when it would be anything else by now. NULL: whatever it is. */
SANDBOX_API int sandbox_changes_commit_reviewed(const char *name, const char *const *paths, unsigned flags,
						const char *digest, unsigned long *ret_count, sandbox_error **error);
/** Give changes up; the host's files are as they are. -EBUSY while the sandbox runs. */
SANDBOX_API int sandbox_changes_discard(const char *name, const char *const *paths, unsigned long *ret_count,
					sandbox_error **error);

/** Copy the changes under a name of their own (as of a sandbox, and free among those with changes), to be used in the place
 *  of a sandbox's. Also while the sandbox runs; take it while no call writes. */
SANDBOX_API int sandbox_changes_snapshot(const char *name, const char *snapshot, sandbox_error **error);
/** Make the changes of a sandbox that has ended those of the snapshot, which stays. -EXDEV when it is of other
 *  directories. */
SANDBOX_API int sandbox_changes_rollback(const char *name, const char *snapshot, sandbox_error **error);

/*
 * A call with view = scratch (grant.h) writes into a layer of its own. When it has ended this is kept with the changes of the
 * sandbox, also while that runs, until it is committed to the working state, which other calls see, or discarded. call is
 * its id, ID.NUMBER, where ID may be the name of the sandbox. While the sandbox runs it must be a named one, or one of the
 * runtime. The functions wait for answers of supervisors, and so may find news of calls (sandbox_runtime_dispatch()).
 */

/** As sandbox_changes_read(), with a member call: what it changed of the working state as that is now. */
SANDBOX_API int sandbox_changes_call_read(sandbox_runtime *runtime, const char *call, const char *const *paths,
					  unsigned flags, char **ret_json, sandbox_error **error);
SANDBOX_API int sandbox_changes_call_patch(sandbox_runtime *runtime, const char *call, const char *const *paths, int fd,
					   sandbox_error **error);
/**
 * Apply all of them to the working state of the sandbox. -EEXIST, and nothing is applied, when one of the files was
 * changed there after the call began. After a crash or a kill at any point, committing again does the rest, and
 * sandbox_changes_call_rollback() takes back what was done. digest: NULL, or as of sandbox_changes_commit_reviewed().
 */
SANDBOX_API int sandbox_changes_call_commit(sandbox_runtime *runtime, const char *call, const char *digest,
					    unsigned long *ret_count, sandbox_error **error);
/** Give them up. */
SANDBOX_API int sandbox_changes_call_discard(sandbox_runtime *runtime, const char *call, unsigned long *ret_count,
					     sandbox_error **error);
/**
 * As if the call had not been: give its changes up, or put back into the working state what committing them replaced.
 * -EEXIST, and nothing is put back, when one of the files was changed since. -ENOENT of a call that had no layer of its own.
 */
SANDBOX_API int sandbox_changes_call_rollback(sandbox_runtime *runtime, const char *call, unsigned long *ret_count,
					      sandbox_error **error);

#ifdef __cplusplus
}
#endif
#endif
