/*
 * A persistent team of compute threads shared by the workers of a process.
 *
 * Work comes as a program: a list of phases, each a number of independent tiles; a phase begins
 * when every tile of the one before is done. Each worker has a lane. At every tile the threads
 * serve the lane of highest priority that has a tile to give (decode before prefill), so prefill
 * uses exactly what decode leaves, and neither waits for a slice of the operating system's
 * scheduler. Threads look for work a few microseconds, then sleep: an idle team uses no CPU.
 *
 * The result of a program may not depend on which thread runs a tile, nor on how many there are.
 */
#ifndef TANDEM_WORKER_TEAM_H
#define TANDEM_WORKER_TEAM_H

#include "base/err.h"

struct team;

enum team_priority { TEAM_DECODE, TEAM_PREFILL }; /* first is served first */

struct team_program {
    int n_phases;
    /* Tiles of a phase; called by one thread, after the phase before is complete. 0 skips it. */
    int (*tiles)(void *context, int phase);
    /* thread: 0 .. threads-1, for per-thread scratch. */
    void (*tile)(void *context, int phase, int tile, int thread);
};

int team_create(struct team **ret_team, int threads, struct err *err);
/* No program may be running. */
void team_destroy(struct team *team);
int team_threads(const struct team *team);

#define TEAM_LANES_MAX 64
#define TEAM_THREADS_MAX 256
/* Returns the lane's index or -ENOSPC. Any time, one thread at a time. */
int team_add_lane(struct team *team, enum team_priority priority);

/* Runs the program on the team and sleeps until it is complete. One caller per lane at a time;
 * different lanes at once. */
void team_run(struct team *team, int lane, const struct team_program *program, void *context);

#endif
