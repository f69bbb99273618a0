/* SPDX-License-Identifier: BSD-2-Clause */
/* keystore - lock, write beside, sync, rename. */
#include "ctl/keystore.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "conf/keyfile.h"
#include "conf/slurp.h"

enum { BYTES_MAX = 64 << 20, NEW_MODE = 0600 };

static int
check_lines(const struct keystore *k, struct error *err)
{
	struct span rest = span_of(k->text, k->len), line;

	for (unsigned n = 1; keyfile_next_line(&rest, &line); n++) {
		struct keyfile_entry e;
		unsigned column;
		struct error why;

		if (keyfile_parse(line, &e, &column, &why) < 0)
			return error_set(err, "%s:%u:%u: %s", k->path, n,
			    column, why.text);
	}
	return 0;
}

static int
load(struct keystore *k, struct error *err)
{
	if (slurp_file(k->path, BYTES_MAX, &k->text, &k->len) != 0)
		return error_set(err, "reading %s: %s", k->path,
		    slurp_reason(errno));
	return check_lines(k, err);
}

/* A rename replaces what is at the end of links, not a link. */
static char *
resolve(const char *path)
{
	char *real = realpath(path, NULL);

	return real != NULL ? real : heap_alloc_strdup(path);
}

/* Opening may have made the file that a link led to in vain. */
static void
follow(struct keystore *k)
{
	char *path = resolve(k->path);

	free(k->path);
	k->path = path;
}

/* Who waited for the lock may have a file that was replaced meanwhile. */
static bool
is_current(const struct keystore *k)
{
	struct stat now;

	return stat(k->path, &now) == 0 && now.st_dev == k->info.st_dev &&
	    now.st_ino == k->info.st_ino;
}

int
keystore_open(struct keystore *k, const char *path, bool may_create,
    struct error *err)
{
	*k = (struct keystore){ .path = resolve(path), .fd = -1 };
	for (;;) {
		k->fd = open(k->path, O_RDWR | O_CLOEXEC | O_NOCTTY |
		    (may_create ? O_CREAT : 0), NEW_MODE);
		if (k->fd < 0)
			return error_set_errno(err, errno, "opening %s",
			    k->path);
		if (flock(k->fd, LOCK_EX) != 0 ||
		    fstat(k->fd, &k->info) != 0)
			return error_set_errno(err, errno, "locking %s",
			    k->path);
		if (!S_ISREG(k->info.st_mode))
			return error_set(err, "%s is no regular file",
			    k->path);
		follow(k);
		if (is_current(k))
			return load(k, err);
		close(k->fd);
	}
}

int
keystore_read(struct keystore *k, const char *path, struct error *err)
{
	*k = (struct keystore){ .path = resolve(path), .fd = -1 };
	return load(k, err);
}

static int
write_all(int fd, struct span text)
{
	while (text.len > 0) {
		ssize_t n = write(fd, text.p, text.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		text = span_of(text.p + n, text.len - (size_t)n);
	}
	return 0;
}

/* The name of the file is on the disk only when its folder is. */
static int
sync_folder(const char *path)
{
	char *copy = heap_alloc_strdup(path);
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int result = fd >= 0 ? fsync(fd) : -1;

	if (fd >= 0)
		close(fd);
	free(copy);
	return result;
}

/* -1 with errno, and the step that failed. */
static int
fill(const struct keystore *k, int fd, const char *temporary,
    struct span text, const char **step)
{
	struct stat made;

	*step = "writing";
	if (fstat(fd, &made) != 0 || write_all(fd, text) != 0)
		return -1;
	*step = "keeping the owner of";
	if ((made.st_uid != k->info.st_uid || made.st_gid != k->info.st_gid) &&
	    fchown(fd, k->info.st_uid, k->info.st_gid) != 0)
		return -1;
	*step = "keeping the mode of";
	if (fchmod(fd, k->info.st_mode & 07777) != 0)
		return -1;
	*step = "writing";
	if (fsync(fd) != 0)
		return -1;
	*step = "replacing";
	return rename(temporary, k->path);
}

int
keystore_replace(struct keystore *k, struct span text, struct error *err)
{
	size_t size = strlen(k->path) + sizeof(".XXXXXX");
	char *temporary = heap_alloc(size);
	const char *step = "making a file beside";
	int fd, result = -1, saved;

	snprintf(temporary, size, "%s.XXXXXX", k->path);
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd >= 0)
		result = fill(k, fd, temporary, text, &step);
	saved = errno;
	if (fd >= 0) {
		if (result != 0)
			unlink(temporary);
		close(fd);
	}
	free(temporary);
	if (result != 0)
		return error_set_errno(err, saved, "%s %s", step, k->path);
	/* It is in force already: no failure, or a new key would be lost. */
	if (sync_folder(k->path) != 0)
		fprintf(stderr, "weirctl: warning: syncing the folder of %s: "
		    "%s\n", k->path, strerror(errno));
	return 0;
}

void
keystore_close(struct keystore *k)
{
	if (k->fd >= 0)
		close(k->fd);
	free(k->path);
	free(k->text);
}
