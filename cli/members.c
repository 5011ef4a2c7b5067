/* SPDX-License-Identifier: Apache-2.0
 * Reports of the library, which are JSON, and what lines for people take out of them. */
#include <math.h>

#include "cli.h"

whet_status cli_report(cli_run *run, char *text, json_t **root) {
    json_error_t error;
    *root = json_loads(text, 0, &error);
    whet_free_text(run->ctx, text);
    return *root ? WHET_OK : cli_fail(run, WHET_ERR_INTERNAL, "the report: %s", error.text);
}

double cli_real_at(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

long long cli_count_at(const json_t *object, const char *key) {
    return json_integer_value(json_object_get(object, key));
}

const char *cli_text_at(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}
