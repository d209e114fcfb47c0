/* SPDX-License-Identifier: Apache-2.0 */
/* TLS sessions of servers. */
#include "gateway/tickets.h"

#include <stdlib.h>
#include <string.h>

static void drop(struct tickets *t, size_t i)
{
	free(t->v[i].place);
	SSL_SESSION_free(t->v[i].session);
	memmove(&t->v[i], &t->v[i + 1], (t->n - i - 1) * sizeof(t->v[0]));
	t->n--;
}

void tickets_add(struct tickets *t, const char *place, SSL_SESSION *session)
{
	size_t same = 0, oldest = 0;
	char *copy = strdup(place);

	if (!copy) {
		SSL_SESSION_free(session);
		return;
	}
	for (size_t i = t->n; i-- > 0;) {
		if (strcmp(t->v[i].place, place) == 0) {
			same++;
			oldest = i;
		}
	}
	if (same == TICKETS_PLACE_MAX)
		drop(t, oldest);
	else if (t->n == TICKETS_MAX)
		drop(t, 0);
	t->v[t->n++] = (struct ticket){ .place = copy, .session = session };
}

SSL_SESSION *tickets_get(struct tickets *t, const char *place)
{
	for (size_t i = t->n; i-- > 0;) {
		if (strcmp(t->v[i].place, place) != 0)
			continue;
		SSL_SESSION *session = t->v[i].session;
		SSL_SESSION_up_ref(session);
		if (SSL_SESSION_should_be_single_use(session))
			drop(t, i);
		return session;
	}
	return NULL;
}

void tickets_forget(struct tickets *t, const char *place)
{
	for (size_t i = t->n; i-- > 0;) {
		if (strcmp(t->v[i].place, place) == 0)
			drop(t, i);
	}
}
