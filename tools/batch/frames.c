// frames.c - reads framemd5.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/sha256.h"
#include "frames.h"

static int add(struct clzb_frames *f, int plane, int counts[CLZB_PLANES], int *room, int64_t pts, const char *md5)
{
    struct clzb_frame_facts *frame;
    const int n = counts[plane]++;

    if (n >= *room) {
        const int larger = *room ? 2 * *room : 1024;
        if (!(frame = realloc(f->frame, larger * sizeof *frame))) return -ENOMEM;
        memset(frame + *room, 0, (larger - *room) * sizeof *frame);
        f->frame = frame;
        *room = larger;
    }
    if (n >= f->count) f->count = n + 1;
    if (!plane) f->frame[n].pts = pts;
    memcpy(f->frame[n].md5[plane], md5, 33);
    return 0;
}

int clzb_frames_read(struct clzb_frames *frames, const char *path, const struct clz_log *log)
{
    FILE *file = fopen(path, "r");
    int counts[CLZB_PLANES] = {0}, room = 0, planes = 0, ret = 0, num, den, line = 0;
    char text[256];

    *frames = (struct clzb_frames){ .tb_num = 1, .tb_den = 1 };
    if (!file) return clzi_fail(log, -errno, "%s: %s.", path, strerror(errno));
    while (!ret && fgets(text, sizeof text, file)) {
        char md5[33];
        int64_t dts, pts, duration, size;
        int plane;
        line++;
        if (*text == '#') {
            if (sscanf(text, "#tb %d: %d/%d", &plane, &num, &den) == 3 && num > 0 && den > 0) {
                if (plane >= planes) planes = plane + 1;
                if (!plane) frames->tb_num = num, frames->tb_den = den;
            }
            continue;
        }
        if (sscanf(text, "%d, %" SCNd64 ", %" SCNd64 ", %" SCNd64 ", %" SCNd64 ", %32[0-9a-f]", &plane, &dts, &pts, &duration,
                   &size, md5) != 6 || plane < 0 || plane >= CLZB_PLANES || strlen(md5) != 32)
            ret = clzi_fail(log, -EBADMSG, "%s:%d: not a line of framemd5.", path, line);
        else ret = add(frames, plane, counts, &room, pts, md5);
    }
    if (!ret && ferror(file)) ret = clzi_fail(log, -EIO, "%s: cannot be read.", path);
    fclose(file);
    for (int i = 1; i < planes && i < CLZB_PLANES && !ret; i++)
        if (counts[i] != counts[0])
            ret = clzi_fail(log, -EBADMSG, "%s: %d frames in plane %d, %d in the first.", path, counts[i], i, counts[0]);
    if (ret) clzb_frames_clear(frames);
    return ret;
}

void clzb_frames_clear(struct clzb_frames *frames)
{
    free(frames->frame);
    *frames = (struct clzb_frames){0};
}

double clzb_frame_time(const struct clzb_frames *frames, int n)
{
    return (double)frames->frame[n].pts * frames->tb_num / frames->tb_den;
}

void clzb_frames_hash(const struct clzb_frames *frames, char hex[65])
{
    struct clzi_sha256 hash;
    char text[160];

    clzi_sha256_init(&hash);
    for (int i = 0; i < frames->count; i++) {
        const struct clzb_frame_facts *f = &frames->frame[i];
        const int n = snprintf(text, sizeof text, "%.6f %s %s %s\n", clzb_frame_time(frames, i), f->md5[0], f->md5[1], f->md5[2]);
        clzi_sha256_update(&hash, text, n);
    }
    clzi_sha256_hex(&hash, hex);
}
