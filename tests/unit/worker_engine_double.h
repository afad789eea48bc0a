/*
 * A stand-in for the engine in tests of the worker loop: instead of a model, a chain of hashes.
 *
 * The "keys and values" of a token are a hash of the token, its position and what the page before
 * it holds; the logits of a row come from everything the sequence's pages hold up to it. So a page
 * mixed up, lost, freed early or filled twice changes the text. It defines the functions of
 * worker/engine.h, so that a program linked with it takes none from the real engine.
 */
#ifndef TANDEM_TESTS_UNIT_WORKER_ENGINE_DOUBLE_H
#define TANDEM_TESTS_UNIT_WORKER_ENGINE_DOUBLE_H

#include "proto/request.h"
#include "worker/engine.h"

#include <stdatomic.h>

#define DOUBLE_VOCAB 96

/* One for all contexts: the double has no weights. */
extern const struct engine *const engine_double;

/* A step on this lane (the workers' in the order they are created) takes 60 ms: to hold one up. */
#define DOUBLE_SLOW_NS 60000000u
extern _Atomic int engine_double_slow_lane; /* -1: none */

/* The text of the request computed without workers, pages or batches. Returns how many tokens;
 * ret: room for max_tokens. */
int engine_double_text(const struct request *request, int32_t *ret);

#endif
