/* SPDX-License-Identifier: Apache-2.0 */
/* What encode.c and decode.c agree on. */
#ifndef NSBOX_POLICY_ENCODE_H
#define NSBOX_POLICY_ENCODE_H

#include <errno.h>

#include "policy/internal.h"

#define POLICY_MAGIC 0x314c4f50u /* "POL1" */
#define POLICY_BYTES_MAX (16u << 20)

#endif
