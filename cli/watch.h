/* SPDX-License-Identifier: Apache-2.0 */
/* What `nsbox watch` writes down inside, and `nsbox run --learn` reads outside. */
#ifndef NSBOX_CLI_WATCH_H
#define NSBOX_CLI_WATCH_H

/* Different records kept, and the longest path. Beyond, WATCH_FULL says that some are missing. */
#define WATCH_MAX_RECORDS 16384u
#define WATCH_MAX_PATH 4096u
#define WATCH_MAX_BYTES (16u << 20) /* that are read of them */

/* A record: use, what is there inside, the absolute path, NUL. */
enum watch_state {
	WATCH_THERE = '+',
	WATCH_MISSING = '-',
	WATCH_NOWHERE = '/', /* nor is the directory that it would be in */
};

#define WATCH_FULL '!' /* in the place of a record */

enum watch_use {
	WATCH_READ = 'r',
	WATCH_WRITE = 'w', /* also made, removed, renamed, changed */
	WATCH_LIST = 'l',  /* a directory */
	WATCH_LOOK = 'k',  /* only what it is */
	WATCH_EXECUTE = 'x',
};

#endif
