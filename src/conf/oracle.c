/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * oracle - walks our nodes and libconfig's settings side by side.
 *
 * The text has passed our lexer, so a difference is a defect of ours or a
 * libconfig whose grammar has changed: refused rather than guessed.
 */
#include "conf/oracle.h"

#include <libconfig.h>
#include <string.h>

static bool
is_container(const struct conf_node *node)
{
	return node->type == CONF_NODE_GROUP ||
	    node->type == CONF_NODE_LIST || node->type == CONF_NODE_ARRAY;
}

static bool
same_type(const struct conf_node *node, const config_setting_t *setting)
{
	switch (config_setting_type(setting)) {
	case CONFIG_TYPE_GROUP:
		return node->type == CONF_NODE_GROUP;
	case CONFIG_TYPE_LIST:
		return node->type == CONF_NODE_LIST;
	case CONFIG_TYPE_ARRAY:
		return node->type == CONF_NODE_ARRAY;
	case CONFIG_TYPE_STRING:
		return node->type == CONF_NODE_STRING;
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		return node->type == CONF_NODE_INT;
	case CONFIG_TYPE_FLOAT:
		return node->type == CONF_NODE_FLOAT;
	case CONFIG_TYPE_BOOL:
		return node->type == CONF_NODE_BOOL;
	default:
		return false;
	}
}

static bool
same_scalar(const struct conf_node *node, const config_setting_t *setting)
{
	double difference;

	switch (node->type) {
	case CONF_NODE_STRING:
		return span_eq(node->v.string,
		    span_cstr(config_setting_get_string(setting)));
	case CONF_NODE_INT:
		return node->v.integer == config_setting_get_int64(setting);
	case CONF_NODE_FLOAT:
		difference = node->v.real - config_setting_get_float(setting);
		return !(difference < 0) && !(difference > 0);
	case CONF_NODE_BOOL:
		return node->v.boolean ==
		    (config_setting_get_bool(setting) != 0);
	case CONF_NODE_GROUP:
	case CONF_NODE_LIST:
	case CONF_NODE_ARRAY:
		break;
	}
	return true;
}

static bool
same_name(const struct conf_node *node, const config_setting_t *setting)
{
	const char *name = config_setting_name(setting);

	if (node->name == NULL || name == NULL)
		return node->name == NULL && name == NULL;
	return strcmp(node->name, name) == 0;
}

/* The first node that differs, NULL if none does. */
static const struct conf_node *
find_difference(const struct conf_node *node, const config_setting_t *setting)
{
	const struct conf_node *found;
	unsigned i = 0;

	if (!same_name(node, setting) || !same_type(node, setting) ||
	    !same_scalar(node, setting))
		return node;
	if (!is_container(node))
		return NULL;
	if (node->count != (unsigned)config_setting_length(setting))
		return node;
	for (const struct conf_node *child = node->first; child != NULL;
	    child = child->next) {
		found = find_difference(child,
		    config_setting_get_elem(setting, i++));
		if (found != NULL)
			return found;
	}
	return NULL;
}

int
oracle_check(const struct conf_node *root, const char *text,
    struct conf_report *r)
{
	const struct conf_node *different = NULL;
	config_t config;
	int result = 0;

	config_init(&config);
	if (config_read_string(&config, text) != CONFIG_TRUE) {
		conf_report_error(r, &root->place, "libconfig refuses this "
		    "file: %s (line %d of it and its includes)",
		    config_error_text(&config), config_error_line(&config));
		result = -1;
	} else {
		different = find_difference(root,
		    config_root_setting(&config));
	}
	if (different != NULL) {
		conf_report_error(r, &different->place,
		    "libconfig reads another value here");
		result = -1;
	}
	config_destroy(&config);
	return result;
}
