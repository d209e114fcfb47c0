/* SPDX-License-Identifier: Apache-2.0 */
/* Times on the command line, in the form of policy files. */
#include <string.h>

#include "base/util.h"
#include "runner.h"

bool duration_ms(const char *text, unsigned long *ret_ms)
{
	static const struct {
		const char *unit;
		unsigned long ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 } };
	size_t digits = strspn(text, "0123456789");
	unsigned long value = 0;

	if (digits == 0 || digits > 12)
		return false;
	for (size_t i = 0; i < digits; i++)
		value = value * 10 + (unsigned long)(text[i] - '0');
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (strcmp(text + digits, units[i].unit) == 0)
			return value && !__builtin_mul_overflow(value, units[i].ms, ret_ms);
	}
	return false;
}
