/* SPDX-License-Identifier: Apache-2.0 */
/* Classes of operations from an INI file, and which decision a question gets by them. */
#ifndef RULES_H
#define RULES_H

#include <jansson.h>

enum decision { DECISION_ALLOW, DECISION_ASK, DECISION_DENY }; /* the later is the stricter one */

struct rules;

/* NULL: said on stderr. */
struct rules *rules_load(const char *path);
void rules_free(struct rules *rules);
/* question: a packet with a known op. ret_class: the name of the strictest class that it is in, "default" when in none. */
enum decision rules_decide(const struct rules *rules, json_t *question, const char **ret_class);

#endif
