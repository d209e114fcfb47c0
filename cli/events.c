/* SPDX-License-Identifier: Apache-2.0 */
/* nsbox events: what happens in named sandboxes, while it happens. */
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "nsbox.h"
#include "named.h"

enum { OPTION_FOLLOW = OPTION_OWN, OPTION_COUNT };

static const struct option own_options[] = {
	{ .id = OPTION_FOLLOW, .letter = 'f', .name = "follow",
	  .help = "go on until interrupted, which is what it does anyway" },
	{ .id = OPTION_COUNT, .name = "count", .value = "N", .help = "stop after N events" },
	{ 0 },
};

struct events {
	unsigned long count; /* 0: no end */
	sandbox_runtime *runtime;
	sandbox **boxes;
	size_t n;
};

static int take_option(void *arg, const struct option_reader *r)
{
	struct events *events = arg;
	char *end;

	if (r->option->id != OPTION_COUNT)
		return 0;
	errno = 0;
	events->count = strtoul(r->value, &end, 10);
	if (r->value[0] < '0' || r->value[0] > '9' || *end || errno || events->count == 0)
		return refuse("--count %s: a number from 1", r->value);
	return 0;
}

static int open_one(struct events *e, const char *name, bool may_be_gone)
{
	sandbox **more = reallocarray(e->boxes, e->n + 1, sizeof(sandbox *));
	sandbox_error *error = NULL;

	if (!more)
		return refuse("out of memory");
	e->boxes = more;
	if (sandbox_open(e->runtime, name, &e->boxes[e->n], &error) == 0) {
		e->n++;
		return 0;
	}
	if (may_be_gone) {
		sandbox_error_free(error);
		return 0;
	}
	return refuse_error(error);
}

static int open_all(struct events *e)
{
	_cleanup_free_ char *text = NULL;
	sandbox_error *error = NULL;
	json_t *one;
	size_t i;
	int r = 0;

	if (sandbox_list(&text, &error) < 0)
		return refuse_error(error);
	json_t *all = json_loads(text, 0, NULL);
	json_array_foreach(all, i, one) {
		const char *name = json_string_value(json_object_get(one, "name"));
		if (r == 0 && name)
			r = open_one(e, name, true);
	}
	json_decref(all);
	return r;
}

/* True when as many were printed as were asked for. */
static bool print_waiting(struct events *e)
{
	sandbox_event *event;

	while (sandbox_runtime_next_event(e->runtime, &event) == 0 && event) {
		puts(sandbox_event_json(event));
		sandbox_event_free(event);
		if (e->count && --e->count == 0)
			return true;
	}
	return false;
}

static int watch(struct events *e)
{
	size_t left = e->n;

	while (left > 0) {
		struct pollfd p = { .fd = sandbox_runtime_fd(e->runtime), .events = POLLIN };
		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			return refuse("cannot wait for events: %s", strerrordesc_np(errno));
		/* One of them at a time is told as gone. */
		if (sandbox_runtime_dispatch(e->runtime, NULL) < 0)
			left--;
		bool enough = print_waiting(e);
		if (fflush(stdout) != 0)
			return refuse("cannot write to standard output: %s", strerrordesc_np(errno));
		if (enough)
			break;
	}
	return EXIT_YES;
}

static int run_events(const struct command *self, int argc, char **argv)
{
	struct events e = { 0 };
	sandbox_error *error = NULL;
	struct words words;

	int status = named_words(self, argc, argv, take_option, &e, &words);
	if (status)
		return status - 1;
	if (sandbox_runtime_new(&e.runtime, &error) < 0)
		return refuse_error(error);
	for (size_t i = 0; i < words.n && status == 0; i++)
		status = open_one(&e, words.word[i], false);
	if (words.n == 0)
		status = open_all(&e);
	if (status == 0 && e.n == 0)
		status = refuse("there is no named sandbox to watch (nsbox create, nsbox run --name)");
	if (status == 0)
		status = watch(&e);
	for (size_t i = 0; i < e.n; i++)
		sandbox_free(e.boxes[i]);
	free(e.boxes);
	sandbox_runtime_free(e.runtime);
	return status;
}

const struct command command_events = {
	.name = "events",
	.arguments = "[ID...] [-f] [--count N]",
	.summary = "print what happens in named sandboxes (default: all there are now), one JSON object a line",
	.text = "Runs until interrupted or until the sandboxes are gone. What happened before is in nsbox audit show.",
	.options = (const struct option *const[]){ own_options, NULL },
	.run = run_events,
};
