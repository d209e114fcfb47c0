/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An auditor that decides by rules (decide.c, rules.ini), and an example of the protocol, nsbox-auditor(7).
 *
 *	cc -O2 -D_GNU_SOURCE -o rules rules.c decide.c -ljansson -linih
 *	nsbox run --auditor 'exec:/usr/local/bin/rules /etc/rules.ini' -- my-agent       on descriptor 3, or
 *	rules --listen "$XDG_RUNTIME_DIR/auditor" /etc/rules.ini &                       for many sandboxes
 *	nsbox run --auditor "unix:$XDG_RUNTIME_DIR/auditor" -- my-agent
 *
 * It keeps no state between questions, so an answer depends on the question and the file alone. What it does not
 * understand it denies; whoever asks denies on his own when it is not there.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "rules.h"

#define MAX_PACKET 65536
#define MAX_CONNECTIONS 64
/* The same question has the same answer, but a person who edits the rules and restarts wants to see it. */
#ifndef CACHE_MS /* for how long an allow counts for equal questions; 0: each is asked */
#define CACHE_MS 10000
#endif

static const char hello[] =
	"{\"hello\":\"rules\",\"version\":1,\"ops\":[\"call.start\",\"http.request\",\"net.connect\",\"grant.raise\",\"fs.commit\"]}";

static bool send_packet(int fd, const char *packet)
{
	return send(fd, packet, strlen(packet), MSG_NOSIGNAL) == (ssize_t)strlen(packet);
}

static bool answer(int fd, const struct rules *rules, json_t *question)
{
	static const char *const decisions[] = { "allow", "ask", "deny" };
	static const char *const ops[] = { "call.start", "http.request", "net.connect", "grant.raise", "fs.commit" };
	const char *op = json_string_value(json_object_get(question, "op")), *class = "unknown op";
	enum decision decision = DECISION_DENY;

	for (size_t i = 0; op && i < sizeof(ops) / sizeof(ops[0]); i++) {
		if (strcmp(op, ops[i]) == 0)
			decision = rules_decide(rules, question, &class);
	}
	char *text = NULL;
	json_t *reply = json_pack("{s:O, s:s, s:o}", "id", json_object_get(question, "id"), "decision", decisions[decision],
				  "reason", json_sprintf("class %s", class));
	if (reply && decision == DECISION_ALLOW)
		json_object_set_new(reply, "cache_ms", json_integer(CACHE_MS));
	if (reply)
		text = json_dumps(reply, JSON_COMPACT);
	bool sent = text && send_packet(fd, text);
	free(text);
	json_decref(reply);
	return sent;
}

/* One packet. False: the connection is to be closed, and the other side denies what it has asked. */
static bool serve(int fd, const struct rules *rules)
{
	static char packet[MAX_PACKET + 1];
	ssize_t n = recv(fd, packet, sizeof(packet), 0);
	bool good = false;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return true;
	if (n <= 0 || n > MAX_PACKET)
		return false;
	json_t *question = json_loadb(packet, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_string(json_object_get(question, "hello")))
		good = json_integer_value(json_object_get(question, "version")) == 1;
	else if (json_is_integer(json_object_get(question, "id")))
		good = answer(fd, rules, question);
	json_decref(question);
	return good;
}

/* A socket that only its user can reach, in the place of an old one. */
static int listen_at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
		return -1;
	strcpy(address.sun_path, path);
	unlink(path);
	mode_t old = umask(0177);
	int r = bind(fd, (struct sockaddr *)&address, sizeof(address));
	umask(old);
	return r < 0 || listen(fd, MAX_CONNECTIONS) < 0 ? -1 : fd;
}

static int serve_many(const struct rules *rules, int listener)
{
	struct pollfd fds[1 + MAX_CONNECTIONS] = { { .fd = listener, .events = POLLIN } };
	nfds_t n = 1;

	for (;;) {
		fds[0].events = n <= MAX_CONNECTIONS ? POLLIN : 0;
		if (poll(fds, n, -1) < 0 && errno != EINTR)
			return 1;
		for (nfds_t i = n; i-- > 1;) {
			if (fds[i].revents && !serve(fds[i].fd, rules)) {
				close(fds[i].fd);
				fds[i] = fds[--n];
			}
		}
		if (!(fds[0].revents & POLLIN))
			continue;
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		struct timeval second = { .tv_sec = 1 };
		/* One that does not read its answers must not hold up the others. */
		if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &second, sizeof(second)) == 0 &&
		    send_packet(fd, hello))
			fds[n++] = (struct pollfd){ .fd = fd, .events = POLLIN };
		else if (fd >= 0)
			close(fd);
	}
}

int main(int argc, char **argv)
{
	const char *number = getenv("NSBOX_AUDITOR_FD"), *path = NULL;
	int status = 0;

	if (argc == 4 && strcmp(argv[1], "--listen") == 0)
		path = argv[2];
	else if (argc != 2) {
		fprintf(stderr, "usage: rules [--listen SOCKET] RULES.ini\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	struct rules *rules = rules_load(argv[argc - 1]);
	if (!rules)
		return 1;
	if (path) {
		int listener = listen_at(path);
		if (listener < 0)
			fprintf(stderr, "rules: cannot listen at %s: %s\n", path, strerror(errno));
		status = listener < 0 ? 1 : serve_many(rules, listener);
	} else {
		int fd = number ? atoi(number) : 3;
		bool good = send_packet(fd, hello);
		if (!good)
			fprintf(stderr, "rules: nobody is at descriptor %d: %s\n", fd, strerror(errno));
		status = good ? 0 : 1;
		while (good)
			good = serve(fd, rules);
	}
	rules_free(rules);
	return status;
}
