/* SPDX-License-Identifier: Apache-2.0
 * whet version: what is running here. Also the smallest example of a command. */
#include <cblas.h>
#include <dnnl.h>
#include <utf8proc.h>
#include <zip.h>

#include "cli.h"

const cli_option cmd_version_options[] = {{0}};

/* "OpenBLAS 0.3.21 ..." cut to its second word. */
static void openblas_version(char *out, size_t size) {
    char word[64] = "unknown";
    (void)sscanf(openblas_get_config(), "OpenBLAS %63s", word);
    (void)snprintf(out, size, "%s", word);
}

whet_status cmd_version(cli_run *run) {
    char onednn[48], openblas[64];
    const dnnl_version_t *d = dnnl_version();
    (void)snprintf(onednn, sizeof onednn, "%d.%d.%d", d->major, d->minor, d->patch);
    openblas_version(openblas, sizeof openblas);
    const char *const libraries[][2] = {
        {"oneDNN", onednn},
        {"OpenBLAS", openblas},
        {"jansson", jansson_version_str()},
        {"libzip", zip_libzip_version()},
        {"utf8proc", utf8proc_version()},
    };
    const char *kernels = whet_kernels_name(run->ctx);
    const int32_t threads = whet_ctx_threads(run->ctx);
    json_t *versions = json_object();
    cli_print(run, "whet %s\nkernels   %s\nthreads   %d\n", whet_version(), kernels, threads);
    for (size_t i = 0; i < sizeof libraries / sizeof libraries[0]; i++) {
        cli_print(run, "%-9s %s\n", libraries[i][0], libraries[i][1]);
        (void)json_object_set_new(versions, libraries[i][0], json_string(libraries[i][1]));
    }
    cli_json(run, json_pack("{s:s, s:s, s:i, s:o}", "whet", whet_version(), "kernels", kernels,
                            "threads", (int)threads, "libraries", versions));
    return WHET_OK;
}
