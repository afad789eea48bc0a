/*
 * A ring of cells, each with a sequence number (D. Vyukov's bounded queue): a poster claims a cell
 * by a compare-and-swap on `tail`, writes it and publishes it through its sequence number; the only
 * taker needs no atomic of its own but reads that number. `asleep` is the Dekker-style flag between
 * "I posted, is the owner asleep?" and "I am going to sleep, is there a message?": both sides put a
 * full fence between their store and their load, so at least one of them sees the other.
 */
#include "base/mailbox.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct cell {
    _Atomic size_t sequence;
    alignas(max_align_t) unsigned char message[];
};

struct mailbox {
    alignas(64) _Atomic size_t tail; /* posters */
    alignas(64) size_t head;         /* owner */
    alignas(64) _Atomic bool asleep;
    size_t mask, message_bytes, cell_bytes;
    unsigned char *cells;
    int fd;
    bool armed; /* owner: asleep was set and not yet taken back */
};

static struct cell *cell_at(const struct mailbox *box, size_t index)
{
    return (struct cell *)(box->cells + (index & box->mask) * box->cell_bytes);
}

int mailbox_create(struct mailbox **ret_box, size_t capacity, size_t message_bytes)
{
    const size_t align = alignof(max_align_t);
    size_t count = 2;
    int rc = -ENOMEM;

    while (count < capacity)
        count *= 2;
    struct mailbox *box = aligned_alloc(64, sizeof *box);

    if (!box)
        return rc;
    memset(box, 0, sizeof *box);
    box->mask = count - 1;
    box->message_bytes = message_bytes;
    box->cell_bytes = (sizeof(struct cell) + message_bytes + align - 1) / align * align;
    box->cells = calloc(count, box->cell_bytes);
    if (!box->cells)
        goto free_box;
    for (size_t i = 0; i < count; i++)
        atomic_init(&cell_at(box, i)->sequence, i);
    box->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (box->fd < 0) {
        rc = -errno;
        goto free_cells;
    }
    *ret_box = box;
    return 0;
free_cells:
    free(box->cells);
free_box:
    free(box);
    return rc;
}

void mailbox_destroy(struct mailbox *box)
{
    if (!box)
        return;
    close(box->fd);
    free(box->cells);
    free(box);
}

/* Cells are given back in order: one that is not means that none behind it is. */
static bool still_taken(const struct mailbox *box, size_t index)
{
    return atomic_load_explicit(&cell_at(box, index)->sequence, memory_order_relaxed) - index >
           SIZE_MAX / 2;
}

/* Leaves `spare` cells free. */
static int post_leaving(struct mailbox *box, const void *message, size_t spare)
{
    size_t tail = atomic_load_explicit(&box->tail, memory_order_relaxed);
    struct cell *cell;

    for (;;) {
        cell = cell_at(box, tail);
        size_t sequence = atomic_load_explicit(&cell->sequence, memory_order_acquire);

        if (sequence == tail) {
            if (still_taken(box, tail + spare))
                return -EAGAIN;
            if (atomic_compare_exchange_weak_explicit(&box->tail, &tail, tail + 1,
                                                      memory_order_relaxed, memory_order_relaxed))
                break;
        } else if (sequence - tail > SIZE_MAX / 2) {
            return -EAGAIN; /* a whole ring behind: the owner has not taken this cell yet */
        } else {
            tail = atomic_load_explicit(&box->tail, memory_order_relaxed);
        }
    }
    memcpy(cell->message, message, box->message_bytes);
    /* Sequentially consistent, as is every access to `asleep`: see the head of the file. */
    atomic_store(&cell->sequence, tail + 1);
    if (atomic_load(&box->asleep) && atomic_exchange(&box->asleep, false)) {
        const uint64_t one = 1;
        ssize_t wrote = write(box->fd, &one, sizeof one);

        (void)wrote; /* EAGAIN means the counter is at its maximum: readable all the same */
    }
    return 0;
}

int mailbox_post(struct mailbox *box, const void *message)
{
    return post_leaving(box, message, 0);
}

int mailbox_post_sparing(struct mailbox *box, const void *message)
{
    return post_leaving(box, message, (box->mask + 1) / 2);
}

static bool has_message(struct mailbox *box)
{
    return atomic_load(&cell_at(box, box->head)->sequence) == box->head + 1;
}

/* Awake again. Whoever set `asleep` back first decides: if a poster did, it wrote to the
 * descriptor, and that count has to be read or the owner's next sleep would end at once. */
static void disarm(struct mailbox *box)
{
    if (!box->armed)
        return;
    box->armed = false;
    if (!atomic_exchange(&box->asleep, false)) {
        struct pollfd written = {.fd = box->fd, .events = POLLIN};
        uint64_t count;

        while (read(box->fd, &count, sizeof count) < 0)
            (void)poll(&written, 1, -1); /* the poster is between its exchange and its write */
    }
}

bool mailbox_take(struct mailbox *box, void *message)
{
    disarm(box);
    if (!has_message(box))
        return false;
    struct cell *cell = cell_at(box, box->head);

    memcpy(message, cell->message, box->message_bytes);
    atomic_store_explicit(&cell->sequence, box->head + box->mask + 1, memory_order_release);
    box->head++;
    return true;
}

int mailbox_fd(const struct mailbox *box)
{
    return box->fd;
}

bool mailbox_arm(struct mailbox *box)
{
    box->armed = true;
    atomic_store(&box->asleep, true);
    if (!has_message(box))
        return true;
    disarm(box);
    return false;
}

/* A poster that was slow between its message and its look at `asleep` may wake an owner who has
 * taken that message long ago: then the rest of the time is slept as well. */
bool mailbox_wait(struct mailbox *box, uint64_t timeout_ns)
{
    const uint64_t start_ns = clock_now_ns();
    struct pollfd wait = {.fd = box->fd, .events = POLLIN};

    while (mailbox_arm(box)) {
        const uint64_t spent_ns = clock_now_ns() - start_ns;
        const uint64_t left_ns = spent_ns < timeout_ns ? timeout_ns - spent_ns : 0;
        const struct timespec limit = {.tv_sec = (time_t)(left_ns / 1000000000u),
                                       .tv_nsec = (long)(left_ns % 1000000000u)};

        (void)ppoll(&wait, 1, timeout_ns == UINT64_MAX ? NULL : &limit, NULL);
        disarm(box);
        if (left_ns == 0)
            break;
    }
    return has_message(box);
}
