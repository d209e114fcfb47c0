/* SPDX-License-Identifier: Apache-2.0 */
/* Opening named sandboxes, and words that name them. */
#include "named.h"

#include "nsbox.h"

int named_open(const char *name, const char *events, struct opened *ret, sandbox_error **error)
{
	*ret = (struct opened){ 0 };
	int r = sandbox_runtime_new(&ret->runtime, error);
	if (r == 0)
		r = sandbox_runtime_set_events(ret->runtime, events, error);
	if (r == 0)
		r = sandbox_open(ret->runtime, name, &ret->box, error);
	if (r < 0)
		named_close(ret);
	return r;
}

void named_close(struct opened *o)
{
	sandbox_free(o->box);
	sandbox_runtime_free(o->runtime);
	*o = (struct opened){ 0 };
}

int named_words(const struct command *self, int argc, char **argv, int (*take)(void *arg, const struct option_reader *r),
		void *arg, struct words *ret)
{
	struct option_reader r = { .command = self, .argc = argc, .argv = argv };

	*ret = (struct words){ .word = argv };
	for (;;) {
		int id = option_next(&r);
		if (id == OPTION_BAD)
			return EXIT_NSBOX + 1;
		if (id == OPTION_HELP)
			return help_print(self) + 1;
		if (id != OPTIONS_END) {
			int k = take ? take(arg, &r) : 0;
			if (k)
				return k + 1;
		} else if (r.at < argc) {
			/* Words that were read make room for those that are kept. */
			argv[ret->n++] = argv[r.at++];
		} else {
			return 0;
		}
	}
}

int words_flag(void *arg, const struct option_reader *r)
{
	(void)r;
	*(bool *)arg = true;
	return 0;
}
