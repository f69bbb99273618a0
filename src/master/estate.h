/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * estate - what an instance owns and a successor may take over: the meaning of
 * the records of a manifest.
 *
 * A giver fills one with what is its own and encodes it; descriptors and texts
 * are borrowed then.  A taker decodes one, owns all of it, sets to -1 what it
 * has used, and estate_fini() closes the rest.  What is decoded comes from
 * another version of weir, or from workers: lengths and counts are checked
 * here, what the descriptors are is checked by whoever uses them.
 */
#ifndef MASTER_ESTATE_H
#define MASTER_ESTATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "os/addr.h"
#include "os/sock_tune.h"

struct error;
struct manifest;

/* Types of records; a number is never used for something else. */
enum estate_record {
	ESTATE_HEADER = 1,
	ESTATE_LISTENER,
	ESTATE_ZONE,
	ESTATE_BACKENDS,
	ESTATE_LANES,
	ESTATE_LOG,
	ESTATE_RINGS,
	ESTATE_PID_FILE,
	ESTATE_ORPHANS,
	ESTATE_PROCESS,
	ESTATE_TICKET_KEYS, /* reserved */
	ESTATE_CONTROL,
	ESTATE_INIT,
	ESTATE_COUNTERS,
};

struct estate_listener {
	struct addr addr; /* as configured: the port may be 0 */
	bool reuseport;
	bool ipv6_only;
	bool is_admin;
	bool defer_accept;
	bool is_steered;   /* see os/sock.h */
	bool has_owner;
	bool is_given;     /* the service manager's */
	uint32_t backlog;
	uint32_t keepalive_s;
	struct sock_tune tune;
	uint32_t mode;     /* of a Unix socket's file */
	uint32_t uid;
	uint32_t gid;
	uint64_t file_dev; /* of a Unix socket's file; 0 = none */
	uint64_t file_ino;
	int *fds;
	size_t fd_count;
};

struct estate_zone {
	char *name;
	uint32_t version; /* of the layout */
	uint64_t bytes;   /* of the data, see os/shmem.h */
	int fd;
};

/* A slot of the zone "backends", as the giver's own table says. */
struct estate_backend {
	char *name; /* NULL = never used */
	uint32_t version;
};

struct estate_log {
	char *path;
	uint32_t target; /* its number in the giver's rings */
	int fd;
};

struct estate_process {
	uint32_t slot; /* enum generation_process */
	pid_t pid;
};

struct estate {
	/* Header. */
	char *weir_version;
	pid_t pid;
	uint64_t generation;
	uint32_t process_slots; /* of the counters */
	uint32_t draining; /* generations that drain, see generations.h */
	struct estate_listener *listeners;
	size_t listener_count;
	struct estate_zone *zones;
	size_t zone_count;
	char *counters; /* the layout of "metrics", in words; NULL = unknown */
	/* Of the zone "backends": by slot, and the last version given. */
	struct estate_backend *backends;
	size_t backend_count;
	uint32_t backend_versions;
	int *lanes; /* two descriptors a slot */
	size_t lane_fd_count;
	struct estate_log *logs;
	size_t log_count;
	int *rings; /* zones "log.N", in any order */
	size_t ring_count;
	int kick_fd; /* -1 = none */
	char *pid_path; /* NULL = none */
	int pid_fd;     /* the lock goes with it; -1 = none */
	int orphans_fd; /* listens; -1 = none */
	char *control_path; /* NULL = none */
	int control_fd; /* listens; -1 = none */
	int init_fd; /* the conversation with a process 1; -1 = none */
	struct estate_process *processes;
	size_t process_count;
};

void estate_init(struct estate *e);
/*
 * Free all; is_taker: close the descriptors that are left.  A giver's texts
 * are its own as well (heap).
 */
void estate_fini(struct estate *e, bool is_taker);

/* Room for one more; zeroed, its descriptors -1. */
struct estate_listener *estate_add_listener(struct estate *e);
struct estate_zone *estate_add_zone(struct estate *e);
struct estate_log *estate_add_log(struct estate *e);
struct estate_process *estate_add_process(struct estate *e);

/* Lends the descriptors to m. */
void estate_encode(const struct estate *e, struct manifest *m);
/*
 * e is initialised here.  -1 and err where the manifest makes no sense; e is
 * empty then.  Descriptors that are used leave m.
 */
int estate_decode(struct estate *e, const struct manifest *m,
    struct error *err) __attribute__((warn_unused_result));

#endif
