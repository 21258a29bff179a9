// chroma.h - whether the frames of a film have colours of their own: natural ones, or a tint (sepia, tinting, toning), whose
// chroma lies on one line from neutral.
//
// The finding holds for a shot: it is made at its first frame that is not dark. Within a shot it becomes COLOURED after 3 frames
// that show it clearly, and another one only after 48. What is found for frame n depends on the frames up to n.
#ifndef CLZI_CHROMA_H
#define CLZI_CHROMA_H
#include <stdbool.h>
#include "colorize.h"

enum { CLZI_CHROMA_COLUMNS = 16, CLZI_CHROMA_ROWS = 12, CLZI_CHROMA_CELLS = CLZI_CHROMA_COLUMNS * CLZI_CHROMA_ROWS };

enum clzi_own_colour { CLZI_GREY, CLZI_TINTED, CLZI_COLOURED };

struct clzi_chroma_finder {                 // all zero: no frame yet
    enum clzi_own_colour found;
    bool begun, pending;                    // there was a frame; no frame of the shot was bright enough yet
    int votes;                              // frames in a row that show another finding
    float luma[CLZI_CHROMA_CELLS];          // of the frame before
};

struct clzi_chroma_look {
    bool dark;                              // shows too little to tell
    float strength;                         // root of the mean square of chroma, in codes of 8 bits
    float variety;                          // of what is not on one side of one line through neutral
};

// in: in host memory, with its range resolved.
struct clzi_chroma_look clzi_chroma_look(const struct clz_frame *in, float luma[CLZI_CHROMA_CELLS]);
enum clzi_own_colour clzi_chroma_next(struct clzi_chroma_finder *finder, const struct clz_frame *in);
#endif
