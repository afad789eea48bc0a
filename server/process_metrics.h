/* The process_* metrics every Prometheus client library exports. */
#ifndef TANDEM_SERVER_PROCESS_METRICS_H
#define TANDEM_SERVER_PROCESS_METRICS_H

#include "base/buf.h"

/* Reads /proc/self; what cannot be read is left out. */
void process_metrics_write(struct buf *out);

#endif
