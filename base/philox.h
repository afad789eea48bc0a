/*
 * Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11): random bits
 * as a pure function of (key, counter), so a draw depends on who asks and never on who asked
 * before.
 */
#ifndef TANDEM_BASE_PHILOX_H
#define TANDEM_BASE_PHILOX_H

#include <stdint.h>

void philox4x32(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4]);

/* Uniform in [0, 1) with 53 random bits, keyed by (seed, position); `stream` parts several draws
 * for one position. */
double philox_uniform(uint64_t seed, uint64_t position, uint32_t stream);

#endif
