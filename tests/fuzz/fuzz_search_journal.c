/* SPDX-License-Identifier: Apache-2.0
 * Journals of a search from anybody: as they are, and with the right hash before each line, so that what
 * stands behind it is reached. What is read keeps within its bounds. */
#include <inttypes.h>
#include <stdio.h>

#include "fuzz.h"

#include "tune/search_i.h"

static whet_status parse(whet_ctx *ctx, const char *bytes, int64_t len) {
    whet_i_search_state s;
    int64_t whole = -1;
    const whet_status status = whet_i_search_parse(ctx, "j", bytes, len, &s, &whole);
    FUZZ_REQUIRE(whole >= 0 && whole <= len);
    FUZZ_REQUIRE(status == WHET_OK || s.rows == NULL);
    for (int64_t t = 0; t < s.n_trials; t++) {
        const whet_i_search_unit u = {t, s.head.rungs - 1, 0};
        const int32_t passed = whet_i_search_passed(&s, u);
        FUZZ_REQUIRE(passed >= -1 && passed < u.level);
        for (int32_t l = 0; l < s.head.rungs; l++) {
            const whet_i_search_mean m = whet_i_search_mean_of(&s, t, l, 0, s.head.replicates);
            FUZZ_REQUIRE(m.n >= 0 && m.n <= s.head.replicates);
        }
    }
    whet_i_search_state_free(ctx, &s);
    return status;
}

/* What stands behind the first space of each line, with its hash. */
static whet_status rehash(whet_ctx *ctx, const char *bytes, int64_t len, whet_i_buf *out) {
    for (int64_t at = 0; at < len;) {
        const char *line = bytes + at, *end = memchr(line, '\n', (size_t)(len - at));
        const int64_t length = end ? end - line : len - at;
        const char *space = memchr(line, ' ', (size_t)length);
        const char *text = space ? space + 1 : line;
        const int64_t rest = line + length - text;
        WHET_TRY(whet_i_buf_printf(ctx, out, "%016" PRIx64 " ", whet_i_hash_bytes(text, rest)));
        WHET_TRY(whet_i_buf_append(ctx, out, text, rest));
        WHET_TRY(whet_i_buf_append(ctx, out, "\n", 1));
        at += length + 1;
    }
    return WHET_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    whet_ctx *ctx = fuzz_begin();
    whet_i_buf sound = {0};
    const char *bytes = (const char *)data;
    whet_status status = parse(ctx, bytes, (int64_t)size);
    FUZZ_REQUIRE(status == WHET_OK || whet_error(ctx)[0] != '\0');
    status = rehash(ctx, bytes, (int64_t)size, &sound);
    if (status == WHET_OK) status = parse(ctx, sound.data ? sound.data : "", sound.len);
    whet_i_buf_free(ctx, &sound);
    fuzz_end(ctx, status);
    return 0;
}
