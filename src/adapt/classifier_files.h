/* SPDX-License-Identifier: Apache-2.0
 * What lies in the folder of a saved classifier, by name: docs/formats/classifier.md. */
#ifndef WHET_ADAPT_CLASSIFIER_FILES_H
#define WHET_ADAPT_CLASSIFIER_FILES_H

#define WHET_I_CLASSIFIER_JSON "classifier.json"
#define WHET_I_CLASSIFIER_TENSORS "classifier.safetensors"
#define WHET_I_MAP_FILE "features.safetensors"
#define WHET_I_TUNED_FOLDER "encoder"
/* A second classifier, whose probabilities are averaged with the tuned encoder's. */
#define WHET_I_FROZEN_FOLDER "frozen"

#endif
