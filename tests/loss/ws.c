/* SPDX-License-Identifier: BSD-2-Clause */
/* ws - frames of at most 125 bytes, none of them in pieces. */
#include "ws.h"

#include <string.h>

static const char mask[4] = { 0x5a, 0x11, 0x27, 0x63 };

size_t
ws_parse(struct ws_frame *f, const char *bytes, size_t len)
{
	bool is_masked;
	size_t head;

	if (len < 2)
		return 0;
	is_masked = (bytes[1] & 0x80) != 0;
	head = is_masked ? 6 : 2;
	f->opcode = bytes[0] & 0x0f;
	f->len = (size_t)(bytes[1] & 0x7f);
	if (f->len > WS_PAYLOAD_MAX)
		f->len = WS_PAYLOAD_MAX;
	if (len < head + f->len)
		return 0;
	for (size_t i = 0; i < f->len; i++)
		f->payload[i] = (char)(bytes[head + i] ^
		    (is_masked ? bytes[2 + i % 4] : 0));
	return head + f->len;
}

size_t
ws_compose(char *frame, int opcode, const char *payload, size_t len,
    bool is_masked)
{
	size_t head = is_masked ? 6 : 2;

	frame[0] = (char)(0x80 | opcode);
	frame[1] = (char)((is_masked ? 0x80 : 0) | (int)len);
	if (is_masked)
		memcpy(frame + 2, mask, sizeof(mask));
	for (size_t i = 0; i < len; i++)
		frame[head + i] =
		    (char)(payload[i] ^ (is_masked ? mask[i % 4] : 0));
	return head + len;
}
