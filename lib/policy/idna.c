/* SPDX-License-Identifier: Apache-2.0 */
/* Names with letters beyond ASCII, through libidn2. */
#include "policy/idna.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

/*
 * libidn2.so.0's interface, called through dlopen: linking it would cost its loading at every start, for names that
 * are rare in policies.
 */
int idna_to_a_label(const char *utf8, char ret[256])
{
	enum { IDN2_NFC_INPUT = 1, IDN2_NONTRANSITIONAL = 8, IDN2_USE_STD3_ASCII_RULES = 32 };
	char *ascii = NULL;
	int r = -ELIBACC;

	void *lib = dlopen("libidn2.so.0", RTLD_NOW | RTLD_LOCAL);
	if (!lib)
		return r;
	int (*lookup)(const uint8_t *, char **, int);
	void (*release)(void *);
	/* POSIX says that these conversions work; ISO C has no word for them but a copy. */
	*(void **)&lookup = dlsym(lib, "idn2_lookup_u8");
	*(void **)&release = dlsym(lib, "idn2_free");
	if (lookup && release) {
		r = -EINVAL;
		if (lookup((const uint8_t *)utf8, &ascii,
			   IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL | IDN2_USE_STD3_ASCII_RULES) == 0) {
			if (strlen(ascii) <= 254) {
				strcpy(ret, ascii);
				r = 0;
			}
			release(ascii);
		}
	}
	dlclose(lib);
	return r;
}
