// answers.h - files that keep a network's answers, losslessly packed, so that a film can be coloured again without running the
// network. doc/answers.md describes the format.
//
// An answer is known by its key, a hash of all that it depends on besides the network: what the network sees of the frame, and
// the hints that were painted for it. So the frames of a file are found in any order, and those of another film, of other bars,
// another working size or other hints are not in it.
//
// One thread at a time uses a reader or writer; a reader and a writer may be used side by side.
#ifndef CLZI_ANSWERS_H
#define CLZI_ANSWERS_H
#include <stdbool.h>
#include <stdint.h>

#include "colorize.h"
#include "kernels/murmur.h"
#include "qc.h"

// What the hash of a network covers: its graph, its numbers, and the scales of its input and output.
struct clz_model;
int clzi_answers_network(struct clzk_murmur *hash, const struct clz_model *model);

struct clzi_answer {
    int h, w;
    float *ab;                              // [2,h,w], finite
    enum clz_precision precision;           // that it was computed with
    struct clzi_ambiguity ambiguity;        // mean negative: not known
    uint64_t frame;                         // its number in the film
    double time;                            // seconds; negative: unknown
};

// ---- reading ----

struct clzi_answers_reader;

// Opens a file. What comes after a damaged or incomplete record is left out, with a warning. Returns 0, -ENOMEM, -EINVAL (it is
// of another network, or no regular file), -EBADMSG (it is no file of answers) or the error of reading, with a message.
int clzi_answers_read(struct clzi_answers_reader **reader, const char *path, const struct clzk_murmur *network,
                      const struct clz_log *log);
// As clzi_answers_read(), from memory, which must outlive the reader (fuzzing, tests).
int clzi_answers_parse(struct clzi_answers_reader **reader, const void *data, size_t size, const char *name,
                       const struct clzk_murmur *network, const struct clz_log *log);
void clzi_answers_reader_destroy(struct clzi_answers_reader **reader);
uint64_t clzi_answers_count(const struct clzi_answers_reader *reader);         // of frames in the file

// Looks for the answer that was computed with answer->precision (AUTO: any), and fills the fields behind h and w; ab is room for
// it. Returns 1; 0: it is not there, or is damaged, which is warned of once; or -ENOMEM. Allocates where h or w are larger than
// before.
int clzi_answers_find(struct clzi_answers_reader *reader, const struct clzk_murmur *key, struct clzi_answer *answer);

// ---- writing ----

struct clzi_answers_writer;

// Begins a file, which has its old content until finish(). device: as text, for people. Returns 0, -ENOMEM, -EINVAL (the path is
// not that of a regular file), -EEXIST (what is there is no file of answers) or the error of creating it, with a message.
int clzi_answers_create(struct clzi_answers_writer **writer, const char *path, const struct clzk_murmur *network,
                        const char *device, const struct clz_log *log);

// Adds an answer, unless the one before had the same key. An error of writing is kept for finish(). Allocates where h or w are
// larger than before. Returns 0 or -ENOMEM.
int clzi_answers_add(struct clzi_answers_writer *writer, const struct clzk_murmur *key, const struct clzi_answer *answer);

// Completes the file and frees the writer. Without any answer the old content stays. Returns 0, or the error of writing, which is
// one warning.
int clzi_answers_finish(struct clzi_answers_writer **writer);
#endif
