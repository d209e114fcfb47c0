/* SPDX-License-Identifier: Apache-2.0 */
/* The files are in place inside already, and empty. */
#include "gateway/believed.h"

#include <errno.h>
#include <unistd.h>

#include "base/key_stores.h"
#include "gateway/file.h"
#include "gateway/key_store.h"

#define KEY_STORE_MAX (8u * 1024u * 1024u)

static int write_bytes(int fd, const struct buf *b)
{
	for (size_t done = 0; done < b->len;) {
		ssize_t n = write(fd, b->data + done, b->len - done);
		if (n < 0 && errno != EINTR)
			return -errno;
		done += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* Our authority first, then the host's, so that names which are passed through unopened still verify. */
static int write_bundle(const struct ca *ca, const struct buf *host, int fd, struct error *e)
{
	_cleanup_buf_ struct buf pem = { 0 };

	int r = ca_pem(ca, &pem);
	if (r == 0)
		r = write_bytes(fd, &pem);
	if (r == 0)
		r = write_bytes(fd, host);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_GATEWAY, "bundle", "Cannot write the trust bundle of the sandbox")
		     : 0;
}

/* The same for Java. */
static int write_key_store(const struct ca *ca, int fd, struct error *e)
{
	_cleanup_buf_ struct buf host = { 0 }, store = { 0 };
	const char *path = NULL;

	int r = key_store_of_host(&path);
	if (r == 0 && !path)
		return 0;
	if (r == 0)
		r = file_read(path, KEY_STORE_MAX, &host);
	if (r == 0)
		r = key_store_add(&host, CRYPTO_BUFFER_data(ca->der), CRYPTO_BUFFER_len(ca->der), &store);
	if (r == 0)
		r = write_bytes(fd, &store);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_GATEWAY, path ? path : "/etc",
				  "Cannot add the authority of the sandbox to the authorities of Java")
		     : 0;
}

int believed_write(const struct ca *ca, const struct buf *host, int bundle, int key_store, struct error *e)
{
	int r = write_bundle(ca, host, bundle, e);
	return r < 0 ? r : write_key_store(ca, key_store, e);
}
