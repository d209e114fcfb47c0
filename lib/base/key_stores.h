/* SPDX-License-Identifier: Apache-2.0 */
/* Where distributions keep the list of authorities that Java believes: a key store in the form "JKS". */
#ifndef NSBOX_BASE_KEY_STORES_H
#define NSBOX_BASE_KEY_STORES_H

#define KEY_STORE_MAGIC 0xfeedfeedu
#define KEY_STORE_VERSION 2u

/* The host's, which the one of a sandbox is made of and is mounted on: NULL where it has none that everybody may read.
 * Anything else that is found there, a store of another form too, stays as it is. 0, or -errno. */
int key_store_of_host(const char **ret);

#endif
