/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Manifests and what they mean: there and back, cut at every byte, with
 * records of later versions; no descriptor stays open.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "master/estate.h"
#include "master/manifest.h"
#include "../descriptors.h"

static int
any_fd(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static int *
some_fds(size_t count)
{
	int *fds = heap_alloc(count * sizeof(*fds));

	for (size_t i = 0; i < count; i++)
		fds[i] = any_fd();
	return fds;
}

/* One of everything; to be given back as a taker does. */
static void
make(struct estate *e)
{
	struct estate_listener *l;
	struct estate_zone *z;
	struct estate_log *log;

	estate_init(e);
	e->weir_version = heap_alloc_strdup("9.9");
	e->pid = 4711;
	e->generation = 12;
	e->process_slots = 70;
	e->draining = 3;
	l = estate_add_listener(e);
	l->addr.u.in.sin_family = AF_INET;
	l->addr.u.in.sin_port = htons(8080);
	l->addr.len = sizeof(l->addr.u.in);
	l->reuseport = true;
	l->fds = some_fds(3);
	l->fd_count = 3;
	l = estate_add_listener(e);
	l->addr.u.un.sun_family = AF_UNIX;
	strcpy(l->addr.u.un.sun_path, "/run/a.sock");
	l->addr.len = sizeof(l->addr.u.un);
	l->is_admin = true;
	l->has_owner = true;
	l->is_given = true;
	l->backlog = 511;
	l->keepalive_s = 60;
	for (uint32_t i = 0; i < SOCK_TUNE_COUNT; i++)
		l->tune.values[i] = 1000 + i;
	l->mode = 0660;
	l->uid = 5;
	l->gid = 6;
	l->file_dev = 5;
	l->file_ino = 1 + (UINT64_C(1) << 40);
	l->fds = some_fds(1);
	l->fd_count = 1;
	z = estate_add_zone(e);
	z->name = heap_alloc_strdup("metrics");
	z->version = 77;
	z->bytes = UINT64_C(3) << 33;
	z->fd = any_fd();
	e->backend_versions = 65536;
	e->backend_count = 2;
	e->backends = heap_alloc_zeroed(2, sizeof(*e->backends));
	e->backends[1].name = heap_alloc_strdup("app/10.0.0.1:80");
	e->backends[1].version = 3;
	e->lanes = some_fds(4);
	e->lane_fd_count = 4;
	log = estate_add_log(e);
	log->path = heap_alloc_strdup("/var/log/a");
	log->target = 2;
	log->fd = any_fd();
	log = estate_add_log(e);
	log->path = heap_alloc_strdup("syslog");
	log->target = 3;
	e->kick_fd = any_fd();
	e->rings = some_fds(2);
	e->ring_count = 2;
	e->pid_path = heap_alloc_strdup("/run/weir.pid");
	e->pid_fd = any_fd();
	e->orphans_fd = any_fd();
	e->control_path = heap_alloc_strdup("/run/control");
	e->control_fd = any_fd();
	e->init_fd = any_fd();
	*estate_add_process(e) = (struct estate_process){ 7, 4712 };
}

static void
check(const struct estate *e)
{
	assert_string_equal(e->weir_version, "9.9");
	assert_int_equal(e->pid, 4711);
	assert_int_equal(e->generation, 12);
	assert_int_equal(e->process_slots, 70);
	assert_int_equal(e->draining, 3);
	assert_int_equal(e->listener_count, 2);
	assert_int_equal(e->listeners[0].addr.u.in.sin_port, htons(8080));
	assert_true(e->listeners[0].reuseport);
	assert_false(e->listeners[0].is_admin);
	assert_false(e->listeners[0].is_given);
	assert_true(e->listeners[1].is_given);
	assert_int_equal(e->listeners[0].fd_count, 3);
	assert_true(e->listeners[1].is_admin);
	assert_string_equal(e->listeners[1].addr.u.un.sun_path,
	    "/run/a.sock");
	assert_int_equal(e->listeners[1].file_dev, 5);
	assert_true(e->listeners[1].has_owner);
	assert_false(e->listeners[1].is_steered);
	assert_int_equal(e->listeners[1].backlog, 511);
	assert_int_equal(e->listeners[1].keepalive_s, 60);
	for (uint32_t i = 0; i < SOCK_TUNE_COUNT; i++)
		assert_int_equal(e->listeners[1].tune.values[i], 1000 + i);
	assert_int_equal(e->listeners[1].mode, 0660);
	assert_int_equal(e->listeners[1].uid, 5);
	assert_int_equal(e->listeners[1].gid, 6);
	assert_int_equal(e->listeners[1].file_ino, 1 + (UINT64_C(1) << 40));
	assert_int_equal(e->zone_count, 1);
	assert_string_equal(e->zones[0].name, "metrics");
	assert_int_equal(e->zones[0].version, 77);
	assert_int_equal(e->zones[0].bytes, UINT64_C(3) << 33);
	assert_int_equal(e->backend_versions, 65536);
	assert_int_equal(e->backend_count, 2);
	assert_null(e->backends[0].name);
	assert_string_equal(e->backends[1].name, "app/10.0.0.1:80");
	assert_int_equal(e->backends[1].version, 3);
	assert_int_equal(e->lane_fd_count, 4);
	assert_int_equal(e->log_count, 2);
	assert_string_equal(e->logs[0].path, "/var/log/a");
	assert_int_equal(e->logs[0].target, 2);
	assert_true(e->logs[0].fd >= 0);
	assert_int_equal(e->logs[1].fd, -1);
	assert_int_equal(e->ring_count, 2);
	assert_true(e->kick_fd >= 0);
	assert_string_equal(e->pid_path, "/run/weir.pid");
	assert_true(e->pid_fd >= 0);
	assert_true(e->orphans_fd >= 0);
	assert_string_equal(e->control_path, "/run/control");
	assert_true(e->control_fd >= 0);
	assert_true(e->init_fd >= 0);
	assert_int_equal(e->process_count, 1);
	assert_int_equal(e->processes[0].slot, 7);
	assert_int_equal(e->processes[0].pid, 4712);
}

/* As it would come over a socket: copies of the descriptors. */
static void
send_over(const struct manifest *from, size_t len, struct manifest *to)
{
	struct error err;

	manifest_init(to, true);
	for (size_t i = 0; i < from->fd_count; i++) {
		int fd = fcntl(from->fds[i], F_DUPFD_CLOEXEC, 3);

		assert_int_equal(manifest_append(to, SPAN(""), &fd, 1, &err),
		    0);
	}
	assert_int_equal(manifest_append(to, span_of(from->bytes, len), NULL,
	    0, &err), 0);
}

static void
test_there_and_back(void **state)
{
	size_t open_before = descriptors_open();
	struct estate e, copy;
	struct manifest m, came;
	struct error err;

	(void)state;
	make(&e);
	manifest_init(&m, false);
	estate_encode(&e, &m);
	send_over(&m, m.len, &came);
	assert_int_equal(estate_decode(&copy, &came, &err), 0);
	check(&copy);
	manifest_fini(&m);
	manifest_fini(&came);
	estate_fini(&copy, true);
	estate_fini(&e, true);
	assert_int_equal(descriptors_open(), open_before);
}

static void
test_cut_at_every_byte(void **state)
{
	struct estate e, copy;
	struct manifest m;
	struct error err;
	size_t open_before;

	(void)state;
	make(&e);
	/* Without the last record, which has no descriptors, it is whole. */
	e.process_count = 0;
	manifest_init(&m, false);
	estate_encode(&e, &m);
	open_before = descriptors_open();
	for (size_t len = 0; len < m.len; len++) {
		struct manifest came;

		send_over(&m, len, &came);
		assert_int_equal(estate_decode(&copy, &came, &err), -1);
		assert_true(strlen(err.text) > 0);
		manifest_fini(&came);
	}
	assert_int_equal(descriptors_open(), open_before);
	manifest_fini(&m);
	estate_fini(&e, true);
}

/* Each byte turned over: either refused or understood, nothing leaks. */
static void
test_any_byte_may_be_wrong(void **state)
{
	struct estate e, copy;
	struct manifest m;
	struct error err;
	size_t open_before;

	(void)state;
	make(&e);
	manifest_init(&m, false);
	estate_encode(&e, &m);
	open_before = descriptors_open();
	for (size_t at = 0; at < m.len; at++) {
		struct manifest came;

		send_over(&m, m.len, &came);
		came.bytes[at] = (char)~came.bytes[at];
		if (estate_decode(&copy, &came, &err) == 0)
			estate_fini(&copy, true);
		manifest_fini(&came);
	}
	assert_int_equal(descriptors_open(), open_before);
	manifest_fini(&m);
	estate_fini(&e, true);
}

/* What a later version may send: more types, longer bodies, new versions. */
static void
test_later_version(void **state)
{
	size_t open_before = descriptors_open();
	struct estate copy;
	struct manifest m;
	struct error err;

	(void)state;
	manifest_init(&m, true);
	manifest_begin(&m, 999, 1);
	manifest_put_u64(&m, 1);
	manifest_put_fd(&m, any_fd());
	manifest_put_fd(&m, any_fd());
	manifest_end(&m);
	manifest_begin(&m, ESTATE_HEADER, 1);
	manifest_put_span(&m, SPAN("10.0"));
	manifest_put_u32(&m, 5);
	manifest_put_u64(&m, 6);
	manifest_put_u32(&m, 7);
	manifest_put_u32(&m, 0);
	manifest_put_span(&m, SPAN("a field of the future"));
	manifest_end(&m);
	manifest_begin(&m, ESTATE_PID_FILE, 2);
	manifest_put_fd(&m, any_fd());
	manifest_end(&m);
	assert_int_equal(estate_decode(&copy, &m, &err), 0);
	assert_string_equal(copy.weir_version, "10.0");
	assert_int_equal(copy.pid, 5);
	assert_null(copy.pid_path);
	assert_int_equal(copy.pid_fd, -1);
	estate_fini(&copy, true);
	manifest_fini(&m);
	assert_int_equal(descriptors_open(), open_before);
}

/* What an earlier version sends: shorter bodies, fewer records. */
static void
test_earlier_version(void **state)
{
	struct estate copy;
	struct manifest m;
	struct error err;

	(void)state;
	manifest_init(&m, true);
	manifest_begin(&m, ESTATE_HEADER, 1);
	manifest_put_span(&m, SPAN("0.1"));
	manifest_put_u32(&m, 5);
	manifest_put_u64(&m, 6);
	manifest_put_u32(&m, 7);
	manifest_end(&m);
	assert_int_equal(estate_decode(&copy, &m, &err), 0);
	assert_int_equal(copy.process_slots, 7);
	assert_int_equal(copy.draining, 0);
	assert_int_equal(copy.init_fd, -1);
	estate_fini(&copy, true);
	manifest_fini(&m);
}

static void
test_nonsense(void **state)
{
	static const struct {
		const char *name;
		unsigned type, times;
		bool has_header;
		const char *want;
	} rows[] = {
		{ "nothing", 0, 0, false, "no header" },
		{ "no header", ESTATE_ORPHANS, 1, false, "no header" },
		{ "orphans twice", ESTATE_ORPHANS, 2, true, "no sense" },
		{ "half a lane", ESTATE_LANES, 1, true, "no sense" },
		{ "a zone that ends", ESTATE_ZONE, 1, true, "no sense" },
		{ "a listener without address", ESTATE_LISTENER, 1, true,
		    "no sense" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		size_t open_before = descriptors_open();
		struct estate copy;
		struct manifest m;
		struct error err;

		manifest_init(&m, true);
		if (rows[i].has_header) {
			manifest_begin(&m, ESTATE_HEADER, 1);
			manifest_put_span(&m, SPAN("1"));
			manifest_put_u32(&m, 5);
			manifest_put_u64(&m, 6);
			manifest_put_u32(&m, 7);
	manifest_put_u32(&m, 7);
			manifest_end(&m);
		}
		for (unsigned j = 0; j < rows[i].times; j++) {
			manifest_begin(&m, rows[i].type, 1);
			manifest_put_fd(&m, any_fd());
			manifest_end(&m);
		}
		if (estate_decode(&copy, &m, &err) != -1 ||
		    strstr(err.text, rows[i].want) == NULL)
			fail_msg("%s: %s", rows[i].name, err.text);
		manifest_fini(&m);
		assert_int_equal(descriptors_open(), open_before);
	}
}

static void
test_descriptors_must_add_up(void **state)
{
	struct manifest m;
	struct error err;
	int fd = any_fd();

	(void)state;
	manifest_init(&m, true);
	assert_int_equal(manifest_append(&m, SPAN(""), &fd, 1, &err), 0);
	assert_int_equal(manifest_check(&m, &err), -1);
	assert_non_null(strstr(err.text, "more descriptors came"));
	manifest_fini(&m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_cut_at_every_byte),
		cmocka_unit_test(test_any_byte_may_be_wrong),
		cmocka_unit_test(test_later_version),
		cmocka_unit_test(test_earlier_version),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_descriptors_must_add_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
