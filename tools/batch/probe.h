// probe.h - what is in a film: streams, times, chapters, asked of ffprobe. A folder of numbered pictures is a film, too.
#ifndef CLZB_PROBE_H
#define CLZB_PROBE_H
#include <stdbool.h>
#include <stdint.h>
#include "engine/colorize.h"

enum { CLZB_MAX_STREAMS = 64 };

enum clzb_type { CLZB_VIDEO, CLZB_AUDIO, CLZB_SUBTITLE, CLZB_ATTACHMENT, CLZB_DATA };

struct clzb_stream_facts {
    int index;
    enum clzb_type type;
    bool cover;                             // a picture that belongs to the file, not the film
    char codec[32], tag[8];
    int sample_rate;
};

struct clzb_probe {
    struct clzb_stream_facts stream[CLZB_MAX_STREAMS];
    int count, video;                       // video: the position in `stream` of the film's pictures
    int width, height;
    char format[32];                        // pixel format, FFmpeg's name
    char range[16], space[24], primaries[24], transfer[24], siting[16], field_order[16];
    bool is_default;                        // the disposition of the pictures' stream
    int rate_num, rate_den;                 // frames per second, the average; 0/1: unknown
    int64_t frames;                         // as the container says or by duration and rate: an estimate; 0: unknown
    double duration;                        // seconds; 0: unknown
    int chapters;
    bool captions;                          // closed captions inside the pictures
    char timecode[32];
    // a folder of pictures
    bool sequence;
    char pattern[512];                      // FFmpeg's, as "scan_%06d.dpx", in the folder
    int first;                              // the number of the first picture
};

// Probes PATH. rate: frames per second of a folder of pictures, "24" or "24000/1001". Errors are logged.
int clzb_probe(struct clzb_probe *probe, const char *ffprobe, const char *path, const char *rate, const struct clz_log *log);
#endif
