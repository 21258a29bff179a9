// verify.c - decodes a film into hashes of its planes and compares them.
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "hash.h"
#include "provenance.h"
#include "verify.h"

enum { STRIP = 8 };                         // pictures in the report's strip

// ---- a part file ----

static void keep_reason(void *priv, enum clz_log_level level, const char *msg)
{
    if (level == CLZ_LOG_ERROR) clzb_film_fail(priv, 0, "%s", msg);
}

static int check_streams(struct clzb_film *film, const struct clzb_probe *part)
{
    const struct clzb_mapping *m = &film->mapping;
    int sound = 0, text = 0, attachments = 0;

    for (int i = 0; i < part->count; i++) {
        sound += part->stream[i].type == CLZB_AUDIO;
        text += part->stream[i].type == CLZB_SUBTITLE;
        attachments += part->stream[i].type == CLZB_ATTACHMENT;
    }
    if (sound != m->sound || text != m->text || attachments != m->attachments)
        return clzb_film_fail(film, -EBADMSG, "the coloured film has %d sound, %d subtitle and %d attached streams; expected %d, "
                              "%d and %d.", sound, text, attachments, m->sound, m->text, m->attachments);
    if ((film->container->holds & CLZB_CHAPTERS) && part->chapters != film->probe.chapters)
        return clzb_film_fail(film, -EBADMSG, "the coloured film has %d chapters; expected %d.", part->chapters,
                              film->probe.chapters);
    if ((film->container->holds & CLZB_TIMECODE) && *film->probe.timecode && strcmp(part->timecode, film->probe.timecode))
        return clzb_film_fail(film, -EBADMSG, "the coloured film begins at the time code \"%s\"; expected %s.", part->timecode,
                              film->probe.timecode);
    return 0;
}

static int check_times(struct clzb_film *film)
{
    const struct clzb_frames *in = &film->in, *out = &film->out;
    const double tick_in = (double)in->tb_num / in->tb_den, tick_out = (double)out->tb_num / out->tb_den;
    double allowed = tick_in > tick_out ? tick_in : tick_out;

    if (in->count != out->count)
        return clzb_film_fail(film, -EBADMSG, "%d frames went in, the coloured film has %d.", in->count, out->count);
    if (!*film->container->extension) return 0;                 // pictures have no times
    // A container of one rate may round a frame's time to its grid.
    if (!(film->container->holds & CLZB_TIMES) && film->probe.rate_num)
        allowed = 0.5 * film->probe.rate_den / film->probe.rate_num;
    for (int i = 0; i < in->count; i++) {
        const double a = clzb_frame_time(in, i) - clzb_frame_time(in, 0), b = clzb_frame_time(out, i) - clzb_frame_time(out, 0);
        if (fabs(a - b) > allowed + 1e-6)
            return clzb_film_fail(film, -EBADMSG, "frame %d stands at %.4f s, in the coloured film at %.4f s.", i, a, b);
    }
    return 0;
}

// Whether the filter and the encoder keep luma bit for bit.
static bool luma_must_be_equal(const struct clzb_film *film)
{
    if (film->job->encoder.count || !film->job->preset->lossless) return false;
    for (int i = 0; i < film->job->options.count; i++) {
        const char *o = film->job->options.item[i];
        if (!strncmp(o, "luma=", 5) || !strncmp(o, "range=", 6) || !strncmp(o, "out_range=", 10)) return false;
    }
    if (!strncmp(film->probe.format, "yuv", 3)) return film->format && !strcmp(film->format, film->probe.format);
    return !strncmp(film->probe.format, "gray", 4) && film->out_range;
}

static int check_luma(struct clzb_film *film)
{
    for (int i = 0; i < film->in.count; i++) {
        if (!strcmp(film->in.frame[i].md5[0], film->out.frame[i].md5[0])) continue;
        if (luma_must_be_equal(film))
            return clzb_film_fail(film, -EBADMSG, "the luma of frame %d differs from the film's.", i);
        snprintf(film->row.luma, sizeof film->row.luma, "%.119s", *film->luma ? film->luma : "as the encoder keeps it");
        return 0;
    }
    snprintf(film->row.luma, sizeof film->row.luma, "bit for bit that of the film");
    return 0;
}

static const char *planes_of(const char *format)
{
    return !strncmp(format, "yuv", 3) ? "y+u+v" : "r+g+b";
}

// The end of the arguments: each plane's hashes to the file `to`.
static void hash_planes(struct clzb_args *args, const char *to)
{
    clzb_args_list(args, (const char *const[]){ "-map", "[p0]", "-map", "[p1]", "-map", "[p2]", "-fps_mode", "passthrough",
                                                "-enc_time_base", "-1", "-f", "framemd5", to, NULL });
}

static void part_input(struct clzb_args *args, const char *name, bool pictures, int start)
{
    if (pictures) {
        clzb_args_list(args, (const char *const[]){ "-f", "image2", "-start_number", NULL });
        clzb_args_add(args, "%d", start);
    }
    clzb_args_list(args, (const char *const[]){ "-i", name, NULL });
}

int clzb_verify_part(struct clzb_film *film)
{
    struct clz_log log = { keep_reason, film, CLZ_LOG_ERROR };
    const bool pictures = !*film->container->extension;
    struct clzb_args args = {0};
    struct clzb_probe *part = NULL;
    char path[PATH_MAX];
    int ret, step;

    clzb_film_path(film, path, "in.md5");
    if ((ret = clzb_frames_read(&film->in, path, &log)) < 0) return ret;
    film->planes = "y+u+v";
    if (!film->in.count) return clzb_film_fail(film, -EBADMSG, "no frame could be decoded.");
    if (!film->job->verify) return 0;
    if (!(part = malloc(sizeof *part))) return -ENOMEM;
    clzb_film_path(film, path, "film");
    if ((ret = clzb_probe(part, film->shelf->ffmpeg.ffprobe, path, "24", &log)) < 0) goto end;
    if ((ret = check_streams(film, part)) < 0) goto end;

    film->planes = planes_of(part->format);
    step = film->in.count / STRIP > 1 ? film->in.count / STRIP : 1;
    clzb_ffmpeg_begin(&args, &film->shelf->ffmpeg);
    part_input(&args, film->part_input, pictures, part->first);
    clzb_args_add(&args, "-filter_complex");
    clzb_args_add(&args, "[0:v:0]split[a][b];[a]format=%s,extractplanes=%s[p0][p1][p2];[b]select=not(mod(n\\,%d)),"
                  "scale=160:-2,format=yuvj420p,tile=%dx1[strip]", part->format, film->planes, step,
                  film->in.count < STRIP ? film->in.count : STRIP);
    hash_planes(&args, "out.md5");
    clzb_args_list(&args, (const char *const[]){ "-map", "[strip]", "-frames:v", "1", "-c:v", "mjpeg", "-f", "image2", "-update",
                                                 "1", "strip.jpg", NULL });
    if (film->mapping.sound) clzb_args_list(&args, (const char *const[]){ "-map", "0:a", "-f", "null", "-", NULL });
    if ((ret = clzb_film_ffmpeg(film, &args, NULL, "the coloured film cannot be decoded")) < 0) goto end;
    clzb_film_path(film, path, "out.md5");
    if ((ret = clzb_frames_read(&film->out, path, &log)) < 0) goto end;
    if ((ret = check_times(film)) < 0 || (ret = check_luma(film)) < 0) goto end;
end:
    clzb_args_clear(&args);
    free(part);
    return ret;
}

// ---- a film of years ago ----

static int compare(const char *path, const struct clzb_provenance *p, const struct clzb_frames *now)
{
    static const char *const names[] = { "luma (or red)", "the first chroma plane (or green)",
                                         "the second chroma plane (or blue)" };

    if (now->count != p->frames.count) {
        printf("%s: %d frames; its side-car has %d\n", path, now->count, p->frames.count);
        return -EBADMSG;
    }
    for (int i = 0; i < now->count; i++)
        for (int k = 0; k < CLZB_PLANES; k++)
            if (strcmp(now->frame[i].md5[k], p->frames.frame[i].md5[k])) {
                printf("%s: frame %d: %s differs\n", path, i, names[k]);
                return -EBADMSG;
            }
    for (int i = 0; i < now->count; i++)
        if (fabs(clzb_frame_time(now, i) - clzb_frame_time(&p->frames, i)) > 1e-6) {
            printf("%s: frame %d stands at %.6f s; its side-car has %.6f s\n", path, i, clzb_frame_time(now, i),
                   clzb_frame_time(&p->frames, i));
            return -EBADMSG;
        }
    return 0;
}

static int decode(const struct clzb_ffmpeg *ffmpeg, const char *path, const struct clzb_provenance *p, const struct clz_log *log)
{
    struct clzb_args args = {0};
    struct clzb_frames now = {0};
    const char *const where = getenv("TMPDIR");
    char name[PATH_MAX], *input = NULL;
    struct clzb_ffmpeg_run run = { .args = &args };
    int fd, ret;

    if (snprintf(name, sizeof name, "%s/colorize-verify-XXXXXX", where && *where ? where : "/tmp") >= (int)sizeof name)
        return clzi_fail(log, -ENAMETOOLONG, "TMPDIR: %s: the path is too long.", where);
    if ((fd = mkstemp(name)) < 0) return clzi_fail(log, -errno, "%s: %s.", name, strerror(errno));
    close(fd);
    if (*p->pattern) {                      // a % in the folder's name is doubled in a pattern
        char *to = input = malloc(2 * strlen(path) + strlen(p->pattern) + 16);
        if (to) {
            to += sprintf(to, "file:");
            for (const char *c = path; *c; c++) {
                if (*c == '%') *to++ = '%';
                *to++ = *c;
            }
            sprintf(to, "/%s", p->pattern);
        }
    } else if (asprintf(&input, "file:%s", path) < 0) input = NULL;
    if (!input) ret = -ENOMEM;
    else {
        clzb_ffmpeg_begin(&args, ffmpeg);
        part_input(&args, input, *p->pattern, p->start);
        clzb_args_add(&args, "-filter_complex");
        clzb_args_add(&args, "[0:v:0]extractplanes=%s[p0][p1][p2]", p->planes);
        hash_planes(&args, name);
        ret = clzb_ffmpeg_run(&run);
        if (ret < 0) clzi_fail(log, ret, "%s: cannot be decoded: %s", path, run.error);
        else if (!(ret = clzb_frames_read(&now, name, log))) ret = compare(path, p, &now);
    }
    clzb_frames_clear(&now);
    clzb_args_clear(&args);
    free(input);
    unlink(name);
    return ret;
}

int clzb_verify_film(const struct clzb_ffmpeg *ffmpeg, const char *path, bool quick, const struct clz_log *log)
{
    struct clzb_provenance p = {0};
    char sha[65];
    int64_t size;
    bool same;
    int ret = clzb_provenance_read(&p, path, log);

    if (ret < 0) return ret;
    if ((ret = clzb_hash_path(path, sha, &size)) < 0) {
        clzb_provenance_clear(&p);
        return clzi_fail(log, ret, "%s: %s.", path, strerror(-ret));
    }
    same = !strcmp(sha, p.sha256);
    if (!same) printf("%s: the file's bytes differ from those of its side-car\n", path);
    if (!quick && p.frames.count) ret = decode(ffmpeg, path, &p, log);
    if (!same && !ret && !quick && p.frames.count)
        printf("%s: all %d frames are those of its side-car, though\n", path, p.frames.count);
    if (same && !ret) printf("%s: as it was made%s\n", path, quick || !p.frames.count ? " (by the hash of the file)" : "");
    clzb_provenance_clear(&p);
    return ret ? ret : same ? 0 : -EBADMSG;
}
