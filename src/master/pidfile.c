/* SPDX-License-Identifier: BSD-2-Clause */
/* pidfile - a locked file with a number in it. */
#include "master/pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "master/runfolder.h"

static int
open_file(const char *path)
{
	int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW;
	int fd = open(path, flags, 0644);

	if (fd >= 0 || errno != ENOENT || runfolder_make(path) != 0)
		return fd;
	return open(path, flags, 0644);
}

/* True if the file that is open is the one that path names. */
static bool
is_same_file(int fd, const char *path)
{
	struct stat here, there;

	return fstat(fd, &here) == 0 && stat(path, &there) == 0 &&
	    here.st_dev == there.st_dev && here.st_ino == there.st_ino;
}

/* 0 = there is none in it. */
static long
read_number(int fd)
{
	char text[32] = "";
	long pid = 0;
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	return n > 0 && sscanf(text, "%ld", &pid) == 1 && pid > 0 ? pid : 0;
}

static int
fail_locked(int fd, const char *path, struct error *err)
{
	long pid = read_number(fd);

	if (pid > 0)
		return error_set(err, "pid file %s: another instance is "
		    "running (pid %ld)", path, pid);
	return error_set(err, "pid file %s: another instance is running",
	    path);
}

/* In this order, for a full disk would not give back what was cut off. */
static int
write_pid(int fd)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());

	if (pwrite(fd, text, (size_t)len, 0) != len)
		return -1;
	return ftruncate(fd, len);
}

/*
 * A file of its own, locked before it gets the name: whoever reads sees the
 * old number or the new one, and never a file that is free.
 */
static int
replace(struct pidfile *f)
{
	char name[4096];
	int len = snprintf(name, sizeof(name), "%s.%ld", f->path,
	    (long)getpid());
	int fd;

	if (len < 0 || (size_t)len >= sizeof(name))
		return -1;
	unlink(name);
	fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
	    0644);
	if (fd < 0)
		return -1;
	if (flock(fd, LOCK_EX | LOCK_NB) != 0 || write_pid(fd) != 0 ||
	    rename(name, f->path) != 0) {
		unlink(name);
		close(fd);
		return -1;
	}
	if (f->fd >= 0)
		close(f->fd);
	f->fd = fd;
	return 0;
}

int
pidfile_write(struct pidfile *f, struct error *err)
{
	if (f->path == NULL)
		return 0;
	f->is_lent = false;
	/* Where we may not make a file, the one that is there must do. */
	if (replace(f) == 0 || (f->fd >= 0 && write_pid(f->fd) == 0))
		return 0;
	return error_set_errno(err, errno, "pid file %s: writing", f->path);
}

int
pidfile_adopt(struct pidfile *f, const char *path, int fd)
{
	/* Of no effect on the one that has the lock; others fail. */
	if (path == NULL || fd < 0 || !is_same_file(fd, path) ||
	    flock(fd, LOCK_EX | LOCK_NB) != 0)
		return -1;
	*f = (struct pidfile){ .path = heap_alloc_strdup(path), .fd = fd,
		.is_lent = true };
	return 0;
}

bool
pidfile_is_ours(const struct pidfile *f)
{
	/* Where no file could be made, another one wrote into ours. */
	return is_same_file(f->fd, f->path) &&
	    read_number(f->fd) == (long)getpid();
}

static int
open_locked(struct pidfile *f, const char *path, struct error *err)
{
	/* The one who had the lock may remove the file while we wait. */
	for (int tries = 0; f->fd < 0 && tries < 100; tries++) {
		int fd = open_file(path);

		if (fd < 0)
			return error_set_errno(err, errno, "pid file %s",
			    path);
		if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
			if (errno == EWOULDBLOCK)
				fail_locked(fd, path, err);
			else
				error_set_errno(err, errno, "pid file %s: "
				    "locking", path);
			close(fd);
			return -1;
		}
		if (is_same_file(fd, path))
			f->fd = fd;
		else
			close(fd);
	}
	if (f->fd < 0)
		return error_set(err, "pid file %s: it is removed again and "
		    "again", path);
	return pidfile_write(f, err);
}

int
pidfile_open(struct pidfile *f, const char *path, struct error *err)
{
	*f = (struct pidfile){ .fd = -1 };
	if (path == NULL)
		return 0;
	f->path = heap_alloc_strdup(path);
	if (open_locked(f, path, err) == 0)
		return 0;
	pidfile_remove(f);
	return -1;
}

void
pidfile_remove(struct pidfile *f)
{
	if (f->fd >= 0 && !f->is_lent && is_same_file(f->fd, f->path))
		unlink(f->path);
	pidfile_forget(f);
}

void
pidfile_forget(struct pidfile *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
	free(f->path);
	f->path = NULL;
}

int
pidfile_owner(const char *path, pid_t *pid, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool is_locked;

	if (fd < 0 && errno == ENOENT)
		return error_set(err, "pid file %s: there is none: no "
		    "instance is running", path);
	if (fd < 0)
		return error_set_errno(err, errno, "pid file %s", path);
	is_locked = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
	*pid = is_locked ? (pid_t)read_number(fd) : 0;
	close(fd);
	if (*pid > 0)
		return 0;
	return error_set(err, "pid file %s: %s", path, is_locked
	    ? "there is no number in it"
	    : "nobody has it locked: no instance is running");
}
