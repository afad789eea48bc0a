/* worker/team.h: every tile once, phases in order, decode first, lanes side by side. */
#include "worker/team.h"

#include "base/philox.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define PHASES 40
#define TILES_MAX 50

/* A program of random phases that keeps account of itself. */
struct account {
    uint64_t seed;
    int threads;
    _Atomic int runs[PHASES][TILES_MAX];
    int tiles[PHASES];
    _Atomic int finished; /* tiles of the phases so far */
    int expected;         /* of them when the phase opened */
    _Atomic int faults;
};

static int account_tiles(void *context, int phase)
{
    struct account *account = context;

    /* The phase before is complete. Plain memory: the thread sanitizer watches the hand-over. */
    if (atomic_load(&account->finished) != account->expected)
        atomic_fetch_add(&account->faults, 1);
    account->tiles[phase] = (int)(philox_uniform(account->seed, (uint64_t)phase, 0) * TILES_MAX);
    if (phase % 7 == 3)
        account->tiles[phase] = 0;
    account->expected += account->tiles[phase];
    return account->tiles[phase];
}

static void account_tile(void *context, int phase, int tile, int thread)
{
    struct account *account = context;

    if (tile >= account->tiles[phase] || thread < 0 || thread >= account->threads)
        atomic_fetch_add(&account->faults, 1);
    atomic_fetch_add(&account->runs[phase][tile], 1);
    atomic_fetch_add(&account->finished, 1);
}

static const struct team_program account_program = {PHASES, account_tiles, account_tile};

static void check_account(const struct account *account)
{
    assert_int_equal(atomic_load(&account->faults), 0);
    for (int phase = 0; phase < PHASES; phase++)
        for (int tile = 0; tile < TILES_MAX; tile++)
            assert_int_equal(atomic_load(&account->runs[phase][tile]),
                             tile < account->tiles[phase]);
}

/* Catches a tile run twice or never, a phase begun before the one before was done, an empty phase
 * that hangs. */
static void test_every_tile_once(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 4; threads++) {
        struct team *team;
        static struct account account;
        assert_int_equal(team_create(&team, threads, NULL), 0);
        const int lane = team_add_lane(team, TEAM_PREFILL);
        for (uint64_t seed = 0; seed < 50; seed++) {
            memset(&account, 0, sizeof(account));
            account.seed = seed;
            account.threads = threads;
            team_run(team, lane, &account_program, &account);
            check_account(&account);
        }
        team_destroy(team);
    }
}

struct caller {
    struct team *team;
    int lane, threads;
    uint64_t seed;
    struct account account;
};

static void *caller_main(void *argument)
{
    struct caller *caller = argument;

    for (int i = 0; i < 100; i++) {
        memset(&caller->account, 0, sizeof(caller->account));
        caller->account.seed = caller->seed + (uint64_t)i;
        caller->account.threads = caller->threads;
        team_run(caller->team, caller->lane, &account_program, &caller->account);
        if (atomic_load(&caller->account.finished) != caller->account.expected)
            atomic_fetch_add(&caller->account.faults, 1);
    }
    return NULL;
}

/* Catches a thread that takes a tile of one lane for another's, and wake-ups lost between callers
 * that start and end programs at the same time. */
static void test_lanes_side_by_side(void **state)
{
    enum { CALLERS = 4 };
    static struct caller callers[CALLERS];
    pthread_t threads[CALLERS];
    struct team *team;

    (void)state;
    assert_int_equal(team_create(&team, 3, NULL), 0);
    for (int i = 0; i < CALLERS; i++) {
        callers[i].team = team;
        callers[i].threads = 3;
        callers[i].seed = (uint64_t)i * 1000;
        callers[i].lane = team_add_lane(team, i % 2 ? TEAM_DECODE : TEAM_PREFILL);
        assert_int_equal(pthread_create(&threads[i], NULL, caller_main, &callers[i]), 0);
    }
    for (int i = 0; i < CALLERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        check_account(&callers[i].account);
    }
    team_destroy(team);
}

/* One thread. The prefill program goes on, a tile at a time, until the decode program that its
 * first tile started is over; were prefill served first, that would be never. */
#define CONTEST_PHASES 10000000

struct contest {
    struct team *team;
    int decode_lane;
    pthread_t decode_thread;
    bool started;
    int decoded;              /* tiles */
    int prefilled_in_between; /* tiles after the first decoded one and before the last */
};

static int contest_decode_tiles(void *context, int phase)
{
    (void)context, (void)phase;
    return 2;
}

static void contest_decode_tile(void *context, int phase, int tile, int thread)
{
    struct contest *contest = context;

    (void)phase, (void)tile, (void)thread;
    contest->decoded++;
}

static void *contest_decode_main(void *argument)
{
    static const struct team_program program = {2, contest_decode_tiles, contest_decode_tile};
    struct contest *contest = argument;

    team_run(contest->team, contest->decode_lane, &program, contest);
    return NULL;
}

static int contest_prefill_tiles(void *context, int phase)
{
    const struct contest *contest = context;

    (void)phase;
    return contest->decoded == 4 ? 0 : 1;
}

static void contest_prefill_tile(void *context, int phase, int tile, int thread)
{
    struct contest *contest = context;

    (void)tile, (void)thread;
    contest->prefilled_in_between += contest->decoded > 0 && contest->decoded < 4;
    if (phase == 0)
        contest->started =
            pthread_create(&contest->decode_thread, NULL, contest_decode_main, contest) == 0;
}

/* Catches prefill tiles served while a decode tile waits. */
static void test_decode_goes_first(void **state)
{
    static const struct team_program program = {CONTEST_PHASES, contest_prefill_tiles,
                                                contest_prefill_tile};
    struct contest contest = {0};

    (void)state;
    assert_int_equal(team_create(&contest.team, 1, NULL), 0);
    const int prefill_lane = team_add_lane(contest.team, TEAM_PREFILL);
    contest.decode_lane = team_add_lane(contest.team, TEAM_DECODE);
    team_run(contest.team, prefill_lane, &program, &contest);
    assert_int_equal(contest.decoded, 4);
    assert_int_equal(contest.prefilled_in_between, 0);
    assert_true(contest.started);
    assert_int_equal(pthread_join(contest.decode_thread, NULL), 0);
    team_destroy(contest.team);
}

/* Catches limits that are not kept. */
static void test_team_limits(void **state)
{
    struct err err;
    struct team *team = NULL;

    (void)state;
    assert_true(team_create(&team, 0, &err) < 0);
    assert_non_null(strstr(err.text, "threads"));
    assert_null(team);
    assert_int_equal(team_create(&team, 1, &err), 0);
    for (int i = 0; i < TEAM_LANES_MAX; i++)
        assert_int_equal(team_add_lane(team, TEAM_DECODE), i);
    assert_true(team_add_lane(team, TEAM_PREFILL) < 0);
    team_destroy(team);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_tile_once),
        cmocka_unit_test(test_lanes_side_by_side),
        cmocka_unit_test(test_decode_goes_first),
        cmocka_unit_test(test_team_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
