# How tests, fuzzers and benchmarks are built.  Everything comes twice: as the
# extension is compiled, and under the address and undefined-behaviour
# sanitizers (build/asan/).

T := build/tests
A := build/asan
UNITS := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test_*.c))
TRIALS := index_model index_kill index_faults index_corrupt
FUZZERS := fuzz_model fuzz_picture
TEST_OPTIONS := $(OPTIONS) -D_GNU_SOURCE -Wno-missing-field-initializers
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined \
            -fno-omit-frame-pointer
ASAN_NN := $(NN:%.c=$(A)/obj/%.o)
ASAN_EXT := $(EXT:%.c=$(A)/obj/%.o)

.PHONY: tests asan-tests
tests: $(UNITS:%=$(T)/%) $(T)/test_picture_scalar $(T)/mutate_picture \
       $(T)/fuzz_model $(T)/bench_search $(T)/bench_integer \
       $(T)/bench_index $(T)/bench_decode $(TRIALS:%=$(T)/%) $(T)/plain.so
asan-tests: $(UNITS:%=$(A)/%) $(A)/mutate_picture $(A)/fuzz_model \
            $(A)/binhash.so $(A)/index_corrupt

$(T)/%: tests/unit/%.c $(NN_OBJ)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(TEST_OPTIONS) -o $@ $^ $(BLAS_LIBS) -lcmocka -lsqlite3 \
	  $(LDLIBS)

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

$(T)/bench_integer: $(B)/obj/nn/integer.o $(B)/obj/nn/cpu.o

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

# Sanitized -----------------------------------------------------------------

$(A)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) -O1 -g $(SANITIZE) $(OPTIONS) -c -o $@ $<
$(A)/obj/ext/default_model.o: OPTIONS += $(MODEL_FLAGS)
$(A)/obj/ext/default_model.o: $(MODEL_FILE)
$(A)/binhash.so: $(ASAN_NN) $(ASAN_EXT)
	$(CC) $(SANITIZE) -shared -o $@ $^ $(LDLIBS)
$(A)/%: tests/unit/%.c $(ASAN_NN)
	$(CC) -O1 -g $(SANITIZE) $(TEST_OPTIONS) -o $@ $^ -lcmocka -lsqlite3 $(LDLIBS)
$(A)/mutate_picture: tests/fuzz/mutate_picture.c tests/fuzz/fuzz_picture.c \
                     $(ASAN_NN)
	$(CC) -O1 -g $(SANITIZE) $(TEST_OPTIONS) -o $@ $^ $(LDLIBS)
$(A)/fuzz_model: tests/fuzz/fuzz_model.c $(ASAN_NN)
	$(CC) -O1 -g $(SANITIZE) $(TEST_OPTIONS) -DFUZZ_MAIN -o $@ $^ $(LDLIBS)

$(A)/index_corrupt: tests/index/corrupt.c tests/index/index_test.h $(ASAN_NN)
	$(CC) -O1 -g $(SANITIZE) $(TEST_OPTIONS) -o $@ $(filter-out %.h,$^) \
	  -lsqlite3 $(LDLIBS)

asan: asan-tests
	@ONLY=asan sh tests/run.sh

lint:
	@sh tests/lint.sh

.PHONY: bench-index bench-peers
bench: all $(T)/bench_search $(T)/bench_integer $(T)/bench_index \
       $(T)/bench_decode
	@CC='$(CC)' sh tests/bench/bench.sh
bench-index: loadable $(T)/bench_index
	@CC='$(CC)' sh tests/bench/index.sh
bench-peers:
	@sh tests/bench/peers.sh

# One code for one picture, whatever computes it: hours in all.
.PHONY: exact
exact: all
	@CC='$(CC)' PYTHON='$(PYTHON)' sh tests/exact/exact.sh

# The long form of the trials of the index: hours.
.PHONY: soak
soak: all tests asan-tests
	@PYTHON='$(PYTHON)' sh tests/index/index.sh soak

# libFuzzer needs clang; each fuzzer runs for FUZZ_SECONDS.
FUZZ_SECONDS ?= 60
build/fuzz/%: tests/fuzz/%.c $(NN)
	@mkdir -p $(@D)
	clang -O1 -g -fsanitize=fuzzer,address,undefined -std=c11 -D_GNU_SOURCE \
	  -o $@ $< $(NN) $(LDLIBS)
fuzz: $(FUZZERS:%=build/fuzz/%)
	@mkdir -p build/fuzz/model build/fuzz/picture
	build/fuzz/fuzz_model -max_len=16384 -max_total_time=$(FUZZ_SECONDS) \
	  build/fuzz/model weights
	build/fuzz/fuzz_picture -max_len=16384 -max_total_time=$(FUZZ_SECONDS) \
	  build/fuzz/picture tests/golden/pictures

-include $(ASAN_NN:.o=.d) $(ASAN_EXT:.o=.d)
