/*
 * CPUID says what the processor has, not what the hypervisor and the kernel let a program use, so a
 * variant counts only after its own code has run once: a small product under a guard that turns an
 * illegal instruction into an answer, compared with the plain kernels' result.
 */
#include "worker/cpu/isa.h"

#include "base/buf.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>

#define PROBE_ROWS 3

static sigjmp_buf isa_probe_return;

static void isa_probe_caught(int signal_number)
{
    siglongjmp(isa_probe_return, signal_number);
}

/* A product that passes through quantisation and the 4-bit kernel. */
static void isa_probe_product(const struct cpu_kernels *kernels, float *out)
{
    _Alignas(64) unsigned char panel[PANEL_ROWS * QUANT_BLOCK / 2 + 2 * PANEL_ROWS];
    _Alignas(64) struct act_block block;
    float x[QUANT_BLOCK];

    for (size_t i = 0; i < sizeof(panel); i++)
        panel[i] = (unsigned char)(i * 37 + 11);
    for (size_t i = PANEL_ROWS * QUANT_BLOCK / 2; i < sizeof(panel); i += 2) {
        panel[i] = (unsigned char)i;
        panel[i + 1] = 0x3c; /* halves a little above 1 */
    }
    memset(&block, 0, sizeof(block));
    for (int row = 0; row < PROBE_ROWS; row++) {
        for (int i = 0; i < QUANT_BLOCK; i++)
            x[i] = (float)((i * 7 + row * 5) % 23) - 11.0f;
        kernels->quantise(x, QUANT_BLOCK, &block, row);
    }
    const struct gemm_tile tile = {
        .panels = panel,
        .panel_bytes = sizeof(panel),
        .n_panels = 1,
        .n_blocks = 1,
        .acts = &block,
        .n_rows = PROBE_ROWS,
        .out = out,
        .out_stride = PANEL_ROWS,
    };
    kernels->gemm[WEIGHT_U4_ZERO8](&tile);
}

static bool isa_probe(const struct cpu_kernels *kernels)
{
    float expected[PROBE_ROWS * PANEL_ROWS], got[PROBE_ROWS * PANEL_ROWS];
    struct sigaction guard, before;
    bool ran = false;

    memset(&guard, 0, sizeof(guard));
    guard.sa_handler = isa_probe_caught;
    sigemptyset(&guard.sa_mask);
    memset(got, 0, sizeof(got));
    isa_probe_product(&cpu_kernels_plain, expected);
    if (sigaction(SIGILL, &guard, &before) != 0)
        return false;
    if (sigsetjmp(isa_probe_return, 1) == 0) {
        isa_probe_product(kernels, got);
        ran = memcmp(expected, got, sizeof(got)) == 0;
    }
    (void)sigaction(SIGILL, &before, NULL); /* cannot fail with a value it gave us */
    return ran;
}

#if defined(__x86_64__)
static bool isa_has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool isa_has_avx512vnni(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vnni");
}
#endif

int cpu_isa_available(const struct cpu_kernels **ret_kernels, int max)
{
    int n = 0;

#if defined(__x86_64__)
    if (n < max && isa_has_avx512vnni() && isa_probe(&cpu_kernels_avx512vnni))
        ret_kernels[n++] = &cpu_kernels_avx512vnni;
    if (n < max && isa_has_avx2() && isa_probe(&cpu_kernels_avx2))
        ret_kernels[n++] = &cpu_kernels_avx2;
#endif
    if (n < max)
        ret_kernels[n++] = &cpu_kernels_plain;
    return n;
}

int cpu_isa_choose(const struct cpu_kernels **ret_kernels, const char *name, struct err *err)
{
    const struct cpu_kernels *available[CPU_ISA_MAX];
    const int n = cpu_isa_available(available, CPU_ISA_MAX);
    struct buf names;
    int r;

    for (int i = 0; i < n; i++) {
        if (strcmp(name, "auto") == 0 || strcmp(name, available[i]->name) == 0) {
            *ret_kernels = available[i];
            return 0;
        }
    }
    buf_init(&names, 256);
    for (int i = 0; i < n; i++)
        (void)buf_printf(&names, ", %s", available[i]->name); /* a cut list is still a help */
    r = err_set(err, ENOTSUP, "isa: \"%s\" does not run on this machine; what does: auto%s", name,
                names.bytes != NULL ? names.bytes : "");
    buf_free(&names);
    return r;
}
