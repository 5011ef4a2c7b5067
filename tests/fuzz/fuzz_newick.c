/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_tree(whet_i_newick_parse, data, size);
    return 0;
}
