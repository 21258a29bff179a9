// planner.h - a device that has no memory: it counts what is asked of it. Networks, optimiser and training steps that are created
// on it, by the functions that create them for a training, tell how much memory the training takes.
//
// The CPU is planned by its own ops, scratch included; where that has to be exact, nothing is left out but the copies of weights
// that oneDNN keeps. A GPU need not be there: what ops keep for the backward pass follows the rules of engine/cuda. cuDNN's
// workspace, which depends on the card, and the memory of the driver are not counted.
#ifndef CLZT_PLANNER_H
#define CLZT_PLANNER_H
#include "engine/backend.h"

struct clzt_planner;

// gpu: precision is one of the three; else the CPU, at what AUTO chooses. -errno of the CPU device, logged.
int clzt_planner_create(struct clzt_planner **planner, bool gpu, enum clz_precision precision, int threads,
                        const struct clz_log *log);
void clzt_planner_destroy(struct clzt_planner **planner);
struct clzi_device *clzt_planner_device(struct clzt_planner *planner);
int64_t clzt_planner_bytes(const struct clzt_planner *planner);        // asked for so far

// Multiply-adds of a node for outputs and inputs of these shapes; of convolutions, linear ops and attention, 0 of others.
int64_t clzt_macs(const struct clzi_graph *graph, int node, const struct clzi_shape *shapes);
#endif
