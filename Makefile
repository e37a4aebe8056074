# binhash: image search inside SQLite.  `make help` says what there is to make.

CC ?= cc
CFLAGS ?= -O3 -g
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
DATADIR ?= $(PREFIX)/share
INSTALL ?= install
OBJCOPY ?= objcopy
STRIP ?= strip
PYTHON ?= $(firstword $(wildcard /usr/bin/python3) python3)

# The model that is compiled in: the name of a file in weights/, or none.
MODEL ?= photo-64
# 1: link the serial OpenBLAS into the extension instead of finding it at run
# time.  Builds in a folder of its own, so both kinds can exist.
STATIC_BLAS ?= 0
# What `make eval` evaluates, on what, and which parts; sql/eval.sh has defaults.
DATA ?= ../shared/data
MODEL_FILE ?=
SECTIONS ?=
PICTURES ?=

VERSION := $(shell sed -n 's/^\#define BINHASH_VERSION "\(.*\)"/\1/p' \
                   ext/binhash.h)

ifeq ($(STATIC_BLAS),1)
  B := build/static-blas
  BLAS_FLAGS := -DNN_STATIC_BLAS $(shell pkg-config --cflags openblas 2>/dev/null)
  BLAS_LIBS ?= $(firstword $(wildcard /usr/lib/*/openblas-serial/libopenblas.a \
                 /usr/lib64/libopenblas.a /usr/local/lib/libopenblas.a))
  ifeq ($(BLAS_LIBS),)
    $(error STATIC_BLAS=1 needs the static library of libopenblas-serial-dev, \
      or BLAS_LIBS=/path/of/libopenblas.a)
  endif
else
  B := build
endif

OPTIONS := -std=c11 -Wall -Wextra -Wshadow -Wstrict-prototypes \
           -fvisibility=hidden -fPIC -ffp-contract=off -MMD -MP
LDLIBS := -lm -ldl -lpthread
ifneq ($(MODEL),none)
  COMPILED_IN := weights/$(MODEL).safetensors
  MODEL_FLAGS := -DBINHASH_MODEL_FILE='"$(COMPILED_IN)"' \
                 -DBINHASH_MODEL_NAME='"$(MODEL)"'
endif

NN := $(wildcard nn/*.c)
EXT := $(wildcard ext/*.c)
NN_OBJ := $(NN:%.c=$(B)/obj/%.o)
EXT_OBJ := $(EXT:%.c=$(B)/obj/%.o)
CORE_OBJ := $(EXT:%.c=$(B)/obj/core/%.o)

# The importer wants protobuf-c; without it, it alone is left out.
IMPORT := $(wildcard weights/import_*.c weights/prototxt.c weights/caffe*.c \
            weights/onnx*.c weights/quantise*.c) weights/binhash_import.c
PROTOS := $(wildcard weights/*.proto)
PROTO_FLAGS := $(shell pkg-config --cflags libprotobuf-c 2>/dev/null)
PROTO_LIBS := $(shell pkg-config --libs libprotobuf-c 2>/dev/null)
PROTOC_C := $(shell command -v protoc-c)
HAVE_PROTOBUF := $(and $(PROTO_LIBS),$(PROTOC_C))

.PHONY: all loadable static import test check demo eval bench lint asan fuzz \
        install uninstall clean help
all: loadable $(B)/binhash-run import

help:
	@echo 'make              build/binhash.so, binhash-run and binhash-import'
	@echo 'make import       build/binhash-import alone: Caffe and ONNX networks'
	@echo 'make demo         install what is missing, build, search photographs'
	@echo '                  (PICTURES=FOLDER for your own)'
	@echo 'make test         install what is missing, run every test'
	@echo 'make check        the same, without installing anything'
	@echo 'make loadable     build/binhash.so alone'
	@echo 'make static       build/libbinhash.a, for SQLite linked statically'
	@echo 'make STATIC_BLAS=1  build/static-blas/binhash.so, OpenBLAS inside'
	@echo 'make MODEL=none   without the compiled-in model (or MODEL=NAME)'
	@echo 'make eval         retrieval quality (DATA=FILE or FOLDER, MODEL_FILE=FILES,'
	@echo '                  SECTIONS="classes unseen copies views card fine train")'
	@echo 'make bench        speed, beside its peers; bench-index is a part of it'
	@echo 'make bench-peers  install peers: sqlite-vec, FAISS, onnxruntime'
	@echo 'make lint asan fuzz   rules of the house; sanitizers; fuzzers'
	@echo 'make import-peers  install onnxruntime, compare every ONNX network'
	@echo 'make soak         the index under trial for an hour (SOAK=3: for longer)'
	@echo 'make exact        one code for one picture, whatever computes it: hours'
	@echo 'make install uninstall   honour PREFIX ($(PREFIX)) and DESTDIR'
	@echo 'make clean        remove build/'

loadable: $(B)/binhash.so

$(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(OPTIONS) -c -o $@ $<

$(B)/obj/core/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(OPTIONS) -DSQLITE_CORE -c -o $@ $<

STB_IMAGE := $(firstword $(wildcard /usr/include/stb/stb_image.h \
                                    /usr/local/include/stb/stb_image.h))
STB_VERSION := $(shell sed -n '1s/.* - v\([0-9.]*\) .*/\1/p' $(STB_IMAGE) \
                       /dev/null)
$(B)/obj/nn/picture.o: OPTIONS += -DNN_STB_IMAGE_VERSION='"$(STB_VERSION)"'
$(B)/obj/nn/blas.o: OPTIONS += $(BLAS_FLAGS)

# What is compiled in depends on MODEL, which no file's date tells.
$(B)/obj/model.stamp: FORCE
	@mkdir -p $(@D)
	@echo '$(MODEL)' | cmp -s - $@ || echo '$(MODEL)' > $@
.PHONY: FORCE
$(B)/obj/ext/default_model.o $(B)/obj/core/ext/default_model.o: \
    OPTIONS += $(MODEL_FLAGS)
$(B)/obj/ext/default_model.o $(B)/obj/core/ext/default_model.o: \
    $(COMPILED_IN) $(B)/obj/model.stamp

ifeq ($(STATIC_BLAS),1)
$(B)/obj/unused.c: nn/blas_unused.sh
	@mkdir -p $(@D)
	sh nn/blas_unused.sh $(BLAS_LIBS) > $@
$(B)/obj/unused.o: $(B)/obj/unused.c
	$(CC) $(CFLAGS) $(OPTIONS) -c -o $@ $<
BLAS_UNUSED := $(B)/obj/unused.o
$(B)/binhash.so: $(NN_OBJ) $(EXT_OBJ) $(BLAS_UNUSED)
	$(CC) $(CFLAGS) $(LDFLAGS) -shared -Wl,-z,defs -Wl,--gc-sections \
	  -Wl,--exclude-libs,ALL -o $@ $^ $(BLAS_LIBS) $(LDLIBS)
	$(STRIP) --strip-unneeded $@
	@ls -l $@ | awk '{printf "%s: %.1f MB, OpenBLAS inside\n", $$NF, $$5/1e6}'
else
$(B)/binhash.so: $(NN_OBJ) $(EXT_OBJ)
	$(CC) $(CFLAGS) $(LDFLAGS) -shared -Wl,-z,defs -o $@ $^ $(LDLIBS)
endif

$(B)/binhash-run: $(B)/obj/weights/binhash_run.o $(NN_OBJ) $(BLAS_UNUSED)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(BLAS_LIBS) $(LDLIBS)

ifneq ($(HAVE_PROTOBUF),)
PROTO_C := $(PROTOS:weights/%.proto=$(B)/proto/%.pb-c.c)
IMPORT_OBJ := $(IMPORT:%.c=$(B)/obj/%.o) \
              $(PROTO_C:$(B)/proto/%.c=$(B)/obj/proto/%.o)
$(B)/proto/%.pb-c.c: weights/%.proto
	@mkdir -p $(@D)
	$(PROTOC_C) --c_out=$(@D) -I weights $<
$(B)/obj/proto/%.o: $(B)/proto/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(OPTIONS) $(PROTO_FLAGS) -c -o $@ $<
$(IMPORT:%.c=$(B)/obj/%.o): OPTIONS += $(PROTO_FLAGS) -I$(B)/proto
$(IMPORT:%.c=$(B)/obj/%.o): | $(PROTO_C)
import: $(B)/binhash-import
$(B)/binhash-import: $(IMPORT_OBJ) $(NN_OBJ) $(BLAS_UNUSED)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(BLAS_LIBS) $(PROTO_LIBS) -lsqlite3 \
	  $(LDLIBS)
else
import:
	@echo 'left out: binhash-import, without libprotobuf-c-dev and' \
	  'protobuf-c-compiler'
endif

# One object whose only global symbol is the entry point, so that the names of
# nn cannot meet those of the program that links it.
static: $(B)/libbinhash.a
$(B)/libbinhash.a: $(NN_OBJ) $(CORE_OBJ)
	$(CC) -r -nostdlib -o $(B)/obj/libbinhash.o $^
	$(OBJCOPY) --localize-hidden $(B)/obj/libbinhash.o
	rm -f $@
	$(AR) rcs $@ $(B)/obj/libbinhash.o

define PC
prefix=$(PREFIX)
libdir=$(LIBDIR)
includedir=$(INCLUDEDIR)

Name: binhash
Description: image search inside SQLite (static library)
Version: $(VERSION)
Requires: sqlite3
Libs: -L$${libdir} -lbinhash $(if $(BLAS_LIBS),-lopenblas )$(LDLIBS)
Cflags: -I$${includedir}
endef
export PC

install: loadable static $(B)/binhash-run import
	$(INSTALL) -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(LIBDIR)/pkgconfig \
	  $(DESTDIR)$(INCLUDEDIR) $(DESTDIR)$(DATADIR)/binhash
	$(INSTALL) -m 755 $(B)/binhash-run \
	  $(if $(HAVE_PROTOBUF),$(B)/binhash-import) $(DESTDIR)$(PREFIX)/bin/
	$(INSTALL) -m 755 $(B)/binhash.so $(DESTDIR)$(LIBDIR)/
	$(INSTALL) -m 644 $(B)/libbinhash.a $(DESTDIR)$(LIBDIR)/
	$(INSTALL) -m 644 ext/binhash.h $(DESTDIR)$(INCLUDEDIR)/
	$(INSTALL) -m 644 weights/*.safetensors $(DESTDIR)$(DATADIR)/binhash/
	echo "$$PC" > $(DESTDIR)$(LIBDIR)/pkgconfig/binhash.pc

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/binhash-run \
	  $(DESTDIR)$(PREFIX)/bin/binhash-import \
	  $(DESTDIR)$(LIBDIR)/binhash.so $(DESTDIR)$(LIBDIR)/libbinhash.a \
	  $(DESTDIR)$(INCLUDEDIR)/binhash.h \
	  $(DESTDIR)$(LIBDIR)/pkgconfig/binhash.pc
	rm -rf $(DESTDIR)$(DATADIR)/binhash

demo:
	@sh tests/packages.sh demo
	@$(MAKE) --no-print-directory all
	@sh sql/demo.sh $(if $(PICTURES),"$(PICTURES)")

eval: loadable
	@PYTHON='$(PYTHON)' sh sql/eval.sh "$(DATA)" "$(MODEL_FILE)" "$(SECTIONS)"

test:
	@sh tests/packages.sh test
	@$(MAKE) --no-print-directory check

check: all static tests asan-tests tsan-tests
	@CC='$(CC)' PYTHON='$(PYTHON)' MAKE='$(MAKE)' sh tests/run.sh

include tests/tests.mk

clean:
	rm -rf build

-include $(NN_OBJ:.o=.d) $(EXT_OBJ:.o=.d) $(CORE_OBJ:.o=.d) \
         $(B)/obj/weights/binhash_run.d $(IMPORT_OBJ:.o=.d)
