/*
 * A client's TCP connection, and how long it may take to say what it wants.
 *
 * libmicrohttpd's timeout starts anew with every byte, so a client that sends one now and then
 * could hold a connection for ever. The headers of a request must therefore be there in full within
 * a fixed time of the connection's beginning, or of the end of the answer before. All connections
 * have the same time, so those that owe headers stand in a queue, the soonest due first. Owner: the
 * service; server thread.
 */
#ifndef TANDEM_SERVER_CONNECTION_H
#define TANDEM_SERVER_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>

struct connection {
    struct connection *next, *previous;
    int fd; /* libmicrohttpd's */
    bool owes;
    uint64_t due_ns;
};

/* Zeroed but for limit_ns: none owes anything. */
struct connection_queue {
    struct connection *first, *last;
    uint64_t limit_ns; /* for headers to come in full */
};

/* A connection begins; it owes headers. NULL: out of memory. */
struct connection *connection_begin(struct connection_queue *queue, int fd, uint64_t now_ns);
void connection_end(struct connection_queue *queue, struct connection *connection);

/* From now on it owes headers again; the answer to the request before was sent. */
void connection_await(struct connection_queue *queue, struct connection *connection,
                      uint64_t now_ns);

/* The headers are there. */
void connection_heard(struct connection_queue *queue, struct connection *connection);

/* Shuts down the sockets of those that are late; libmicrohttpd then ends them. */
void connection_cut_late(struct connection_queue *queue, uint64_t now_ns);

/* When the next one will be late; UINT64_MAX: never. */
uint64_t connection_due(const struct connection_queue *queue);

#endif
