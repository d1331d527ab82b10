# User programs: ordinary Linux programs, linked statically against the toolchain's own libc.
#
# Needs BUILD, TOOLPREFIX and Q ('@' or empty); gives USER_PROGRAMS, the stripped programs in
# $(BUILD)/user/bin. The same programs with their debug information are in $(BUILD)/user/debug.
# It also works alone: `make -f user/user.mk user BUILD=/tmp/x`.

BUILD ?= build
WARNINGS_ARE_ERRORS ?= -Werror
TOOLPREFIX ?= riscv64-linux-gnu-
CROSS_CC ?= $(TOOLPREFIX)gcc
CROSS_CXX ?= $(TOOLPREFIX)g++
ifneq ($(V),1)
Q ?= @
endif
USER_HOST_CC ?= cc
USER_HOST_CXX ?= c++

.PHONY: user user-host user-host-sanitized
user: # the default goal when this file is used alone

USER_COMMON_FLAGS := -O2 -Wall -Wextra $(WARNINGS_ARE_ERRORS) -ffunction-sections -fdata-sections -I.
# Defined as empty, so that a source may define it too.
USER_CFLAGS := -std=gnu17 -D_GNU_SOURCE=
# GCC 12 sees overlapping copies where a std::string is assigned a literal (GCC's bug 105329).
USER_CXXFLAGS := -std=c++23 -Wno-restrict
# The shell and the tools do without exceptions, which would double their size; the tests may use them.
USER_BIN_CXXFLAGS := -fno-exceptions -fno-rtti
USER_TARGET_FLAGS := $(USER_COMMON_FLAGS) -g -static -pthread
USER_LDFLAGS := -static -pthread -Wl,--gc-sections

# One program for each source file of these folders; the shell alone has a folder of sources.
USER_C_SOURCES := $(sort $(wildcard user/bin/*.c user/demo/*.c user/bench/*.c user/tests/*.c))
USER_CXX_SOURCES := $(sort $(wildcard user/bin/*.cpp user/demo/*.cpp user/bench/*.cpp user/tests/*.cpp))
USER_SHELL_SOURCES := $(sort $(wildcard user/bin/sh/*.cpp))
USER_SHELL_OBJECTS := $(USER_SHELL_SOURCES:user/%.cpp=$(BUILD)/user/obj/%.o)

USER_NAMES := $(basename $(notdir $(USER_C_SOURCES) $(USER_CXX_SOURCES))) sh [
USER_PROGRAMS := $(USER_NAMES:%=$(BUILD)/user/bin/%)

user: $(USER_PROGRAMS)

$(BUILD)/user/obj/%.o: user/%.c user/user.mk
	@mkdir -p $(@D)
	@echo "  CC  $<"
	$(Q)$(CROSS_CC) $(USER_CFLAGS) $(USER_TARGET_FLAGS) -MMD -MP -c $< -o $@

$(BUILD)/user/obj/%.o: user/%.cpp user/user.mk
	@mkdir -p $(@D)
	@echo "  CXX  $<"
	$(Q)$(CROSS_CXX) $(USER_CXXFLAGS) $(if $(filter user/bin/%,$<),$(USER_BIN_CXXFLAGS)) \
	  $(USER_TARGET_FLAGS) -MMD -MP -c $< -o $@

# $(1): a program's name. Its objects are the one of its name, in whichever folder, or all of the shell's.
USER_OBJECTS := $(patsubst user/%,$(BUILD)/user/obj/%.o,$(basename $(USER_C_SOURCES) $(USER_CXX_SOURCES)))
user_objects = $(if $(filter sh,$(1)),$(USER_SHELL_OBJECTS),$(filter %/$(1).o,$(USER_OBJECTS)))
user_linker = $(if $(filter sh $(basename $(notdir $(USER_CXX_SOURCES))),$(1)),$(CROSS_CXX),$(CROSS_CC))

.SECONDEXPANSION:
$(BUILD)/user/debug/%: $$(call user_objects,$$*)
	@mkdir -p $(@D)
	$(Q)$(call user_linker,$*) $(USER_LDFLAGS) $^ -o $@

$(BUILD)/user/debug/[: $(BUILD)/user/debug/test
	$(Q)cp $< $@

$(BUILD)/user/bin/%: $(BUILD)/user/debug/%
	@mkdir -p $(@D)
	$(Q)$(TOOLPREFIX)strip -o $@ $<

# Mentioned, so that they are not intermediate to make (kernel/kernel.mk).
$(USER_NAMES:%=$(BUILD)/user/debug/%) $(USER_OBJECTS) $(USER_SHELL_OBJECTS): | user/user.mk

# The shell and the tools for the machine this runs on, where test/user tries them without a kernel.
USER_HOST_SOURCES := $(filter user/bin/% user/demo/%,$(USER_C_SOURCES))
USER_HOST_PROGRAMS := $(patsubst %.c,$(BUILD)/user/host/%,$(notdir $(USER_HOST_SOURCES))) \
  $(BUILD)/user/host/sh
USER_HOST_SHELL_OBJECTS := $(USER_SHELL_SOURCES:user/%.cpp=$(BUILD)/user/host/obj/%.o)
USER_SANITIZED_SHELL_OBJECTS := $(USER_SHELL_SOURCES:user/%.cpp=$(BUILD)/user/host-sanitized/obj/%.o)
USER_SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer

user-host: $(USER_HOST_PROGRAMS)
user-host-sanitized: $(BUILD)/user/host-sanitized/sh

define compile_for_host
	@mkdir -p $(@D)/obj
	@echo "  CC  $< (host)"
	$(Q)$(USER_HOST_CC) $(USER_CFLAGS) $(USER_COMMON_FLAGS) -MMD -MP -MF $(@D)/obj/$(@F).d $< -o $@
endef
$(BUILD)/user/host/%: user/bin/%.c user/user.mk
	$(compile_for_host)
$(BUILD)/user/host/%: user/demo/%.c user/user.mk
	$(compile_for_host)

$(BUILD)/user/host/obj/%.o: user/%.cpp user/user.mk
	@mkdir -p $(@D)
	@echo "  CXX  $< (host)"
	$(Q)$(USER_HOST_CXX) $(USER_CXXFLAGS) $(USER_BIN_CXXFLAGS) $(USER_COMMON_FLAGS) -MMD -MP -c $< -o $@

$(BUILD)/user/host/sh: $(USER_HOST_SHELL_OBJECTS)
	$(Q)$(USER_HOST_CXX) $^ -o $@

$(BUILD)/user/host-sanitized/obj/%.o: user/%.cpp user/user.mk
	@mkdir -p $(@D)
	@echo "  CXX  $< (host, sanitized)"
	$(Q)$(USER_HOST_CXX) $(USER_CXXFLAGS) $(USER_BIN_CXXFLAGS) $(USER_COMMON_FLAGS) -O0 $(USER_SANITIZE) \
	  -MMD -MP -c $< -o $@

$(BUILD)/user/host-sanitized/sh: $(USER_SANITIZED_SHELL_OBJECTS)
	$(Q)$(USER_HOST_CXX) $(USER_SANITIZE) $^ -o $@

-include $(USER_C_SOURCES:user/%.c=$(BUILD)/user/obj/%.d) $(USER_CXX_SOURCES:user/%.cpp=$(BUILD)/user/obj/%.d)
-include $(USER_SHELL_OBJECTS:.o=.d) $(USER_HOST_SHELL_OBJECTS:.o=.d) $(USER_SANITIZED_SHELL_OBJECTS:.o=.d)
-include $(patsubst %.c,$(BUILD)/user/host/obj/%.d,$(notdir $(USER_HOST_SOURCES)))
