/*
 * The text thread: does the text work of large bodies, which would take the server thread seconds,
 * in the order given. Two mailboxes connect it with the server thread; nothing is shared.
 *
 * All functions: server thread.
 */
#ifndef TANDEM_SERVER_TEXT_THREAD_H
#define TANDEM_SERVER_TEXT_THREAD_H

#include "base/err.h"
#include "server/text_work.h"

#include <stdbool.h>

#define TEXT_THREAD_WORKS_MAX 256 /* given and not yet taken back */

struct text_thread;

int text_thread_start(struct text_thread **ret_thread, struct err *err);
/* Waits for the work in hand; what was not taken back is destroyed. NULL: nothing to stop. */
void text_thread_stop(struct text_thread *thread);

/* -EAGAIN when too many wait: the work is then still the caller's. */
int text_thread_give(struct text_thread *thread, struct text_work *work);

/* The next one that is done, or NULL. */
struct text_work *text_thread_take(struct text_thread *thread);

/* As mailbox_fd and mailbox_arm of what is done. */
int text_thread_fd(const struct text_thread *thread);
bool text_thread_arm(struct text_thread *thread);

#endif
