/* SPDX-License-Identifier: Apache-2.0 */
/*
 * [network] registries: where a package manager reads from, out of its own configuration. Only files of the user and of
 * the system, and the caller's environment, count: the project's own file may be the attacker's. Each place becomes a
 * rule for reading, and what carries no credentials of it is told to the client inside, whose configuration stays
 * outside.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "policy/internal.h"

#define CONFIG_BYTES_MAX (256u << 10)
#define CONFIG_FILES_MAX 64u

struct config_key {
	const char *key;	 /* what stands before the place, in a file or as the name of a variable */
	const char *variables[2]; /* that tell the client inside */
	char join;		 /* between several places; 0: the first one counts */
};

struct client {
	const char *name;
	const char *files[5]; /* "~/": the home directory; "$NAME/": a directory in a variable; with * in the last part */
	struct config_key keys[10];
};

static const struct client clients[] = {
	{ "npm",
	  { "~/.npmrc", "/etc/npmrc", "/usr/etc/npmrc", "/usr/local/etc/npmrc" },
	  { { "NPM_CONFIG_REGISTRY", { "NPM_CONFIG_REGISTRY" }, 0 }, { "npm_config_registry", { "NPM_CONFIG_REGISTRY" }, 0 },
	    { "registry", { "NPM_CONFIG_REGISTRY" }, 0 }, { "@", { NULL }, 0 } } },
	{ "pip",
	  { "~/.config/pip/pip.conf", "~/.pip/pip.conf", "/etc/pip.conf", "/etc/xdg/pip/pip.conf", "~/.config/uv/uv.toml" },
	  { { "PIP_INDEX_URL", { "PIP_INDEX_URL", "UV_DEFAULT_INDEX" }, 0 },
	    { "UV_DEFAULT_INDEX", { "PIP_INDEX_URL", "UV_DEFAULT_INDEX" }, 0 },
	    { "index-url", { "PIP_INDEX_URL", "UV_DEFAULT_INDEX" }, 0 },
	    { "PIP_EXTRA_INDEX_URL", { "PIP_EXTRA_INDEX_URL", "UV_INDEX" }, ' ' },
	    { "extra-index-url", { "PIP_EXTRA_INDEX_URL", "UV_INDEX" }, ' ' },
	    { "find-links", { "PIP_FIND_LINKS" }, ' ' },
	    { "url", { "UV_INDEX" }, ' ' } } },
	{ "cargo",
	  { "$CARGO_HOME/config.toml", "~/.cargo/config.toml", "~/.cargo/config" },
	  { { "registry", { NULL }, 0 }, { "index", { NULL }, 0 } } },
	{ "go",
	  { "~/.config/go/env" },
	  { { "GOPROXY", { "GOPROXY" }, ',' } } },
	{ "apt",
	  { "/etc/apt/sources.list", "/etc/apt/sources.list.d/*.list", "/etc/apt/sources.list.d/*.sources" },
	  { { "deb", { NULL }, 0 }, { "deb-src", { NULL }, 0 }, { "URIs", { NULL }, 0 } } },
};

static const struct client *find_client(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
		if (strcmp(clients[i].name, name) == 0)
			return &clients[i];
	}
	return NULL;
}

int add_registry(struct policy *p, const struct setting *s, const char *item, struct error *e)
{
	const struct client *client = find_client(item);

	if (!client)
		return bad_setting(s, e, EINVAL, "accepted: npm, pip, cargo, go, apt");
	for (size_t i = 0; i < p->n_registries; i++) {
		if (strcmp(p->registries[i].client, client->name) == 0)
			return 0;
	}
	struct policy_registry *r = grow(&p->registries, &p->n_registries, sizeof(*r), ARRAY_LEN(clients), "registries",
					 s->origin, e);
	if (!r)
		return -e->err;
	*r = (struct policy_registry){ client->name, strdup(s->origin) };
	return r->origin ? 0 : out_of_memory(e);
}

/* Where the search is. */
struct search {
	struct policy *p;
	const struct client *client;
	const char *asked;  /* the line that wants the client's registries */
	const char *source; /* the file or variable being read */
	unsigned line;
	size_t found;
	struct error *e;
};

/* The client's variable inside, unless the policy sets it otherwise. */
static int tell(struct search *s, const struct config_key *key, const char *url, const char *origin)
{
	for (size_t i = 0; i < ARRAY_LEN(key->variables) && key->variables[i]; i++) {
		const char *name = key->variables[i];
		_cleanup_free_ char *value = NULL;
		struct policy_env *env = NULL;
		for (size_t k = 0; k < s->p->n_envs && !env; k++) {
			if (strcmp(s->p->envs[k].name, name) == 0)
				env = &s->p->envs[k];
		}
		bool ours = env && env->value && strstr(env->origin, " (registries");
		if (env && (!ours || !key->join || strstr(env->value, url)))
			continue;
		int n = env ? asprintf(&value, "%s=%s%c%s", name, env->value, key->join, url) :
			      asprintf(&value, "%s=%s", name, url);
		if (n < 0) {
			value = NULL;
			return out_of_memory(s->e);
		}
		struct setting set = { "env", "set", value, "", NULL, NULL, origin, false, 0 };
		int r = policy_apply(s->p, &set, s->e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* at: "http://" or "https://". User name and password before the host stay outside. */
static int take_url(struct search *s, const struct config_key *key, const char *at)
{
	const char *authority = strstr(at, "://") + 3, *end, *slash, *host = authority;
	char text[400], url[700], origin[ORIGIN_MAX + 1];
	struct rule *rule = NULL;
	struct error why;

	for (end = authority; *end && !strchr(" \t\r\"'`,|>#?", *end); end++)
		;
	for (slash = authority; slash < end && *slash != '/'; slash++) {
		if (*slash == '@')
			host = slash + 1;
	}
	int scheme = (int)(authority - at), n = (int)(slash - host);
	snprintf(origin, sizeof(origin), "%.150s:%u (registries = %s)", s->source, s->line, s->client->name);
	if (n > 300 || end - slash > 300)
		return warn(s->p, "%s: a place that is too long is not used", origin);
	snprintf(text, sizeof(text), "GET,HEAD %.*s%.*s", scheme, at, n, host);
	snprintf(url, sizeof(url), "%.*s%.*s%.*s", scheme, at, n, host, (int)(end - slash), slash);
	if (rule_parse(text, RULE_ALLOW, true, &rule, &why) < 0 || rule->host.kind == HOST_ANY || rule->host.kind == HOST_SUFFIX) {
		rule_free(rule);
		/* Not shown: what could not be read may be a password. */
		return warn(s->p, "%s: a place that is no URL with one host is not used", origin);
	}
	s->found++;
	_cleanup_buf_ struct buf canonical = { 0 };
	int r = rule_text(rule, &canonical);
	bool known = false;
	for (size_t i = 0; i < s->p->allow.n && r == 0 && buf_str(&canonical); i++)
		known = known || strcmp(s->p->allow.rule[i].text, buf_str(&canonical)) == 0;
	if (known || r < 0)
		rule_free(rule);
	else
		r = add_net_rule(&s->p->allow, rule, false, origin, s->e);
	return r < 0 ? r : tell(s, key, url, origin);
}

/* The key that a line begins with; NULL: another one's. What follows a blank at its beginning belongs to the line above. */
static const struct config_key *key_of(const struct search *s, const char *line, const struct config_key *above)
{
	const char *url = strstr(line, "://"), *eq = strchr(line, '=');
	size_t blank = strspn(line, " \t");

	if (!line[blank] || line[blank] == '#' || line[blank] == ';')
		return above;
	if (blank && url && (!eq || eq > url))
		return above;
	const char *word = line + blank;
	size_t n = strcspn(word, eq && (!url || eq < url) && word[0] == '@' ? "= \t" : "=: \t");
	for (const struct config_key *k = s->client->keys; k->key; k++) {
		/* npm: @scope:registry = URL */
		if (strcmp(k->key, "@") == 0 ? word[0] == '@' && n > 9 && strncmp(word + n - 9, ":registry", 9) == 0 :
					       strlen(k->key) == n && strncmp(k->key, word, n) == 0)
			return k;
	}
	return NULL;
}

static int take_line(struct search *s, const struct config_key *key, const char *line)
{
	int r = 0;

	for (const char *at = line; (at = strstr(at, "://")) && r == 0; at += 3) {
		const char *comment = strstr(line, " #");
		if (comment && comment < at)
			break;
		const char *from = at - line >= 5 && strncmp(at - 5, "https", 5) == 0 ? at - 5 :
				   at - line >= 4 && strncmp(at - 4, "http", 4) == 0  ? at - 4 :
											NULL;
		if (from)
			r = take_url(s, key, from);
	}
	return r;
}

static int take_text(struct search *s, char *text)
{
	const struct config_key *key = NULL;
	char *rest = text;
	int r = 0;

	s->line = 0;
	for (char *line; r == 0 && (line = strsep(&rest, "\n"));) {
		s->line++;
		key = key_of(s, line, key);
		if (key)
			r = take_line(s, key, line);
	}
	return r;
}

/* One that a sandbox of this policy could write names what an earlier run chose. */
static bool writable_inside(const struct policy *p, int fd)
{
	char link[64], path[4096];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof(path) - 1);
	if (n <= 0)
		return true;
	path[n] = '\0';
	const struct policy_path *at = effective_path(p, path);
	return at && (at->kind == PATH_WRITE || at->kind == PATH_OVERLAY);
}

static int take_file(struct search *s, const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	_cleanup_free_ char *text = NULL;
	struct stat st;
	size_t len = 0;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	if (writable_inside(s->p, fd))
		return warn(s->p, "%s: %s is not used for registries: the sandbox can write it", s->asked, path);
	if (st.st_size > CONFIG_BYTES_MAX)
		return warn(s->p, "%s: %s is not used for registries: it is over %u bytes", s->asked, path, CONFIG_BYTES_MAX);
	text = calloc(1, CONFIG_BYTES_MAX + 1);
	if (!text)
		return out_of_memory(s->e);
	for (ssize_t n; len < CONFIG_BYTES_MAX && (n = read(fd, text + len, CONFIG_BYTES_MAX - len)) > 0;)
		len += (size_t)n;
	s->source = path;
	int r = take_text(s, text);
	/* It may hold tokens. */
	explicit_bzero(text, len);
	return r;
}

static int take_files(struct search *s, const char *pattern)
{
	_cleanup_free_ char *path = NULL;
	const char *slash = strchr(pattern, '/');

	if (pattern[0] == '$') {
		_cleanup_free_ char *name = strndup(pattern + 1, (size_t)(slash - pattern - 1));
		const char *dir = name ? getenv(name) : NULL;
		if (!dir || dir[0] != '/')
			return 0;
		if (asprintf(&path, "%s%s", dir, slash) < 0) {
			path = NULL;
			return out_of_memory(s->e);
		}
	} else if (absolute_path("/", pattern, &path) < 0) {
		return 0; /* no home directory */
	}
	if (!strchr(pattern, '*'))
		return take_file(s, path);
	glob_t found = { 0 };
	int r = 0;
	if (glob(path, 0, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc && i < CONFIG_FILES_MAX && r == 0; i++)
			r = take_file(s, found.gl_pathv[i]);
	}
	globfree(&found);
	return r;
}

/* What npm tells the scripts that it runs in its own words is out of the project's .npmrc too. */
static bool from_project(const char *variable)
{
	return strncmp(variable, "npm_", 4) == 0 && (getenv("npm_lifecycle_event") || getenv("INIT_CWD"));
}

/* A variable is a line of its own: NAME=VALUE. */
static int take_variables(struct search *s)
{
	int r = 0;

	for (const struct config_key *k = s->client->keys; k->key && r == 0; k++) {
		const char *value = strchr(k->key, '_') || strcmp(k->key, "GOPROXY") == 0 ? getenv(k->key) : NULL;
		s->source = k->key;
		s->line = 1;
		if (value && !from_project(k->key))
			r = take_line(s, k, value);
	}
	return r;
}

int finish_registries(struct policy *p, struct error *e)
{
	int r = 0;

	/* Without a gateway no rule has an effect. */
	if (p->mode != NET_GATEWAY)
		return 0;
	for (size_t i = 0; i < p->n_registries && r == 0; i++) {
		struct search s = { p, find_client(p->registries[i].client), p->registries[i].origin, "", 0, 0, e };
		r = take_variables(&s);
		for (size_t k = 0; k < ARRAY_LEN(s.client->files) && s.client->files[k] && r == 0; k++)
			r = take_files(&s, s.client->files[k]);
		if (r == 0 && s.found == 0)
			warn(p, "%s: the configuration of %s names no registry, so none can be reached: set it there, or add "
				"--allow 'GET,HEAD https://YOUR-REGISTRY'", s.asked, s.client->name);
	}
	return r < 0 || p->n_registries == 0 ? r : check_contradictions(p, e);
}
