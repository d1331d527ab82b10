# Faultline's build. `make help` prints the lines below that begin with a question mark.
#
#? make              build the kernel, the programs and the disk image
#? make deps         install what is missing (may stand before other goals: make deps qemu)
#? make qemu         boot; Ctrl-A x ends the emulator, Ctrl-C goes to the program inside
#? make qemu-gdb     boot and wait for a debugger; make gdb in another terminal attaches
#? make test         the memory core on this machine, against a simulated one
#? make grade        every test, host and guest; ONLY=pattern for some of them
#? make grade-on DIST=trixie     the same in a fresh root of another Debian; needs root
#? make soak         random load in the guest, SECONDS=1200
#? make bench        cost of memory operations in instructions, beside Linux's
#? make compare      the same of several pagers, with faults and frames; PAGER=lazy,eager for some of them
#? make check-format, make tidy, make compile_commands.json     for the source and its editors
#? make clean        remove BUILD
#?
#? BUILD=build       where everything built goes
#? PAGER=lazy        the kernel's memory policy: @PAGERS@, or any: all, `pager` chooses
#? CPUS=4 MEM=512M   the emulated machine
#? EXTRA=            more files for the image's /bin (static Linux/RISC-V programs)
#? QEMUEXTRA=        more flags for QEMU
#? BIOS=default      the firmware: QEMU's OpenSBI or a path
#? TOOLPREFIX=       riscv64-linux-gnu- or riscv64-unknown-linux-gnu-, found by itself
#? WERROR=1          0: a warning of the compiler does not stop the build
#? V=1               show commands
#?
#? The disk, BUILD/disk.img, keeps what the guest wrote until a program or EXTRA changes; then it is made
#? anew.
#
# The default goal is `all`, not `help`: a plain `make` in an editor or a shell should compile and show
# errors.

# What PAGER may be: kernel/mm/pagers.hpp lists the classes. Here as lazy=LazyPager and so on.
PAGERS_AND_CLASSES := $(shell grep -oE 'ROW\([A-Z][A-Za-z]*\)' kernel/mm/pagers.hpp | \
  sed 's/ROW(\(\(.*\)Pager\))/\L\2\E=\1/')
PAGERS := $(foreach pair,$(PAGERS_AND_CLASSES),$(firstword $(subst =, ,$(pair))))
# `any` is a kernel with all of them.
pager_class = $(patsubst $(1)=%,%,$(filter $(1)=%,$(PAGERS_AND_CLASSES) any=AnyPager))

BUILD ?= build
PAGER ?= $(firstword $(PAGERS))
CPUS ?= 4
MEM ?= 512M
BIOS ?= default
EXTRA ?=
QEMUEXTRA ?=
V ?= 0
WERROR ?= 1

comma := ,
empty :=
space := $(empty) $(empty)
WARNINGS_ARE_ERRORS := $(if $(filter-out 0,$(WERROR)),-Werror)
Q := $(if $(filter-out 0,$(V)),,@)

# As many jobs at once as the machine has processors; a -j on the command line takes precedence. Makes below
# this one share its jobs.
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc 2>/dev/null || echo 1)
endif

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: FORCE
FORCE:

include kernel/tools.mk

# `make deps`: install what is missing, and nothing when nothing is.

# What the goals beside `deps` need; what only tests and checks need never keeps a kernel from being built and
# booted.
BUILD_PACKAGES := g++-riscv64-linux-gnu libc6-dev-riscv64-cross qemu-system-misc opensbi e2fsprogs python3
TEST_PACKAGES := g++ qemu-user gdb-multiarch device-tree-compiler doctest-dev
CHECK_PACKAGES := libbenchmark-dev debootstrap clang-N libclang-rt-N-dev clang-format-N clang-tidy-N

goals_that_build := all kernel image user qemu qemu-gdb bench compare soak
goals_that_test := test grade mutants
beside = $(filter $(1),$(MAKECMDGOALS))
NEEDED_PACKAGES := $(BUILD_PACKAGES) $(if $(call beside,$(goals_that_test)),$(TEST_PACKAGES)) \
  $(if $(call beside,gdb),gdb-multiarch) $(if $(call beside,bench-host),g++ libbenchmark-dev) \
  $(if $(call beside,grade-on),debootstrap)
# Beside another goal, and beside none, `deps` installs everything.
other_goals_beside := $(filter-out $(goals_that_build) $(goals_that_test) gdb bench-host grade-on,$(or \
  $(filter-out deps clean,$(MAKECMDGOALS)),everything))
WANTED_PACKAGES := $(if $(other_goals_beside),\
  $(filter-out $(NEEDED_PACKAGES),$(TEST_PACKAGES) $(CHECK_PACKAGES)))

.PHONY: deps
deps:
	@sh .ci/deps.sh '$(strip $(NEEDED_PACKAGES))' '$(strip $(WANTED_PACKAGES))' $(OLDEST_CLANG)

.PHONY: clean
clean:
	$(Q)rm -rf $(BUILD) compile_commands.json

# A fresh machine has make and git only, so `make deps qemu` cannot look for a compiler before `deps` has run,
# and `make -j clean all` must not build while it removes. With other goals beside these two, this make runs
# them and hands the rest to a second one, which then finds the tools.
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
ifneq ($(filter-out $(PAGERS) any,$(if $(filter compare,$(MAKECMDGOALS)),$(COMPARED),$(PAGER))),)
$(error PAGER=$(PAGER): expected one of: $(PAGERS) any)
endif

# $(call remember,VARIABLE): recipe of a file that holds the variable's value and changes only when it does.
# What is built with the variable depends on the file.
define remember
@mkdir -p $(@D)
@printf '%s\n' '$($(1))' | cmp -s - $@ || printf '%s\n' '$($(1))' > $@
endef

# $(call precompile,COMPILER AND FLAGS): recipe of X.gch, the compiled form of the header X. GCC takes it in
# the place of X, which sources get by -include; so X is a copy, beside which the compiled one may stand.
define copy
@mkdir -p $(@D)
$(Q)cp $< $@
endef
define precompile
@echo "  CXX  $<"
$(Q)$(1) -x c++-header $< -o $@
endef

# What a goal needs in the end is looked for before it begins: nobody builds for minutes to hear of an old
# emulator.
goals_that_boot := qemu qemu-gdb grade soak bench compare
goals_that_cross := all kernel image user $(goals_that_boot)
goals_on_this_machine := test grade bench-host
asked = $(filter $(1),$(or $(MAKECMDGOALS),$(.DEFAULT_GOAL)))
looked_for := $(if $(call asked,$(goals_that_cross)),$(CROSS_CXX)) \
  $(if $(call asked,$(goals_that_boot)),$(QEMU)) $(if $(call asked,$(goals_on_this_machine)),$(HOSTCXX))

.PHONY: all
all: kernel image

include kernel/kernel.mk
# The shell for this machine, too, is compiled by a g++ that is new enough.
USER_HOST_CXX ?= $(HOSTCXX)
-include user/user.mk
include mkfs/mkfs.mk
-include test/host/host.mk
include test/test.mk

# The emulated machine. The device tree tells the kernel all of it; aclint=on adds the registers with which
# one hart interrupts another without a firmware call.
QEMUFLAGS = -M virt,aclint=on -cpu rv64 -smp $(CPUS) -m $(MEM) -nographic -nic none -bios $(BIOS) \
  -kernel $(KERNEL_ELF) -global virtio-mmio.force-legacy=false \
  -drive file=$(DISK_IMAGE),if=none,format=raw,id=disk -device virtio-blk-device,drive=disk \
  -device virtio-rng-device $(QEMUEXTRA)

# Each user has a port, so that two people can debug on one machine.
GDB_PORT ?= $(shell expr 26000 + $$(id -u) % 6000)
GDB_INIT ?= $(BUILD)/gdbinit
GDBFLAGS ?=

.PHONY: qemu qemu-gdb gdb
qemu: $(KERNEL_ELF) $(DISK_IMAGE)
	$(Q)$(PYTHON) -B mkfs/check_disk.py $(DISK_IMAGE)
	$(Q)$(QEMU) $(QEMUFLAGS)

qemu-gdb: $(KERNEL_ELF) $(DISK_IMAGE) $(GDB_INIT)
	$(Q)$(PYTHON) -B mkfs/check_disk.py $(DISK_IMAGE)
	@echo "QEMU waits for gdb on port $(GDB_PORT): run \`make gdb\` in another terminal."
	$(Q)$(QEMU) $(QEMUFLAGS) -S -gdb tcp::$(GDB_PORT)

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
