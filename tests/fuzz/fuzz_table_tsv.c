/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_table(WHET_TABLE_TSV, data, size);
    return 0;
}
