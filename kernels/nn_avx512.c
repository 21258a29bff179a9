// nn_avx512.c - the kernels of nn.h, compiled for AVX-512 F, BW, VL, DQ.
#define ISA avx512
#include "nn_isa.h"
