/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of nghttp2, which keeps copies of the heads that it sends: wiped when it is given back. */
#ifndef NSBOX_GATEWAY_HTTP2_MEMORY_H
#define NSBOX_GATEWAY_HTTP2_MEMORY_H

#include <nghttp2/nghttp2.h>

nghttp2_mem *http2_memory(void);

#endif
