/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Manifests: the first byte says how many descriptors came with the rest.
 * Every one of them is owned by exactly one side afterwards.
 */
#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"
#include "master/estate.h"
#include "master/manifest.h"
#include "splits.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct manifest m, again;
	struct estate e, copy;
	struct error err;
	int probe;

	if (len < 1)
		return 0;
	manifest_init(&m, true);
	for (unsigned i = 0; i < bytes[0] % 32u; i++) {
		int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

		CHECK(manifest_append(&m, SPAN(""), &fd, 1, &err) == 0);
	}
	CHECK(manifest_append(&m, span_of((const char *)bytes + 1, len - 1),
	    NULL, 0, &err) == 0);
	if (estate_decode(&e, &m, &err) == 0) {
		/* What was understood can be said again. */
		manifest_init(&again, false);
		estate_encode(&e, &again);
		CHECK(manifest_check(&again, &err) == 0);
		CHECK(estate_decode(&copy, &again, &err) == 0);
		CHECK(copy.listener_count == e.listener_count);
		CHECK(copy.zone_count == e.zone_count);
		CHECK(copy.backend_count == e.backend_count);
		CHECK(copy.lane_fd_count == e.lane_fd_count);
		estate_fini(&copy, false);
		manifest_fini(&again);
		estate_fini(&e, true);
	}
	manifest_fini(&m);
	/* The lowest number is free again: none was left open. */
	probe = open("/dev/null", O_RDONLY | O_CLOEXEC);
	CHECK(probe >= 0 && probe < 64);
	close(probe);
	return 0;
}
