// split.c - which pictures a data set uses: the parts for training and validation, nearly grey ones left out, some frames of each
// shot of a film. Films come from ffmpeg.
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "kernels/fnv.h"
#include "trainer/data.h"
#include "trainer/sheet.h"
#include "trainer/shots.h"

static char folder[512], said[4000];
static int errors;

static void hear(void *priv, enum clz_log_level level, const char *msg)
{
    const size_t n = strlen(said);

    (void)priv;
    errors += level == CLZ_LOG_ERROR;
    snprintf(said + n, sizeof said - n, "%s\n", msg);
}
static const struct clz_log listener = { hear, NULL, CLZ_LOG_INFO };

static char *within(const char *name)
{
    static char path[8][700];
    static int next;
    char *p = path[next++ % 8];

    snprintf(p, sizeof *path, "%s/%s", folder, name);
    return p;
}

static bool run(const char *command)
{
    char text[2000];

    snprintf(text, sizeof text, "cd '%s' && %s", folder, command);
    return !system(text);
}

static void write_picture(const char *name, int r, int g, int b)
{
    static uint8_t rgb[3 * 32 * 32];

    for (int i = 0; i < 32 * 32; i++) {
        rgb[3 * i] = (uint8_t)(i % 32 < 16 ? r : 128);
        rgb[3 * i + 1] = (uint8_t)(i % 32 < 16 ? g : 128);
        rgb[3 * i + 2] = (uint8_t)(i % 32 < 16 ? b : 128);
    }
    REQUIRE_INT(clzt_png_write(within(name), rgb, 32, 32, 96, NULL), 0);
}

static void write_text(const char *name, const char *text)
{
    FILE *f = fopen(within(name), "wb");

    if (!f) return;
    fputs(text, f);
    fclose(f);
}

static int open_part(struct clzt_dataset **d, const char *path, struct clzt_dataset_params params)
{
    const char *const paths[] = { path };

    said[0] = 0;
    errors = 0;
    params.paths = paths;
    params.path_count = 1;
    params.min_side = 16;
    params.log = listener;
    return clzt_dataset_open(d, &params);
}

static bool has(const struct clzt_dataset *d, const char *name)
{
    for (int64_t i = 0; d && i < clzt_dataset_count(d); i++)
        if (strstr(clzt_dataset_place(d, i).path, name)) return true;
    return false;
}

// ---- splits ----

static void by_hash(void)
{
    struct clzt_split *s = NULL;
    struct clzt_dataset *d = NULL;
    int chosen = 0, next = 0;
    bool before[40];
    char name[40];

    CASE("split/the_share_of_the_names");
    REQUIRE_INT(clzt_split_create(&s, NULL, 0.2, &listener), 0);
    for (int i = 0, last = 0; i < 20000; i++) {
        snprintf(name, sizeof name, "/%012d.jpg", i);
        const int here = clzt_split_has_name(s, name);
        chosen += here;
        next += here && last;
        last = here;
    }
    REQUIRE_NEAR(chosen / 20000., 0.2, 0.01);                   // deviation 0.003
    REQUIRE_NEAR(next / 20000., 0.04, 0.006);                   // neighbouring names are independent
    REQUIRE(clzt_split_has_name(s, "/a.png") == clzt_split_has_name(s, "a.png"));

    CASE("split/parts_are_complementary_and_stay_when_pictures_are_added");
    mkdir(within("set"), 0777);
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "set/%d.png", i);
        write_picture(name, 200, 10, 10);
    }
    for (int more = 0; more < 2; more++) {
        int64_t parts[2];
        for (int val = 0; val < 2; val++) {
            REQUIRE_INT(open_part(&d, within("set"), (struct clzt_dataset_params){ .split = s, .split_val = val }), 0);
            parts[val] = clzt_dataset_count(d);
            for (int i = 0; i < 40; i++) {
                snprintf(name, sizeof name, "/%d.png", i);
                if (!more && !val) before[i] = has(d, name);
                REQUIRE(has(d, name) == (val ? !before[i] : before[i]));
            }
            clzt_dataset_close(&d);
        }
        REQUIRE_INT(parts[0] + parts[1], more ? 50 : 40);
        REQUIRE(parts[1] > 2 && parts[1] < 18);
        for (int i = 0; i < 10 && !more; i++) {
            snprintf(name, sizeof name, "set/%c.png", 'a' + i);
            write_picture(name, 10, 200, 10);
        }
    }
    clzt_split_destroy(&s);

    CASE("split/an_empty_part");
    REQUIRE_INT(clzt_split_create(&s, NULL, 1e-9, &listener), 0);
    REQUIRE_INT(open_part(&d, within("set"), (struct clzt_dataset_params){ .split = s, .split_val = true }), -EINVAL);
    REQUIRE(errors == 1 && strstr(said, "split: of 50 files none is for validation"));
    clzt_split_destroy(&s);
}

static void by_list(void)
{
    struct clzt_split *s = NULL;
    struct clzt_dataset *d = NULL;
    char text[2000];

    CASE("split/list_of_paths_and_names");
    mkdir(within("set/sub"), 0777);
    write_picture("set/sub/x.png", 1, 2, 200);
    write_picture("set/sub/y.png", 1, 2, 200);
    snprintf(text, sizeof text, "%s\n\nsub/x.png\r\ny.png\nnowhere.png", within("set/3.png"));
    write_text("val.txt", text);
    REQUIRE_INT(clzt_split_create(&s, within("val.txt"), 0, &listener), 0);
    REQUIRE_INT(open_part(&d, within("set"), (struct clzt_dataset_params){ .split = s, .split_val = true }), 0);
    REQUIRE_INT(clzt_dataset_count(d), 3);
    REQUIRE(has(d, "/3.png") && has(d, "sub/x.png") && has(d, "sub/y.png") && !said[0]);
    clzt_dataset_close(&d);
    REQUIRE_INT(open_part(&d, within("set"), (struct clzt_dataset_params){ .split = s }), 0);
    REQUIRE_INT(clzt_dataset_count(d), 49);
    REQUIRE(strstr(said, "val.txt:5: no training picture is called \"nowhere.png\"") && strstr(said, "1 of 4 names"));
    clzt_dataset_close(&d);
    clzt_split_destroy(&s);

    CASE("split/lists_that_are_refused");
    write_text("val.txt", "gone.png\nabsent.png\n");
    REQUIRE_INT(clzt_split_create(&s, within("val.txt"), 0, &listener), 0);
    REQUIRE_INT(open_part(&d, within("set"), (struct clzt_dataset_params){ .split = s }), -EINVAL);
    REQUIRE(errors == 1 && strstr(said, "no training picture has one of its 2 names"));
    clzt_split_destroy(&s);
    write_text("val.txt", "\n\n");
    said[0] = 0;
    REQUIRE_INT(clzt_split_create(&s, within("val.txt"), 0, &listener), -EINVAL);
    REQUIRE(!s && strstr(said, "val.txt: the list is empty"));
    REQUIRE_INT(clzt_split_create(&s, within("no.txt"), 0, &listener), -ENOENT);
    REQUIRE_INT(clzt_split_create(&s, folder, 0, &listener), -EINVAL);
    REQUIRE(strstr(said, "is not a regular file"));
}

// ---- nearly grey pictures ----

static uint64_t batches(struct clzt_dataset *d)
{
    struct clzt_loader *l = NULL;
    struct clzt_batch *b;
    uint64_t h = CLZK_FNV1A_BASIS;

    REQUIRE_INT(clzt_loader_create(&l, d, &(struct clzt_loader_params){
        .size = 16, .batch = 4, .augment = true, .workers = 2 }), 0);
    for (int i = 0; l && i < 8; i++) {
        REQUIRE_INT(clzt_loader_next(l, &b), 0);
        h = clzk_fnv1a(h, b->ab, 4 * 2 * 256 * sizeof(float));
        h = clzk_fnv1a(h, b->index, 4 * sizeof *b->index);
        clzt_loader_release(l, &b);
    }
    clzt_loader_destroy(&l);
    return h;
}

static void grey(void)
{
    struct clzt_dataset *d = NULL;
    struct clzt_reader *r = NULL;
    struct clzt_picture p;
    uint64_t hash[3];
    char name[40];

    CASE("grey/left_out_and_counted");
    mkdir(within("mixed"), 0777);
    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof name, "mixed/%d.png", i);
        if (i % 3 == 0) write_picture(name, 20 * i, 20 * i, 20 * i);
        else write_picture(name, 250 - i, 10 * i, 10);
    }
    write_text("mixed/5broken.png", "no picture");
    for (int k = 0; k < 3; k++) {           // cached; not; cached in part
        REQUIRE_INT(open_part(&d, within("mixed"), (struct clzt_dataset_params){
            .min_spread = 3, .cache = k != 1, .cache_limit = k == 2 ? 10000 : 0, .threads = 1 + k, .quiet = true }), 0);
        REQUIRE_INT(clzt_dataset_count(d), 11);
        REQUIRE_INT(clzt_dataset_fill(d), 0);
        REQUIRE_INT(clzt_dataset_count(d), 7);
        REQUIRE_INT(clzt_dataset_bad(d), 1);
        REQUIRE_INT(clzt_dataset_cached(d), k == 0 ? 6 : k == 1 ? 0 : 3);
        REQUIRE(strstr(said, "4 of 11 pictures are nearly grey"));
        for (int i = 0; i < 10; i++) {
            snprintf(name, sizeof name, "/%d.png", i);
            REQUIRE(has(d, name) == (i % 3 != 0));
        }
        REQUIRE_INT(clzt_reader_create(&r, d), 0);
        const int order[7] = { 1, 2, 4, 5, 7, 7, 8 };           // the broken one is replaced by the next
        for (int i = 0; i < 7; i++) REQUIRE(!clzt_reader_read(r, i, &p) && p.r[0] == 250 - order[i]);
        clzt_reader_destroy(&r);
        hash[k] = batches(d);
        clzt_dataset_close(&d);
    }
    REQUIRE(hash[0] == hash[1] && hash[0] == hash[2]);

    CASE("grey/all_of_them");
    REQUIRE_INT(open_part(&d, within("mixed/3.png"), (struct clzt_dataset_params){ .min_spread = 3 }), 0);
    REQUIRE_INT(clzt_dataset_fill(d), -EINVAL);
    REQUIRE(errors == 1 && strstr(said, "all pictures are nearly grey"));
    clzt_dataset_close(&d);
}

// ---- shots ----

static void spread(void)
{
    static int shot[1000];
    static int64_t chosen[1000];
    int count[4] = { 0 };
    int64_t n;

    CASE("shots/frames_are_spread_evenly");
    for (int i = 0; i < 1000; i++) shot[i] = i < 700 ? 0 : i < 703 ? 1 : i < 710 ? -1 : i < 720 ? 2 : 3;
    n = clzt_shots_spread(shot, 1000, 7, chosen);
    REQUIRE_INT(n, 7 + 3 + 7 + 7);
    for (int64_t i = 0; i < n; i++) {
        REQUIRE(!i || chosen[i] > chosen[i - 1]);
        count[shot[chosen[i]]]++;
        if (i < 7) REQUIRE_INT(chosen[i], 50 + 100 * i);        // the middles of seven parts of 100
    }
    REQUIRE(count[0] == 7 && count[1] == 3 && count[2] == 7 && count[3] == 7);
    REQUIRE_INT(clzt_shots_spread(shot, 1000, 1000, chosen), 993);
    REQUIRE_INT(clzt_shots_spread(shot, 0, 3, chosen), 0);
}

// A still of 100 frames with grain and, at frame 40, a flash; 30 of a moving picture; 60 of another.
static void cuts(void)
{
    static const int first[] = { 0, 100, 130, 190 };
    struct clzt_dataset *d = NULL;
    struct clzt_reader *r = NULL;
    struct clzt_picture p;
    struct clzt_split *s = NULL;
    int count[3] = { 0 };

    if (!run("ffmpeg -nostdin -v error -f lavfi -i smptehdbars=s=160x96:r=25 -f lavfi -i testsrc2=s=160x96:r=25 -f lavfi "
             "-i mandelbrot=s=160x96:r=25:start_scale=1.5 -filter_complex \""
             "[0]trim=end_frame=100,noise=alls=8:allf=t,drawbox=t=fill:c=white:enable='eq(n,40)',format=yuv420p[a];"
             "[1]trim=end_frame=30,format=yuv420p[b];[2]trim=end_frame=60,format=yuv420p[c];"
             "[a][b][c]concat=n=3\" -c:v mpeg4 -q:v 2 -g 12 -bf 2 cuts.mp4 2>/dev/null")) {
        printf("skip shots of a film: ffmpeg cannot make it\n");
        return;
    }
    CASE("shots/of_a_film_with_known_cuts");
    REQUIRE_INT(open_part(&d, within("cuts.mp4"), (struct clzt_dataset_params){ .shot_frames = 5 }), 0);
    if (!strstr(said, "cuts.mp4: 3 shots; 15 of 190 frames are used")) printf("  %s", said);
    REQUIRE(strstr(said, "cuts.mp4: 3 shots; 15 of 190 frames are used"));
    REQUIRE_INT(clzt_dataset_count(d), 15);
    for (int i = 0; i < clzt_dataset_count(d); i++) {
        const struct clzt_place place = clzt_dataset_place(d, i);
        for (int k = 0; k < 3; k++) count[k] += place.frame >= first[k] && place.frame < first[k + 1];
        REQUIRE(!clzt_dataset_follows(d, i));                   // frames between are left out
    }
    REQUIRE(count[0] == 5 && count[1] == 5 && count[2] == 5);
    REQUIRE_INT(clzt_reader_create(&r, d), 0);
    for (int i = 14; i >= 0; i--) REQUIRE_INT(clzt_reader_try(r, i, &p), 0);
    clzt_reader_destroy(&r);
    clzt_dataset_close(&d);

    CASE("split/films_whole_or_by_frames");
    REQUIRE_INT(clzt_split_create(&s, NULL, 0.3, &listener), 0);
    for (int frames = 0; frames < 2; frames++) {
        int64_t seen[190] = { 0 }, parts[2] = { 0 };
        for (int val = 0; val < 2; val++) {
            const int ret = open_part(&d, within("cuts.mp4"), (struct clzt_dataset_params){
                .split = s, .split_val = val, .split_frames = frames });
            REQUIRE(!ret || (!frames && ret == -EINVAL && strstr(said, "split.films=frames")));
            if (ret) continue;
            parts[val] = clzt_dataset_count(d);
            for (int64_t i = 0; i < parts[val]; i++) seen[clzt_dataset_place(d, i).frame]++;
            clzt_dataset_close(&d);
        }
        for (int i = 0; i < 190; i++) REQUIRE_INT(seen[i], 1);
        REQUIRE(frames ? parts[1] > 30 && parts[1] < 85 : !parts[0] || !parts[1]);
    }
    clzt_split_destroy(&s);

    CASE("grey/frames_of_a_film");
    if (!run("ffmpeg -nostdin -v error -i cuts.mp4 -vf \"hue=s=0:enable='lt(n,100)'\" -q:v 2 -c:v mpeg4 part.mp4")) return;
    REQUIRE_INT(open_part(&d, within("part.mp4"), (struct clzt_dataset_params){ .min_spread = 3 }), 0);
    REQUIRE_INT(clzt_dataset_fill(d), 0);
    REQUIRE_INT(clzt_dataset_count(d), 90);
    REQUIRE(clzt_dataset_place(d, 0).frame == 100 && clzt_dataset_place(d, 89).frame == 189);
    clzt_dataset_close(&d);
}

int main(void)
{
    char command[700];

    if (!mkdtemp(check_temporary(folder, "split"))) SKIP("no folder for temporary files");
    by_hash();
    by_list();
    grey();
    spread();
    cuts();
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (system(command)) printf("  %s: not removed\n", folder);
    return check_end();
}
