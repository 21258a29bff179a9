// validate.c - scores of a model on pictures: the network gets the input that the model file describes.
#include <errno.h>
#include <unistd.h>

#include "check.h"
#include "engine/backend.h"
#include "engine/graph.h"
#include "engine/model.h"
#include "features_model.h"
#include "trainer/nets.h"
#include "trainer/sheet.h"
#include "trainer/validate.h"

enum { SIZE = 32 };

// a = weight_a x + bias_a, b = weight_b x + bias_b
static struct clzt_scores scores(struct clzi_device *dev, struct clzt_dataset *data, float l_scale, float l_offset, float *weight,
                                 float *bias)
{
    struct clzt_validation v = { .model.l1 = NAN };
    float *values[] = { weight, bias };
    struct clzi_graph *g = NULL;

    REQUIRE_INT(clzi_graph_create(&g), 0);
    clzi_graph_conv(g, "out", clzi_graph_input(g, "L", .channels = 1), .channels = 2, .k = 1, .bias = 1);
    REQUIRE_INT(g->param_count, 2);
    REQUIRE_INT(clzt_validate(dev, g, values, data, &(struct clzt_validate_params){
        .size = SIZE, .batch = 2, .luma = CLZT_LUMA_601, .l_scale = l_scale, .l_offset = l_offset, .saturation = 1,
        .workers = 1 }, &v), 0);
    clzi_graph_destroy(&g);
    return v.model;
}

// Scores of the colour bias everywhere, beside the same colour as the mean of the training set; features: NULL or a model file.
static int flat_scores(struct clzi_device *dev, struct clzt_dataset *data, float *bias, const char *features,
                       struct clzt_validation *v)
{
    float *values[] = { (float[]){ 0, 0 }, bias };
    struct clzi_graph *g = NULL;
    int ret;

    REQUIRE_INT(clzi_graph_create(&g), 0);
    clzi_graph_conv(g, "out", clzi_graph_input(g, "L", .channels = 1), .channels = 2, .k = 1, .bias = 1);
    ret = clzt_validate(dev, g, values, data, &(struct clzt_validate_params){
        .size = SIZE, .batch = 2, .luma = CLZT_LUMA_601, .l_scale = 50, .l_offset = 1, .saturation = 1, .workers = 1,
        .own = true, .film = true, .features = features, .mean = { bias[0], bias[1] } }, v);
    clzi_graph_destroy(&g);
    return ret;
}

static void features_and_film(struct clzi_device *dev, struct clzt_dataset *data, const char *folder)
{
    struct clzt_validation v;
    char path[300];

    snprintf(path, sizeof path, "%s/features.bin", folder);
    write_features(path);
    CASE("validate/fd_of_equal_colours_is_equal");
    REQUIRE_INT(flat_scores(dev, data, (float[]){ 0.3f, -0.2f }, path, &v), 0);
    REQUIRE(v.model.fd > 0);
    REQUIRE_NEAR(v.model.fd, v.mean.fd, 1e-6 * v.model.fd);
    REQUIRE(v.own.fd > 0 && fabs(v.own.fd - v.model.fd) > 1e-3 * v.model.fd);
    REQUIRE_NEAR(v.own.cf_abs_true, v.model.cf_abs_true, 0);
    CASE("validate/film_of_pictures_in_a_folder");
    REQUIRE_NEAR(v.model.change, 0, 0);     // the same colour in all frames; the truth's changes
    REQUIRE(v.model.change_true > 0.1);
    REQUIRE(v.own.change > 0.1);
    REQUIRE(isnan(v.model.cdc));            // three frames are too few
    CASE("validate/features_of_another_net");
    unlink(path);
    REQUIRE(flat_scores(dev, data, (float[]){ 0, 0 }, path, &v) < 0);
}

int main(void)
{
    const char *where = getenv("TMPDIR");
    uint8_t rgb[SIZE * SIZE * 3];
    char folder[200], path[300];
    const char *const paths[] = { folder };
    struct clzt_dataset *data = NULL;
    struct clzi_device *dev = NULL;
    struct clzt_scores ours, other, plain;

    snprintf(folder, sizeof folder, "%s/colorize-validate-XXXXXX", where ? where : P_tmpdir);
    if (!mkdtemp(folder)) SKIP("no folder for temporary files");
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < SIZE * SIZE * 3; k++) rgb[k] = (uint8_t)(k * (i + 3) / 7 + k % 3 * 40);
        snprintf(path, sizeof path, "%s/%d.png", folder, i);
        REQUIRE_INT(clzt_png_write(path, rgb, SIZE, SIZE, 3 * SIZE, NULL), 0);
    }
    REQUIRE_INT(clzi_device_open(&dev, "ref", &(struct clzi_device_params){ .threads = 1 }), 0);
    REQUIRE_INT(clzt_dataset_open(&data, &(struct clzt_dataset_params){ .paths = paths, .path_count = 1, .min_side = SIZE }), 0);

    CASE("validate/input_is_scaled_as_the_model_says");         // L/50 - 1 = 2 (L/100) - 1, so both models predict the same
    ours = scores(dev, data, 50, 1, (float[]){ 0.2f, -0.1f }, (float[]){ 0.05f, 0.1f });
    other = scores(dev, data, 100, 0, (float[]){ 0.4f, -0.2f }, (float[]){ 0.05f - 0.2f, 0.1f + 0.1f });
    plain = scores(dev, data, 100, 0, (float[]){ 0.2f, -0.1f }, (float[]){ 0.05f, 0.1f });
    REQUIRE_INT(ours.pictures, 3);
    REQUIRE_NEAR(other.l1, ours.l1, 1e-7);
    REQUIRE(fabs(plain.l1 - ours.l1) > 1e-3);

    features_and_film(dev, data, folder);
    clzt_dataset_close(&data);
    clzi_device_close(&dev);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%d.png", folder, i);
        unlink(path);
    }
    rmdir(folder);
    return check_end();
}
