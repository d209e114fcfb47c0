/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The root plan: what nsbox-init has to mount, in order, as bytes. The supervisor makes it from the policy (a pure
 * function of it), init decodes it with the same file. Every path is absolute and without "." or ".." components.
 */
#ifndef NSBOX_NAMESPACE_PLAN_H
#define NSBOX_NAMESPACE_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "namespace/plan_path.h"

struct policy;

#define PLAN_VERSION 1u
#define PLAN_MAX_STEPS 2048u
#define PLAN_MAX_BYTES (96u * 1024u) /* leaves room for the rest of one packet */

enum plan_kind {
	PLAN_BIND_RO = 0, /* host path at its own path, read-only */
	PLAN_BIND_RW,
	PLAN_HIDE,      /* an empty file or directory over it, where it is visible */
	PLAN_PROTECT,   /* what is visible there, read-only */
	PLAN_PIN,       /* a directory becomes a mount point of itself, so that it cannot be renamed */
	PLAN_TMPFS,
	PLAN_SYMLINK,   /* source: where it points */
	PLAN_OVERLAY,   /* host directory at its own path, with a layer on it that takes what is written */
	_PLAN_KIND_MAX
};

struct plan_step {
	enum plan_kind kind;
	char *path;
	char *target; /* PLAN_SYMLINK: what it points to, else "" */
	uint64_t dev, ino; /* identity of a host object; 0, 0 for none */
	bool is_dir;
	uint64_t size; /* PLAN_TMPFS: bytes, 0 = its share of the default; PLAN_OVERLAY: its number in the layer */
};

struct plan {
	char *home; /* private and writable */
	uint8_t net; /* enum net_mode: whose resolver and authorities /etc shows */
	struct plan_step *steps; /* in mounting order */
	size_t n_steps;
};

/* Policy to bytes. Fails (SANDBOX_STAGE_POLICY) when the plan would not fit, or names what this version lacks. */
int root_plan_build(const struct policy *p, struct buf *out, struct error *e);

/* The private home directory inside. One that cannot be a path there (none, "/", with "..") is replaced, so that there
 * is always one. */
void plan_home(const struct policy *p, char ret[PLAN_MAX_PATH + 1]);

/* Bounded; every value is checked again. 0, -EPROTO, -ENOMEM. */
int plan_decode(const void *data, size_t len, struct plan *ret);
void plan_clear(struct plan *plan);

#endif
