// bars.h - detection of the black bars around the picture of a film (letterbox, pillarbox) from the luma of its frames.
//
// A stream has one set of bars at a time. The bars of frame n depend only on the frames up to n, so they are the same for any
// batch size and number of threads. The rules, where the depth of a bar is its thickness in pixels:
// - A frame shows a bar on a side if the rows (columns) there are black up to a sharp edge along at least half of the picture.
//   A scene with dark borders, text on black and a black frame show no bars.
// - Two equal bars on opposite sides are accepted with the first frame that shows them, if no earlier frame had picture there.
//   A bar without an equal one on the opposite side is accepted after 24 frames that show it, if no frame in between had picture
//   there.
// - A frame with picture inside a bar reduces the depth of the bar at once. The bar grows again only after 250 frames that show
//   it, if no frame in between had picture there.
// - A bar of less than 1/64 of the frame is ignored, and so are opposite bars that leave less than a quarter of the frame.
#ifndef CLZI_BARS_H
#define CLZI_BARS_H
#include "colorize.h"

enum { CLZI_TOP, CLZI_BOTTOM, CLZI_LEFT, CLZI_RIGHT, CLZI_SIDES };

enum clzi_bars_mode { CLZI_BARS_AUTO, CLZI_BARS_OFF, CLZI_BARS_FIXED };

struct clzi_bars { int depth[CLZI_SIDES]; };

struct clzi_bars_finder {
    enum clzi_bars_mode mode;
    struct clzi_bars found;                 // the bars of the current frame; CLZI_BARS_FIXED: the given depths
    int width, height;                      // of the frames; a frame of another size restarts the detection
    struct {
        int min_depth;                      // smallest number of black rows (columns) in any frame so far
        int candidate;                      // depth of a bar that is larger than the accepted one; 0: no candidate
        int votes;                          // number of frames that show the candidate
    } side[CLZI_SIDES];
};

// Initialises finder from the option `bars`: NULL or "auto", "off", or the depths "top/bottom/left/right" in pixels (":" may
// replace "/"), or what clzi_bars_text() wrote. Returns 0 or -EINVAL.
int clzi_bars_parse(struct clzi_bars_finder *finder, const char *text);

// Writes the option `bars` with which a stream goes on as this finder would: for CLZI_BARS_AUTO "auto/" and its numbers.
enum { CLZI_BARS_TEXT = 256 };
void clzi_bars_text(const struct clzi_bars_finder *finder, char text[CLZI_BARS_TEXT]);

// Returns whether given bars leave a picture in a frame of this size; true if the bars are detected or off.
int clzi_bars_fit(const struct clzi_bars_finder *finder, int width, int height);

// Returns the bars of the next frame. CLZI_BARS_AUTO: updates finder with the luma of the frame. bright: NULL, and the planes are
// read; or the frame's counts as clzk_cu_bars() makes them.
struct clzi_bars clzi_bars_next(struct clzi_bars_finder *finder, const struct clz_frame *in, const int *bright);

// Returns the bars rounded down so that each chroma sample of the frame lies either in a bar or in the picture.
struct clzi_bars clzi_bars_align(struct clzi_bars bars, const struct clz_frame *frame);
#endif
