/* SPDX-License-Identifier: Apache-2.0
 * --adapter DIR[=WEIGHT], as often as there are adapters, and --heads-of one of them. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* The same folder, as it is written here and there: "./a/" is "a". */
static bool same_folder(const char *a, const char *b) {
    while (strncmp(a, "./", 2) == 0) a += 2;
    while (strncmp(b, "./", 2) == 0) b += 2;
    size_t n = strlen(a), m = strlen(b);
    while (n > 1 && a[n - 1] == '/') n--;
    while (m > 1 && b[m - 1] == '/') m--;
    return n == m && memcmp(a, b, n) == 0;
}

static whet_status find_heads(cli_run *run, cli_weighted *w) {
    const char *heads = cli_text(run, "heads-of");
    for (int32_t i = 0; heads && i < w->n && !w->heads; i++)
        if (same_folder(w->paths[i], heads)) w->heads = w->paths[i];
    if (!heads || w->heads) return WHET_OK;
    return cli_fail(run, WHET_ERR_ARG, "--heads-of %s: none of the adapters; expected one", heads);
}

whet_status cli_weighted_read(cli_run *run, cli_weighted *w) {
    const int32_t n = cli_list_count(run, "adapter");
    if (n > CLI_WEIGHTED_MAX)
        return cli_fail(run, WHET_ERR_ARG, "%d adapters; expected at most %d", n, CLI_WEIGHTED_MAX);
    for (int32_t i = 0; i < n; i++) {
        const char *item = cli_list_item(run, "adapter", i), *sign = strrchr(item, '=');
        char *end = NULL;
        w->weights[i] = 1;
        const double weight = sign ? strtod(sign + 1, &end) : 1;
        const bool has = sign && end > sign + 1 && *end == '\0';
        if (has) w->weights[i] = weight;
        const size_t length = has ? (size_t)(sign - item) : strlen(item);
        w->paths[i] = malloc(length + 1);
        if (!w->paths[i]) return cli_fail(run, WHET_ERR_NOMEM, "out of memory");
        memcpy(w->paths[i], item, length);
        w->paths[i][length] = '\0';
        w->n++;
    }
    return find_heads(run, w);
}

void cli_weighted_free(cli_weighted *w) {
    for (int32_t i = 0; i < w->n; i++) free(w->paths[i]);
}

whet_adapter_use cli_weighted_use(const cli_run *run, const cli_weighted *w) {
    whet_adapter_use use = WHET_ADAPTER_USE_INIT;
    use.adapters = (const char *const *)w->paths;
    use.weights = w->weights;
    use.n = w->n;
    use.any_base = cli_flag(run, "any-base");
    use.heads_of = w->heads;
    return use;
}
