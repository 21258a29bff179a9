// gstcolorize.c - the GStreamer element `colorize`: colours black-and-white film through libcolorize.
//
//     ... ! decodebin ! videoconvert ! colorize model=model.bin ! x264enc ! ...          doc/gst.md
//
// How frames run. Each buffer is sent to the engine's stream with a place for its colour: the buffer itself where it may be
// written, so that luma is not even copied, or a new one (gray input, shared buffers). Coloured frames are received in order and
// pushed. The window is the engine's own: the streaming thread waits only when the stream is full, or when the frames inside have
// to come out before something else goes on (the end, a segment, a gap, other caps). GstVideoFilter brings negotiation, pools and
// metadata; its transform functions are not used, because one buffer in does not give one buffer out at once.
//
// Live. A source that pauses must not leave frames inside. For live sources a thread of ours wakes when the frames of an
// incomplete batch, or finished frames, have waited longer than the latency that was reported leaves room for, takes the sink
// pad's stream lock as if it were the streaming thread, and pushes what is due.
//
// Locks. The sink pad's stream lock guards the stream and the jobs; the object lock the properties; `deadline.mutex` only when the
// thread shall wake. They are taken in this order, and none is held while a buffer is pushed but the stream lock.
//
// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <string.h>

#include <gst/gst.h>
#include <gst/video/gstvideofilter.h>
#include <gst/video/video.h>

#include "colorize.h"

GST_DEBUG_CATEGORY_STATIC(gst_colorize_debug);
#define GST_CAT_DEFAULT gst_colorize_debug

#define GST_TYPE_COLORIZE (gst_colorize_get_type())
G_DECLARE_FINAL_TYPE(GstColorize, gst_colorize, GST, COLORIZE, GstVideoFilter)

// A frame inside the engine. Both buffers stay mapped, so that their planes stay where they are.
struct job {
    GstBuffer *in, *out;                    // in: NULL where out is the input itself
    GstVideoFrame from, to;                 // from is mapped only if `in` is there
    gint64 arrival;                         // g_get_monotonic_time()
};

// Settings that cannot change while the element runs.
struct settings {
    char *model, *device, *bars;
    int precision, batch, size, luma, threads, range, matrix, siting, interlaced;
};

struct _GstColorize {
    GstVideoFilter parent;

    // properties, under the object lock
    struct settings settings;
    double strength, saturation;
    guint64 dropped;                        // buffers of a live source that did not fit their caps, since the start
    gboolean running;                       // from start to stop: settings are fixed

    // the engine, under the sink pad's stream lock from start to stop
    clz_model *model;
    clz_stream *stream;
    struct job *jobs;                       // [capacity] ring, oldest at jobs[first]
    int capacity, first, count;
    int batch, open;                        // frames to a run; of them in the batch that is being filled
    gboolean at_once;                       // batch=1 was asked for: each frame is waited for
    gint64 last_arrival;
    gboolean gap;                           // a buffer was dropped: the next one is a discontinuity
    GstFlowReturn flow;                     // of a push outside of generate_output, or of a frame that failed: for the next buffer
    gboolean takes_meta;                    // downstream reads GstVideoMeta
    const struct clz_pixfmt *in_format, *out_format;
    struct clz_frame tags;                  // range, matrix and siting of what was negotiated

    gboolean live;                          // atomic
    guint64 duration;                       // of a frame, nanoseconds; atomic by the object lock
    struct {
        GThread *thread;
        GMutex mutex;
        GCond wake;
        gint64 when;                        // g_get_monotonic_time(), 0: nothing is due
        gboolean quit;
    } deadline;

    GMutex message_lock;
    char message[256];                      // the engine's last error
};

G_DEFINE_TYPE_WITH_CODE(GstColorize, gst_colorize, GST_TYPE_VIDEO_FILTER,
                        GST_DEBUG_CATEGORY_INIT(gst_colorize_debug, "colorize", 0, "colour for black-and-white film"))
GST_ELEMENT_REGISTER_DECLARE(colorize)
GST_ELEMENT_REGISTER_DEFINE(colorize, "colorize", GST_RANK_NONE, GST_TYPE_COLORIZE)

#define PARENT GST_BASE_TRANSFORM_CLASS(gst_colorize_parent_class)

// ---- properties: one table ----

enum { INTERLACED_REFUSE, INTERLACED_PROGRESSIVE };
enum kind { TEXT, WHOLE, REAL, CHOICE, COUNTER };    // COUNTER: read only

static const GEnumValue precisions[] = {
    { CLZ_PRECISION_AUTO, "bf16 where the device is faster with it", "auto" },
    { CLZ_PRECISION_F32, "32-bit floats", "f32" },
    { CLZ_PRECISION_BF16, "bfloat16", "bf16" },
    { 0, NULL, NULL }
};
static const GEnumValue lumas[] = {
    { CLZ_LUMA_COPY, "The luma plane, bit for bit", "copy" },
    { CLZ_LUMA_LSTAR, "The perceived lightness L*", "lstar" },
    { 0, NULL, NULL }
};
static const GEnumValue ranges[] = {
    { CLZ_RANGE_UNSPECIFIED, "As the caps say", "auto" },
    { CLZ_RANGE_LIMITED, "16 to 235", "limited" },
    { CLZ_RANGE_FULL, "0 to 255", "full" },
    { 0, NULL, NULL }
};
static const GEnumValue matrices[] = {
    { CLZ_MATRIX_UNSPECIFIED, "As the caps say, else by the height", "auto" },
    { CLZ_MATRIX_601, "BT.601", "bt601" },
    { CLZ_MATRIX_709, "BT.709", "bt709" },
    { CLZ_MATRIX_2020, "BT.2020 non-constant luminance", "bt2020" },
    { 0, NULL, NULL }
};
static const GEnumValue sitings[] = {
    { CLZ_SITING_UNSPECIFIED, "As the caps say, else left", "auto" },
    { CLZ_SITING_LEFT, "MPEG-2, H.264", "left" },
    { CLZ_SITING_CENTER, "MPEG-1, JPEG", "center" },
    { CLZ_SITING_TOPLEFT, "BT.2020, DV", "topleft" },
    { 0, NULL, NULL }
};

static const GEnumValue interlaced_choices[] = {
    { INTERLACED_REFUSE, "Refuse film that is flagged as interlaced", "refuse" },
    { INTERLACED_PROGRESSIVE, "Its frames are whole pictures all the same: colour them as they are", "progressive" },
    { 0, NULL, NULL }
};

static const struct property {
    const char *name, *nick, *help;
    enum kind kind;
    size_t at;                              // in GstColorize
    double min, max, preset;
    const char *text;                       // TEXT: preset; CHOICE: name of its GType
    const GEnumValue *choices;
    gboolean playing;                       // may change while playing, and be controlled
} properties[] = {
#define SETTING(field) offsetof(GstColorize, settings.field)
#define NUMBER(kind, at, min, max, preset, playing) kind, at, min, max, preset, NULL, NULL, playing
#define NAMES(field, type, choices, most) CHOICE, SETTING(field), 0, most, 0, type, choices, FALSE
    { "model", "Model", "Model file; needed", TEXT, SETTING(model), 0, 0, 0, NULL, NULL, FALSE },
    { "device", "Device", "Where the model runs: auto, cpu, ref, cuda, cuda:1",
      TEXT, SETTING(device), 0, 0, 0, "auto", NULL, FALSE },
    { "precision", "Precision", "Numbers the model computes with",
      NAMES(precision, "GstColorizePrecision", precisions, CLZ_PRECISION_BF16) },
    { "batch", "Batch", "Frames to a run of the model (0: what suits the device; 1: no frame is held back). Live sources are "
      "delayed by twice as many frames", NUMBER(WHOLE, SETTING(batch), 0, 64, 0, FALSE) },
    { "size", "Size", "Short side of the picture the model sees, pixels, 32 or more (0: the model's own)",
      NUMBER(WHOLE, SETTING(size), 0, 2048, 0, FALSE) },
    { "strength", "Strength", "Share of the predicted colour that is used",
      NUMBER(REAL, offsetof(GstColorize, strength), 0, 1, 1, TRUE) },
    { "saturation", "Saturation", "Factor on the colours", NUMBER(REAL, offsetof(GstColorize, saturation), 0, 4, 1, TRUE) },
    { "luma", "Luma", "What stays of the picture", NAMES(luma, "GstColorizeLuma", lumas, CLZ_LUMA_LSTAR) },
    { "threads", "Threads", "CPU threads of the engine (0: one a core)", NUMBER(WHOLE, SETTING(threads), 0, 1024, 0, FALSE) },
    { "range", "Range", "Overrule the film's colour range", NAMES(range, "GstColorizeRange", ranges, CLZ_RANGE_FULL) },
    { "matrix", "Matrix", "Overrule the film's colour matrix", NAMES(matrix, "GstColorizeMatrix", matrices, CLZ_MATRIX_2020) },
    { "siting", "Siting", "Overrule the film's chroma siting", NAMES(siting, "GstColorizeSiting", sitings, CLZ_SITING_TOPLEFT) },
    { "bars", "Bars", "Black bars that the model does not see: auto, off, or top:bottom:left:right in pixels",
      TEXT, SETTING(bars), 0, 0, 0, "auto", NULL, FALSE },
    { "interlaced", "Interlaced", "What to do with film that is flagged as interlaced",
      NAMES(interlaced, "GstColorizeInterlaced", interlaced_choices, INTERLACED_PROGRESSIVE) },
    { "dropped", "Dropped", "Buffers of a live source that did not fit their caps and were dropped, since the start",
      NUMBER(COUNTER, offsetof(GstColorize, dropped), 0, 0, 0, FALSE) },
#undef NUMBER
#undef NAMES
#undef SETTING
};

// ---- the engine's messages ----

static void engine_message(void *priv, enum clz_log_level level, const char *msg)
{
    static const GstDebugLevel levels[] = {
        [CLZ_LOG_ERROR] = GST_LEVEL_ERROR, [CLZ_LOG_WARNING] = GST_LEVEL_WARNING, [CLZ_LOG_INFO] = GST_LEVEL_INFO,
        [CLZ_LOG_VERBOSE] = GST_LEVEL_INFO, [CLZ_LOG_DEBUG] = GST_LEVEL_DEBUG,
    };
    GstColorize *self = priv;

    GST_CAT_LEVEL_LOG(GST_CAT_DEFAULT, levels[level], self, "%s", msg);
    if (level != CLZ_LOG_ERROR) return;
    g_mutex_lock(&self->message_lock);
    g_strlcpy(self->message, msg, sizeof self->message);
    g_mutex_unlock(&self->message_lock);
}

// Says the engine's last error, or what the number means.
static void engine_error(GstColorize *self, int error, const char *what)
{
    char message[sizeof self->message];

    g_mutex_lock(&self->message_lock);
    memcpy(message, self->message, sizeof message);
    self->message[0] = 0;
    g_mutex_unlock(&self->message_lock);
    if (!*message) g_strlcpy(message, g_strerror(-error), sizeof message);
    switch (error) {
    case -ENOENT:  GST_ELEMENT_ERROR(self, RESOURCE, NOT_FOUND, ("%s: %s", what, message), (NULL)); break;
    case -ENOMEM:  GST_ELEMENT_ERROR(self, RESOURCE, NO_SPACE_LEFT, ("%s: %s", what, message), (NULL)); break;
    case -EINVAL:
    case -ENOTSUP: GST_ELEMENT_ERROR(self, RESOURCE, SETTINGS, ("%s: %s", what, message), (NULL)); break;
    default:       GST_ELEMENT_ERROR(self, RESOURCE, READ, ("%s: %s", what, message), (NULL)); break;
    }
}

// ---- formats ----

static const struct clz_pixfmt *find_format(const char *gst)
{
    const struct clz_pixfmt *f = clz_pixfmt_list();

    while (f->name && g_strcmp0(f->gst, gst)) f++;
    return gst && f->name ? f : NULL;
}

static gboolean is_gray(const struct clz_pixfmt *f) { return f->flags & CLZ_PIXFMT_GRAY; }

static void add_name(GValue *list, const char *name)
{
    GValue v = G_VALUE_INIT;

    g_value_init(&v, G_TYPE_STRING);
    g_value_set_static_string(&v, name);
    gst_value_list_append_and_take_value(list, &v);
}

// All formats of the engine's table; without gray for what comes out.
static GstCaps *format_caps(gboolean gray)
{
    GstCaps *caps = gst_caps_from_string("video/x-raw, width = (int) [ 1, 16384 ], height = (int) [ 1, 16384 ], "
                                         "framerate = (fraction) [ 0/1, 2147483647/1 ]");
    GValue list = G_VALUE_INIT;

    g_value_init(&list, GST_TYPE_LIST);
    for (const struct clz_pixfmt *f = clz_pixfmt_list(); f->name; f++)
        if (f->gst && (gray || !is_gray(f))) add_name(&list, f->gst);
    gst_caps_set_value(caps, "format", &list);
    g_value_unset(&list);
    return caps;
}

// Formats of a structure that are in the table, gray ones or the others, at most max; returns their number.
static int formats_of(const GstStructure *s, gboolean gray, const struct clz_pixfmt **found, int max)
{
    const GValue *v = gst_structure_get_value(s, "format");
    const guint n = !v ? 0 : GST_VALUE_HOLDS_LIST(v) ? gst_value_list_get_size(v) : 1;
    int count = 0;

    if (!v)                                 // any format
        for (const struct clz_pixfmt *f = clz_pixfmt_list(); f->name && count < max; f++)
            if (f->gst && is_gray(f) == gray) found[count++] = f;
    for (guint i = 0; i < n && count < max; i++) {
        const GValue *one = GST_VALUE_HOLDS_LIST(v) ? gst_value_list_get_value(v, i) : v;
        const struct clz_pixfmt *f = G_VALUE_HOLDS_STRING(one) ? find_format(g_value_get_string(one)) : NULL;
        if (f && is_gray(f) == gray) found[count++] = f;
    }
    return count;
}

// ---- colour tags ----

static enum clz_range range_of(const GstVideoColorimetry *c)
{
    return c->range == GST_VIDEO_COLOR_RANGE_0_255  ? CLZ_RANGE_FULL :
           c->range == GST_VIDEO_COLOR_RANGE_16_235 ? CLZ_RANGE_LIMITED : CLZ_RANGE_UNSPECIFIED;
}

static enum clz_matrix matrix_of(const GstVideoColorimetry *c)
{
    switch (c->matrix) {
    case GST_VIDEO_COLOR_MATRIX_BT709: case GST_VIDEO_COLOR_MATRIX_SMPTE240M: return CLZ_MATRIX_709;
    case GST_VIDEO_COLOR_MATRIX_BT601: case GST_VIDEO_COLOR_MATRIX_FCC:       return CLZ_MATRIX_601;
    case GST_VIDEO_COLOR_MATRIX_BT2020:                                       return CLZ_MATRIX_2020;
    default:                                                                  return CLZ_MATRIX_UNSPECIFIED;
    }
}

static const struct { enum clz_siting siting; GstVideoChromaSite site; } sites[] = {
    { CLZ_SITING_LEFT, GST_VIDEO_CHROMA_SITE_H_COSITED },
    { CLZ_SITING_CENTER, GST_VIDEO_CHROMA_SITE_NONE },
    { CLZ_SITING_TOPLEFT, GST_VIDEO_CHROMA_SITE_COSITED },
};

static enum clz_siting siting_of(GstVideoChromaSite site)
{
    for (guint i = 0; i < G_N_ELEMENTS(sites); i++)
        if (sites[i].site == site) return sites[i].siting;
    return CLZ_SITING_UNSPECIFIED;
}

static void set_text(GstStructure *s, const char *field, char *text)       // takes the text
{
    gst_structure_set(s, field, G_TYPE_STRING, text, NULL);
    g_free(text);
}

// What the coloured film's caps must say about colour where that differs from what the grey film's say: gray has no matrix of its
// own, and the user may overrule. s: a fixed structure of input caps; `out` gets its colorimetry and chroma-site.
static void tag_structure(const struct settings *set, const GstStructure *s, const struct clz_pixfmt *in, GstStructure *out)
{
    static const GstVideoColorMatrix names[] = {
        GST_VIDEO_COLOR_MATRIX_UNKNOWN, GST_VIDEO_COLOR_MATRIX_BT601, GST_VIDEO_COLOR_MATRIX_BT709, GST_VIDEO_COLOR_MATRIX_BT2020
    };
    const char *text = gst_structure_get_string(s, "colorimetry");
    GstVideoColorimetry c = { 0 };
    GstVideoInfo info;
    GstCaps *caps;
    gboolean fixed;
    int height = 0;

    gst_structure_remove_fields(out, "colorimetry", "chroma-site", NULL);
    if (!gst_structure_has_field_typed(s, "height", G_TYPE_INT) || !gst_structure_has_field_typed(s, "width", G_TYPE_INT)) return;
    if ((!text || !gst_video_colorimetry_from_string(&c, text)) && !is_gray(in)) {          // GStreamer's own rule, by the height
        caps = gst_caps_new_simple("video/x-raw", "format", G_TYPE_STRING, in->gst, NULL);
        gst_caps_set_value(caps, "width", gst_structure_get_value(s, "width"));
        gst_caps_set_value(caps, "height", gst_structure_get_value(s, "height"));
        fixed = gst_video_info_from_caps(&info, caps);
        gst_caps_unref(caps);
        if (!fixed) return;
        c = info.colorimetry;
    }
    if (set->range) c.range = set->range == CLZ_RANGE_FULL ? GST_VIDEO_COLOR_RANGE_0_255 : GST_VIDEO_COLOR_RANGE_16_235;
    else if (!c.range) c.range = is_gray(in) ? GST_VIDEO_COLOR_RANGE_0_255 : GST_VIDEO_COLOR_RANGE_16_235;
    if (set->matrix) c.matrix = names[set->matrix];
    else if (!matrix_of(&c) || (is_gray(in) && !c.transfer && !c.primaries)) {      // GStreamer calls any gray 601
        gst_structure_get_int(s, "height", &height);
        c.matrix = height <= 576 ? GST_VIDEO_COLOR_MATRIX_BT601 : GST_VIDEO_COLOR_MATRIX_BT709;
    }
    set_text(out, "colorimetry", gst_video_colorimetry_to_string(&c));
    for (guint i = 0; i < G_N_ELEMENTS(sites); i++)
        if ((int)sites[i].siting == set->siting) set_text(out, "chroma-site", gst_video_chroma_site_to_string(sites[i].site));
    if (!set->siting && !is_gray(in) && gst_structure_has_field(s, "chroma-site"))
        gst_structure_set_value(out, "chroma-site", gst_structure_get_value(s, "chroma-site"));
}

// ---- negotiation ----

enum { MAX_FORMATS = 64 };

static void append(GstCaps *caps, const GstCaps *from, guint i, const GValue *formats, const GstStructure *tagged)
{
    GstStructure *s = gst_structure_copy(tagged);

    gst_structure_set_value(s, "format", formats);
    gst_caps_append_structure_full(caps, s, gst_caps_features_copy(gst_caps_get_features(from, i)));
}

// Film with colour planes keeps its format; gray becomes YUV of its own depth, first of all the one that the table names.
static GstCaps *gst_colorize_transform_caps(GstBaseTransform *bt, GstPadDirection direction, GstCaps *caps, GstCaps *filter)
{
    GstColorize *self = GST_COLORIZE(bt);
    const struct clz_pixfmt *found[MAX_FORMATS];
    GstCaps *result = gst_caps_new_empty();
    struct settings set;

    GST_OBJECT_LOCK(self);
    set = self->settings;
    GST_OBJECT_UNLOCK(self);
    for (guint i = 0; i < gst_caps_get_size(caps); i++) {
        const GstStructure *s = gst_caps_get_structure(caps, i);
        const gboolean overruled = set.range || set.matrix || set.siting;
        int count = formats_of(s, FALSE, found, MAX_FORMATS);
        GValue list = G_VALUE_INIT;

        g_value_init(&list, GST_TYPE_LIST);
        for (int k = 0; k < count; k++) add_name(&list, found[k]->gst);
        if (count) {
            GstStructure *same = gst_structure_copy(s);
            if (overruled && direction == GST_PAD_SINK) tag_structure(&set, s, found[0], same);
            else if (overruled) gst_structure_remove_fields(same, "colorimetry", "chroma-site", NULL);
            append(result, caps, i, &list, same);
            gst_structure_free(same);
        }
        g_value_unset(&list);
        if (direction == GST_PAD_SRC) {     // what may be coloured into these
            GstStructure *bare = gst_structure_copy(s);
            int grays = 0;
            g_value_init(&list, GST_TYPE_LIST);
            for (const struct clz_pixfmt *f = clz_pixfmt_list(); f->name; f++) {
                gboolean can = FALSE;
                for (int k = 0; k < count; k++) can = can || found[k]->depth == f->depth;
                if (!can || !f->gst || !is_gray(f)) continue;
                add_name(&list, f->gst);
                grays++;
            }
            gst_structure_remove_fields(bare, "colorimetry", "chroma-site", NULL);
            if (grays) append(result, caps, i, &list, bare);
            gst_structure_free(bare);
            g_value_unset(&list);
            continue;
        }
        count = formats_of(s, TRUE, found, MAX_FORMATS);
        for (int k = 0; k < count; k++) {   // what these grays may become
            const struct clz_pixfmt *best = clz_pixfmt_find(found[k]->out);
            GstStructure *tagged = gst_structure_copy(s);
            g_value_init(&list, GST_TYPE_LIST);
            if (best && best->gst) add_name(&list, best->gst);
            for (const struct clz_pixfmt *f = clz_pixfmt_list(); f->name; f++)
                if (f->gst && !is_gray(f) && f->depth == found[k]->depth && f != best) add_name(&list, f->gst);
            tag_structure(&set, s, found[k], tagged);
            append(result, caps, i, &list, tagged);
            gst_structure_free(tagged);
            g_value_unset(&list);
        }
    }
    if (filter) {
        GstCaps *both = gst_caps_intersect_full(filter, result, GST_CAPS_INTERSECT_FIRST);
        gst_caps_unref(result);
        result = both;
    }
    return result;
}

// Of what downstream takes of a coloured gray film, the table's own choice; it lists formats in an order of its own.
static GstCaps *gst_colorize_fixate_caps(GstBaseTransform *bt, GstPadDirection direction, GstCaps *caps, GstCaps *othercaps)
{
    const struct clz_pixfmt *found[2], *best;

    if (direction == GST_PAD_SINK && formats_of(gst_caps_get_structure(caps, 0), TRUE, found, 1) &&
        (best = clz_pixfmt_find(found[0]->out)) && best->gst) {
        GstCaps *wanted = gst_caps_new_simple("video/x-raw", "format", G_TYPE_STRING, best->gst, NULL);
        GstCaps *both = gst_caps_intersect_full(othercaps, wanted, GST_CAPS_INTERSECT_FIRST);
        gst_caps_unref(wanted);
        if (!gst_caps_is_empty(both)) gst_caps_replace(&othercaps, both);
        gst_caps_unref(both);
    }
    return PARENT->fixate_caps(bt, direction, caps, othercaps);
}

static GstFlowReturn drain(GstColorize *self);
static void plan_deadline(GstColorize *self);

static gboolean upstream_is_live(GstColorize *self)
{
    GstQuery *query = gst_query_new_latency();
    gboolean live = FALSE;

    if (gst_pad_peer_query(GST_BASE_TRANSFORM_SINK_PAD(self), query)) gst_query_parse_latency(query, &live, NULL, NULL);
    gst_query_unref(query);
    return live;
}

// Frames of two fields would be coloured wrongly where things move; but film is often flagged so by mistake. Buffers that hold one
// field each are refused always: their pictures have half the height that the caps say.
static gboolean accepts_interlace_mode(GstColorize *self, GstVideoInterlaceMode mode)
{
    const gboolean whole = mode == GST_VIDEO_INTERLACE_MODE_INTERLEAVED || mode == GST_VIDEO_INTERLACE_MODE_MIXED;
    int wish;

    GST_OBJECT_LOCK(self);
    wish = self->settings.interlaced;
    GST_OBJECT_UNLOCK(self);
    if (mode == GST_VIDEO_INTERLACE_MODE_PROGRESSIVE || (whole && wish == INTERLACED_PROGRESSIVE)) return TRUE;
    GST_ELEMENT_ERROR(self, STREAM, FORMAT,
                      ("The film is flagged as interlaced (interlace-mode=%s). %sIf each frame holds two fields, put \"deinterlace "
                       "fields=top\" before colorize; without fields=top it makes two frames of each.",
                       gst_video_interlace_mode_to_string(mode), whole ? "If its frames are whole pictures all the same, as those of "
                       "most transfers of film are, set colorize's interlaced=progressive: nothing is converted then. " : ""), (NULL));
    return FALSE;
}

static gboolean gst_colorize_set_info(GstVideoFilter *vf, GstCaps *in_caps, GstVideoInfo *in_info, GstCaps *out_caps,
                                      GstVideoInfo *out_info)
{
    GstColorize *self = GST_COLORIZE(vf);
    const GstStructure *in = gst_caps_get_structure(in_caps, 0), *out = gst_caps_get_structure(out_caps, 0);

    drain(self);                            // first: vf->in_info is still the old one, and the new caps have not gone on
    self->in_format = find_format(gst_structure_get_string(in, "format"));
    self->out_format = find_format(gst_structure_get_string(out, "format"));
    if (!self->in_format || !self->out_format) return FALSE;
    if (!accepts_interlace_mode(self, GST_VIDEO_INFO_INTERLACE_MODE(in_info))) return FALSE;
    self->tags.range = range_of(&out_info->colorimetry);
    self->tags.matrix = matrix_of(&out_info->colorimetry);
    // Where the caps say nothing, GstVideoInfo says "center" for small pictures; films have it left, and the filter takes it so.
    self->tags.siting = gst_structure_has_field(out, "chroma-site") ? siting_of(GST_VIDEO_INFO_CHROMA_SITE(out_info)) :
                        CLZ_SITING_UNSPECIFIED;
    GST_OBJECT_LOCK(self);
    self->duration = GST_VIDEO_INFO_FPS_N(in_info) > 0 ?
        gst_util_uint64_scale(GST_SECOND, GST_VIDEO_INFO_FPS_D(in_info), GST_VIDEO_INFO_FPS_N(in_info)) : 40 * GST_MSECOND;
    GST_OBJECT_UNLOCK(self);
    g_atomic_int_set(&self->live, upstream_is_live(self));
    gst_element_post_message(GST_ELEMENT(self), gst_message_new_latency(GST_OBJECT(self)));
    return TRUE;
}

// With the window full a frame waits for its batch, then for the run of it, and comes out no later than the batch after it is
// full. With batch=1 it waits for its own run only.
static GstClockTime own_latency(GstColorize *self)
{
    GstClockTime latency;

    GST_OBJECT_LOCK(self);
    latency = self->running && GST_VIDEO_FILTER(self)->negotiated ? (self->at_once ? 1 : 2 * self->batch) * self->duration : 0;
    GST_OBJECT_UNLOCK(self);
    return latency;
}

// videoconvert (1.22) reads the format of our answer after it has taken other fields out, so it misjudges structures in which these
// stand first, and gave gray where the film's own format would do. So format comes first.
static void format_first(GstQuery *query)
{
    GstCaps *caps, *ordered = gst_caps_new_empty();

    gst_query_parse_caps_result(query, &caps);
    for (guint i = 0; i < gst_caps_get_size(caps); i++) {
        const GstStructure *s = gst_caps_get_structure(caps, i);
        GstStructure *to = gst_structure_new_empty(gst_structure_get_name(s));
        if (gst_structure_has_field(s, "format")) gst_structure_set_value(to, "format", gst_structure_get_value(s, "format"));
        for (int k = 0; k < gst_structure_n_fields(s); k++) {
            const char *name = gst_structure_nth_field_name(s, k);
            gst_structure_set_value(to, name, gst_structure_get_value(s, name));
        }
        gst_caps_append_structure_full(ordered, to, gst_caps_features_copy(gst_caps_get_features(caps, i)));
    }
    gst_query_set_caps_result(query, ordered);
    gst_caps_unref(ordered);
}

static gboolean gst_colorize_query(GstBaseTransform *bt, GstPadDirection direction, GstQuery *query)
{
    GstColorize *self = GST_COLORIZE(bt);
    const GstClockTime own = own_latency(self);
    GstClockTime min, max;
    gboolean live;

    if (direction == GST_PAD_SRC && GST_QUERY_TYPE(query) == GST_QUERY_LATENCY) {
        if (!gst_pad_peer_query(GST_BASE_TRANSFORM_SINK_PAD(bt), query)) return FALSE;
        gst_query_parse_latency(query, &live, &min, &max);
        g_atomic_int_set(&self->live, live);
        min += own;
        if (max != GST_CLOCK_TIME_NONE) max += own;
        gst_query_set_latency(query, live, min, max);
        return TRUE;
    }
    if (direction == GST_PAD_SINK && GST_QUERY_TYPE(query) == GST_QUERY_DRAIN) drain(self);     // upstream wants its buffers back
    if (!PARENT->query(bt, direction, query)) return FALSE;
    if (direction == GST_PAD_SINK && GST_QUERY_TYPE(query) == GST_QUERY_CAPS) format_first(query);
    return TRUE;
}

// ---- pools: both sides need buffers for the window ----

static gboolean gst_colorize_propose_allocation(GstBaseTransform *bt, GstQuery *decide, GstQuery *query)
{
    GstColorize *self = GST_COLORIZE(bt);
    GstVideoInfo info;
    GstCaps *caps;

    gst_query_parse_allocation(query, &caps, NULL);
    if (!caps || !gst_video_info_from_caps(&info, caps)) return FALSE;
    (void)decide;
    gst_query_add_allocation_pool(query, NULL, GST_VIDEO_INFO_SIZE(&info), self->capacity + 2, 0);
    gst_query_add_allocation_meta(query, GST_VIDEO_META_API_TYPE, NULL);
    return TRUE;
}

static gboolean gst_colorize_decide_allocation(GstBaseTransform *bt, GstQuery *query)
{
    GstColorize *self = GST_COLORIZE(bt);

    self->takes_meta = gst_query_find_allocation_meta(query, GST_VIDEO_META_API_TYPE, NULL);
    for (guint i = 0; i < gst_query_get_n_allocation_pools(query); i++) {
        GstBufferPool *pool;
        guint size, min, max;
        gst_query_parse_nth_allocation_pool(query, i, &pool, &size, &min, &max);
        min += self->capacity;
        if (max && max < min) {             // too few for the window: the parent makes one of our own
            gst_clear_object(&pool);
            max = 0;
        }
        gst_query_set_nth_allocation_pool(query, i, pool, size, min, max);
        gst_clear_object(&pool);
    }
    return PARENT->decide_allocation(bt, query);
}

// A coloured frame has its grey one's size and place, so whatever describes it stays true.
static gboolean gst_colorize_transform_meta(GstBaseTransform *bt, GstBuffer *out, GstMeta *meta, GstBuffer *in)
{
    (void)bt, (void)out, (void)in;
    return !gst_meta_api_type_has_tag(meta->info->api, g_quark_from_static_string("memory"));
}

// ---- frames in ----

// Where memory:CUDAMemory will enter: another map flag, another memory, and the context and stream of the memory.
static struct clz_frame describe(const GstColorize *self, const GstVideoFrame *f, const struct clz_pixfmt *format)
{
    struct clz_frame frame = self->tags;

    frame.format = format;
    frame.width = GST_VIDEO_FRAME_WIDTH(f);
    frame.height = GST_VIDEO_FRAME_HEIGHT(f);
    frame.memory = CLZ_MEMORY_HOST;
    for (int p = 0; p < format->planes; p++) {
        frame.data[p] = GST_VIDEO_FRAME_PLANE_DATA(f, p);
        frame.stride[p] = GST_VIDEO_FRAME_PLANE_STRIDE(f, p);
    }
    return frame;
}

// Unmaps, and drops the input; returns the output.
static GstBuffer *finish(struct job *j)
{
    GstBuffer *out = j->out;

    if (j->in) gst_video_frame_unmap(&j->from);
    gst_video_frame_unmap(&j->to);
    gst_clear_buffer(&j->in);
    j->out = NULL;
    return out;
}

// Whether downstream finds the planes: by the buffer's meta, or because they lie where the caps alone say.
static gboolean is_readable(const GstColorize *self, const GstVideoFrame *f)
{
    const GstVideoInfo *want = &GST_VIDEO_FILTER(self)->out_info;
    gboolean same = TRUE;

    for (guint p = 0; p < GST_VIDEO_FRAME_N_PLANES(f); p++)
        same = same && f->info.stride[p] == want->stride[p] && f->info.offset[p] == want->offset[p];
    return same || self->takes_meta;
}

enum { DROPPED = GST_FLOW_CUSTOM_SUCCESS };

// A buffer that does not fit its caps. A live pipeline goes on without it, with a warning for the 1st, 10th, 100th and so on; a film
// that is read from a file must not lose frames, so there it is an error.
static GstFlowReturn unfit(GstColorize *self, const char *what, GstBuffer *in)
{
    guint64 count, power = 1;

    if (!g_atomic_int_get(&self->live)) {
        GST_ELEMENT_ERROR(self, STREAM, FAILED, ("%s", what), ("%" GST_PTR_FORMAT, in));
        return GST_FLOW_ERROR;
    }
    GST_OBJECT_LOCK(self);
    count = ++self->dropped;
    GST_OBJECT_UNLOCK(self);
    self->gap = TRUE;
    while (power < count) power *= 10;
    if (power == count)
        GST_ELEMENT_WARNING(self, STREAM, FAILED, ("%s It is dropped; %" G_GUINT64_FORMAT " so far.", what, count),
                            ("%" GST_PTR_FORMAT, in));
    return (GstFlowReturn)DROPPED;
}

// Maps `in` and a place for its colour. Takes `in`.
static GstFlowReturn prepare(GstColorize *self, GstBuffer *in, struct job *j)
{
    const GstMapFlags no_ref = (GstMapFlags)GST_VIDEO_FRAME_MAP_FLAG_NO_REF;    // the job holds them
    GstVideoFilter *vf = GST_VIDEO_FILTER(self);
    GstFlowReturn ret;

    *j = (struct job){ .arrival = g_get_monotonic_time() };
    if (self->in_format == self->out_format && gst_buffer_is_writable(in) && gst_buffer_is_all_memory_writable(in)) {
        if (!gst_video_frame_map(&j->to, &vf->out_info, in, GST_MAP_READWRITE | no_ref)) goto unmapped;
        if (is_readable(self, &j->to)) {
            j->out = in;
            return GST_FLOW_OK;
        }
        gst_video_frame_unmap(&j->to);
    }
    ret = PARENT->prepare_output_buffer(GST_BASE_TRANSFORM(self), in, &j->out);    // from the pool, with times, flags and metas
    if (ret != GST_FLOW_OK) {
        gst_buffer_unref(in);
        return ret;
    }
    if (!gst_video_frame_map(&j->from, &vf->in_info, in, GST_MAP_READ | no_ref)) goto unmapped;
    if (!gst_video_frame_map(&j->to, &vf->out_info, j->out, GST_MAP_WRITE | no_ref)) {
        gst_video_frame_unmap(&j->from);
        goto unmapped;
    }
    j->in = in;
    return GST_FLOW_OK;
unmapped:
    ret = unfit(self, "A frame's buffer cannot be read: it is smaller than its caps say, or not in memory.", in);
    gst_clear_buffer(&j->out);
    gst_buffer_unref(in);
    return ret;
}

static GstFlowReturn send(GstColorize *self, GstBuffer *in)
{
    struct job *j = &self->jobs[(self->first + self->count) % self->capacity];
    struct clz_controls controls = CLZ_CONTROLS_DEFAULT;
    struct clz_frame from, to;
    GstFlowReturn flow = prepare(self, in, j);
    int ret;

    if (flow != GST_FLOW_OK) return flow;
    to = describe(self, &j->to, self->out_format);
    from = j->in ? describe(self, &j->from, self->in_format) : to;
    GST_OBJECT_LOCK(self);
    controls.strength = (float)self->strength;
    controls.saturation = (float)self->saturation;
    GST_OBJECT_UNLOCK(self);
    ret = clz_stream_send(self->stream, &from, &to, &controls);
    if (ret == -ECANCELED) flow = GST_FLOW_FLUSHING;            // the element is being stopped, or flushed
    else if (ret == -EINVAL && g_atomic_int_get(&self->live)) flow = unfit(self, "A frame cannot be coloured as it lies in memory.", j->out);
    if (ret < 0 && flow == GST_FLOW_OK) {
        engine_error(self, ret, "The frame cannot be coloured");
        flow = self->flow = GST_FLOW_ERROR;
    }
    if (flow != GST_FLOW_OK) {
        gst_buffer_unref(finish(j));
        return flow;
    }
    if (self->gap) GST_BUFFER_FLAG_SET(j->out, GST_BUFFER_FLAG_DISCONT);
    self->gap = FALSE;
    self->last_arrival = j->arrival;
    self->count++;
    self->open = (self->open + 1) % self->batch;
    return GST_FLOW_OK;
}

static GstFlowReturn gst_colorize_submit_input_buffer(GstBaseTransform *bt, gboolean is_discont, GstBuffer *input)
{
    GstColorize *self = GST_COLORIZE(bt);
    GstFlowReturn ret = PARENT->submit_input_buffer(bt, is_discont, input);     // negotiates, and drops late frames if qos is set
    GstBuffer *in = bt->queued_buf;
    GstClockTime time;

    if (ret != GST_FLOW_OK || !in) return ret;
    bt->queued_buf = NULL;
    // A jump: the frames before it first. The buffer is asked, not is_discont: that stays set until generate_output gives a buffer.
    if (GST_BUFFER_IS_DISCONT(in)) ret = drain(self);
    if (ret == GST_FLOW_OK) ret = self->flow;
    if (ret != GST_FLOW_OK) {
        // Told, once: by the next frame the pad may be linked, or agree.
        if (ret == GST_FLOW_NOT_LINKED || ret == GST_FLOW_NOT_NEGOTIATED) self->flow = GST_FLOW_OK;
        gst_buffer_unref(in);
        return ret;
    }
    if (bt->segment.format == GST_FORMAT_TIME) {
        time = gst_segment_to_stream_time(&bt->segment, GST_FORMAT_TIME, GST_BUFFER_TIMESTAMP(in));
        if (GST_CLOCK_TIME_IS_VALID(time)) gst_object_sync_values(GST_OBJECT(self), time);
    }
    ret = send(self, in);
    return ret == (GstFlowReturn)DROPPED ? GST_FLOW_OK : ret;
}

// ---- frames out ----

// The next finished frame; NULL in *out: none is finished (with wait: none is being coloured).
static GstFlowReturn receive(GstColorize *self, gboolean wait, GstBuffer **out)
{
    struct clz_frame made;
    int ret;

    *out = NULL;
    if (!self->count) return GST_FLOW_OK;
    ret = clz_stream_receive(self->stream, &made, wait);
    if (ret == -EAGAIN || ret == -ENODATA) return GST_FLOW_OK;
    if (ret == -ECANCELED) return GST_FLOW_FLUSHING;
    *out = finish(&self->jobs[self->first]);
    self->first = (self->first + 1) % self->capacity;
    self->count--;
    if (ret >= 0) return GST_FLOW_OK;
    gst_clear_buffer(out);
    engine_error(self, ret, "A frame could not be coloured");
    return self->flow = GST_FLOW_ERROR;     // said once: the others are given up without a word
}

// Called after each buffer until it gives none; the parent pushes. With batch=1 the frame is waited for; else only when there is
// no room for the next.
static GstFlowReturn gst_colorize_generate_output(GstBaseTransform *bt, GstBuffer **out)
{
    GstColorize *self = GST_COLORIZE(bt);
    GstFlowReturn ret = receive(self, self->at_once || self->count == self->capacity, out);

    plan_deadline(self);
    return ret;
}

// Frames that are still to be coloured are not wanted any more: who waits for them returns. From any thread.
static void cancel(GstColorize *self)
{
    GST_OBJECT_LOCK(self);
    clz_stream_cancel(self->stream);
    GST_OBJECT_UNLOCK(self);
}

static void forget(GstColorize *self)
{
    if (self->stream) clz_stream_flush(self->stream, NULL, NULL);
    for (; self->count; self->count--, self->first = (self->first + 1) % self->capacity)
        gst_buffer_unref(finish(&self->jobs[self->first]));
    self->open = 0;
}

// Pushes frames until `keep` are left, or a push fails.
static GstFlowReturn push(GstColorize *self, int keep)
{
    GstFlowReturn ret = GST_FLOW_OK;
    GstBuffer *out;

    while (ret == GST_FLOW_OK && self->count > keep) {
        if ((ret = receive(self, TRUE, &out)) != GST_FLOW_OK) break;
        if (!out) break;
        ret = gst_pad_push(GST_BASE_TRANSFORM_SRC_PAD(self), out);
    }
    return ret;
}

static GstFlowReturn drain(GstColorize *self)
{
    GstFlowReturn ret;

    if (!self->count) return GST_FLOW_OK;
    if (self->flow != GST_FLOW_ERROR) {
        GST_DEBUG_OBJECT(self, "draining %d frames", self->count);
        clz_stream_drain(self->stream);
        self->open = 0;
        ret = push(self, 0);
        if (ret != GST_FLOW_OK && ret != GST_FLOW_FLUSHING) self->flow = ret;
    } else {
        ret = GST_FLOW_ERROR;
    }
    forget(self);                           // what a failed push left
    plan_deadline(self);
    return ret;
}

static gboolean gst_colorize_sink_event(GstBaseTransform *bt, GstEvent *event)
{
    GstColorize *self = GST_COLORIZE(bt);

    switch (GST_EVENT_TYPE(event)) {
    case GST_EVENT_FLUSH_START:             // not from the streaming thread, which may be waiting for frames
        cancel(self);
        break;
    case GST_EVENT_FLUSH_STOP:
        forget(self);
        self->flow = GST_FLOW_OK;
        plan_deadline(self);
        break;
    case GST_EVENT_CAPS:                    // drained where they really change: set_info
    case GST_EVENT_TAG:                     // belong to the whole stream, and come often
        break;
    case GST_EVENT_STREAM_START:
    case GST_EVENT_SEGMENT:                 // downstream may be ready for more than it was
        if (self->flow == GST_FLOW_EOS) self->flow = GST_FLOW_OK;
        drain(self);
        break;
    default:
        if (GST_EVENT_IS_SERIALIZED(event)) drain(self);
        // no buffer will come to tell upstream
        if (GST_EVENT_TYPE(event) == GST_EVENT_EOS &&
            (self->flow == GST_FLOW_NOT_NEGOTIATED || self->flow == GST_FLOW_NOT_LINKED))
            GST_ELEMENT_FLOW_ERROR(self, self->flow);
        break;
    }
    return PARENT->sink_event(bt, event);
}

// ---- deadlines of live sources ----

// When frames have waited so long that the source must have paused: an incomplete batch as long as it should have taken to fill,
// submitted ones for two frames without a third. 0: nothing waits.
static gint64 batch_due(GstColorize *self, gint64 frame)
{
    return self->open ? self->jobs[(self->first + self->count - self->open) % self->capacity].arrival + self->batch * frame : 0;
}

static gint64 push_due(GstColorize *self, gint64 frame)
{
    return self->count > self->open ? self->last_arrival + 2 * frame : 0;
}

static gint64 frame_time(GstColorize *self)             // microseconds
{
    GstClockTime duration;

    GST_OBJECT_LOCK(self);
    duration = self->duration;
    GST_OBJECT_UNLOCK(self);
    return duration / 1000;
}

static void plan_deadline(GstColorize *self)
{
    const gint64 frame = frame_time(self), a = batch_due(self, frame), b = push_due(self, frame);
    const gint64 when = !g_atomic_int_get(&self->live) ? 0 : !a ? b : !b || a < b ? a : b;

    g_mutex_lock(&self->deadline.mutex);
    if (when != self->deadline.when) {
        self->deadline.when = when;
        g_cond_signal(&self->deadline.wake);
    }
    g_mutex_unlock(&self->deadline.mutex);
}

static void push_what_is_due(GstColorize *self)
{
    const gint64 frame = frame_time(self), now = g_get_monotonic_time(), due = batch_due(self, frame);

    if (due && now >= due) {
        GST_DEBUG_OBJECT(self, "the source has paused: %d frames go without the rest of their batch", self->open);
        clz_stream_submit(self->stream);
        self->open = 0;
    }
    if (self->count > self->open && now >= push_due(self, frame)) {
        const GstFlowReturn ret = push(self, self->open);
        if (ret != GST_FLOW_OK) self->flow = ret;
    }
    plan_deadline(self);
}

static gpointer watch_deadlines(gpointer arg)
{
    GstColorize *self = arg;
    GstPad *sink = GST_BASE_TRANSFORM_SINK_PAD(self);

    g_mutex_lock(&self->deadline.mutex);
    while (!self->deadline.quit) {
        if (!self->deadline.when) {
            g_cond_wait(&self->deadline.wake, &self->deadline.mutex);
        } else if (g_get_monotonic_time() < self->deadline.when) {
            g_cond_wait_until(&self->deadline.wake, &self->deadline.mutex, self->deadline.when);
        } else {
            self->deadline.when = 0;
            g_mutex_unlock(&self->deadline.mutex);
            GST_PAD_STREAM_LOCK(sink);      // a pad that is being stopped lets us in: the source pad refuses buffers then
            push_what_is_due(self);
            GST_PAD_STREAM_UNLOCK(sink);
            g_mutex_lock(&self->deadline.mutex);
        }
    }
    g_mutex_unlock(&self->deadline.mutex);
    return NULL;
}

// ---- start and stop ----

static gboolean gst_colorize_stop(GstBaseTransform *bt)
{
    GstColorize *self = GST_COLORIZE(bt);
    clz_stream *stream;

    if (self->deadline.thread) {
        g_mutex_lock(&self->deadline.mutex);
        self->deadline.quit = TRUE;
        g_cond_signal(&self->deadline.wake);
        g_mutex_unlock(&self->deadline.mutex);
        g_thread_join(self->deadline.thread);
    }
    self->deadline.thread = NULL;
    self->deadline.quit = FALSE;
    self->deadline.when = 0;
    GST_OBJECT_LOCK(self);                  // cancel() may be called meanwhile
    stream = self->stream;
    self->stream = NULL;
    GST_OBJECT_UNLOCK(self);
    clz_stream_close(&stream);
    forget(self);
    clz_model_close(&self->model);
    g_clear_pointer(&self->jobs, g_free);
    self->flow = GST_FLOW_OK;
    GST_OBJECT_LOCK(self);
    self->running = FALSE;
    GST_OBJECT_UNLOCK(self);
    return TRUE;
}

static gboolean gst_colorize_start(GstBaseTransform *bt)
{
    GstColorize *self = GST_COLORIZE(bt);
    const struct clz_log log = { engine_message, self, CLZ_LOG_VERBOSE };
    struct settings set;
    struct clz_stream_params params;
    clz_stream *stream = NULL;
    int ret;

    GST_OBJECT_LOCK(self);
    self->running = TRUE;                   // from here on the settings stay
    self->dropped = 0;
    set = self->settings;
    GST_OBJECT_UNLOCK(self);
    if (!set.model || !*set.model) {
        GST_ELEMENT_ERROR(self, RESOURCE, SETTINGS, ("No model: set the property \"model\" to a model file."), (NULL));
        goto fail;
    }
    params = (struct clz_stream_params){
        .device = set.device, .precision = set.precision, .threads = set.threads, .batch = set.batch, .size = set.size,
        .luma = set.luma, .range = set.range, .matrix = set.matrix, .siting = set.siting, .bars = set.bars, .log = log,
    };
    if ((ret = clz_model_open(&self->model, set.model, &log)) < 0 ||
        (ret = clz_stream_open(&stream, self->model, &params)) < 0) {
        engine_error(self, ret, self->model ? "The model cannot be run" : "The model cannot be opened");
        goto fail;
    }
    GST_OBJECT_LOCK(self);
    self->stream = stream;
    self->batch = clz_stream_lookahead(stream);
    self->at_once = set.batch == 1;
    GST_OBJECT_UNLOCK(self);
    self->capacity = clz_stream_max_in_flight(self->stream);
    self->jobs = g_new0(struct job, self->capacity);
    self->first = self->count = self->open = 0;
    self->gap = FALSE;
    self->deadline.thread = g_thread_try_new("colorize-deadline", watch_deadlines, self, NULL);
    if (self->deadline.thread) return TRUE;
    engine_error(self, -EAGAIN, "A thread cannot be started");
fail:
    gst_colorize_stop(bt);
    return FALSE;
}

static GstStateChangeReturn gst_colorize_change_state(GstElement *element, GstStateChange transition)
{
    if (transition == GST_STATE_CHANGE_PAUSED_TO_READY) cancel(GST_COLORIZE(element));     // else the streaming thread waits for a batch
    return GST_ELEMENT_CLASS(gst_colorize_parent_class)->change_state(element, transition);
}

// ---- the object ----

static void gst_colorize_set_property(GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
    GstColorize *self = GST_COLORIZE(object);
    const struct property *p = &properties[id - 1];
    char *field = (char *)self + p->at;
    gboolean late;

    GST_OBJECT_LOCK(self);
    late = self->running && !p->playing;
    switch (late ? -1 : (int)p->kind) {
    case TEXT:
        g_free(*(char **)field);
        *(char **)field = g_value_dup_string(value);
        break;
    case WHOLE:  *(int *)field = g_value_get_int(value); break;
    case REAL:   *(double *)field = g_value_get_double(value); break;
    case CHOICE: *(int *)field = g_value_get_enum(value); break;
    case COUNTER: break;
    }
    GST_OBJECT_UNLOCK(self);
    if (late)
        GST_ELEMENT_WARNING(self, RESOURCE, SETTINGS,
                            ("The property \"%s\" can be set in the states NULL and READY only; it stays as it was.", pspec->name),
                            (NULL));
}

static void gst_colorize_get_property(GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
    GstColorize *self = GST_COLORIZE(object);
    const struct property *p = &properties[id - 1];
    const char *field = (const char *)self + p->at;

    (void)pspec;
    GST_OBJECT_LOCK(self);
    switch (p->kind) {
    case TEXT:   g_value_set_string(value, *(char *const *)field); break;
    case WHOLE:  g_value_set_int(value, *(const int *)field); break;
    case REAL:   g_value_set_double(value, *(const double *)field); break;
    case CHOICE: g_value_set_enum(value, *(const int *)field); break;
    case COUNTER: g_value_set_uint64(value, *(const guint64 *)field); break;
    }
    GST_OBJECT_UNLOCK(self);
}

static void gst_colorize_finalize(GObject *object)
{
    GstColorize *self = GST_COLORIZE(object);

    g_free(self->settings.model);
    g_free(self->settings.device);
    g_free(self->settings.bars);
    g_mutex_clear(&self->deadline.mutex);
    g_cond_clear(&self->deadline.wake);
    g_mutex_clear(&self->message_lock);
    G_OBJECT_CLASS(gst_colorize_parent_class)->finalize(object);
}

// Makes GstVideoFilter believe that this element transforms; never called, generate_output takes its place.
static GstFlowReturn gst_colorize_transform_frame(GstVideoFilter *vf, GstVideoFrame *in, GstVideoFrame *out)
{
    (void)vf, (void)in, (void)out;
    return GST_FLOW_NOT_SUPPORTED;
}

static GParamSpec *make_pspec(const struct property *p)
{
    const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS |
                              (p->playing ? GST_PARAM_MUTABLE_PLAYING | GST_PARAM_CONTROLLABLE : GST_PARAM_MUTABLE_READY);
    GType type;

    switch (p->kind) {
    case TEXT:  return g_param_spec_string(p->name, p->nick, p->help, p->text, flags);
    case WHOLE: return g_param_spec_int(p->name, p->nick, p->help, (int)p->min, (int)p->max, (int)p->preset, flags);
    case COUNTER: return g_param_spec_uint64(p->name, p->nick, p->help, 0, G_MAXUINT64, 0, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
    case REAL:  return g_param_spec_double(p->name, p->nick, p->help, p->min, p->max, p->preset, flags);
    default:
        type = g_enum_register_static(p->text, p->choices);
        gst_type_mark_as_plugin_api(type, 0);
        return g_param_spec_enum(p->name, p->nick, p->help, type, (int)p->preset, flags);
    }
}

static void add_template(GstElementClass *klass, const char *name, GstPadDirection direction)
{
    GstCaps *caps = format_caps(direction == GST_PAD_SINK);

    gst_element_class_add_pad_template(klass, gst_pad_template_new(name, direction, GST_PAD_ALWAYS, caps));
    gst_caps_unref(caps);
}

static void gst_colorize_class_init(GstColorizeClass *klass)
{
    GObjectClass *object_class = G_OBJECT_CLASS(klass);
    GstElementClass *element_class = GST_ELEMENT_CLASS(klass);
    GstBaseTransformClass *bt_class = GST_BASE_TRANSFORM_CLASS(klass);
    GstVideoFilterClass *vf_class = GST_VIDEO_FILTER_CLASS(klass);

    object_class->set_property = gst_colorize_set_property;
    object_class->get_property = gst_colorize_get_property;
    object_class->finalize = gst_colorize_finalize;
    for (guint i = 0; i < G_N_ELEMENTS(properties); i++)
        g_object_class_install_property(object_class, i + 1, make_pspec(&properties[i]));

    add_template(element_class, "sink", GST_PAD_SINK);
    add_template(element_class, "src", GST_PAD_SRC);
    gst_element_class_set_static_metadata(element_class, "Colorizer", "Filter/Effect/Video",
                                          "Colours black-and-white film with a model; the luma stays bit for bit",
                                          "the authors of colorize");

    element_class->change_state = gst_colorize_change_state;
    bt_class->start = gst_colorize_start;
    bt_class->stop = gst_colorize_stop;
    bt_class->sink_event = gst_colorize_sink_event;
    bt_class->query = gst_colorize_query;
    bt_class->transform_caps = gst_colorize_transform_caps;
    bt_class->fixate_caps = gst_colorize_fixate_caps;
    bt_class->transform_meta = gst_colorize_transform_meta;
    bt_class->submit_input_buffer = gst_colorize_submit_input_buffer;
    bt_class->generate_output = gst_colorize_generate_output;
    bt_class->propose_allocation = gst_colorize_propose_allocation;
    bt_class->decide_allocation = gst_colorize_decide_allocation;
    bt_class->passthrough_on_same_caps = FALSE;
    vf_class->set_info = gst_colorize_set_info;
    vf_class->transform_frame = gst_colorize_transform_frame;
}

static void gst_colorize_init(GstColorize *self)
{
    gst_base_transform_set_qos_enabled(GST_BASE_TRANSFORM(self), FALSE);        // an archive's frames are not dropped unasked
    for (guint i = 0; i < G_N_ELEMENTS(properties); i++) {
        char *field = (char *)self + properties[i].at;
        switch (properties[i].kind) {
        case TEXT:   *(char **)field = g_strdup(properties[i].text); break;
        case REAL:   *(double *)field = properties[i].preset; break;
        case COUNTER: break;
        default:     *(int *)field = (int)properties[i].preset; break;
        }
    }
    self->batch = 1;
    g_mutex_init(&self->deadline.mutex);
    g_cond_init(&self->deadline.wake);
    g_mutex_init(&self->message_lock);
}

static gboolean plugin_init(GstPlugin *plugin)
{
    return GST_ELEMENT_REGISTER(colorize, plugin);
}

#define PACKAGE "colorize"
GST_PLUGIN_DEFINE(GST_VERSION_MAJOR, GST_VERSION_MINOR, colorize, "Colour for black-and-white film", plugin_init, CLZ_VERSION,
                  "LGPL", "colorize", "colorize")
