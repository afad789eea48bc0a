/* The body is let go as soon as it was read: what waits for its tokens' turn holds tokens only. */
#include "server/text_work.h"

#include "server/answer.h"
#include "server/route.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct text_work *text_work_create(struct exchange *exchange)
{
    struct text_work *work = calloc(1, sizeof *work);

    if (!work)
        return NULL;
    work->service = exchange->service;
    work->route = exchange->route;
    work->exchange = exchange;
    work->arrived_ns = exchange->arrived_ns;
    memcpy(work->id, exchange->id, sizeof work->id);
    work->body = exchange->body;
    work->body_bytes = exchange->body.size;
    exchange->body = (struct buf){.limit = exchange->body.limit};
    buf_init(&work->reply, ANSWER_BODY_MAX);
    return work;
}

void text_work_destroy(struct text_work *work)
{
    work->service->body_bytes -= work->body_bytes;
    if (work->answer)
        answer_destroy(work->answer);
    buf_free(&work->body);
    buf_free(&work->reply);
    free(work);
}

void text_work_run(struct text_work *work)
{
    work->rc = atomic_load(&work->given_up) ? -ECANCELED : work->route->work(work);
    buf_free(&work->body);
}

const char *text_work_body(const struct text_work *work)
{
    return work->body.bytes ? work->body.bytes : "";
}
