/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pidfile - the file that names the running master, and the lock on it by
 * which two instances know of each other.
 *
 * The lock belongs to the open file, so that it can be handed on; it goes when
 * the last process that has the descriptor closes it or dies.
 */
#ifndef MASTER_PIDFILE_H
#define MASTER_PIDFILE_H

#include <stdbool.h>
#include <sys/types.h>

struct error;

struct pidfile {
	char *path; /* NULL = there is none */
	int fd;    /* -1 = none */
	bool is_lent; /* a predecessor's, until we write it */
};

/*
 * Create or take over the file at path (NULL: none), lock it, and write this
 * process's number.  -1 and err on failure, also when another instance has it.
 */
int pidfile_open(struct pidfile *f, const char *path, struct error *err)
    __attribute__((warn_unused_result));
/*
 * The process that holds the lock on the file at path; -1 and err if nobody
 * does, whatever number stands in it.
 */
int pidfile_owner(const char *path, pid_t *pid, struct error *err)
    __attribute__((warn_unused_result));
/* Write this process's number, at once as a whole; keeps or renews the lock. */
int pidfile_write(struct pidfile *f, struct error *err)
    __attribute__((warn_unused_result));
/*
 * In an upgrade: fd is the predecessor's, and carries its lock.  -1, and fd
 * stays the caller's, if it is another file than the one at path, or somebody
 * else has the lock.  The number in it stays until pidfile_write().
 */
int pidfile_adopt(struct pidfile *f, const char *path, int fd);
/* False if there is another file at the path, or none, or not our number. */
bool pidfile_is_ours(const struct pidfile *f);
/* Remove the file if it is still ours, and give up the lock. */
void pidfile_remove(struct pidfile *f);
/* In a forked process: file and lock stay the master's. */
void pidfile_forget(struct pidfile *f);

#endif
