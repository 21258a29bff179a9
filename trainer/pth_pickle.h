// pth_pickle.h - the pickles of PyTorch checkpoints, read by a closed interpreter.
//
// A pickle is a program for a stack machine that can call any Python function. This interpreter calls nothing. It knows the
// opcodes that build plain values, and a short list of global names that describe tensors and storages; REDUCE of one of these
// makes a node. Everything else is an error that states the opcode or the name and its offset.
#ifndef CLZT_PTH_PICKLE_H
#define CLZT_PTH_PICKLE_H
#include "tensors.h"

enum clzt_node_kind {
    CLZT_NODE_NONE, CLZT_NODE_BOOL, CLZT_NODE_INT, CLZT_NODE_FLOAT, CLZT_NODE_STRING, CLZT_NODE_TUPLE, CLZT_NODE_LIST,
    CLZT_NODE_DICT, CLZT_NODE_GLOBAL, CLZT_NODE_STORAGE, CLZT_NODE_TENSOR, CLZT_NODE_KINDS
};

struct clzt_node {
    enum clzt_node_kind kind;
    union {
        int64_t integer;                    // INT, BOOL
        struct { const char *text; size_t size; } string;          // points into the pickle; not NUL-terminated
        struct { int *nodes, count, room; } items;                  // TUPLE, LIST; DICT: key, value, key, value, ...
        struct { int role; const struct clzt_number *number; } global;      // number: for a storage type
        struct { int key; const struct clzt_number *number; int64_t count, begin, length; } storage;
                                            // key: a STRING; count: elements of the storage; begin, length: the view
        struct { int storage, sizes, strides; int64_t offset; } tensor;                         // nodes: STORAGE, TUPLE, TUPLE
    };
};

struct clzt_pickle {
    struct clzt_node *nodes;
    int count, room;
    int root;
    size_t end;                             // length of the pickle
};

// Reads one pickle from text; base: its offset in the file, for messages. 0, -EBADMSG and one message, or -ENOMEM. Nodes point
// into text. A container may contain itself: bound every traversal.
int clzt_pickle_read(struct clzt_pickle *pickle, const uint8_t *text, size_t size, uint64_t base, const char *name,
                     const struct clz_log *log);
void clzt_pickle_free(struct clzt_pickle *pickle);

bool clzt_node_is(const struct clzt_pickle *pickle, int node, const char *text);    // a STRING with this text
const struct clzt_node *clzt_node_get(const struct clzt_pickle *pickle, int dict, const char *key);     // NULL: no such key
const char *clzt_node_kind_name(const struct clzt_node *node);
#endif
