// segment.c - cuts, renders pieces as FFV1 in NUT (which keeps every time exactly), and joins them through the final encoder.
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/atomic_file.h"
#include "base/clock.h"
#include "answers.h"
#include "hash.h"
#include "paths.h"
#include "segment.h"

enum { AUTO_FRAMES = 1500 };                // of a piece, with segments: auto
static const double seek_margin = 0.5, read_margin = 3;        // seconds before and after a piece that are read, too
static const double piece_share = 0.9;      // size of a piece's frame, of the frame uncoded

static void keep_reason(void *priv, enum clz_log_level level, const char *msg)
{
    if (level == CLZ_LOG_ERROR) clzb_film_fail(priv, 0, "%s", msg);
}

// The film, with times that begin at 0 as in a run over all of it.
static void input(const struct clzb_film *film, struct clzb_args *args)
{
    clzb_args_list(args, (const char *const[]){ "-copyts", "-start_at_zero", NULL });
    clzb_film_input(film, args);
}

static void map_pictures(const struct clzb_film *film, struct clzb_args *args)
{
    clzb_args_add(args, "-map");
    clzb_args_add(args, "0:%d", film->probe.stream[film->probe.video].index);
}

// Another output, to nowhere, of all streams of the film that go into the coloured one. Without it ffmpeg would let the times of
// an MPEG stream begin at 0 with the first of the streams that it reads, which would be other times than in a run over all.
static void keep_start(const struct clzb_film *film, struct clzb_args *args)
{
    map_pictures(film, args);
    for (int i = 0; i < film->mapping.count; i++) {
        for (int k = 0; k < film->probe.count; k++) {
            const struct clzb_stream_facts *s = &film->probe.stream[k];
            if (s->index != film->mapping.source[i] || s->type == CLZB_ATTACHMENT) continue;
            clzb_args_add(args, "-map");
            clzb_args_add(args, "0:%d", s->index);
        }
    }
    clzb_args_list(args, (const char *const[]){ "-c", "copy", "-f", "null", "-", NULL });
}

static void passthrough(struct clzb_args *args)
{
    clzb_args_list(args, (const char *const[]){ "-fps_mode", "passthrough", "-enc_time_base", "-1", NULL });
}

// ---- cutting ----

// Whether each frame is coloured for itself, so that a piece may begin anywhere.
static bool frames_are_independent(const struct clzb_job *job)
{
    const char *stabilize = clzb_job_option(job, "stabilize"), *bars = clzb_job_option(job, "bars");

    return stabilize && strtod(stabilize, NULL) == 0 && bars && strncmp(bars, "auto", 4) && !clzb_job_option(job, "sheet");
}

// The path of what the first pass has found, which is kept under the key.
static void kept_path(const struct clzb_film *film, char path[PATH_MAX], const char *what)
{
    char name[64];

    snprintf(name, sizeof name, "piece-%s-%.16s", what, film->key);
    clzb_film_path(film, path, name);
}

static int keep(struct clzb_film *film, const char *new, const char *what)
{
    char path[PATH_MAX], kept[PATH_MAX];
    int ret;

    clzb_film_path(film, path, new);
    kept_path(film, kept, what);
    if ((ret = clzb_sync(path)) < 0) return clzb_film_fail(film, ret, "%s: %s.", path, strerror(-ret));
    return rename(path, kept) ? clzb_film_fail(film, -errno, "%s: %s.", kept, strerror(errno)) : 0;
}

// Reads the film once: its frames, and with `shots` where its shots begin. Both are kept, so that units of a plan and a second
// run need not decode the film again.
static int read_frames(struct clzb_film *film, bool shots)
{
    struct clz_log log = { keep_reason, film, CLZ_LOG_ERROR };
    struct clzb_args args = {0};
    char frames_path[PATH_MAX], shots_path[PATH_MAX], frames[64], list[64], more[120];
    char *chain = NULL;
    int ret;

    kept_path(film, frames_path, "frames");
    kept_path(film, shots_path, "shots");
    if (!access(frames_path, R_OK) && (!shots || !access(shots_path, R_OK)))
        return clzb_frames_read(&film->in, frames_path, &log);
    snprintf(frames, sizeof frames, "piece-frames.%s", film->shelf->token);
    snprintf(list, sizeof list, "piece-shots.%s", film->shelf->token);
    snprintf(more, sizeof more, ":shots=%s:shots_only=1", list);
    if (shots && (ret = clzb_film_chain(film, more, &chain)) < 0) goto end;
    clzb_ffmpeg_begin(&args, &film->shelf->ffmpeg);
    input(film, &args);
    map_pictures(film, &args);
    clzb_args_list(&args, (const char *const[]){ "-vf", clzb_film_luma_filter(film), NULL });
    passthrough(&args);
    clzb_args_list(&args, (const char *const[]){ "-f", "framemd5", frames, NULL });
    if (shots) {
        map_pictures(film, &args);
        clzb_args_list(&args, (const char *const[]){ "-vf", chain, NULL });
        passthrough(&args);
        clzb_args_list(&args, (const char *const[]){ "-f", "null", "-", NULL });
    }
    keep_start(film, &args);
    ret = clzb_film_ffmpeg(film, &args, NULL, clzb_film_damaged);
    if (!ret) ret = keep(film, frames, "frames");
    if (!ret && shots) ret = keep(film, list, "shots");
    if (!ret) ret = clzb_frames_read(&film->in, frames_path, &log);
end:
    free(chain);
    clzb_args_clear(&args);
    return ret;
}

// A piece is done if the file beside it says so for this key, and it is the one that was written then. It is a file, not a row of
// the journal, because the units of a plan are done on hosts that share only the folder.
static bool is_done(const struct clzb_film *film, int number)
{
    char name[32], path[PATH_MAX], key[65] = "", sha[65] = "", hex[65];
    int64_t size;
    int first = -1, frames = -1;
    FILE *file;

    snprintf(name, sizeof name, "piece-%05d.done", number);
    clzb_film_path(film, path, name);
    if (!(file = fopen(path, "re"))) return false;
    if (fscanf(file, "%64s %d %d %64s", key, &first, &frames, sha) != 4) frames = -1;
    fclose(file);
    path[strlen(path) - strlen(".done")] = 0;
    if (film->job->answers) {
        char answers[PATH_MAX];
        snprintf(name, sizeof name, "piece-%05d.answers", number);
        clzb_film_path(film, answers, name);
        if (access(answers, F_OK)) return false;            // the key does not tell
    }
    return first == film->piece[number].first && frames == film->piece[number].count && !strcmp(key, film->key) &&
           !clzb_hash_path(path, hex, &size) && !strcmp(hex, sha);
}

// What the filter writes a piece's answers to, until the piece is done.
static void answers_name(const struct clzb_film *film, int number, char name[60])
{
    snprintf(name, 60, "piece-%05d.answers.%s", number, film->shelf->token);
}

// The order matters: the piece is on the disk before the file that says that it is.
static int set_done(struct clzb_film *film, int number)
{
    char name[60], path[PATH_MAX], temporary[PATH_MAX], sha[65], text[200];
    int64_t size;
    int ret;

    snprintf(name, sizeof name, "piece-%05d.%s", number, film->shelf->token);
    clzb_film_path(film, temporary, name);
    snprintf(name, sizeof name, "piece-%05d", number);
    clzb_film_path(film, path, name);
    if ((ret = clzb_hash_path(temporary, sha, &size)) < 0) return clzb_film_fail(film, ret, "%s: %s.", temporary, strerror(-ret));
    if ((ret = clzb_sync(temporary)) < 0) return clzb_film_fail(film, ret, "%s: %s.", temporary, strerror(-ret));
    if (rename(temporary, path)) return clzb_film_fail(film, -errno, "%s: %s.", path, strerror(errno));
    if (film->job->answers) {               // if they could not be written, ffmpeg's log says why
        char answers[PATH_MAX];
        answers_name(film, number, name);
        clzb_film_path(film, temporary, name);
        snprintf(name, sizeof name, "piece-%05d.answers", number);
        clzb_film_path(film, answers, name);
        if (!clzb_sync(temporary) && rename(temporary, answers) && errno != ENOENT)
            return clzb_film_fail(film, -errno, "%s: %s.", answers, strerror(errno));
    }
    ret = snprintf(text, sizeof text, "%s %d %d %s\n", film->key, film->piece[number].first, film->piece[number].count, sha);
    strcat(path, ".done");
    if ((ret = clzi_file_replace(path, text, ret, NULL)) < 0) return clzb_film_fail(film, ret, "%s: %s.", path, strerror(-ret));
    return clzb_journal_piece_put(film->shelf->journal, film->job->out, film->key, number, film->piece[number].count, sha);
}

// Pieces of about equal length that begin anywhere.
static void cut_evenly(struct clzb_film *film, int wanted)
{
    const int count = film->in.count;

    film->pieces = count / wanted;
    for (int i = 0; i < film->pieces; i++) {
        film->piece[i].first = (int)((int64_t)count * i / film->pieces);
        film->piece[i].count = (int)((int64_t)count * (i + 1) / film->pieces) - film->piece[i].first;
    }
}

// Pieces of at least `wanted` frames that begin with a shot. The list's columns: frame,time,kind,confidence,look,bars; a shot
// whose column bars is empty depends on what was before.
static int cut_at_shots(struct clzb_film *film, int wanted)
{
    char path[PATH_MAX], line[512];
    FILE *file;

    kept_path(film, path, "shots");
    if (!(file = fopen(path, "re"))) return clzb_film_fail(film, -errno, "%s: %s.", path, strerror(errno));
    film->pieces = 1;                       // the first one begins with the film
    while (fgets(line, sizeof line, file)) {
        struct clzb_piece *p = &film->piece[film->pieces];
        char kind[16];
        int frame;
        if (sscanf(line, "%d,%*[^,],%15[a-z],%*[^,],%*[^,],%159[0-9a-z/]", &frame, kind, p->bars) != 3) continue;
        if (strcmp(kind, "cut") && strcmp(kind, "fade")) continue;
        if (frame - p[-1].first < wanted || film->in.count - frame < wanted) continue;
        p->first = frame;
        film->pieces++;
    }
    fclose(file);
    *film->piece[film->pieces].bars = 0;    // of a row that begins none
    for (int i = 0; i < film->pieces; i++)
        film->piece[i].count = (i + 1 < film->pieces ? film->piece[i + 1].first : film->in.count) - film->piece[i].first;
    return 0;
}

int clzb_segment_cut(struct clzb_film *film)
{
    const int wanted = film->job->segments > 0 ? film->job->segments : AUTO_FRAMES;
    const bool anywhere = frames_are_independent(film->job);
    int ret;

    film->pieces = film->pieces_taken = film->pieces_done = film->error = 0;
    if (!film->probe.frames || film->probe.frames < 2 * wanted) return 0;
    if ((ret = clzb_film_space(film, piece_share)) < 0 || (ret = read_frames(film, !anywhere)) < 0) return ret;
    // Pieces are found by time, so times must grow.
    for (int i = 1; i < film->in.count; i++)
        if (film->in.frame[i].pts <= film->in.frame[i - 1].pts) return 0;
    free(film->piece);
    if (!(film->piece = calloc(film->in.count / wanted + 2, sizeof *film->piece))) return -ENOMEM;
    if (anywhere) cut_evenly(film, wanted);
    else if ((ret = cut_at_shots(film, wanted)) < 0) return film->pieces = 0, ret;
    if (film->pieces < 2) return film->pieces = 0;
    for (int i = 0; i < film->pieces; i++) {
        if (!is_done(film, i)) continue;
        film->piece[i].taken = film->piece[i].done = true;
        atomic_fetch_add(&film->done, film->piece[i].count);
        film->pieces_done++;
        film->pieces_taken++;
    }
    // The last step is taken by whoever finishes the last piece, so one is left for that.
    if (film->pieces_done == film->pieces) {
        film->piece[0].taken = false;
        film->pieces_done--;
        film->pieces_taken--;
    }
    return film->pieces;
}

// ---- pieces ----

// The frames of a piece are those that went into the cut: by number, time and luma.
static int check(struct clzb_film *film, const struct clzb_piece *piece, const char *name)
{
    struct clz_log log = { keep_reason, film, CLZ_LOG_ERROR };
    struct clzb_frames now;
    char path[PATH_MAX];
    int ret;

    clzb_film_path(film, path, name);
    if ((ret = clzb_frames_read(&now, path, &log)) < 0) return ret;
    if (now.count != piece->count)
        ret = clzb_film_fail(film, -EBADMSG, "a piece from frame %d has %d frames; expected %d.", piece->first, now.count,
                             piece->count);
    for (int i = 0; i < now.count && !ret; i++) {
        const struct clzb_frame_facts *a = &film->in.frame[piece->first + i], *b = &now.frame[i];
        if (a->pts != b->pts || strcmp(a->md5[0], b->md5[0]))
            ret = clzb_film_fail(film, -EBADMSG, "frame %d is another one in its piece than in the film.", piece->first + i);
    }
    clzb_frames_clear(&now);
    unlink(path);
    return ret;
}

// seek: start reading shortly before the piece; without it, at the film's beginning.
static int render(struct clzb_film *film, int number, bool seek)
{
    const struct clzb_frames *in = &film->in;
    const struct clzb_piece *piece = &film->piece[number];
    const double from = clzb_frame_time(in, piece->first), to = clzb_frame_time(in, piece->first + piece->count - 1);
    const double start = from > seek_margin ? from - seek_margin : 0;
    struct clzb_args args = {0};
    char *chain = NULL, trim[100], hashes[48], name[60], *answers, *more = NULL;
    _Atomic int64_t frames = 0;
    int ret;

    answers_name(film, number, name);
    if (!(answers = clzb_answers_options(film, name))) return -ENOMEM;
    if (asprintf(&more, ":first_frame=%d%s%s%s", piece->first, *piece->bars ? ":bars=" : "", piece->bars, answers) < 0)
        more = NULL;
    ret = more ? clzb_film_chain(film, more, &chain) : -ENOMEM;
    free(answers);
    free(more);
    if (ret < 0) return ret;
    if (piece->first + piece->count < in->count)
        snprintf(trim, sizeof trim, "trim=start_pts=%lld:end_pts=%lld", (long long)in->frame[piece->first].pts,
                 (long long)in->frame[piece->first + piece->count].pts);
    else snprintf(trim, sizeof trim, "trim=start_pts=%lld", (long long)in->frame[piece->first].pts);
    snprintf(hashes, sizeof hashes, "piece-%05d.md5.%s", number, film->shelf->token);

    clzb_ffmpeg_begin(&args, &film->shelf->ffmpeg);
    if (seek && start > 0) {
        clzb_args_list(&args, (const char *const[]){ "-noaccurate_seek", "-ss", NULL });
        clzb_args_add(&args, "%.6f", start);
    }
    clzb_args_add(&args, "-t");
    clzb_args_add(&args, "%.6f", to - (seek ? start : 0) + read_margin);
    input(film, &args);
    map_pictures(film, &args);
    clzb_args_add(&args, "-vf");
    clzb_args_add(&args, "%s,%s", trim, chain);
    passthrough(&args);
    clzb_args_list(&args, (const char *const[]){ "-c:v", "ffv1", "-level", "3", "-g", "1", "-pix_fmt", film->format, "-fflags",
                                                 "+bitexact", "-flags:v", "+bitexact", "-f", "nut", NULL });
    clzb_args_add(&args, "piece-%05d.%s", number, film->shelf->token);
    map_pictures(film, &args);
    clzb_args_add(&args, "-vf");
    clzb_args_add(&args, "%s,%s", trim, clzb_film_luma_filter(film));
    passthrough(&args);
    clzb_args_list(&args, (const char *const[]){ "-f", "framemd5", hashes, NULL });
    keep_start(film, &args);
    ret = clzb_film_ffmpeg(film, &args, &frames, clzb_film_damaged);
    if (!ret) ret = check(film, piece, hashes);
    free(chain);
    clzb_args_clear(&args);
    return ret;
}

int clzb_segment_render(struct clzb_film *film, int number)
{
    struct clzb_piece *piece = &film->piece[number];
    int ret;

    if (piece->done) return 0;
    if (is_done(film, number)) return piece->done = true, 0;
    ret = render(film, number, true);
    if (ret == -EBADMSG || ret == -EIO) ret = render(film, number, false);      // a film in which one cannot seek exactly
    if (ret) return ret;
    if ((ret = set_done(film, number)) < 0) return ret;
    atomic_fetch_add(&film->done, piece->count);
    piece->done = true;
    return 0;
}

// ---- joining ----

// The list of ffmpeg's demuxer concat. It moves each piece to where the one before ended; with these durations, the differences
// of the pieces' first times as the demuxer rounds them, each piece moves by the same amount, the first time of all.
static int write_list(struct clzb_film *film)
{
    char path[PATH_MAX];
    FILE *file;

    clzb_film_path(film, path, "list");
    if (!(file = fopen(path, "we"))) return clzb_film_fail(film, -errno, "%s: %s.", path, strerror(errno));
    fprintf(file, "ffconcat version 1.0\n");
    for (int i = 0; i < film->pieces; i++) {
        fprintf(file, "file piece-%05d\n", i);
        if (i + 1 < film->pieces)
            fprintf(file, "duration %.6f\n", (llrint(1e6 * clzb_frame_time(&film->in, film->piece[i + 1].first)) -
                                              llrint(1e6 * clzb_frame_time(&film->in, film->piece[i].first))) / 1e6);
    }
    return fclose(file) ? clzb_film_fail(film, -EIO, "%s: cannot be written.", path) : 0;
}

// The first frame, as a film of its own in a container that has all tags of colour, of which NUT has none.
static int read_tags(struct clzb_film *film, struct clzb_probe *tags)
{
    struct clz_log log = { keep_reason, film, CLZ_LOG_ERROR };
    struct clzb_args args = {0};
    char *chain = NULL, path[PATH_MAX];
    int ret;

    if ((ret = clzb_film_chain(film, "", &chain)) < 0) return ret;
    clzb_ffmpeg_begin(&args, &film->shelf->ffmpeg);
    clzb_film_input(film, &args);
    map_pictures(film, &args);
    clzb_args_list(&args, (const char *const[]){ "-vf", chain, "-frames:v", "1", "-c:v", "ffv1", "-pix_fmt", film->format, "-f",
                                                 "matroska", "tags", NULL });
    ret = clzb_film_ffmpeg(film, &args, NULL, clzb_film_damaged);
    clzb_film_path(film, path, "tags");
    if (!ret) ret = clzb_probe(tags, film->shelf->ffmpeg.ffprobe, path, "24", &log);
    unlink(path);
    free(chain);
    clzb_args_clear(&args);
    return ret;
}

static const char *tag(const char *value)
{
    return *value && strcmp(value, "unknown") && strcmp(value, "reserved") && strcmp(value, "unspecified") ? value : "";
}

// Options of the decoder of the pieces, so that its frames have the tags that they had when they were coloured.
static void add_tags(struct clzb_args *args, const struct clzb_probe *tags)
{
    const char *const rows[][2] = { { "-color_range", tag(tags->range) }, { "-colorspace", tag(tags->space) },
                                    { "-color_primaries", tag(tags->primaries) }, { "-color_trc", tag(tags->transfer) },
                                    { "-chroma_sample_location", tag(tags->siting) } };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (*rows[i][1]) clzb_args_list(args, (const char *const[]){ rows[i][0], rows[i][1], NULL });
}

// What ffmpeg copies by itself from stream to stream where the pictures come from the film itself.
static void add_metadata(const struct clzb_film *film, struct clzb_args *args)
{
    clzb_args_add(args, "-map_metadata:s:v:0");
    clzb_args_add(args, "0:s:%d", film->probe.stream[film->probe.video].index);
    for (int i = 0; i < film->mapping.count; i++) {
        clzb_args_add(args, "-map_metadata:s:%d", i + 1);
        clzb_args_add(args, "0:s:%d", film->mapping.source[i]);
    }
    clzb_args_list(args, (const char *const[]){ "-metadata:s:v:0", "encoder=", "-disposition:v:0",
                                                film->probe.is_default ? "default" : "0", NULL });
}

int clzb_segment_join(struct clzb_film *film)
{
    struct clzb_probe *tags = malloc(sizeof *tags);
    struct clzb_args args = {0};
    char time_base[32], from[PATH_MAX], to[PATH_MAX];
    int ret;

    if (!tags) return -ENOMEM;
    if ((ret = write_list(film)) < 0 || (ret = read_tags(film, tags)) < 0) goto end;
    clzb_ffmpeg_begin(&args, &film->shelf->ffmpeg);
    clzb_film_input(film, &args);
    clzb_args_add(&args, "-itsoffset");
    clzb_args_add(&args, "%.6f", clzb_frame_time(&film->in, 0));
    add_tags(&args, tags);
    clzb_args_list(&args, (const char *const[]){ "-f", "concat", "-i", "list", "-map", "1:v:0", NULL });
    snprintf(time_base, sizeof time_base, "%d/%d", film->in.tb_num, film->in.tb_den);          // NUT has a finer one
    clzb_film_encode(film, &args, time_base);
    add_metadata(film, &args);
    clzb_args_list(&args, (const char *const *)film->mapping.args.item);
    clzb_film_output(film, &args);
    map_pictures(film, &args);
    clzb_args_list(&args, (const char *const[]){ "-c", "copy", "-f", "null", "-", NULL });          // as in keep_start
    ret = clzb_film_ffmpeg(film, &args, NULL, "the pieces cannot be joined");
    if (!ret) ret = clzb_answers_join(film);
    kept_path(film, from, "frames");        // what went in, for verify
    clzb_film_path(film, to, "in.md5");
    unlink(to);
    if (!ret && link(from, to) && rename(from, to)) ret = clzb_film_fail(film, -errno, "%s: %s.", to, strerror(errno));
    film->colouring = clzi_now() - film->started;
end:
    free(tags);
    clzb_args_clear(&args);
    return ret;
}
