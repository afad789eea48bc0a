/* Which instruction set's kernels this machine runs. */
#ifndef TANDEM_WORKER_CPU_ISA_H
#define TANDEM_WORKER_CPU_ISA_H

#include "base/err.h"
#include "worker/cpu/kernels.h"

/* name: "auto" (the fastest that works here) or the name of one. -ENOTSUP, with the names that work
 * in err, for one that is unknown or does not. The kernels are tried out before they are believed
 * in; that takes over the handling of SIGILL for an instant, so call it before threads that handle
 * SIGILL start, one thread at a time. */
int cpu_isa_choose(const struct cpu_kernels **ret_kernels, const char *name, struct err *err);

/* The names that work here, in order of speed; returns how many there are, at most max. */
int cpu_isa_available(const struct cpu_kernels **ret_kernels, int max);

#define CPU_ISA_MAX 3

#endif
