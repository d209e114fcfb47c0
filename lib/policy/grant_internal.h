/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the files of grants. Theory of operation: grant.h. */
#ifndef NSBOX_POLICY_GRANT_INTERNAL_H
#define NSBOX_POLICY_GRANT_INTERNAL_H

#include "policy/grant.h"
#include "policy/internal.h"

/* All values that are one number, in the order of the dump and of the wire. Of a number the smaller is narrower, of a
 * choice the later one; 0: not set. */
enum grant_value {
	VALUE_TIMEOUT = GRANT_TIMEOUT,
	VALUE_TTL = GRANT_TTL,
	VALUE_OPEN_FILES = GRANT_OPEN_FILES,
	VALUE_USES = GRANT_USES,
	VALUE_BYTES_UP = GRANT_BYTES_UP,
	VALUE_RATE = GRANT_RATE,
	VALUE_ISOLATION, /* the first choice */
	VALUE_BACKGROUND,
	VALUE_CREDENTIALS,
	VALUE_VIEW,
	VALUE_COUNT
};

#define VALUE_CHOICES_MAX 3u

enum value_form { FORM_DURATION, FORM_SIZE, FORM_COUNT, FORM_RATE, FORM_CHOICE };

struct value_kind {
	const char *key, *reason;
	enum value_form form;
	uint64_t max;             /* FORM_COUNT, FORM_RATE */
	const char *choices[VALUE_CHOICES_MAX + 1]; /* FORM_CHOICE: the widest first; NULL at the end */
};
extern const struct value_kind value_kinds[VALUE_COUNT];
/* The largest value of that form. */
uint64_t value_max(enum grant_value which);
/* The value as it is written. */
void value_text(enum grant_value which, uint64_t v, char ret[32]);
/* Order of two, 0 (not set) being the widest. */
bool value_is_within(enum grant_value which, uint64_t a, uint64_t b);

struct value {
	uint64_t v;
	char *origin;
};

enum raw_kind { RAW_READ = 0, RAW_WRITE, RAW_HIDE, RAW_EXEC };

struct raw_grant_path {
	enum raw_kind kind;
	char *text; /* absolute, or relative to the workdir */
	char *origin;
};

struct argv_pattern {
	char *text; /* words with one blank between them */
	char *origin;
};

/* Paths, sorted so that parents stand before what lies in them (strcmp order has that). */
struct path_list {
	struct grant_path *path;
	size_t n;
};

struct grant {
	unsigned more_users; /* besides the first */
	char *name, *origin; /* or NULL */
	char *section;       /* for messages: "grant push", or "grant" */
	bool template, finished;
	bool allow_set; /* else everything, allow is empty */
	struct net_rules allow, deny;
	bool secrets_set;
	struct grant_secret *secrets; /* by name */
	size_t n_secrets;
	bool read_set, write_set, exec_set;
	char *read_only; /* origin of read_only = yes, or NULL */
	struct raw_grant_path *raw;
	size_t n_raw;
	struct argv_pattern *argv;
	size_t n_argv;
	struct value value[VALUE_COUNT];
	/* Made by grant_finish(), in one form for one meaning. */
	enum grant_level base;
	struct path_list files; /* READ and WRITE; none has the level that it would have without the entry */
	struct path_list hides, execs; /* none lies in another */
};

/* grant_set.c */
bool grant_name_valid(const char *name);
/* set.c: [grant NAME] of a policy */
int set_grant(struct policy *p, const struct setting *s, struct error *e);
/* grant.c: a part of policy_finish() */
int finish_grants(struct policy *p, struct error *e);
int grant_resolve(struct grant *g, const char *workdir, struct error *e);
/* The credentials that are meant where nothing is said. */
uint64_t grant_value_of(const struct grant *g, enum grant_value which);
int grants_encode(const struct policy *p, struct buf *out);

/* grant_paths.c */
void path_list_done(struct path_list *l);
int path_list_add(struct path_list *l, const char *path, enum grant_level level, const char *origin);
/* Entry of the longest path at or above path, or NULL. */
const struct grant_path *path_list_find(const struct path_list *l, const char *path);
/* To the one form for its meaning: sorted, of several for one path the last given, without what is hidden, lies in another
 * or says the same as without it. */
void paths_reduce(struct grant *g);
bool paths_are_reduced(const struct grant *g);
int paths_intersect(const struct grant *a, const struct grant *b, struct grant *ret);
/* request: as grant_narrow() asks. 1, 0, -errno */
int paths_are_subset(const struct grant *a, const struct grant *b, bool request, struct grant_excess *first);
int paths_within(const struct policy *p, const struct grant *g, struct grant_excess *first);

/* grant_net.c; the same */
int net_intersect(const struct grant *a, const struct grant *b, struct grant *ret);
int net_is_subset(const struct grant *a, const struct grant *b, bool request, struct grant_excess *first);
int net_within(const struct policy *p, const struct grant *g, struct grant_excess *first);

/* grant_algebra.c: fill in *first (may be NULL) */
__attribute__((format(printf, 5, 6))) void excess(struct grant_excess *first, const char *field, const char *item,
						  const char *origin, const char *accepted, ...);

/* grant_argv.c */
int argv_parse(struct grant *g, const struct setting *s, struct error *e);
bool argv_matches(const char *pattern, const char *const *argv);
/* Words, blanks between them single: what argv_parse() stores. */
bool argv_text_valid(const char *text);
/* Templates whose pattern an earlier one takes away: warnings. */
void argv_warn(struct policy *p);

/* grant_dump.c */
int grant_dump_section(const struct grant *g, const char *name, struct buf *out);

#endif
