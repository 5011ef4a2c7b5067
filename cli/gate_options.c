/* SPDX-License-Identifier: Apache-2.0
 * The gate's options as the library takes them. */
#include "gate_options.h"

whet_status cli_gate_read(cli_run *run, const char *needs, whet_gate_opts *gate) {
    static const char *const names[] = {"gate", "error-level", "offers", "range"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (cli_given(run, names[i]) && !cli_given(run, needs))
            return cli_fail(run, WHET_ERR_ARG, "--%s needs --%s", names[i], needs);
    gate->test = (whet_gate_test)cli_choice(run, "gate");
    gate->level = cli_number(run, "error-level");
    gate->offers = cli_integer(run, "offers");
    gate->range = cli_number(run, "range");
    if (cli_given(run, "range") != (gate->test == WHET_GATE_HOEFFDING))
        return cli_fail(run, WHET_ERR_ARG, "--gate hoeffding and --range go together");
    return WHET_OK;
}
