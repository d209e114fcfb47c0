/* SPDX-License-Identifier: Apache-2.0 */
/* The address plan of the wire between calls and gateway (DESIGN 4 and 8). Host byte order. */
#ifndef NSBOX_BASE_ADDRESSES_H
#define NSBOX_BASE_ADDRESSES_H

#include <stdint.h>

#define GATEWAY_ADDR 0x64400001u    /* 100.64.0.1: the resolver */
#define CALL_ADDR_FIRST 0x64400002u /* 100.64.0.2 and up, one per call, below 100.127.255.255 */
#define CALL_ADDR_LAST 0x647ffffeu
#define SYNTHETIC_FIRST 0xc6120001u /* 198.18.0.1 */
#define SYNTHETIC_LAST 0xc613fffeu  /* 198.19.255.254 */
#define GATEWAY_ADDR_TEXT "100.64.0.1"
#define DNS_PORT 53

#endif
