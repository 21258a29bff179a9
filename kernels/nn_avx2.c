// nn_avx2.c - the kernels of nn.h, compiled for AVX2 and FMA.
#define ISA avx2
#include "nn_isa.h"
