// backend.c - which device device=NAME opens, and the message if it does not open.
#include <errno.h>

#include "backend.h"
#include "check.h"

struct messages { char all[2000]; int warnings, errors; };

static void collect(void *priv, enum clz_log_level level, const char *text)
{
    struct messages *m = priv;
    const size_t used = strlen(m->all);

    snprintf(m->all + used, sizeof m->all - used, "%s\n", text);
    m->errors += level == CLZ_LOG_ERROR;
    m->warnings += level == CLZ_LOG_WARNING;
}

static int open_device(struct clzi_device **dev, const char *name, enum clz_precision precision, struct messages *m)
{
    *m = (struct messages){ 0 };
    return clzi_device_open(dev, name, &(struct clzi_device_params){
        .precision = precision, .threads = 1, .log = { collect, m, CLZ_LOG_INFO } });
}

static const struct clzi_backend *backend(struct clzi_device *dev) { return clzi_device_base(dev)->backend; }

int main(void)
{
    static const char *const unknown[] = { "gpu", "", "cpuu", "cp", "cuda0", "CPU" };
    struct clzi_device *dev;
    struct messages m;

    CASE("backend/list_is_by_priority_and_ends_with_ref");
    for (int i = 0; clzi_backends[i]; i++) {
        if (clzi_backends[i + 1]) REQUIRE(clzi_backends[i]->priority > clzi_backends[i + 1]->priority);
        else REQUIRE_STR(clzi_backends[i]->name, "ref");
    }

    CASE("backend/auto_takes_the_fastest_and_logs_it");
    for (int i = 0; i < 2; i++) {
        REQUIRE_INT(open_device(&dev, i ? "auto" : NULL, CLZ_PRECISION_AUTO, &m), 0);
        if (!dev) continue;
        REQUIRE(strstr(m.all, clzi_device_base(dev)->describe));
        REQUIRE(clzi_device_base(dev)->precision != CLZ_PRECISION_AUTO);
        REQUIRE(!m.errors);
        REQUIRE_INT(m.warnings > 0, backend(dev) == &clzi_backend_ref);     // ref is slow: a warning
        clzi_device_close(&dev);
        REQUIRE(!dev);
    }

    CASE("backend/ref_by_name");
    REQUIRE_INT(open_device(&dev, "ref", CLZ_PRECISION_AUTO, &m), 0);
    REQUIRE(dev && backend(dev) == &clzi_backend_ref);
    REQUIRE(dev && clzi_device_base(dev)->precision == CLZ_PRECISION_F32);
    REQUIRE(dev && clzi_device_base(dev)->threads == 1);
    REQUIRE_INT(m.warnings + m.errors, 0);
    clzi_device_close(&dev);
    clzi_device_close(&dev);

    CASE("backend/ref_refuses_bf16_and_an_index");
    REQUIRE_INT(open_device(&dev, "ref", CLZ_PRECISION_BF16, &m), -ENOTSUP);
    REQUIRE(!dev && m.errors && strstr(m.all, "f32"));
    REQUIRE_INT(open_device(&dev, "ref:1", CLZ_PRECISION_AUTO, &m), -EINVAL);
    REQUIRE(!dev && m.errors == 1 && strstr(m.all, "ref:1"));

    CASE("backend/unknown_names_are_refused_with_the_known_ones");
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        REQUIRE_INT(open_device(&dev, unknown[i], CLZ_PRECISION_AUTO, &m), -EINVAL);
        REQUIRE(!dev);
        REQUIRE_INT(m.errors, 1);
        REQUIRE(strstr(m.all, "auto, cpu, ref, cuda"));
    }
    REQUIRE_INT(open_device(&dev, "cpu:x", CLZ_PRECISION_AUTO, &m), -EINVAL);
    REQUIRE_INT(open_device(&dev, "cpu:-1", CLZ_PRECISION_AUTO, &m), -EINVAL);
    REQUIRE_INT(open_device(&dev, "ref:", CLZ_PRECISION_AUTO, &m), -EINVAL);

    // Without the plug-in, its libraries, a driver or a GPU the message says which; with all of them the device opens.
    CASE("backend/cuda_that_cannot_be_had_is_named");
    for (int i = 0; i < 2; i++) {
        const int ret = open_device(&dev, i ? "cuda:0" : "cuda", CLZ_PRECISION_AUTO, &m);
        REQUIRE_INT(m.errors, ret < 0);
        REQUIRE(strstr(m.all, "cuda"));
        REQUIRE(ret >= 0 || ret == -ENOTSUP);
        REQUIRE(ret >= 0 || strlen(m.all) > strlen("device cuda: "));
        clzi_device_close(&dev);
    }
    REQUIRE_INT(open_device(&dev, "cuda:x", CLZ_PRECISION_AUTO, &m), -EINVAL);
    REQUIRE_INT(open_device(&dev, "cuda/x", CLZ_PRECISION_AUTO, &m), -EINVAL);
    REQUIRE(strstr(m.all, "device cuda/x: no number"));
    REQUIRE_INT(open_device(&dev, "cpu/0", CLZ_PRECISION_AUTO, &m), 0);
    clzi_device_close(&dev);
    return check_end();
}
