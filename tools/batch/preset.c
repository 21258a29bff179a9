// preset.c - the tables of presets and containers.
#include <string.h>

#include "preset.h"

#define WORDS(...) (const char *const[]){ __VA_ARGS__, NULL }

// Of FFmpeg 5.1. Sound that a container cannot hold as it is becomes uncompressed, except in access copies.
static const struct clzb_container containers[] = {
    { "mkv", "matroska", "mkv", CLZB_CHAPTERS | CLZB_ATTACHMENTS | CLZB_PICTURE_TEXT | CLZB_TIMECODE | CLZB_TIMES,
      NULL, NULL, "srt", " subrip srt ass ssa webvtt text ", NULL },
    { "mov", "mov", "mov", CLZB_CHAPTERS | CLZB_TIMECODE | CLZB_TIMES,
      " aac ac3 eac3 alac mp3 pcm_s16le pcm_s16be pcm_s24le pcm_s24be pcm_s32le pcm_s32be pcm_f32le pcm_f32be pcm_u8 pcm_alaw "
      "pcm_mulaw ", WORDS("pcm_s24le"), "mov_text", " mov_text ", NULL },
    { "mp4", "mp4", "mp4", CLZB_CHAPTERS | CLZB_TIMECODE | CLZB_TIMES, " aac ac3 eac3 alac mp3 opus ",
      WORDS("aac", "-b:a", "256k"), "mov_text", " mov_text ", WORDS("-movflags", "+faststart") },
    { "mxf", "mxf", "mxf", CLZB_TIMECODE, " pcm_s16le pcm_s24le ", WORDS("pcm_s24le", "-ar", "48000"), NULL, NULL, NULL },
    { "dpx", "image2", "", 0, "", NULL, NULL, NULL, NULL },
    { "tif", "image2", "", 0, "", NULL, NULL, NULL, NULL },
    { "png", "image2", "", 0, "", NULL, NULL, NULL, NULL },
};

// Numbers of threads and slices are fixed where the coded bytes depend on them, so that every machine writes the same file.
static const struct clzb_preset presets[] = {
    { "ffv1", "FFV1 in Matroska, lossless, in the film's own format, for keeping", "mkv",
      WORDS("-c:v", "ffv1", "-level", "3", "-coder", "1", "-context", "1", "-g", "1", "-slices", "4", "-slicecrc", "1"),
      WORDS("yuv444p16le", "yuv420p", "yuv422p", "yuv444p", "yuv420p9le", "yuv422p9le", "yuv444p9le", "yuv420p10le",
            "yuv422p10le", "yuv444p10le", "yuv420p12le", "yuv422p12le", "yuv444p12le", "yuv420p14le", "yuv422p14le",
            "yuv444p14le", "yuv420p16le", "yuv422p16le", "yuva420p", "yuva422p", "yuva444p", "yuva420p9le", "yuva422p9le",
            "yuva444p9le", "yuva420p10le", "yuva422p10le", "yuva444p10le", "yuva420p16le", "yuva422p16le", "yuva444p16le",
            "gbrp9le", "gbrp10le", "gbrap10le", "gbrp12le", "gbrap12le", "gbrp14le", "gbrp16le", "gbrap16le", "bgr0", "bgra",
            "rgb48le", "rgba64le"), true, 0.9 },
    { "prores-4444", "ProRes 4444 in QuickTime, 10 bits, 4:4:4", "mov",
      WORDS("-c:v", "prores_ks", "-profile:v", "4444", "-vendor", "apl0"), WORDS("yuv444p10le"), false, 0.4 },
    { "prores-hq", "ProRes 422 HQ in QuickTime, 10 bits, 4:2:2", "mov",
      WORDS("-c:v", "prores_ks", "-profile:v", "hq", "-vendor", "apl0"), WORDS("yuv422p10le"), false, 0.4 },
    { "dnxhr-hqx", "DNxHR HQX in MXF, 10 bits, 4:2:2", "mxf", WORDS("-c:v", "dnxhd", "-profile:v", "dnxhr_hqx"),
      WORDS("yuv422p10le"), false, 0.4 },
    { "dnxhr-444", "DNxHR 444 in MXF, 10 bits, 4:4:4", "mxf", WORDS("-c:v", "dnxhd", "-profile:v", "dnxhr_444"),
      WORDS("yuv444p10le"), false, 0.4 },
    { "h264", "H.264 in MP4, 8 bits, 4:2:0, an access copy", "mp4",
      WORDS("-c:v", "libx264", "-preset", "medium", "-crf", "18", "-threads:v", "4"), WORDS("yuv420p"), false, 0.2 },
    { "dpx", "a folder of DPX pictures, R'G'B' 10 bits", "dpx", WORDS("-c:v", "dpx"), WORDS("gbrp10le"), false, 1.5 },
    { "tiff", "a folder of TIFF pictures, R'G'B' 16 bits", "tif", WORDS("-c:v", "tiff", "-compression_algo", "lzw"),
      WORDS("rgb48le"), false, 1.1 },
    { "png", "a folder of PNG pictures, R'G'B' 16 bits", "png", WORDS("-c:v", "png"), WORDS("rgb48be"), false, 1.1 },
    { "own", "the encoder and container that the job gives", "mkv", NULL, NULL, false, 1 },
};

const struct clzb_preset *clzb_preset_find(const char *name)
{
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++)
        if (!strcmp(presets[i].name, name)) return &presets[i];
    return NULL;
}

const struct clzb_container *clzb_container_find(const char *name)
{
    for (size_t i = 0; i < sizeof containers / sizeof *containers; i++)
        if (!strcmp(containers[i].name, name) || !strcmp(containers[i].muxer, name)) return &containers[i];
    return NULL;
}

void clzb_presets_print(FILE *file)
{
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++)
        fprintf(file, "  %-14s %s\n", presets[i].name, presets[i].help);
}

// The format in a preset's list, or NULL.
static const char *listed(const struct clzb_preset *preset, const char *name, const char *suffix)
{
    const size_t n = strlen(name);

    for (const char *const *f = preset->formats; *f; f++)
        if (!strncmp(*f, name, n) && !strcmp(*f + n, suffix)) return *f;
    return NULL;
}

const char *clzb_preset_format(const struct clzb_preset *preset, const char *from, const char **out_range)
{
    const struct clz_pixfmt *format;
    const char *found = NULL, *end = strrchr(from, 'e');
    char name[32];
    int n = (int)strlen(from);

    *out_range = NULL;
    if (!preset->formats) return NULL;
    if (n > 2 && end == from + n - 1 && (end[-1] == 'l' || end[-1] == 'b')) n -= 2;         // gray10le is gray10 in the table
    snprintf(name, sizeof name, "%.*s", n, from);
    format = clz_pixfmt_find(name);
    if (format && format->out && preset->lossless) *out_range = "full";         // gray is: so luma stays bit for bit
    if (format && format->out) snprintf(name, sizeof name, "%s", format->out);
    if (format && (format->flags & CLZ_PIXFMT_RGB) && format->depth == 8)
        snprintf(name, sizeof name, "%s", format->flags & CLZ_PIXFMT_ALPHA ? "bgra" : "bgr0");
    if (!strncmp(name, "yuvj", 4)) memmove(name + 3, name + 4, strlen(name + 4) + 1);
    if (!(found = listed(preset, name, ""))) found = listed(preset, name, "le");
    return found ? found : preset->formats[0];
}
