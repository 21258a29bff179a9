// no_cuda_memory.c - see cuda_memory.h.
// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cuda_memory.h"

const struct cuda_memory gst_colorize_cuda = { 0 };
