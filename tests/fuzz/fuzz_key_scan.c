/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration file that may have a key in it. */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "fuzz.h"
#include "policy/key_scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char key[] = "\n\"token\": \"a\"\n";
	_cleanup_free_ char *text = malloc(size + sizeof(key));

	if (!text)
		return 0;
	if (size)
		memcpy(text, data, size);
	bool shown = text_shows_key(text, size);
	/* Nothing in front of a key hides it, nor does what follows. */
	memcpy(text + size, key, sizeof(key) - 1);
	if (!text_shows_key(text, size + sizeof(key) - 1) && !shown)
		abort();
	return 0;
}
