/* SPDX-License-Identifier: Apache-2.0
 * The gate of whet market price and whet market trial: its options, and what they come to. */
#ifndef WHET_CLI_GATE_OPTIONS_H
#define WHET_CLI_GATE_OPTIONS_H

#include "cli.h"

/* --gate in the order of whet_gate_test; what is tested, and what offers there are, in words. */
#define CLI_GATE_OPTIONS(tested, tried) \
    {.name = "gate", \
     .type = CLI_ENUM, \
     .choices = "paired|hoeffding", \
     .preset = "paired", \
     .help = "test that " tested " must pass"}, \
        {.name = "error-level", \
         .type = CLI_FLOAT, \
         .low = 1e-300, \
         .high = .5, \
         .preset = "0.05", \
         .help = "of a wrong yes of the gate, for all offers together"}, \
        {.name = "offers", \
         .type = CLI_INT, \
         .min = 1, \
         .max = INT64_MAX, \
         .preset = "1", \
         .help = "offers tried " tried}, \
    { \
        .name = "range", .type = CLI_FLOAT, .low = 1e-300, .high = 1e300, \
        .help = "hoeffding: width of the interval of all differences of losses" \
    }

/* The gate's options; none may be given unless `needs` is, by which it judges. */
whet_status cli_gate_read(cli_run *run, const char *needs, whet_gate_opts *gate);

#endif
