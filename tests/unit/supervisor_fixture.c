/* SPDX-License-Identifier: Apache-2.0 */
/* A supervisor and its client. */
#include "supervisor_fixture.h"

#include "base/util.h"

struct fake f;
struct box box;
int client;

void fixture_open(void)
{
	fake_open(&f, true);
	client = script_client(&f);
	box.log = -EBADF;
}

int tear_down(void **state)
{
	(void)state;
	fake_close(&f);
	fd_close(TAKE_FD(client));
	fd_close(TAKE_FD(box.log));
	return 0;
}

int tear_down_named(void **state)
{
	tear_down(state);
	script_remove_place();
	return 0;
}
