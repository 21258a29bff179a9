// convert.h - weights of other programs as a model file of ours, from which the `init` of a recipe starts.
#ifndef CLZT_CONVERT_H
#define CLZT_CONVERT_H
#include "engine/colorize.h"

struct clzt_convert {
    const char *in, *out;                   // the foreign file, the model file
    const char *net;                        // name of the net to fill; NULL: the only generator that the file fits
    const char *section;                    // as in clzt_tensors_open(); NULL: the usual ones
    const char *license;                    // of the weights, for the model's metadata; NULL: none given
    const char *input;                      // "luma", "lstar"; NULL: "luma" for an encoder, "lstar" for a whole generator
    int size;                               // working size; 0: the net's
    int square;                             // 1: working shape square, 0: frame, -1: square for a whole generator
    int loose;                              // 1: tensors may be missing or left over, 0: an error
};

// Reads `in`, maps its tensors onto the parameters of a net, writes `out` (f32). What is left over, missing or of another shape
// is named in the log. 0 or a negative errno, logged (but -ENOMEM); -EBADMSG also for a file that fits no net.
int clzt_convert(const struct clzt_convert *params, const struct clz_log *log);
#endif
