/* SPDX-License-Identifier: BSD-2-Clause */
/* sign - goes through values by the type of their row. */
#include "conf/sign.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/heap_alloc.h"
#include "base/str.h"
#include "conf/template.h"

enum {
	CUSTOM_BYTES_MAX = 65536, /* as in the dump */
	ADDRESS_BYTES_MAX = 512,
	UNSET = 1, /* where there is no value */
};

uint64_t
conf_sign_mix(uint64_t sign, uint64_t more)
{
	sign = (sign ^ more) * UINT64_C(0x9e3779b97f4a7c15);
	return sign ^ sign >> 32;
}

static uint64_t
sign_text(struct span text)
{
	return conf_sign_mix(hash_stable(text), text.len);
}

static uint64_t
sign_cstr(const char *text)
{
	return text == NULL ? UNSET : sign_text(span_cstr(text));
}

static uint64_t
sign_address(const struct addr_spec *spec)
{
	char memory[ADDRESS_BYTES_MAX];
	struct str text;

	if (spec == NULL)
		return UNSET;
	if (spec->is_name || spec->is_any)
		return conf_sign_mix(sign_cstr(spec->is_name ? spec->host
		    : ""), spec->port);
	str_init(&text, memory, sizeof(memory));
	addr_put(&text, &spec->addr);
	return sign_text(str_view(&text));
}

static uint64_t
sign_custom(const struct conf_item *item, const void *field)
{
	struct str text;
	uint64_t sign;
	char *memory;

	if (item->print == NULL)
		return UNSET;
	memory = heap_alloc(CUSTOM_BYTES_MAX);
	str_init(&text, memory, CUSTOM_BYTES_MAX);
	item->print(field, &text);
	sign = sign_text(str_view(&text));
	free(memory);
	return sign;
}

static uint64_t
sign_map(const struct conf_map *map)
{
	uint64_t sign = map->count;

	for (size_t i = 0; i < map->count; i++) {
		sign = conf_sign_mix(sign, sign_cstr(map->items[i].name));
		sign = conf_sign_mix(sign,
		    sign_text(template_text(map->items[i].value)));
	}
	return sign;
}

static uint64_t
sign_list(const struct conf_table *table, const struct conf_list *list)
{
	uint64_t sign = list->count;

	for (size_t i = 0; i < list->count; i++)
		sign = conf_sign_mix(sign, conf_sign_table(table,
		    (const char *)list->items + i * table->struct_bytes));
	return sign;
}

static uint64_t
sign_strings(const struct conf_strings *all)
{
	uint64_t sign = all->count;

	for (size_t i = 0; i < all->count; i++)
		sign = conf_sign_mix(sign, sign_cstr(all->items[i]));
	return sign;
}

static uint64_t
sign_uints(const struct conf_uints *all)
{
	uint64_t sign = all->count;

	for (size_t i = 0; i < all->count; i++)
		sign = conf_sign_mix(sign, all->items[i]);
	return sign;
}

static uint64_t
sign_ranges(const struct conf_ranges *all)
{
	uint64_t sign = all->count;

	for (size_t i = 0; i < all->count; i++) {
		const struct addr_range *r = &all->items[i];

		sign = conf_sign_mix(sign, hash_stable(span_of(
		    (const char *)r->bytes, sizeof(r->bytes))));
		sign = conf_sign_mix(sign, r->bits);
	}
	return sign;
}

static uint64_t
sign_value(const struct conf_item *item, const void *field)
{
	const void *const *pointer = field;

	switch (item->type) {
	case CONF_TYPE_BOOL:
		return *(const bool *)field;
	case CONF_TYPE_UINT:
	case CONF_TYPE_ENUM:
		return *(const uint32_t *)field;
	case CONF_TYPE_SIZE:
	case CONF_TYPE_DURATION:
		return *(const uint64_t *)field;
	case CONF_TYPE_STRING:
		return sign_cstr(*pointer);
	case CONF_TYPE_TEMPLATE:
		return *pointer == NULL ? UNSET
		    : sign_text(template_text(*pointer));
	case CONF_TYPE_STRINGS:
		return sign_strings(field);
	case CONF_TYPE_UINTS:
		return sign_uints(field);
	case CONF_TYPE_ADDRESS:
		return sign_address(*pointer);
	case CONF_TYPE_RANGES:
		return sign_ranges(field);
	case CONF_TYPE_REGEX:
		return *pointer == NULL ? UNSET : sign_cstr(
		    (*(const struct conf_regex *const *)field)->text);
	case CONF_TYPE_MAP:
		return sign_map(field);
	case CONF_TYPE_GROUP:
		return conf_sign_table(item->table, field);
	case CONF_TYPE_LIST:
		return sign_list(item->table, field);
	case CONF_TYPE_CUSTOM:
		return sign_custom(item, field);
	}
	return UNSET;
}

uint64_t
conf_sign_table(const struct conf_table *table, const void *conf)
{
	const char *base = conf;
	uint64_t sign = UNSET;

	for (const struct conf_item *item = table->items; item->name != NULL;
	    item++) {
		bool is_absent = item->type == CONF_TYPE_GROUP &&
		    item->present != 0 &&
		    !*(const bool *)(base + item->present);

		sign = conf_sign_mix(sign, is_absent ? UNSET
		    : sign_value(item, base + item->offset));
	}
	return sign;
}

static uint64_t
sign_scalar(const struct conf_node *node)
{
	char memory[32];
	struct str text;

	str_init(&text, memory, sizeof(memory));
	switch (node->type) {
	case CONF_NODE_STRING:
		return sign_text(node->v.string);
	case CONF_NODE_INT:
		return (uint64_t)node->v.integer;
	case CONF_NODE_FLOAT:
		str_printf(&text, "%.17e", node->v.real);
		return sign_text(str_view(&text));
	case CONF_NODE_BOOL:
		return node->v.boolean;
	case CONF_NODE_GROUP:
	case CONF_NODE_LIST:
	case CONF_NODE_ARRAY:
		break;
	}
	return UNSET;
}

uint64_t
conf_sign_node(const struct conf_node *node)
{
	uint64_t sign = conf_sign_mix(sign_cstr(node->name), node->type);

	for (const struct conf_node *n = node->first; n != NULL; n = n->next)
		sign = conf_sign_mix(sign, conf_sign_node(n));
	return conf_sign_mix(conf_sign_mix(sign, node->count),
	    sign_scalar(node));
}
