/* AVX2, FMA and F16C. The only file of its library, compiled with its own flags. */
#include "worker/cpu/lanes_avx2.h"

#include "worker/cpu/attention_body.h"
#include "worker/cpu/gemm_body.h"
#include "worker/cpu/kernels.h"
#include "worker/cpu/rows_body.h"

const struct cpu_kernels cpu_kernels_avx2 = {
    .name = "avx2",
    .gemm = GEMM_TABLE,
    .attention = attention_tile_run,
    .quantise = rows_quantise,
    .rms_norm = rows_rms_norm,
    .swiglu = rows_swiglu,
    .add = rows_add,
    .rope = rows_rope,
    .to_half = rows_to_half,
};
