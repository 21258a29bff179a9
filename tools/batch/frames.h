// frames.h - times and hashes of a film's frames, read from what ffmpeg's muxer framemd5 writes.
#ifndef CLZB_FRAMES_H
#define CLZB_FRAMES_H
#include <stdint.h>
#include "engine/colorize.h"

enum { CLZB_PLANES = 3 };

struct clzb_frame_facts {
    int64_t pts;
    char md5[CLZB_PLANES][33];              // Y', U, V or R', G', B', or one of the whole frame; "" where there is none
};

struct clzb_frames {
    struct clzb_frame_facts *frame;
    int count;
    int tb_num, tb_den;                     // unit of pts, seconds
};

// Reads a file with one to CLZB_PLANES streams, one a plane. Errors are logged: -EBADMSG if a line is not framemd5's or planes
// have different numbers of frames.
int clzb_frames_read(struct clzb_frames *frames, const char *path, const struct clz_log *log);
void clzb_frames_clear(struct clzb_frames *frames);

double clzb_frame_time(const struct clzb_frames *frames, int n);       // seconds

// SHA-256 of all times and hashes, as hex.
void clzb_frames_hash(const struct clzb_frames *frames, char hex[65]);
#endif
