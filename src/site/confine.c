/* SPDX-License-Identifier: BSD-2-Clause */
/* confine - from settings to a sandbox. */
#include "site/confine.h"

#include "base/error.h"
#include "os/sandbox.h"
#include "site/boot.h"
#include "site/generation.h"
#include "site/settings.h"

static struct sandbox
sandbox_of(const struct settings *settings,
    const struct proc_account *account, bool is_background)
{
	return (struct sandbox){
		.account = account,
		.root = is_background ? NULL : settings->chroot,
		.level = (enum sandbox_level)settings->sandbox,
		.resolves_names = is_background,
		.may_dump = settings->core_dumps,
		.files_max = settings->open_files_max,
		.memory_max = settings->memory_max_bytes,
	};
}

int
confine_enter(const struct process_boot *boot, bool is_background,
    struct error *err)
{
	struct sandbox s = sandbox_of(generation_settings(boot->generation),
	    boot->account, is_background);

	if (boot->is_signer) {
		s.is_closed = true;
		s.may_dump = false;
	}
	return sandbox_enter(&s, err);
}

void
confine_describe(const struct settings *settings,
    const struct proc_account *account, struct str *out)
{
	struct sandbox s = sandbox_of(settings, account, false);

	sandbox_describe(&s, out);
}
