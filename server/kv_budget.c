/*
 * Without kv_memory: half of what is free, and no more than the workers could ever use. Pages are
 * committed when first written, so a generous number costs nothing until it is needed.
 */
#include "server/kv_budget.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>

/* The number in a file that holds one, or UINT64_MAX ("max", or no such file). */
static uint64_t read_number(const char *path)
{
    unsigned long long number;
    FILE *file = fopen(path, "re");
    int n = file ? fscanf(file, "%llu", &number) : 0;

    if (file)
        fclose(file);
    return n == 1 ? number : UINT64_MAX;
}

/* Bytes that can be taken without swapping: the kernel's estimate, within the control group. */
static uint64_t free_memory(void)
{
    uint64_t limit = read_number("/sys/fs/cgroup/memory.max"),
             used = read_number("/sys/fs/cgroup/memory.current"), available = UINT64_MAX;
    unsigned long long kib;
    char line[128];
    FILE *file = fopen("/proc/meminfo", "re");

    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
            available = (uint64_t)kib * 1024;
    if (file)
        fclose(file);
    if (limit != UINT64_MAX && used != UINT64_MAX) {
        uint64_t left = limit > used ? limit - used : 0;

        available = left < available ? left : available;
    }
    return available == UINT64_MAX ? 0 : available;
}

static double total_shares(const struct config *config)
{
    double sum = 0;

    for (size_t i = 0; i < config->n_workers; i++)
        sum += config->workers[i].count * config->workers[i].kv_share;
    return sum;
}

int kv_budget_share(const struct config *config, size_t page_bytes, int page_tokens,
                    int max_model_len, int *ret_pages, struct err *err)
{
    const int per_sequence = (max_model_len + page_tokens - 1) / page_tokens;
    const double most = (double)per_sequence * (double)config->max_num_seqs;
    const uint64_t bytes = config->kv_memory ? (uint64_t)config->kv_memory : free_memory() / 2;
    const double pages = (double)bytes / (double)page_bytes, sum = total_shares(config);

    for (size_t i = 0; i < config->n_workers; i++) {
        double share = config->workers[i].kv_share / sum, own = pages * share;

        if (!config->kv_memory && own > most)
            own = most;
        if (own > INT_MAX / CONFIG_WORKERS_MAX)
            own = INT_MAX / CONFIG_WORKERS_MAX;
        if (own < per_sequence)
            return err_set(err, EINVAL,
                           "engine.kv_memory: worker '%.64s' gets %d pages of %zu bytes, but one "
                           "sequence of model.max_model_len (%d tokens) needs %d; raise "
                           "engine.kv_memory to %.0f MiB or lower model.max_model_len",
                           config->workers[i].name, (int)own, page_bytes, max_model_len,
                           per_sequence,
                           (double)per_sequence / share * (double)page_bytes / (1 << 20) + 1);
        ret_pages[i] = (int)own;
    }
    return 0;
}
