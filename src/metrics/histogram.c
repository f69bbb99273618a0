/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * histogram - finding the bucket of a latency.
 *
 * Between a power of two and the next lies at most one bound, so the number of
 * bits leaves two buckets to choose from.
 */
#include "metrics/histogram.h"

static const struct {
	uint64_t us;
	const char *text;
} bounds[HISTOGRAM_BUCKETS] = {
	{ 500, "0.0005" },
	{ 1000, "0.001" },
	{ 2500, "0.0025" },
	{ 5000, "0.005" },
	{ 10000, "0.01" },
	{ 25000, "0.025" },
	{ 50000, "0.05" },
	{ 100000, "0.1" },
	{ 250000, "0.25" },
	{ 500000, "0.5" },
	{ 1000000, "1" },
	{ 2500000, "2.5" },
	{ 5000000, "5" },
	{ 10000000, "10" },
	{ 30000000, "30" },
	{ 60000000, "60" },
	{ UINT64_MAX, "+Inf" },
};

/* [bits of us]: the bucket of the least number that has so many bits. */
static const uint8_t first_bucket[27] = {
	[10] = 1, /* 512 */
	[11] = 2,
	[12] = 2, /* 2048 */
	[13] = 3,
	[14] = 4, /* 8192 */
	[15] = 5,
	[16] = 6,
	[17] = 7, /* 65536 */
	[18] = 8,
	[19] = 9, /* 262144 */
	[20] = 10,
	[21] = 11,
	[22] = 11, /* 2097152 */
	[23] = 12,
	[24] = 13, /* 8388608 */
	[25] = 14,
	[26] = 15, /* 33554432 */
};

uint64_t
histogram_bound_us(unsigned bucket)
{
	return bounds[bucket].us;
}

const char *
histogram_bound_text(unsigned bucket)
{
	return bounds[bucket].text;
}

unsigned
histogram_bucket(uint64_t us)
{
	unsigned bucket;

	if (us > 60000000)
		return HISTOGRAM_BUCKETS - 1;
	bucket = first_bucket[us == 0 ? 0
				      : 64U - (unsigned)__builtin_clzll(us)];
	bucket += us > bounds[bucket].us;
	return bucket;
}
