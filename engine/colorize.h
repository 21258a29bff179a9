// colorize.h - the public API of libcolorize: colour for black-and-white film.
//
// A model (clz_model) is a generator network read from a file. A stream (clz_stream) is one film being coloured:
// frames are sent in, coloured frames are received, in order, one for one, as avcodec does it:
//
//     clz_model_open(&model, "model.bin", NULL);
//     clz_stream_open(&stream, model, &(struct clz_stream_params){ .batch = 4 });
//     while (read(&in)) {
//         while ((ret = clz_stream_send(stream, &in, &out, NULL)) == -EAGAIN)     // full: take a finished frame first
//             if ((ret = clz_stream_receive(stream, &done, 1)) >= 0) write(&done);
//         while (clz_stream_receive(stream, &done, 0) == 0) write(&done);
//     }
//     clz_stream_drain(stream);
//     while (clz_stream_receive(stream, &done, 1) == 0) write(&done);     // -ENODATA: all are out
//     clz_stream_close(&stream);
//     clz_model_close(&model);
//
// Conventions, stated once:
// - A function that can fail returns 0 or a negative errno: -EINVAL the caller's mistake (a NULL model, stream, frame or path
//   too), -ENOMEM, -ENOTSUP this build or device cannot, -EBADMSG a bad model file (other file errors are the system's own,
//   -ENOENT and so on), -EIO the device or a library failed. The object's log says what and where, with numbers, once.
// - Every close function takes the address of the pointer, sets it to NULL, and accepts the address of NULL.
// - Sizes are pixels, strides are bytes (and may be negative), times do not occur here.
// - The library never prints, exits or keeps mutable globals, but for one process-wide cache of open models, guarded by a mutex.
//   It reads of the environment only where the CUDA device keeps its plans: $COLORIZE_CACHE, $XDG_CACHE_HOME, $HOME. OpenMP's
//   runtime does end the process where the system refuses it a thread: so a stream asks for its threads when it is opened, and
//   takes fewer, with a warning, where they cannot be had.
// - Thread rule: a clz_model may be used by any number of threads at once. A clz_stream is used by one thread at a time;
//   clz_stream_cancel() alone may be called from any thread.
//
// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef COLORIZE_H
#define COLORIZE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define CLZ_API __attribute__((visibility("default")))
#else
#define CLZ_API
#endif

// Raised by every incompatible change. A program that opens the library with dlopen compares clz_abi_version() with it.
#define CLZ_ABI_VERSION 1
#define CLZ_VERSION "0.1.0"
CLZ_API int clz_abi_version(void);
CLZ_API const char *clz_version(void);      // "0.1.0"

// ---- log ----

enum clz_log_level { CLZ_LOG_ERROR, CLZ_LOG_WARNING, CLZ_LOG_INFO, CLZ_LOG_VERBOSE, CLZ_LOG_DEBUG };

// Where an object's messages go. Copied by the object that is opened with it. cb NULL: silence. cb may be called from the
// library's own threads, one call at a time per object. msg is one complete message without a newline.
struct clz_log {
    void (*cb)(void *priv, enum clz_log_level level, const char *msg);
    void *priv;
    enum clz_log_level level;               // messages above this level are not made
};

// ---- pixel formats ----

enum {
    CLZ_PIXFMT_GRAY    = 1,                 // no chroma; the coloured frame has another format (out)
    CLZ_PIXFMT_RGB     = 2,                 // R', G', B' instead of Y', U, V; always full range
    CLZ_PIXFMT_ALPHA   = 4,                 // has an alpha channel, which is passed on bit for bit
    CLZ_PIXFMT_FULL    = 8,                 // full range by name (yuvj420p); other formats: by clz_frame.range
    CLZ_PIXFMT_MSB     = 16,                // a sample's bits are the high ones of its 16 (p010)
    CLZ_PIXFMT_SWAPPED = 32                 // samples of two bytes in the byte order that is not the machine's
};

// Where the samples of one component stand: number i of a row is at offset + i * step of plane's row, counted in samples.
// step 0: the format has no such component.
struct clz_samples { uint8_t plane, step, offset; };

// One row of the table of formats.
struct clz_pixfmt {
    const char *name;                       // FFmpeg's, without a suffix for the machine's byte order: "yuv420p10", "gray16be"
    const char *gst;                        // GStreamer's name, NULL where it has none: "I420_10LE"
    int planes;                             // 1 to 4
    int depth;                              // bits a sample: 8 to 16
    int log2_chroma_w, log2_chroma_h;       // chroma is ceil(width / 2^w) x ceil(height / 2^h)
    unsigned flags;                         // CLZ_PIXFMT_*
    const char *out;                        // gray: default format of the coloured frame, of equal depth; else NULL
    struct clz_samples samples[4];          // Y', U, V, A or R', G', B', A; rgb0 and its kin: the fourth is not used, but kept
};

CLZ_API const struct clz_pixfmt *clz_pixfmt_list(void);                   // ends with a row whose name is NULL
CLZ_API const struct clz_pixfmt *clz_pixfmt_find(const char *name);       // NULL: no such format

// Bytes that a row of a plane has at least (without padding), and rows of a plane, for a picture of that width or height.
CLZ_API size_t clz_pixfmt_row_bytes(const struct clz_pixfmt *format, int plane, int width);
CLZ_API int clz_pixfmt_rows(const struct clz_pixfmt *format, int plane, int height);

// ---- frames ----

// What a file's tags say. clz_stream_params can overrule them; what neither specifies is: range limited (full for gray, yuvj
// and RGB), matrix clz_matrix_guess(), siting left. For RGB the matrix says which weights make Y' of R', G', B'.
enum clz_range  { CLZ_RANGE_UNSPECIFIED, CLZ_RANGE_LIMITED, CLZ_RANGE_FULL };
enum clz_matrix { CLZ_MATRIX_UNSPECIFIED, CLZ_MATRIX_601, CLZ_MATRIX_709, CLZ_MATRIX_2020 };
// What Y' means: SDR for all usual film, PQ and HLG for HDR (ITU-R BT.2100). UNSPECIFIED is SDR.
enum clz_transfer { CLZ_TRANSFER_UNSPECIFIED, CLZ_TRANSFER_SDR, CLZ_TRANSFER_PQ, CLZ_TRANSFER_HLG };
enum clz_siting { CLZ_SITING_UNSPECIFIED, CLZ_SITING_LEFT, CLZ_SITING_CENTER, CLZ_SITING_TOPLEFT };
// An interlaced frame holds two fields, which may show different times: the even rows, from 0 on, are the top field, the odd ones
// the bottom field. NONE: the frame is progressive.
enum clz_fields { CLZ_FIELDS_NONE, CLZ_FIELDS_TOP_FIRST, CLZ_FIELDS_BOTTOM_FIRST };

// The matrix of a film that does not say: 709 if its longer side is 1280 or more or its shorter side more than 576, else 601.
// The same for a picture that lies and one that stands.
CLZ_API enum clz_matrix clz_matrix_guess(int width, int height);

enum clz_memory { CLZ_MEMORY_HOST, CLZ_MEMORY_CUDA };

#define CLZ_MAX_SIZE 16384                  // largest width and height; larger frames are refused with -EINVAL

// A picture: a description of planes that the caller owns. The library copies the struct, never the pixels.
struct clz_frame {
    const struct clz_pixfmt *format;
    int width, height;                      // 1..CLZ_MAX_SIZE
    uint8_t *data[4];                       // even where samples have two bytes, as strides are
    ptrdiff_t stride[4];                    // bytes from row to row
    enum clz_range range;
    enum clz_matrix matrix;
    enum clz_siting siting;
    enum clz_transfer transfer;
    enum clz_fields fields;                 // of the input; the output's is set to it
    enum clz_memory memory;
    void *opaque;                           // the caller's own, comes back with the frame
};

// How one frame is to be coloured. Copied by clz_stream_send(). Start from CLZ_CONTROLS_DEFAULT.
struct clz_controls {
    float strength;                         // 0..1, share of the predicted colour that is used
    float saturation;                       // 0..4, factor on a* and b*; 1 leaves them
    int skip;                               // 1: pass this frame on untouched, in order (a disabled stretch)
    int cut;                                // 1: a new shot begins with this frame: it and those after it have nothing to do with
                                            // the frames before it
    float stabilize;                        // 0..1, how strongly colours are averaged over the shot; needs
                                            // clz_stream_params.stabilizer
    double time;                            // of the frame in seconds, for the list of shots and the sheet; negative: unknown
    int hold;                               // 1: the colours of the frame before, carried along the motion, in place of its own;
                                            // needs clz_stream_params.stabilizer
};
#define CLZ_CONTROLS_DEFAULT { 1, 1, 0, 0, 1, -1, 0 }

// ---- models ----

struct clz_model;
typedef struct clz_model clz_model;

// Open a model file: valid safetensors with the graph in its metadata (doc/model.md). The file is read whole, checked
// whole and closed again. Opening the same unchanged file (device, inode, size, time of change) again while it is open
// anywhere in the process gives the same object and costs nothing.
//
// Returns 0, -EBADMSG, -ENOMEM, or what open and read return. log may be NULL.
CLZ_API int clz_model_open(clz_model **model, const char *path, const struct clz_log *log);
CLZ_API clz_model *clz_model_ref(clz_model *model);
CLZ_API void clz_model_close(clz_model **model);

// A fact from the file's metadata, by key without the prefix "colorize.": "arch", "train", "license", "size", "stride".
// NULL: not there. Owned by the model.
CLZ_API const char *clz_model_info(const clz_model *model, const char *key);

// ---- streams ----

enum clz_precision { CLZ_PRECISION_AUTO, CLZ_PRECISION_F32, CLZ_PRECISION_BF16, CLZ_PRECISION_F16 };
enum clz_luma { CLZ_LUMA_COPY, CLZ_LUMA_LSTAR };    // keep Y' bit for bit, or keep L* and let Y' follow
// What becomes of a film's own colours: all frames are coloured; shots with any are passed on untouched; shots with natural ones
// are, while tints (sepia, tinting, toning) give way to the model's.
enum clz_chroma { CLZ_CHROMA_IGNORE, CLZ_CHROMA_KEEP, CLZ_CHROMA_AUTO };
// Which frames are looked at for fields of different times: those with clz_frame.fields, none, all (with the top field first
// where fields is NONE).
enum clz_interlaced { CLZ_INTERLACED_AUTO, CLZ_INTERLACED_PROGRESSIVE, CLZ_INTERLACED_FIELDS };

// All zero is a good start: every field says what 0 means.
struct clz_stream_params {
    const char *device;                     // "auto" (NULL), "cpu", "ref", "cuda", "cuda:1" or "cuda/1"
    enum clz_precision precision;           // AUTO: bf16 where the device is faster with it, else f32
    int threads;                            // 0: one per core that the process may use
    int batch;                              // frames to a network run, 1..64; 0: the device's own choice
    int size;                               // short side of the network's picture, 32..2048; 0: the model's own
    enum clz_luma luma;
    enum clz_range range;                   // range, matrix, siting, transfer: overrule the input frames' tags unless UNSPECIFIED
    enum clz_matrix matrix;
    enum clz_siting siting;
    enum clz_transfer transfer;
    enum clz_range out_range;               // of the coloured frames; UNSPECIFIED: as `out` says, else as the input is
    const char *bars;                       // black bars around the picture: "auto" (NULL) finds them, "off", or their depths in
                                            // pixels, "top/bottom/left/right" (":" works too); see below
    int stabilizer;                         // 1: colours are averaged over the frames of a shot; 0: each frame has its own; below
    int window;                             // frames after a frame that it looks at, 0..32; -1: 2, with batch 1 none
    const char *shots;                      // with the stabilizer: a CSV file to write the list of the film's shots to; see below
    const char *cuts;                       // with the stabilizer: such a file, in place of cuts that are found
    const char *sheet;                      // a YAML file that says how parts of the film are coloured; see below. "": none
    enum clz_chroma chroma;                 // KEEP and AUTO need frames in host memory, else clz_stream_send() gives -ENOTSUP
    int first_frame;                        // number of the first frame that is sent, for lists of shots and the sheet
    int shots_only;                         // 1: only the list of shots is made, without the network, in a fraction of the time;
                                            // the frames become grey
    const char *hints;                      // colours for places of the frames: a text or PNG file, see below; NULL: none
    const char *classes;                    // what is in the film, "person,horse", for models that were trained with classes
                                            // (else -EINVAL); NULL: not said
    const char *qc;                         // with the stabilizer: a CSV file to write figures of each frame to; see below
    enum clz_interlaced interlaced;         // see below
    int repeats;                            // codes of 8 bits by which the luma of a repeated frame may differ; -1: none is taken
                                            // for one; see below
    int verify;                             // 1: each coloured frame's luma is compared with the input's; see below
    const char *answers_out;                // a file to write the network's answers to, NULL: none; see below
    const char *answers_in;                 // such a file, from which answers are taken in place of running the network
    struct clz_log log;
    void *cuda_context, *cuda_stream;       // device cuda: the application's CUcontext and CUstream, on which the planes of its
                                            // CLZ_MEMORY_CUDA frames are used (a NULL stream is the default one); context NULL:
                                            // the device's primary context and streams of its own
};

// Black bars (letterbox, pillarbox) are left out of what the network sees, and their chroma becomes neutral. "auto" finds them
// from luma, for the film as a whole: two equal bars at opposite sides at the first frame that shows them with a straight edge, a
// bar on one side after 24 such frames. Picture inside a bar makes it smaller at once; it becomes larger again only after 250
// frames that show it. Frame n's bars depend on the frames up to n, so they are the same for any batch size. In CLZ_MEMORY_CUDA
// frames the GPU looks for them, for which the stream waits once a batch.

// The stabiliser replaces the a* and b* of a frame by their mean over frames of the same shot, carried along the motion of the
// picture at the network's size: backwards to the beginning of the shot, with weights that fade, and `window` frames ahead. Where
// the lightness does not match, and where something comes into view, a frame keeps its own colour. Cuts are found, besides those
// that clz_controls.cut names; a shot goes on after a flash or a splice of up to 3 frames. The result does not depend on batch
// and threads. It computes on the CPU on every device.
//
// The list of shots has the columns frame, time, kind (start, cut, fade, flash, dissolve), confidence, look, a hash of the
// picture, and bars: a stream of the film from this frame on that has this text as its `bars` gives the colours of the whole one.
// The file is complete when the stream is closed; until then it has its old content, which must be such a list too. A list that
// is given, edited or not, says where shots begin (start, cut, fade); nothing else is a cut then. Its frames are counted from the
// stream's first, which is number first_frame; after clz_stream_flush() cuts are found again.

// The sheet (doc/filter.md) is read when the stream is opened: -EINVAL if it is wrong, or names shots of a list that is not
// given or does not have them. Its values take the place of those in clz_controls for the frames that they concern, by
// clz_controls.time or by shot; a frame that the caller skips stays skipped. The list of shots that it names is `cuts`, unless
// that is given. Lines that concern no frame are warned of when the stream is closed after clz_stream_drain(). Points and masks
// of the sheet are hints for some frames, painted over those for all frames; they follow the motion of the picture within a shot,
// which is computed on the CPU on every device. So do the colours of stills (reference), which take one more network run a shot.

// Hints are colours that the user gives for places of the frames, from which the network spreads them over what they belong to.
// It must have been trained with hints (else -EINVAL). A text file has a line "x y radius #rrggbb" for each point, in pixels of
// the frame, or with % in shares of its width, height and shorter side; '#' begins a comment line. A PNG is laid over the frame:
// its opaque pixels are hints. They hold for all frames of the stream. Only hue and saturation of a hint count.

// qc (doc/filter.md) writes figures of each frame: colour, how unsure the network is and where a hint would pay most, flicker,
// spots at the border; and a page, QC.html, with a row and a thumbnail for each shot. The files are complete when the stream is
// closed.

// verify: a frame whose luma is to be kept bit for bit (YUV or gray in host memory, equal range before and after, CLZ_LUMA_COPY)
// and is not fails with -EIO, and a message. How many frames were compared is logged when the stream is closed; if others could
// not be, a warning says so.

// answers_out keeps what the network answers for each frame, losslessly packed; the file is complete when the stream is closed,
// and has its old content until then. A stream with answers_in takes from there what is there, and runs the network for the other
// frames; how many is logged when it is closed. It gives the same bits as the stream that wrote the file, for any strength,
// saturation, stabilizer, window, cuts, sheet, batch and threads, which the answers do not depend on. An answer is known by what
// the network saw: luma inside the bars, the working size, hints painted for the frame; so frames whose hints have changed, and
// films that are others, are run anew. Frames in CLZ_MEMORY_CUDA are not found in files of frames in host memory, nor those in
// these. A precision that is not AUTO takes only answers computed with it. -EINVAL: answers_in is of another model; one path is
// no regular file; both are the same file. -EBADMSG: answers_in is no such file. -EEXIST: answers_out is a file of another kind.
// A failed write is one warning, and leaves the old content. doc/answers.md describes the files.

// Interlaced frames whose two fields differ by motion are coloured as two pictures, in the order of the fields: the network runs
// for each. Where the fields do not differ, the second one gets the colours of the first. Chroma of 4:2:0 belongs to one field
// row by row (kernels/frame_geometry.h says where it lies). Frames whose fields do not differ, as those of progressive film that
// is tagged as interlaced, are coloured as progressive ones. Fields need a height that is a multiple of 4 (4:2:0) or 2; else, and
// on devices and in memory that cannot do it, frames are coloured as progressive ones, with one warning.
//
// A frame whose luma is that of the frame before gets the network's answer for that one: to within `repeats` codes of 8 bits in
// every sample, compared with the frame that the network ran for, so that differences do not add up. With `repeats` 0 the picture
// is the same, bit for bit, as without. The network runs once for the frames of a film that 3:2 pulldown has spread over
// interlaced frames (hard telecine): a repeated field gets the answer for its first appearance, a field that fits between the
// rows of the last field the answer for that one. -1 turns both off. How many runs were saved is logged when the stream is
// closed. Frames in host memory only; frames with hints of their own (points, masks, stills of the sheet) always have a run of
// their own.

struct clz_stream;
typedef struct clz_stream clz_stream;

// Returns 0, -EINVAL, -ENOMEM, -ENOTSUP (no such device here), -EBADMSG (the model's graph does not make two channels of one,
// of the picture's size), -EAGAIN (the system refuses a thread). params NULL: all zero. The stream holds its own reference to
// the model. Buffers are made at the first frame and again only when a frame's size, format or bars differ from the one before.
CLZ_API int clz_stream_open(clz_stream **stream, clz_model *model, const struct clz_stream_params *params);

// Stops after the network run that is in progress (on a CPU: one frame); frames not yet received are forgotten, their planes
// are not touched any more on return.
CLZ_API void clz_stream_close(clz_stream **stream);

// Stop after the network run that is in progress, from any thread: a receive that waits returns, and send and receive give
// -ECANCELED from then on, until clz_stream_flush(). Does not wait.
CLZ_API void clz_stream_cancel(clz_stream *stream);

// The sheet for the frames that are sent from now on, in place of the one that the stream has; NULL or "": none. It may come
// while frames are inside, from the thread that sends. The list of shots stays the stream's: a list that this sheet names is not
// read, and after a flush lines with `shot` do not apply. Points of the new sheet begin with the next frame. The sheets replaced
// stay in memory until the stream is closed.
//
// Returns 0, or an error, which leaves the stream with the sheet that it had: -EINVAL (as clz_stream_open() has it), -ENOMEM, or
// that of reading the file.
CLZ_API int clz_stream_set_sheet(clz_stream *stream, const char *path);

// Send a frame. in: the grey picture (its chroma is ignored). out: where the coloured one goes: same size; same format, or
// for gray input any format of the same depth that is not gray; yuv and yuvj count as the same format. Planes of both must
// stay valid until the frame is received, flushed or the stream is closed. out->data may equal in->data, with equal strides:
// then luma is not even copied. out's matrix and siting say what its chroma is made for; what is UNSPECIFIED in out is taken
// from in, and comes back filled in. Where in and out have the same range, the luma of YUV stays bit for bit; else it is
// converted and rounded. RGB comes out with the luma of the input within half a code. in's opaque comes back with the frame.
// controls NULL: CLZ_CONTROLS_DEFAULT.
//
// Returns 0, -EAGAIN (clz_stream_max_in_flight() frames are inside: receive first), -EINVAL (a size, format, tag, control or
// pointer that cannot be), -ECANCELED, or the error of an earlier batch. A change of size or format first finishes the frames
// before it.
CLZ_API int clz_stream_send(clz_stream *stream, const struct clz_frame *in, const struct clz_frame *out,
                            const struct clz_controls *controls);

// Receive the next coloured frame, in the order sent. *frame becomes the `out` that was sent, with in's opaque.
// wait 0: never blocks. wait 1: blocks while frames are being coloured, not while they wait for later ones.
//
// Returns 0, -EAGAIN (nothing ready; with wait 1: nothing runs, send more), -ENODATA (drained: all are out), -ECANCELED or
// -EINVAL (these four leave *frame alone), or another negative error: the frame of *frame was NOT coloured, its planes are
// undefined but for luma.
CLZ_API int clz_stream_receive(clz_stream *stream, struct clz_frame *frame, int wait);

// Start the incomplete batch now, without ending the stream (a live source's deadline has come). Frames inside do not wait for
// later ones either.
CLZ_API int clz_stream_submit(clz_stream *stream);

// No more frames: starts the incomplete batch; receive gives the rest and then -ENODATA. A later send begins anew.
CLZ_API int clz_stream_drain(clz_stream *stream);

// Forget all frames inside (a seek), the error of an earlier batch, and a cancellation. Waits for the network run that is in
// progress; afterwards no plane sent so far is touched. on_frame, if not NULL, is called for each forgotten frame, oldest
// first, so that the caller can free it.
CLZ_API void clz_stream_flush(clz_stream *stream, void (*on_frame)(void *priv, const struct clz_frame *frame), void *priv);

// A frame can come when this many have been sent from it on, itself included: a batch, and the frames after it that the stream
// looks at to colour it.
CLZ_API int clz_stream_lookahead(const clz_stream *stream);
CLZ_API int clz_stream_batch(const clz_stream *stream);           // frames to a batch
CLZ_API int clz_stream_max_in_flight(const clz_stream *stream);   // most frames inside at once
CLZ_API uint64_t clz_stream_saved_runs(const clz_stream *stream); // pictures so far that repeat one before, without a network run

// What was chosen: "cpu bf16 (AMX), 2 threads, 456x256, batch 4". Valid until the next call; "" before the first frame.
CLZ_API const char *clz_stream_describe(const clz_stream *stream);

#ifdef __cplusplus
}
#endif
#endif
