/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_passphrase - of a private key: what a file or a command says. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "conf/slurp.h"
#include "net/tls_private.h"
#include "os/capture.h"

enum { PASSPHRASE_MAX = 1024 };

static int
run(const char *command, char **text, struct error *err)
{
	struct error why;

	*text = heap_alloc(PASSPHRASE_MAX);
	if (capture_run(command, TLS_PASSPHRASE_MS, *text, PASSPHRASE_MAX,
	    &why) != 0)
		error_set(err, "passphrase_command: %s", why.text);
	else if (strcspn(*text, "\r\n") == PASSPHRASE_MAX - 1)
		error_set(err, "passphrase_command: %s: its line has more "
		    "than %d bytes", command, PASSPHRASE_MAX - 2);
	else
		return 0;
	OPENSSL_cleanse(*text, PASSPHRASE_MAX);
	free(*text);
	*text = NULL;
	return -1;
}

int
tls_passphrase_read_fd(int fd, const char *command, char **text,
    struct error *err)
{
	size_t len;
	char *rest;

	*text = NULL;
	if (command != NULL) {
		if (run(command, text, err) != 0)
			return -1;
	} else if (fd < 0) {
		return 0;
	} else if (slurp_fd(fd, PASSPHRASE_MAX, text, &len) != 0) {
		return error_set(err, "reading the passphrase: %s",
		    slurp_reason(errno));
	}
	/* Behind its line some keep more secrets. */
	rest = *text + strcspn(*text, "\r\n");
	OPENSSL_cleanse(rest, strlen(rest));
	return 0;
}

int
tls_passphrase_read(const char *file, const char *command, char **text,
    struct error *err)
{
	int fd = -1, result;

	if (file != NULL && command == NULL) {
		fd = open(file, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return error_set(err, "reading %s: %s", file,
			    slurp_reason(errno));
	}
	result = tls_passphrase_read_fd(fd, command, text, err);
	if (fd >= 0)
		close(fd);
	return result;
}
