/* The table of requests a worker holds, against a plain list. */
#include "worker/slots.h"

#include "base/philox.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define SLOTS 23
#define IDS 90

/* Fault: a removal that breaks the run of another id, a slot given out twice, one lost. */
static void random_ids(void **state)
{
    static const int32_t token = 1;
    struct request requests[IDS];
    struct slot *held[IDS] = {0};
    struct slot_table table;
    int count = 0;

    (void)state;
    for (int i = 0; i < IDS; i++) /* low, far apart and close together */
        requests[i] = (struct request){.id = i % 3 ? (uint64_t)i : (uint64_t)i << 40,
                                       .tokens = &token,
                                       .n_tokens = 1,
                                       .n_prompt = 1,
                                       .max_tokens = 1,
                                       .sampling = {.repetition_penalty = 1}};
    assert_int_equal(slot_table_create(&table, SLOTS), 0);
    for (uint64_t step = 0; step < 50000; step++) {
        const int i = (int)(philox_uniform(3, step, 0) * IDS);

        if (held[i]) {
            slot_close(&table, held[i]);
            held[i] = NULL;
            count--;
        } else {
            struct slot *slot = NULL;
            const int rc = slot_open(&table, &requests[i], 1, 10, step % 2, &slot);

            assert_int_equal(rc, count == SLOTS ? -ENOSPC : 0);
            if (rc == 0) {
                for (int j = 0; j < IDS; j++)
                    assert_ptr_not_equal(held[j], slot);
                slot->stage = STAGE_PROMPT;
                held[i] = slot;
                count++;
            }
        }
        assert_int_equal(slots_used(&table), count);
        const int other = (int)(philox_uniform(3, step, 1) * IDS);

        assert_ptr_equal(slot_find(&table, requests[other].id), held[other]);
    }
    for (int i = 0; i < IDS; i++) {
        assert_ptr_equal(slot_find(&table, requests[i].id), held[i]);
        if (held[i])
            slot_close(&table, held[i]);
    }
    slot_table_destroy(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_ids)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
