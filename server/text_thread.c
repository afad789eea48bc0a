/*
 * Each box has room for every work there can be, so posting never fails. A null pointer is the last
 * message the thread gets; what stands before it in the box is then passed through undone.
 */
#include "server/text_thread.h"

#include "base/mailbox.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct text_thread {
    struct mailbox *given, *done; /* of struct text_work * */
    pthread_t id;
    int n_works; /* given and not taken back */
    _Atomic bool stop;
};

static void *text_thread_main(void *context)
{
    struct text_thread *thread = context;
    struct text_work *work;

    for (;;) {
        if (!mailbox_take(thread->given, &work)) {
            (void)mailbox_wait(thread->given, UINT64_MAX);
            continue;
        }
        if (!work)
            return NULL;
        if (!atomic_load(&thread->stop))
            text_work_run(work);
        int rc = mailbox_post(thread->done, &work);

        assert(rc == 0);
        (void)rc;
    }
}

int text_thread_start(struct text_thread **ret_thread, struct err *err)
{
    struct text_thread *thread = calloc(1, sizeof *thread);
    int rc = -ENOMEM;

    if (!thread)
        return err_set(err, ENOMEM, "out of memory");
    rc = mailbox_create(&thread->given, TEXT_THREAD_WORKS_MAX + 1, sizeof(struct text_work *));
    if (rc < 0)
        goto free_thread;
    rc = mailbox_create(&thread->done, TEXT_THREAD_WORKS_MAX, sizeof(struct text_work *));
    if (rc < 0)
        goto destroy_given;
    rc = -pthread_create(&thread->id, NULL, text_thread_main, thread);
    if (rc < 0)
        goto destroy_done;
    pthread_setname_np(thread->id, "text");
    *ret_thread = thread;
    return 0;
destroy_done:
    mailbox_destroy(thread->done);
destroy_given:
    mailbox_destroy(thread->given);
free_thread:
    free(thread);
    return err_set(err, -rc, "the text thread could not start: %s", strerror(-rc));
}

void text_thread_stop(struct text_thread *thread)
{
    struct text_work *work = NULL;

    if (!thread)
        return;
    atomic_store(&thread->stop, true);
    (void)mailbox_post(thread->given, &work); /* there is room: see the head of the file */
    (void)pthread_join(thread->id, NULL);
    while ((work = text_thread_take(thread)))
        text_work_destroy(work);
    mailbox_destroy(thread->done);
    mailbox_destroy(thread->given);
    free(thread);
}

int text_thread_give(struct text_thread *thread, struct text_work *work)
{
    if (thread->n_works == TEXT_THREAD_WORKS_MAX)
        return -EAGAIN;
    thread->n_works++;
    return mailbox_post(thread->given, &work);
}

struct text_work *text_thread_take(struct text_thread *thread)
{
    struct text_work *work;

    if (!mailbox_take(thread->done, &work))
        return NULL;
    thread->n_works--;
    return work;
}

int text_thread_fd(const struct text_thread *thread)
{
    return mailbox_fd(thread->done);
}

bool text_thread_arm(struct text_thread *thread)
{
    return mailbox_arm(thread->done);
}
