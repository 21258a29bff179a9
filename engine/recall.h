// recall.h - in a pipeline, the answers of frames come from a file where it has them, and go to another one.
//
// Where the network ends with an enlargement, as most do, the answer is what goes into it, a quarter of the numbers; the
// enlargement is then computed again, by the device's own op, so that the result has the same bits.
#ifndef CLZI_RECALL_H
#define CLZI_RECALL_H
#include "answers.h"
#include "exec.h"

struct clzi_answers {                       // of a stream, used on its worker thread
    struct clzi_answers_reader *in;         // NULL: none
    struct clzi_answers_writer *out;        // NULL: none
    enum clz_precision precision;           // of the answers that are taken; AUTO: any
    uint64_t from_file, from_network;       // number of frames
};

// Makes the answer an output of a network for inference, whose output `colour` is ab. Returns its port, which may be `colour`
// itself, or an error.
int clzi_recall_port(struct clzi_graph *graph, int colour);

struct clzi_recall_params {
    struct clzi_device *dev;
    const struct clzi_graph *graph;         // the network, prepared by clzi_recall_port(); borrowed
    struct clzi_exec *exec;                 // of the graph; borrowed
    int colour, answer;                     // ports of the graph
    int n, h, w;                            // frames of a run, size of the network's picture
    struct clzi_answers *answers;           // borrowed
};

struct clzi_recall;
int clzi_recall_create(struct clzi_recall **recall, const struct clzi_recall_params *params);
void clzi_recall_destroy(struct clzi_recall **recall);

struct clzi_recall_frame {
    const struct clz_frame *seen;           // what the network sees of it; tags are resolved
    enum clzk_part part;                    // a field, of which `seen` is a view
    const float *l;                         // frames that do not lie in host memory: [h,w], the network's input; else NULL
    const float *hints;                     // [3,h,w], painted for it; NULL: none
    const float *classes;                   // what it was told of the frame (classes.h), class_count numbers; NULL: nothing
    int class_count;
    uint64_t number;                        // in the film
    double time;                            // seconds; negative: unknown
};

// Looks for the answer of image i of the next run. Returns 1, 0: the file does not have it, or an error.
int clzi_recall_find(struct clzi_recall *recall, int i, const struct clzi_recall_frame *frame);
// Of an image that was found: what qc has to know. *known: whether it was found.
struct clzi_ambiguity clzi_recall_ambiguity(const struct clzi_recall *recall, int i, bool *known);

// To call after the network has run; where all of the `count` images were found it need not. ambiguity: of the images that were
// not found, mean negative where it is not known. *ab: the answers, a tensor [n,2,h,w], valid until the next run.
int clzi_recall_finish(struct clzi_recall *recall, int count, const struct clzi_ambiguity *ambiguity, char **ab);
#endif
