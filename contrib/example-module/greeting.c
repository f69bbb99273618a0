/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * greeting - add a field X-Greeting to responses; an example of a module.
 *
 * It shows what most modules are made of: an option, inherited from http to
 * services to routes; a handler in one phase; nothing of weir but module.h.
 */
#include "module.h"

enum { GREETING_MAX = 512 };

struct greeting_conf {
	const struct template *text; /* NULL: no field */
};

static const struct conf_item items[] = {
	CONF_VALUE("text", TEMPLATE, struct greeting_conf, text, NULL, 0,
	    "value of the field X-Greeting; unset: no field"),
	CONF_END,
};

static const struct conf_table group = {
	.name = "greeting",
	.items = items,
	.struct_bytes = sizeof(struct greeting_conf),
};

/* The group is the whole of the module's struct, hence offset 0. */
static const struct conf_item option[] = {
	{ .name = "greeting", .type = CONF_TYPE_GROUP, .table = &group,
	  .help = "a greeting in each response" },
	CONF_END,
};

static const struct conf_table table = {
	.name = "greeting",
	.items = option,
	.struct_bytes = sizeof(struct greeting_conf),
};

/* Routes that configure no text pay nothing for the module. */
static bool
greeting_is_active(const void *conf_ptr)
{
	const struct greeting_conf *conf = conf_ptr;

	return conf->text != NULL;
}

/*
 * The text may have come from the client, so it is held to what a field may
 * hold; what is longer or breaks that is left out.
 */
static enum verdict
greeting_on_response(struct exchange *ex, const void *conf_ptr)
{
	const struct greeting_conf *conf = conf_ptr;
	char memory[GREETING_MAX];
	struct str text;
	struct span value;

	str_init(&text, memory, sizeof(memory));
	template_eval(conf->text, ex, &text);
	if (text.overflow || !http_is_field_value(str_view(&text)))
		return VERDICT_NEXT;
	value = span_of(arena_dup(&ex->arena, str_view(&text)), text.len);
	http_fields_set(&ex->res.fields, &ex->arena, SPAN("X-Greeting"), value);
	return VERDICT_NEXT;
}

const struct module mod_greeting = {
	.name = "greeting",
	.help = "add a field X-Greeting to responses",
	.table = &table,
	.conf_size = sizeof(struct greeting_conf),
	.is_active = greeting_is_active,
	.hooks = { [PHASE_RESPONSE] = greeting_on_response },
};
