/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * module - the contract between weir and its modules; all they may include.
 *
 * A module is one folder with one `const struct module mod_NAME`
 * (proxy/module_def.h); configure collects the enabled ones, and nothing else
 * names a module.
 */
#ifndef MODULE_H
#define MODULE_H

#include "base/arena.h"
#include "base/digest.h"
#include "base/entropy.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/heap_alloc.h"
#include "base/list.h"
#include "base/log.h"
#include "base/now.h"
#include "base/span.h"
#include "base/str.h"
#include "conf/files.h"
#include "conf/item.h"
#include "conf/keyfile.h"
#include "conf/slurp.h"
#include "conf/template.h"
#include "http/date.h"
#include "http/field.h"
#include "http/message.h"
#include "http/uri.h"
#include "metrics/counter.h"
#include "os/helpers.h"
#include "os/logring.h"
#include "os/logtarget.h"
#include "os/loop.h"
#include "os/shmem.h"
#include "proxy/exchange.h"
#include "proxy/module_def.h"
#include "proxy/phase.h"
#include "proxy/reason.h"
#include "proxy/relay.h"
#include "proxy/route.h"
#include "proxy/value.h"

#endif
