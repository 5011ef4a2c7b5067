/* SPDX-License-Identifier: Apache-2.0
 * The parts of the picture of an evaluation. */
#ifndef WHET_PICTURE_I_H
#define WHET_PICTURE_I_H

#include "space/space_i.h"

enum { PICTURE_WIDTH = 760 };
#define PICTURE_FRECHET "#3366cc"
#define PICTURE_ARGMAX "#cc5500"

/* Text made safe for SVG, cut at `most` characters. */
WHET_CHECKED whet_status whet_i_svg_text(whet_ctx *ctx, whet_i_buf *svg, whet_str text,
                                         int64_t most);
/* Where the mass went over a tree: appended at height *top, which moves below it. */
WHET_CHECKED whet_status whet_i_picture_tree(whet_ctx *ctx, const whet_label_set *set,
                                             const whet_space_picture *p, whet_i_buf *svg,
                                             double *top);

#endif
