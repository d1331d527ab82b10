# The kernel: $(BUILD)/kernel-$(PAGER).elf, or with CHECK_LOCKS=1 $(BUILD)/kernel-$(PAGER)-checked.elf.
#
#? CHECK_LOCKS=0     1: a kernel that checks the order of its locks (kernel/lib/lock_rank.hpp) and
#?                   fills freed frames with junk; also for make grade
#
# The portable core (MM_SRCS) is compiled once for all pagers here, and by test/host for the host: the pager
# is chosen where the kernel instantiates it, never inside the core. So is all else that knows of no process;
# what does (PAGER_SRCS) is compiled once for each pager, and proc/system_pager.hpp lets nothing else name
# one.

MM_SRCS := $(sort $(wildcard kernel/lib/*.cpp kernel/mm/*.cpp kernel/mm/*/*.cpp))
KERNEL_SRCS := $(filter-out $(MM_SRCS),$(sort $(wildcard kernel/*.cpp kernel/*.S kernel/*/*.cpp \
  kernel/*/*.S)))
PAGER_SRCS := $(filter kernel/start/main.cpp kernel/proc/%.cpp kernel/syscall/%.cpp,$(KERNEL_SRCS))
COMMON_SRCS := $(MM_SRCS) $(filter-out $(PAGER_SRCS),$(KERNEL_SRCS))

CHECK_LOCKS ?= 0
KERNEL_SUFFIX := $(if $(filter-out 0,$(CHECK_LOCKS)),-checked)
KERNEL_ELF := $(BUILD)/kernel-$(PAGER)$(KERNEL_SUFFIX).elf

# libstdc++'s configuration includes the C library's <features.h>, which wants a stub list for this ABI.
KERNEL_INCLUDE := $(BUILD)/kernel/include

# kernel/riscv/inline holds what the memory core's seam lets a machine define inline (kernel/mm/platform.hpp).
KERNEL_CPPFLAGS := -I. -Ikernel/riscv/inline -isystem $(KERNEL_INCLUDE) -MMD -MP
# -fbuiltin, after -ffreestanding has turned it off: short copies become loads and stores instead of calls.
KERNEL_CXXFLAGS := -std=c++23 -ffreestanding -fbuiltin -fno-exceptions -fno-rtti -fno-threadsafe-statics \
  -march=rv64imac_zicsr_zifencei -mabi=lp64 -mcmodel=medany -O2 -g -Wall -Wextra $(WARNINGS_ARE_ERRORS) \
  -fno-omit-frame-pointer -fno-common -fno-stack-protector -fno-pie -fno-asynchronous-unwind-tables \
  -ffunction-sections -fdata-sections
KERNEL_ASFLAGS := -fno-pie -march=rv64imac_zicsr_zifencei -mabi=lp64 -mcmodel=medany -g -Wall \
  $(WARNINGS_ARE_ERRORS)
KERNEL_LDFLAGS := -nostdlib -static -no-pie -mabi=lp64 -march=rv64imac_zicsr_zifencei \
  -Wl,--gc-sections -Wl,--build-id=none -Wl,-z,max-page-size=4096 -Wl,--no-warn-rwx-segments \
  -T kernel/kernel.ld

define kernel_flags
$(KERNEL_CPPFLAGS) $(KERNEL_CXXFLAGS) $(KERNEL_ASFLAGS) $(KERNEL_LDFLAGS)
endef
KERNEL_FLAGS_FILE := $(BUILD)/kernel/flags
$(KERNEL_FLAGS_FILE): FORCE
	$(call remember,kernel_flags)

$(KERNEL_INCLUDE)/gnu/stubs-lp64.h:
	@mkdir -p $(@D)
	@: > $@

# The standard library's headers, compiled once: 0.3 to 0.5 s less for each of some 130 sources that take 0.8
# to 1.6 s without.
KERNEL_STANDARD := $(BUILD)/kernel/standard.hpp
$(KERNEL_STANDARD): kernel/lib/standard.hpp
	$(copy)
$(KERNEL_STANDARD).gch: $(KERNEL_STANDARD) $(KERNEL_FLAGS_FILE) | $(KERNEL_INCLUDE)/gnu/stubs-lp64.h
	$(call precompile,$(CROSS_CXX) $(KERNEL_CPPFLAGS) $(KERNEL_CXXFLAGS))
-include $(KERNEL_STANDARD).d
include_standard_kernel = -include $(KERNEL_STANDARD)
# It defines what these headers declare.
$(BUILD)/%/riscv/compiler_support.o: include_standard_kernel :=

# There is a kernel for each pager, one with all of them, and one of each that checks its locks. What a kernel
# has to itself is in a folder of its name; what kernels share is in $(BUILD)/kernel or, with checks,
# $(BUILD)/kernel-checked. $(1) is the kernel's name here.
KERNEL_NAMES := $(PAGERS) any
KERNEL_NAMES += $(KERNEL_NAMES:%=%-checked)
shared_folder = $(BUILD)/kernel$(if $(filter %-checked,$(1)),-checked)
kernel_objects = $(patsubst %.S,$(shared_folder)/%.S.o,$(COMMON_SRCS:%.cpp=$(shared_folder)/%.o)) \
  $(PAGER_SRCS:%.cpp=$(BUILD)/kernel-$(1)/%.o)
KERNEL_OBJECTS := $(sort $(foreach name,$(KERNEL_NAMES),$(call kernel_objects,$(name))))

CHECK_FLAGS := -DFAULTLINE_CHECK_LOCK_RANKS -DFAULTLINE_JUNK_FILL
own_flags = -DFAULTLINE_PAGER=$(call pager_class,$(1:%-checked=%)) \
  $(if $(filter %-checked,$(1)),$(CHECK_FLAGS))

define compile
	@echo "  CXX  $<"
	@mkdir -p $(@D)
	$(Q)$(CROSS_CXX) $(KERNEL_CPPFLAGS) $(KERNEL_CXXFLAGS) $(include_standard_kernel) $(1) -c $< -o $@
endef
define assemble
	@echo "  AS   $<"
	@mkdir -p $(@D)
	$(Q)$(CROSS_CC) $(KERNEL_CPPFLAGS) $(KERNEL_ASFLAGS) $(1) -c $< -o $@
endef

$(BUILD)/kernel/%.o: %.cpp $(KERNEL_FLAGS_FILE) $(KERNEL_STANDARD).gch
	$(call compile,)
$(BUILD)/kernel-checked/%.o: %.cpp $(KERNEL_FLAGS_FILE) $(KERNEL_STANDARD).gch
	$(call compile,$(CHECK_FLAGS))
$(BUILD)/kernel/%.S.o: %.S $(KERNEL_FLAGS_FILE)
	$(call assemble,)
$(BUILD)/kernel-checked/%.S.o: %.S $(KERNEL_FLAGS_FILE)
	$(call assemble,$(CHECK_FLAGS))

# $* of an object that a kernel has to itself is NAME/SOURCE.
name_in_stem = $(firstword $(subst /, ,$(1)))
source_in_stem = $(patsubst $(name_in_stem)/%,%,$(1))
.SECONDEXPANSION:
$(BUILD)/kernel-%.o: $$(call source_in_stem,$$*).cpp $(KERNEL_FLAGS_FILE) $(KERNEL_STANDARD).gch
	$(call compile,$(call own_flags,$(call name_in_stem,$*)))

objects_of_this = $(call kernel_objects,$*)
$(BUILD)/kernel-%/objects: FORCE
	$(call remember,objects_of_this)

# A kernel is linked twice: the first link fixes the addresses, the second adds the table of symbols that a
# backtrace prints. The table stands last in the image, so adding it moves nothing; the last line checks that.
symbols = $(Q)$(PYTHON) kernel/symbols.py --nm $(TOOLPREFIX)nm
link = $(Q)$(CROSS_CXX) $(KERNEL_LDFLAGS) $(filter %.o,$^)
own = $(@D)/kernel-$*
$(BUILD)/kernel-%.elf: $$(call kernel_objects,$$*) $(BUILD)/kernel-%/objects \
  kernel/kernel.ld kernel/symbols.py
	@echo "  LD   $@"
	$(symbols) /dev/null > $(own)/symbols0.S
	$(Q)$(CROSS_CC) $(KERNEL_ASFLAGS) -c $(own)/symbols0.S -o $(own)/symbols0.o
	$(link) $(own)/symbols0.o -o $(own)/first.elf
	$(symbols) $(own)/first.elf > $(own)/symbols.S
	$(Q)$(CROSS_CC) $(KERNEL_ASFLAGS) -c $(own)/symbols.S -o $(own)/symbols.o
	$(link) $(own)/symbols.o -o $@
	$(symbols) $@ | cmp - $(own)/symbols.S

# What only pattern rules mention is intermediate to make, which would remove it. So all are mentioned here.
$(KERNEL_OBJECTS): $(KERNEL_FLAGS_FILE)
$(KERNEL_NAMES:%=$(BUILD)/kernel-%/objects): FORCE
-include $(KERNEL_OBJECTS:.o=.d)

.PHONY: kernel
kernel: $(KERNEL_ELF)
