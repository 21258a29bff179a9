# Makefile - non-recursive; `make help` lists the targets. ./configure writes config.mak; without it, make first runs
# ./configure --install-deps, so that `make check` alone sets everything up.

ifeq ($(wildcard config.mak),)

.DEFAULT_GOAL := all
.PHONY: all help check bench demo install clean distclean
all check bench demo install:
	$(dir $(lastword $(MAKEFILE_LIST)))configure --install-deps
	$(MAKE) -f $(lastword $(MAKEFILE_LIST)) $@
help clean distclean:
	@echo "run ./configure first (./configure --help)"

else

include config.mak
VPATH = $(SRC)
BUILD ?= build
V ?= 0
ifeq ($(V),0)
Q = @
say = @printf '  %-5s %s\n' $(1) $(2)
endif

VERSION = 0.1.0
SONAME = libcolorize.so.0
CPPFLAGS_ALL = -D_GNU_SOURCE -I$(SRC) -I$(SRC)/engine $(CPPFLAGS)
warnings = -Wall -Wextra -Wshadow -Wmissing-prototypes
CFLAGS_ALL = -std=gnu11 -O2 -g -fPIC -fvisibility=hidden $(warnings) $(CFLAGS_CONFIG) $(CFLAGS)
LIBS_ENGINE = $(PKG_LIBS) -ldnnl -lpthread -lm
LIBS_ALL = $(AV_LIBS) $(LIBS_ENGINE)

rel = $(patsubst $(SRC)/%,%,$(wildcard $(addprefix $(SRC)/,$(1))))
kernels := $(call rel,kernels/*.c)
ifneq ($(ARCH_X86),yes)
kernels := $(filter-out %_avx2.c %_avx512.c,$(kernels))
endif
base := $(call rel,base/*.c)
engine := $(call rel,engine/*.c engine/ref/*.c engine/cpu/*.c) $(base) $(kernels)
cuda_kernels := $(call rel,kernels/cuda/*.cu)
cuda_host := $(call rel,kernels/cuda/*.c)
trainer := $(call rel,trainer/*.c trainer/nets/*.c)
batch_sources := $(call rel,tools/batch/*.c)
tests := $(filter-out tests/fuzz_% tests/fake% tests/stub_% tests/bench_% tests/emulated_% tests/gpu_%,$(call rel,tests/*.c))
not_tests := run.sh bench.sh make_model.sh filter_setup.sh batch_setup.sh gpu.sh gpu_bundle.sh gpu_ffmpeg.sh
scripts := $(filter-out $(addprefix tests/,$(not_tests)),$(call rel,tests/*.sh))
fuzzers := $(call rel,tests/fuzz_*.c)

ifneq ($(WITH_EMULATION),yes)
tests := $(filter-out tests/cuda_%,$(tests))
endif
ifneq ($(WITH_CUDA),yes)
tests := $(filter-out tests/dnn_% tests/cuda_device.c,$(tests))
endif

objects = $(1:%.c=$(BUILD)/%.o)
programs = $(1:%.c=$(BUILD)/%)
lib_static = $(BUILD)/libcolorize.a
lib_shared = $(BUILD)/$(SONAME)
train = $(BUILD)/colorize-train
batch = $(BUILD)/colorize-batch
sample = $(BUILD)/samples/colorize_ppm
plugin = $(BUILD)/gst/libgstcolorize.so
plugin_sources = gst/gstcolorize.c gst/$(if $(filter yes,$(WITH_GST_CUDA)),,no_)cuda_memory.c

.PHONY: all lib filter gst check bench demo fuzz install uninstall clean distclean help check-cuda bench-cuda train-cuda \
    cuda-bundle
.DEFAULT_GOAL := all
all: lib $(train) $(batch) $(sample)
lib: $(lib_static) $(lib_shared)

ifeq ($(WITH_FILTER),yes)
all: filter
filter: $(lib_shared)
	$(Q)sh $(SRC)/filter/build-lavfi.sh --engine=$(abspath $(lib_shared)) --libdir=$(LIBDIR) --preload=$(SANITIZER) \
	    $(abspath $(BUILD))/filter
endif

ifeq ($(WITH_GST),yes)
all: gst
gst: $(plugin)
else
tests := $(filter-out tests/gst.c,$(tests))
endif

$(BUILD)/%_avx2.o: CFLAGS_ALL += -mavx2 -mfma
$(BUILD)/%_avx512.o: CFLAGS_ALL += -mavx512f -mavx512bw -mavx512vl -mavx512dq
$(BUILD)/kernels/%.o: CFLAGS_ALL += -O3
$(BUILD)/trainer/%.o: CFLAGS_ALL += $(AV_CFLAGS) -O3
$(BUILD)/tools/%.o: CFLAGS_ALL += $(BATCH_CFLAGS)
$(BUILD)/gst/%.o: CFLAGS_ALL += $(GST_CFLAGS)
$(BUILD)/gst/cuda_memory.o $(BUILD)/tests/fake_gst_cuda.o: CFLAGS_ALL += $(GST_CFLAGS) $(GST_CUDA_CFLAGS)
$(BUILD)/tests/%.o: CFLAGS_ALL += -I$(SRC)/tests $(AV_CFLAGS)
$(BUILD)/tests/gst.o $(BUILD)/tests/bench_gst.o: CFLAGS_ALL += $(GST_CFLAGS) -DGST_SYSTEM_PLUGINS='"$(GST_SYSTEM_PLUGINS)"'
$(BUILD)/tests/gst $(BUILD)/tests/bench_gst: LIBS_ALL += $(GST_TEST_LIBS)

# ---- CUDA kernels ----

# For the plug-in: CU_KERNELS is what it links. A binary for each major version, of which sm_80's runs on 86 and 89, too, and the
# intermediate code of the last one for cards to come. They take minutes: for one card alone, make CUDA_ARCHS=90.
CUDA_ARCHS ?= 75 80 90 100 120
last_arch = $(lastword $(CUDA_ARCHS))
cuda_archs = $(foreach a,$(CUDA_ARCHS),-gencode arch=compute_$(a),code=sm_$(a)) \
    -gencode arch=compute_$(last_arch),code=compute_$(last_arch) -Xfatbin -compress-all
NVCC_FLAGS = -std=c++17 -O2 -I$(SRC) $(cuda_archs) -Xcompiler -fPIC,-fvisibility=hidden,-fno-exceptions,-fno-rtti \
    -Xcompiler -fno-threadsafe-statics -Werror all-warnings
cuda_device := $(call rel,engine/cuda/*.c)
$(BUILD)/engine/cuda/%.o $(BUILD)/tests/dnn_%.o: CFLAGS_ALL += -isystem $(CUDA_HOME)/include
LIBS_CUDA = -L$(CUDA_HOME)/lib64 -Wl,-rpath,'$(CUDA_HOME)/lib64' -lcudnn -lcublas -lcudart_static -ldl -lrt -lpthread -lm
# The test asks cuDNN without a GPU; the toolkit's library folder has no driver.
$(BUILD)/tests/dnn_probe: $(BUILD)/tests/dnn_probe.o $(patsubst %,$(BUILD)/engine/cuda/%.o,dnn plan_cache conv_problem) \
    $(call objects,$(filter trainer/nets%,$(trainer))) $(lib_static)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_CONFIG) $(LDFLAGS) $^ -o $@ $(LIBS_CUDA) $(LIBS_ENGINE)

ifeq ($(WITH_NVCC),yes)
CU_KERNELS = $(patsubst kernels/%.cu,$(BUILD)/%.o,$(cuda_kernels)) $(call objects,$(cuda_host))
endif

# The plug-in that device=cuda opens at run time. It contains the parts of the library that it needs.
plugin_cuda = $(BUILD)/libcolorize-cuda.so.0
$(plugin_cuda): $(call objects,$(cuda_device)) $(CU_KERNELS) $(lib_static)
	$(call say,LD,$@)
	$(Q)$(CC) -shared -Wl,-soname,$(@F),--no-undefined,--exclude-libs,ALL,-rpath,'$$ORIGIN' $(LDFLAGS_CONFIG) $(LDFLAGS) $^ -o $@ \
	    $(LIBS_CUDA) $(LIBS_ENGINE)
ifeq ($(WITH_CUDA),yes)
all: $(plugin_cuda)
endif

$(BUILD)/cuda/%.o: kernels/cuda/%.cu config.mak
	@mkdir -p $(@D)
	$(call say,NVCC,$<)
	$(Q)$(NVCC) $(NVCC_FLAGS) -MMD -MP -MF $(@:.o=.d) -c $< -o $@

# For the tests, which have no GPU: the same sources as C++ for the CPU, with sanitizers.
emulation_flags = -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
emulated_cu = $(patsubst %.cu,$(BUILD)/emulation/%.o,$(cuda_kernels) tests/cuda_faults.cu)
emulated = $(emulated_cu) $(BUILD)/emulation/tests/cuda_emu.o

$(emulated_cu): $(BUILD)/emulation/%.o: %.cu config.mak
	@mkdir -p $(@D)
	$(call say,CXX,$<)
	$(Q)$(compile_emulated)
$(BUILD)/emulation/tests/cuda_emu.o: tests/cuda_emu.cpp config.mak
	@mkdir -p $(@D)
	$(call say,CXX,$<)
	$(Q)$(compile_emulated)
# clang's check of function types would need the C++ library.
compile_emulated = $(CXX) -x c++ -std=gnu++17 -O1 -g -fno-exceptions -fno-rtti -Wall -Wextra -Wno-unknown-pragmas \
    $(emulation_flags) $(if $(findstring clang,$(CXX)),-fno-sanitize=function) -I$(SRC) -I$(SRC)/tests \
    -include $(SRC)/tests/cuda_emu.h -MMD -MP -c $< -o $@

$(BUILD)/%.o: %.c config.mak
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(PKG_CFLAGS) $(CFLAGS_ALL) -MMD -MP -c $< -o $@

$(lib_static): $(call objects,$(engine))
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^

$(lib_shared): $(call objects,$(engine))
	$(call say,LD,$@)
	$(Q)$(CC) -shared -Wl,-soname,$(SONAME) $(LDFLAGS_CONFIG) $(LDFLAGS) $^ -o $(BUILD)/libcolorize.so.$(VERSION) $(LIBS_ENGINE)
	$(Q)ln -sf libcolorize.so.$(VERSION) $@ && ln -sf $(SONAME) $(BUILD)/libcolorize.so

# $(call link_plugin,OUTPUT,RPATH): linked once for the build folder and once more, with another rpath, for the installed library.
link_plugin = $(CC) -shared $(LDFLAGS_CONFIG) $(LDFLAGS) $(call objects,$(plugin_sources)) -o $(1) -Wl,-rpath,'$(2)' \
    $(lib_shared) $(GST_LIBS) $(GST_CUDA_LIBS)

$(plugin): $(call objects,$(plugin_sources)) $(lib_shared)
	$(call say,LD,$@)
	$(Q)$(call link_plugin,$@,$$ORIGIN/..)

$(train): $(call objects,$(trainer)) $(lib_static)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_CONFIG) $(LDFLAGS) $^ -o $@ $(LIBS_ALL)

$(batch): $(call objects,$(batch_sources)) $(lib_static)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_CONFIG) $(LDFLAGS) $^ -o $@ $(BATCH_LIBS) $(LIBS_ENGINE)

$(sample): $(BUILD)/samples/colorize_ppm.o $(lib_static)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_CONFIG) $(LDFLAGS) $^ -o $@ $(LIBS_ENGINE)

# ---- tests ----

$(BUILD)/tests/cuda_%.o: CFLAGS_ALL += $(emulation_flags)
# The CUDA device over the emulated kernels and runtime, with the main() of ops.c.
$(BUILD)/tests/cuda_device.o $(BUILD)/tests/emulated_%.o: CFLAGS_ALL += -isystem $(CUDA_HOME)/include
$(BUILD)/tests/cuda_device: $(BUILD)/tests/emulated_runtime.o $(BUILD)/tests/ops_main.o \
    $(BUILD)/tests/window_main.o $(BUILD)/tests/answers_main.o $(BUILD)/tests/gan_main.o \
    $(filter-out %/dnn.o,$(call objects,$(cuda_device))) \
    $(call objects,$(filter-out trainer/main.c,$(trainer)))
$(BUILD)/tests/cuda_device: LDFLAGS += -Wl,--wrap=clzi_device_open,--wrap=clzi_pipeline_create
$(BUILD)/tests/cuda_device: LIBS_ENGINE += $(AV_LIBS)
$(BUILD)/tests/%_main.o: tests/%.c config.mak
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(PKG_CFLAGS) $(CFLAGS_ALL) -I$(SRC)/tests $(AV_CFLAGS) -Dmain=$*_main -Wno-missing-prototypes \
	    -MMD -MP -c $< -o $@

$(call programs,$(filter tests/cuda_%,$(tests))): %: %.o $(emulated) $(call objects,$(cuda_host)) $(lib_static)
	$(call say,LD,$@)
	$(Q)$(CC) $(emulation_flags) $(LDFLAGS_CONFIG) $(LDFLAGS) $^ -o $@ $(LIBS_ENGINE)

test_objects = $(call objects,$(filter-out trainer/main.c,$(trainer)))
test_programs = $(call programs,$(tests))
# In a test named oom*, any allocation can be made to fail: calls of malloc and similar functions go to its __wrap_ functions.
wrap_flags = $(addprefix -Wl$(comma)--wrap=,malloc calloc realloc aligned_alloc posix_memalign free strdup strndup asprintf \
    vasprintf fopen open_memstream opendir fdopendir pthread_create)
wrap = $(if $(findstring tests/oom,$(1)),$(wrap_flags)) $(if $(findstring tests/queue,$(1)),-Wl$(comma)--wrap=clzi_device_open) \
    $(if $(filter %tests/queue %tests/window,$(1)),-Wl$(comma)--wrap=clzi_pipeline_create) \
    $(if $(findstring tests/fields,$(1)),-Wl$(comma)--wrap=clzi_exec_forward)
comma := ,

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(test_objects) $(lib_static)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_CONFIG) $(LDFLAGS) $^ -o $@ $(call wrap,$@) $(LIBS_ALL)

# For tests/gst_cuda.sh.
ifeq ($(WITH_GST_CUDA),yes)
gst_cuda = $(BUILD)/tests/fake_gst_cuda
$(gst_cuda): $(BUILD)/tests/fake_gst_cuda.o
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_CONFIG) $(LDFLAGS) $^ -o $@ $(GST_TEST_LIBS) $(GST_CUDA_LIBS)
endif

check: all $(test_programs) $(BUILD)/tests/bench_net $(gst_cuda)
	$(Q)BUILD=$(abspath $(BUILD)) SRC=$(SRC) sh $(SRC)/tests/run.sh $(abspath $(test_programs)) $(addprefix $(SRC)/,$(scripts))

$(patsubst tests/%,check-%,$(basename $(tests) $(scripts))): check-%: all $(BUILD)/tests/bench_net $(gst_cuda)
	$(Q)$(if $(filter tests/$*.c,$(tests)),$(MAKE) --no-print-directory $(BUILD)/tests/$*)
	$(Q)BUILD=$(abspath $(BUILD)) SRC=$(SRC) VERBOSE=1 sh $(SRC)/tests/run.sh \
	    $(if $(filter tests/$*.c,$(tests)),$(abspath $(BUILD)/tests/$*),$(SRC)/tests/$*.sh)

# On a machine with a GPU; cuda-bundle packs the same for a machine that has no more than the driver, cuDNN and cuBLAS.
# DT_RPATH, not DT_RUNPATH: the bundle's libraries find each other by it, too, and nothing has to be set for other programs.
gpu_programs = $(patsubst %,$(BUILD)/gpu/%,gpu_check gpu_bench ops)
gpu_objects = $(filter trainer/nets%,$(trainer)) \
    $(patsubst %,trainer/%.c,step phase_pixel phase_adversarial perceptual net_state checkpoint loss gan)
$(gpu_programs): $(BUILD)/gpu/%: $(BUILD)/tests/%.o $(call objects,$(gpu_objects)) $(lib_static)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_CONFIG) $(LDFLAGS) $^ -o $@ -Wl,--disable-new-dtags,-rpath,'$$ORIGIN/../lib' $(LIBS_ENGINE) -ldl
	$(Q)ln -sf ../libcolorize-cuda.so.0 $(@D)       # where the programs look first
check: $(gpu_programs)                                  # they are not run, but they are built
check-cuda bench-cuda train-cuda: all $(gpu_programs)
	$(Q)BIN=$(abspath $(BUILD)/gpu) TRAINER=$(abspath $(train)) SRC=$(SRC) sh $(SRC)/tests/gpu.sh $(@:%-cuda=%)
# TRAINER_OBJECTS, LIBS: how the script links the trainer once more, with its own FFmpeg libraries.
cuda-bundle: all $(gpu_programs)
	$(Q)BUILD=$(abspath $(BUILD)) SRC=$(abspath $(SRC)) CC='$(CC)' \
	    TRAINER_OBJECTS='$(abspath $(call objects,$(trainer)) $(lib_static))' \
	    LIBS='$(LDFLAGS_CONFIG) $(LDFLAGS) $(filter -lyaml,$(AV_LIBS)) $(LIBS_ENGINE)' \
	    sh $(SRC)/tests/gpu_bundle.sh

bench_sources = $(filter-out $(if $(filter yes,$(WITH_GST)),,tests/bench_gst.c),$(call rel,tests/bench_*.c)) \
    tests/ops.c tests/data.c
benches = $(call programs,$(bench_sources))
bench: all $(benches) $(BUILD)/gpu/gpu_bench
	$(Q)BUILD=$(abspath $(BUILD)) SRC=$(SRC) sh $(SRC)/tests/bench.sh

# Fuzz targets need clang and its runtime (packages clang, libclang-rt-14-dev). The head of tests/fuzz_filter.c tells how to build
# that target.
fuzz_targets = $(addprefix $(BUILD)/fuzz/,fuzz_model fuzz_pth fuzz_hints fuzz_coco fuzz_answers)
fuzz: $(fuzz_targets)
parser := $(filter engine/model%.c $(patsubst %,engine/%.c,bytes safetensors graph op fuse),$(engine)) \
    $(filter kernels/colour_table.c,$(kernels)) $(patsubst %,base/%.c,atomic_file log sha256)
$(BUILD)/fuzz/fuzz_model: tests/fuzz_model.c
$(BUILD)/fuzz/fuzz_pth: tests/fuzz_pth.c tests/pth_files.h $(filter trainer/pth% trainer/tensors%,$(trainer)) \
    $(call rel,trainer/*.h)
$(BUILD)/fuzz/fuzz_hints: tests/fuzz_hints.c engine/hints.c
$(BUILD)/fuzz/fuzz_answers: tests/fuzz_answers.c engine/answers.c
$(BUILD)/fuzz/fuzz_coco: tests/fuzz_coco.c trainer/coco.c trainer/json_stream.c $(call rel,trainer/*.h)
$(fuzz_targets): $(parser) $(call rel,engine/*.h engine/*.def) Makefile
	@mkdir -p $(@D)
	$(call say,FUZZ,$@)
	$(Q)clang -std=gnu11 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -Wno-unknown-pragmas \
	    $(CPPFLAGS_ALL) $(PKG_CFLAGS) $(filter %.c,$^) -o $@ $(PKG_LIBS) $(AV_LIBS) -lpthread -lm

demo: all
	$(Q)BUILD=$(abspath $(BUILD)) SRC=$(SRC) sh $(SRC)/samples/demo.sh

# ---- install ----

DEST = $(DESTDIR)$(PREFIX)
DESTLIB = $(DESTDIR)$(LIBDIR)
DESTCONF = $(DESTDIR)/etc/ld.so.conf.d
lavfi = $(wildcard $(BUILD)/filter/out/libavfilter.so.*)

install: all
	install -d "$(DEST)/bin" "$(DEST)/include" "$(DESTLIB)/pkgconfig" "$(DEST)/share/colorize"
	install -m 755 $(train) "$(DEST)/bin/colorize-train"
	install -m 755 $(batch) "$(DEST)/bin/colorize-batch"
	install -m 644 $(SRC)/engine/colorize.h "$(DEST)/include/colorize.h"
	install -m 755 $(BUILD)/libcolorize.so.$(VERSION) "$(DESTLIB)/libcolorize.so.$(VERSION)"
	ln -sf libcolorize.so.$(VERSION) "$(DESTLIB)/$(SONAME)"
	ln -sf $(SONAME) "$(DESTLIB)/libcolorize.so"
	if [ $(WITH_CUDA) = yes ]; then install -m 755 $(plugin_cuda) "$(DESTLIB)/$(notdir $(plugin_cuda))"; fi
	install -m 644 $(lib_static) "$(DESTLIB)/libcolorize.a"
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@VERSION@|$(VERSION)|' \
	    -e 's|@LIBS@|$(LIBS_ENGINE) $(LDFLAGS_CONFIG)|' $(SRC)/engine/colorize.pc.in >"$(DESTLIB)/pkgconfig/colorize.pc"
	if [ -e $(SRC)/samples/model.bin ]; then install -m 644 $(SRC)/samples/model.bin "$(DEST)/share/colorize/model.bin"; fi
	if [ -n "$(lavfi)" ]; then install -d "$(DESTLIB)/colorize-ffmpeg" && install -m 755 $(lavfi) "$(DESTLIB)/colorize-ffmpeg/"; fi
	if [ -n "$(lavfi)" ]; then \
	    install -d "$(DESTCONF)" 2>/dev/null && [ -w "$(DESTCONF)" ] && \
	    printf '%s\n%s\n' '$(LIBDIR)/colorize-ffmpeg' '$(LIBDIR)' >"$(DESTCONF)/00-colorize.conf" || \
	    echo "$(DESTCONF) cannot be written: for the filter, run LD_LIBRARY_PATH=$(LIBDIR)/colorize-ffmpeg:$(LIBDIR) ffmpeg ..."; fi
	if [ -n "$(GST_LIBS)" ]; then \
	    install -d "$(DESTDIR)$(GST_PLUGINDIR)" && $(call link_plugin,"$(DESTDIR)$(GST_PLUGINDIR)/libgstcolorize.so",$(LIBDIR)); fi
	if [ -z "$(DESTDIR)" ] && [ "$$(id -u)" = 0 ]; then ldconfig; fi

uninstall:
	rm -f "$(DEST)/bin/colorize-train" "$(DEST)/bin/colorize-batch" "$(DEST)/include/colorize.h" \
	    "$(DESTLIB)/libcolorize.so" "$(DESTLIB)/$(SONAME)" \
	    "$(DESTLIB)/libcolorize.so.$(VERSION)" "$(DESTLIB)/libcolorize.a" "$(DESTLIB)/pkgconfig/colorize.pc" \
	    "$(DEST)/share/colorize/model.bin" "$(DESTLIB)"/colorize-ffmpeg/libavfilter.so.* "$(DESTCONF)/00-colorize.conf" \
	    "$(DESTDIR)$(GST_PLUGINDIR)/libgstcolorize.so" "$(DESTLIB)/$(notdir $(plugin_cuda))"
	rmdir --ignore-fail-on-non-empty "$(DEST)/share/colorize" "$(DESTLIB)/colorize-ffmpeg" "$(DESTLIB)/pkgconfig" \
	    $(if $(filter $(LIBDIR)/%,$(GST_PLUGINDIR)),"$(DESTDIR)$(GST_PLUGINDIR)") 2>/dev/null || true
	if [ -z "$(DESTDIR)" ] && [ "$$(id -u)" = 0 ]; then ldconfig; fi

clean:
	rm -rf $(addprefix $(BUILD)/,gst base engine tools kernels cuda emulation gpu cuda-bundle trainer tests samples fuzz) \
	    $(BUILD)/*colorize* $(BUILD)/cuda-bundle.tar.xz
distclean:
	rm -rf $(BUILD) demo config.mak config.h config.log

help:
	@echo "make            library, trainer, colorize-batch, filter, GStreamer element"
	@echo "make check      all tests; make check-NAME: one of them, with its output"
	@echo "make bench      speed, as ratios to a peer or a limit"
	@echo "make demo       colours a film (FILM=path: your own) and shows the scores"
	@echo "make fuzz       fuzz targets (clang)"
	@echo "make install uninstall     PREFIX from configure, DESTDIR="
	@echo "make clean distclean       what was built; all that configure and make wrote"
	@echo "V=1 shows commands, BUILD=folder builds elsewhere"

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
.SECONDARY:

endif
