/* SPDX-License-Identifier: Apache-2.0 */
/* Forms of sizes, durations and counts in settings: digits and a unit, nothing else, and no overflow. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy/internal.h"

/* Digits with up to three decimals to thousandths; *rest: what follows. */
static int parse_decimal(const char *s, uint64_t *ret, const char **rest)
{
	uint64_t v = 0;
	size_t digits = 0;

	for (; *s >= '0' && *s <= '9'; s++, digits++) {
		if (digits == 15)
			return -ERANGE;
		v = v * 10 + (uint64_t)(*s - '0');
	}
	if (digits == 0)
		return -EINVAL;
	unsigned decimals = 0;
	if (*s == '.') {
		for (s++; *s >= '0' && *s <= '9' && decimals < 3; s++, decimals++)
			v = v * 10 + (uint64_t)(*s - '0');
		if (decimals == 0)
			return -EINVAL;
	}
	for (; decimals < 3; decimals++)
		v *= 10;
	*ret = v;
	*rest = s;
	return 0;
}

static int scale(uint64_t milli, uint64_t unit, uint64_t *ret)
{
	uint64_t whole, part, v;

	/* milli % 1000 * unit stays below 2^10 * 2^40. */
	part = milli % 1000 * unit / 1000;
	if (__builtin_mul_overflow(milli / 1000, unit, &whole) || __builtin_add_overflow(whole, part, &v) || v == 0 ||
	    v > INT64_MAX)
		return -ERANGE;
	*ret = v;
	return 0;
}

int parse_size(const char *s, uint64_t *ret)
{
	static const char units[] = "KMGT";
	uint64_t milli, unit = 1;
	int r = parse_decimal(s, &milli, &s);

	if (r < 0)
		return r;
	if (*s) {
		const char *u = strchr(units, *s);
		if (!u || s[1])
			return -EINVAL;
		unit = UINT64_C(1) << (10 * (u - units + 1));
	} else if (milli % 1000) {
		return -EINVAL;
	}
	return scale(milli, unit, ret);
}

int parse_duration(const char *s, uint64_t *ret_us)
{
	static const struct {
		const char *name;
		uint64_t us;
	} units[] = { { "", 1000000 }, { "ms", 1000 },	     { "s", 1000000 },
		      { "m", 60000000 }, { "h", 3600000000 }, { "d", 86400000000 } };
	uint64_t milli;
	int r = parse_decimal(s, &milli, &s);

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(units); i++) {
		if (strcmp(s, units[i].name) == 0)
			return scale(milli, units[i].us, ret_us);
	}
	return r < 0 ? r : -EINVAL;
}

int parse_milli(const char *s, uint64_t *ret)
{
	int r = parse_decimal(s, ret, &s);

	if (r < 0)
		return r;
	return *s ? -EINVAL : *ret == 0 || *ret > 1000000000 ? -ERANGE : 0;
}

int parse_count(const char *s, uint64_t max, uint32_t *ret)
{
	uint64_t milli;
	int r = strchr(s, '.') ? -EINVAL : parse_decimal(s, &milli, &s);

	if (r < 0 || *s)
		return -EINVAL;
	if (milli == 0 || milli / 1000 > max)
		return -ERANGE;
	*ret = (uint32_t)(milli / 1000);
	return 0;
}

void format_size(uint64_t v, char ret[32])
{
	static const char *const units[] = { "", "K", "M", "G", "T" };
	size_t u = 0;

	while (u + 1 < ARRAY_LEN(units) && v && v % 1024 == 0) {
		v /= 1024;
		u++;
	}
	snprintf(ret, 32, "%llu%s", (unsigned long long)v, units[u]);
}

void format_duration(uint64_t us, char ret[32])
{
	static const struct {
		uint64_t us;
		const char *name;
	} units[] = { { 86400000000, "d" }, { 3600000000, "h" }, { 60000000, "m" }, { 1000000, "s" } };

	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (us % units[i].us == 0) {
			snprintf(ret, 32, "%llu%s", (unsigned long long)(us / units[i].us), units[i].name);
			return;
		}
	}
	snprintf(ret, 32, "%llu.%03llums", (unsigned long long)(us / 1000), (unsigned long long)(us % 1000));
}

static const struct {
	char name;
	uint64_t an_hour;
} rates[] = { { 's', 3600 }, { 'm', 60 }, { 'h', 1 } };

int parse_rate(const char *s, uint64_t *ret)
{
	const char *slash = strchr(s, '/');
	char digits[12];
	uint32_t n;

	if (!slash || slash == s || (size_t)(slash - s) >= sizeof(digits) || !slash[1] || slash[2])
		return -EINVAL;
	memcpy(digits, s, (size_t)(slash - s));
	digits[slash - s] = '\0';
	int r = parse_count(digits, RATE_MAX, &n);
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(rates); i++) {
		if (slash[1] != rates[i].name)
			continue;
		*ret = n * rates[i].an_hour;
		return *ret > RATE_MAX ? -ERANGE : 0;
	}
	return r < 0 ? r : -EINVAL;
}

void format_rate(uint64_t per_hour, char ret[32])
{
	size_t i = 0;

	while (per_hour % rates[i].an_hour)
		i++;
	snprintf(ret, 32, "%llu/%c", (unsigned long long)(per_hour / rates[i].an_hour), rates[i].name);
}
