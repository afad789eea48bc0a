/* Plain C: runs everywhere and is what the others are compared with.. */
#include "worker/cpu/lanes_plain.h"

#include "worker/cpu/attention_body.h"
#include "worker/cpu/gemm_body.h"
#include "worker/cpu/kernels.h"
#include "worker/cpu/rows_body.h"

const struct cpu_kernels cpu_kernels_plain = {
    .name = "plain",
    .gemm = GEMM_TABLE,
    .attention = attention_tile_run,
    .quantise = rows_quantise,
    .rms_norm = rows_rms_norm,
    .swiglu = rows_swiglu,
    .add = rows_add,
    .rope = rows_rope,
    .to_half = rows_to_half,
};
