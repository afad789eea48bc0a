#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048

static enum log_level threshold = LOG_INFO;

void log_set_level(enum log_level level)
{
    threshold = level;
}

void log_write(enum log_level level, const char *format, ...)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    char line[LINE_MAX_BYTES];
    struct timespec now;
    struct tm local;
    va_list args;

    if (level < threshold)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &local);
    size_t used = strftime(line, sizeof line, "%Y-%m-%d %H:%M:%S", &local);

    used += (size_t)snprintf(line + used, sizeof line - used, ".%03ld %-5s ", now.tv_nsec / 1000000,
                             names[level]);
    va_start(args, format);
    int wrote = vsnprintf(line + used, sizeof line - used - 1, format, args);

    va_end(args);
    if (wrote > 0)
        used += (size_t)wrote < sizeof line - used - 1 ? (size_t)wrote : sizeof line - used - 2;
    line[used++] = '\n';
    /* One write per line keeps lines whole; a closed standard error is nobody's to report. */
    ssize_t ignored = write(STDERR_FILENO, line, used);

    (void)ignored;
}
