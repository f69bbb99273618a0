/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Heads of the PROXY protocol: what is one does not change with what follows,
 * what is written from it reads the same, and none is longer than it says.
 */
#include "base/str.h"
#include "net/proxyproto.h"
#include "splits.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct span in = span_of((const char *)bytes, len);
	struct proxyproto p, again;
	char memory[128];
	struct str out;

	if (proxyproto_read(in, &p) != PROXYPROTO_DONE)
		return 0;
	CHECK(p.used <= len && p.used <= PROXYPROTO_MAX);
	CHECK(proxyproto_read(span_of(in.p, p.used), &again) ==
	    PROXYPROTO_DONE && again.used == p.used);
	CHECK(proxyproto_read(span_of(in.p, p.used - 1), &again) ==
	    PROXYPROTO_MORE);
	if (p.is_local)
		return 0;
	CHECK(p.authority.len <= 255 && p.alpn.len <= 255 &&
	    p.unique_id.len <= PROXYPROTO_ID_MAX);
	CHECK(p.authority.p == NULL || (p.authority.p > in.p &&
	    p.authority.p + p.authority.len <= in.p + p.used));
	for (unsigned version = 1; version <= 2; version++) {
		str_init(&out, memory, sizeof(memory));
		proxyproto_write(&out, version, &p.client, &p.server);
		CHECK(!out.overflow);
		CHECK(proxyproto_read(str_view(&out), &again) ==
		    PROXYPROTO_DONE);
		CHECK(memcmp(&again.client, &p.client, sizeof(p.client)) == 0 ||
		    p.client.family == AF_INET6);
		CHECK(again.client.port == p.client.port);
	}
	return 0;
}
