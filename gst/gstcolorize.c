// gstcolorize.c - the GStreamer element `colorize`: colours black-and-white film through libcolorize.
//
//     ... ! decodebin ! videoconvert ! colorize model=model.bin ! x264enc ! ...          doc/gst.md
//
// Data flow. The element sends each input buffer to the engine's stream together with an output buffer. If the input buffer is
// writable, it is also the output buffer, and the luma is not copied. If the input is gray or shared, the output is a new buffer.
// The element receives coloured frames in order and pushes them downstream. The stream limits the number of frames in flight; the
// streaming thread blocks only when the stream is full, or when the element drains, that is, pushes all frames in flight before
// it forwards an event such as EOS, segment, gap or caps. GstVideoFilter handles negotiation, buffer pools and metadata. The
// element does not use its transform functions, because an input buffer does not immediately result in an output buffer.
//
// Live sources. When a live source pauses, the frames in flight must still be pushed within the reported latency. The element
// therefore runs a second thread, the deadline thread. It wakes up when the deadline of an incomplete batch or of the submitted
// frames has passed, takes the sink pad's stream lock, as the streaming thread does, and pushes those frames.
//
// CUDA memory. Buffers with the caps feature memory:CUDAMemory are coloured by the engine's device "cuda" on the pipeline's CUDA
// context and a CUDA stream of the element's own. The engine's stream is opened anew for that when such caps are negotiated. A
// coloured frame is received when the GPU is done with it, so that buffers are complete when they are pushed.
//
// Locks. The sink pad's stream lock guards the stream and the jobs, the object lock guards the properties, and `deadline.mutex`
// guards the time at which the deadline thread wakes up. Locks are taken in this order. Only the stream lock is held while the
// element pushes a buffer.
//
// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <gst/gst.h>
#include <gst/video/gstvideofilter.h>
#include <gst/video/video.h>

#include "colorize.h"
#include "cuda_memory.h"

GST_DEBUG_CATEGORY_STATIC(gst_colorize_debug);
#define GST_CAT_DEFAULT gst_colorize_debug

#define GST_TYPE_COLORIZE (gst_colorize_get_type())
G_DECLARE_FINAL_TYPE(GstColorize, gst_colorize, GST, COLORIZE, GstVideoFilter)

// A frame in flight, from clz_stream_send() to clz_stream_receive(). Both buffers stay mapped because the engine keeps pointers
// to their planes.
struct job {
    GstBuffer *in, *out;                    // in is NULL if the frame is coloured in place: out is the input buffer then
    GstVideoFrame from, to;                 // mappings of in and out; from is mapped only if in is not NULL
    gint64 arrival;                         // when the input buffer arrived, as g_get_monotonic_time()
};

// Properties that cannot change between start and stop, but for the sheet.
struct settings {
#define MODEL(name, help) char *name;
#define STRING(name, initial, help) char *name;
#define STRING_AS(name, field, initial, help) char *field;
#define INT(name, initial, min, max, help) int name;
#define ENUM(name, last, help, values) int name;
#include "options.def"
};

struct _GstColorize {
    GstVideoFilter parent;

    // Properties; guarded by the object lock.
    struct settings settings;
#define FLOAT(name, initial, max, help) double name;
#define STOCK_FLOAT FLOAT
#include "options.def"
    guint64 dropped;                        // buffers of a live source that were dropped since start
    guint64 saved_runs;                     // clz_stream_saved_runs() since start
    guint64 saved_before;                   // of streams since start that are closed
    gboolean new_sheet;                     // settings.sheet is to be given to the stream
    gboolean running;                       // TRUE between start and stop, while `settings` must not change

    // The engine's state between start and stop; guarded by the sink pad's stream lock.
    clz_model *model;
    clz_stream *stream;
    struct job *jobs;                       // ring buffer of `capacity` jobs; the oldest is jobs[first]
    int capacity, first, count;
    int batch, lookahead, unsubmitted;      // frames per batch; clz_stream_lookahead(); frames in the incomplete batch
    gboolean wait_each;                     // batch=1 is set: generate_output waits for each frame
    gboolean auto_window;                   // window=-1: frames of a live source do not wait for later ones
    gint64 last_arrival;                    // `arrival` of the newest job
    gboolean discont;                       // a buffer was dropped: the next output buffer gets the flag DISCONT
    // The error of a push outside generate_output, or of a frame that could not be coloured; returned for the next buffer.
    GstFlowReturn pending_flow;
    gboolean downstream_has_meta;           // downstream supports GstVideoMeta
    const struct clz_pixfmt *in_format, *out_format;
    enum clz_range in_range;                // of the input frames
    struct clz_frame tags;                  // range of the output frames; matrix and siting of input and output

    // The pipeline's CUDA context, or NULL. Guarded by cuda_lock, which is recursive: looking for a context sets it.
    GRecMutex cuda_lock;
    struct _GstCudaContext *cuda_context;
    gboolean cuda_opens;                    // the engine has CUDA here; guarded by the object lock
    // Of `stream`, and guarded as it is; NULL: it colours frames in system memory.
    struct _GstCudaContext *stream_context;
    void *cuda_stream;
    char *stream_sheet;                     // the sheet that it has

    gboolean live;                          // whether upstream is live; accessed with g_atomic_int_*
    guint64 duration;                       // frame duration in nanoseconds; guarded by the object lock
    struct {
        GThread *thread;
        GMutex mutex;
        GCond wake;
        gint64 time;                        // the next deadline, as g_get_monotonic_time(); 0 if there is none
        gboolean quit;
    } deadline;

    GMutex message_lock;
    char message[256];                      // the engine's last error message; guarded by message_lock
};

G_DEFINE_TYPE_WITH_CODE(GstColorize, gst_colorize, GST_TYPE_VIDEO_FILTER,
                        GST_DEBUG_CATEGORY_INIT(gst_colorize_debug, "colorize", 0, "colorize element"))
GST_ELEMENT_REGISTER_DECLARE(colorize)
GST_ELEMENT_REGISTER_DEFINE(colorize, "colorize", GST_RANK_NONE, GST_TYPE_COLORIZE)

#define PARENT_CLASS GST_BASE_TRANSFORM_CLASS(gst_colorize_parent_class)

// ---- table of properties ----

enum kind { KIND_STRING, KIND_INT, KIND_DOUBLE, KIND_ENUM, KIND_COUNTER };    // KIND_COUNTER is read-only

#define VALUE(option, name, value, help) { value, help, #name },
#define ENUM(name, last, help, values) static const GEnumValue name##_values[] = { values { 0, NULL, NULL } };
#include "options.def"

static const struct property {
    const char *name, *help;                // name: as in options.def; GLib replaces '_' by '-'
    enum kind kind;
    size_t offset;                          // of the field in GstColorize
    double min, max, initial;
    const char *text;                       // KIND_STRING: the default value
    const GEnumValue *choices;
    gboolean playing;                       // can be changed in any state; a number also with a GstControlBinding
} properties[] = {
#define SETTING(name) offsetof(GstColorize, settings.name)
#define MODEL(name, help) { #name, help, KIND_STRING, SETTING(name), 0, 0, 0, NULL, NULL, FALSE },
#define STRING_AS(name, field, initial, help) { #name, help, KIND_STRING, SETTING(field), 0, 0, 0, initial, NULL, FALSE },
#define STRING(name, initial, help) STRING_AS(name, name, initial, help)
#define LIVE_STRING(name, help) { #name, help, KIND_STRING, SETTING(name), 0, 0, 0, NULL, NULL, TRUE },
#define INT(name, initial, min, max, help) { #name, help, KIND_INT, SETTING(name), min, max, initial, NULL, NULL, FALSE },
#define ENUM(name, last, help, values) { #name, help, KIND_ENUM, SETTING(name), 0, last, 0, NULL, name##_values, FALSE },
#define FLOAT(name, initial, max, help) \
    { #name, help, KIND_DOUBLE, offsetof(GstColorize, name), 0, max, initial, NULL, NULL, TRUE },
#define STOCK_FLOAT FLOAT
#define ELEMENT_COUNTER(name, help) { #name, help, KIND_COUNTER, offsetof(GstColorize, name), 0, 0, 0, NULL, NULL, FALSE },
#include "options.def"
#undef SETTING
};

// ---- messages of the engine ----

static void log_engine_message(void *priv, enum clz_log_level level, const char *msg)
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

enum { MESSAGE_SIZE = sizeof ((GstColorize *)0)->message };

// The engine's last error, or the text for the errno value if the engine logged none.
static void take_message(GstColorize *self, int error, char message[MESSAGE_SIZE])
{
    g_mutex_lock(&self->message_lock);
    memcpy(message, self->message, MESSAGE_SIZE);
    self->message[0] = 0;
    g_mutex_unlock(&self->message_lock);
    if (!*message) g_strlcpy(message, g_strerror(-error), MESSAGE_SIZE);
}

static void post_engine_error(GstColorize *self, int error, const char *what)
{
    char message[MESSAGE_SIZE];

    take_message(self, error, message);
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

static void append_name(GValue *list, const char *name)
{
    GValue v = G_VALUE_INIT;

    g_value_init(&v, G_TYPE_STRING);
    g_value_set_static_string(&v, name);
    gst_value_list_append_and_take_value(list, &v);
}

static gboolean is_cuda(const GstCaps *caps, guint i)
{
    const GstCapsFeatures *f = gst_caps_get_features(caps, i);

    return !gst_caps_features_is_any(f) && gst_caps_features_contains(f, CUDA_MEMORY);
}

// Whether the format can lie in CUDA memory.
static gboolean is_cuda_format(const struct clz_pixfmt *f)
{
    return gst_colorize_cuda.formats && g_strv_contains(gst_colorize_cuda.formats, f->gst);
}

// The number of the GPU in the property `device`; -1: any. FALSE: the device is none.
static gboolean cuda_device(const char *device, int *number)
{
    *number = -1;
    if (!device || !*device || !strcmp(device, "auto")) return TRUE;
    if (strncmp(device, "cuda", 4)) return FALSE;
    if (device[4]) *number = atoi(device + 5);
    return TRUE;
}

// Lets *at, which owns its context, own this one instead.
static void set_context(struct _GstCudaContext **at, struct _GstCudaContext *context)
{
    if (context) gst_object_ref(context);
    if (*at) gst_object_unref(*at);
    *at = context;
}

// Returns caps with the formats of the engine's table: all of them for the sink pad (gray is TRUE), all but the gray ones for the
// source pad. cuda: those in CUDA memory.
static GstCaps *format_caps(gboolean gray, gboolean cuda)
{
    GstCaps *caps = gst_caps_from_string("video/x-raw, width = (int) [ 1, 16384 ], height = (int) [ 1, 16384 ], "
                                         "framerate = (fraction) [ 0/1, 2147483647/1 ]");
    GValue list = G_VALUE_INIT;

    g_value_init(&list, GST_TYPE_LIST);
    for (const struct clz_pixfmt *f = clz_pixfmt_list(); f->name; f++)
        if (f->gst && (gray || !is_gray(f)) && (!cuda || is_cuda_format(f))) append_name(&list, f->gst);
    gst_caps_set_value(caps, "format", &list);
    if (cuda) gst_caps_set_features_simple(caps, gst_caps_features_new(CUDA_MEMORY, NULL));
    g_value_unset(&list);
    return caps;
}

// Finds the formats of a caps structure that are in the engine's table: the gray ones, or only the others. Stores at most max of
// them in found[] and returns their number.
static int formats_of(const GstStructure *s, gboolean gray, const struct clz_pixfmt **found, int max)
{
    const GValue *v = gst_structure_get_value(s, "format");
    const guint n = !v ? 0 : GST_VALUE_HOLDS_LIST(v) ? gst_value_list_get_size(v) : 1;
    int count = 0;

    if (!v)                                 // the caps do not restrict the format
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

static enum clz_transfer transfer_of(const GstVideoColorimetry *c)
{
    return c->transfer == GST_VIDEO_TRANSFER_SMPTE2084 ? CLZ_TRANSFER_PQ :
           c->transfer == GST_VIDEO_TRANSFER_ARIB_STD_B67 ? CLZ_TRANSFER_HLG : CLZ_TRANSFER_UNSPECIFIED;
}

static GstVideoColorRange gst_range(enum clz_range range)
{
    return range == CLZ_RANGE_FULL ? GST_VIDEO_COLOR_RANGE_0_255 : GST_VIDEO_COLOR_RANGE_16_235;
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

// Takes ownership of text.
static void set_string(GstStructure *s, const char *field, char *text)
{
    gst_structure_set(s, field, G_TYPE_STRING, text, NULL);
    g_free(text);
}

// The colorimetry of the frames in caps `s` with the properties `set`, which take precedence over the caps. FALSE if `s` is not
// fixed. The caps of gray film have no matrix, and may have no range.
static gboolean film_colorimetry(const struct settings *set, const GstStructure *s, const struct clz_pixfmt *in,
                                 GstVideoColorimetry *c)
{
    static const GstVideoColorMatrix names[] = {
        GST_VIDEO_COLOR_MATRIX_UNKNOWN, GST_VIDEO_COLOR_MATRIX_BT601, GST_VIDEO_COLOR_MATRIX_BT709, GST_VIDEO_COLOR_MATRIX_BT2020
    };
    static const GstVideoTransferFunction transfers[] = {
        GST_VIDEO_TRANSFER_UNKNOWN, GST_VIDEO_TRANSFER_BT709, GST_VIDEO_TRANSFER_SMPTE2084, GST_VIDEO_TRANSFER_ARIB_STD_B67
    };
    const char *text = gst_structure_get_string(s, "colorimetry");
    GstVideoInfo info;
    GstCaps *caps;
    gboolean fixed;
    int width = 0, height = 0;

    memset(c, 0, sizeof *c);
    if (!gst_structure_has_field_typed(s, "height", G_TYPE_INT) || !gst_structure_has_field_typed(s, "width", G_TYPE_INT))
        return FALSE;
    if ((!text || !gst_video_colorimetry_from_string(c, text)) && !is_gray(in)) {   // GStreamer's default for this height
        caps = gst_caps_new_simple("video/x-raw", "format", G_TYPE_STRING, in->gst, NULL);
        gst_caps_set_value(caps, "width", gst_structure_get_value(s, "width"));
        gst_caps_set_value(caps, "height", gst_structure_get_value(s, "height"));
        fixed = gst_video_info_from_caps(&info, caps);
        gst_caps_unref(caps);
        if (!fixed) return FALSE;
        *c = info.colorimetry;
    }
    if (set->range) c->range = gst_range(set->range);
    else if (!c->range) c->range = is_gray(in) ? GST_VIDEO_COLOR_RANGE_0_255 : GST_VIDEO_COLOR_RANGE_16_235;
    if (set->transfer) c->transfer = transfers[set->transfer];
    if (set->matrix) c->matrix = names[set->matrix];
    else if (!matrix_of(c) || (is_gray(in) && !c->transfer && !c->primaries)) {     // GStreamer sets BT.601 for all gray caps
        gst_structure_get_int(s, "width", &width);
        gst_structure_get_int(s, "height", &height);
        c->matrix = names[clz_matrix_guess(width, height)];
    }
    return TRUE;
}

// Sets colorimetry and chroma-site of `out`, a structure of output caps, for `s`, one of input caps. range: of the output,
// CLZ_RANGE_UNSPECIFIED: that of the input. Removes both fields if `s` is not fixed.
static void tag_structure(const struct settings *set, const GstStructure *s, const struct clz_pixfmt *in, enum clz_range range,
                          gboolean rgb, GstStructure *out)
{
    GstVideoColorimetry c;

    gst_structure_remove_fields(out, "colorimetry", "chroma-site", NULL);
    if (!film_colorimetry(set, s, in, &c)) return;
    if (range) c.range = gst_range(range);
    if (rgb) {
        c.range = GST_VIDEO_COLOR_RANGE_0_255;
        c.matrix = GST_VIDEO_COLOR_MATRIX_RGB;
    }
    set_string(out, "colorimetry", gst_video_colorimetry_to_string(&c));
    if (rgb) return;
    for (guint i = 0; i < G_N_ELEMENTS(sites); i++)
        if ((int)sites[i].siting == set->siting) set_string(out, "chroma-site", gst_video_chroma_site_to_string(sites[i].site));
    if (!set->siting && !is_gray(in) && gst_structure_has_field(s, "chroma-site"))
        gst_structure_set_value(out, "chroma-site", gst_structure_get_value(s, "chroma-site"));
}

// ---- levels: the range of a coloured gray film ----
//
// Gray film of full range becomes YUV of limited range, because a file that does not signal a range is shown as limited range,
// and few encoders signal it. The luma is kept, in full range, if the encoder that follows is known to signal full range or to
// mean it always. tests/gst_launch.sh checks these lists.

static const char *const always_full[] = { "jpegenc", "avenc_mjpeg", "avenc_ljpeg" };
static const char *const writes_range[] = { "x264enc", "x265enc", "vp9enc" };
// Muxers for MP4 and QuickTime: GStreamer's own demuxer (1.22) loses the range of full-range H.264 in their files.
static const char *const loses_range[] = { "mp4mux", "qtmux", "mj2mux", "3gppmux", "ismlmux" };

// The pad of an element that receives the buffers of the source pad `pad`, NULL if that is not linked. Follows ghost pads into
// and out of bins. Takes ownership of `pad`.
static GstPad *linked_pad(GstPad *pad)
{
    GstPad *peer = gst_pad_get_peer(pad), *next;

    gst_object_unref(pad);
    while (peer && GST_IS_PROXY_PAD(peer)) {
        if (GST_IS_GHOST_PAD(peer)) {
            next = gst_ghost_pad_get_target(GST_GHOST_PAD(peer));
        } else {
            GstProxyPad *ghost = gst_proxy_pad_get_internal(GST_PROXY_PAD(peer));
            next = ghost ? gst_pad_get_peer(GST_PAD(ghost)) : NULL;
            gst_clear_object(&ghost);
        }
        gst_object_unref(peer);
        peer = next;
    }
    return peer;
}

// The source pad to which an element passes what it receives on `pad`; NULL if there is none, or more than one. Takes ownership
// of `pad`.
static GstPad *passed_to(GstPad *pad)
{
    GstIterator *links = gst_pad_iterate_internal_links(pad);
    GValue value = G_VALUE_INIT;
    GstPad *found = NULL;
    int count = 0;

    while (links && gst_iterator_next(links, &value) == GST_ITERATOR_OK) {
        if (!count++) found = g_value_dup_object(&value);
        g_value_unset(&value);
    }
    if (links) gst_iterator_free(links);
    if (count > 1) gst_clear_object(&found);
    gst_object_unref(pad);
    return found;
}

static gboolean lists_name(const char *const *list, guint count, const char *name)
{
    guint i = 0;

    while (i < count && strcmp(list[i], name)) i++;
    return i < count;
}

// Whether players will show full range correctly, judged by the elements that follow.
static gboolean full_range_is_signalled(GstColorize *self)
{
    GstPad *pad = gst_object_ref(GST_BASE_TRANSFORM_SRC_PAD(self));
    gboolean signalled = FALSE, known = FALSE;

    while (pad && !known && (pad = linked_pad(pad))) {
        GstElement *element = gst_pad_get_parent_element(pad);
        GstElementFactory *factory = element ? gst_element_get_factory(element) : NULL;
        const char *name = factory ? GST_OBJECT_NAME(factory) : "";
        if (lists_name(always_full, G_N_ELEMENTS(always_full), name)) signalled = known = TRUE;
        else if (lists_name(writes_range, G_N_ELEMENTS(writes_range), name)) signalled = TRUE;
        else if (lists_name(loses_range, G_N_ELEMENTS(loses_range), name)) signalled = FALSE, known = TRUE;
        gst_clear_object(&element);
        pad = passed_to(pad);
    }
    gst_clear_object(&pad);
    return signalled;
}

// ---- negotiation ----

enum { MAX_FORMATS = 64 };

static void append_structure(GstCaps *caps, const GstCaps *from, guint i, const GValue *formats, const GstStructure *tagged)
{
    GstStructure *s = gst_structure_copy(tagged);

    gst_structure_set_value(s, "format", formats);
    gst_caps_append_structure_full(caps, s, gst_caps_features_copy(gst_caps_get_features(from, i)));
}

// Appends the caps that gray film with the caps `s` can become: formats with colour of the same depth, the one that the engine's
// table names first. With out-range=auto, film of full range can become YUV of either range, the preferred one first.
static void append_coloured(GstColorize *self, const struct settings *set, GstCaps *result, const GstCaps *caps, guint i,
                            const struct clz_pixfmt *gray)
{
    const GstStructure *s = gst_caps_get_structure(caps, i);
    const struct clz_pixfmt *best = clz_pixfmt_find(gray->out);
    enum clz_range order[2] = { set->out_range, set->out_range };
    GstVideoColorimetry c;

    if (!set->out_range && film_colorimetry(set, s, gray, &c)) {
        const gboolean full = c.range == GST_VIDEO_COLOR_RANGE_0_255 && full_range_is_signalled(self);
        order[0] = full ? CLZ_RANGE_FULL : CLZ_RANGE_LIMITED;
        order[1] = !full && c.range == GST_VIDEO_COLOR_RANGE_0_255 ? CLZ_RANGE_FULL : CLZ_RANGE_LIMITED;
    }
    for (int k = 0; k < 3; k++) {           // YUV of the first range, RGB, YUV of the second range
        const gboolean rgb = k == 1;
        GValue list = G_VALUE_INIT;
        GstStructure *tagged;
        if (k == 2 && order[0] == order[1]) break;
        tagged = gst_structure_copy(s);
        g_value_init(&list, GST_TYPE_LIST);
        if (best && best->gst && !rgb) append_name(&list, best->gst);
        for (const struct clz_pixfmt *f = clz_pixfmt_list(); f->name; f++)
            if (f->gst && !is_gray(f) && f->depth == gray->depth && f != best && !(f->flags & CLZ_PIXFMT_RGB) == !rgb)
                append_name(&list, f->gst);
        tag_structure(set, s, gray, order[k / 2], rgb, tagged);
        if (gst_value_list_get_size(&list)) append_structure(result, caps, i, &list, tagged);
        gst_structure_free(tagged);
        g_value_unset(&list);
    }
}

// Formats with colour stay as they are. Gray formats become formats with colour.
static GstCaps *gst_colorize_transform_caps(GstBaseTransform *bt, GstPadDirection direction, GstCaps *caps, GstCaps *filter)
{
    GstColorize *self = GST_COLORIZE(bt);
    const struct clz_pixfmt *found[MAX_FORMATS];
    GstCaps *result = gst_caps_new_empty();
    struct settings set;
    gboolean cuda;

    GST_OBJECT_LOCK(self);
    set = self->settings;
    cuda = !self->running || self->cuda_opens;
    GST_OBJECT_UNLOCK(self);
    for (guint i = 0; i < gst_caps_get_size(caps); i++) {
        const GstStructure *s = gst_caps_get_structure(caps, i);
        const gboolean overruled = set.range || set.matrix || set.siting || set.out_range;
        int count = formats_of(s, FALSE, found, MAX_FORMATS);
        GValue list = G_VALUE_INIT;

        if (is_cuda(caps, i) && !cuda) continue;
        g_value_init(&list, GST_TYPE_LIST);
        for (int k = 0; k < count; k++) append_name(&list, found[k]->gst);
        if (count) {
            GstStructure *same = gst_structure_copy(s);
            if (overruled && direction == GST_PAD_SINK)
                tag_structure(&set, s, found[0], set.out_range, found[0]->flags & CLZ_PIXFMT_RGB, same);
            else if (overruled)
                gst_structure_remove_fields(same, "colorimetry", "chroma-site", NULL);
            append_structure(result, caps, i, &list, same);
            gst_structure_free(same);
        }
        g_value_unset(&list);
        if (direction == GST_PAD_SRC) {     // the gray formats that can become one of these formats
            GstStructure *bare = gst_structure_copy(s);
            int grays = 0;
            g_value_init(&list, GST_TYPE_LIST);
            for (const struct clz_pixfmt *f = clz_pixfmt_list(); f->name; f++) {
                gboolean can = FALSE;
                for (int k = 0; k < count; k++) can = can || found[k]->depth == f->depth;
                if (!can || !f->gst || !is_gray(f)) continue;
                append_name(&list, f->gst);
                grays++;
            }
            gst_structure_remove_fields(bare, "colorimetry", "chroma-site", NULL);
            if (grays) append_structure(result, caps, i, &list, bare);
            gst_structure_free(bare);
            g_value_unset(&list);
            continue;
        }
        count = formats_of(s, TRUE, found, MAX_FORMATS);
        for (int k = 0; k < count; k++) append_coloured(self, &set, result, caps, i, found[k]);
    }
    if (filter) {
        GstCaps *both = gst_caps_intersect_full(filter, result, GST_CAPS_INTERSECT_FIRST);
        gst_caps_unref(result);
        result = both;
    }
    return result;
}

// For gray input, chooses the first format and range of transform_caps that downstream accepts. Without this, the order in which
// downstream lists its formats would decide.
static GstCaps *gst_colorize_fixate_caps(GstBaseTransform *bt, GstPadDirection direction, GstCaps *caps, GstCaps *othercaps)
{
    const struct clz_pixfmt *gray;

    if (direction == GST_PAD_SINK && formats_of(gst_caps_get_structure(caps, 0), TRUE, &gray, 1)) {
        GstCaps *own = gst_colorize_transform_caps(bt, direction, caps, NULL);
        GstCaps *both = gst_caps_intersect_full(own, othercaps, GST_CAPS_INTERSECT_FIRST);
        gst_caps_unref(own);
        if (!gst_caps_is_empty(both)) gst_caps_replace(&othercaps, both);
        gst_caps_unref(both);
    }
    return PARENT_CLASS->fixate_caps(bt, direction, caps, othercaps);
}

static GstFlowReturn drain(GstColorize *self);
static gboolean use_memory(GstColorize *self, gboolean cuda);
static void update_deadline(GstColorize *self);

static gboolean upstream_is_live(GstColorize *self)
{
    GstQuery *query = gst_query_new_latency();
    gboolean live = FALSE;

    if (gst_pad_peer_query(GST_BASE_TRANSFORM_SINK_PAD(self), query)) gst_query_parse_latency(query, &live, NULL, NULL);
    gst_query_unref(query);
    return live;
}

// Buffers that hold one field each are refused, because their pictures have half the height of the caps.
static gboolean accepts_interlace_mode(GstColorize *self, GstVideoInterlaceMode mode)
{
    if (mode == GST_VIDEO_INTERLACE_MODE_PROGRESSIVE || mode == GST_VIDEO_INTERLACE_MODE_INTERLEAVED ||
        mode == GST_VIDEO_INTERLACE_MODE_MIXED)
        return TRUE;
    GST_ELEMENT_ERROR(self, STREAM, FORMAT,
                      ("The buffers hold one field each (interlace-mode=%s), but colorize needs both fields of a frame in one "
                       "buffer (interleaved or mixed). Put \"deinterlace fields=top\" before colorize; without fields=top, "
                       "deinterlace outputs two frames for each.", gst_video_interlace_mode_to_string(mode)), (NULL));
    return FALSE;
}

// The fields of a mapped frame. Its flags follow from the caps (interlaced, field-order) and, where those leave it open, from the
// buffer's.
static enum clz_fields fields_of(const GstVideoFrame *f)
{
    return !GST_VIDEO_FRAME_IS_INTERLACED(f) ? CLZ_FIELDS_NONE :
           GST_VIDEO_FRAME_IS_TFF(f) ? CLZ_FIELDS_TOP_FIRST : CLZ_FIELDS_BOTTOM_FIRST;
}

// Logs which range gray film is given, and why.
static void log_levels(GstColorize *self)
{
    const char *in = self->in_format->gst, *out = self->out_format->gst;
    int wish;

    if (!is_gray(self->in_format)) return;
    GST_OBJECT_LOCK(self);
    wish = self->settings.out_range;
    GST_OBJECT_UNLOCK(self);
    if (self->out_format->flags & CLZ_PIXFMT_RGB)
        GST_INFO_OBJECT(self, "%s becomes %s, with the luma of the film to within half a code value", in, out);
    else if (self->tags.range == CLZ_RANGE_FULL)
        GST_INFO_OBJECT(self, "%s becomes %s of full range%s", in, out, wish ? ", as out-range asks" :
                        ", which the elements that follow require or signal");
    else
        GST_INFO_OBJECT(self, "%s becomes %s of limited range%s", in, out, wish ? ", as out-range asks" :
                        ": what follows is not known to signal full range; out-range=full keeps the luma bit for bit");
}

static gboolean gst_colorize_set_info(GstVideoFilter *vf, GstCaps *in_caps, GstVideoInfo *in_info, GstCaps *out_caps,
                                      GstVideoInfo *out_info)
{
    GstColorize *self = GST_COLORIZE(vf);
    const GstStructure *in = gst_caps_get_structure(in_caps, 0), *out = gst_caps_get_structure(out_caps, 0);

    drain(self);                            // while vf->in_info and the source pad still have the old caps
    self->in_format = find_format(gst_structure_get_string(in, "format"));
    self->out_format = find_format(gst_structure_get_string(out, "format"));
    if (!self->in_format || !self->out_format) return FALSE;
    if (!accepts_interlace_mode(self, GST_VIDEO_INFO_INTERLACE_MODE(in_info)) || !use_memory(self, is_cuda(in_caps, 0)))
        return FALSE;
    self->in_range = gst_structure_has_field(in, "colorimetry") ? range_of(&in_info->colorimetry) : CLZ_RANGE_UNSPECIFIED;
    self->tags.range = range_of(&out_info->colorimetry);
    self->tags.matrix = matrix_of(&out_info->colorimetry);
    self->tags.transfer = transfer_of(&out_info->colorimetry);
    // If the caps have no chroma-site, GstVideoInfo assumes "center" for small pictures. Most video has chroma siting left, which
    // is also the default of the FFmpeg filter, so the engine's default is used.
    self->tags.siting = gst_structure_has_field(out, "chroma-site") ? siting_of(GST_VIDEO_INFO_CHROMA_SITE(out_info)) :
                        CLZ_SITING_UNSPECIFIED;
    log_levels(self);
    GST_OBJECT_LOCK(self);
    self->duration = GST_VIDEO_INFO_FPS_N(in_info) > 0 ?
        gst_util_uint64_scale(GST_SECOND, GST_VIDEO_INFO_FPS_D(in_info), GST_VIDEO_INFO_FPS_N(in_info)) : 40 * GST_MSECOND;
    GST_OBJECT_UNLOCK(self);
    g_atomic_int_set(&self->live, upstream_is_live(self));
    gst_element_post_message(GST_ELEMENT(self), gst_message_new_latency(GST_OBJECT(self)));
    return TRUE;
}

static gboolean waits_for_none(GstColorize *self)           // the frames of a live source, unless `window` is set
{
    return self->auto_window && g_atomic_int_get(&self->live);
}

// A frame waits until its batch is full and then until the model has run on that batch; it is output at the latest when the next
// batch is full. This takes two batches of frame durations. With batch=1 a frame waits for one run of the model only. The frames
// after it that the stream looks at are added to both.
static GstClockTime element_latency(GstColorize *self)
{
    GstClockTime latency = 0;

    GST_OBJECT_LOCK(self);
    if (self->running && GST_VIDEO_FILTER(self)->negotiated)
        latency = ((waits_for_none(self) ? self->batch : self->lookahead) + (self->wait_each ? 0 : self->batch)) * self->duration;
    GST_OBJECT_UNLOCK(self);
    return latency;
}

// Makes format the first field of each structure in the result of a caps query. videoconvert 1.22 removes other fields from the
// structure before it reads format, misjudges structures in which those fields come first, and then converts to gray although the
// film's own format is accepted.
static void put_format_first(GstQuery *query)
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
    GstClockTime own, min, max;
    gboolean live;

    if (direction == GST_PAD_SRC && GST_QUERY_TYPE(query) == GST_QUERY_LATENCY) {
        if (!gst_pad_peer_query(GST_BASE_TRANSFORM_SINK_PAD(bt), query)) return FALSE;
        gst_query_parse_latency(query, &live, &min, &max);
        g_atomic_int_set(&self->live, live);
        own = element_latency(self);
        min += own;
        if (max != GST_CLOCK_TIME_NONE) max += own;
        gst_query_set_latency(query, live, min, max);
        return TRUE;
    }
    if (GST_QUERY_TYPE(query) == GST_QUERY_CONTEXT && gst_colorize_cuda.answer) {
        gboolean answered;
        g_rec_mutex_lock(&self->cuda_lock);
        answered = gst_colorize_cuda.answer(GST_ELEMENT(self), query, self->cuda_context);
        g_rec_mutex_unlock(&self->cuda_lock);
        if (answered) return TRUE;
    }
    if (direction == GST_PAD_SINK && GST_QUERY_TYPE(query) == GST_QUERY_DRAIN) drain(self);     // returns upstream's buffers
    if (!PARENT_CLASS->query(bt, direction, query)) return FALSE;
    if (direction == GST_PAD_SINK && GST_QUERY_TYPE(query) == GST_QUERY_CAPS) put_format_first(query);
    return TRUE;
}

// ---- allocation: the pools on both sides need buffers for the frames in flight ----

static gboolean gst_colorize_propose_allocation(GstBaseTransform *bt, GstQuery *decide, GstQuery *query)
{
    GstColorize *self = GST_COLORIZE(bt);
    GstBufferPool *pool = NULL;
    GstVideoInfo info;
    GstCaps *caps;
    gboolean need_pool;
    guint size;

    gst_query_parse_allocation(query, &caps, &need_pool);
    if (!caps || !gst_video_info_from_caps(&info, caps)) return FALSE;
    (void)decide;
    size = GST_VIDEO_INFO_SIZE(&info);
    if (is_cuda(caps, 0) && need_pool && self->stream_context)
        pool = gst_colorize_cuda.pool_new(self->stream_context, caps, &size, self->capacity + 2, 0);
    gst_query_add_allocation_pool(query, pool, size, self->capacity + 2, 0);
    gst_clear_object(&pool);
    gst_query_add_allocation_meta(query, GST_VIDEO_META_API_TYPE, NULL);
    return TRUE;
}

// Output buffers in CUDA memory come from a pool in the context of the engine's stream: downstream's, or one of our own.
static gboolean decide_cuda_allocation(GstColorize *self, GstQuery *query)
{
    GstBufferPool *pool = NULL;
    guint size = 0, min = 0, max = 0;
    const gboolean offered = gst_query_get_n_allocation_pools(query) > 0;
    GstVideoInfo info;
    GstCaps *caps;

    gst_query_parse_allocation(query, &caps, NULL);
    if (!caps || !gst_video_info_from_caps(&info, caps)) return FALSE;
    if (offered) gst_query_parse_nth_allocation_pool(query, 0, &pool, &size, &min, &max);
    min += self->capacity;
    if (pool && (!gst_colorize_cuda.pool_fits(pool, self->stream_context) || (max && max < min))) gst_clear_object(&pool);
    if (!pool) {
        size = GST_VIDEO_INFO_SIZE(&info);
        max = 0;
        if (!(pool = gst_colorize_cuda.pool_new(self->stream_context, caps, &size, min, max))) return FALSE;
    }
    if (offered) gst_query_set_nth_allocation_pool(query, 0, pool, size, min, max);
    else gst_query_add_allocation_pool(query, pool, size, min, max);
    gst_object_unref(pool);
    return PARENT_CLASS->decide_allocation(GST_BASE_TRANSFORM(self), query);
}

static gboolean gst_colorize_decide_allocation(GstBaseTransform *bt, GstQuery *query)
{
    GstColorize *self = GST_COLORIZE(bt);

    if (self->stream_context) return decide_cuda_allocation(self, query);

    self->downstream_has_meta = gst_query_find_allocation_meta(query, GST_VIDEO_META_API_TYPE, NULL);
    for (guint i = 0; i < gst_query_get_n_allocation_pools(query); i++) {
        GstBufferPool *pool;
        guint size, min, max;
        gst_query_parse_nth_allocation_pool(query, i, &pool, &size, &min, &max);
        min += self->capacity;
        if (max && max < min) {             // too small for the frames in flight: the parent class creates another pool
            gst_clear_object(&pool);
            max = 0;
        }
        gst_query_set_nth_allocation_pool(query, i, pool, size, min, max);
        gst_clear_object(&pool);
    }
    return PARENT_CLASS->decide_allocation(bt, query);
}

// Copies all metas but those that describe memory: an output frame has the size of its input frame, so they stay valid.
static gboolean gst_colorize_transform_meta(GstBaseTransform *bt, GstBuffer *out, GstMeta *meta, GstBuffer *in)
{
    (void)bt, (void)out, (void)in;
    return !gst_meta_api_type_has_tag(meta->info->api, g_quark_from_static_string("memory"));
}

// ---- frames in ----

// Describes a mapped frame in the engine's terms.
static struct clz_frame describe_frame(const GstColorize *self, const GstVideoFrame *f, const struct clz_pixfmt *format)
{
    struct clz_frame frame = self->tags;

    frame.format = format;
    frame.width = GST_VIDEO_FRAME_WIDTH(f);
    frame.height = GST_VIDEO_FRAME_HEIGHT(f);
    frame.memory = self->stream_context ? CLZ_MEMORY_CUDA : CLZ_MEMORY_HOST;
    frame.fields = fields_of(f);
    for (int p = 0; p < format->planes; p++) {
        frame.data[p] = GST_VIDEO_FRAME_PLANE_DATA(f, p);
        frame.stride[p] = GST_VIDEO_FRAME_PLANE_STRIDE(f, p);
    }
    return frame;
}

// Unmaps the buffers of a job, releases its input buffer and returns its output buffer.
static GstBuffer *release_job(struct job *j)
{
    GstBuffer *out = j->out;

    if (j->in) gst_video_frame_unmap(&j->from);
    gst_video_frame_unmap(&j->to);
    gst_clear_buffer(&j->in);
    j->out = NULL;
    return out;
}

// Whether downstream can locate the planes of a buffer: it reads GstVideoMeta, or the strides and offsets are those of the caps.
// CUDA memory knows them itself.
static gboolean downstream_finds_planes(const GstColorize *self, const GstVideoFrame *f)
{
    const GstVideoInfo *want = &GST_VIDEO_FILTER(self)->out_info;
    gboolean same = TRUE;

    for (guint p = 0; p < GST_VIDEO_FRAME_N_PLANES(f); p++)
        same = same && f->info.stride[p] == want->stride[p] && f->info.offset[p] == want->offset[p];
    return same || self->downstream_has_meta || self->stream_context;
}

enum { DROPPED = GST_FLOW_CUSTOM_SUCCESS };

// Handles an input buffer that does not match its caps. If the source is live, the buffer is dropped, and a warning is posted for
// the 1st, 10th, 100th and so on. If it is not live, an error is posted, because no frame of a file may be lost.
static GstFlowReturn reject_buffer(GstColorize *self, const char *what, GstBuffer *in)
{
    guint64 count, power = 1;

    if (!g_atomic_int_get(&self->live)) {
        GST_ELEMENT_ERROR(self, STREAM, FAILED, ("%s", what), ("%" GST_PTR_FORMAT, in));
        return GST_FLOW_ERROR;
    }
    GST_OBJECT_LOCK(self);
    count = ++self->dropped;
    GST_OBJECT_UNLOCK(self);
    self->discont = TRUE;
    while (power < count) power *= 10;
    if (power == count)
        GST_ELEMENT_WARNING(self, STREAM, FAILED, ("%s It is dropped; %" G_GUINT64_FORMAT " so far.", what, count),
                            ("%" GST_PTR_FORMAT, in));
    return (GstFlowReturn)DROPPED;
}

// Fills the job with `in` and an output buffer, both mapped. Takes ownership of `in`.
static GstFlowReturn map_job(GstColorize *self, GstBuffer *in, struct job *j)
{
    const GstMapFlags no_ref = (GstMapFlags)GST_VIDEO_FRAME_MAP_FLAG_NO_REF |   // the job owns them
                               (self->stream_context ? gst_colorize_cuda.map : (GstMapFlags)0);
    GstVideoFilter *vf = GST_VIDEO_FILTER(self);
    GstFlowReturn ret;

    *j = (struct job){ .arrival = g_get_monotonic_time() };
    if (self->stream_context && gst_colorize_cuda.context_of(in) != self->stream_context) goto unmapped;
    if (self->in_format == self->out_format && gst_buffer_is_writable(in) && gst_buffer_is_all_memory_writable(in)) {
        if (!gst_video_frame_map(&j->to, &vf->out_info, in, GST_MAP_READWRITE | no_ref)) goto unmapped;
        if (downstream_finds_planes(self, &j->to)) {
            j->out = in;
            return GST_FLOW_OK;
        }
        gst_video_frame_unmap(&j->to);
    }
    // Takes a buffer from the pool and copies the timestamps, flags and metas.
    ret = PARENT_CLASS->prepare_output_buffer(GST_BASE_TRANSFORM(self), in, &j->out);
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
    ret = reject_buffer(self, self->stream_context ?
                        "A buffer cannot be mapped: it is smaller than its caps require, or not in CUDA memory." :
                        "A buffer cannot be mapped: it is smaller than its caps require, or not in system memory.", in);
    gst_clear_buffer(&j->out);
    gst_buffer_unref(in);
    return ret;
}

// Gives the stream the sheet that was set while it runs, if one was. If it is wrong, the property gets the one before it again: a
// stream that is opened later would fail.
static void update_sheet(GstColorize *self)
{
    char message[MESSAGE_SIZE], *sheet = NULL;
    gboolean is_new;
    int ret;

    GST_OBJECT_LOCK(self);
    is_new = self->new_sheet;
    self->new_sheet = FALSE;
    if (is_new) sheet = g_strdup(self->settings.sheet);
    GST_OBJECT_UNLOCK(self);
    if (!is_new) return;
    ret = clz_stream_set_sheet(self->stream, sheet);
    if (ret >= 0) {
        g_free(self->stream_sheet);
        self->stream_sheet = sheet;
        return;
    }
    g_free(sheet);
    GST_OBJECT_LOCK(self);
    if (!self->new_sheet) {
        g_free(self->settings.sheet);
        self->settings.sheet = g_strdup(self->stream_sheet);
    }
    GST_OBJECT_UNLOCK(self);
    g_object_notify(G_OBJECT(self), "sheet");
    take_message(self, ret, message);
    GST_ELEMENT_WARNING(self, RESOURCE, SETTINGS, ("The sheet cannot be used, the one before it stays: %s", message), (NULL));
}

static GstFlowReturn send_frame(GstColorize *self, GstBuffer *in)
{
    struct job *j = &self->jobs[(self->first + self->count) % self->capacity];
    struct clz_controls controls = CLZ_CONTROLS_DEFAULT;
    struct clz_frame from, to;
    GstFlowReturn flow = map_job(self, in, j);
    int ret;

    if (flow != GST_FLOW_OK) return flow;
    to = describe_frame(self, &j->to, self->out_format);
    from = j->in ? describe_frame(self, &j->from, self->in_format) : to;
    from.range = self->in_range;
    if (GST_BUFFER_PTS_IS_VALID(in)) controls.time = (double)GST_BUFFER_PTS(in) / GST_SECOND;
    GST_OBJECT_LOCK(self);
    controls.strength = (float)self->strength;
    controls.saturation = (float)self->saturation;
    controls.stabilize = (float)self->stabilize;
    GST_OBJECT_UNLOCK(self);
    update_sheet(self);
    ret = clz_stream_send(self->stream, &from, &to, &controls);
    if (ret == -ECANCELED) flow = GST_FLOW_FLUSHING;            // the element is stopping or flushing
    else if (ret == -EINVAL && g_atomic_int_get(&self->live))
        flow = reject_buffer(self, "A frame cannot be coloured: its strides or plane addresses are not supported.", j->out);
    if (ret < 0 && flow == GST_FLOW_OK) {
        post_engine_error(self, ret, "The frame cannot be coloured");
        flow = self->pending_flow = GST_FLOW_ERROR;
    }
    if (flow != GST_FLOW_OK) {
        gst_buffer_unref(release_job(j));
        return flow;
    }
    if (self->discont) GST_BUFFER_FLAG_SET(j->out, GST_BUFFER_FLAG_DISCONT);
    self->discont = FALSE;
    self->last_arrival = j->arrival;
    self->count++;
    self->unsubmitted = (self->unsubmitted + 1) % self->batch;
    if (!self->unsubmitted && self->lookahead > self->batch && waits_for_none(self)) clz_stream_submit(self->stream);
    return GST_FLOW_OK;
}

// Upstream may have memory of another context than its answer to our query was: the element then takes over that one, before the
// parent class negotiates pools.
static void follow_context(GstColorize *self, GstBuffer *in)
{
    struct _GstCudaContext *context = self->stream_context ? gst_colorize_cuda.context_of(in) : NULL;

    if (!context || context == self->stream_context) return;
    drain(self);
    g_rec_mutex_lock(&self->cuda_lock);
    set_context(&self->cuda_context, context);
    g_rec_mutex_unlock(&self->cuda_lock);
    if (use_memory(self, TRUE)) gst_base_transform_reconfigure_src(GST_BASE_TRANSFORM(self));
}

static GstFlowReturn gst_colorize_submit_input_buffer(GstBaseTransform *bt, gboolean is_discont, GstBuffer *input)
{
    GstColorize *self = GST_COLORIZE(bt);
    GstFlowReturn ret;
    GstBuffer *in;
    GstClockTime time;

    follow_context(self, input);
    ret = PARENT_CLASS->submit_input_buffer(bt, is_discont, input);     // negotiates; drops late frames if qos=true
    in = bt->queued_buf;
    if (ret != GST_FLOW_OK || !in) return ret;
    bt->queued_buf = NULL;
    // Frames before a discontinuity are pushed first. is_discont does not tell whether this buffer is one: it stays set until
    // generate_output has returned a buffer.
    if (GST_BUFFER_IS_DISCONT(in)) ret = drain(self);
    if (ret == GST_FLOW_OK) ret = self->pending_flow;
    if (ret != GST_FLOW_OK) {
        // These errors are returned once, because the source pad may be linked or negotiated before the next buffer.
        if (ret == GST_FLOW_NOT_LINKED || ret == GST_FLOW_NOT_NEGOTIATED) self->pending_flow = GST_FLOW_OK;
        gst_buffer_unref(in);
        return ret;
    }
    if (bt->segment.format == GST_FORMAT_TIME) {
        time = gst_segment_to_stream_time(&bt->segment, GST_FORMAT_TIME, GST_BUFFER_TIMESTAMP(in));
        if (GST_CLOCK_TIME_IS_VALID(time)) gst_object_sync_values(GST_OBJECT(self), time);
    }
    ret = send_frame(self, in);
    return ret == (GstFlowReturn)DROPPED ? GST_FLOW_OK : ret;
}

// ---- frames out ----

// Stores the next coloured frame in *out, or NULL if there is none yet. With wait, it is NULL only if no submitted frame is left.
static GstFlowReturn receive_frame(GstColorize *self, gboolean wait, GstBuffer **out)
{
    struct clz_frame made;
    int ret;

    *out = NULL;
    if (!self->count) return GST_FLOW_OK;
    ret = clz_stream_receive(self->stream, &made, wait);
    if (ret == -EAGAIN || ret == -ENODATA) return GST_FLOW_OK;
    if (ret == -ECANCELED) return GST_FLOW_FLUSHING;
    *out = release_job(&self->jobs[self->first]);
    self->first = (self->first + 1) % self->capacity;
    self->count--;
    GST_OBJECT_LOCK(self);
    self->saved_runs = self->saved_before + clz_stream_saved_runs(self->stream);
    GST_OBJECT_UNLOCK(self);
    if (ret >= 0) return GST_FLOW_OK;
    gst_clear_buffer(out);
    post_engine_error(self, ret, "A frame could not be coloured");
    return self->pending_flow = GST_FLOW_ERROR;     // posted once; the other frames in flight are dropped silently
}

// The parent class calls this after each input buffer until *out is NULL, and pushes the buffers. It waits for a frame if batch=1
// is set or if the stream is full; otherwise it returns a frame only if one is finished.
static GstFlowReturn gst_colorize_generate_output(GstBaseTransform *bt, GstBuffer **out)
{
    GstColorize *self = GST_COLORIZE(bt);
    GstFlowReturn ret = receive_frame(self, self->wait_each || self->count == self->capacity, out);

    update_deadline(self);
    return ret;
}

// Cancels the frames in flight, so that a thread that waits for them returns. Can be called from any thread.
static void cancel_frames(GstColorize *self)
{
    GST_OBJECT_LOCK(self);
    clz_stream_cancel(self->stream);
    GST_OBJECT_UNLOCK(self);
}

// Drops the frames in flight.
static void drop_frames(GstColorize *self)
{
    if (self->stream) clz_stream_flush(self->stream, NULL, NULL);
    for (; self->count; self->count--, self->first = (self->first + 1) % self->capacity)
        gst_buffer_unref(release_job(&self->jobs[self->first]));
    self->unsubmitted = 0;
}

// Pushes coloured frames until only `keep` frames are in flight, or a push fails.
static GstFlowReturn push_frames(GstColorize *self, int keep)
{
    GstFlowReturn ret = GST_FLOW_OK;
    GstBuffer *out;

    while (ret == GST_FLOW_OK && self->count > keep) {
        if ((ret = receive_frame(self, TRUE, &out)) != GST_FLOW_OK) break;
        if (!out) break;
        ret = gst_pad_push(GST_BASE_TRANSFORM_SRC_PAD(self), out);
    }
    return ret;
}

// Submits the incomplete batch, waits for all frames in flight and pushes them. If that fails, the rest is dropped and the error
// is returned for the next buffer.
static GstFlowReturn drain(GstColorize *self)
{
    GstFlowReturn ret;

    if (!self->count) return GST_FLOW_OK;
    if (self->pending_flow != GST_FLOW_ERROR) {
        GST_DEBUG_OBJECT(self, "draining %d frames", self->count);
        clz_stream_drain(self->stream);
        self->unsubmitted = 0;
        ret = push_frames(self, 0);
        if (ret != GST_FLOW_OK && ret != GST_FLOW_FLUSHING) self->pending_flow = ret;
    } else {
        ret = GST_FLOW_ERROR;
    }
    drop_frames(self);                      // frames that are left after an error
    update_deadline(self);
    return ret;
}

static gboolean gst_colorize_sink_event(GstBaseTransform *bt, GstEvent *event)
{
    GstColorize *self = GST_COLORIZE(bt);

    switch (GST_EVENT_TYPE(event)) {
    case GST_EVENT_FLUSH_START:             // arrives in another thread; the streaming thread may be waiting for frames
        cancel_frames(self);
        break;
    case GST_EVENT_FLUSH_STOP:
        drop_frames(self);
        self->pending_flow = GST_FLOW_OK;
        update_deadline(self);
        break;
    case GST_EVENT_CAPS:                    // set_info drains if the caps differ
    case GST_EVENT_TAG:                     // applies to the whole stream and may come often: nothing is drained
        break;
    case GST_EVENT_STREAM_START:
    case GST_EVENT_SEGMENT:                 // after a flow return of EOS, downstream may accept buffers again
        if (self->pending_flow == GST_FLOW_EOS) self->pending_flow = GST_FLOW_OK;
        drain(self);
        break;
    default:
        if (GST_EVENT_IS_SERIALIZED(event)) drain(self);
        // After EOS there is no next buffer whose flow return could report the error to upstream.
        if (GST_EVENT_TYPE(event) == GST_EVENT_EOS &&
            (self->pending_flow == GST_FLOW_NOT_NEGOTIATED || self->pending_flow == GST_FLOW_NOT_LINKED))
            GST_ELEMENT_FLOW_ERROR(self, self->pending_flow);
        break;
    }
    return PARENT_CLASS->sink_event(bt, event);
}

// ---- deadlines of live sources ----

// The time at which an incomplete batch must be submitted: its first frame has waited for as long as the batch takes to fill, so
// the source has paused. 0 if no batch is incomplete. All times and durations here are in microseconds.
static gint64 batch_deadline(GstColorize *self, gint64 frame)
{
    return self->unsubmitted ?
        self->jobs[(self->first + self->count - self->unsubmitted) % self->capacity].arrival + self->batch * frame : 0;
}

// The time at which the submitted frames must be pushed: no frame has arrived for two frame durations. 0 if none is submitted.
static gint64 push_deadline(GstColorize *self, gint64 frame)
{
    return self->count > self->unsubmitted ? self->last_arrival + 2 * frame : 0;
}

static gint64 frame_duration(GstColorize *self)
{
    GstClockTime duration;

    GST_OBJECT_LOCK(self);
    duration = self->duration;
    GST_OBJECT_UNLOCK(self);
    return duration / 1000;
}

// Sets the time at which the deadline thread wakes up.
static void update_deadline(GstColorize *self)
{
    const gint64 frame = frame_duration(self), a = batch_deadline(self, frame), b = push_deadline(self, frame);
    const gint64 when = !g_atomic_int_get(&self->live) ? 0 : !a ? b : !b || a < b ? a : b;

    g_mutex_lock(&self->deadline.mutex);
    if (when != self->deadline.time) {
        self->deadline.time = when;
        g_cond_signal(&self->deadline.wake);
    }
    g_mutex_unlock(&self->deadline.mutex);
}

static void push_overdue_frames(GstColorize *self)
{
    const gint64 frame = frame_duration(self), now = g_get_monotonic_time(), due = batch_deadline(self, frame);

    if (due && now >= due) {
        GST_DEBUG_OBJECT(self, "no frame arrived in time: submitting an incomplete batch of %d frames", self->unsubmitted);
        clz_stream_submit(self->stream);
        self->unsubmitted = 0;
    }
    if (self->count > self->unsubmitted && now >= push_deadline(self, frame)) {
        if (self->lookahead > self->batch) {            // the frames wait for later ones
            clz_stream_submit(self->stream);
            self->unsubmitted = 0;
        }
        const GstFlowReturn ret = push_frames(self, self->unsubmitted);
        if (ret != GST_FLOW_OK) self->pending_flow = ret;
    }
    update_deadline(self);
}

static gpointer deadline_thread(gpointer arg)
{
    GstColorize *self = arg;
    GstPad *sink = GST_BASE_TRANSFORM_SINK_PAD(self);

    g_mutex_lock(&self->deadline.mutex);
    while (!self->deadline.quit) {
        if (!self->deadline.time) {
            g_cond_wait(&self->deadline.wake, &self->deadline.mutex);
        } else if (g_get_monotonic_time() < self->deadline.time) {
            g_cond_wait_until(&self->deadline.wake, &self->deadline.mutex, self->deadline.time);
        } else {
            self->deadline.time = 0;
            g_mutex_unlock(&self->deadline.mutex);
            GST_PAD_STREAM_LOCK(sink);      // free even while the pads stop: a push then returns FLUSHING
            push_overdue_frames(self);
            GST_PAD_STREAM_UNLOCK(sink);
            g_mutex_lock(&self->deadline.mutex);
        }
    }
    g_mutex_unlock(&self->deadline.mutex);
    return NULL;
}

// ---- start and stop ----

static void close_stream(GstColorize *self)
{
    clz_stream *stream;

    GST_OBJECT_LOCK(self);                  // another thread may call cancel_frames()
    stream = self->stream;
    self->stream = NULL;
    self->saved_before = self->saved_runs;
    GST_OBJECT_UNLOCK(self);
    clz_stream_close(&stream);
    drop_frames(self);
    if (self->cuda_stream) gst_colorize_cuda.stream_free(self->stream_context, self->cuda_stream);
    self->cuda_stream = NULL;
    set_context(&self->stream_context, NULL);
    g_clear_pointer(&self->jobs, g_free);
}

// Opens a stream of the engine on the device, which is the property's or the "cuda" of self->stream_context.
static int open_stream(GstColorize *self, const char *device, const struct clz_log *log, clz_stream **stream)
{
    struct clz_stream_params params;
    struct settings set;
    gboolean is_off;
    int ret;

    GST_OBJECT_LOCK(self);
    set = self->settings;                   // its strings do not change while the element runs, but for the sheet
    set.sheet = g_strdup(set.sheet);
    self->new_sheet = FALSE;
    is_off = self->stabilize == 0;
    GST_OBJECT_UNLOCK(self);
    params = (struct clz_stream_params){
#define STRING(name, initial, help) .name = set.name,
#define STRING_AS(name, field, initial, help) .field = set.field,
#define INT(name, initial, min, max, help) .name = set.name,
#define ENUM(name, last, help, values) .name = set.name,
#include "options.def"
        .stabilizer = 1,
        .log = *log,
    };
    params.device = device;
    if (is_off) params.window = 0;         // the property may be set later; the stabiliser then looks at no later frame
    if (self->stream_context) {
        params.cuda_context = gst_colorize_cuda.handle(self->stream_context);
        params.cuda_stream = self->cuda_stream;
    }
    ret = clz_stream_open(stream, self->model, &params);
    g_free(self->stream_sheet);
    self->stream_sheet = set.sheet;
    return ret;
}

static void take_stream(GstColorize *self, clz_stream *stream)
{
    GST_OBJECT_LOCK(self);
    self->stream = stream;
    self->batch = clz_stream_batch(stream);
    self->lookahead = clz_stream_lookahead(stream);
    self->wait_each = self->settings.batch == 1;
    self->auto_window = self->settings.window < 0;
    GST_OBJECT_UNLOCK(self);
    self->capacity = clz_stream_max_in_flight(stream);
    self->jobs = g_new0(struct job, self->capacity);
    self->first = self->count = self->unsubmitted = 0;
}

// Opens the stream anew if it is for another kind of memory, or another CUDA context, than the caps. No frame is in flight.
static gboolean use_memory(GstColorize *self, gboolean cuda)
{
    const struct clz_log log = { log_engine_message, self, CLZ_LOG_VERBOSE };
    struct _GstCudaContext *context = NULL;
    const char *device = self->settings.device;
    clz_stream *stream;
    int number, ret;

    if (cuda) {
        g_rec_mutex_lock(&self->cuda_lock);
        if (cuda_device(device, &number) && gst_colorize_cuda.find_context(GST_ELEMENT(self), number, &self->cuda_context))
            set_context(&context, self->cuda_context);
        g_rec_mutex_unlock(&self->cuda_lock);
        if (!context) {
            GST_ELEMENT_ERROR(self, RESOURCE, NOT_FOUND, ("There is no CUDA context for the property device=%s.",
                                                          device && *device ? device : "auto"), (NULL));
            return FALSE;
        }
    }
    if (self->stream && context == self->stream_context) {
        set_context(&context, NULL);
        return TRUE;
    }
    close_stream(self);
    self->stream_context = context;
    if (context && !(self->cuda_stream = gst_colorize_cuda.stream_new(context))) ret = -EIO;
    else ret = open_stream(self, context ? "cuda" : device, &log, &stream);     // the context says which GPU
    if (ret < 0) {
        post_engine_error(self, ret, context ? "Frames in CUDA memory cannot be coloured" : "The model cannot be run");
        close_stream(self);
        return FALSE;
    }
    take_stream(self, stream);
    return TRUE;
}

// Whether the engine has a CUDA device: only then does the element offer caps of CUDA memory. With device=auto this opens a
// stream that is closed at once.
static gboolean cuda_opens(GstColorize *self)
{
    const struct clz_log silent = { 0 };
    const char *device = self->settings.device;
    clz_stream *stream = NULL;
    int number, ret;

    if (!gst_colorize_cuda.formats || !cuda_device(device, &number)) return FALSE;
    if (device && !strncmp(device, "cuda", 4)) return TRUE;     // else start fails
    ret = open_stream(self, "cuda", &silent, &stream);
    clz_stream_close(&stream);
    return ret >= 0;
}

static gboolean gst_colorize_stop(GstBaseTransform *bt)
{
    GstColorize *self = GST_COLORIZE(bt);

    if (self->deadline.thread) {
        g_mutex_lock(&self->deadline.mutex);
        self->deadline.quit = TRUE;
        g_cond_signal(&self->deadline.wake);
        g_mutex_unlock(&self->deadline.mutex);
        g_thread_join(self->deadline.thread);
    }
    self->deadline.thread = NULL;
    self->deadline.quit = FALSE;
    self->deadline.time = 0;
    close_stream(self);
    clz_model_close(&self->model);
    g_rec_mutex_lock(&self->cuda_lock);
    set_context(&self->cuda_context, NULL);
    g_rec_mutex_unlock(&self->cuda_lock);
    self->pending_flow = GST_FLOW_OK;
    GST_OBJECT_LOCK(self);
    self->running = FALSE;
    GST_OBJECT_UNLOCK(self);
    return TRUE;
}

static gboolean gst_colorize_start(GstBaseTransform *bt)
{
    GstColorize *self = GST_COLORIZE(bt);
    const struct clz_log log = { log_engine_message, self, CLZ_LOG_VERBOSE };
    const char *path, *device;
    clz_stream *stream = NULL;
    gboolean cuda;
    int ret;

    GST_OBJECT_LOCK(self);
    self->running = TRUE;                   // from here on, set_property refuses to change settings
    self->dropped = self->saved_runs = self->saved_before = 0;
    path = self->settings.model;
    device = self->settings.device;
    GST_OBJECT_UNLOCK(self);
    if (!path || !*path) {
        GST_ELEMENT_ERROR(self, RESOURCE, SETTINGS, ("No model: set the property \"model\" to a model file."), (NULL));
        goto fail;
    }
    if ((ret = clz_model_open(&self->model, path, &log)) < 0) {
        post_engine_error(self, ret, "The model cannot be opened");
        goto fail;
    }
    cuda = cuda_opens(self);
    GST_OBJECT_LOCK(self);
    self->cuda_opens = cuda;
    GST_OBJECT_UNLOCK(self);
    if ((ret = open_stream(self, device, &log, &stream)) < 0) {
        post_engine_error(self, ret, "The model cannot be run");
        goto fail;
    }
    take_stream(self, stream);
    self->discont = FALSE;
    self->deadline.thread = g_thread_try_new("colorize-deadline", deadline_thread, self, NULL);
    if (self->deadline.thread) return TRUE;
    post_engine_error(self, -EAGAIN, "The deadline thread cannot be started");
fail:
    gst_colorize_stop(bt);
    return FALSE;
}

static void gst_colorize_set_context(GstElement *element, GstContext *context)
{
    GstColorize *self = GST_COLORIZE(element);
    int number;

    g_rec_mutex_lock(&self->cuda_lock);
    if (gst_colorize_cuda.set_context && cuda_device(self->settings.device, &number))
        gst_colorize_cuda.set_context(element, context, number, &self->cuda_context);
    g_rec_mutex_unlock(&self->cuda_lock);
    GST_ELEMENT_CLASS(gst_colorize_parent_class)->set_context(element, context);
}

static GstStateChangeReturn gst_colorize_change_state(GstElement *element, GstStateChange transition)
{
    // The parent class waits for the streaming thread, which may be waiting for a batch.
    if (transition == GST_STATE_CHANGE_PAUSED_TO_READY) cancel_frames(GST_COLORIZE(element));
    return GST_ELEMENT_CLASS(gst_colorize_parent_class)->change_state(element, transition);
}

// ---- GObject ----

static void gst_colorize_set_property(GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
    GstColorize *self = GST_COLORIZE(object);
    const struct property *p = &properties[id - 1];
    char *field = (char *)self + p->offset;
    gboolean late;

    GST_OBJECT_LOCK(self);
    late = self->running && !p->playing;
    switch (late ? -1 : (int)p->kind) {
    case KIND_STRING:
        g_free(*(char **)field);
        *(char **)field = g_value_dup_string(value);
        self->new_sheet |= self->running;   // no other text changes then
        break;
    case KIND_INT:     *(int *)field = g_value_get_int(value); break;
    case KIND_DOUBLE:  *(double *)field = g_value_get_double(value); break;
    case KIND_ENUM:    *(int *)field = g_value_get_enum(value); break;
    case KIND_COUNTER: break;
    }
    GST_OBJECT_UNLOCK(self);
    if (late)
        GST_ELEMENT_WARNING(self, RESOURCE, SETTINGS,
                            ("The property \"%s\" can be set in the states NULL and READY only; its value is unchanged.",
                             pspec->name), (NULL));
}

static void gst_colorize_get_property(GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
    GstColorize *self = GST_COLORIZE(object);
    const struct property *p = &properties[id - 1];
    const char *field = (const char *)self + p->offset;

    (void)pspec;
    GST_OBJECT_LOCK(self);
    switch (p->kind) {
    case KIND_STRING:  g_value_set_string(value, *(char *const *)field); break;
    case KIND_INT:     g_value_set_int(value, *(const int *)field); break;
    case KIND_DOUBLE:  g_value_set_double(value, *(const double *)field); break;
    case KIND_ENUM:    g_value_set_enum(value, *(const int *)field); break;
    case KIND_COUNTER: g_value_set_uint64(value, *(const guint64 *)field); break;
    }
    GST_OBJECT_UNLOCK(self);
}

static void gst_colorize_finalize(GObject *object)
{
    GstColorize *self = GST_COLORIZE(object);

    for (guint i = 0; i < G_N_ELEMENTS(properties); i++)
        if (properties[i].kind == KIND_STRING) g_free(*(char **)((char *)self + properties[i].offset));
    g_free(self->stream_sheet);
    set_context(&self->cuda_context, NULL);
    g_rec_mutex_clear(&self->cuda_lock);
    g_mutex_clear(&self->deadline.mutex);
    g_cond_clear(&self->deadline.wake);
    g_mutex_clear(&self->message_lock);
    G_OBJECT_CLASS(gst_colorize_parent_class)->finalize(object);
}

// Never called, because generate_output is overridden. It is set because GstVideoFilter uses in-place mode without it.
static GstFlowReturn gst_colorize_transform_frame(GstVideoFilter *vf, GstVideoFrame *in, GstVideoFrame *out)
{
    (void)vf, (void)in, (void)out;
    return GST_FLOW_NOT_SUPPORTED;
}

// Registers the type of an enum property: "GstColorizeOutRange" for out_range.
static GType register_enum(const struct property *p)
{
    GString *name = g_string_new("GstColorize");
    gboolean upper = TRUE;
    GType type;

    for (const char *c = p->name; *c; c++) {
        if (*c != '_') g_string_append_c(name, upper ? g_ascii_toupper(*c) : *c);
        upper = *c == '_';
    }
    type = g_enum_register_static(name->str, p->choices);
    gst_type_mark_as_plugin_api(type, 0);
    g_string_free(name, TRUE);
    return type;
}

static GParamSpec *make_pspec(const struct property *p)
{
    const GParamFlags text = G_PARAM_STATIC_NICK | G_PARAM_STATIC_BLURB, flags = G_PARAM_READWRITE | text |
                             (p->playing ? GST_PARAM_MUTABLE_PLAYING : GST_PARAM_MUTABLE_READY) |
                             (p->playing && p->kind == KIND_DOUBLE ? GST_PARAM_CONTROLLABLE : 0);

    switch (p->kind) {
    case KIND_STRING:  return g_param_spec_string(p->name, p->name, p->help, p->text, flags);
    case KIND_INT:     return g_param_spec_int(p->name, p->name, p->help, (int)p->min, (int)p->max, (int)p->initial, flags);
    case KIND_COUNTER: return g_param_spec_uint64(p->name, p->name, p->help, 0, G_MAXUINT64, 0, G_PARAM_READABLE | text);
    case KIND_DOUBLE:  return g_param_spec_double(p->name, p->name, p->help, p->min, p->max, p->initial, flags);
    default:           return g_param_spec_enum(p->name, p->name, p->help, register_enum(p), (int)p->initial, flags);
    }
}

static void add_template(GstElementClass *klass, const char *name, GstPadDirection direction)
{
    GstCaps *caps = format_caps(direction == GST_PAD_SINK, FALSE);

    if (gst_colorize_cuda.formats) gst_caps_append(caps, format_caps(FALSE, TRUE));
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
                                          "Colours black-and-white film with a model and keeps its luma",
                                          "the authors of colorize");

    element_class->change_state = gst_colorize_change_state;
    element_class->set_context = gst_colorize_set_context;
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
    gst_base_transform_set_qos_enabled(GST_BASE_TRANSFORM(self), FALSE);        // late frames are dropped only with qos=true
    for (guint i = 0; i < G_N_ELEMENTS(properties); i++) {
        char *field = (char *)self + properties[i].offset;
        switch (properties[i].kind) {
        case KIND_STRING:  *(char **)field = g_strdup(properties[i].text); break;
        case KIND_DOUBLE:  *(double *)field = properties[i].initial; break;
        case KIND_COUNTER: break;
        default:           *(int *)field = (int)properties[i].initial; break;
        }
    }
    self->batch = self->lookahead = 1;
    g_rec_mutex_init(&self->cuda_lock);
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
