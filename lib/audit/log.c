/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writer of audit logs.
 *
 * Theory of operation. A record becomes a finished line when it is added: number, time, what happened, then the hash of
 * the line before it and its own. Lines wait in one buffer until the flush writes them with one write(2), so a batch of
 * decisions costs one system call and reaches the file whole or not at all: when only a part fits (full disk, file size
 * limit), the part is cut off again and the log is dead. Dead means that every later add and flush fails, and with them
 * every decision that would have had to be recorded. There is no fsync: the promise is that nothing is lost when our
 * own processes are killed at any instant, and for that the page cache is enough.
 *
 * The chain needs no key. Whoever can write the file can compute a new chain from any record on; only a copy of the
 * head kept elsewhere shows that (verify.c).
 */
#include "audit/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/chain.h"
#include "base/json.h"
#include "base/util.h"

struct audit_log {
	int fd;
	int failure;       /* negative errno of the first failure; then nothing is written any more */
	uint64_t seq;      /* of the last record added */
	off_t good_length; /* of the file, all lines whole */
	char *sandbox;
	char prev[AUDIT_HASH_TEXT + 1]; /* of the last record added */
	char head[AUDIT_HASH_TEXT + 1]; /* of the last record flushed */
	time_t second; /* second_text is its text */
	struct buf second_text;
	struct buf line;
	struct buf waiting;
};

static int check_file(int fd, struct stat *ret, struct error *e)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fstat(fd, ret) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_AUDIT, "audit log", "cannot use the audit log");
	if (!S_ISREG(ret->st_mode) || !(flags & O_APPEND) || (flags & O_ACCMODE) == O_RDONLY)
		return fail(e, EINVAL, SANDBOX_STAGE_AUDIT, "audit log",
			    "the audit log must be a regular file opened for appending; name another file");
	return 0;
}

/* One writer: two would make two chains in one file. Where a file system has no locks there is none. */
static int lock_file(int fd, const char *sandbox, struct error *e)
{
	if (flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
		return 0;
	return fail(e, EBUSY, SANDBOX_STAGE_AUDIT, sandbox,
		    "sandbox %s still writes its audit log, in which this must be recorded: end it first (nsbox rm)", sandbox);
}

static struct audit_log *log_new(int fd, const char *sandbox, struct error *e)
{
	struct audit_log *log = calloc(1, sizeof(*log));

	if (!log || !(log->sandbox = strdup(sandbox))) {
		free(log);
		fail_errno(e, ENOMEM, SANDBOX_STAGE_AUDIT, "audit log", "cannot start the audit log");
		return NULL;
	}
	log->fd = fd;
	chain_start(log->prev);
	chain_start(log->head);
	return log;
}

int audit_log_new(int fd, const char *sandbox, struct audit_log **ret, struct error *e)
{
	struct stat st;

	int r = check_file(fd, &st, e);
	if (r == 0)
		r = lock_file(fd, sandbox, e);
	if (r < 0)
		return r;
	/* A chain starts in an empty file: behind old records it could not be verified. */
	if (st.st_size != 0)
		return fail(e, EEXIST, SANDBOX_STAGE_AUDIT, "audit log",
			    "the audit log is not empty; every sandbox needs a log of its own, name a new file");
	struct audit_log *log = log_new(fd, sandbox, e);
	if (!log)
		return -ENOMEM;
	*ret = log;
	return 0;
}

/* Number and hash of the last record of size bytes. */
static int read_last(int fd, off_t size, struct audit_log *log)
{
	size_t len = size > (off_t)AUDIT_MAX_LINE + 1 ? AUDIT_MAX_LINE + 1 : (size_t)size;
	_cleanup_free_ char *text = malloc(len + 1);

	if (!text)
		return -ENOMEM;
	if (pread(fd, text, len, size - (off_t)len) != (ssize_t)len || len < CHAIN_TAIL + 1 || text[len - 1] != '\n')
		return -EBADMSG;
	text[len - 1] = '\0';
	const char *before = memrchr(text, '\n', len - 1), *line = before ? before + 1 : text;
	size_t line_len = (size_t)(text + len - 1 - line);
	if ((!before && (off_t)len < size) || line_len < CHAIN_TAIL || sscanf(line, "{\"seq\":%" SCNu64 ",", &log->seq) != 1)
		return -EBADMSG;
	const char *stored = line + line_len - (sizeof(CHAIN_END) - 1) - AUDIT_HASH_TEXT;
	chain_hash(line, (size_t)(stored - (sizeof(CHAIN_HASH) - 1) + 1 - line), log->prev);
	if (memcmp(stored, log->prev, AUDIT_HASH_TEXT) != 0)
		return -EBADMSG;
	memcpy(log->head, log->prev, sizeof(log->head));
	log->good_length = size;
	return 0;
}

int audit_log_continue(int fd, const char *sandbox, struct audit_log **ret, struct error *e)
{
	struct stat st;

	int r = check_file(fd, &st, e);
	if (r == 0)
		r = lock_file(fd, sandbox, e);
	if (r < 0)
		return r;
	struct audit_log *log = log_new(fd, sandbox, e);
	if (!log)
		return -ENOMEM;
	r = fstat(fd, &st) < 0 ? -errno : read_last(fd, st.st_size, log);
	if (r < 0) {
		log->fd = -EBADF;
		audit_log_free(log);
		return fail(e, -r, SANDBOX_STAGE_AUDIT, "audit log",
			    "the last record of the audit log of sandbox %s is not whole, so none can be added (nsbox audit verify)",
			    sandbox);
	}
	*ret = log;
	return 0;
}

void audit_log_free(struct audit_log *log)
{
	if (!log)
		return;
	fd_close(log->fd);
	buf_free(&log->line);
	buf_free(&log->second_text);
	buf_free(&log->waiting);
	free(log->sandbox);
	free(log);
}

/*
 * RFC 3339 in UTC with microseconds. Not gmtime_r(): its first call reads /etc/localtime, which is time in the start of
 * every sandbox and a file that the supervisor has no other need for. Days to civil date counts years from March, so
 * that the leap day is the last one.
 */
static int put_second(struct buf *b, const struct timespec *ts)
{
	int64_t days = ts->tv_sec / 86400, second = ts->tv_sec % 86400;
	int64_t from_year_0 = days + 719468; /* 0000-03-01 to 1970-01-01 */
	int64_t era = from_year_0 / 146097, day_of_era = from_year_0 % 146097;
	int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64_t month = (5 * day_of_year + 2) / 153; /* 0 = March */
	int64_t day = day_of_year - (153 * month + 2) / 5 + 1;
	int64_t year = era * 400 + year_of_era + (month >= 10);

	month += month < 10 ? 3 : -9;
	return buf_printf(b,
			  "%04" PRId64 "-%02" PRId64 "-%02" PRId64 "T%02" PRId64 ":%02" PRId64 ":%02" PRId64 ".",
			  year, month, day, second / 3600, second / 60 % 60, second % 60);
}

/* A busy log has thousands of records of the same second: its text is made once. */
static int put_time(struct audit_log *log, struct buf *b)
{
	struct timespec ts;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (ts.tv_sec != log->second || log->second_text.len == 0) {
		log->second = ts.tv_sec;
		log->second_text.len = 0;
		r = put_second(&log->second_text, &ts);
	}
	if (r == 0)
		r = buf_append(b, log->second_text.data, log->second_text.len);
	char micro[7] = "000000Z";
	for (long left = ts.tv_nsec / 1000, i = 5; left; left /= 10)
		micro[i--] = (char)('0' + left % 10);
	return r < 0 ? r : buf_append(b, micro, sizeof(micro));
}

/* Members come ready-made, some from the gateway, which reads hostile bytes: a line break in them would be a forged
 * record. json_text() never lets one through, so one here means that the sender is broken or taken over. */
static bool one_line(const char *members)
{
	const size_t len = strlen(members);
	unsigned bad = 0;

	/* Without a branch for each byte: every record is read here. */
	for (size_t i = 0; i < len; i++)
		bad |= (unsigned)((unsigned char)members[i] < 0x20) | (unsigned)(members[i] == 0x7f);
	return !bad;
}

static int put_line(struct audit_log *log, const char *event, const char *call, const char *members)
{
	struct buf *b = &log->line;
	int r;

	b->len = 0;
	r = buf_puts(b, "{\"seq\":");
	if (r == 0)
		r = buf_put_uint(b, log->seq + 1);
	if (r == 0)
		r = buf_puts(b, ",\"time\":\"");
	if (r == 0)
		r = put_time(log, b);
	if (r == 0)
		r = buf_putc(b, '"');
	if (r == 0)
		r = json_member_string(b, "event", event);
	if (r == 0)
		r = json_member_string(b, "sandbox", log->sandbox);
	if (r == 0 && call)
		r = json_member_string(b, "call", call);
	if (r == 0 && *members)
		r = buf_putc(b, ',');
	if (r == 0)
		r = buf_puts(b, members);
	if (r == 0)
		r = buf_puts(b, CHAIN_PREV);
	if (r == 0)
		r = buf_puts(b, log->prev);
	if (r == 0)
		r = buf_putc(b, '"');
	if (r < 0)
		return r;
	chain_hash(b->data, b->len, log->prev);
	/* CHAIN_HASH starts with the quote that ends prev. */
	r = buf_puts(b, CHAIN_HASH + 1);
	if (r == 0)
		r = buf_puts(b, log->prev);
	return r < 0 ? r : buf_puts(b, CHAIN_END);
}

int audit_log_add(struct audit_log *log, const char *event, const char *call, const char *members,
		  const char **ret_line)
{
	if (log->failure < 0)
		return log->failure;
	/* Nothing of it is in the chain: whoever sent it is denied, and the log goes on. */
	if (strlen(members) > AUDIT_MAX_LINE / 2)
		return -EMSGSIZE;
	if (!one_line(members))
		return -EINVAL;
	int r = put_line(log, event, call, members);
	if (r == 0 && log->line.len > AUDIT_MAX_LINE)
		r = -EMSGSIZE;
	if (r == 0)
		r = buf_append(&log->waiting, log->line.data, log->line.len);
	if (r == 0)
		r = buf_putc(&log->waiting, '\n');
	const char *line = r == 0 ? buf_str(&log->line) : NULL;
	if (r == 0 && !line)
		r = -ENOMEM;
	if (r < 0)
		return log->failure = r;
	log->seq++;
	if (ret_line)
		*ret_line = line;
	return 0;
}

int audit_log_flush(struct audit_log *log)
{
	ssize_t n;

	if (log->failure < 0)
		return log->failure;
	if (log->waiting.len == 0)
		return 0;
	do
		n = write(log->fd, log->waiting.data, log->waiting.len);
	while (n < 0 && errno == EINTR);
	if (n < 0 || (size_t)n < log->waiting.len) {
		log->failure = n < 0 ? -errno : -ENOSPC;
		/* Nothing of this batch takes effect, so nothing of it may be read as if it had. */
		if (n > 0 && ftruncate(log->fd, log->good_length) < 0)
			return log->failure;
		return log->failure;
	}
	log->good_length += n;
	log->waiting.len = 0;
	memcpy(log->head, log->prev, sizeof(log->head));
	return 0;
}

int audit_log_path(const struct audit_log *log, char *ret, size_t size)
{
	char link[32];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", log->fd);
	ssize_t n = readlink(link, ret, size - 1);
	if (n < 0)
		return -errno;
	ret[n] = '\0';
	return 0;
}

uint64_t audit_log_records(const struct audit_log *log)
{
	return log->seq;
}

const char *audit_log_head(const struct audit_log *log)
{
	return log->head;
}
