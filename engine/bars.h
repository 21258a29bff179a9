// bars.h - black bars around the picture of a film (letterbox, pillarbox): found from luma, frame after frame.
//
// A film has one set of bars at a time, and frame n's depends on the frames up to n alone: so it is the same for any batch size
// and number of threads. The rules, with the depth of a bar in pixels:
// - A frame shows a bar on a side when rows (columns) are black up to an edge at which the picture begins all at once.
//   A scene that is dark at its border, text on black or a black frame show none.
// - Two equal bars on opposite sides count from the first frame that shows them, provided that no frame before had picture there.
//   A bar on one side only must be shown by 24 frames, in which nothing is in the way.
// - A frame with picture inside a bar makes the bar smaller at once. It becomes larger again only after 250 frames that show it,
//   with none between that has picture there.
// - Bars of less than 1/64 of the frame, or that leave less than a quarter of it, are no bars.
#ifndef CLZI_BARS_H
#define CLZI_BARS_H
#include "colorize.h"

enum { CLZI_TOP, CLZI_BOTTOM, CLZI_LEFT, CLZI_RIGHT, CLZI_SIDES };

enum clzi_bars_mode { CLZI_BARS_AUTO, CLZI_BARS_OFF, CLZI_BARS_FIXED };

struct clzi_bars { int depth[CLZI_SIDES]; };

struct clzi_bars_finder {
    enum clzi_bars_mode mode;
    struct clzi_bars found;                 // FIXED: as given
    int width, height;                      // of the film; another size begins anew
    struct {
        int least;                          // smallest depth of black in any frame so far
        int candidate, agreed;              // a larger bar than the one that was found, and frames that show it; 0: none
    } side[CLZI_SIDES];
};

// text: NULL or "auto", "off", or the depths "T:B:L:R" in pixels ("/" may stand for ":"). Returns 0 or -EINVAL.
int clzi_bars_parse(struct clzi_bars_finder *finder, const char *text);

// Whether bars that were given leave a picture of a frame of this size; always true when they are looked for.
int clzi_bars_fit(const struct clzi_bars_finder *finder, int width, int height);

// The bars of a frame, which is looked at unless they were given.
struct clzi_bars clzi_bars_next(struct clzi_bars_finder *finder, const struct clz_frame *in);

// The bars rounded down so that each chroma sample of the frame lies in a bar or in the picture.
struct clzi_bars clzi_bars_align(struct clzi_bars bars, const struct clz_frame *frame);
#endif
