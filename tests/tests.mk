# How tests, fuzzers and benchmarks are built.  Everything comes twice: as the
# extension is compiled, and under the address and undefined-behaviour
# sanitizers (build/asan/).

T := build/tests
A := build/asan
S := build/tsan
UNITS := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test_*.c))
TRIALS := index_model index_kill index_faults index_corrupt
TSAN := test_bulk test_floats test_multi test_top
FUZZERS := fuzz_model fuzz_picture
TEST_OPTIONS := $(OPTIONS) -D_GNU_SOURCE -Wno-missing-field-initializers
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined \
            -fno-omit-frame-pointer
ASAN_NN := $(NN:%.c=$(A)/obj/%.o)
ASAN_EXT := $(EXT:%.c=$(A)/obj/%.o)

.PHONY: tests asan-tests tsan-tests
tests: $(UNITS:%=$(T)/%) $(T)/test_picture_scalar $(T)/mutate_picture \
       $(T)/fuzz_model $(T)/bench_search $(T)/bench_integer \
       $(T)/bench_index $(T)/bench_each $(T)/bench_decode \
       $(TRIALS:%=$(T)/%) $(T)/plain.so $(T)/eval.so
asan-tests: $(UNITS:%=$(A)/%) $(A)/mutate_picture $(A)/fuzz_model \
            $(A)/binhash.so $(A)/index_corrupt
tsan-tests: $(TSAN:%=$(S)/%)

$(T)/%: tests/unit/%.c $(NN_OBJ)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(TEST_OPTIONS) -o $@ $^ $(BLAS_LIBS) -lcmocka -lsqlite3 \
	  $(LDLIBS)

# The quantiser is of the tools, and needs no protobuf.
QUANTISE := $(wildcard weights/quantise*.c)
$(T)/test_quantise: $(QUANTISE:%.c=$(B)/obj/%.o)
$(A)/test_quantise: $(QUANTISE:%.c=$(A)/obj/%.o)

# The same pictures with stb_image's plain C in place of its SSE2 or NEON.
$(T)/picture_scalar.o: nn/picture.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(OPTIONS) -DNN_STB_NO_SIMD -c -o $@ $<
$(T)/test_picture_scalar: tests/unit/test_picture.c $(T)/picture_scalar.o \
                          $(filter-out %/picture.o,$(NN_OBJ))
	$(CC) $(CFLAGS) $(TEST_OPTIONS) -o $@ $^ $(BLAS_LIBS) -lcmocka $(LDLIBS)

$(T)/mutate_picture: tests/fuzz/mutate_picture.c tests/fuzz/fuzz_picture.c \
                     $(NN_OBJ)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(TEST_OPTIONS) -o $@ $^ $(BLAS_LIBS) $(LDLIBS)
$(T)/fuzz_model: tests/fuzz/fuzz_model.c $(NN_OBJ)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(TEST_OPTIONS) -DFUZZ_MAIN -o $@ $^ $(BLAS_LIBS) $(LDLIBS)
# The importer's readers, without its command line.
ifneq ($(HAVE_PROTOBUF),)
IMPORT_READERS := $(filter-out %/binhash_import.o,$(IMPORT_OBJ))
IMPORT_TESTS := fuzz_import fuzz_onnx
tests: $(IMPORT_TESTS:%=$(T)/%)
asan-tests: $(IMPORT_TESTS:%=$(A)/%) $(A)/binhash-import
$(IMPORT_TESTS:%=$(T)/%): $(T)/%: tests/fuzz/%.c $(IMPORT_READERS) $(NN_OBJ)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(TEST_OPTIONS) $(PROTO_FLAGS) -I$(B)/proto -DFUZZ_MAIN \
	  -o $@ $^ $(BLAS_LIBS) $(PROTO_LIBS) -lsqlite3 $(LDLIBS)
ASAN_IMPORT := $(IMPORT:%.c=$(A)/obj/%.o) \
               $(PROTO_C:$(B)/proto/%.c=$(A)/obj/proto/%.o)
$(A)/obj/proto/%.o: $(B)/proto/%.c
	@mkdir -p $(@D)
	$(CC) -O1 -g $(SANITIZE) $(OPTIONS) $(PROTO_FLAGS) -c -o $@ $<
$(IMPORT:%.c=$(A)/obj/%.o): OPTIONS += $(PROTO_FLAGS) -I$(B)/proto
$(IMPORT:%.c=$(A)/obj/%.o): | $(PROTO_C)
$(A)/binhash-import: $(ASAN_IMPORT) $(ASAN_NN)
	$(CC) $(SANITIZE) -o $@ $^ $(PROTO_LIBS) -lsqlite3 $(LDLIBS)
$(IMPORT_TESTS:%=$(A)/%): $(A)/%: tests/fuzz/%.c \
    $(filter-out %/binhash_import.o,$(ASAN_IMPORT)) $(ASAN_NN)
	$(CC) -O1 -g $(SANITIZE) $(TEST_OPTIONS) $(PROTO_FLAGS) -I$(B)/proto \
	  -DFUZZ_MAIN -o $@ $^ $(PROTO_LIBS) -lsqlite3 $(LDLIBS)
endif

$(T)/bench_%: tests/bench/bench_%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(TEST_OPTIONS) -o $@ $(filter-out %.h,$^) -lsqlite3 $(LDLIBS)

$(T)/bench_index: $(wildcard tests/bench/index_*.c) tests/bench/bench_index.h

$(T)/index_%: tests/index/%.c tests/index/index_test.h
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(TEST_OPTIONS) -o $@ $(filter-out %.h,$^) $(BLAS_LIBS) \
	  -lsqlite3 $(LDLIBS)
$(T)/index_model: tests/index/model_queries.h tests/index/model_sides.h
$(T)/index_faults: tests/index/fault_files.h tests/unit/sqlite_faults.h
$(T)/index_corrupt: $(NN_OBJ)
$(T)/plain.so: tests/index/plain.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(TEST_OPTIONS) -fvisibility=default -shared -o $@ $<

# The evaluation's own functions.
eval: $(T)/eval.so
$(T)/eval.so: $(wildcard tests/eval/*.[ch])
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(TEST_OPTIONS) -shared -o $@ $(filter %.c,$^) -lm

$(T)/bench_integer: $(NN_OBJ)

# libjpeg-turbo is a peer in a benchmark and in one test, and nowhere else.
ifneq ($(wildcard /usr/include/jpeglib.h /usr/local/include/jpeglib.h),)
  JPEG_FLAGS := -DHAVE_LIBJPEG
  JPEG_LIBS := -ljpeg
endif
$(T)/bench_decode $(T)/test_samples $(A)/test_samples: \
    TEST_OPTIONS += $(JPEG_FLAGS)
$(T)/bench_decode $(T)/test_samples $(A)/test_samples: \
    LDLIBS += $(JPEG_LIBS)
$(T)/bench_decode: $(NN_OBJ)

# Kernels for instructions that this CPU lacks, by SIMDe's emulation of all of
# them; only where libsimde-dev is installed, since nothing else needs it.  What
# it makes of one kernel takes compilers minutes to optimise, hence -O0.
E := build/emulated
EMULATED := $(if $(wildcard /usr/include/simde/x86/avx512.h),\
              test_floats test_integer test_planes test_codes \
              test_features test_halves test_quantise test_tiles)
EMULATED_SRC := nn/cpu.c nn/mix.c $(shell grep -l 'immintrin.h' nn/*.c)
EMULATED_NN := $(EMULATED_SRC:%.c=$(E)/obj/%.o)
$(E)/obj/%.o: %.c $(wildcard tests/emulated/*.h)
	@mkdir -p $(@D)
	$(CC) -O0 $(OPTIONS) -Wno-psabi -Itests/emulated -DSIMDE_ENABLE_NATIVE_ALIASES \
	  '-DNN_TARGET(x)=' -DNN_CPU_EMULATED -c -o $@ $<
$(E)/tiles.o: tests/emulated/tiles.c tests/emulated/tiles.h
	@mkdir -p $(@D)
	$(CC) -O2 -g $(OPTIONS) -c -o $@ $<
EMULATED_OBJ := $(EMULATED_NN) $(E)/tiles.o \
                $(filter-out $(EMULATED_SRC:%.c=$(B)/obj/%.o),$(NN_OBJ))
$(E)/%: tests/unit/%.c $(EMULATED_OBJ)
	$(CC) -O2 -g $(TEST_OPTIONS) -o $@ $^ $(BLAS_LIBS) -lcmocka -lsqlite3 \
	  $(LDLIBS)
$(E)/test_quantise: $(QUANTISE:%.c=$(B)/obj/%.o)
$(E)/test_tiles: tests/emulated/test_tiles.c $(EMULATED_OBJ)
	$(CC) -O2 -g $(TEST_OPTIONS) -o $@ $^ $(BLAS_LIBS) -lcmocka $(LDLIBS)
# The extension on a CPU that has everything.
$(E)/binhash.so: $(EMULATED_OBJ) $(EXT_OBJ)
	$(CC) $(CFLAGS) -shared -o $@ $^ $(BLAS_LIBS) $(LDLIBS)
tests: $(EMULATED:%=$(E)/%) $(if $(strip $(EMULATED)),$(E)/binhash.so)
-include $(EMULATED_NN:.o=.d)

# Sanitized -----------------------------------------------------------------

$(A)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) -O1 -g $(SANITIZE) $(OPTIONS) -c -o $@ $<
$(A)/obj/ext/default_model.o: OPTIONS += $(MODEL_FLAGS)
$(A)/obj/ext/default_model.o: $(COMPILED_IN)
$(A)/binhash.so: $(ASAN_NN) $(ASAN_EXT)
	$(CC) $(SANITIZE) -shared -o $@ $^ $(LDLIBS)
$(A)/%: tests/unit/%.c $(ASAN_NN)
	$(CC) -O1 -g $(SANITIZE) $(TEST_OPTIONS) -o $@ $^ -lcmocka -lsqlite3 $(LDLIBS)
$(A)/mutate_picture: tests/fuzz/mutate_picture.c tests/fuzz/fuzz_picture.c \
                     $(ASAN_NN)
	$(CC) -O1 -g $(SANITIZE) $(TEST_OPTIONS) -o $@ $^ $(LDLIBS)
$(A)/fuzz_model: tests/fuzz/fuzz_model.c $(ASAN_NN)
	$(CC) -O1 -g $(SANITIZE) $(TEST_OPTIONS) -DFUZZ_MAIN -o $@ $^ $(LDLIBS)

# Under the thread sanitizer, which sees whether the workers' ways cross.
$(S)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) -O1 -g -fsanitize=thread $(OPTIONS) -Wno-maybe-uninitialized -c -o $@ $<
$(S)/%: tests/unit/%.c $(NN:%.c=$(S)/obj/%.o)
	$(CC) -O1 -g -fsanitize=thread $(TEST_OPTIONS) -o $@ $^ -lcmocka $(LDLIBS)

$(A)/index_corrupt: tests/index/corrupt.c tests/index/index_test.h $(ASAN_NN)
	$(CC) -O1 -g $(SANITIZE) $(TEST_OPTIONS) -o $@ $(filter-out %.h,$^) \
	  -lsqlite3 $(LDLIBS)

asan: asan-tests
	@ONLY=asan sh tests/run.sh

lint:
	@sh tests/lint.sh

.PHONY: bench-index bench-peers
bench: all $(T)/bench_search $(T)/bench_integer $(T)/bench_index \
       $(T)/bench_each $(T)/bench_decode
	@CC='$(CC)' sh tests/bench/bench.sh
bench-index: loadable $(T)/bench_index
	@CC='$(CC)' sh tests/bench/index.sh
bench-peers:
	@sh tests/bench/peers.sh

# One code for one picture, whatever computes it: hours in all.
.PHONY: exact
exact: all
	@CC='$(CC)' PYTHON='$(PYTHON)' sh tests/exact/exact.sh

# The long form of the trials of the index; SOAK=3 makes it longer.
.PHONY: soak
soak: all tests asan-tests
	@PYTHON='$(PYTHON)' sh tests/index/index.sh soak

# libFuzzer needs clang; each fuzzer runs for FUZZ_SECONDS.
FUZZ_SECONDS ?= 60
build/fuzz/%: tests/fuzz/%.c $(NN)
	@mkdir -p $(@D)
	clang -O1 -g -fsanitize=fuzzer,address,undefined -std=c11 -D_GNU_SOURCE \
	  -o $@ $< $(NN) $(LDLIBS)
$(IMPORT_TESTS:%=build/fuzz/%): build/fuzz/%: tests/fuzz/%.c $(IMPORT) \
    $(PROTO_C) $(NN)
	@mkdir -p $(@D)
	clang -O1 -g -fsanitize=fuzzer,address,undefined -std=c11 -D_GNU_SOURCE \
	  $(PROTO_FLAGS) -I$(B)/proto -o $@ \
	  $(filter-out weights/binhash_import.c,$^) $(PROTO_LIBS) -lsqlite3 \
	  $(LDLIBS)
fuzz: $(FUZZERS:%=build/fuzz/%) $(IMPORT_TESTS:%=build/fuzz/%)
	@mkdir -p build/fuzz/model build/fuzz/picture
	build/fuzz/fuzz_model -max_len=16384 -max_total_time=$(FUZZ_SECONDS) \
	  build/fuzz/model weights
	build/fuzz/fuzz_picture -max_len=16384 -max_total_time=$(FUZZ_SECONDS) \
	  build/fuzz/picture tests/golden/pictures
	@for f in $(IMPORT_TESTS); do \
	  mkdir -p build/fuzz/$${f#fuzz_}; \
	  build/fuzz/$$f -max_len=16384 -max_total_time=$(FUZZ_SECONDS) \
	    build/fuzz/$${f#fuzz_} || exit 1; \
	done

# Every operator and network of ONNX against onnxruntime: an hour.
.PHONY: import-peers
import-peers: all
	@sh tests/venv.sh build/venv onnxruntime onnx
	@sh tests/import/import.sh peers

-include $(ASAN_NN:.o=.d) $(ASAN_EXT:.o=.d) $(ASAN_IMPORT:.o=.d) \
         $(NN:%.c=$(S)/obj/%.d)
