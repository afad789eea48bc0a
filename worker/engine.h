/*
 * The CPU engine: a ragged batch of tokens in, logits of the asked rows out, over paged KV.
 *
 * An engine holds the repacked weights (immutable, shared by all workers); a context holds one
 * worker's scratch memory, all of it allocated at creation: a step allocates nothing. The bits of a
 * row never depend on the other rows, on chunk borders or on the number of threads.
 */
#ifndef TANDEM_WORKER_ENGINE_H
#define TANDEM_WORKER_ENGINE_H

#include "base/err.h"
#include "kvcache/layout.h"
#include "kvcache/pool.h"
#include "model/model.h"
#include "worker/team.h"

#include <stddef.h>
#include <stdint.h>

struct engine;

/* isa: "auto", or one of engine_isa_names ("plain", "avx2", "avx512vnni") - -ENOTSUP with the list
 * in err when this machine lacks it. The model must outlive the engine. team: repacks in parallel.
 * max_positions: the longest sequence (rotary tables). */
int engine_open(struct engine **ret_engine, const struct model *model, const char *isa,
                struct team *team, int max_positions, struct err *err);
void engine_close(struct engine *engine);
const char *engine_isa(const struct engine *engine);
struct kv_layout engine_kv_layout(const struct engine *engine);
/* Bytes of repacked weights. */
size_t engine_weight_bytes(const struct engine *engine);

/* A stretch of consecutive tokens of one sequence. */
struct batch_run {
    const int32_t *tokens; /* count ids, each within the vocabulary */
    int start;             /* position of tokens[0]: the tokens before it are in the pages */
    int count;             /* 1 for a decode, a chunk for a prefill */
    const int32_t *pages;  /* table covering start + count tokens */
    int n_logits;          /* logits are wanted for this many of the last tokens: 0 .. count */
};

struct engine_context;

/* lane: of this worker in the team. max_rows: tokens per step; max_runs: runs per step; max_logits:
 * rows of logits per step. */
int engine_context_create(struct engine_context **ret_context, const struct engine *engine,
                          struct team *team, int lane, const struct kv_arena *arena, int max_rows,
                          int max_runs, int max_logits, struct err *err);
void engine_context_destroy(struct engine_context *context);

/* Computes the batch, writes K and V of its tokens into the pages and returns the logits: f32
 * [sum of n_logits][engine_logits_stride], in the order of the runs, valid until the next step.
 * Blocks until done; runs of one batch belong to different sequences. */
float *engine_step(struct engine_context *context, const struct batch_run *runs, int n_runs);
size_t engine_logits_stride(const struct engine *engine); /* floats; >= vocabulary */

#endif
