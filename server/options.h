/* The command line: flags over the config file, and --help, both from the table of options. */
#ifndef TANDEM_SERVER_OPTIONS_H
#define TANDEM_SERVER_OPTIONS_H

#include "server/config.h"

#include "base/buf.h"

#include <stdbool.h>

/* Reads `-c FILE` / `--config FILE` first, then every other flag of argv[0 .. argc) over it.
 * "--flag value" and "--flag=value" both work. -EINVAL names the argument and, for an unknown
 * flag, the closest known one. Sets *ret_help and stops when -h or --help is there. */
int options_parse(struct config *config, int argc, const char *const *argv, bool *ret_help,
                  struct err *err);

/* The text of `tandem serve --help`. */
void options_help(struct buf *out);

#endif
