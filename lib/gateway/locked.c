/* SPDX-License-Identifier: Apache-2.0 */
/* Locked pages. Of their own: nothing else of the process is locked or left out of dumps for them. */
#include "gateway/locked.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int locked_new(struct locked *ret, size_t size, bool unlocked)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	size = (size + page - 1) / page * page;
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return -ENOMEM;
	if (madvise(p, size, MADV_DONTDUMP) < 0 || (mlock(p, size) < 0 && !unlocked)) {
		munmap(p, size);
		return -EPERM;
	}
	*ret = (struct locked){ .data = p, .size = size };
	return 0;
}

void locked_free(struct locked *l)
{
	if (l->data) {
		explicit_bzero(l->data, l->size);
		munmap(l->data, l->size);
	}
	*l = (struct locked){ 0 };
}
