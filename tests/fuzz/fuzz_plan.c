/* SPDX-License-Identifier: Apache-2.0 */
/* The root plan as nsbox-init reads it. */
#include <stdlib.h>

#include "namespace/plan.h"
#include "namespace/plan_path.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct plan plan = { 0 };

	if (plan_decode(data, size, &plan) < 0)
		return 0;
	/* What was accepted is what init relies on. */
	if (!plan_path_ok(plan.home) || plan.n_steps > PLAN_MAX_STEPS)
		abort();
	for (size_t i = 0; i < plan.n_steps; i++)
		if (!plan_path_ok(plan.steps[i].path) || plan.steps[i].kind >= _PLAN_KIND_MAX)
			abort();
	plan_clear(&plan);
	return 0;
}
