/* SPDX-License-Identifier: Apache-2.0
 * The one table of commands: dispatch, help and suggestions are made from it.
 *
 * To add a command `whet NAME`:
 *   1. write cli/cmd_NAME.c: the option rows `const cli_option cmd_NAME_options[]`, ending with
 *      {0}, and `whet_status cmd_NAME(cli_run *run)`. Take values with cli_text, cli_integer,
 *      cli_flag, ...; call the library with run->ctx, and return its status as it comes (its
 *      sentence is printed for you); print with cli_print; give cli_json a document. --threads,
 *      --seed (run->seed), --json, --quiet, --force (run->force), --kernels, --help are there.
 *      Progress, Ctrl-C, exit codes, --json on or off, a full disk behind stdout: done for you.
 *   2. declare both at the end of cli.h, add the file to cli/meson.build, and a row below;
 *   3. add its cases to tests/cli/.
 * cmd_version.c is a small example. */
#include "cli.h"

const cli_command cli_commands[] = {
    {.name = "version",
     .run = cmd_version,
     .options = cmd_version_options,
     .summary = "versions, kernel set in use, libraries",
     .help = "Prints the version of whet, the CPU kernels and threads it uses here, and the\n"
             "versions of the libraries it runs on.",
     .examples = "whet version\nwhet version --json"},
    {0},
};
