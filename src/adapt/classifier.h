/* SPDX-License-Identifier: Apache-2.0
 * The two files of a saved classifier, as classifier_save.c writes and classifier_load.c reads them:
 * docs/formats/classifier.md. */
#ifndef WHET_ADAPT_CLASSIFIER_H
#define WHET_ADAPT_CLASSIFIER_H

#include <jansson.h>

#include "adapt/classifier_files.h"
#include "adapt/ensemble.h"

#define WHET_I_CLASSIFIER_FORMAT "whet-classifier"
/* 2: with a map to features, without which an earlier whet would take what the map takes for features; 3:
 * with a second classifier. A file has the first version that can read it. */
enum { WHET_I_CLASSIFIER_VERSION = 3, WHET_I_CLASSIFIER_WITH_MAP = 2, WHET_I_CLASSIFIER_PLAIN = 1 };

/* A classifier from its two documents, neither of which is trusted. `where` names the JSON in
 * sentences; nothing of the documents is kept. Errors: FORMAT, UNSUPPORTED, SHAPE, DATA, NOMEM. */
WHET_CHECKED whet_status whet_i_classifier_parse(whet_ctx *ctx, const char *where,
                                                 const json_t *document,
                                                 const whet_i_source *source,
                                                 whet_classifier **out);
/* As in the JSON: "as-is", "unit", "standard". */
extern const char *const whet_i_preparation_names[3];

#endif
