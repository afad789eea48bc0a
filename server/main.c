/* The program: picks the subcommand, reads its options, reports errors, sets the exit status. */
#include "base/log.h"
#include "server/auth.h"
#include "server/config.h"
#include "server/listener.h"
#include "server/options.h"
#include "server/serve.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_USAGE 2 /* the command line or the config file is wrong */

static const char usage[] =
    "Usage: tandem COMMAND ...\n"
    "\n"
    "  serve [-c FILE] --model FILE [flags]   serve a model over HTTP (serve --help: all flags)\n"
    "  config check FILE                      check a config file\n"
    "  --version                              print the version\n"
    "  --help                                 print this text\n";

/* Commands of the plan that this version does not have. */
static const char *const planned[] = {"worker", "bench", "simulate", "plan"};

static int report(const struct err *err)
{
    fprintf(stderr, "tandem: %s\n", err->text);
    return EXIT_USAGE;
}

/* Signals of the server thread are blocked before the first thread is made, which inherits that. */
static void block_signals(void)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN); /* writing to a client that left is an error, not the end */
}

static int print_help(void)
{
    struct buf text;
    int status = 0;

    buf_init(&text, 1 << 20);
    options_help(&text);
    if (text.failed || fwrite(text.bytes, 1, text.size, stdout) != text.size)
        status = 1;
    buf_free(&text);
    return status;
}

/* What can be found out before the model is loaded. listening: also tries the port, which a running
 * server holds while its next configuration is checked. */
static int check_surroundings(const struct config *config, bool listening, struct err *err)
{
    struct auth *auth;
    int fd, port;
    int rc = auth_create(&auth, config->api_keys.items, config->api_keys.count,
                         config->api_key_file, err);

    if (rc < 0)
        return rc;
    auth_destroy(auth);
    if (!listening)
        return listener_check(config->host, err);
    rc = listener_open(&fd, config->host, (int)config->port, &port, err);
    if (rc == 0)
        close(fd);
    return rc;
}

static int serve_command(int argc, const char *const *argv)
{
    struct config config;
    struct err err = {.text = "out of memory"};
    bool help;
    int status = 0;

    if (config_init(&config) < 0 || options_parse(&config, argc, argv, &help, &err) < 0) {
        status = report(&err);
    } else if (help) {
        status = print_help();
    } else if (config_finish(&config, &err) < 0) {
        status = report(&err);
    } else if (!config.model_path) {
        err_set(&err, EINVAL, "no model: give --model FILE or model.path in the config file");
        status = report(&err);
    } else if (check_surroundings(&config, true, &err) < 0) {
        fprintf(stderr, "tandem: %s\n", err.text);
        status = 1;
    } else {
        log_set_level((enum log_level)config.log_level);
        block_signals();
        if (serve_run(&config, getenv("NOTIFY_SOCKET"), &err) < 0) {
            fprintf(stderr, "tandem: %s\n", err.text);
            status = 1;
        }
    }
    config_free(&config);
    return status;
}

static int config_command(int argc, const char *const *argv)
{
    struct config config;
    struct err err = {.text = "out of memory"};
    int status = 0;

    if (argc != 2 || strcmp(argv[0], "check") != 0) {
        err_set(&err, EINVAL, "usage: tandem config check FILE");
        return report(&err);
    }
    if (config_init(&config) < 0 || config_load(&config, argv[1], &err) < 0)
        status = report(&err);
    else if (config_finish(&config, &err) < 0 || check_surroundings(&config, false, &err) < 0)
        status = fprintf(stderr, "tandem: %s: %s\n", argv[1], err.text) < 0 ? 1 : EXIT_USAGE;
    else
        printf("%s: the configuration is correct\n", argv[1]);
    config_free(&config);
    return status;
}

static int unknown_command(const char *name)
{
    for (size_t i = 0; i < sizeof planned / sizeof *planned; i++)
        if (strcmp(name, planned[i]) == 0) {
            fprintf(stderr, "tandem: '%s' is planned, but not part of version " TANDEM_VERSION "\n",
                    name);
            return EXIT_USAGE;
        }
    fprintf(stderr, "tandem: unknown command '%s'; see `tandem --help`\n", name);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0)
        return printf("tandem " TANDEM_VERSION "\n") < 0;
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0)
        return fputs(usage, stdout) < 0;
    if (strcmp(argv[1], "serve") == 0)
        return serve_command(argc - 2, (const char *const *)argv + 2);
    if (strcmp(argv[1], "config") == 0)
        return config_command(argc - 2, (const char *const *)argv + 2);
    return unknown_command(argv[1]);
}
