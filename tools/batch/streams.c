// streams.c - maps streams by the container's row in the table of preset.c.
#include <string.h>

#include "streams.h"

static bool has_word(const char *list, const char *word)
{
    char spaced[40];
    snprintf(spaced, sizeof spaced, " %s ", word);
    return list && strstr(list, spaced);
}

static void lose(struct clzb_mapping *m, const struct clzb_stream_facts *s, const char *what)
{
    snprintf(m->lost[m->lost_count++], sizeof *m->lost, "stream %d: %s (%s)", s->index, what, *s->codec ? s->codec : s->tag);
}

static void change(struct clzb_mapping *m, const struct clzb_stream_facts *s, const char *what, const char *codec)
{
    snprintf(m->changed[m->changed_count++], sizeof *m->changed, "stream %d: %s (%s) becomes %s", s->index, what, s->codec,
             codec);
}

static void map(struct clzb_mapping *m, const struct clzb_stream_facts *s)
{
    m->source[m->count++] = s->index;
    clzb_args_add(&m->args, "-map");
    clzb_args_add(&m->args, "0:%d", s->index);
}

static void codec(struct clzb_mapping *m, char type, int number, const char *name)
{
    clzb_args_add(&m->args, "-c:%c:%d", type, number);
    clzb_args_add(&m->args, "%s", name);
}

static void map_sound(struct clzb_mapping *m, const struct clzb_stream_facts *s, const struct clzb_container *c)
{
    if (c->sound && !*c->sound) {
        lose(m, s, "sound");
        return;
    }
    map(m, s);
    if (!c->sound || (has_word(c->sound, s->codec) && (strcmp(c->name, "mxf") || s->sample_rate == 48000))) {
        codec(m, 'a', m->sound++, "copy");
        return;
    }
    change(m, s, "sound", c->other_sound[0]);
    codec(m, 'a', m->sound, c->other_sound[0]);
    for (const char *const *o = c->other_sound + 1; *o; o += 2) {       // "-ar" becomes "-ar:a:2"
        const char *colon = strchr(*o, ':');
        clzb_args_add(&m->args, "%.*s:a:%d", colon ? (int)(colon - *o) : (int)strlen(*o), *o, m->sound);
        clzb_args_add(&m->args, "%s", o[1]);
    }
    m->sound++;
}

static void map_text(struct clzb_mapping *m, const struct clzb_stream_facts *s, const struct clzb_container *c)
{
    const bool text = has_word(" subrip srt ass ssa webvtt text mov_text microdvd subviewer ttml ", s->codec);

    if (text ? !c->text : !(c->holds & CLZB_PICTURE_TEXT)) {
        lose(m, s, text ? "subtitles" : "subtitles that are pictures");
        return;
    }
    map(m, s);
    if (text && !has_word(c->copied_text, s->codec)) change(m, s, "subtitles", c->text);
    codec(m, 's', m->text++, text && !has_word(c->copied_text, s->codec) ? c->text : "copy");
}

void clzb_streams_map(struct clzb_mapping *mapping, const struct clzb_probe *probe, const struct clzb_container *container)
{
    const bool timecode = *probe->timecode && (container->holds & CLZB_TIMECODE);

    *mapping = (struct clzb_mapping){0};
    for (int i = 0; i < probe->count; i++) {
        const struct clzb_stream_facts *s = &probe->stream[i];
        if (i == probe->video) continue;
        switch (s->type) {
        case CLZB_VIDEO: lose(mapping, s, s->cover ? "cover picture" : "further pictures"); break;
        case CLZB_AUDIO: map_sound(mapping, s, container); break;
        case CLZB_SUBTITLE: map_text(mapping, s, container); break;
        case CLZB_ATTACHMENT:
            if (container->holds & CLZB_ATTACHMENTS) {
                map(mapping, s);
                codec(mapping, 't', mapping->attachments++, "copy");
            } else lose(mapping, s, "attachment");
            break;
        case CLZB_DATA:
            if (!strcmp(s->tag, "tmcd") && timecode) break;             // the muxer writes it anew
            // A chapter track of QuickTime comes back with the chapters.
            if (!strcmp(s->codec, "bin_data") && !strcmp(s->tag, "text") && probe->chapters &&
                (container->holds & CLZB_CHAPTERS)) break;
            lose(mapping, s, "data");
            break;
        }
    }
    clzb_args_list(&mapping->args, (const char *const[]){ "-map_metadata", "0", NULL });
    clzb_args_list(&mapping->args, (const char *const[]){ "-map_chapters", container->holds & CLZB_CHAPTERS ? "0" : "-1", NULL });
    if (probe->chapters && !(container->holds & CLZB_CHAPTERS))
        snprintf(mapping->lost[mapping->lost_count++], sizeof *mapping->lost, "%d chapters", probe->chapters);
    if (timecode) {
        clzb_args_add(&mapping->args, "-metadata:s:v:0");
        clzb_args_add(&mapping->args, "timecode=%s", probe->timecode);
    } else if (*probe->timecode)
        snprintf(mapping->lost[mapping->lost_count++], sizeof *mapping->lost, "time code %s", probe->timecode);
    if (probe->captions)
        snprintf(mapping->lost[mapping->lost_count++], sizeof *mapping->lost,
                 "closed captions inside the pictures, with most encoders");
    clzb_args_list(&mapping->args, container->options);
}
