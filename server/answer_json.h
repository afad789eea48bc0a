/* The JSON of answers, as OpenAI's clients expect it: chunks of a stream, or the whole. */
#ifndef TANDEM_SERVER_ANSWER_JSON_H
#define TANDEM_SERVER_ANSWER_JSON_H

#include "server/answer.h"

/* Each appends one event to answer->out. */
void answer_json_role(struct choice *choice); /* chat: the role, before everything else */
void answer_json_echo(struct choice *choice, const char *text, size_t size); /* completions */
void answer_json_delta(struct choice *choice);   /* empties choice->text */
void answer_json_finish(struct choice *choice);  /* finish_reason */
void answer_json_usage(struct answer *answer);   /* the closing usage chunk */
void answer_json_failure(struct answer *answer); /* answer->error */

/* The whole answer as one object. */
void answer_json_body(struct answer *answer);

#endif
