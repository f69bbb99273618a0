/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs a fuzz target over the files of its corpus, for builds without
 * libFuzzer.
 *
 * Arguments are files and folders; without any, the folder of the corpus that
 * is named like the program is taken from WEIR_SRCDIR.  Each name is printed
 * before its bytes are tried, so that the last line before a crash tells the
 * culprit.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static unsigned int replayed;

static void
fatal(const char *path)
{
	printf("Bail out! %s: %s\n", path, strerror(errno));
	exit(1);
}

/* The copy has exactly the size of the file: a sanitizer sees overreads. */
static void
replay_file(const char *path, size_t len)
{
	FILE *file = fopen(path, "rb");
	uint8_t *bytes = malloc(len);

	if (file == NULL || (bytes == NULL && len > 0))
		fatal(path);
	if (fread(bytes, 1, len, file) != len)
		fatal(path);
	fclose(file);
	printf("# %s\n", path);
	fflush(stdout);
	LLVMFuzzerTestOneInput(bytes, len);
	free(bytes);
	replayed++;
}

static void replay_path(const char *path);

static void
replay_folder(const char *path)
{
	struct dirent **names;
	char child[PATH_MAX];
	int n = scandir(path, &names, NULL, alphasort);

	if (n < 0)
		fatal(path);
	for (int i = 0; i < n; i++) {
		const char *name = names[i]->d_name;
		int len = snprintf(child, sizeof(child), "%s/%s", path, name);

		if (len < 0 || (size_t)len >= sizeof(child)) {
			errno = ENAMETOOLONG;
			fatal(path);
		}
		if (name[0] != '.')
			replay_path(child);
		free(names[i]);
	}
	free(names);
}

static void
replay_path(const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0)
		fatal(path);
	if (S_ISDIR(st.st_mode))
		replay_folder(path);
	else
		replay_file(path, (size_t)st.st_size);
}

int
main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/');
	const char *target = slash == NULL ? argv[0] : slash + 1;
	const char *srcdir = getenv("WEIR_SRCDIR");
	char corpus[PATH_MAX];

	if (LLVMFuzzerInitialize != NULL)
		LLVMFuzzerInitialize(&argc, &argv);
	printf("1..1\n");
	for (int i = 1; i < argc; i++)
		replay_path(argv[i]);
	if (argc < 2) {
		snprintf(corpus, sizeof(corpus), "%s/tests/fuzz/corpus/%s",
			 srcdir == NULL ? "." : srcdir, target);
		replay_path(corpus);
	}
	printf("%s 1 - %s: %u inputs\n", replayed > 0 ? "ok" : "not ok",
	       target, replayed);
	return replayed > 0 ? 0 : 1;
}
