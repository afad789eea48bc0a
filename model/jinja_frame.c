/* See the header: notes per frame and name the first mention only. */
#include "model/jinja_frame.h"

struct jinja_frame *jinja_frame_enter(struct jinja_parser *parser)
{
    struct jinja_frame *frame = jinja_parse_alloc(parser, sizeof *frame);

    if (!frame)
        return NULL;
    frame->parent = parser->frame;
    frame->next = parser->frames;
    frame->first = ++parser->frame_steps;
    frame->branches_before = parser->branches;
    parser->frames = frame;
    parser->frame = frame;
    parser->branches = 0;
    return frame;
}

struct jinja_unset *jinja_frame_leave(struct jinja_parser *parser)
{
    struct jinja_frame *frame = parser->frame;

    for (struct jinja_mention *mention = frame->mentions; mention; mention = mention->next)
        mention->name->live = mention->live_before;
    frame->last = ++parser->frame_steps;
    parser->branches = frame->branches_before;
    parser->frame = frame->parent;
    return &frame->unset;
}

void jinja_mention_name(struct jinja_parser *parser, const struct jinja_name *name, bool sets)
{
    struct jinja_name *noted = (struct jinja_name *)(uintptr_t)name; /* constant once parsed */

    if (parser->mute || parser->rc < 0 || (noted->live && noted->live->frame == parser->frame))
        return;
    struct jinja_mention *mention = jinja_parse_alloc(parser, sizeof *mention);

    if (!mention)
        return;
    *mention = (struct jinja_mention){.name = noted,
                                      .frame = parser->frame,
                                      .sets = sets && parser->branches == 0,
                                      .live_before = noted->live,
                                      .next = parser->frame->mentions,
                                      .next_of_name = noted->all};
    parser->frame->mentions = mention;
    noted->live = mention;
    noted->all = mention;
}

void jinja_mention_target(struct jinja_parser *parser, const struct jinja_node *target, bool sets)
{
    if (target->kind == NODE_NAME)
        jinja_mention_name(parser, target->name, sets);
    else if (target->kind == NODE_MEMBER)
        jinja_mention_name(parser, target->member.object->name, false);
    else
        for (const struct jinja_node *item = target->items.first; item; item = item->next)
            jinja_mention_target(parser, item, sets);
}

static bool frame_is_unset(const struct jinja_mention *mention)
{
    const struct jinja_frame *frame = mention->frame;

    if (!mention->sets)
        return false;
    for (const struct jinja_mention *other = mention->name->all; other; other = other->next_of_name)
        if (other->frame->first < frame->first && other->frame->last > frame->last)
            return false;
    return true;
}

void jinja_frame_resolve(struct jinja_parser *parser)
{
    for (struct jinja_frame *frame = parser->frames; frame; frame = frame->next) {
        size_t count = 0;

        for (struct jinja_mention *mention = frame->mentions; mention; mention = mention->next)
            count += mention->sets;
        frame->unset.names = jinja_parse_alloc(parser, count * sizeof(struct jinja_name *));
        if (!frame->unset.names)
            return;
        for (struct jinja_mention *mention = frame->mentions; mention; mention = mention->next)
            if (frame_is_unset(mention))
                frame->unset.names[frame->unset.count++] = mention->name;
    }
}
