/* SPDX-License-Identifier: BSD-2-Clause */
/* Zones and lanes that a predecessor left: of our size, and of another. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <fcntl.h>
#include <stdint.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fixture.h"
#include "clock.h"

#include "os/shmem.h"
#include "upstream/backend_inherit.h"
#include "upstream/backend_zone.h"
#include "upstream/lane.h"

static struct backend_zone *left; /* the predecessor's */
static struct fixture theirs, ours;

static int
setup(void **state)
{
	struct error err;

	(void)state;
	left = backend_zone_new(4, &err);
	if (left == NULL)
		return -1;
	fixture_init(&theirs, "app", "a.test:80 b.test:80 c.test:80");
	fixture_init(&ours, "app", "c.test:80 d.test:80 b.test:80");
	return group_bind(theirs.group, left, &err);
}

static int
teardown(void **state)
{
	(void)state;
	group_unbind(theirs.group, left);
	fixture_fini(&theirs);
	fixture_fini(&ours);
	backend_zone_free(left);
	return 0;
}

static int
copy_fd(void)
{
	return fcntl(backend_zone_memory(left)->fd, F_DUPFD_CLOEXEC, 3);
}

/* The table as it comes with the manifest. */
static void
tell(struct backend_owner *owners, uint32_t *versions)
{
	*versions = backend_zone_reserve(left);
	for (size_t i = 0; i < backend_zone_slots(left); i++)
		owners[i] = backend_zone_owner(left, i);
}

/* As the background process and weirctl leave it. */
static void
mark(void)
{
	struct backend_addresses list;

	fixture_addresses(&list, "192.0.2.7");
	atomic_store(&theirs.group->backends[1].shared->state,
	    BACKEND_DRAINED);
	atomic_store(&theirs.group->backends[1].shared->since_ms, 77);
	atomic_store(&theirs.group->backends[2].shared->weight, 9);
	atomic_store(&theirs.group->backends[2].shared->parked, 3);
	assert_int_equal(backend_publish(&theirs.group->backends[2], &list),
	    0);
}

/* What ours[0] ("c") and ours[2] ("b") have to be. */
static void
check_marks(void)
{
	const struct backend *b = ours.group->backends;
	struct backend_addresses got;

	assert_int_equal(backend_weight(&b[0]), 9);
	assert_int_equal(backend_state(&b[0]), 0);
	assert_true(backend_addresses(&b[0], &got));
	assert_int_equal(got.count, 1);
	assert_int_equal(got.items[0].bytes[15], 7);
	assert_int_equal(backend_state(&b[2]), BACKEND_DRAINED);
	assert_int_equal(atomic_load(&b[2].shared->since_ms), 77);
	/* "d" is new. */
	assert_int_equal(backend_weight(&b[1]), 1);
	assert_int_equal(backend_state(&b[1]), 0);
	assert_false(backend_addresses(&b[1], &got));
	assert_string_equal(b[1].shared->name, "app/d.test:80");
}

static void
test_same_size(void **state)
{
	struct backend_owner owners[4];
	struct backend_zone *zone;
	struct error err;
	uint32_t versions;

	(void)state;
	mark();
	tell(owners, &versions);
	zone = backend_zone_adopt(copy_fd(), 4, owners, 4, versions, &err);
	assert_non_null(zone);
	assert_int_equal(group_bind(ours.group, zone, &err), 0);
	check_marks();
	/* It is the same memory, and the same slots. */
	assert_int_equal(ours.group->backends[0].slot,
	    theirs.group->backends[2].slot);
	assert_int_equal(ours.group->backends[0].slot_version,
	    theirs.group->backends[2].slot_version);
	assert_int_equal(atomic_load(
	    &ours.group->backends[0].shared->parked), 3);
	/* A new name's version is none that the other one will give. */
	assert_true(ours.group->backends[1].slot_version > versions);
	group_unbind(ours.group, zone);
	backend_zone_free(zone);
}

static void
test_what_is_no_such_zone(void **state)
{
	struct backend_owner owners[4];
	struct shmem other;
	struct error err;
	uint32_t versions;

	(void)state;
	tell(owners, &versions);
	assert_null(backend_zone_adopt(copy_fd(), 5, owners, 5, versions,
	    &err));
	assert_null(backend_zone_adopt(copy_fd(), 4, owners, 3, versions,
	    &err));
	assert_non_null(strstr(err.text, "3 slots"));
	assert_null(backend_inherit_zone(copy_fd(), 8, owners, 3, versions,
	    &err));
	assert_null(backend_inherit_zone(copy_fd(), 8, owners, 0, versions,
	    &err));
	assert_non_null(strstr(err.text, "without its table"));
	assert_int_equal(shmem_create(&other, "else", 1, 64, &err), 0);
	assert_null(backend_inherit_zone(dup(other.fd), 8, owners, 4,
	    versions, &err));
	shmem_close(&other);
}

static void
test_other_size(void **state)
{
	static const size_t sizes[] = { 3, 4, 5, 64 };

	(void)state;
	mark();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct backend_owner owners[4];
		struct backend_zone *zone;
		struct error err;
		uint32_t versions;

		tell(owners, &versions);
		zone = backend_inherit_zone(copy_fd(), sizes[i], owners, 4,
		    versions, &err);
		assert_non_null(zone);
		assert_int_equal(group_bind(ours.group, zone, &err), 0);
		check_marks();
		/* The connections that wait in lanes are not there. */
		assert_int_equal(atomic_load(
		    &ours.group->backends[0].shared->parked), 0);
		group_unbind(ours.group, zone);
		backend_zone_free(zone);
	}
}

/* Two of three have room; a name that has none is a new one later. */
static void
test_no_room(void **state)
{
	struct backend_owner owners[4];
	struct fixture few;
	struct backend_zone *zone;
	struct error err;
	uint32_t versions;

	(void)state;
	mark();
	tell(owners, &versions);
	zone = backend_inherit_zone(copy_fd(), 2, owners, 4, versions, &err);
	assert_non_null(zone);
	fixture_init(&few, "app", "b.test:80 c.test:80");
	assert_int_equal(group_bind(few.group, zone, &err), 0);
	assert_int_equal(backend_state(&few.group->backends[0]),
	    BACKEND_DRAINED);
	assert_int_equal(backend_weight(&few.group->backends[1]), 1);
	group_unbind(few.group, zone);
	fixture_fini(&few);
	backend_zone_free(zone);
}

/* A process of the predecessor with `count` requests at "b". */
static pid_t
serve(uint32_t count, int *go)
{
	int ready[2], hold[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(hold), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct backend *b = &theirs.group->backends[1];
		struct backend_cell *cells = backend_zone_join(left);

		close(hold[1]);
		b->own = &cells[b->slot];
		b->is_counted = true;
		for (uint32_t i = 0; i < count; i++)
			backend_begin(b);
		(void)!write(ready[1], "r", 1);
		(void)!read(hold[0], &byte, 1);
		_exit(0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	close(hold[0]);
	*go = hold[1];
	return pid;
}

/* Requests stay where they are, and both sides' sum is what counts. */
static void
test_counts(void **state)
{
	struct backend_owner owners[4];
	struct backend_zone *zone;
	struct backend *b;
	struct error err;
	uint32_t versions;
	pid_t pid;
	int go;

	(void)state;
	pid = serve(5, &go);
	tell(owners, &versions);
	zone = backend_inherit_zone(copy_fd(), 16, owners, 4, versions, &err);
	assert_non_null(zone);
	assert_int_equal(group_bind(ours.group, zone, &err), 0);
	b = &ours.group->backends[2];
	assert_int_equal(backend_in_flight(b), 0);

	/* From here on as in the background process. */
	backend_inherit_serve(zone, true);
	backend_zone_mend(zone);
	assert_int_equal(backend_in_flight(b), 5);
	backend_zone_mend(zone);
	assert_int_equal(backend_in_flight(b), 5);
	/* Another generation's does it now. */
	backend_inherit_serve(zone, false);
	backend_zone_mend(zone);
	assert_int_equal(backend_in_flight(b), 0);
	backend_inherit_serve(zone, true);
	backend_zone_mend(zone);
	assert_int_equal(backend_in_flight(b), 5);

	/* Killed with all that it had, and nobody else sees to it. */
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(go);
	backend_zone_mend(zone);
	assert_int_equal(backend_in_flight(b), 0);
	backend_inherit_end(zone);
	backend_zone_mend(zone);
	group_unbind(ours.group, zone);
	backend_zone_free(zone);
}

/* A slot that goes to another name is nobody's heritage any more. */
static void
test_slot_renamed(void **state)
{
	struct backend_owner owners[4];
	struct backend_zone *zone;
	struct fixture other;
	struct error err;
	uint32_t versions;
	pid_t pid;
	int go;

	(void)state;
	pid = serve(2, &go);
	tell(owners, &versions);
	zone = backend_inherit_zone(copy_fd(), 3, owners, 4, versions, &err);
	assert_non_null(zone);
	backend_inherit_serve(zone, true);
	backend_zone_mend(zone);
	fixture_init(&other, "app", "x.test:80 y.test:80 z.test:80");
	assert_int_equal(group_bind(other.group, zone, &err), 0);
	backend_zone_mend(zone);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(backend_in_flight(&other.group->backends[i]),
		    0);
	close(go);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	group_unbind(other.group, zone);
	fixture_fini(&other);
	backend_zone_free(zone);
}

/* ---- lanes ---- */

static void
test_lanes(void **state)
{
	struct lane_meta meta = { .idle_since_ms = 1, .expires_ms = 1 << 30 };
	struct lane_counts counts = { .parked = 0 };
	struct backend_owner owners[4];
	struct lane_set *lanes, *taken;
	struct backend_zone *zone;
	struct lane_meta got;
	struct error err;
	uint32_t versions;
	int fds[8], pair[2];
	int fd;

	(void)state;
	lanes = lane_set_new(4, &err);
	assert_non_null(lanes);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0,
	    pair), 0);
	meta.served = 42;
	assert_int_equal(lane_send(lanes, &theirs.group->backends[2],
	    pair[0], &meta, &counts), LANE_PARKED);
	lane_set_descriptors(lanes, fds);
	for (size_t i = 0; i < 8; i++)
		fds[i] = dup(fds[i]);
	tell(owners, &versions);
	zone = backend_zone_adopt(copy_fd(), 4, owners, 4, versions, &err);
	taken = lane_set_adopt(fds, 8, &err);
	assert_non_null(taken);
	assert_int_equal(lane_set_count(taken), 4);
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(fds[i], -1);
	lane_set_free(lanes);
	assert_int_equal(group_bind(ours.group, zone, &err), 0);
	fd = lane_take(taken, &ours.group->backends[0], 10, &got, &counts);
	assert_true(fd >= 0);
	assert_int_equal(got.served, 42);
	close(fd);
	close(pair[1]);
	group_unbind(ours.group, zone);
	lane_set_free(taken);
	backend_zone_free(zone);
}

static void
test_what_is_no_lane(void **state)
{
	struct error err;
	int fds[4];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds + 2), 0);
	assert_null(lane_set_adopt(fds, 4, &err));
	assert_non_null(strstr(err.text, "lane 1"));
	/* They are still the caller's. */
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(close(fds[i]), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_same_size, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_what_is_no_such_zone,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_size, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_no_room, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slot_renamed, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_lanes, setup, teardown),
		cmocka_unit_test(test_what_is_no_lane),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
