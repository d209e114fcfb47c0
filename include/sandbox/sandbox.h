/* SPDX-License-Identifier: Apache-2.0 */
/** @file sandbox.h  Everything of libsandbox. */
#ifndef SANDBOX_SANDBOX_H
#define SANDBOX_SANDBOX_H

#include <sandbox/approval.h>
#include <sandbox/audit.h>
#include <sandbox/authority.h>
#include <sandbox/call.h>
#include <sandbox/changes.h>
#include <sandbox/error.h>
#include <sandbox/event.h>
#include <sandbox/grant.h>
#include <sandbox/inside.h>
#include <sandbox/named.h>
#include <sandbox/policy.h>
#include <sandbox/profile.h>
#include <sandbox/runtime.h>

#endif
