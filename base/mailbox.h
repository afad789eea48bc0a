/*
 * A bounded inbox: many threads post fixed-size messages, one thread (the owner) takes them.
 *
 * Posting never blocks: a full box answers -EAGAIN and the poster decides (shed, or keep the
 * message and try again). Messages of one poster arrive in the order posted. The owner waits either
 * in mailbox_wait or by watching mailbox_fd in its own event loop; a post writes to the descriptor
 * only when the owner said it is about to sleep, so a busy owner costs its posters no system call.
 *
 *   post   any thread          take, wait, arm   owner only
 */
#ifndef TANDEM_BASE_MAILBOX_H
#define TANDEM_BASE_MAILBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mailbox;

/* capacity: messages held at most, rounded up to a power of two. Returns 0, -ENOMEM or the errno of
 * eventfd. */
int mailbox_create(struct mailbox **ret_box, size_t capacity, size_t message_bytes);

/* No other thread may use the box any more. Messages left in it are dropped. */
void mailbox_destroy(struct mailbox *box);

/* Copies the message in; 0 or -EAGAIN when full. */
int mailbox_post(struct mailbox *box, const void *message);

/* As mailbox_post, but full is when half of the capacity is used: for posters that can try again or
 * do without, so that those that cannot still find room. */
int mailbox_post_sparing(struct mailbox *box, const void *message);

/* Copies the oldest message out; false when empty. */
bool mailbox_take(struct mailbox *box, void *message);

/* Readable once a message is there after mailbox_arm, until the owner's next mailbox_take. */
int mailbox_fd(const struct mailbox *box);

/* Says the owner is going to sleep on mailbox_fd. False when a message is already there: take it
 * instead of sleeping. */
bool mailbox_arm(struct mailbox *box);

/* Sleeps until a message is there or timeout_ns has passed (UINT64_MAX: no limit). True when one is
 * there. */
bool mailbox_wait(struct mailbox *box, uint64_t timeout_ns);

#endif
