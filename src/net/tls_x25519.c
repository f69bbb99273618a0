/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_x25519 - public keys of X25519 (RFC 7748) from a table.
 *
 * Every handshake makes a key pair; OpenSSL 3.0 multiplies the base point with
 * arithmetic for 32 bits, which is the dearest thing that a server does in a
 * handshake.  Here it is done on the twisted Edwards curve (-x^2 + y^2 = 1 +
 * d x^2 y^2, RFC 7748, section 4.1) with limbs of 51 bits and multiples of the
 * base point in a table, which is made at the start.
 *
 * Nothing that is branched on or that an address is made of depends on the key.
 * Bounds: what reduce() leaves has limbs below 2^51 + 2^18 ("small"), a sum of
 * two such is below 2^53 - 76, which is what subtract() may take away; multiply()
 * takes limbs below 2^54, the most that one subtract() or add() makes of these.
 */
#include "net/tls_x25519.h"

#include <openssl/crypto.h>
#include <stdint.h>
#include <string.h>

#ifdef __SIZEOF_INT128__

__extension__ typedef unsigned __int128 wide;

enum { LIMBS = 5, LIMB_BITS = 51, ROWS = 32, COLUMNS = 8, DIGITS = 64,
	ADDEND_LIMBS = 16 };

#define LIMB_MASK ((UINT64_C(1) << LIMB_BITS) - 1)

/* An element of the field of 2^255 - 19. */
struct element {
	uint64_t limb[LIMBS];
};

/* x = X/Z, y = Y/Z, xy = T/Z. */
struct point {
	struct element x, y, z, t;
};

/* One to be added: y + x, y - x, 2dxy; padded, for vectors. */
struct addend {
	struct element plus, minus, t2d;
	uint64_t unused;
};

/* Of the process: column j of row i is (j + 1) * 256^i times the base point. */
static union {
	struct addend columns[COLUMNS];
	uint64_t limbs[COLUMNS][ADDEND_LIMBS];
} table[ROWS];
static bool is_made;

static const struct element one = { { 1 } };

/* ---- the field ---- */

static inline struct element
add(const struct element *a, const struct element *b)
{
	struct element out;

	for (int i = 0; i < LIMBS; i++)
		out.limb[i] = a->limb[i] + b->limb[i];
	return out;
}

/* 4 times the prime keeps it above 0. */
static inline struct element
subtract(const struct element *a, const struct element *b)
{
	struct element out;

	out.limb[0] = a->limb[0] + 4 * (LIMB_MASK - 18) - b->limb[0];
	for (int i = 1; i < LIMBS; i++)
		out.limb[i] = a->limb[i] + 4 * LIMB_MASK - b->limb[i];
	return out;
}

/* 2^255 is 19. */
static inline struct element
reduce(wide r0, wide r1, wide r2, wide r3, wide r4)
{
	struct element out;
	uint64_t carry;

	r1 += (uint64_t)(r0 >> LIMB_BITS);
	r2 += (uint64_t)(r1 >> LIMB_BITS);
	r3 += (uint64_t)(r2 >> LIMB_BITS);
	r4 += (uint64_t)(r3 >> LIMB_BITS);
	carry = (uint64_t)(r4 >> LIMB_BITS);
	r0 = (wide)carry * 19 + ((uint64_t)r0 & LIMB_MASK);
	out.limb[0] = (uint64_t)r0 & LIMB_MASK;
	out.limb[1] = ((uint64_t)r1 & LIMB_MASK) +
	    (uint64_t)(r0 >> LIMB_BITS);
	out.limb[2] = (uint64_t)r2 & LIMB_MASK;
	out.limb[3] = (uint64_t)r3 & LIMB_MASK;
	out.limb[4] = (uint64_t)r4 & LIMB_MASK;
	return out;
}

static struct element
multiply(const struct element *x, const struct element *y)
{
	uint64_t a0 = x->limb[0], a1 = x->limb[1], a2 = x->limb[2],
	    a3 = x->limb[3], a4 = x->limb[4];
	uint64_t b0 = y->limb[0], b1 = y->limb[1], b2 = y->limb[2],
	    b3 = y->limb[3], b4 = y->limb[4];
	uint64_t c1 = b1 * 19, c2 = b2 * 19, c3 = b3 * 19, c4 = b4 * 19;

	return reduce((wide)a0 * b0 + (wide)a1 * c4 + (wide)a2 * c3 +
	    (wide)a3 * c2 + (wide)a4 * c1,
	    (wide)a0 * b1 + (wide)a1 * b0 + (wide)a2 * c4 +
	    (wide)a3 * c3 + (wide)a4 * c2,
	    (wide)a0 * b2 + (wide)a1 * b1 + (wide)a2 * b0 +
	    (wide)a3 * c4 + (wide)a4 * c3,
	    (wide)a0 * b3 + (wide)a1 * b2 + (wide)a2 * b1 +
	    (wide)a3 * b0 + (wide)a4 * c4,
	    (wide)a0 * b4 + (wide)a1 * b3 + (wide)a2 * b2 +
	    (wide)a3 * b1 + (wide)a4 * b0);
}

static inline struct element
square(const struct element *x)
{
	uint64_t a0 = x->limb[0], a1 = x->limb[1], a2 = x->limb[2],
	    a3 = x->limb[3], a4 = x->limb[4];
	uint64_t twice0 = a0 * 2, twice1 = a1 * 2, twice2 = a2 * 2;
	uint64_t c3 = a3 * 19, c4 = a4 * 19, twice_c4 = c4 * 2;

	return reduce((wide)a0 * a0 + (wide)twice1 * c4 + (wide)twice2 * c3,
	    (wide)twice0 * a1 + (wide)twice2 * c4 + (wide)a3 * c3,
	    (wide)twice0 * a2 + (wide)a1 * a1 + (wide)a3 * twice_c4,
	    (wide)twice0 * a3 + (wide)twice1 * a2 + (wide)a4 * c4,
	    (wide)twice0 * a4 + (wide)twice1 * a3 + (wide)a2 * a2);
}

static struct element
square_times(struct element x, int n)
{
	while (n-- > 0)
		x = square(&x);
	return x;
}

/* x^(2^(2n) - 1) of x^(2^n - 1). */
static struct element
stretch(const struct element *x, int n)
{
	struct element high = square_times(*x, n);

	return multiply(&high, x);
}

/* x^(p - 2). */
static struct element
invert(const struct element *x)
{
	struct element x2 = square(x), x8 = square_times(x2, 2);
	struct element x9 = multiply(&x8, x), x11 = multiply(&x9, &x2);
	struct element x22 = square(&x11);
	struct element n5 = multiply(&x22, &x9); /* x^(2^5 - 1) */
	struct element n10 = stretch(&n5, 5), n20 = stretch(&n10, 10);
	struct element n40 = stretch(&n20, 20), n50, n100, n200, n250, all;

	n50 = square_times(n40, 10);
	n50 = multiply(&n50, &n10);
	n100 = stretch(&n50, 50);
	n200 = stretch(&n100, 100);
	n250 = square_times(n200, 50);
	n250 = multiply(&n250, &n50);
	all = square_times(n250, 5);
	return multiply(&all, &x11);
}

/* The one way to write it, little-endian. */
static void
put(unsigned char *out, const struct element *x)
{
	struct element r = multiply(x, &one);
	uint64_t over, carry;

	for (int pass = 0; pass < 2; pass++) {
		carry = 0;
		for (int i = 0; i < LIMBS; i++) {
			r.limb[i] += carry;
			carry = r.limb[i] >> LIMB_BITS;
			r.limb[i] &= LIMB_MASK;
		}
		r.limb[0] += carry * 19;
	}
	/* 1 if it is still p or above: then adding 19 reaches 2^255. */
	over = 19;
	for (int i = 0; i < LIMBS; i++)
		over = (r.limb[i] + over) >> LIMB_BITS;
	carry = over * 19;
	memset(out, 0, TLS_X25519_BYTES);
	for (int i = 0; i < LIMBS; i++) {
		uint64_t limb = r.limb[i] + carry;

		carry = limb >> LIMB_BITS;
		limb &= LIMB_MASK;
		for (int bit = 0; bit < LIMB_BITS; bit++) {
			int at = i * LIMB_BITS + bit;

			out[at / 8] = (unsigned char)(out[at / 8] |
			    ((limb >> bit & 1) << (at % 8)));
		}
	}
}

/* ---- the curve ---- */

/* Also of a point and itself: there is no exception (d is no square). */
static struct point
add_point(const struct point *p, const struct addend *q)
{
	struct element a = subtract(&p->y, &p->x), b = add(&p->y, &p->x);
	struct element c = multiply(&p->t, &q->t2d), d = add(&p->z, &p->z);
	struct element e, f, g, h;

	a = multiply(&a, &q->minus);
	b = multiply(&b, &q->plus);
	e = subtract(&b, &a);
	f = subtract(&d, &c);
	g = add(&d, &c);
	h = add(&b, &a);
	return (struct point){ .x = multiply(&e, &f), .y = multiply(&g, &h),
		.z = multiply(&f, &g), .t = multiply(&e, &h) };
}

static struct point
twice(const struct point *p)
{
	struct element a = square(&p->x), b = square(&p->y);
	struct element c = square(&p->z), sum = add(&p->x, &p->y);
	struct element e, f, g, h;

	sum = square(&sum);
	c = add(&c, &c);
	h = add(&a, &b);
	e = subtract(&h, &sum);
	g = subtract(&a, &b);
	f = add(&c, &g);
	return (struct point){ .x = multiply(&e, &f), .y = multiply(&g, &h),
		.z = multiply(&f, &g), .t = multiply(&e, &h) };
}

static struct addend
addend_of(const struct point *p, const struct element *d2)
{
	struct element z = invert(&p->z), x = multiply(&p->x, &z);
	struct element y = multiply(&p->y, &z), xy = multiply(&x, &y);
	struct addend out = { .plus = add(&y, &x), .minus = subtract(&y, &x),
		.t2d = multiply(&xy, d2) };

	/* Small, as sums of them must be. */
	out.plus = multiply(&out.plus, &one);
	out.minus = multiply(&out.minus, &one);
	return out;
}

/* ---- the table ---- */

_Static_assert(sizeof(struct addend) == ADDEND_LIMBS * sizeof(uint64_t),
    "an addend is so many limbs");

bool
tls_x25519_init(void)
{
	/* The even one of the two that go with y = 4/5. */
	const struct element base_x = { { UINT64_C(0x62d608f25d51a),
		UINT64_C(0x412a4b4f6592a), UINT64_C(0x75b7171a4b31d),
		UINT64_C(0x1ff60527118fe), UINT64_C(0x216936d3cd6e5) } };
	const struct element zero = { { 0 } }, four = { { 4 } },
	    five = { { 5 } }, above = { { 121665 } }, below = { { 121666 } };
	struct element d2 = invert(&below), minus = subtract(&zero, &above);
	struct element y = invert(&five);
	struct point p = { .x = base_x, .z = one };

	if (is_made)
		return true;
	d2 = multiply(&d2, &minus); /* d = -121665/121666 */
	d2 = add(&d2, &d2);
	p.y = multiply(&y, &four);
	p.t = multiply(&p.x, &p.y);
	for (int row = 0; row < ROWS; row++) {
		struct point sum = p;

		table[row].columns[0] = addend_of(&p, &d2);
		for (int i = 1; i < COLUMNS; i++) {
			sum = add_point(&sum, &table[row].columns[0]);
			table[row].columns[i] = addend_of(&sum, &d2);
		}
		for (int i = 0; i < 8; i++)
			p = twice(&p);
	}
	is_made = true;
	return true;
}

/* All bits set if a == b, both below 2^63; the compiler is not to know. */
static inline uint64_t
equals(uint64_t a, uint64_t b)
{
	uint64_t mask = 0 - (((a ^ b) - 1) >> 63);

	__asm__("" : "+r"(mask));
	return mask;
}

/* to = from where mask is set. */
static inline void
choose(struct element *to, const struct element *from, uint64_t mask)
{
	for (int i = 0; i < LIMBS; i++)
		to->limb[i] ^= (to->limb[i] ^ from->limb[i]) & mask;
}

/* digit, -8 to 8, times the row's point; every column is read. */
static struct addend
look_up(int row, int digit)
{
	const struct element zero = { { 0 } };
	uint64_t sign = 0 - ((uint64_t)(int64_t)digit >> 63);
	uint64_t size = ((uint64_t)(int64_t)digit ^ sign) - sign;
	union {
		struct addend addend;
		uint64_t limbs[ADDEND_LIMBS];
	} sum = { .limbs = { 0 } };
	struct addend out;
	struct element t2d;

	__asm__("" : "+r"(sign));
	sum.addend.plus.limb[0] = sum.addend.minus.limb[0] =
	    equals(size, 0) & 1;
	for (int i = 0; i < COLUMNS; i++) {
		uint64_t mask = equals(size, (uint64_t)i + 1);

		for (int j = 0; j < ADDEND_LIMBS; j++)
			sum.limbs[j] |= table[row].limbs[i][j] & mask;
	}
	out = sum.addend;
	choose(&out.plus, &sum.addend.minus, sign);
	choose(&out.minus, &sum.addend.plus, sign);
	t2d = subtract(&zero, &out.t2d);
	choose(&out.t2d, &t2d, sign);
	return out;
}

/* Digits of base 16, -8 to 8, of the clamped key. */
static void
split(const unsigned char *key, int digits[DIGITS])
{
	int carry = 0;

	for (int i = 0; i < TLS_X25519_BYTES; i++) {
		int byte = key[i];

		if (i == 0)
			byte &= 248;
		if (i == TLS_X25519_BYTES - 1)
			byte = (byte & 127) | 64;
		digits[2 * i] = byte & 15;
		digits[2 * i + 1] = byte >> 4;
	}
	for (int i = 0; i < DIGITS - 1; i++) {
		digits[i] += carry;
		carry = (digits[i] + 8) >> 4;
		digits[i] -= carry * 16;
	}
	digits[DIGITS - 1] += carry;
}

static void
add_digits(struct point *p, const int *digits, int first)
{
	for (int i = first; i < DIGITS; i += 2) {
		struct addend a = look_up(i / 2, digits[i]);

		*p = add_point(p, &a);
	}
}

/* u = (Z + Y)/(Z - Y) (RFC 7748, section 4.1). */
void
tls_x25519_public(unsigned char out[TLS_X25519_BYTES],
    const unsigned char key[TLS_X25519_BYTES])
{
	int digits[DIGITS];
	struct point p = { .y = one, .z = one };
	struct element above, below;

	split(key, digits);
	add_digits(&p, digits, 1);
	for (int i = 0; i < 4; i++)
		p = twice(&p);
	add_digits(&p, digits, 0);
	above = add(&p.z, &p.y);
	below = subtract(&p.z, &p.y);
	below = invert(&below);
	above = multiply(&above, &below);
	put(out, &above);
	OPENSSL_cleanse(digits, sizeof(digits));
	OPENSSL_cleanse(&p, sizeof(p));
}

#else

bool
tls_x25519_init(void)
{
	return false;
}

void
tls_x25519_public(unsigned char out[TLS_X25519_BYTES],
    const unsigned char key[TLS_X25519_BYTES])
{
	(void)key;
	memset(out, 0, TLS_X25519_BYTES);
}

#endif
