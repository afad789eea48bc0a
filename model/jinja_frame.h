/*
 * Which names a frame sets before it reads them, in jinja2's order of analysis.
 *
 * jinja2 decides at compile time where a name comes from: one that a frame first sets (outside of
 * any if) and that no frame around mentions starts undefined there, and inner loops and macros see
 * that. The parser notes every mention; the answer is known when the whole template is.
 */
#ifndef TANDEM_MODEL_JINJA_FRAME_H
#define TANDEM_MODEL_JINJA_FRAME_H

#include "model/jinja_parse.h"

struct jinja_mention {
    struct jinja_name *name;
    struct jinja_frame *frame;
    bool sets;                         /* the first mention in the frame, and it sets the name */
    struct jinja_mention *live_before; /* of the same name, in a frame around */
    struct jinja_mention *next, *next_of_name;
};

struct jinja_frame {
    struct jinja_frame *parent, *next; /* around; the one made before */
    uint32_t first, last;              /* a frame around has a smaller first and a larger last */
    struct jinja_mention *mentions;
    unsigned branches_before; /* parser->branches outside */
    struct jinja_unset unset;
};

/* Enters a new frame; NULL when out of memory. */
struct jinja_frame *jinja_frame_enter(struct jinja_parser *parser);
/* Leaves it; where its unset names will be. */
struct jinja_unset *jinja_frame_leave(struct jinja_parser *parser);
void jinja_mention_name(struct jinja_parser *parser, const struct jinja_name *name, bool sets);
/* Every name of an assignment's target is set; namespaces in it are read. */
void jinja_mention_target(struct jinja_parser *parser, const struct jinja_node *target, bool sets);
/* Fills the unset names of all frames. */
void jinja_frame_resolve(struct jinja_parser *parser);

#endif
