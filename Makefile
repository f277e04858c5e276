# Everything is built into build/, except two files that Go embeds, which must be in the directories of their packages:
# cmd/crak/embed/libcrak.so and restore/interp/interp.bin. Git tracks no binary file.

GO ?= go
CC = gcc
PREFIX ?= /usr/local
DESTDIR ?=
FUZZTIME ?= 10s
SOAK ?= 10m
GENERATIONS ?= 1000
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2

# If the checkout belongs to another user than the builder, git refuses to read it, and then go build would fail.
GOFLAGS_BUILD = -trimpath -buildvcs=false
WARNINGS = -std=gnu11 -Wall -Wextra -Werror
STAMP = -s -w -X main.version=$(VERSION)
# crak looks at its limits before the Go runtime starts: see cmd/crak/entry.go.
ENTRY = -E main.entry

INTERP_C = $(wildcard restore/interp/*.[cS] restore/interp/*/*.[cS])
INTERP_LD = $(firstword $(wildcard restore/interp/*.ld restore/interp/*/*.ld))
INTERP_FLAGS = $(WARNINGS) -O2 -Iinternal/abi -ffreestanding -fno-builtin -fpie -fvisibility=hidden \
	-fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none -mgeneral-regs-only
INTERP_LINK = -nostdlib -static -no-pie -Wl,-T,$(INTERP_LD) -Wl,--build-id=none -Wl,-z,noexecstack

# libcrak.so is a Go program (the writer) linked with the resident's C by GNU ld. postlink then hides the Go part from the
# loader. With immediate binding (-z now), each start of a program would resolve functions that only the writer calls.
SHIM_C = $(wildcard shim/*.[cS])
SHIM_LAYOUT = shim/crak.ld shim/crak.map
SHIM_LINK = -nostartfiles -fuse-ld=bfd -Wl,-z,defs -Wl,-z,lazy -Wl,-e,crak_entry -Wl,-T,$(CURDIR)/shim/crak.ld \
	-Wl,--version-script=$(CURDIR)/shim/crak.map
# go build notices only changes to files of the package itself. abi.h is in another directory, so its checksum is in the flags.
SHIM_CFLAGS = -g -O2 -DABI_SUM_OF_FILE=0x$(shell sha256sum internal/abi/abi.h | cut -c1-8)

SHELL_FILES = $(wildcard examples/*) $(wildcard scripts/setup scripts/test scripts/demo .ci/run)
C_FILES = $(wildcard shim/*.c scripts/bench/workloads/*.c testdata/programs/*.c)

.PHONY: all test lint bench soak fuzz demo install clean force
.DELETE_ON_ERROR:

all: build/crak build/crak-lab build/libcrak.so

# go build decides what is out of date. It does not know the files of SHIM_LAYOUT, so make compares those.
build/linked/libcrak.so: force $(SHIM_LAYOUT) Makefile | build
	@mkdir -p $(@D)
	@for f in $(SHIM_LAYOUT) Makefile; do [ ! $@ -ot $$f ] || rm -f $@; done
	CGO_ENABLED=1 CC="$(CC)" CGO_CFLAGS="$(SHIM_CFLAGS)" $(GO) build $(GOFLAGS_BUILD) -buildmode=c-shared -o $@ \
		-ldflags "$(STAMP) -extldflags '$(SHIM_LINK)'" ./shim

build/libcrak.so: build/linked/libcrak.so $(wildcard shim/postlink/*.go)
	$(GO) run $(GOFLAGS_BUILD) ./shim/postlink $< $@

build/interp: $(INTERP_C) $(INTERP_LD) $(wildcard restore/interp/*.h restore/interp/*/*.h) internal/abi/abi.h Makefile | build
	$(CC) $(INTERP_FLAGS) -o $@ $(INTERP_C) $(INTERP_LINK)

restore/interp/interp.bin: build/interp
	cp $< $@

cmd/crak/embed/libcrak.so: build/libcrak.so
	@mkdir -p $(@D)
	@cmp -s $< $@ || cp -p $< $@

build/crak: cmd/crak/embed/libcrak.so restore/interp/interp.bin force | build
	CGO_ENABLED=0 $(GO) build $(GOFLAGS_BUILD) -ldflags "$(STAMP) $(ENTRY)" -o $@ ./cmd/crak

build/crak-lab: force | build
	CGO_ENABLED=0 $(GO) build $(GOFLAGS_BUILD) -ldflags "$(STAMP)" -o $@ ./cmd/crak-lab

build:
	@mkdir -p $@

demo: all
	scripts/demo

test: all
	$(GO) test ./...

lint: all
	@unformatted=$$(gofmt -l cmd coord dump fd image internal lab restore scripts shim); \
		test -z "$$unformatted" || { echo "not gofmt'ed: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) test -run '^(TestPackageDocs|TestDocuments)$$' ./cmd/crak # the lists of files
	$(GO) run $(STATICCHECK) ./...
	@for f in $(C_FILES); do $(CC) $(WARNINGS) -D_GNU_SOURCE -O2 -Iinternal/abi -Ishim -fopenmp -fsyntax-only "$$f" || exit 1; done
	shellcheck -x $(SHELL_FILES)

bench: all
	$(GO) run ./scripts/bench

# Checkpoints programs that use every feature, without a pause, for the time SOAK, and takes a group through GENERATIONS of
# checkpoint, kill and restart. SEED makes a run of the group again.
soak: all
	SOAK=$(SOAK) GENERATIONS=$(GENERATIONS) $(GO) test ./lab -count=1 -v -timeout 0 -run 'TestSuite/.*/^(storm|group_storm|group_soak)$$'

# Runs each fuzz target for FUZZTIME.
fuzz: all
	@set -e; for package in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' "$$package" | grep '^Fuzz' || true); do \
			echo "$$package $$target"; \
			$(GO) test "$$package" -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 100x; \
		done; \
	done

MAN = $(DESTDIR)$(PREFIX)/share/man/man1
BASH = $(DESTDIR)$(PREFIX)/share/bash-completion/completions
ZSH = $(DESTDIR)$(PREFIX)/share/zsh/site-functions
FISH = $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib $(DESTDIR)$(PREFIX)/include $(MAN) $(BASH) $(ZSH) $(FISH)
	install -m 755 build/crak build/crak-lab $(DESTDIR)$(PREFIX)/bin
	install -m 755 build/libcrak.so $(DESTDIR)$(PREFIX)/lib/libcrak.so
	install -m 644 shim/crak.h $(DESTDIR)$(PREFIX)/include/crak.h
	build/crak man $(MAN)
	build/crak completion bash >$(BASH)/crak
	build/crak completion zsh >$(ZSH)/_crak
	build/crak completion fish >$(FISH)/crak.fish
	@test -n "$(DESTDIR)" || ldconfig 2>/dev/null || true

clean:
	rm -rf build cmd/crak/embed restore/interp/interp.bin
