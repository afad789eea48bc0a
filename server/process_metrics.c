/* Field numbers are those of proc(5). */
#include "server/process_metrics.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void write_sample(struct buf *out, const char *name, const char *type, const char *help,
                         double value)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %.15g\n", name, help, name, type, name, value);
}

/* Start time in ticks after boot, or -1. */
static double start_ticks(void)
{
    char text[1024];
    FILE *file = fopen("/proc/self/stat", "re");
    size_t size = file ? fread(text, 1, sizeof text - 1, file) : 0;
    unsigned long long ticks = 0;

    if (file)
        fclose(file);
    text[size] = '\0';
    const char *at = strrchr(text, ')'); /* the name before it may hold blanks */

    /* After the name come field 3 and on; field 22 is the start time. */
    if (!at || sscanf(at + 1,
                      " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
                      "%*s %llu",
                      &ticks) != 1)
        return -1;
    return (double)ticks;
}

static double boot_time(void)
{
    char line[256];
    FILE *file = fopen("/proc/stat", "re");
    unsigned long long seconds = 0;
    double boot = -1;

    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "btime %llu", &seconds) == 1)
            boot = (double)seconds;
    if (file)
        fclose(file);
    return boot;
}

static double open_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    double count = -3; /* ".", ".." and the directory's own */

    if (!directory)
        return -1;
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

void process_metrics_write(struct buf *out)
{
    struct rusage usage;
    struct rlimit limit;
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    double ticks = start_ticks(), boot = boot_time(), descriptors = open_descriptors();

    if (getrusage(RUSAGE_SELF, &usage) == 0)
        write_sample(out, "process_cpu_seconds_total", "counter", "User and system CPU time.",
                     (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6);
    if (file && fscanf(file, "%*s %llu", &pages) == 1)
        write_sample(out, "process_resident_memory_bytes", "gauge", "Resident memory.",
                     (double)pages * (double)sysconf(_SC_PAGESIZE));
    if (file)
        fclose(file);
    if (descriptors >= 0)
        write_sample(out, "process_open_fds", "gauge", "Open file descriptors.", descriptors);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        write_sample(out, "process_max_fds", "gauge", "Limit of open file descriptors.",
                     (double)limit.rlim_cur);
    if (ticks >= 0 && boot >= 0)
        write_sample(out, "process_start_time_seconds", "gauge", "Start of the process, Unix time.",
                     boot + ticks / (double)sysconf(_SC_CLK_TCK));
}
