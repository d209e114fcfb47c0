/* SPDX-License-Identifier: Apache-2.0 */
/* Theory of operation: merged.h, namespace/merged.c. */
#include "client/merged.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "client/helper.h"
#include "namespace/merged_protocol.h"
#include "overlay/tree.h"
#include "overlay/undo.h"

/* ---- of a sandbox that runs ---- */

/* Its supervisor is that of this runtime, or one of a named sandbox. */
static int ask(struct sandbox_runtime *runtime, const struct layer *of, const struct layer *call, enum working what,
	       const struct changes_facts *facts, int *ret_root, struct error *e)
{
	static char *const nothing[] = { NULL };
	_cleanup_buf_ struct buf m = { 0 };
	struct request request = { 0 };
	char id[CALL_ID_MAX];
	sandbox_error *error = NULL;
	sandbox *box = NULL;

	snprintf(id, sizeof(id), "%s.%" PRIu32, of->id, call->call);
	if (*of->name && sandbox_open(runtime, of->name, &box, &error) < 0) {
		*e = error->e;
		sandbox_error_free(error);
		return -e->err;
	}
	struct connection *c = box ? box->connection : runtime->own;
	if (!c)
		return fail(e, EBUSY, SANDBOX_STAGE_OVERLAY, of->id,
			    "sandbox %s still runs, and only the program that made it can reach it: wait for its end", of->id);
	int r = request_begin(c, &m, MSG_WORKING, &request);
	if (r == 0)
		r = wire_put_str(&m, id);
	if (r == 0)
		r = wire_put_u32(&m, what);
	if (r == 0)
		r = wire_put_strv(&m, facts ? facts->paths : nothing);
	if (r == 0)
		r = wire_put_u64(&m, facts ? facts->files : 0);
	if (r == 0)
		r = wire_put_u64(&m, facts ? facts->executed : 0);
	r = r < 0 ? fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, of->id, "out of memory") :
		    request_run(c, &m, &request, NULL, 0, NULL, ret_root, e);
	sandbox_free(box);
	return r;
}

static int open_running(struct sandbox_runtime *runtime, const struct layer *of, struct layer *call, struct error *e)
{
	_cleanup_close_ int working = -EBADF;
	char name[24];

	int r = ask(runtime, of, call, WORKING_LOOK, NULL, &working, e);
	for (size_t i = 0; i < of->n_roots && r == 0; i++) {
		snprintf(name, sizeof(name), "%zu", i);
		call->merged[i] = openat(working, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (call->merged[i] < 0)
			return fail_errno(e, errno, SANDBOX_STAGE_OVERLAY, of->roots[i].path, "cannot open %s in the sandbox",
					  of->roots[i].path);
		call->n_merged++;
	}
	return r;
}

/* ---- of one that has ended ---- */

/* A broken answer is -EPROTO; ret_fd: what came with it. */
static int get_answer(int sock, int *ret_fd)
{
	uint8_t packet[16];
	size_t n_fds = 0;
	int fd = -EBADF;

	ssize_t n = msg_recv(sock, packet, sizeof(packet), &fd, 1, &n_fds);
	struct wire_reader in = wire_reader(packet, n > 0 ? (size_t)n : 0);
	uint32_t err = wire_get_u32(&in);
	int r = n < 0 ? (int)n : !wire_done(&in) || err > INT_MAX || (err == 0 && n_fds != (ret_fd ? 1 : 0)) ? -EPROTO : -(int)err;
	if (r == 0 && ret_fd)
		*ret_fd = above_stdio(TAKE_FD(fd));
	fd_close(fd);
	return r;
}

static int request(int sock, const struct buf *m, const int *fds, size_t n_fds, int *ret_fd)
{
	int r = msg_send(sock, m->data, m->len, fds, n_fds);

	return r < 0 ? r : get_answer(sock, ret_fd);
}

static int start(struct sandbox_runtime *runtime, int *ret_sock, struct error *e)
{
	static char *const argv[] = { (char *)"nsbox-merged", NULL };
	static char *const env[] = { NULL };
	const char *path = runtime->helper_dir ? runtime->helper_dir : NSBOX_HELPER_DIR;
	int pair[2], pidfd = -EBADF;

	_cleanup_close_ int dir = above_stdio(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC));
	int r = dir < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ? -errno : 0;
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_HELPER, path, "cannot start the helper nsbox-merged in %s", path);
	_cleanup_close_ int ours = above_stdio(pair[0]);
	_cleanup_close_ int theirs = above_stdio(pair[1]);
	const int fds[] = { theirs, -1, -1 };
	const struct helper helper = { .dir_fd = dir, .program = argv[0], .argv = argv, .env = env, .fds = fds,
				       .n_fds = ARRAY_LEN(fds) };
	r = ours < 0 || theirs < 0 ? -EMFILE : helper_spawn(&helper, &pidfd);
	fd_close(pidfd);
	fd_close(TAKE_FD(theirs));
	/* Then it has none of our descriptors any more, among them locks. */
	if (r == 0)
		r = get_answer(ours, NULL);
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_HELPER, "nsbox-merged", "cannot start the helper nsbox-merged in %s", path);
	*ret_sock = TAKE_FD(ours);
	return 0;
}

static int mount_again(int sock, const struct layer *of, size_t n, int *ret, struct error *e)
{
	_cleanup_buf_ struct buf m = { 0 };
	char path[32];

	_cleanup_close_ int lower = layer_lower(of, n, e);
	_cleanup_close_ int upper = lower < 0 ? -EBADF : layer_upper(of, n, e);
	if (upper < 0)
		return lower < 0 ? lower : upper;
	snprintf(path, sizeof(path), "%zu/work", n);
	_cleanup_close_ int work = tree_open(of->dir, path, O_RDONLY | O_DIRECTORY);
	/* What the sandbox did not see is not seen here either. */
	snprintf(path, sizeof(path), "%zu/mask", n);
	_cleanup_close_ int mask = work < 0 ? work : tree_open(of->dir, path, O_RDONLY | O_DIRECTORY);
	const int fds[MERGED_FDS_MAX] = { lower, upper, work, mask };
	int r = work < 0 ? work : mask < 0 && mask != -ENOENT ? mask : wire_put_u32(&m, MERGED_MOUNT);
	if (r == 0)
		r = request(sock, &m, fds, mask < 0 ? MERGED_FDS : MERGED_FDS_MAX, ret);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_MOUNT, of->roots[n].path,
				  "cannot mount the overlay of %s, below which the call's layer lies", of->roots[n].path) :
		       0;
}

static int open_ended(struct sandbox_runtime *runtime, const struct layer *of, struct layer *call, struct error *e)
{
	_cleanup_close_ int sock = -EBADF;

	int r = start(runtime, &sock, e);
	for (size_t i = 0; i < of->n_roots && r == 0; i++) {
		r = mount_again(sock, of, i, &call->merged[i], e);
		call->n_merged += r == 0;
	}
	return r;
}

int merged_open(struct sandbox_runtime *runtime, const struct layer *of, struct layer *call, struct error *e)
{
	return of->in_use ? open_running(runtime, of, call, e) : open_ended(runtime, of, call, e);
}

static int copy(void *arg, size_t root, int from, int to, int top, const char *name, const char *path)
{
	const int fds[MERGED_FDS] = { from, to, top };
	const int *sock = arg;
	_cleanup_buf_ struct buf m = { 0 };

	int r = wire_put_u32(&m, MERGED_COPY);
	if (r == 0)
		r = wire_put_u32(&m, (uint32_t)root);
	if (r == 0)
		r = wire_put_str(&m, name);
	if (r == 0)
		r = wire_put_str(&m, path);
	return r < 0 ? r : request(*sock, &m, fds, MERGED_FDS, NULL);
}

int merged_undo(struct sandbox_runtime *runtime, const struct layer *of, const struct changes *c, struct error *e)
{
	_cleanup_close_ int sock = -EBADF;

	int r = start(runtime, &sock, e);
	return r < 0 ? r : undo_make(of, c, &(struct undo_copier){ copy, &sock }, e);
}

int merged_record(struct sandbox_runtime *runtime, const struct layer *of, const struct layer *call, enum working what,
		  const struct changes_facts *facts, struct error *e)
{
	char rollback[CALL_ID_MAX + 16] = "";

	if (of->in_use)
		return ask(runtime, of, call, what, facts, NULL, e);
	if (what == WORKING_ROLLBACK)
		snprintf(rollback, sizeof(rollback), "\"rollback\":\"%s.%" PRIu32 "\"", of->id, call->call);
	return changes_record_facts(call, facts, what == WORKING_COMMIT ? "fs.commit" : "fs.discard", rollback, e);
}
