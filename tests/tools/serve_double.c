/*
 * The whole front end over a double of the workers, to test what thousands of clients do to it
 * without computing anything: each request gets its own prompt's tokens back, over and over, one
 * per beat.
 *
 * Usage: serve_double BEAT_US tandem-serve-flags...
 */
#include "base/clock.h"
#include "model/model.h"
#include "proto/message.h"
#include "server/http.h"
#include "server/options.h"
#include "server/service.h"
#include "server/text_side.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define DOUBLE_REQUESTS 65536

struct request_double {
    const struct request *request;
    int emitted;
};

struct worker_double {
    struct mailbox *mailbox, *outbox;
    uint64_t beat_ns;
    struct request_double live[DOUBLE_REQUESTS];
    _Atomic int n_live;
    _Atomic uint64_t iterations;
    _Atomic bool stop;
};

static void double_say(struct worker_double *w, const struct message *message)
{
    while (mailbox_post(w->outbox, message) < 0)
        usleep(100);
}

static void double_end(struct worker_double *w, int i, enum done_reason reason)
{
    struct message message = {.type = MESSAGE_DONE, .id = w->live[i].request->id};

    message.u.done.reason = reason;
    w->live[i] = w->live[--w->n_live];
    double_say(w, &message);
}

static void double_take(struct worker_double *w, const struct message *message)
{
    struct message started = {.type = MESSAGE_STARTED, .id = message->id};

    if (message->type == MESSAGE_SUBMIT) {
        w->live[w->n_live++] = (struct request_double){message->u.submit.request, 0};
        started.u.started.at_ns = clock_now_ns();
        double_say(w, &started);
        return;
    }
    for (int i = 0; i < w->n_live; i++)
        if (w->live[i].request->id == message->id) {
            double_end(w, i, DONE_CANCELLED);
            return;
        }
}

static void double_beat(struct worker_double *w)
{
    for (int i = w->n_live - 1; i >= 0; i--) {
        const struct request *request = w->live[i].request;
        struct message message = {.type = MESSAGE_TOKEN, .id = request->id};

        message.u.token.at_ns = clock_now_ns();
        message.u.token.index = w->live[i].emitted++;
        message.u.token.token = request->tokens[message.u.token.index % request->n_tokens];
        double_say(w, &message);
        if (w->live[i].emitted == request->max_tokens)
            double_end(w, i, DONE_LENGTH);
    }
    w->iterations++;
}

static void *double_run(void *context)
{
    struct worker_double *w = context;
    struct message message;
    uint64_t due = 0;

    while (!w->stop) {
        uint64_t now = clock_now_ns();

        (void)mailbox_wait(w->mailbox, w->n_live == 0 ? UINT64_MAX : due > now ? due - now : 0);
        while (mailbox_take(w->mailbox, &message))
            double_take(w, &message);
        if (w->n_live > 0 && clock_now_ns() >= due) {
            double_beat(w);
            due = clock_now_ns() + w->beat_ns;
        }
    }
    return NULL;
}

static void double_sample(const void *context, struct worker_sample *ret)
{
    const struct worker_double *w = context;

    *ret = (struct worker_sample){.iterations = w->iterations, .running = w->n_live};
}

static int double_serve(const struct config *config, struct worker_double *w, struct err *err)
{
    struct worker_port port = {
        .name = "double", .role = CONFIG_BOTH, .sample = double_sample, .context = w};
    struct model *model;
    struct text_side text;
    struct service service;
    struct http *http;
    sigset_t signals;
    int epoll_fd, bound;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    int rc = model_open(&model, config->model_path, err);

    if (rc < 0)
        return rc;
    rc = text_side_open(&text, model, config, err);
    if (rc < 0)
        goto close_model;
    rc = -ENOMEM;
    if (mailbox_create(&w->mailbox, DOUBLE_REQUESTS, sizeof(struct message)) < 0)
        goto close_text;
    if (mailbox_create(&w->outbox, DOUBLE_REQUESTS, sizeof(struct message)) < 0)
        goto close_mailbox;
    port.mailbox = w->mailbox;
    const struct service_parts parts = {.config = config,
                                        .tokenizer = text.tokenizer,
                                        .chat_template = text.chat_template,
                                        .names = text.names,
                                        .n_names = text.n_names,
                                        .max_model_len = text.max_model_len,
                                        .ports = &port,
                                        .n_ports = 1};

    rc = http_epoll_create(&epoll_fd, err);
    if (rc == 0)
        rc = service_open(&service, &parts, epoll_fd, err);
    if (rc == 0)
        rc = http_open(&http, &service, w->outbox,
                       signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC), &bound, err);
    if (rc == 0) {
        struct message wake = {.type = MESSAGE_DRAIN};
        pthread_t thread;

        pthread_create(&thread, NULL, double_run, w);
        fprintf(stderr, "listening on port %d\n", bound);
        http_run(http);
        http_close(http);
        w->stop = true;
        mailbox_post(w->mailbox, &wake);
        pthread_join(thread, NULL);
        service_close(&service);
    }
    mailbox_destroy(w->outbox);
close_mailbox:
    mailbox_destroy(w->mailbox);
close_text:
    text_side_close(&text);
close_model:
    model_close(model);
    return rc;
}

int main(int argc, char **argv)
{
    struct worker_double *w = calloc(1, sizeof *w);
    struct err err = {.text = "usage: serve_double BEAT_US tandem-serve-flags..."};
    struct config config;
    bool help;
    int rc = -EINVAL;

    if (w && argc > 1 && config_init(&config) == 0) {
        w->beat_ns = strtoull(argv[1], NULL, 10) * 1000;
        rc = options_parse(&config, argc - 2, (const char *const *)argv + 2, &help, &err);
        if (rc == 0)
            rc = config_finish(&config, &err);
        if (rc == 0)
            rc = double_serve(&config, w, &err);
        config_free(&config);
    }
    if (rc < 0)
        fprintf(stderr, "serve_double: %s\n", err.text);
    free(w);
    return rc < 0;
}
