# Faultline's build. `make help` prints the lines below that begin with a question mark.
#
#? make              build the kernel, the programs and the disk image
#? make deps         install what is missing (may stand before other goals: make deps qemu)
#? make qemu         boot; Ctrl-A x ends the emulator, Ctrl-C goes to the program inside
#? make qemu-gdb     boot and wait for a debugger; make gdb in another terminal attaches
#? make test         the memory core on this machine, against a simulated one
#? make grade        every test, host and guest; ONLY=pattern for some of them
#? make soak         random load in the guest, SECONDS=1200
#? make bench        cost of memory operations in instructions, beside Linux's
#? make compare      the same of several pagers, with faults and frames; PAGER=lazy,eager for some of them
#? make check-format, make tidy, make compile_commands.json     for the source and its editors
#? make clean        remove BUILD
#?
#? BUILD=build       where everything built goes
#? PAGER=lazy        the kernel's memory policy: @PAGERS@
#? CPUS=4 MEM=512M   the emulated machine
#? EXTRA=            more files for the image's /bin (static Linux/RISC-V programs)
#? QEMUEXTRA=        more flags for QEMU
#? BIOS=default      the firmware: QEMU's OpenSBI or a path
#? TOOLPREFIX=       riscv64-linux-gnu- or riscv64-unknown-linux-gnu-, found by itself
#? V=1               show commands
#?
#? The disk, BUILD/disk.img, keeps what the guest wrote until a program or EXTRA changes; then it is made anew.
#
# The default goal is `all`, not `help`: a plain `make` in an editor or a shell should compile and show errors.

# What PAGER may be: kernel/mm/pagers.hpp lists the classes. Here as lazy=LazyPager and so on.
PAGERS_AND_CLASSES := $(shell grep -oE 'ROW\([A-Z][A-Za-z]*\)' kernel/mm/pagers.hpp | sed 's/ROW(\(\(.*\)Pager\))/\L\2\E=\1/')
PAGERS := $(foreach pair,$(PAGERS_AND_CLASSES),$(firstword $(subst =, ,$(pair))))
pager_class = $(patsubst $(1)=%,%,$(filter $(1)=%,$(PAGERS_AND_CLASSES)))

BUILD ?= build
PAGER ?= $(firstword $(PAGERS))
CPUS ?= 4
MEM ?= 512M
BIOS ?= default
EXTRA ?=
QEMUEXTRA ?=
V ?= 0

comma := ,
empty :=
space := $(empty) $(empty)
Q := $(if $(filter-out 0,$(V)),,@)

# As many jobs at once as the machine has processors; a -j on the command line takes precedence. Makes below this one
# share its jobs.
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc 2>/dev/null || echo 1)
endif

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: FORCE
FORCE:

# `make deps`: install what is missing, and nothing when nothing is.

# The cross compiler and its libc, the emulator and the disk tools; what debugs, tests and checks. Debian 12's default
# clang, 14, cannot read GCC 12's <expected> (it lacks conditionally trivial destructors); 19 can.
DEBIAN_PACKAGES := \
  g++ gcc-riscv64-linux-gnu g++-riscv64-linux-gnu libc6-dev-riscv64-cross \
  qemu-system-misc qemu-user opensbi e2fsprogs python3 \
  gdb-multiarch device-tree-compiler \
  doctest-dev libbenchmark-dev clang-19 libclang-rt-19-dev clang-format-19 clang-tidy-19

.PHONY: deps
deps:
	@if ! command -v apt-get >/dev/null; then \
	  echo "make deps installs with apt-get, which is not here. Please install, by the names of your system:"; \
	  echo "  $(DEBIAN_PACKAGES)"; exit 0; \
	fi; \
	missing=; for p in $(DEBIAN_PACKAGES); do \
	  dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q ' installed$$' || missing="$$missing $$p"; \
	done; \
	[ -n "$$missing" ] || exit 0; \
	as_root=; if [ "$$(id -u)" != 0 ]; then \
	  command -v sudo >/dev/null || { echo "make deps: neither root nor sudo; install:$$missing"; exit 1; }; \
	  as_root=sudo; \
	fi; \
	echo "make deps: installing$$missing"; \
	$$as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update && \
	$$as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
	  -o Dpkg::Use-Pty=0 install $$missing >/dev/null

.PHONY: clean
clean:
	$(Q)rm -rf $(BUILD) compile_commands.json

# A fresh machine has make and git only, so `make deps qemu` cannot look for a compiler before `deps` has run, and
# `make -j clean all` must not build while it removes. With other goals beside these two, this make runs them and
# hands the rest to a second one, which then finds the tools.
first_goals := $(filter deps clean,$(MAKECMDGOALS))
other_goals := $(filter-out deps clean,$(MAKECMDGOALS))
ifneq ($(and $(first_goals),$(other_goals)),)

.PHONY: $(other_goals) goals_after_first
$(other_goals): goals_after_first ; @:
goals_after_first: $(first_goals)
	@$(MAKE) --no-print-directory $(other_goals)

else

# `make compare` takes several, PAGER=lazy,eager, and without the variable all.
COMPARED := $(if $(filter file,$(origin PAGER)),$(PAGERS),$(subst $(comma), ,$(PAGER)))
ifneq ($(filter-out $(PAGERS),$(if $(filter compare,$(MAKECMDGOALS)),$(COMPARED),$(PAGER))),)
$(error PAGER=$(PAGER): expected one of: $(PAGERS))
endif

# $(call need,TOOL): its name if it is installed, else one line that says what to do. The variables below are
# expanded in recipes, so a missing tool stops only the goals that use it; the first use replaces the variable
# by its value.
need = $(if $(shell command -v $(1)),$(1),$(error $(1) not found; run `make deps`))
once = $(eval $(1) := $(2))$($(1))

found_toolprefix := $(firstword $(foreach p,riscv64-linux-gnu- riscv64-unknown-linux-gnu-,$(if $(shell command -v $(p)g++),$(p))))
ifndef TOOLPREFIX
TOOLPREFIX = $(or $(found_toolprefix),$(error riscv64-linux-gnu-g++ not found; run `make deps`))
endif

CLANGXX = $(call once,CLANGXX,$(call need,clang++-19))
HOSTCXX = $(call once,HOSTCXX,$(call need,g++))
PYTHON = $(call once,PYTHON,$(call need,python3))
QEMU = $(call once,QEMU,$(call need,qemu-system-riscv64))

# $(call remember,VARIABLE): recipe of a file that holds the variable's value and changes only when it does.
# What is built with the variable depends on the file.
define remember
@mkdir -p $(@D)
@printf '%s\n' '$($(1))' | cmp -s - $@ || printf '%s\n' '$($(1))' > $@
endef

# $(call precompiled_header,COPY,HEADER,COMPILER AND FLAGS,PREREQUISITES): HEADER, compiled. GCC takes COPY.gch in place of
# COPY, which sources get by -include.
define precompiled_header
$(1): $(2)
	@mkdir -p $$(@D)
	$$(Q)cp $$< $$@
$(1).gch: $(1) $(4)
	@echo "  CXX  $(2)"
	$$(Q)$(3) -x c++-header $$< -o $$@
-include $(1).d
endef

.PHONY: all
all: kernel image

include kernel/kernel.mk
-include user/user.mk
include mkfs/mkfs.mk
-include test/host/host.mk
include test/test.mk

# The emulated machine. The device tree tells the kernel all of it; aclint=on adds the registers with which one
# hart interrupts another without a firmware call.
QEMUFLAGS = -M virt,aclint=on -cpu rv64 -smp $(CPUS) -m $(MEM) -nographic -nic none -bios $(BIOS) -kernel $(KERNEL_ELF) \
  -global virtio-mmio.force-legacy=false \
  -drive file=$(DISK_IMAGE),if=none,format=raw,id=disk -device virtio-blk-device,drive=disk \
  -device virtio-rng-device $(QEMUEXTRA)

# Each user has a port, so that two people can debug on one machine.
GDB_PORT ?= $(shell expr 26000 + $$(id -u) % 6000)
GDB_INIT ?= $(BUILD)/gdbinit
GDBFLAGS ?=

.PHONY: qemu qemu-gdb gdb
qemu: $(KERNEL_ELF) $(DISK_IMAGE)
	$(Q)$(QEMU) $(QEMUFLAGS)

qemu-gdb: $(KERNEL_ELF) $(DISK_IMAGE) $(GDB_INIT)
	@echo "QEMU waits for gdb on port $(GDB_PORT): run \`make gdb\` in another terminal."
	$(Q)$(QEMU) $(QEMUFLAGS) -S -gdb tcp::$(GDB_PORT)

GDB ?= $(or $(shell command -v gdb-multiarch),$(shell command -v $(found_toolprefix)gdb),$(call need,gdb-multiarch))

gdb: $(KERNEL_ELF) $(GDB_INIT)
	$(Q)$(GDB) -q -x $(GDB_INIT) $(GDBFLAGS)

gdb_settings = $(KERNEL_ELF) $(GDB_PORT)
$(GDB_INIT).settings: FORCE
	$(call remember,gdb_settings)

$(GDB_INIT): .gdbinit.tmpl $(GDB_INIT).settings
	@sed -e 's|@KERNEL@|$(KERNEL_ELF)|g' -e 's|@PORT@|$(GDB_PORT)|g' -e 's|@BUILD@|$(BUILD)|g' $< > $@

.PHONY: help
help:
	@sed -n -e 's/@PAGERS@/$(PAGERS)/' -e 's/^#? \{0,1\}//p' $(filter %Makefile %.mk,$(MAKEFILE_LIST))

endif
