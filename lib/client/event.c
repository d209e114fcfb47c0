/* SPDX-License-Identifier: Apache-2.0 */
/* Events: the queue between dispatch and the host application. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "client/client.h"

static struct sandbox_event *event_new(const char *name, const char *sandbox_name, const char *call,
				       const char *reason, const char *json)
{
	struct sandbox_event *event = calloc(1, sizeof(*event));

	if (!event)
		return NULL;
	event->name = strdup(name);
	event->sandbox = strdup(sandbox_name);
	event->call = strdup(call);
	event->reason = strdup(reason);
	event->json = strdup(json);
	if (event->name && event->sandbox && event->call && event->reason && event->json)
		return event;
	sandbox_event_free(event);
	return NULL;
}

static struct sandbox_event *pop(struct sandbox_runtime *r)
{
	struct sandbox_event *event = r->events;

	if (event) {
		r->events = event->next;
		if (!r->events)
			r->events_tail = &r->events;
		event->next = NULL;
		r->n_events--;
	}
	return event;
}

void event_push(struct sandbox_runtime *r, const char *name, const char *sandbox_name, const char *call,
		const char *reason, const char *json)
{
	if (r->n_events >= MAX_EVENTS) {
		sandbox_event_free(pop(r));
		r->n_lost++;
	}
	struct sandbox_event *event = event_new(name, sandbox_name, call, reason, json);
	if (!event) {
		r->n_lost++;
		return;
	}
	*r->events_tail = event;
	r->events_tail = &event->next;
	r->n_events++;
}

void events_drop(struct sandbox_runtime *r)
{
	while (r->events)
		sandbox_event_free(pop(r));
}

int sandbox_runtime_next_event(sandbox_runtime *runtime, sandbox_event **ret_event)
{
	if (runtime->n_lost) {
		char json[64];
		snprintf(json, sizeof(json), "{\"event\":\"events.lost\",\"count\":%u}", runtime->n_lost);
		*ret_event = event_new("events.lost", "", "", "", json);
		if (!*ret_event)
			return -ENOMEM;
		runtime->n_lost = 0;
		return 0;
	}
	*ret_event = pop(runtime);
	return 0;
}

const char *sandbox_event_name(const sandbox_event *event)
{
	return event->name;
}

const char *sandbox_event_sandbox(const sandbox_event *event)
{
	return event->sandbox;
}

const char *sandbox_event_call(const sandbox_event *event)
{
	return event->call;
}

const char *sandbox_event_reason(const sandbox_event *event)
{
	return event->reason;
}

const char *sandbox_event_json(const sandbox_event *event)
{
	return event->json;
}

void sandbox_event_free(sandbox_event *event)
{
	if (!event)
		return;
	free(event->name);
	free(event->sandbox);
	free(event->call);
	free(event->reason);
	free(event->json);
	free(event);
}
