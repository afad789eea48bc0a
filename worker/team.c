/*
 * The thread team.
 *
 * A lane's state between two claims is one word, {generation, tiles, next tile}: a thread claims by
 * adding 1 to it, and what the addition returns says which tile of which phase it got, so a thread
 * that comes late claims from the current phase or gets nothing. Claims past the end are harmless:
 * a thread looks before it adds, so at most one per thread overshoots. The thread that finishes the
 * last tile of a phase publishes the next one; between phases nobody waits for anybody else.
 *
 * Sleepers and publishers meet Dekker-style: a thread counts itself asleep, reads the epoch, looks
 * at the lanes once more and sleeps on the epoch; a publisher writes the lane's word, then looks at
 * the count, and moves the epoch when somebody sleeps. Both orders are sequentially consistent.
 */
#include "worker/team.h"

#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FIELD_BITS 20 /* tiles of a phase; overshooting claims stay below 2^20 */
#define FIELD_MASK ((UINT64_C(1) << FIELD_BITS) - 1)
#define TILES_MAX (1 << (FIELD_BITS - 1))
/* How long a thread looks for work before it sleeps. Longer costs the other threads of the machine
 * their cores when there are few; shorter pays a wake-up of 5 - 50 us between phases. */
#define SPIN_NS 8000
#define SPINS_PER_CLOCK 16
#define CACHE_LINE 64

enum lane_completion { LANE_RUNNING, LANE_COMPLETE, LANE_AWAITED };

struct lane {
    _Alignas(CACHE_LINE) _Atomic uint64_t word;
    _Alignas(CACHE_LINE) _Atomic int done; /* tiles of this phase */
    /* Written by whoever publishes a phase, read by those who claimed a tile of it. */
    _Alignas(CACHE_LINE) int tiles;
    int phase;
    uint64_t generation;
    const struct team_program *program;
    void *context;
    _Alignas(CACHE_LINE) _Atomic uint32_t completion; /* enum lane_completion; a futex */
};

struct team {
    struct lane lanes[TEAM_LANES_MAX];
    _Atomic int n_lanes;
    /* Lanes in the order they are served: decode from the front, prefill from the back. */
    struct lane *decode[TEAM_LANES_MAX], *prefill[TEAM_LANES_MAX];
    _Atomic int n_decode, n_prefill;
    _Alignas(CACHE_LINE) _Atomic uint32_t epoch; /* a futex */
    _Alignas(CACHE_LINE) _Atomic int sleepers;
    _Atomic bool stop;
    int n_threads;
    struct team_thread {
        struct team *team;
        int index;
        pthread_t id;
    } * threads;
};

static void team_futex_wait(_Atomic uint32_t *word, uint32_t expected)
{
    /* EINTR and EAGAIN both mean: look again. */
    (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}

static void team_futex_wake(_Atomic uint32_t *word, int count)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

static void team_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void team_wake(struct team *team, int tiles)
{
    if (atomic_load(&team->sleepers) == 0)
        return;
    atomic_fetch_add(&team->epoch, 1);
    team_futex_wake(&team->epoch, tiles);
}

/* Publishes the lane's next phase that has tiles, or the end of the program. */
static void lane_advance(struct team *team, struct lane *lane)
{
    int tiles = 0;

    while (tiles == 0 && ++lane->phase < lane->program->n_phases)
        tiles = lane->program->tiles(lane->context, lane->phase);
    assert(tiles >= 0 && tiles < TILES_MAX);
    if (tiles == 0) {
        if (atomic_exchange(&lane->completion, LANE_COMPLETE) == LANE_AWAITED)
            team_futex_wake(&lane->completion, 1);
        return;
    }
    lane->tiles = tiles;
    lane->generation++;
    atomic_store_explicit(&lane->done, 0, memory_order_relaxed);
    atomic_store(&lane->word, lane->generation << (2 * FIELD_BITS) | (uint64_t)tiles << FIELD_BITS);
    team_wake(team, tiles);
}

static bool word_has_tile(uint64_t word)
{
    return (word & FIELD_MASK) < (word >> FIELD_BITS & FIELD_MASK);
}

/* Runs one tile of the lane; false when it has none to give. */
static bool lane_serve(struct team *team, struct lane *lane, int thread)
{
    if (!word_has_tile(atomic_load(&lane->word)))
        return false;
    const uint64_t claimed = atomic_fetch_add(&lane->word, 1);
    if (!word_has_tile(claimed))
        return false;
    lane->program->tile(lane->context, lane->phase, (int)(claimed & FIELD_MASK), thread);
    const int tiles = lane->tiles;
    if (atomic_fetch_add_explicit(&lane->done, 1, memory_order_acq_rel) + 1 == tiles)
        lane_advance(team, lane);
    return true;
}

static bool team_serve(struct team *team, int thread)
{
    const int n_decode = atomic_load_explicit(&team->n_decode, memory_order_acquire);
    for (int i = 0; i < n_decode; i++)
        if (lane_serve(team, team->decode[i], thread))
            return true;
    const int n_prefill = atomic_load_explicit(&team->n_prefill, memory_order_acquire);
    for (int i = 0; i < n_prefill; i++)
        if (lane_serve(team, team->prefill[i], thread))
            return true;
    return false;
}

static bool team_has_tile(const struct team *team)
{
    const int n_lanes = atomic_load(&team->n_lanes);
    for (int i = 0; i < n_lanes; i++)
        if (word_has_tile(atomic_load(&team->lanes[i].word)))
            return true;
    return false;
}

static void team_sleep(struct team *team)
{
    atomic_fetch_add(&team->sleepers, 1);
    const uint32_t epoch = atomic_load(&team->epoch);
    if (!team_has_tile(team) && !atomic_load(&team->stop))
        team_futex_wait(&team->epoch, epoch);
    atomic_fetch_sub(&team->sleepers, 1);
}

static void *team_thread_main(void *argument)
{
    const struct team_thread *self = argument;
    struct team *team = self->team;

    while (!atomic_load_explicit(&team->stop, memory_order_acquire)) {
        if (team_serve(team, self->index))
            continue;
        const uint64_t start = clock_now_ns();
        bool found = false;
        do {
            for (int i = 0; i < SPINS_PER_CLOCK && !found; i++) {
                team_pause();
                found = team_has_tile(team);
            }
        } while (!found && clock_now_ns() - start < SPIN_NS);
        if (!found)
            team_sleep(team);
    }
    return NULL;
}

static void team_stop(struct team *team, int started)
{
    atomic_store(&team->stop, true);
    atomic_fetch_add(&team->epoch, 1);
    team_futex_wake(&team->epoch, TEAM_THREADS_MAX);
    for (int i = 0; i < started; i++)
        (void)pthread_join(team->threads[i].id, NULL); /* cannot fail for a thread we started */
}

int team_create(struct team **ret_team, int threads, struct err *err)
{
    struct team *team;
    int r;

    if (threads < 1 || threads > TEAM_THREADS_MAX)
        return err_set(err, EINVAL, "threads: %d is not within 1 .. %d", threads, TEAM_THREADS_MAX);
    team = aligned_alloc(CACHE_LINE, sizeof(*team));
    if (team == NULL)
        return err_set(err, ENOMEM, "no memory for the thread team");
    memset(team, 0, sizeof(*team));
    team->n_threads = threads;
    team->threads = calloc((size_t)threads, sizeof(*team->threads));
    if (team->threads == NULL) {
        r = err_set(err, ENOMEM, "no memory for %d threads", threads);
        goto free_team;
    }
    for (int i = 0; i < threads; i++) {
        team->threads[i] = (struct team_thread){.team = team, .index = i};
        r = pthread_create(&team->threads[i].id, NULL, team_thread_main, &team->threads[i]);
        if (r != 0) {
            team_stop(team, i);
            r = err_set(err, r, "cannot start compute thread %d: %s", i, strerror(r));
            goto free_threads;
        }
    }
    *ret_team = team;
    return 0;

free_threads:
    free(team->threads);
free_team:
    free(team);
    return r;
}

void team_destroy(struct team *team)
{
    if (team == NULL)
        return;
    team_stop(team, team->n_threads);
    free(team->threads);
    free(team);
}

int team_threads(const struct team *team)
{
    return team->n_threads;
}

int team_add_lane(struct team *team, enum team_priority priority)
{
    const int index = atomic_load(&team->n_lanes);

    if (index == TEAM_LANES_MAX)
        return -ENOSPC;
    struct lane *lane = &team->lanes[index];
    if (priority == TEAM_DECODE) {
        const int n = atomic_load(&team->n_decode);
        team->decode[n] = lane;
        atomic_store(&team->n_decode, n + 1);
    } else {
        const int n = atomic_load(&team->n_prefill);
        team->prefill[n] = lane;
        atomic_store(&team->n_prefill, n + 1);
    }
    atomic_store(&team->n_lanes, index + 1);
    return index;
}

void team_run(struct team *team, int index, const struct team_program *program, void *context)
{
    struct lane *lane = &team->lanes[index];
    uint32_t running = LANE_RUNNING;

    assert(index >= 0 && index < atomic_load(&team->n_lanes));
    lane->program = program;
    lane->context = context;
    lane->phase = -1;
    atomic_store(&lane->completion, LANE_RUNNING);
    lane_advance(team, lane);
    (void)atomic_compare_exchange_strong(&lane->completion, &running, LANE_AWAITED);
    while (atomic_load(&lane->completion) != LANE_COMPLETE)
        team_futex_wait(&lane->completion, LANE_AWAITED);
}
