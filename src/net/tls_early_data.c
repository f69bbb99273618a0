/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_early_data - whether a connection's early data is taken, and counting.
 *
 * OpenSSL asks only about a ClientHello that it takes for fresh itself; what
 * it refuses alone (too old, keys or options of before) is seen when the early
 * data is over.
 */
#include "net/tls_early_data.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/now.h"
#include "net/tls_early.h"
#include "net/tls_private.h"

enum { ROW_STALE = TLS_EARLY_ANSWERS, ROWS };

static const struct metric rows[ROWS] = {
	[TLS_EARLY_TAKEN] = { .name = "taken_total",
		.help = "Connections whose early data was taken." },
	[TLS_EARLY_USED] = { .name = "refused_total",
		.help = "Connections whose early data was refused, by reason.",
		.label = "reason=\"used\"" },
	[TLS_EARLY_FULL] = { .name = "refused_total",
		.label = "reason=\"table_full\"" },
	[TLS_EARLY_WAITING] = { .name = "refused_total",
		.label = "reason=\"waiting\"" },
	[TLS_EARLY_CLOCK] = { .name = "refused_total",
		.label = "reason=\"clock\"" },
	[ROW_STALE] = { .name = "refused_total",
		.label = "reason=\"stale\"" },
};

const struct metric_set tls_early_data_metrics =
    METRIC_SET("early_data", METRIC_SCOPE_PROCESS, rows);

void
tls_early_data_count(struct tls_io *io, _Atomic uint64_t *stats)
{
	io->early_stats = stats;
}

static void
count(const struct tls_stream *t, unsigned row)
{
	if (t->io->early_stats != NULL)
		counter_add(&t->io->early_stats[row], 1);
}

/* Once for each ticket; its secret is known to nobody but its client. */
int
tls_early_data_allow(SSL *ssl, void *arg)
{
	struct tls_stream *t = SSL_get_app_data(ssl);
	const struct tls_server *s = t->server;
	unsigned char secret[SSL_MAX_MASTER_KEY_LENGTH];
	unsigned char digest[EVP_MAX_MD_SIZE];
	size_t len = SSL_SESSION_get_master_key(SSL_get0_session(ssl), secret,
	    sizeof(secret));
	enum tls_early_answer answer = TLS_EARLY_FULL;
	struct tls_early_time now;

	(void)arg;
	if (s->early == NULL || len == 0)
		return 0;
	/* Not the turn's: OpenSSL has just read the clock, too. */
	now_update();
	now = (struct tls_early_time){ now_ms(), now_wall_ms() };
	if (EVP_Digest(secret, len, digest, NULL, EVP_sha256(), NULL) == 1)
		answer = tls_early_take(s->early, digest, now);
	OPENSSL_cleanse(secret, sizeof(secret));
	t->was_judged = true;
	count(t, answer);
	return answer == TLS_EARLY_TAKEN;
}

void
tls_early_data_over(struct tls_stream *t)
{
	if (!t->was_judged &&
	    SSL_get_early_data_status(t->ssl) == SSL_EARLY_DATA_REJECTED)
		count(t, ROW_STALE);
}
