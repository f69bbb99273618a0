/* SPDX-License-Identifier: BSD-2-Clause */
/* settings - the process settings: the top level of weir.conf. */
#ifndef SITE_SETTINGS_H
#define SITE_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/item.h"
#include "net/resolver.h"

enum { SETTINGS_WORKERS_AUTO = 0, SETTINGS_WORKERS_MAX = 256 };

/* What QUIT does where no successor waits. */
enum settings_quit_alone {
	SETTINGS_QUIT_UPGRADE, /* start one, as USR2 */
	SETTINGS_QUIT_SERVE,
	SETTINGS_QUIT_STOP,
};

struct settings_error_log {
	const char *path; /* NULL or "stderr": stderr; "syslog" */
	uint32_t level;   /* enum log_level */
};

struct settings_admin {
	const struct addr_spec *address; /* NULL: no admin listener */
};

/* Who is asked for the names of backends. */
struct settings_resolver {
	struct conf_strings servers; /* none: those of resolv.conf */
	const char *server_list;     /* the same, for the resolver */
	uint64_t timeout_ms;
	uint32_t tries;
};

struct settings_control {
	const char *path; /* NULL or "": no control socket */
	uint32_t mode;
	const char *owner;
	const char *group;
	bool is_default;  /* nobody has chosen path */
};

struct settings {
	uint32_t version;
	uint32_t workers; /* SETTINGS_WORKERS_AUTO = as many as CPUs */
	const char *user;
	const char *group;
	bool daemon;
	uint64_t daemon_ready_timeout_ms;
	const char *pid_file; /* NULL: none */
	const char *upgrade_sock;
	uint64_t upgrade_timeout_ms;
	uint32_t quit_alone; /* enum settings_quit_alone */
	bool daemon_wait_for_ready;
	const char *working_directory;
	uint32_t sandbox;          /* enum sandbox_level */
	const char *chroot;        /* of workers; NULL: none */
	bool core_dumps;
	bool key_isolation;
	uint32_t open_files_max;   /* of a process; 0: as it is */
	uint64_t memory_max_bytes; /* of a process; 0: as it is */
	struct settings_error_log error_log;
	uint32_t unknown_settings; /* enum conf_unknown */
	uint32_t event_loop;       /* enum loop_backend */
	uint32_t connections_max;  /* per worker */
	uint64_t body_memory_bytes;
	uint32_t helper_threads;
	uint32_t helper_queue;
	uint32_t backends_max;
	uint32_t routes_max;
	uint64_t log_ring_bytes;
	uint64_t shutdown_timeout_ms;
	uint64_t shutdown_delay_ms;
	uint32_t max_draining_generations;
	uint64_t orphan_timeout_ms;
	uint32_t upstream_keepalive_pool_size;
	struct settings_admin admin;
	struct settings_control control;
	struct settings_resolver resolver;
};

extern const struct conf_table settings_table;

/* How names are asked for; borrows from s. */
void settings_resolver(const struct settings *s,
    struct resolver_options *options);

#endif
