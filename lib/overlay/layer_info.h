/* SPDX-License-Identifier: Apache-2.0 */
/* The info file of a layer. */
#ifndef NSBOX_OVERLAY_LAYER_INFO_H
#define NSBOX_OVERLAY_LAYER_INFO_H

#include "overlay/layer.h"

/* Sets l->since to the moment of the writing, unless it is set. */
int layer_info_write(struct layer *l, struct error *e);
/* 0, -ENOENT, -EBADMSG, -ENOMEM; l is the caller's to close either way. */
int layer_info_read(struct layer *l);

#endif
