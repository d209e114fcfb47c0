/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nsbox approve: what waits for a person, in every named sandbox, and the answer to it. Without a ticket on a terminal
 * it shows one thing after the other as they come and asks; without one, it lists. A decision names the digest of what
 * was shown, so that something else under the same ticket is refused.
 */
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/util.h"
#include "named.h"
#include "nsbox.h"

enum { TAKE_YES = 1, TAKE_NO, TAKE_ALWAYS, TAKE_DIGEST, TAKE_JSON };
#define LOOK_AGAIN_MS 500

#define OWN(layer_) .id = OPTION_OWN, .layer = layer_
static const struct option own_options[] = {
	{ OWN(TAKE_YES), .name = "yes", .help = "let it go on, this once" },
	{ OWN(TAKE_NO), .name = "no", .help = "deny it" },
	{ OWN(TAKE_ALWAYS), .name = "always", .help = "let it go on, and an equal call of the sandbox, or equal requests of the same call, too" },
	{ OWN(TAKE_DIGEST), .name = "digest", .value = "HEX", .help = "refuse when the ticket is for anything but this" },
	{ OWN(TAKE_JSON), .name = "json",
	  .help = "what waits, as a JSON array of {ticket, sandbox, call, op, digest, reason, expires_s, question, before}" },
	{ 0 },
};

struct approve {
	int decision; /* enum sandbox_decision, -1: none given */
	bool twice, json;
	const char *digest;
};

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	return text ? text : "";
}

/* Of one sandbox into all; one that ends meanwhile has nothing that waits. */
static void collect(const char *name, json_t *all)
{
	_cleanup_free_ char *text = NULL;
	struct opened o;

	if (named_open(name, ",", &o, NULL) < 0)
		return;
	if (sandbox_approvals(o.box, &text, NULL) == 0) {
		json_t *some = json_loads(text, 0, NULL);
		json_array_extend(all, some);
		json_decref(some);
	}
	named_close(&o);
}

/* NULL: said why not. */
static json_t *collect_all(void)
{
	_cleanup_free_ char *text = NULL;
	sandbox_error *error = NULL;
	size_t i;
	json_t *box;

	if (sandbox_list(&text, &error) < 0) {
		refuse_error(error);
		return NULL;
	}
	json_t *boxes = json_loads(text, 0, NULL), *all = json_array();
	json_array_foreach(boxes, i, box) {
		if (strcmp(text_of(box, "state"), "running") == 0)
			collect(text_of(box, "name"), all);
	}
	json_decref(boxes);
	return all;
}

/* One member, and how it was before when that is known and differs. */
static void print_member(const char *key, json_t *value, json_t *before)
{
	json_t *was = before ? json_object_get(before, key) : NULL;
	_cleanup_buf_ struct buf line = { 0 };
	char *now = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT), *old = was ? json_dumps(was, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
	bool differs = before && (!was || !json_equal(value, was));

	buf_printf(&line, "  %s %-14s ", differs ? "*" : " ", key);
	escape_text(&line, now ? now : "", now ? strlen(now) : 0);
	if (differs) {
		buf_puts(&line, "   (before: ");
		escape_text(&line, old ? old : "nothing", strlen(old ? old : "nothing"));
		buf_puts(&line, ")");
	}
	puts(buf_str(&line) ? buf_str(&line) : key);
	free(now);
	free(old);
}

static void print_one(const json_t *a)
{
	json_t *question = json_object_get(a, "question"), *before = json_object_get(a, "before"), *value;
	_cleanup_buf_ struct buf head = { 0 };
	const char *key, *reason = text_of(a, "reason");

	buf_printf(&head, "%s  %s  call %s  %" JSON_INTEGER_FORMAT " s left", text_of(a, "ticket"), text_of(a, "op"),
		   text_of(a, "call"), json_integer_value(json_object_get(a, "expires_s")));
	if (*reason) {
		buf_puts(&head, "\n    the auditor: ");
		escape_text(&head, reason, strlen(reason));
	}
	puts(buf_str(&head) ? buf_str(&head) : "");
	json_object_foreach(question, key, value)
		print_member(key, value, before);
	printf("    ticket digest  %s\n", text_of(a, "digest"));
	if (before)
		puts("    (* differs from what was allowed before)");
}

static int decide(const json_t *a, int decision)
{
	sandbox_error *error = NULL;
	struct opened o;
	int r = named_open(text_of(a, "sandbox"), ",", &o, &error);

	if (r == 0) {
		r = sandbox_decide(o.box, text_of(a, "ticket"), text_of(a, "digest"), decision, &error);
		named_close(&o);
	}
	return r < 0 ? refuse_error(error) : EXIT_YES;
}

static const json_t *find(const json_t *all, const char *ticket)
{
	const json_t *a;
	size_t i;

	json_array_foreach(all, i, a) {
		if (strcmp(text_of(a, "ticket"), ticket) == 0)
			return a;
	}
	return NULL;
}

static int decide_ticket(const json_t *all, const struct approve *args, const char *ticket)
{
	const json_t *a = find(all, ticket);

	if (!a)
		return refuse("nothing waits under the ticket %s (any more); nsbox approve --json lists what does", ticket);
	if (args->digest && strcmp(args->digest, text_of(a, "digest")) != 0)
		return refuse("the ticket %s is for something else: its digest is %s", ticket, text_of(a, "digest"));
	if (args->decision >= 0)
		return decide(a, args->decision);
	print_one(a);
	return EXIT_YES;
}

/* One of the words, and nothing else, is an answer; anything else puts it off. False at the end of input. */
static bool ask(const json_t *a)
{
	static const struct {
		const char *word, *letter;
		int decision;
	} answers[] = { { "yes", "y", SANDBOX_APPROVE }, { "no", "n", SANDBOX_DENY }, { "always", "a", SANDBOX_APPROVE_ALWAYS } };

	print_one(a);
	/* What was typed before it could be read is no answer to it. */
	tcflush(STDIN_FILENO, TCIFLUSH);
	printf("allow? [y]es, [n]o, [a]lways, or Enter for later: ");
	fflush(stdout);
	_cleanup_free_ char *line = read_line();
	for (size_t i = 0; line && i < ARRAY_LEN(answers); i++) {
		if (strcmp(line, answers[i].word) == 0 || strcmp(line, answers[i].letter) == 0)
			decide(a, answers[i].decision);
	}
	return line;
}

/* Each once; until the end of input or a signal. */
static int live(void)
{
	json_t *seen = json_object(), *all, *a;
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	bool going = true;
	size_t i;

	puts("Waiting for calls and requests to approve; Ctrl-D ends.");
	while (going && (all = collect_all())) {
		json_array_foreach(all, i, a) {
			if (!going || json_object_get(seen, text_of(a, "ticket")))
				continue;
			json_object_set_new(seen, text_of(a, "ticket"), json_true());
			going = ask(a);
		}
		json_decref(all);
		/* Between questions only the end of input is of interest. */
		if (going && poll(&input, 1, LOOK_AGAIN_MS) > 0) {
			_cleanup_free_ char *line = read_line();
			going = line;
		}
	}
	json_decref(seen);
	return EXIT_YES;
}

static int take(void *arg, const struct option_reader *r)
{
	static const int decisions[] = { [TAKE_YES] = SANDBOX_APPROVE, [TAKE_NO] = SANDBOX_DENY,
					 [TAKE_ALWAYS] = SANDBOX_APPROVE_ALWAYS };
	struct approve *args = arg;

	if (r->option->layer == TAKE_DIGEST) {
		args->digest = r->value;
	} else if (r->option->layer == TAKE_JSON) {
		args->json = true;
	} else {
		args->twice |= args->decision >= 0;
		args->decision = decisions[r->option->layer];
	}
	return 0;
}

static int run_approve(const struct command *self, int argc, char **argv)
{
	struct approve args = { .decision = -1 };
	struct words words;

	int status = named_words(self, argc, argv, take, &args, &words);
	if (status)
		return status - 1;
	if (args.twice || words.n > 1 || (words.n == 0 && (args.decision >= 0 || args.digest)) ||
	    (args.json && (words.n || args.decision >= 0)))
		return refuse("nsbox approve [--json], or nsbox approve TICKET [--yes|--no|--always] [--digest HEX]");
	if (!words.n && !args.json && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
		return live();
	json_t *all = collect_all(), *a;
	size_t i;
	if (!all)
		return EXIT_NSBOX;
	if (words.n) {
		status = decide_ticket(all, &args, words.word[0]);
	} else if (args.json) {
		char *text = json_dumps(all, JSON_COMPACT | JSON_ENSURE_ASCII);
		puts(text ? text : "[]");
		free(text);
	} else {
		json_array_foreach(all, i, a)
			print_one(a);
	}
	json_decref(all);
	return status;
}

const struct command command_approve = {
	.name = "approve",
	.arguments = "[TICKET --yes|--no|--always [--digest HEX]] [--json]",
	.summary = "decide about calls, requests and commits that the auditor leaves to a person",
	.text = "Without a ticket on a terminal it asks about each as it comes; else it lists what waits.\n"
		"What nobody decides about within ten minutes is denied.",
	.options = (const struct option *const[]){ own_options, NULL },
	.run = run_approve,
};
