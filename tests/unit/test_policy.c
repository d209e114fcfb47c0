/* SPDX-License-Identifier: Apache-2.0 */
/* Policies as a whole: files and their refusal, layers, finishing, dump, encoding, decisions. */
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/util.h"
#include "policy/internal.h"

#include <cmocka.h>

static char dir[64]; /* of this test; a workdir "w", a home "h" */
static struct error e;

static const char *in_dir(const char *name)
{
	static char path[4][256];
	static unsigned at;
	char *p = path[at++ % 4];
	snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	return p;
}

static void put_file(const char *name, const char *text, size_t len)
{
	FILE *f = fopen(in_dir(name), "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	fclose(f);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static int setup(void **state)
{
	(void)state;
	memset(&e, 0, sizeof(e));
	strcpy(dir, "/tmp/nsbox-policy-XXXXXX");
	if (!mkdtemp(dir) || mkdir(in_dir("w"), 0700) < 0 || mkdir(in_dir("h"), 0700) < 0)
		return -1;
	return setenv("HOME", in_dir("h"), 1);
}

static int teardown(void **state)
{
	(void)state;
	return nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static struct policy *new_policy(void)
{
	struct policy *p;
	assert_int_equal(policy_new(&p), 0);
	assert_int_equal(policy_set_workdir(p, in_dir("w"), false, &e), 0);
	return p;
}

static void set(struct policy *p, const char *section, const char *key, const char *value)
{
	if (policy_set(p, section, key, value, NULL, "--flag", &e) < 0)
		fail_msg("%s", e.message);
}

static void finish(struct policy *p)
{
	if (policy_finish(p, &e) < 0)
		fail_msg("%s", e.message);
}

static char *dump(struct policy *p)
{
	struct buf b = { 0 };
	assert_int_equal(policy_dump(p, &b), 0);
	assert_non_null(buf_str(&b));
	return (char *)b.data;
}

static void refused_bytes(const char *text, size_t len, const char *message)
{
	struct policy *p = new_policy();
	char expected[512];

	put_file("p.ini", text, len);
	int r = policy_load_file(p, in_dir("p.ini"), &e);
	if (r == 0)
		fail_msg("accepted: %s", text);
	snprintf(expected, sizeof(expected), "%s%s", in_dir("p.ini"), message);
	if (strncmp(e.message, expected, strlen(expected)) != 0)
		fail_msg("%s\nnot: %s", e.message, expected);
	assert_int_equal(e.stage, SANDBOX_STAGE_POLICY);
	policy_free(p);
}

#define HEAD "[sandbox]\nversion = 1\n"
#define REFUSED(text, message) refused_bytes(text, sizeof(text) - 1, message)
#define X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static void test_lines_refused(void **state)
{
	(void)state;
	REFUSED("", ":1: no '[sandbox]' with 'version = 1'");
	REFUSED("[network]\nmode = none\n", ":1: no '[sandbox]'");
	REFUSED("[sandbox]\nversion = 2\n", ":2: [sandbox] version = 2: accepted: version = 1");
	REFUSED("\xef\xbb\xbf" HEAD, ":1: the file begins with a byte order mark");
	REFUSED(HEAD "; " X50 X50 X50 X50 "\n", ":3: the line has 202 bytes; at most 199");
	REFUSED(HEAD "[env]\nset = A=\0b\n", ":4: control byte 0x00 at column 9");
	REFUSED(HEAD "[env]\r\n", ":3: control byte 0x0d (use Unix line ends)");
	REFUSED(HEAD "[env]\npass\t= A\n", ":4: control byte 0x09 (a tab");
	REFUSED(HEAD "[env]\n pass = A\n", ":4: white space at the beginning");
	REFUSED(HEAD "[env]\npass = A\n   B\n", ":5: white space at the beginning");
	REFUSED(HEAD "[env]\npass : A\n", ":4: 'pass : A': no '='");
	REFUSED(HEAD "[env]\nset: A=b\n", ":4: ':' before '='");
	REFUSED(HEAD "[env]\npass\n", ":4: 'pass': no '='");
	REFUSED(HEAD "[env]\npass ; = A\n", ":4: 'pass ; = A': no '='");
	REFUSED(HEAD "[env]\n= A\n", ":4: no key before '='");
	REFUSED(HEAD "[env]\n" X50 " = A\n", ":4: the key is over 49 bytes");
	REFUSED(HEAD "[secret " X50 "]\n", ":3: the section's name is over 49 bytes");
	REFUSED(HEAD "[nosuch]\n", ":3: unknown section [nosuch]; accepted: [sandbox]");
	REFUSED(HEAD "[Network]\n", ":3: unknown section [Network]");
	REFUSED(HEAD "[secret]\n", ":3: unknown section [secret]");
	REFUSED(HEAD "[env]\n[network]\n[env]\n", ":5: [env] is opened a second time");
	REFUSED(HEAD "[env\n", ":3: '[' without ']'");
	REFUSED(HEAD "[env] x\n", ":3: only a comment may follow");
	REFUSED("version = 1\n", ":1: 'version' stands before the first [SECTION]");
	REFUSED(HEAD "[audit]\nauditor = /x\n", ":4: [audit] auditor = /x: the auditor '/x' has no known prefix; give unix:PATH");
	REFUSED(HEAD "[audit]\nauditor = exec:\n", ":4: [audit] auditor = exec:: the auditor 'exec:' names no command");
	REFUSED(HEAD "[audit]\nauditor = unix:\n", ":4: [audit] auditor = unix:: the auditor 'unix:' names no absolute path");
	REFUSED(HEAD "[audit]\ndeadline = 1ms\n", ":4: [audit] deadline = 1ms: the deadline of the auditor is a time from 5ms");
	REFUSED(HEAD "[audit]\nauditors = exec:x\n", ":4: unknown key 'auditors' in [audit], did you mean 'auditor'");
	REFUSED(HEAD "[grant a b]\n", ":3: a name in [grant a b] is letters, digits, '_' and '-'");
	REFUSED(HEAD "[grant x]\n[grant y]\n[grant x]\n", ":5: [grant x] is opened a second time");
}

static void test_values_refused(void **state)
{
	(void)state;
	REFUSED(HEAD "[network]\nalow = a.org\n", ":4: unknown key 'alow' in [network], did you mean 'allow'; accepted: mode,");
	REFUSED(HEAD "[network]\nallow =\n", ":4: [network] allow = : the value is empty");
	REFUSED(HEAD "[network]\nallow = ; a.org\n", ":4: [network] allow = : the value is empty");
	REFUSED(HEAD "[network]\nallow = *x.org\n", ":4: [network] allow = *x.org: '*x.org': '*' stands alone");
	REFUSED(HEAD "[network]\nmode = open\n", ":4: [network] mode = open: accepted: gateway, none, host");
	REFUSED(HEAD "[network]\nconnect_to = a:1:b\n", ":4: [network] connect_to = a:1:b: accepted: HOST:PORT:ADDR:PORT");
	REFUSED(HEAD "[network]\nconnect_to = a:0:b:1\n", ":4: [network] connect_to = a:0:b:1: accepted:");
	REFUSED(HEAD "[network]\nupstream_proxy = http://me:pw@p.org:1\n", ":4: [network] upstream_proxy: it is not shown");
	REFUSED(HEAD "[network]\nupstream_proxy = https://p.org:1\n", ":4: [network] upstream_proxy: it is not shown");
	REFUSED(HEAD "[network]\nupstream_proxy = http://p.org\n", ":4: [network] upstream_proxy: it is not shown");
	REFUSED(HEAD "[network]\nupstream_proxy = http://p.org:1/x\n", ":4: [network] upstream_proxy: it is not shown");
	REFUSED(HEAD "[network]\nupstream_proxy = http://p.org:1 me:pw\n", ":4: [network] upstream_proxy: it is not shown");
	REFUSED(HEAD "[network]\nupstream_proxy = http://p.org:1 env:A env:B\n", ":4: [network] upstream_proxy: it is not");
	REFUSED(HEAD "[network]\nclient_cert = c k\n", ":4: [network] client_cert = c k: accepted: CERT KEY HOST");
	REFUSED(HEAD "[network]\nclient_cert = c k a.org x\n", ":4: [network] client_cert = c k a.org x: accepted: CERT KEY");
	REFUSED(HEAD "[network]\nclient_cert = c k *.org\n", ":4: [network] client_cert = c k *.org: accepted: CERT KEY");
	REFUSED(HEAD "[filesystem]\nread = ~bob/x\n", ":4: [filesystem] read = ~bob/x: accepted: a path");
	REFUSED(HEAD "[filesystem]\ntmpfs = /x:5Q\n", ":4: [filesystem] tmpfs = /x:5Q: accepted: PATH[:SIZE]");
	REFUSED(HEAD "[env]\nset = A\n", ":4: [env] set: accepted: NAME=VALUE");
	REFUSED(HEAD "[env]\npass = A, ,B\n", ":4: [env] pass = A, ,B: an empty item");
	REFUSED(HEAD "[env]\npass = A-B\n", ":4: [env] pass = A-B: accepted: NAME[,NAME]");
	REFUSED(HEAD "[limits]\nmemory = 2X\n", ":4: [limits] memory = 2X: accepted: a size above 0");
	REFUSED(HEAD "[limits]\nmemory = 99999999T\n", ":4: [limits] memory = 99999999T: accepted:");
	REFUSED(HEAD "[limits]\npids = 0\n", ":4: [limits] pids = 0: accepted: a whole number");
	REFUSED(HEAD "[limits]\ntimeout = -1\n", ":4: [limits] timeout = -1: accepted: a time");
	REFUSED(HEAD "[limits]\ncpus = x\n", ":4: [limits] cpus = x: accepted: a number of CPUs");
	REFUSED(HEAD "[secret A]\ninject = cookie\n", ":4: [secret A] inject = cookie: accepted: header, basic, query, path, body, or sigv4 alone");
	REFUSED(HEAD "[secret A]\non_misuse = ask\n", ":4: [secret A] on_misuse = ask: accepted: block, kill, pass");
	REFUSED(HEAD "[secret A]\nrevoke =\n", ":4: [secret A] revoke");
	REFUSED(HEAD "[secret A]\nkey_id = a b\n", ":4: [secret A] key_id = a b: accepted: the name of a secret");
	REFUSED(HEAD "[secret A]\nplaceholder = x\n", ":4: [secret A] placeholder = x: accepted:");
	REFUSED(HEAD "[secret A]\nplaceholder = {random:4}\n", ":4: [secret A] placeholder = {random:4}: accepted:");
	REFUSED(HEAD "[secret A]\nallow = *\n", ":4: [secret A] allow = *: a secret needs named hosts");
	REFUSED(HEAD "[secret 9A]\ninsecure = yes\n", ":4: a secret's name is a variable's name");
	REFUSED("[sandbox]\nversion = 1\nextends = gti\n", ":3: no profile 'gti', did you mean 'git'");
	REFUSED("[sandbox]\nversion = 1\nextends = ./p.ini\n", ":3: [sandbox] extends = ./p.ini: extends is nested");
	REFUSED("[sandbox]\nversion = 1\nextends = ./none.ini\n", ":3: [sandbox] extends = ./none.ini: cannot open");
}

/* What stands where a source is expected may be the secret. */
static void test_source_never_shown(void **state)
{
	static const char *const specs[] = { "K=sk-hidden@a.org", "K=sk-hidden", "K=env:sk-hidden@a.org", "sk-hidden@a.org",
					     "K=sk-hidden@", "K=env:X,sk-hidden@a b", "K=file:@a.org" };
	struct policy *p = new_policy();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
		assert_true(policy_set(p, "secret", "spec", specs[i], NULL, "--secret", &e) < 0);
		assert_null(strstr(e.message, "hidden"));
		assert_null(strstr(e.object, "hidden"));
		assert_int_equal(strncmp(e.message, "--secret: ", 10), 0);
	}
	assert_true(policy_set(p, "secret K", "source", "sk-hidden", NULL, "api", &e) < 0);
	assert_null(strstr(e.message, "hidden"));
	assert_null(strstr(e.object, "hidden"));
	policy_free(p);
}

static void test_secret_spec(void **state)
{
	struct policy *p = new_policy();
	size_t n;

	(void)state;
	set(p, "secret", "spec", "A=exec:get x@a.org");
	set(p, "secret", "spec", "B@https://a.org/v1/**,b.org:8443");
	const struct policy_secret *s = policy_secrets(p, &n);
	assert_int_equal(n, 2);
	assert_int_equal(s[1].source, SOURCE_ENV);
	assert_string_equal(s[1].source_arg, "B");
	assert_int_equal(s[1].n_allow, 2);
	assert_int_equal(s[1].inject, INJECT_HEADER | INJECT_BASIC | INJECT_QUERY);
	policy_free(p);
}

static void finish_refused(struct policy *p, const char *message)
{
	assert_true(policy_finish(p, &e) < 0);
	if (!strstr(e.message, message))
		fail_msg("%s\nnot: %s", e.message, message);
	policy_free(p);
}

static void test_contradictions(void **state)
{
	static const struct {
		const char *a, *a_value, *b, *b_value, *message;
	} cases[] = {
		{ "mode", "none", "allow", "a.org", "rules and secrets need mode gateway" },
		{ "mode", "host", "deny", "a.org", "rules and secrets need mode gateway" },
		{ "mode", "none", "connect_to", "a.org:1:b:2", "rules and secrets need mode gateway" },
		{ "passthrough", "a.org", "allow", "https://a.org/x", "cannot stand beside" },
		{ "passthrough", "a.org", "allow", "a.org", "cannot stand beside" },
		{ "passthrough", "a.org", "allow", "GET *.org", "cannot stand beside" },
		{ "passthrough", "a.org", "deny", "https://a.org/x", "cannot stand beside" },
		{ "passthrough", "*.org", "allow", "a.org:443", "cannot stand beside" },
		{ "allow", "tcp://a.org:443", "allow", "https://a.org/x", "cannot stand beside" },
		{ "allow", "10.0.0.0/8:80", "allow", "http://10.0.0.1/x", "cannot stand beside" },
		{ "passthrough", "a.org", "allow", "*.org", NULL },
		{ "passthrough", "a.org", "allow", "http://a.org/x", NULL },
		{ "passthrough", "a.org:8443", "allow", "https://a.org/x", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct policy *p = new_policy();
		set(p, "network", cases[i].a, cases[i].a_value);
		set(p, "network", cases[i].b, cases[i].b_value);
		if (cases[i].message) {
			finish_refused(p, cases[i].message);
		} else {
			finish(p);
			policy_free(p);
		}
	}
	char line[600];
	struct policy *p = new_policy();
	set(p, "network", "mode", "none");
	set(p, "secret", "spec", "K@a.org");
	finish_refused(p, "rules and secrets need mode gateway");
	p = new_policy();
	set(p, "network", "passthrough", "a.org");
	set(p, "secret", "spec", "K@*.org");
	finish_refused(p, "cannot stand beside K");
	p = new_policy();
	set(p, "secret K", "source", "env:X");
	finish_refused(p, "has no 'allow = TARGET'");

	static const char *const signing[][3] = {
		/* inject, key_id, message */
		{ "sigv4", NULL, "say with 'key_id = NAME'" },
		{ "sigv4", "C", "say with 'key_id = NAME'" },
		{ "sigv4", "A", "say with 'key_id = NAME'" },
		{ "sigv4, body", "B", "'inject = sigv4' stands alone" },
		{ "header", "B", "which is for 'inject = sigv4'" },
		{ "header", NULL, "no 'source = exec:COMMAND' whose output" },
	};
	for (size_t i = 0; i < ARRAY_LEN(signing); i++) {
		p = new_policy();
		set(p, "secret", "spec", "A@https://a.org");
		set(p, "secret", "spec", "B@https://a.org");
		set(p, "secret A", "inject", signing[i][0]);
		if (signing[i][1])
			set(p, "secret A", "key_id", signing[i][1]);
		else if (i == ARRAY_LEN(signing) - 1)
			set(p, "secret A", "revoke", "end it");
		finish_refused(p, signing[i][2]);
	}
	p = new_policy();
	set(p, "secret", "spec", "K@http://a.org");
	finish_refused(p, "may not go to http://a.org unencrypted");
	p = new_policy();
	set(p, "secret", "spec", "K=env:X@a.org");
	set(p, "env", "pass", "X");
	finish_refused(p, "must not enter the sandbox");
	p = new_policy();
	set(p, "secret", "spec", "K=env:X@a.org");
	set(p, "env", "set", "K=1");
	finish_refused(p, "must not enter the sandbox");
	p = new_policy();
	set(p, "network", "upstream_ca", "/nonexistent.pem a.org");
	finish_refused(p, "an existing file");
	put_file("ca.pem", "x", 1);
	p = new_policy();
	set(p, "network", "upstream_ca", in_dir("ca.pem"));
	finish_refused(p, "there are none: name the host");
	p = new_policy();
	set(p, "network", "client_cert", "/nonexistent.pem /nonexistent.key a.org");
	finish_refused(p, "an existing file with the certificate");
	p = new_policy();
	snprintf(line, sizeof(line), "%s /nonexistent.key a.org", in_dir("ca.pem"));
	set(p, "network", "client_cert", line);
	finish_refused(p, "an existing file with the private key");
	p = new_policy();
	snprintf(line, sizeof(line), "%s %s a.org", in_dir("ca.pem"), in_dir("ca.pem"));
	set(p, "network", "client_cert", line);
	set(p, "network", "mode", "none");
	finish_refused(p, "client_cert needs the gateway");
	p = new_policy();
	set(p, "network", "upstream_proxy", "http://proxy.corp:3128");
	set(p, "network", "mode", "host");
	finish_refused(p, "upstream_proxy needs the gateway");
	p = new_policy();
	set(p, "network", "upstream_proxy", "http://proxy.corp:3128 env:PROXY_LOGIN");
	set(p, "env", "pass", "PROXY_LOGIN");
	finish_refused(p, "must not enter the sandbox");
}

static void test_paths_refused(void **state)
{
	struct policy *p = new_policy();

	(void)state;
	assert_true(policy_set(p, "filesystem", "read", "/a\nb", NULL, "--read", &e) < 0);
	assert_non_null(strstr(e.message, "control byte (0x0a"));
	assert_true(policy_set_workdir(p, "/a\nb", false, &e) < 0);
	assert_true(policy_set_workdir(p, "", false, &e) < 0);
	set(p, "filesystem", "read", "nosuch");
	finish_refused(p, "the path must exist");
	p = new_policy();
	set(p, "filesystem", "write", "/");
	finish_refused(p, "the root as a whole");
	p = new_policy();
	set(p, "filesystem", "read", "/proc/self/root");
	finish_refused(p, "the root as a whole");
	p = new_policy();
	set(p, "filesystem", "read", "/proc/self");
	finish_refused(p, "/proc");
	p = new_policy();
	set(p, "filesystem", "tmpfs", "/proc/x");
	finish_refused(p, "has its own there");

	static const char *const workdirs[] = { "h", "", "link", "/", "/tmp" };
	assert_int_equal(symlink("h", in_dir("link")), 0);
	for (size_t i = 0; i < ARRAY_LEN(workdirs); i++) {
		const char *w = workdirs[i][0] == '/' ? workdirs[i] : in_dir(workdirs[i]);
		p = new_policy();
		assert_int_equal(policy_set_workdir(p, w, false, &e), 0);
		finish_refused(p, "--workdir-force");
		p = new_policy();
		assert_int_equal(policy_set_workdir(p, w, true, &e), 0);
		finish(p);
		policy_free(p);
	}
	put_file("file", "", 0);
	p = new_policy();
	assert_int_equal(policy_set_workdir(p, in_dir("file"), false, &e), 0);
	finish_refused(p, "is not a directory");
}

/* What a command may have planted where it can write is not followed out of there; a link of the user's elsewhere is. */
static void test_planted_links(void **state)
{
	static const char *const refused[] = { "w/out", "w/out/deep", "alias/out", "w/in/out" };
	static const char *const kinds[] = { "read", "write", "protect" };
	static const char *const links[] = { "w/out", "w/in", "alias", "mine" };
	struct policy *p;

	(void)state;
	mkdir(in_dir("elsewhere"), 0700);
	mkdir(in_dir("elsewhere/deep"), 0700);
	mkdir(in_dir("w/real"), 0700);
	assert_int_equal(symlink("../elsewhere", in_dir("w/out")), 0);
	assert_int_equal(symlink("w", in_dir("alias")), 0);
	assert_int_equal(symlink(".", in_dir("w/in")), 0);
	assert_int_equal(symlink("elsewhere", in_dir("mine")), 0);
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
			p = new_policy();
			set(p, "filesystem", kinds[k], in_dir(refused[i]));
			finish_refused(p, "through a symbolic link");
		}
	p = new_policy();
	set(p, "filesystem", "write", in_dir("elsewhere"));
	set(p, "filesystem", "read", in_dir("mine/deep"));
	set(p, "filesystem", "write", in_dir("w/out/deep"));
	set(p, "filesystem", "write", in_dir("w/in/real"));
	finish(p);
	policy_free(p);
	p = new_policy();
	set(p, "filesystem", "read", in_dir("mine"));
	set(p, "filesystem", "hide", in_dir("w/out"));
	finish(p);
	policy_free(p);
	for (size_t i = 0; i < ARRAY_LEN(links); i++)
		unlink(in_dir(links[i]));
}

static const struct policy_path *entry(struct policy *p, enum path_kind kind, const char *path)
{
	size_t n;
	const struct policy_path *paths = policy_paths(p, &n);
	for (size_t i = 0; i < n; i++) {
		if (paths[i].kind == kind && strcmp(paths[i].path, path) == 0)
			return &paths[i];
	}
	return NULL;
}

static void check(struct policy *p, const char *path, bool write, bool allowed, const char *reason)
{
	struct path_verdict v;
	assert_int_equal(policy_check_path(p, path, write, &v, &e), 0);
	if (v.allowed != allowed || strcmp(v.reason, reason) != 0)
		fail_msg("%s: %d %s", path, v.allowed, v.reason);
}

static void test_path_precedence(void **state)
{
	struct policy *p = new_policy();
	struct stat st;

	(void)state;
	mkdir(in_dir("w/.git"), 0700);
	mkdir(in_dir("w/.git/hooks"), 0700);
	mkdir(in_dir("w/sub"), 0700);
	mkdir(in_dir("w/sub/deep"), 0700);
	mkdir(in_dir("w/hidden"), 0700);
	mkdir(in_dir("w/hidden/open"), 0700);
	mkdir(in_dir("other"), 0700);
	put_file("w/.git/config", "x", 1);
	put_file("w/.envrc", "x", 1);
	put_file("w/p.ini", HEAD "[filesystem]\nread = sub\n", sizeof(HEAD "[filesystem]\nread = sub\n") - 1);
	assert_int_equal(symlink("sub", in_dir("w/link")), 0);
	assert_int_equal(symlink("../other", in_dir("w/.vscode")), 0);
	assert_int_equal(policy_load_file(p, in_dir("w/p.ini"), &e), 0);
	set(p, "filesystem", "write", in_dir("w/link/deep"));
	set(p, "filesystem", "hide", in_dir("w/hidden"));
	set(p, "filesystem", "write", in_dir("w/hidden/open"));
	set(p, "filesystem", "tmpfs", "/var/cache:1M");
	finish(p);

	const struct policy_path *x = entry(p, PATH_WRITE, in_dir("w/sub/deep"));
	assert_non_null(x);
	assert_string_equal(x->given, in_dir("w/link/deep"));
	assert_int_equal(stat(in_dir("w/sub/deep"), &st), 0);
	assert_true(x->dev == st.st_dev && x->ino == st.st_ino && x->is_dir);
	assert_non_null(entry(p, PATH_WRITE, in_dir("w")));
	assert_non_null(entry(p, PATH_PROTECT, in_dir("w/.git/hooks")));
	assert_non_null(entry(p, PATH_PROTECT, in_dir("w/.envrc")));
	assert_non_null(entry(p, PATH_PROTECT, in_dir("w/p.ini")));
	assert_null(entry(p, PATH_PROTECT, in_dir("w/.git/config")));
	assert_null(entry(p, PATH_PROTECT, in_dir("w/.vscode")));

	check(p, in_dir("w/new"), true, true, "rule");
	check(p, in_dir("w/sub/f"), true, false, "read-only");
	check(p, in_dir("w/sub/f"), false, true, "rule");
	check(p, in_dir("w/link/f"), true, false, "read-only");
	check(p, in_dir("w/sub/deep/f"), true, true, "rule");
	check(p, in_dir("w/hidden/open/f"), false, false, "hide");
	check(p, in_dir("w/.git/hooks/pre-commit"), true, false, "protect");
	check(p, in_dir("w/.git/config"), true, true, "rule");
	check(p, in_dir("h/.ssh/id"), true, true, "private");
	/* What the host has there is not there inside. */
	check(p, in_dir("h"), true, true, "private");
	assert_int_equal(mkdir(in_dir("h/.ssh"), 0700), 0);
	check(p, in_dir("h/.ssh"), false, false, "private");
	assert_int_equal(rmdir(in_dir("h/.ssh")), 0);
	check(p, in_dir("other/x"), false, true, "private"); /* below /tmp */
	check(p, "/etc/shadow", false, false, "absent");
	check(p, "/etc/machine-id", false, false, "absent");
	check(p, "/etc/apt/auth.conf", false, false, "absent");
	check(p, "/usr/bin/env", false, true, "system");
	check(p, "/usr/bin/env", true, false, "system");
	check(p, "/srv/x", false, false, "not-granted");
	check(p, "/var/cache/x", true, true, "rule");
	policy_free(p);

	/* Named as writable itself: the user decided. */
	p = new_policy();
	set(p, "filesystem", "write", in_dir("w/.git/hooks"));
	finish(p);
	assert_null(entry(p, PATH_PROTECT, in_dir("w/.git/hooks")));
	policy_free(p);
}

static struct policy *rich_policy(void)
{
	struct policy *p = new_policy();
	put_file("ca.pem", "x", 1);
	mkdir(in_dir("w/d"), 0700);
	mkdir(in_dir("w/.claude"), 0700);
	assert_int_equal(policy_load_profile(p, "git", &e), 0);
	assert_int_equal(policy_load_profile(p, "node", &e), 0);
	assert_int_equal(policy_load_profile(p, "python", &e), 0);
	set(p, "filesystem", "read", in_dir("w/d"));
	set(p, "filesystem", "tmpfs", "/a:b:2M");
	set(p, "network", "allow", "GET,HEAD https://api.example.com/v1/**");
	set(p, "network", "allow", "*.example.org");
	set(p, "network", "allow", "*.example.org");
	set(p, "network", "allow", "tcp://db.example.com:5432");
	set(p, "network", "allow", "10.1.0.0/16:22");
	set(p, "network", "deny", "evil.example.org");
	set(p, "network", "deny", "https://api.example.com/v1/admin/**");
	set(p, "network", "allow_private", "https://build.corp.example/**");
	set(p, "network", "passthrough", "pinned.example.com");
	set(p, "network", "connect_to", "b.example.org:443:[::1]:8443");
	set(p, "network", "connect_to", "a.example.org:443:127.0.0.1:8443");
	set(p, "network", "upstream_ca", in_dir("ca.pem"));
	char line[600];
	/* The last one for a host counts. */
	set(p, "network", "client_cert", "/nonexistent.pem /nonexistent.key B.example.org");
	snprintf(line, sizeof(line), "%s %s b.example.org", in_dir("ca.pem"), in_dir("ca.pem"));
	set(p, "network", "client_cert", line);
	set(p, "network", "upstream_proxy", "http://[::1]:3128");
	set(p, "network", "upstream_proxy", "http://Proxy.Corp:3128/ env:PROXY_LOGIN");
	set(p, "secret", "spec", "API_KEY=env:REAL@https://api.example.com/**,x.example.org");
	set(p, "secret API_KEY", "inject", "header, query, path, body");
	set(p, "secret API_KEY", "placeholder", "sk-ant-{random:40}");
	set(p, "secret API_KEY", "scrub", "no");
	set(p, "secret API_KEY", "on_misuse", "kill");
	set(p, "secret", "spec", "SIGNS=exec:make key@https://api.example.com/**");
	set(p, "secret SIGNS", "inject", "sigv4");
	set(p, "secret SIGNS", "key_id", "API_KEY");
	set(p, "secret SIGNS", "revoke", "end key");
	set(p, "quota api", "match", "POST https://api.example.com/v1/**");
	set(p, "quota api", "match", "tcp://db.example.com:5432");
	set(p, "quota api", "max_requests", "100");
	set(p, "quota api", "rate", "120/m");
	set(p, "quota", "spec", "max_up=1.5M,rate=5/h@evil.example.org");
	set(p, "quota", "spec", "max_requests=7");
	set(p, "env", "set", "A=b c=d");
	set(p, "env", "pass", "X, Y");
	set(p, "limits", "memory", "1.5G");
	set(p, "limits", "cpus", "1.5");
	set(p, "limits", "timeout", "250ms");
	set(p, "limits", "disk", "10M");
	set(p, "sandbox", "allow_degraded", "memory, cpus");
	set(p, "audit", "auditor", "unix:auditor.sock");
	set(p, "audit", "deadline", "2s");
	finish(p);
	return p;
}

static void strip_comments(char *text)
{
	char *out = text;
	for (char *in = text; *in;) {
		if (strncmp(in, " ; ", 3) == 0)
			in += strcspn(in, "\n");
		else
			*out++ = *in++;
	}
	*out = '\0';
}

static void test_dump_loads_again(void **state)
{
	struct policy *p = rich_policy(), *again = new_policy();
	char *first = dump(p), *same = dump(p), *second;

	(void)state;
	assert_string_equal(first, same);
	put_file("dump.ini", first, strlen(first));
	if (policy_load_file(again, in_dir("dump.ini"), &e) < 0)
		fail_msg("%s\n%s", e.message, first);
	finish(again);
	second = dump(again);
	strip_comments(first);
	strip_comments(second);
	assert_string_equal(first, second);
	assert_non_null(strstr(first, "allow = *.example.org\n"));
	assert_non_null(strstr(first, "[quota api]\nmatch = POST https://api.example.com/v1/**\nmatch = "
				      "tcp://db.example.com:5432\nmax_requests = 100\nrate = 2/s\n"));
	assert_non_null(strstr(first, "[quota flag1]\nmatch = evil.example.org\nmax_up = 1536K\nrate = 5/h\n"));
	assert_non_null(strstr(first, "[quota flag2]\n; match: everything\nmax_requests = 7\n"));
	assert_non_null(strstr(first, "memory = 1536M\n"));
	assert_non_null(strstr(first, "timeout = 250.000ms\n"));
	assert_non_null(strstr(first, "/auditor.sock\n"));
	assert_non_null(strstr(first, "deadline = 2000ms\n"));
	policy_free(p);
	policy_free(again);
	free(first);
	free(same);
	free(second);
}

/* What no policy file can hold becomes a comment, and the file stays valid. */
static void test_dump_of_unusual_values(void **state)
{
	struct policy *p = new_policy(), *again = new_policy();
	char name[400] = "w/";

	(void)state;
	set(p, "env", "set", "A=x ;y");
	set(p, "env", "set", "B=x\ny");
	set(p, "env", "set", "C=x ");
	memset(name + 2, 'd', 220);
	mkdir(in_dir(name), 0700);
	set(p, "filesystem", "read", in_dir(name));
	finish(p);
	char *text = dump(p);
	put_file("dump.ini", text, strlen(text));
	if (policy_load_file(again, in_dir("dump.ini"), &e) < 0)
		fail_msg("%s\n%s", e.message, text);
	policy_free(p);
	policy_free(again);
	free(text);
}

static void test_encoding(void **state)
{
	struct policy *p = rich_policy(), *again;
	struct buf bytes = { 0 }, second = { 0 };

	(void)state;
	assert_int_equal(policy_encode(p, &bytes), 0);
	assert_int_equal(policy_decode(bytes.data, bytes.len, &again, &e), 0);
	assert_int_equal(policy_encode(again, &second), 0);
	assert_int_equal(bytes.len, second.len);
	assert_memory_equal(bytes.data, second.data, bytes.len);
	char *a = dump(p), *b = dump(again);
	assert_string_equal(a, b);
	free(a);
	free(b);
	policy_free(again);

	/* A cut message is never valid; a changed byte gives a policy that encodes to just these bytes, or none. */
	for (size_t n = 0; n < bytes.len; n++) {
		again = NULL;
		assert_true(policy_decode(bytes.data, n, &again, &e) < 0);
		for (unsigned flip = 1; flip < 256; flip += 85) {
			bytes.data[n] ^= (uint8_t)flip;
			if (policy_decode(bytes.data, bytes.len, &again, &e) == 0) {
				second.len = 0;
				assert_int_equal(policy_encode(again, &second), 0);
				assert_int_equal(second.len, bytes.len);
				assert_memory_equal(second.data, bytes.data, bytes.len);
				policy_free(again);
			}
			bytes.data[n] ^= (uint8_t)flip;
		}
	}
	buf_free(&bytes);
	buf_free(&second);
	policy_free(p);
}

static void decide(struct policy *p, const char *method, const char *url, bool allowed, const char *reason, const char *rule)
{
	struct net_verdict v;
	if (policy_check_url(p, url, method, &v, &e) < 0)
		fail_msg("%s", e.message);
	if (v.allowed != allowed || strcmp(v.reason, reason) != 0 || strcmp(v.rule, rule) != 0)
		fail_msg("%s: %d %s %s", url, v.allowed, v.reason, v.rule);
}

static void counts(struct policy *p, const char *method, const char *url, uint64_t quotas)
{
	struct net_verdict v;
	if (policy_check_url(p, url, method, &v, &e) < 0)
		fail_msg("%s", e.message);
	if (v.quotas != quotas)
		fail_msg("%s %s: %llx", method ? method : "any", url, (unsigned long long)v.quotas);
}

/* Bits in the order of rich_policy(). What could be read in another way counts too. */
static void test_quotas(void **state)
{
	struct policy *p = rich_policy();

	(void)state;
	counts(p, "POST", "https://api.example.com/v1/x", 1 | 4);
	counts(p, "post", "https://api.example.com/v1/x", 1 | 4);
	counts(p, "POST", "https://api.example.com/v1//x", 1 | 4);
	counts(p, "GET", "https://api.example.com/v1/x", 4);
	counts(p, "POST", "https://api.example.com/v2", 4);
	counts(p, NULL, "tcp://db.example.com:5432", 1 | 4);
	counts(p, NULL, "tcp://db.example.com:5433", 4);
	counts(p, "GET", "http://evil.example.org:8080/", 2 | 4);
	policy_free(p);

	REFUSED(HEAD "[quota a b]\nrate = 1/s\n", ":3: a name in [quota a b] is letters");
	REFUSED(HEAD "[quota a]\nallow = x.example\n", ":4: unknown key 'allow' in [quota a]");
	REFUSED(HEAD "[quota a]\nmax_requests = 0\n", ":4: [quota a] max_requests = 0: accepted: a whole number from 1");
	REFUSED(HEAD "[quota a]\nmax_up = 1X\n", ":4: [quota a] max_up = 1X: accepted: a size above 0");
	REFUSED(HEAD "[quota a]\nrate = 10/d\n", ":4: [quota a] rate = 10/d: accepted: a whole number a second");
	REFUSED(HEAD "[quota a]\nmatch = https://x.example/%2f\n", ":4: [quota a] match = https://x.example/%2f: ");
	static const char *const bad[] = { "", "100", "max_requests", "uses=1", "max_requests=1,", "rate=1/s@" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		p = new_policy();
		assert_true(policy_set(p, "quota", "spec", bad[i], NULL, "--quota", &e) < 0);
		policy_free(p);
	}
	p = new_policy();
	set(p, "quota a", "match", "x.example");
	assert_int_equal(policy_finish(p, &e), -EINVAL);
	assert_non_null(strstr(e.message, "limits nothing"));
	policy_free(p);
	p = new_policy();
	set(p, "quota a", "max_up", "1K");
	set(p, "network", "mode", "none");
	assert_int_equal(policy_finish(p, &e), -EINVAL);
	policy_free(p);
	p = new_policy();
	for (unsigned i = 0; i < POLICY_QUOTAS_MAX; i++)
		set(p, "quota", "spec", "rate=1/s");
	assert_int_equal(policy_set(p, "quota", "spec", "rate=1/s", NULL, "--quota", &e), -ENOMEM);
	assert_non_null(strstr(e.message, "more than 64 quotas"));
	policy_free(p);
}

static void test_decisions(void **state)
{
	struct policy *p = rich_policy();
	struct net_verdict v;
	uint16_t ports[8];
	struct in6_addr addr;

	(void)state;
	decide(p, NULL, "https://api.example.com/v1/x?y=%2f", true, "rule", "GET,HEAD https://api.example.com/v1/**");
	decide(p, "POST", "https://api.example.com/v1/x", false, "method", "");
	decide(p, "GET", "https://api.example.com/v2", false, "path", "");
	decide(p, "GET", "https://API.example.com./v1/../v1/a", true, "rule", "GET,HEAD https://api.example.com/v1/**");
	decide(p, "GET", "https://api.example.com/v1/admin/x", false, "deny-rule", "https://api.example.com/v1/admin/**");
	decide(p, "GET", "https://api.example.com/v1//%61dmin/x", false, "deny-rule", "https://api.example.com/v1/admin/**");
	decide(p, "GET", "http://api.example.com/v1/x", false, "no-rule", "");
	decide(p, "PUT", "http://a.b.example.org/", true, "rule", "*.example.org");
	decide(p, "GET", "http://example.org/", false, "no-rule", "");
	decide(p, "GET", "https://evil.example.org/", false, "deny-rule", "evil.example.org");
	decide(p, NULL, "tcp://evil.example.org:7", false, "deny-rule", "evil.example.org");
	decide(p, NULL, "tcp://db.example.com:5432", true, "rule", "tcp://db.example.com:5432");
	decide(p, NULL, "tcp://10.1.2.3:22", true, "rule", "10.1.0.0/16:22");
	decide(p, NULL, "tcp://10.2.2.3:22", false, "no-rule", "");
	decide(p, NULL, "https://pinned.example.com/", true, "passthrough", "pinned.example.com");
	decide(p, NULL, "http://169.254.169.254/", false, "no-rule", "");
	static const char *const bad[] = { "x", "ftp://a", "https://", "https://a:0", "https://a:65536", "https://u@a/",
					   "https://a/%5c", "tcp://a", "https://a:1:2/", "https://127.1/" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_true(policy_check_url(p, bad[i], NULL, &v, &e) < 0);
	assert_int_equal(policy_check_url(p, "https://build.corp.example/x", NULL, &v, &e), 0);
	assert_true(v.allowed && v.allow_private);
	assert_int_equal(policy_check_url(p, "https://x.example.org/x", NULL, &v, &e), 0);
	assert_true(v.allowed && !v.allow_private);

	assert_true(policy_host_possible(p, PROTO_HTTPS, "api.example.com", NULL, 443));
	assert_false(policy_host_possible(p, PROTO_HTTPS, "evil.example.org", NULL, 443));
	assert_false(policy_host_possible(p, PROTO_HTTPS, "other.example", NULL, 443));
	assert_true(policy_is_passthrough(p, "pinned.example.com", 443));
	assert_false(policy_is_passthrough(p, "pinned.example.com", 8443));
	assert_int_equal(policy_ports(p, ports, ARRAY_LEN(ports)), 4);
	assert_int_equal(ports[0], 22);
	assert_int_equal(ports[3], 5432);
	assert_string_equal(policy_connect_to(p, "b.example.org", 443)->addr, "::1");
	assert_null(policy_connect_to(p, "b.example.org", 80));
	assert_true(policy_degraded_allowed(p, "cpus"));
	assert_false(policy_degraded_allowed(p, "pids"));
	assert_true(addr_from_text("10.1.2.3", &addr));
	assert_false(policy_addr_denied(p, PROTO_TCP, &addr, 22));

	size_t n;
	const struct policy_secret *s = policy_secrets(p, &n);
	struct net_target t = { PROTO_HTTPS, "api.example.com", NULL, 443, "POST", "/x" };
	assert_true(secret_allowed(s, &t));
	t.host = "other.example";
	assert_false(secret_allowed(s, &t));
	t.host = "x.example.org";
	t.proto = PROTO_HTTP;
	t.port = 80;
	assert_false(secret_allowed(s, &t)); /* not encrypted */
	policy_free(p);
}

/* The index must find what looking at every rule finds. */
static void test_index_finds_all(void **state)
{
	static const char *const hosts[] = { "a.x", "b.a.x", "*.x", "*.a.x", "*", "10.0.0.1", "x" };
	static const char *const ranges[] = { "10.0.0.0/8", "10.0.0.0/24", "0.0.0.0/0", "[::]/0", "[fd00::]/8", "10.0.0.1/32" };
	static const char *const asked[] = { "a.x", "b.a.x", "c.b.a.x", "x", "y", "10.0.0.1", "10.0.0.2", "10.9.9.9", "11.0.0.1",
					     "::1", "fd00::1" };
	uint64_t seed = 42;

	(void)state;
	for (int round = 0; round < 300; round++) {
		struct policy *p = new_policy();
		char text[64];
		for (int i = 0; i < 12; i++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			unsigned v = (unsigned)(seed >> 33);
			if (v % 3)
				snprintf(text, sizeof(text), "tcp://%s:%u", hosts[v / 3 % ARRAY_LEN(hosts)], 1 + v / 100 % 2);
			else
				snprintf(text, sizeof(text), "%s:%u", ranges[v / 3 % ARRAY_LEN(ranges)], 1 + v / 100 % 2);
			set(p, "network", v / 1000 % 4 ? "allow" : "deny", text);
		}
		finish(p);
		for (size_t k = 0; k < ARRAY_LEN(asked) * 2; k++) {
			struct net_target t = { .proto = PROTO_TCP, .host = asked[k / 2], .port = (uint16_t)(1 + k % 2) };
			struct in6_addr addr;
			struct net_verdict v;
			bool allow = false, deny = false;
			if (addr_from_text(t.host, &addr)) {
				t.host = NULL;
				t.addr = &addr;
			}
			for (size_t i = 0; i < p->allow.n; i++)
				allow = allow || rule_matches(p->allow.rule[i].rule, &t);
			for (size_t i = 0; i < p->deny.n; i++)
				deny = deny || rule_matches(p->deny.rule[i].rule, &t);
			policy_decide(p, &t, &v);
			if (v.allowed != (allow && !deny))
				fail_msg("%s:%u: %d %d %d", asked[k / 2], t.port, v.allowed, allow, deny);
			assert_int_equal(policy_host_possible(p, t.proto, t.host, t.addr, t.port), allow && !deny);
		}
		policy_free(p);
	}
}

static void test_layers(void **state)
{
	struct policy *p = new_policy();
	const char base[] = HEAD "[network]\nmode = none\n[limits]\npids = 7\n";
	const char file[] = "[network]\nmode = gateway\nallow = a.org ; why\n[sandbox]\nversion = 1\nextends = base, ./low.ini\n"
			    "[filesystem]\nread = sub\n[secret S]\nsource = file:key\nallow = https://a.org/**, b.org\n";
	size_t n;

	(void)state;
	mkdir(in_dir("w/sub"), 0700);
	put_file("low.ini", base, sizeof(base) - 1);
	put_file("p.ini", file, sizeof(file) - 1);
	if (policy_load_file(p, in_dir("p.ini"), &e) < 0)
		fail_msg("%s", e.message);
	set(p, "limits", "pids", "9");
	finish(p);
	assert_int_equal(policy_net_mode(p), NET_GATEWAY); /* the file after what it extends */
	assert_int_equal(policy_limits(p)->pids, 9);	   /* flags last */
	assert_non_null(entry(p, PATH_READ, in_dir("w/sub")));
	const struct policy_secret *s = policy_secrets(p, &n);
	assert_string_equal(s->source_arg, in_dir("key")); /* against the file */
	assert_int_equal(s->n_allow, 2);
	assert_non_null(strstr(policy_warnings(p), "b.org, which no rule allows"));
	assert_int_equal(policy_finish(p, &e), 0);
	assert_int_equal(policy_set(p, "limits", "pids", "1", NULL, "--pids", &e), -EBUSY);
	policy_free(p);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_lines_refused),   TEST(test_values_refused),	       TEST(test_source_never_shown),
		TEST(test_secret_spec),	    TEST(test_contradictions),	       TEST(test_paths_refused),
		TEST(test_planted_links),
		TEST(test_quotas), TEST(test_path_precedence), TEST(test_dump_loads_again),       TEST(test_dump_of_unusual_values),
		TEST(test_encoding),	    TEST(test_decisions),	       TEST(test_index_finds_all),
		TEST(test_layers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
