# The kernel: $(BUILD)/kernel-$(PAGER).elf, or with CHECK_LOCKS=1 $(BUILD)/kernel-$(PAGER)-checked.elf.
#
#? CHECK_LOCKS=0     1: a kernel that checks the order of its locks (kernel/lib/lock_rank.hpp) and fills freed frames
#?                   with junk; also for make grade
#
# The portable core (MM_SRCS) is compiled once for all pagers here, and by test/host for the host: the pager
# is chosen where the kernel instantiates it, never inside the core. So is all else that knows of no process; what does
# (PAGER_SRCS) is compiled once for each pager, and proc/system_pager.hpp lets nothing else name one.

MM_SRCS := $(sort $(wildcard kernel/lib/*.cpp kernel/mm/*.cpp kernel/mm/*/*.cpp))
KERNEL_SRCS := $(filter-out $(MM_SRCS),$(sort $(wildcard kernel/*.cpp kernel/*.S kernel/*/*.cpp kernel/*/*.S)))
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
KERNEL_ASFLAGS := -fno-pie -march=rv64imac_zicsr_zifencei -mabi=lp64 -mcmodel=medany -g -Wall $(WARNINGS_ARE_ERRORS)
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

KERNEL_STANDARD := $(BUILD)/kernel/standard.hpp
$(eval $(call precompiled_header,$(KERNEL_STANDARD),kernel/lib/standard.hpp,\
  $$(CROSS_CXX) $$(KERNEL_CPPFLAGS) $$(KERNEL_CXXFLAGS),$(KERNEL_FLAGS_FILE) | $(KERNEL_INCLUDE)/gnu/stubs-lp64.h))
include_standard_kernel = -include $(KERNEL_STANDARD)
# It defines what these headers declare.
$(BUILD)/%/riscv/compiler_support.o: include_standard_kernel :=

# $(call kernel_object_rules,DIRECTORY,FLAGS): how sources become objects below DIRECTORY.
define kernel_object_rules
$(1)/%.o: %.cpp $(KERNEL_FLAGS_FILE) $(KERNEL_STANDARD).gch
	@echo "  CXX  $$<"
	@mkdir -p $$(@D)
	$$(Q)$$(CROSS_CXX) $$(KERNEL_CPPFLAGS) $$(KERNEL_CXXFLAGS) $$(include_standard_kernel) $(2) -c $$< -o $$@

$(1)/%.S.o: %.S $(KERNEL_FLAGS_FILE)
	@echo "  AS   $$<"
	@mkdir -p $$(@D)
	$$(Q)$$(CROSS_CC) $$(KERNEL_CPPFLAGS) $$(KERNEL_ASFLAGS) $(2) -c $$< -o $$@
endef

# $(call kernel_rules,NAME,FLAGS,CORE): the kernel with that name; CORE is the directory of the core's objects. It is
# linked twice: the first link fixes the addresses, the second adds the table of symbols that a backtrace prints. The
# table stands last in the image, so adding it moves nothing; the rule checks that.
define kernel_rules
$(call kernel_object_rules,$(BUILD)/kernel-$(1),$(2))

kernel_objects_$(1) := $(patsubst %.S,$(3)/%.S.o,$(COMMON_SRCS:%.cpp=$(3)/%.o)) \
  $(PAGER_SRCS:%.cpp=$(BUILD)/kernel-$(1)/%.o)

$(BUILD)/kernel-$(1)/objects: FORCE
	$$(call remember,kernel_objects_$(1))

$(BUILD)/kernel-$(1).elf: $$(kernel_objects_$(1)) $(BUILD)/kernel-$(1)/objects kernel/kernel.ld kernel/symbols.py
	@echo "  LD   $$@"
	$$(Q)$$(PYTHON) kernel/symbols.py --nm $$(TOOLPREFIX)nm /dev/null > $$(@D)/kernel-$(1)/symbols0.S
	$$(Q)$$(CROSS_CC) $$(KERNEL_ASFLAGS) -c $$(@D)/kernel-$(1)/symbols0.S -o $$(@D)/kernel-$(1)/symbols0.o
	$$(Q)$$(CROSS_CXX) $$(KERNEL_LDFLAGS) $$(kernel_objects_$(1)) $$(@D)/kernel-$(1)/symbols0.o \
	  -o $$(@D)/kernel-$(1)/first.elf
	$$(Q)$$(PYTHON) kernel/symbols.py --nm $$(TOOLPREFIX)nm $$(@D)/kernel-$(1)/first.elf > $$(@D)/kernel-$(1)/symbols.S
	$$(Q)$$(CROSS_CC) $$(KERNEL_ASFLAGS) -c $$(@D)/kernel-$(1)/symbols.S -o $$(@D)/kernel-$(1)/symbols.o
	$$(Q)$$(CROSS_CXX) $$(KERNEL_LDFLAGS) $$(kernel_objects_$(1)) $$(@D)/kernel-$(1)/symbols.o -o $$@
	$$(Q)$$(PYTHON) kernel/symbols.py --nm $$(TOOLPREFIX)nm $$@ | cmp - $$(@D)/kernel-$(1)/symbols.S

-include $$(patsubst %.o,%.d,$$(kernel_objects_$(1)))
endef

CHECK_FLAGS := -DFAULTLINE_CHECK_LOCK_RANKS -DFAULTLINE_JUNK_FILL
$(eval $(call kernel_object_rules,$(BUILD)/kernel,))
$(eval $(call kernel_object_rules,$(BUILD)/kernel-checked,$(CHECK_FLAGS)))
$(foreach pager,$(PAGERS) any,\
  $(eval $(call kernel_rules,$(pager),-DFAULTLINE_PAGER=$(call pager_class,$(pager)),$(BUILD)/kernel))\
  $(eval $(call kernel_rules,$(pager)-checked,-DFAULTLINE_PAGER=$(call pager_class,$(pager)) $(CHECK_FLAGS),\
    $(BUILD)/kernel-checked)))

.PHONY: kernel
kernel: $(KERNEL_ELF)
