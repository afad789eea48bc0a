/* Opened by us rather than by libmicrohttpd for the sake of its error messages. */
#include "server/listener.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 1024

static int bind_and_listen(int fd, const struct addrinfo *address, int *ret_port)
{
    const int on = 1, off = 0, idle_s = 60, interval_s = 10;
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;

    /* Accepted sockets inherit the probing of silent peers, which may be dead. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s) < 0)
        return -errno;
    if (address->ai_family == AF_INET6 &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) < 0)
        return -errno;
    if (bind(fd, address->ai_addr, address->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0 ||
        getsockname(fd, (struct sockaddr *)&bound, &size) < 0)
        return -errno;
    *ret_port = ntohs(address->ai_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                                     : ((struct sockaddr_in *)&bound)->sin_port);
    return 0;
}

static int resolve(struct addrinfo **ret_address, const char *host, int port, struct err *err)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    char service[8];

    snprintf(service, sizeof service, "%d", port);
    int failure = getaddrinfo(host, service, &hints, ret_address);

    if (failure)
        return err_set(err, EINVAL, "server.host: '%.200s' is no address to listen on: %s", host,
                       gai_strerror(failure));
    return 0;
}

int listener_check(const char *host, struct err *err)
{
    struct addrinfo *address;
    int rc = resolve(&address, host, 0, err);

    if (rc == 0)
        freeaddrinfo(address);
    return rc;
}

int listener_open(int *ret_fd, const char *host, int port, int *ret_port, struct err *err)
{
    struct addrinfo *address;
    int rc = resolve(&address, host, port, err);

    if (rc < 0)
        return rc;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    rc = fd < 0 ? -errno : bind_and_listen(fd, address, ret_port);

    freeaddrinfo(address);
    if (rc == 0) {
        *ret_fd = fd;
        return 0;
    }
    if (fd >= 0)
        close(fd);
    if (rc == -EADDRINUSE)
        return err_set(err, EADDRINUSE,
                       "port %d of %.200s is in use by another program; stop it or choose another "
                       "one with --port",
                       port, host);
    return err_set(err, -rc, "cannot listen on %.200s port %d: %s", host, port, strerror(-rc));
}
