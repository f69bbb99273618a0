/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * files - reading, watching and replacing of files.
 *
 * A file has a version: 0 is what was read at load, and then as often as it was
 * replaced.  The master keeps the content of the version that serves, and of
 * one that is being checked.
 */
#include "conf/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/log.h"
#include "conf/report.h"
#include "conf/slurp.h"
#include "os/sealed.h"

enum {
	PATHS = 2,
	ANSWER_MS = 30000, /* who has not answered by then has died */
	PAUSE_MIN_MS = 1000, /* before asking again who could not look */
	LOSSES_MAX = 2,    /* of the content, not of an accident */
	PREPARED_FACTOR = 16, /* how much larger it may become */
};

struct file {
	struct files_spec spec;
	char *name;
	char *paths[PATHS]; /* absolute: the master changes its folder */
	struct files_stamp stamp, seen;
	uint32_t version;
	uint32_t last;      /* that was asked for, or fed */
	int fd;             /* its content, as all get it; -1 = as loaded */
	uint32_t asked;     /* the version that is being checked; 0 = none */
	int asked_fd;
	uint64_t asked_ms;
	unsigned losses;
	bool is_unread;     /* reading failed, and that was logged */
	uint64_t pause_ms;  /* before asking again, doubled each time */
	bool is_paused;     /* who was asked could not look */
	uint32_t taken;     /* in a process: the version it has */
};

struct files {
	struct file *items;
	size_t count;
	bool is_test;
	struct conf_report *report;
};

struct files *
files_new(bool is_test, struct conf_report *report)
{
	struct files *f = heap_alloc_zeroed(1, sizeof(*f));

	f->is_test = is_test;
	f->report = report;
	return f;
}

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void
files_free(struct files *f)
{
	if (f == NULL)
		return;
	for (size_t i = 0; i < f->count; i++) {
		struct file *file = &f->items[i];

		close_fd(&file->fd);
		close_fd(&file->asked_fd);
		for (unsigned p = 0; p < PATHS; p++)
			free(file->paths[p]);
		free(file->name);
	}
	free(f->items);
	free(f);
}

void
files_loaded(struct files *f)
{
	f->report = NULL;
}

size_t
files_count(const struct files *f)
{
	return f->count;
}

const char *
files_name(const struct files *f, size_t i)
{
	return f->items[i].name;
}

int
files_number(const struct files *f, const void *arg)
{
	for (size_t i = 0; f != NULL && i < f->count; i++) {
		if (f->items[i].spec.arg == arg)
			return (int)i;
	}
	return -1;
}

/* ---- reading ---- */

static void
stamp_paths(const char *const paths[PATHS], struct files_stamp *out)
{
	struct stat st;

	memset(out, 0, sizeof(*out));
	for (unsigned i = 0; i < PATHS; i++) {
		if (paths[i] == NULL || stat(paths[i], &st) != 0 ||
		    !S_ISREG(st.st_mode))
			continue;
		out->files[i].mtime_s = st.st_mtim.tv_sec;
		out->files[i].mtime_ns = st.st_mtim.tv_nsec;
		out->files[i].ctime_s = st.st_ctim.tv_sec;
		out->files[i].ctime_ns = st.st_ctim.tv_nsec;
		out->files[i].bytes = (uint64_t)st.st_size;
		out->files[i].inode = st.st_ino;
	}
}

void
files_stamp(const struct files_spec *spec, struct files_stamp *out)
{
	const char *const paths[PATHS] = { spec->path, spec->more };

	stamp_paths(paths, out);
}

static size_t
bytes_max(const struct files_spec *spec)
{
	return spec->bytes_max > 0 ? spec->bytes_max : FILES_BYTES_MAX;
}

/* Of what may have been prepared, or of both files. */
static size_t
content_max(const struct files_spec *spec)
{
	return bytes_max(spec) * PREPARED_FACTOR + FILES_BYTES_MAX;
}

/* Both files, with a line's end between: heap.  -1 with errno. */
static int
read_paths(const char *const paths[PATHS], size_t max, char **bytes,
    size_t *len, const char **bad)
{
	char *more;
	size_t more_len;

	*bad = paths[0];
	if (slurp_file(paths[0], max, bytes, len) != 0)
		return -1;
	if (paths[1] == NULL)
		return 0;
	*bad = paths[1];
	if (slurp_file(paths[1], max, &more, &more_len) != 0) {
		free(*bytes);
		return -1;
	}
	*bytes = heap_alloc_grow(*bytes, *len + more_len + 2, 1);
	(*bytes)[(*len)++] = '\n';
	memcpy(*bytes + *len, more, more_len + 1);
	*len += more_len;
	explicit_bzero(more, more_len);
	free(more);
	return 0;
}

/* Through prepare, if there is one; *out, heap, is what was handed on. */
static int
hand_over(const struct files_spec *spec, struct span content, char **out,
    size_t *out_len, struct error *err)
{
	*out = NULL;
	*out_len = 0;
	if (spec->prepare == NULL)
		return spec->receive(spec->arg, content, err);
	if (spec->prepare(spec->arg, content, out, out_len, err) != 0)
		return -1;
	return spec->receive(spec->arg, span_of(*out, *out_len), err);
}

static int
load(const struct files *f, const struct files_spec *spec, struct error *err)
{
	const char *const paths[PATHS] = { spec->path, spec->more };
	const char *bad;
	char *bytes, *prepared;
	struct error why;
	size_t len, prepared_len;
	int result;

	if (read_paths(paths, bytes_max(spec), &bytes, &len, &bad) != 0) {
		if (errno != EACCES || f == NULL || !f->is_test)
			return error_set(err, "reading %s: %s", bad,
			    slurp_reason(errno));
		conf_report_warning(f->report, NULL, "%s: %s: not tested: "
		    "this user may not read it", spec->what, bad);
		return 1;
	}
	result = hand_over(spec, span_of(bytes, len), &prepared,
	    &prepared_len, &why);
	if (result != 0)
		result = error_set(err, "%s: %s", spec->path, why.text);
	explicit_bzero(bytes, len);
	free(prepared);
	free(bytes);
	return result;
}

static char *
absolute(const char *path)
{
	char *folder, *out = NULL;

	if (path == NULL)
		return NULL;
	folder = path[0] == '/' ? NULL : getcwd(NULL, 0);
	if (asprintf(&out, "%s%s%s", folder != NULL ? folder : "",
	    folder != NULL ? "/" : "", path) < 0)
		abort();
	free(folder);
	return out;
}

static void
add(struct files *f, const struct files_spec *spec,
    const struct files_stamp *stamp)
{
	struct file *file;

	f->items = heap_alloc_grow(f->items, f->count + 1,
	    sizeof(*f->items));
	file = &f->items[f->count++];
	*file = (struct file){ .spec = *spec, .stamp = *stamp,
		.seen = *stamp, .fd = -1, .asked_fd = -1,
		.paths = { absolute(spec->path), absolute(spec->more) } };
	file->spec.read_at = NULL;
	file->spec.what = NULL;
	if (asprintf(&file->name, "%s%s%s", spec->what,
	    spec->path != NULL ? ": " : "",
	    spec->path != NULL ? spec->path : "") < 0)
		abort();
}

int
files_add(struct files *f, const struct files_spec *spec, struct error *err)
{
	struct files_stamp stamp = { .files = { { .bytes = 0 } } };
	int result = 0;

	/* Before it is read: what changes meanwhile is seen later. */
	if (spec->read_at != NULL) {
		stamp = *spec->read_at;
	} else if (spec->path != NULL) {
		files_stamp(spec, &stamp);
		result = load(f, spec, err);
	}
	if (result == 0 && f != NULL)
		add(f, spec, &stamp);
	return result;
}

/* ---- in the master ---- */

static void
refuse(struct file *file, struct span why)
{
	log_error(NULL, "%s has changed and is not used; the old one stays: "
	    "%.*s", file->name, SPAN_ARG(why));
	close_fd(&file->asked_fd);
	file->asked = 0;
	file->losses = 0;
	file->pause_ms = 0;
	file->is_paused = false;
}

/* What is wrong may pass without a change of the file: memory, descriptors. */
static void
note_unread(struct file *file, struct span why)
{
	if (!file->is_unread)
		refuse(file, why);
	file->is_unread = true;
}

static int
read_again(struct file *file)
{
	const char *const paths[PATHS] = { file->paths[0], file->paths[1] };
	const char *bad;
	struct error err;
	char *bytes;
	size_t len;

	if (read_paths(paths, bytes_max(&file->spec), &bytes, &len,
	    &bad) != 0) {
		/* It will not become smaller unseen; nor is it read in vain. */
		bool is_final = errno == EFBIG;

		error_set(&err, "reading %s: %s", bad, slurp_reason(errno));
		note_unread(file, span_cstr(err.text));
		file->is_unread = !is_final;
		return -1;
	}
	file->asked_fd = sealed_new("weir-file", span_of(bytes, len), &err);
	explicit_bzero(bytes, len);
	free(bytes);
	if (file->asked_fd < 0) {
		note_unread(file, span_cstr(err.text));
		return -1;
	}
	file->is_unread = false;
	file->asked = ++file->last;
	return 0;
}

static bool
has_changed(struct file *file)
{
	const char *const paths[PATHS] = { file->paths[0], file->paths[1] };
	struct files_stamp now;
	bool is_new;

	if (paths[0] == NULL)
		return false;
	stamp_paths(paths, &now);
	if (memcmp(&now, &file->stamp, sizeof(now)) == 0) {
		file->seen = now;
		return file->is_unread;
	}
	/* Half of it may be written yet: it has to rest first. */
	is_new = memcmp(&now, &file->seen, sizeof(now)) != 0;
	file->seen = now;
	if (is_new)
		return false;
	file->stamp = now;
	file->is_unread = false;
	return true;
}

/* The one that was asked is silent: it has died, of this or of something. */
static bool
is_lost(struct file *file, uint64_t now_ms)
{
	uint64_t wait_ms = file->is_paused ? file->pause_ms : ANSWER_MS;
	bool was_paused = file->is_paused;

	if (file->asked_ms + wait_ms > now_ms)
		return false;
	file->is_paused = false;
	if (was_paused)
		return true;
	if (++file->losses < LOSSES_MAX)
		return true;
	refuse(file, SPAN("the process that checked it did not answer"));
	return false;
}

enum files_next
files_look(struct files *f, size_t i, uint64_t now_ms, uint32_t *version,
    int *fd)
{
	struct file *file = &f->items[i];

	bool was_asked = file->asked != 0;
	bool is_changed, was_unread;

	if (was_asked && !is_lost(file, now_ms))
		return file->asked != 0 ? FILES_REST : FILES_FAILED;
	is_changed = !was_asked && has_changed(file);
	was_unread = file->is_unread;
	if (is_changed && read_again(file) != 0) {
		if (!was_unread)
			return FILES_FAILED;
	} else if (was_asked || is_changed) {
		file->asked_ms = now_ms;
		*version = file->asked;
		*fd = file->asked_fd;
		return FILES_ASK;
	}
	return FILES_REST;
}

/* That nobody could be asked is not the file's fault. */
void
files_not_sent(struct files *f, size_t i)
{
	struct file *file = &f->items[i];

	file->asked_ms = 0;
	file->losses = 0;
}

void
files_not_received(struct files *f, size_t i, uint32_t version,
    uint64_t now_ms)
{
	struct file *file = &f->items[i];

	if (file->asked == 0 || file->asked != version)
		return;
	if (file->pause_ms == 0)
		log_error(NULL, "%s has changed, and there is no descriptor "
		    "to check it with; it is tried again", file->name);
	file->pause_ms = file->pause_ms == 0 ? PAUSE_MIN_MS
	    : file->pause_ms >= ANSWER_MS / 2 ? ANSWER_MS
	    : file->pause_ms * 2;
	file->is_paused = true;
	file->asked_ms = now_ms;
	file->losses = 0;
}

uint32_t
files_content(const struct files *f, size_t i, int *fd)
{
	*fd = f->items[i].fd;
	return f->items[i].version;
}

static void
replace(struct file *file, uint32_t version, int fd)
{
	close_fd(&file->fd);
	file->fd = fd;
	file->version = version;
}

int
files_answered(struct files *f, size_t i, uint32_t version, bool is_yes,
    struct span why, int fd)
{
	struct file *file = i < f->count ? &f->items[i] : NULL;
	struct error err;

	if (file == NULL || file->asked == 0 || file->asked != version) {
		close_fd(&fd);
		return 0;
	}
	if (is_yes && file->spec.prepare != NULL &&
	    (fd < 0 || sealed_check(fd, content_max(&file->spec), &err) !=
	    0)) {
		is_yes = false;
		why = SPAN("what was made of it is unusable");
	}
	if (!is_yes) {
		close_fd(&fd);
		refuse(file, why);
		return -1;
	}
	if (file->spec.prepare == NULL) {
		close_fd(&fd);
		fd = file->asked_fd;
		file->asked_fd = -1;
	}
	close_fd(&file->asked_fd);
	file->asked = 0;
	file->losses = 0;
	file->pause_ms = 0;
	file->is_paused = false;
	replace(file, version, fd);
	log_notice(NULL, "%s has changed and is used from now on",
	    file->name);
	return 1;
}

bool
files_fed(struct files *f, size_t i, int fd)
{
	struct file *file = i < f->count ? &f->items[i] : NULL;
	struct error err;

	if (file == NULL || file->spec.path != NULL ||
	    sealed_check(fd, content_max(&file->spec), &err) != 0) {
		close_fd(&fd);
		return false;
	}
	replace(file, ++file->last, fd);
	return true;
}

static const struct file *
find_fed(const struct files *f, const char *name)
{
	for (size_t i = 0; i < f->count; i++) {
		const struct file *file = &f->items[i];

		if (file->spec.path == NULL && file->fd >= 0 &&
		    strcmp(file->name, name) == 0)
			return file;
	}
	return NULL;
}

void
files_inherit(struct files *f, const struct files *former)
{
	for (size_t i = 0; i < f->count; i++) {
		struct file *file = &f->items[i];
		const struct file *old = NULL;

		if (file->spec.path == NULL && file->fd < 0)
			old = find_fed(former, file->name);
		if (old == NULL)
			continue;
		file->fd = fcntl(old->fd, F_DUPFD_CLOEXEC, 3);
		if (file->fd >= 0)
			file->version = ++file->last;
	}
}

/* ---- in the other processes ---- */

static int
check(struct file *file, struct span content, int *out, struct error *err)
{
	char *prepared;
	size_t len;
	int result;

	result = hand_over(&file->spec, content, &prepared, &len, err);
	if (result == 0 && file->spec.prepare != NULL) {
		*out = sealed_new("weir-file", span_of(prepared, len), err);
		result = *out < 0 ? -1 : 0;
	}
	free(prepared);
	return result;
}

int
files_take(struct files *f, size_t i, uint32_t version, int fd,
    bool is_check, int *out, struct error *err)
{
	struct file *file = i < f->count ? &f->items[i] : NULL;
	struct span content;
	int result;

	*out = -1;
	if (file == NULL)
		return error_set(err, "there is no such file");
	if (!is_check && file->taken == version)
		return 0;
	if (sealed_map(fd, content_max(&file->spec), &content, err) != 0)
		return -1;
	result = is_check ? check(file, content, out, err)
	    : file->spec.receive(file->spec.arg, content, err);
	sealed_unmap(content);
	if (result == 0)
		file->taken = version;
	return result;
}

void
files_catch_up(struct files *f, files_refused_fn *fn, void *arg)
{
	for (size_t i = 0; f != NULL && i < f->count; i++) {
		struct file *file = &f->items[i];
		struct error err;
		int none;

		if (file->fd < 0 || files_take(f, i, file->version,
		    file->fd, false, &none, &err) == 0)
			;
		else if (file->spec.path == NULL)
			/* Of a predecessor, about something else. */
			log_debug(NULL, "%s: %s", file->name, err.text);
		else if (fn != NULL)
			fn(arg, i, file->version, err.text);
		/* The master's own. */
		close_fd(&file->fd);
		close_fd(&file->asked_fd);
	}
}
