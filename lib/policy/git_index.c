/* SPDX-License-Identifier: Apache-2.0 */
/* Theory of operation: git_index.h. As strict as git, so that both read the same entries, in every version and extension. */
#include "policy/git_index.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define HEADER 12u
#define STAT_BYTES 40u
#define MODE_AT 24u
#define NAME_MASK 0xfffu
#define EXTENDED 0x4000u
#define MODE_DIRECTORY 0040000u /* of a sparse index */
#define MODE_KIND 0170000u
#define MODE_LINK 0160000u

struct index {
	const uint8_t *data;
	size_t len, hash, at; /* len: without the checksum */
	uint32_t version, n;
	struct buf name; /* of the entry before */
	bool nameless;	 /* an entry that takes the place of a shared one */
	struct buf *links;
	unsigned n_links;
	size_t last_link; /* where it begins in links */
};

static uint32_t get_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* What git takes itself when it is added: verify_path(). */
static bool is_safe(const char *name, size_t len, bool directory)
{
	if (memchr(name, '\0', len))
		return false;
	for (size_t at = 0, n; at <= len; at += n + 1) {
		const char *part = name + at, *slash = memchr(part, '/', len - at);
		n = slash ? (size_t)(slash - part) : len - at;
		if (n == 0 && !(directory && at == len && at > 0))
			return false;
		if ((n == 1 && part[0] == '.') || (n == 2 && part[0] == '.' && part[1] == '.') ||
		    (n == 4 && strncasecmp(part, ".git", 4) == 0))
			return false;
	}
	return true;
}

/* How much of the name before is not in this one: decode_varint(). */
static int read_strip(struct index *x, size_t *ret)
{
	size_t value = 0;

	for (unsigned i = 0; i < 5; i++) {
		if (x->at >= x->len)
			return -EBADMSG;
		uint8_t c = x->data[x->at++];
		value = (i ? (value + 1) << 7 : 0) | (c & 0x7f);
		if (!(c & 0x80)) {
			*ret = value;
			return 0;
		}
	}
	return -EBADMSG;
}

/* len: of the whole name, NAME_MASK or more when that is to be found. */
static int read_name(struct index *x, size_t begin, size_t len)
{
	size_t kept = 0, strip = 0;

	if (x->version == 4) {
		if (read_strip(x, &strip) < 0 || strip > x->name.len)
			return -EBADMSG;
		kept = x->name.len - strip;
	}
	const uint8_t *text = x->data + x->at, *end = memchr(text, '\0', x->len - x->at);
	if (len == NAME_MASK && end)
		len = kept + (size_t)(end - text);
	/* Ended by a NUL, behind which the next one begins. */
	if (!end || len < kept || (size_t)(end - text) != len - kept)
		return -EBADMSG;
	x->name.len = kept;
	if (buf_append(&x->name, text, len - kept) < 0)
		return -ENOMEM;
	x->at += len - kept;
	x->at = x->version == 4 ? x->at + 1 : begin + ((x->at - begin + 8) & ~(size_t)7);
	return x->at > x->len ? -EBADMSG : 0;
}

/* Of one path in conflict there are up to three. */
static int add_link(struct index *x, bool directory)
{
	const struct buf *b = x->links;
	size_t len = x->name.len;

	if (x->n_links && b->len - x->last_link == len + 1 && memcmp(b->data + x->last_link, x->name.data, len) == 0)
		return 0;
	if (!directory && x->n_links++ == GIT_LINKS_MAX)
		return -E2BIG;
	x->last_link = b->len;
	return buf_append(x->links, x->name.data, len) < 0 || buf_putc(x->links, '\0') < 0 ? -ENOMEM : 0;
}

static int read_entry(struct index *x)
{
	size_t begin = x->at, fixed = STAT_BYTES + x->hash + 2;

	if (x->len - x->at < fixed + 2)
		return -EBADMSG;
	const uint8_t *flags = x->data + begin + STAT_BYTES + x->hash;
	unsigned bits = (unsigned)flags[0] << 8 | flags[1];
	if ((bits & EXTENDED) && x->version < 3)
		return -EBADMSG;
	x->at += fixed + (bits & EXTENDED ? 2 : 0);
	int r = read_name(x, begin, bits & NAME_MASK);
	if (r < 0)
		return r;
	const uint32_t mode = get_u32(x->data + begin + MODE_AT);
	const bool link = x->links && (mode & MODE_KIND) == MODE_LINK;
	if (x->name.len == 0)
		x->nameless = true;
	/* Git has one mode for them, and who looks for its bytes is to find all. */
	if (link && (x->name.len == 0 || mode != MODE_LINK))
		return -EPERM;
	if (x->name.len == 0)
		return 0;
	const bool directory = mode == MODE_DIRECTORY;
	if (!is_safe((const char *)x->name.data, x->name.len, directory))
		return -EPERM;
	return link || (directory && x->links) ? add_link(x, directory) : 0;
}

/* Where the entries of each block begin, for those that are read at once: offset and number. */
static int check_blocks(const uint8_t *table, size_t len, const size_t *begins, uint32_t n)
{
	uint32_t entry = 0;

	if (len < 4 || (len - 4) % 8 || get_u32(table) != 1)
		return -EBADMSG;
	for (size_t at = 4; at < len; at += 8) {
		uint32_t count = get_u32(table + at + 4);
		if (entry >= n || count == 0 || count > n - entry || get_u32(table + at) != begins[entry])
			return -EBADMSG;
		entry += count;
	}
	return entry == n ? 0 : -EBADMSG;
}

static int check_extension(const struct index *x, const uint8_t *data, size_t len, const size_t *begins, size_t end,
			   char shared[GIT_SHARED_NAME])
{
	const uint8_t *content = data + 8;

	if (memcmp(data, "EOIE", 4) == 0)
		return len >= 4 && get_u32(content) == end ? 0 : -EBADMSG;
	if (memcmp(data, "IEOT", 4) == 0)
		return check_blocks(content, len, begins, x->n);
	if (memcmp(data, "link", 4) != 0)
		return 0;
	if (!shared || len < x->hash || shared[0])
		return -EBADMSG;
	int at = snprintf(shared, GIT_SHARED_NAME, "sharedindex.");
	for (size_t i = 0; i < x->hash; i++)
		at += snprintf(shared + at, GIT_SHARED_NAME - (size_t)at, "%02x", content[i]);
	return 0;
}

static int read_all(struct index *x, size_t *begins, char shared[GIT_SHARED_NAME])
{
	int r = 0;

	x->at = HEADER;
	for (uint32_t i = 0; i < x->n && r == 0; i++) {
		begins[i] = x->at;
		r = read_entry(x);
	}
	const size_t end = x->at;
	while (r == 0 && x->at < x->len) {
		if (x->len - x->at < 8)
			return -EBADMSG;
		size_t size = get_u32(x->data + x->at + 4);
		if (size > x->len - x->at - 8)
			return -EBADMSG;
		r = check_extension(x, x->data + x->at, size, begins, end, shared);
		x->at += 8 + size;
	}
	/* Git looks for it at the end first, wherever the others say that they are. */
	size_t last = 8 + 4 + x->hash;
	if (r == 0 && x->len - HEADER >= last && memcmp(x->data + x->len - last, "EOIE", 4) == 0 &&
	    get_u32(x->data + x->len - last + 8) != end)
		return -EBADMSG;
	return r == 0 && x->nameless && !(shared && shared[0]) ? -EBADMSG : r;
}

int git_index_check(const uint8_t *data, size_t len, size_t hash, char shared[GIT_SHARED_NAME], struct buf *links)
{
	struct index x = { .data = data, .hash = hash, .links = links };
	_cleanup_buf_ struct buf begins = { 0 };

	if (shared)
		shared[0] = '\0';
	if (len < HEADER + hash || memcmp(data, "DIRC", 4) != 0)
		return -EBADMSG;
	x.len = len - hash;
	x.version = get_u32(data + 4);
	x.n = get_u32(data + 8);
	if (x.version < 2 || x.version > 4 || x.n > len / STAT_BYTES)
		return -EBADMSG;
	if (buf_reserve(&begins, (x.n + 1) * sizeof(size_t)) < 0)
		return -ENOMEM;
	int r = read_all(&x, (size_t *)(void *)begins.data, shared);
	buf_free(&x.name);
	return r;
}
