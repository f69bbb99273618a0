/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CA bundles and lists of revoked certificates, as the master reads them at
 * load and as processes take them later: what is accepted makes a store, and
 * what is refused leaves the former in use.  The first byte says which of the
 * two it is: 'R' is a list.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "conf/files.h"
#include "conf/report.h"
#include "net/tls_ctx.h"
#include "net/tls_private.h"
#include "os/sealed.h"
#include "pair.h"
#include "splits.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { CAS, LISTS };

struct user {
	struct tls_trust trust;
	struct files *files;
	struct conf_report *report;
	int fds[2]; /* what its paths lead to */
	char paths[2][32];
	unsigned applied;
};

static const char no_list[] =
	"-----BEGIN X509 CRL-----\n"
	"MIGqMFMCAQEwCgYIKoZIzj0EAwIwEjEQMA4GA1UEAwwHRnV6eiBDQRcNMjYxMTIx\n"
	"MTgxODI1WhgPMjEyNjEwMjgxODE4MjVaoA4wDDAKBgNVHRQEAwIBATAKBggqhkjO\n"
	"PQQDAgNHADBEAiBeb2dP55Er81S1w3sRveAalq6iEeEYpMOe6PHhCTIiCwIgVqtF\n"
	"XQkrIBUUzL0cMgXwf5yaMTSRhqqLtoEzqtFC7fE=\n"
	"-----END X509 CRL-----\n";

static void
quiet(void *arg, enum log_level level, const char *line, size_t len)
{
	(void)arg;
	(void)level;
	(void)line;
	(void)len;
}

static bool
is_usable(const struct tls_trust *t, struct error *err)
{
	X509_STORE *store = tls_trust_store(t, err);

	X509_STORE_free(store);
	return store != NULL;
}

static int
apply(void *owner, struct error *err)
{
	struct user *u = owner;

	u->applied++;
	return is_usable(&u->trust, err) ? 0 : -1;
}

static void
set_file(struct user *u, int which, struct span content)
{
	CHECK(ftruncate(u->fds[which], 0) == 0);
	CHECK(pwrite(u->fds[which], content.p, content.len, 0) ==
	    (ssize_t)content.len);
}

static int
load(struct user *u, struct span cas, struct span lists, struct error *err)
{
	struct tls_ctx_about about = { .name = "fuzz" };

	memset(u, 0, sizeof(*u));
	u->report = conf_report_new();
	u->files = files_new(false, u->report);
	u->trust.apply = apply;
	u->trust.owner = u;
	about.report = u->report;
	about.files = u->files;
	for (int i = 0; i < 2; i++) {
		u->fds[i] = memfd_create("fuzz", MFD_CLOEXEC);
		snprintf(u->paths[i], sizeof(u->paths[i]), "/proc/self/fd/%d",
		    u->fds[i]);
	}
	set_file(u, CAS, cas);
	set_file(u, LISTS, lists);
	return tls_trust_load(&u->trust, u->paths[CAS], u->paths[LISTS],
	    &about, err);
}

static void
end(struct user *u)
{
	tls_trust_fini(&u->trust);
	files_free(u->files);
	conf_report_free(u->report);
	close(u->fds[0]);
	close(u->fds[1]);
}

/* At load: refused with a reason, or of use. */
static void
try_load(int which, struct span content)
{
	struct error err = { .text = "" };
	struct user u;

	if (load(&u, which == CAS ? content : span_cstr(pair_cert),
	    which == LISTS ? content : span_cstr(no_list), &err) != 0) {
		CHECK(err.text[0] != '\0');
	} else {
		CHECK(u.applied == 0);
		(void)is_usable(&u.trust, &err);
	}
	end(&u);
}

/* In a process that uses others. */
static void
try_take(int which, struct span content)
{
	static struct user u;
	static uint32_t version;
	const void *before[2];
	struct error err = { .text = "" };
	unsigned applied;
	int fd, none, result;

	if (u.files == NULL)
		CHECK(load(&u, span_cstr(pair_cert), span_cstr(no_list),
		    &err) == 0);
	applied = u.applied;
	before[CAS] = u.trust.cas;
	before[LISTS] = u.trust.crls;
	fd = sealed_new("fuzz", content, &err);
	CHECK(fd >= 0);
	result = files_take(u.files, (size_t)which, ++version, fd, false,
	    &none, &err);
	close(fd);
	CHECK(is_usable(&u.trust, &err));
	if (result == 0) {
		CHECK(u.applied == applied + 1);
		return;
	}
	CHECK(err.text[0] != '\0');
	CHECK(u.trust.cas == before[CAS] && u.trust.crls == before[LISTS]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct span content;
	int which;

	if (len == 0)
		return 0;
	log_set_sink(quiet, NULL);
	which = bytes[0] == 'R' ? LISTS : CAS;
	content = span_of((const char *)bytes + 1, len - 1);
	try_load(which, content);
	try_take(which, content);
	return 0;
}
