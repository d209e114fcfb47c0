/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encoding of the messages between our own processes: little-endian integers and length-prefixed bytes, over
 * SOCK_SEQPACKET with descriptors by SCM_RIGHTS. Reading is bounds-checked with a sticky error: decode everything,
 * then test wire_done() once. Nothing decoded is used before that.
 */
#ifndef NSBOX_BASE_WIRE_H
#define NSBOX_BASE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"

/* Changes with every incompatible change of any message; both sides compare it first. */
#define WIRE_VERSION 9u
/* Larger payloads (policies) travel as sealed memfds. */
#define WIRE_MAX_PACKET (128u * 1024u)
#define WIRE_MAX_FDS 253u /* SCM_MAX_FD */

/* Writers append to a buf; they return 0 or -ENOMEM, and -EMSGSIZE for strings over 4 GiB. */
int wire_put_u8(struct buf *b, uint8_t v);
int wire_put_u32(struct buf *b, uint32_t v);
int wire_put_u64(struct buf *b, uint64_t v);
int wire_put_bytes(struct buf *b, const void *data, size_t len);
int wire_put_str(struct buf *b, const char *s);
/* A NULL-terminated vector of strings: count, then each. NULL counts as empty. */
int wire_put_strv(struct buf *b, char *const *v);

struct wire_reader {
	const uint8_t *p, *end;
	bool bad;
};

struct wire_reader wire_reader(const void *data, size_t len);
uint8_t wire_get_u8(struct wire_reader *r);
uint32_t wire_get_u32(struct wire_reader *r);
uint64_t wire_get_u64(struct wire_reader *r);
/* Points into the message; NULL on error. */
const void *wire_get_bytes(struct wire_reader *r, size_t *ret_len);
/* Fresh copy, refused when it holds a NUL; NULL on error (sticky). Caller frees. */
char *wire_get_str(struct wire_reader *r);
/* Fresh NULL-terminated vector; at most max entries; NULL on error. Free with strv_free. */
char **wire_get_strv(struct wire_reader *r, size_t max);
/* True when nothing failed and nothing is left over. */
bool wire_done(const struct wire_reader *r);

/* An error record, as every "failed" answer of supervisor/protocol.h carries it. */
struct error;
int wire_put_error(struct buf *b, const struct error *e);
void wire_get_error(struct wire_reader *r, struct error *ret);

void strv_free(char **v);
void strv_freep(char ***v);
size_t strv_len(char *const *v);

/*
 * One packet. msg_send blocks unless the socket is O_NONBLOCK, never raises SIGPIPE, retries EINTR, returns 0 or
 * -errno. msg_recv returns the length (0 = end of file, or an empty packet), or -errno; -EMSGSIZE / -EPROTO for a cut
 * packet or too many descriptors. Received descriptors are close-on-exec and owned by the caller; with 0 and with an
 * error none is left open.
 */
int msg_send(int sock, const void *data, size_t len, const int *fds, size_t n_fds);
ssize_t msg_recv(int sock, void *data, size_t cap, int *fds, size_t max_fds, size_t *ret_n_fds);
/* The same, but the descriptors that came are the caller's to close whatever is returned (max_fds: WIRE_MAX_FDS, or
 * what does not fit is closed). */
ssize_t msg_recv_all(int sock, void *data, size_t cap, int *fds, size_t max_fds, size_t *ret_n_fds);

/* Sealed (shrink, grow, write) memfd with the bytes, and the reading side: maps nothing, copies, checks the seals. */
int memfd_from_bytes(const char *name, const void *data, size_t len);
int memfd_read_sealed(int fd, size_t max, struct buf *ret);

#endif
