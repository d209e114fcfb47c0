/* SPDX-License-Identifier: Apache-2.0 */
/* Problem answers. */
#include "gateway/problem.h"

#include <stddef.h>
#include <stdio.h>

#include "base/json.h"
#include "gateway/http1_write.h"

int problem_body(const struct problem *p, struct buf *body)
{
	int r = buf_putc(body, '{');
	if (r == 0)
		r = json_member_string(body, "type", "about:blank");
	if (r == 0)
		r = json_member_string(body, "title", http1_reason((unsigned)p->status));
	if (r == 0)
		r = json_member_int(body, "status", p->status);
	if (r == 0)
		r = json_member_string(body, "detail", p->detail);
	if (r == 0)
		r = json_member_string(body, "reason", p->reason);
	if (r == 0 && p->what)
		r = json_member_string(body, problem_is_denial(p) ? "denied" : "request", p->what);
	if (r == 0 && p->flag)
		r = json_member_string(body, "allow_with", p->flag);
	return r < 0 ? r : buf_puts(body, "}\n");
}

int problem_write(const struct problem *p, struct iobuf *out)
{
	_cleanup_buf_ struct buf body = { 0 };
	_cleanup_buf_ struct buf head = { 0 };
	char retry[40] = "";
	bool denied = problem_is_denial(p);

	if (p->retry_after)
		snprintf(retry, sizeof(retry), "Retry-After: %u\r\n", p->retry_after);
	int r = problem_body(p, &body);
	if (r == 0)
		r = buf_printf(&head,
			       "HTTP/1.1 %d %s\r\n"
			       "Content-Type: application/problem+json\r\n"
			       "Content-Length: %zu\r\n"
			       "Cache-Control: no-store\r\n"
			       "%s%s%s%s%s\r\n",
			       p->status, http1_reason((unsigned)p->status), body.len, denied ? "X-Nsbox-Denied: " : "",
			       denied ? p->reason : "", denied ? "\r\n" : "", retry, p->close ? "Connection: close\r\n" : "");
	if (r == 0)
		r = iobuf_append(out, head.data, head.len);
	if (r == 0 && !p->head)
		r = iobuf_append(out, body.data, body.len);
	return r;
}
