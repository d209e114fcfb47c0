/* SPDX-License-Identifier: Apache-2.0 */
/* ClientHellos: what a prefix was refused for, the whole is; what was accepted lies in the message. */
#include <stdlib.h>
#include <string.h>

#include "gateway/client_hello.h"
#include "fuzz.h"

static void inside(const struct client_hello *h, const uint8_t *p, size_t len)
{
	CHECK(!p || (p >= h->message && p + len <= h->message + sizeof(h->message)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct client_hello h, part;

	enum client_hello_status status = client_hello_parse(data, size, &h);
	CHECK((status == CLIENT_HELLO_BAD) == (h.error != NULL));
	if (status == CLIENT_HELLO_OK) {
		inside(&h, h.sni, h.sni_len);
		CHECK(!h.sni || (h.sni_len > 0 && h.sni_len <= 255));
	}
	/* Prefixes: 64 of them, or every one of a short input. */
	size_t step = size / 64 + 1;
	for (size_t n = 0; n < size; n += step) {
		enum client_hello_status s = client_hello_parse(data, n, &part);
		CHECK(s != CLIENT_HELLO_BAD || (status == CLIENT_HELLO_BAD && strcmp(part.error, h.error) == 0));
		CHECK(s != CLIENT_HELLO_OK || status != CLIENT_HELLO_MORE);
	}
	return 0;
}
