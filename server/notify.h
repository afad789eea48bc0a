/* Telling systemd about the state of the service (sd_notify(3), the protocol alone). */
#ifndef TANDEM_SERVER_NOTIFY_H
#define TANDEM_SERVER_NOTIFY_H

/* Sends one line to the socket; path NULL: nobody waits for it. A failure is logged. */
void notify_send(const char *path, const char *state);

#endif
