/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a root plan in nsbox-init: bounded, and nothing of it is used before all of it was checked. */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "base/wire.h"
#include "namespace/plan.h"
#include "namespace/plan_path.h"
#include "policy/policy.h"

static bool step_ok(const struct plan_step *s)
{
	if (s->kind >= _PLAN_KIND_MAX || !plan_path_ok(s->path) || !s->target)
		return false;
	if (s->kind == PLAN_OVERLAY && (s->size >= POLICY_OVERLAYS_MAX || !s->is_dir))
		return false;
	/* The private directories come from below it, and the host's must not show. */
	if (s->kind != PLAN_HIDE && path_is_at_or_below(s->path, "/proc"))
		return false;
	return s->kind == PLAN_SYMLINK ? plan_path_ok(s->target) : s->target[0] == '\0';
}

int plan_decode(const void *data, size_t len, struct plan *ret)
{
	struct plan plan = { 0 };

	if (len > PLAN_MAX_BYTES)
		return -EPROTO;
	struct wire_reader r = wire_reader(data, len);
	if (wire_get_u32(&r) != PLAN_VERSION)
		return -EPROTO;
	plan.net = wire_get_u8(&r);
	plan.home = wire_get_str(&r);
	uint32_t n = wire_get_u32(&r);
	if (r.bad || n > PLAN_MAX_STEPS || plan.net > NET_HOST || !plan_path_ok(plan.home))
		goto bad;
	plan.steps = calloc(n ? n : 1, sizeof(*plan.steps));
	if (!plan.steps) {
		plan_clear(&plan);
		return -ENOMEM;
	}
	for (plan.n_steps = 0; plan.n_steps < n; plan.n_steps++) {
		struct plan_step *s = &plan.steps[plan.n_steps];
		s->kind = wire_get_u8(&r);
		s->path = wire_get_str(&r);
		s->target = wire_get_str(&r);
		s->dev = wire_get_u64(&r);
		s->ino = wire_get_u64(&r);
		s->is_dir = wire_get_u8(&r) == 1;
		s->size = wire_get_u64(&r);
		if (r.bad || !step_ok(s)) {
			plan.n_steps++;
			goto bad;
		}
	}
	if (!wire_done(&r))
		goto bad;
	*ret = plan;
	return 0;
bad:
	plan_clear(&plan);
	return -EPROTO;
}

void plan_clear(struct plan *plan)
{
	for (size_t i = 0; i < plan->n_steps; i++) {
		free(plan->steps[i].path);
		free(plan->steps[i].target);
	}
	free(plan->steps);
	free(plan->home);
	*plan = (struct plan){ 0 };
}
