/* Times only grow and the limit is the same for all, so appending keeps the queue in order. */
#include "server/connection.h"

#include <stdlib.h>
#include <sys/socket.h>

struct connection *connection_begin(struct connection_queue *queue, int fd, uint64_t now_ns)
{
    struct connection *connection = calloc(1, sizeof *connection);

    if (!connection)
        return NULL;
    connection->fd = fd;
    connection_await(queue, connection, now_ns);
    return connection;
}

void connection_end(struct connection_queue *queue, struct connection *connection)
{
    connection_heard(queue, connection);
    free(connection);
}

void connection_await(struct connection_queue *queue, struct connection *connection,
                      uint64_t now_ns)
{
    connection_heard(queue, connection);
    connection->owes = true;
    connection->due_ns = now_ns + queue->limit_ns;
    connection->previous = queue->last;
    connection->next = NULL;
    if (queue->last)
        queue->last->next = connection;
    else
        queue->first = connection;
    queue->last = connection;
}

void connection_heard(struct connection_queue *queue, struct connection *connection)
{
    if (!connection->owes)
        return;
    connection->owes = false;
    if (connection->next)
        connection->next->previous = connection->previous;
    else
        queue->last = connection->previous;
    if (connection->previous)
        connection->previous->next = connection->next;
    else
        queue->first = connection->next;
}

void connection_cut_late(struct connection_queue *queue, uint64_t now_ns)
{
    while (queue->first && queue->first->due_ns <= now_ns) {
        struct connection *late = queue->first;

        connection_heard(queue, late); /* nothing more is expected of it */
        (void)shutdown(late->fd, SHUT_RDWR);
    }
}

uint64_t connection_due(const struct connection_queue *queue)
{
    return queue->first ? queue->first->due_ns : UINT64_MAX;
}
