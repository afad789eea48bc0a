/* The one clock of the process: monotonic nanoseconds. Any thread. */
#ifndef TANDEM_BASE_CLOCK_H
#define TANDEM_BASE_CLOCK_H

#include <stdint.h>

uint64_t clock_now_ns(void);

#endif
