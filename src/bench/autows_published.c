/* SPDX-License-Identifier: Apache-2.0
 * The published table, AutoWS-Bench-101 (arXiv 2208.14362): accuracy on covered test rows, and coverage, of
 * raw features (of texts: BERT's), 100 principal components, and a ResNet-18 of ImageNet. Published IWS and
 * Snuba are one against the rest unless Snuba is multi-class. */
#include <math.h>

#include "bench/autows_i.h"

enum { COLUMNS = 7 };
static const char *const column_names[COLUMNS] = {"mnist",  "cifar10", "spherical", "permuted",
                                                  "navier", "youtube", "imdb"};

typedef struct published_row {
    const char *method, *feature;
    double accuracy[COLUMNS], coverage[COLUMNS];
} published_row;

static const published_row rows[] = {
    {"goggles",
     "raw",
     {0.3778, 0.1697, 0.0897, 0.3778, 0.5284, 0.5880, 0.5516},
     {1, 1, 1, 1, 1, 1, 1}},
    {"goggles",
     "pca",
     {0.4563, 0.1989, 0.1074, 0.4561, 0.4863, 0.5880, 0.5628},
     {1, 1, 1, 1, 1, 1, 1}},
    {"goggles",
     "resnet",
     {0.3258, 0.1768, 0.1192, 0.1894, 0.9353, 0.5200, 0.5152},
     {1, 1, 1, 1, 1, 1, 1}},
    {"iws-ovr",
     "raw",
     {0.4128, 0.1482, 0.1154, 0.3862, 0.5403, 0.4896, 0.5478},
     {0.3617, 0.4616, 0.3666, 0.3656, 0.8163, 0.9640, 0.7908}},
    {"iws-ovr",
     "pca",
     {0.3503, 0.1047, 0.1283, 0.4970, 0.5155, 0.5217, 0.5045},
     {0.5107, 0.2731, 0.2696, 0.4797, 0.9874, 0.9200, 0.9816}},
    {"iws-ovr",
     "resnet",
     {0.0822, 0.2120, 0.1352, 0.5101, 0.7995, 0.7840, 0.5286},
     {0.7422, 0.3580, 0.0917, 0.1631, 1, 1, 0.8596}},
    {"snuba-ovr",
     "raw",
     {0.2694, 0.1624, 0.0805, 0.2308, 0.5235, 0.7520, 0.5936},
     {0.6842, 0.6409, 0.8387, 0.8105, 0.5379, 1, 1}},
    {"snuba-ovr",
     "pca",
     {0.2313, 0.0924, 0.1526, 0.2640, 0.8811, 0.6640, 0.5560},
     {0.9608, 0.7183, 0.9557, 0.9716, 1, 1, 1}},
    {"snuba-ovr",
     "resnet",
     {0.4219, 0.1520, 0.1554, 0.1804, 0.9774, 0.7400, 0.5804},
     {0.8761, 0.9772, 0.9230, 0.9320, 1, 1, 1}},
    {"snuba",
     "raw",
     {0.2374, 0.1386, 0.0991, 0.2343, 0.5421, 0.7080, 0.6072},
     {0.7422, 0.8129, 0.4470, 0.5407, 1, 1, 1}},
    {"snuba",
     "pca",
     {0.5625, 0.1390, 0.2354, 0.5625, 0.8968, 0.6280, 0.5020},
     {0.3472, 0.5807, 0.4763, 0.3472, 1, 1, 1}},
    {"snuba",
     "resnet",
     {0.3866, 0.2036, 0.1588, 0.2283, 0.9742, 0.7320, 0.5864},
     {0.6185, 0.6337, 0.8232, 0.7193, 1, 1, 1}},
    {"few-shot",
     "raw",
     {0.7295, 0.2315, 0.1496, 0.7295, 0.6316, 0.8920, 0.6472},
     {1, 1, 1, 1, 1, 1, 1}},
    {"few-shot",
     "pca",
     {0.7306, 0.2262, 0.1483, 0.7305, 0.7863, 0.8880, 0.6464},
     {1, 1, 1, 1, 1, 1, 1}},
    {"few-shot",
     "resnet",
     {0.7966, 0.3335, 0.2544, 0.3485, 0.9900, 0.7000, 0.5856},
     {1, 1, 1, 1, 1, 1, 1}},
    {"propagate",
     "raw",
     {0.7066, 0.1927, 0.1374, 0.7066, 0.5010, 0.8440, 0.5812},
     {1, 1, 1, 1, 1, 1, 1}},
    {"propagate",
     "pca",
     {0.7165, 0.1914, 0.1405, 0.7156, 0.5011, 0.8440, 0.5812},
     {1, 1, 1, 1, 1, 1, 1}},
    {"propagate",
     "resnet",
     {0.7124, 0.1277, 0.1283, 0.2106, 0.9700, 0.7000, 0.5500},
     {1, 1, 1, 1, 1, 1, 1}},
};

/* Ours and their published form share a row; of texts the raw features are an encoder's. */
static bool is_method(const whet_i_autows_method *method, const char *name) {
    const size_t len = strlen(name);
    return strncmp(method->name, name, len) == 0 &&
           (method->name[len] == 0 || strcmp(method->name + len, "-ref") == 0);
}

static bool is_feature(const whet_i_feature *feature, const char *name) {
    return strcmp(feature->name, name) == 0 ||
           (strcmp(name, "raw") == 0 && strcmp(feature->name, "encoder") == 0);
}

whet_i_published whet_i_autows_published(const whet_i_set *set, const whet_i_feature *feature,
                                         const whet_i_autows_method *method) {
    whet_i_published found = {.accuracy = NAN, .coverage = NAN};
    for (int64_t c = 0; set->published && c < COLUMNS; c++) {
        if (strcmp(column_names[c], set->published) != 0) continue;
        for (int64_t i = 0; i < WHET_COUNT_OF(rows); i++)
            if (is_method(method, rows[i].method) && is_feature(feature, rows[i].feature))
                found = (whet_i_published){rows[i].accuracy[c], rows[i].coverage[c]};
    }
    return found;
}
