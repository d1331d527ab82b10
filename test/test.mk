# What judges the whole: the guest tests, the benchmark beside Linux, the style checks.
#
# test/host/host.mk, included before this, gives HOST_TESTS: the doctest binaries that `make grade` runs.

ONLY ?=
DIST ?=
SEED ?=
JOBS ?=

# The specification of the memory core as a program of the guest: the same sources, built for RISC-V. doctest
# is headers only, so the ones of this machine serve, from where its compiler has them; -idirafter keeps what
# else is there out of the way.
DOCTEST_FOLDER = $(call once,DOCTEST_FOLDER,$(shell $(HOSTCXX) -M -include doctest/doctest.h \
  -xc++ /dev/null | tr ' ' '\n' | sed -n 's|/doctest/doctest\.h$$||p'))

GUEST_MM_TEST := $(BUILD)/guest/mm_test
# Thousands of orders, which the host has tried, would tell nothing new of either kernel or core.
GUEST_CASE_SOURCES := $(filter-out $(HOST_STEPPING_SOURCES),$(HOST_CASE_SOURCES))
GUEST_MM_TEST_SOURCES := test/host/main.cpp $(GUEST_CASE_SOURCES) $(HOST_SPACE_SOURCE) \
  $(HOST_MACHINE_SOURCES) $(MM_SRCS) $(HOST_BOARD_SOURCES)
GUEST_MM_TEST_OBJECTS := $(GUEST_MM_TEST_SOURCES:%.cpp=$(BUILD)/guest/%.o)

GUEST_CXXFLAGS = -std=c++23 $(HOST_OPTIMIZE) -pthread -DFAULTLINE_CHECK_LOCK_RANKS \
  $(DOCTEST_FOLDER:%=-idirafter %) -I. -MMD -MP

$(BUILD)/guest/%.o: %.cpp
	@echo "  CXX  $< (guest)"
	@mkdir -p $(@D)
	$(Q)$(CROSS_CXX) $(GUEST_CXXFLAGS) $(optimize_case) $(include_standard) -c $< -o $@

# As HOST_STANDARD.
GUEST_STANDARD := $(BUILD)/guest/standard.hpp
$(GUEST_STANDARD): test/host/standard.hpp
	$(copy)
$(GUEST_STANDARD).gch: $(GUEST_STANDARD)
	$(call precompile,$(CROSS_CXX) $(GUEST_CXXFLAGS) $(HOST_CASE_OPTIMIZE))
-include $(GUEST_STANDARD).d
GUEST_CASE_OBJECTS := $(GUEST_CASE_SOURCES:%.cpp=$(BUILD)/guest/%.o)
$(GUEST_CASE_OBJECTS): $(GUEST_STANDARD).gch
$(GUEST_CASE_OBJECTS): include_standard = -include $(GUEST_STANDARD)

$(BUILD)/guest/test/host/main.o $(BUILD)/guest/test/host/cases/%.o: optimize_case = $(HOST_CASE_OPTIMIZE)

$(GUEST_MM_TEST): $(GUEST_MM_TEST_OBJECTS)
	@echo "  LINK $@"
	$(Q)$(CROSS_CXX) -static -pthread -s $^ -o $@

-include $(GUEST_MM_TEST_OBJECTS:.o=.d)

KERNELS := $(patsubst %,$(BUILD)/kernel-%$(KERNEL_SUFFIX).elf,$(PAGERS) any)

# What the tests read of the build's choices.
test_environment = PAGERS="$(PAGERS)" KERNEL_SUFFIX=$(KERNEL_SUFFIX) TOOLPREFIX=$(TOOLPREFIX) \
  CROSS_CC=$(CROSS_CC) CROSS_CXX=$(CROSS_CXX) BIOS=$(BIOS) PYTHONDONTWRITEBYTECODE=1

.PHONY: grade grade-on soak bench compare
grade: $(KERNELS) $(FS_IMAGE) $(HOST_TESTS) $(GUEST_MM_TEST) user-host
	$(Q)$(test_environment) $(PYTHON) test/grade.py --build $(BUILD) $(HOST_TESTS:%=--host %) \
	  $(if $(ONLY),--only '$(ONLY)') $(if $(SEED),--seed $(SEED)) $(if $(JOBS),--jobs $(JOBS))

grade-on:
	$(if $(DIST),,$(error DIST= names a Debian, for instance make grade-on DIST=trixie))
	$(Q)$(PYTHON) -B test/grade_on.py --dist $(DIST) --build $(BUILD) grade \
	  $(if $(ONLY),'ONLY=$(ONLY)') $(if $(SEED),SEED=$(SEED)) $(if $(JOBS),JOBS=$(JOBS)) WERROR=$(WERROR)

soak: $(KERNELS) $(FS_IMAGE)
	$(Q)$(test_environment) SOAK_SECONDS=$(or $(SECONDS),1200) $(PYTHON) test/grade.py --build $(BUILD) \
	  --only 'load.soak*' $(if $(SEED),--seed $(SEED))

bench: $(KERNEL_ELF) $(FS_IMAGE)
	$(Q)$(test_environment) $(PYTHON) test/bench.py --build $(BUILD) --pager $(PAGER) \
	  --linux test/bench/linux-6.1.txt

compare: $(COMPARED:%=$(BUILD)/kernel-%.elf) $(FS_IMAGE)
	$(Q)$(test_environment) $(PYTHON) test/bench.py --build $(BUILD) --compare \
	  --pager $(subst $(space),$(comma),$(COMPARED))

# --- Style ---

STYLED := $(sort $(shell find kernel user test -name '*.[ch]' -o -name '*.cpp' -o -name '*.hpp'))

.PHONY: check-format format tidy

check-format:
	$(Q)$(CLANG_FORMAT) --dry-run -Werror $(STYLED)

format:
	$(Q)$(CLANG_FORMAT) -i $(STYLED)

# One entry for each translation unit, with the flags it is built with; for clangd and clang-tidy.
kernel_compiler = $(CROSS_CXX) $(KERNEL_CPPFLAGS) $(KERNEL_CXXFLAGS) $(call own_flags,$(firstword $(PAGERS)))
COMPILED_KERNEL := $(filter %.cpp,$(MM_SRCS) $(KERNEL_SRCS))
compile_commands.json: test/compile_commands.py $(COMPILED_KERNEL) $(USER_C_SOURCES) $(USER_CXX_SOURCES) \
  $(USER_SHELL_SOURCES) $(HOST_TEST_SOURCES) $(MAKEFILE_LIST) | $(KERNEL_INCLUDE)/gnu/stubs-lp64.h
	@echo "  JSON $@"
	$(Q)$(PYTHON) test/compile_commands.py --output $@ \
	  --flags '$(kernel_compiler)' $(COMPILED_KERNEL) \
	  --flags '$(CROSS_CC) $(USER_CFLAGS) $(USER_TARGET_FLAGS)' $(USER_C_SOURCES) \
	  --flags '$(CROSS_CXX) $(USER_CXXFLAGS) $(USER_TARGET_FLAGS)' $(USER_CXX_SOURCES) \
	  $(USER_SHELL_SOURCES) \
	  --flags '$(HOSTCXX) $(HOST_TEST_FLAGS)' $(HOST_TEST_SOURCES)

TIDIED := $(addprefix $(BUILD)/tidy/,$(COMPILED_KERNEL) $(USER_C_SOURCES) $(USER_CXX_SOURCES) \
  $(USER_SHELL_SOURCES))

tidy: $(TIDIED)

$(BUILD)/tidy/%: % compile_commands.json .clang-tidy FORCE
	@echo "  TIDY $<"
	$(Q)$(CLANG_TIDY) --quiet -p . $<
