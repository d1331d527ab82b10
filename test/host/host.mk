# The memory core on this machine: the sources the kernel links (MM_SRCS, kernel/kernel.mk) against the
# simulated machine of test/host/machine.
#
#   make test [SAN=address,undefined | SAN=thread]
#        FAULTLINE_SEED=, FAULTLINE_STEPS= reach the random sequences
#   make fuzz SECONDS=60       make mutants       make bench-host
#
#? make test SAN=address,undefined (or thread)      the same under sanitizers
#? make fuzz SECONDS=60, make bench-host     the memory core further
#? make mutants      small seeded bugs, of the kernel too: the tests must notice; ONLY=names for some

SAN ?=

# Each choice of sanitizers has its own objects.
HOST_BUILD := $(BUILD)/host$(if $(SAN),-$(subst $(comma),-,$(SAN)))

HOST_MACHINE_SOURCES := $(sort $(wildcard test/host/machine/*.cpp))
HOST_CASE_SOURCES := $(sort $(wildcard test/host/cases/*.cpp))
HOST_RANDOM_SOURCES := $(sort $(wildcard test/host/random/*.cpp))
HOST_POSTCOPY_SOURCES := $(sort $(wildcard test/host/postcopy/*.cpp))
HOST_SPACE_SOURCE := test/host/space.cpp
HOST_TEST_SOURCES := test/host/main.cpp $(HOST_SPACE_SOURCE) $(HOST_MACHINE_SOURCES) $(HOST_CASE_SOURCES) \
  $(HOST_RANDOM_SOURCES) $(HOST_POSTCOPY_SOURCES)

# GCC warns of what it can no longer see to be initialized between the sanitizers' calls, and of fences, which
# ThreadSanitizer does not know: those here order memory against a device, and no thread plays one.
HOST_SANITIZE := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer \
  -Wno-maybe-uninitialized) $(if $(filter thread,$(SAN)),-Wno-tsan)
# Without it each CHECK expands to some fifty lines, and compiling the tests takes twice as long.
HOST_CPPFLAGS := -I. -MMD -MP -DDOCTEST_CONFIG_SUPER_FAST_ASSERTS
# What runs long is optimized: the core, the machine, the random sequences. The cases are not: they spend
# their time being compiled.
HOST_OPTIMIZE ?= -O1
HOST_CASE_OPTIMIZE ?= -O0
HOST_DEBUG ?= -g
HOST_CXXFLAGS := -std=c++23 $(HOST_OPTIMIZE) $(HOST_DEBUG) -DFAULTLINE_CHECK_LOCK_RANKS \
  -DFAULTLINE_JUNK_FILL -Wall -Wextra $(WARNINGS_ARE_ERRORS) -fno-rtti -pthread $(HOST_SANITIZE)
# The core is compiled as the kernel compiles it: it may neither throw nor ask for types at run time. The
# tests throw, but derive from its classes, which carry no type information.
HOST_CORE_CXXFLAGS := $(HOST_CXXFLAGS) -fno-exceptions
HOST_TEST_FLAGS := $(HOST_CPPFLAGS) $(HOST_CXXFLAGS)

define host_flags
$(HOST_CPPFLAGS) $(HOST_CORE_CXXFLAGS) $(HOST_CASE_OPTIMIZE)
endef
$(HOST_BUILD)/flags: FORCE
	$(call remember,host_flags)

HOST_CORE_OBJECTS := $(MM_SRCS:%.cpp=$(HOST_BUILD)/%.o)
# Portable parts of the machine layer: what reads the device tree.
HOST_BOARD_SOURCES := $(patsubst %,kernel/riscv/%.cpp,fdt machine memory_layout stack_pool)
HOST_BOARD_OBJECTS := $(HOST_BOARD_SOURCES:%.cpp=$(HOST_BUILD)/%.o)
HOST_MACHINE_OBJECTS := $(HOST_MACHINE_SOURCES:%.cpp=$(HOST_BUILD)/%.o)
HOST_MAIN_OBJECT := $(HOST_BUILD)/test/host/main.o
HOST_SPACE_OBJECT := $(HOST_SPACE_SOURCE:%.cpp=$(HOST_BUILD)/%.o)
HOST_CASE_OBJECTS := $(HOST_CASE_SOURCES:%.cpp=$(HOST_BUILD)/%.o)
HOST_RANDOM_OBJECTS := $(HOST_RANDOM_SOURCES:%.cpp=$(HOST_BUILD)/%.o)
HOST_POSTCOPY_OBJECTS := $(HOST_POSTCOPY_SOURCES:%.cpp=$(HOST_BUILD)/%.o)

# The standard library's headers, compiled once: 0.5 s less for each source, of 0.7 to 1.2 s.
HOST_CORE_STANDARD := $(HOST_BUILD)/core/standard.hpp
$(HOST_CORE_STANDARD): kernel/lib/standard.hpp
	$(copy)
$(HOST_CORE_STANDARD).gch: $(HOST_CORE_STANDARD) $(HOST_BUILD)/flags
	$(call precompile,$(HOSTCXX) $(HOST_CPPFLAGS) $(HOST_CORE_CXXFLAGS))
-include $(HOST_CORE_STANDARD).d

$(HOST_BUILD)/kernel/%.o: kernel/%.cpp $(HOST_BUILD)/flags $(HOST_CORE_STANDARD).gch
	@echo "  HOST $<"
	@mkdir -p $(@D)
	$(Q)$(HOSTCXX) $(HOST_CPPFLAGS) $(HOST_CORE_CXXFLAGS) -include $(HOST_CORE_STANDARD) -c $< -o $@

$(HOST_BUILD)/test/%.o: test/%.cpp $(HOST_BUILD)/flags
	@echo "  HOST $<"
	@mkdir -p $(@D)
	$(Q)$(HOSTCXX) $(HOST_CPPFLAGS) $(HOST_CXXFLAGS) $(optimize_case) $(include_standard) -c $< -o $@

# What the cases include, compiled once: 1 s less for each case, of 1.7 to 2.6 s.
HOST_STANDARD := $(HOST_BUILD)/standard.hpp
$(HOST_STANDARD): test/host/standard.hpp
	$(copy)
$(HOST_STANDARD).gch: $(HOST_STANDARD) $(HOST_BUILD)/flags
	$(call precompile,$(HOSTCXX) $(HOST_CPPFLAGS) $(HOST_CXXFLAGS) $(HOST_CASE_OPTIMIZE))
-include $(HOST_STANDARD).d
$(HOST_CASE_OBJECTS): $(HOST_STANDARD).gch
$(HOST_CASE_OBJECTS): include_standard = -include $(HOST_STANDARD)
# These include the core's sources in a way of their own (stepping.hpp), so the headers may not be there
# before.
HOST_STEPPING_SOURCES := $(filter %_order_test.cpp,$(HOST_CASE_SOURCES))
$(HOST_STEPPING_SOURCES:%.cpp=$(HOST_BUILD)/%.o): include_standard =

$(HOST_MAIN_OBJECT) $(patsubst %,$(HOST_BUILD)/test/host/%.o,cases/% postcopy/% fs/% sched/%): \
  optimize_case = $(HOST_CASE_OPTIMIZE)

define host_link
	@echo "  LINK $@"
	$(Q)$(HOSTCXX) $(HOST_CXXFLAGS) $(filter %.o,$^) -o $@
endef

# Several programs, so that two cores can run them side by side: the specification, the random sequences, and
# postcopy against the host's own page faults.
$(HOST_BUILD)/mm_test: $(HOST_MAIN_OBJECT) $(HOST_CASE_OBJECTS) $(HOST_SPACE_OBJECT) $(HOST_MACHINE_OBJECTS) \
  $(HOST_CORE_OBJECTS) $(HOST_BOARD_OBJECTS)
	$(host_link)
$(HOST_BUILD)/mm_random: $(HOST_MAIN_OBJECT) $(HOST_RANDOM_OBJECTS) $(HOST_SPACE_OBJECT) \
  $(HOST_MACHINE_OBJECTS) $(HOST_CORE_OBJECTS)
	$(host_link)
$(HOST_BUILD)/mm_postcopy: $(HOST_MAIN_OBJECT) $(HOST_POSTCOPY_OBJECTS) $(HOST_MACHINE_OBJECTS) \
  $(HOST_CORE_OBJECTS)
	$(host_link)

# The file system, portable too, on disks in memory that mke2fs makes and e2fsck judges.
FS_PORTABLE_SRCS := $(sort $(wildcard kernel/fs/ext2_*.cpp kernel/fs/path*.cpp)) kernel/fs/buffer_cache.cpp \
  kernel/fs/inode.cpp kernel/fs/file_lease.cpp kernel/fs/file_lock.cpp kernel/fs/file_signals.cpp \
  kernel/fs/open.cpp kernel/fs/open_file.cpp kernel/fs/pipe_buffer.cpp kernel/dev/block_device.cpp \
  kernel/dev/virtqueue.cpp
HOST_FS_OBJECTS := $(FS_PORTABLE_SRCS:%.cpp=$(HOST_BUILD)/%.o) \
  $(patsubst %.cpp,$(HOST_BUILD)/%.o,$(sort $(wildcard test/host/fs/*.cpp)))
$(HOST_BUILD)/fs_test: $(HOST_MAIN_OBJECT) $(HOST_FS_OBJECTS) $(HOST_MACHINE_OBJECTS) $(HOST_CORE_OBJECTS)
	$(host_link)
-include $(HOST_FS_OBJECTS:.o=.d)

# Timers and sleep, on harts and with threads that stand in test/host/sched/machine.
HOST_SCHED_SOURCES := kernel/dev/clock.cpp kernel/riscv/timer.cpp kernel/sync/mutex.cpp \
  kernel/sync/wait_queue.cpp $(sort $(wildcard test/host/sched/*.cpp))
HOST_SCHED_OBJECTS := $(HOST_SCHED_SOURCES:%.cpp=$(HOST_BUILD)/%.o)
$(HOST_SCHED_OBJECTS): private HOST_CPPFLAGS := -Itest/host/sched/machine $(HOST_CPPFLAGS)
$(HOST_BUILD)/sched_test: $(HOST_MAIN_OBJECT) $(HOST_SCHED_OBJECTS) $(HOST_MACHINE_OBJECTS) \
  $(HOST_CORE_OBJECTS)
	$(host_link)
-include $(HOST_SCHED_OBJECTS:.o=.d)

# What the compiler must refuse, and what the core's objects may leave undefined. Prints a summary as doctest
# does.
HOST_NM ?= nm
$(HOST_BUILD)/mm_checks: test/host/checks.py test/host/mutant.py $(HOST_CORE_OBJECTS) \
  $(MM_SRCS:%.cpp=$(BUILD)/kernel/%.o) $(sort $(wildcard test/host/compile_fail/*.cpp)) $(HOST_BUILD)/flags
	@echo "  GEN  $@"
	@printf '#!/bin/sh\nexec %s -B test/host/checks.py --compiler "%s" --objects "%s"' "$(PYTHON)" \
	  "$(HOSTCXX) -I. -std=c++23 -Wall -Wextra -Werror -fno-exceptions -fno-rtti" \
	  "$(HOST_CORE_OBJECTS)" > $@
	@printf ' --cross-nm "%s" --cross-objects "%s"\n' "$(TOOLPREFIX)nm" \
	  "$(MM_SRCS:%.cpp=$(BUILD)/kernel/%.o)" >> $@
	@chmod +x $@

HOST_TESTS := $(HOST_BUILD)/mm_random $(HOST_BUILD)/mm_test $(HOST_BUILD)/fs_test $(HOST_BUILD)/sched_test \
  $(if $(HOST_POSTCOPY_SOURCES),$(HOST_BUILD)/mm_postcopy) $(HOST_BUILD)/mm_checks

.PHONY: test
test: $(HOST_TESTS)
	$(Q)$(PYTHON) test/host/run_tests.py $(HOST_TESTS)

# Small seeded bugs: the tests must notice every one. Those of test/mutants/guest are for the kernel in QEMU.
HOST_MUTANTS = $(wildcard $(patsubst %,test/mutants/%.patch,$(or $(ONLY),*)))
GUEST_MUTANTS = $(wildcard $(patsubst %,test/mutants/guest/%.patch,$(or $(ONLY),*)))
mutants_options = --build $(BUILD) $(if $(ONLY),--only '$(ONLY)')
.PHONY: mutants
mutants:
	$(if $(HOST_MUTANTS)$(GUEST_MUTANTS),,$(error no mutant is named $(ONLY)))
	$(Q)status=0; \
	$(if $(HOST_MUTANTS),$(PYTHON) -B test/host/mutants.py --programs $(notdir $(HOST_TESTS)) \
	  $(mutants_options) || status=1;) \
	$(if $(GUEST_MUTANTS),$(test_environment) $(PYTHON) -B test/guest/mutants.py $(mutants_options) \
	  || status=1;) \
	exit $$status

# The random sequences driven by libFuzzer, under AddressSanitizer and UBSan. What it finds stays in
# FUZZ_BUILD.
FUZZ_BUILD := $(BUILD)/fuzz
FUZZ_SOURCES := test/host/fuzz/fuzz_sequences.cpp test/host/random/model.cpp test/host/random/sequence.cpp \
  $(HOST_SPACE_SOURCE) $(HOST_MACHINE_SOURCES) $(MM_SRCS)
FUZZ_OBJECTS := $(FUZZ_SOURCES:%.cpp=$(FUZZ_BUILD)/%.o)
FUZZ_CXXFLAGS := -std=c++23 -O1 -g -fno-rtti -fno-omit-frame-pointer -fsanitize=address,undefined \
  -fno-sanitize-recover=all

$(FUZZ_BUILD)/%.o: %.cpp
	@echo "  FUZZ $<"
	@mkdir -p $(@D)
	$(Q)$(CLANGXX) $(HOST_CPPFLAGS) $(FUZZ_CXXFLAGS) -fsanitize=fuzzer-no-link -c $< -o $@

$(FUZZ_BUILD)/fuzz_sequences: $(FUZZ_OBJECTS)
	@echo "  LINK $@"
	$(Q)$(CLANGXX) $(FUZZ_CXXFLAGS) -fsanitize=fuzzer $^ -o $@

.PHONY: fuzz
fuzz: $(FUZZ_BUILD)/fuzz_sequences
	@mkdir -p $(FUZZ_BUILD)/corpus
	$(Q)$(FUZZ_BUILD)/fuzz_sequences -max_total_time=$(or $(SECONDS),60) -max_len=4096 -len_control=0 \
	  -timeout=20 -print_final_stats=1 -verbosity=1 -artifact_prefix=$(FUZZ_BUILD)/ $(FUZZ_BUILD)/corpus

# What the core costs on this host, with the kernel's allocators and optimization instead of the simulated
# machine.
HOST_BENCH_BUILD := $(BUILD)/host-bench
HOST_BENCH_OBJECTS := $(patsubst %.cpp,$(HOST_BENCH_BUILD)/%.o,$(sort $(wildcard test/host/bench/*.cpp)) \
  $(MM_SRCS))
HOST_BENCH_CXXFLAGS := -std=c++23 -O2 -g -Wall -Wextra $(WARNINGS_ARE_ERRORS) -fno-rtti -pthread

$(HOST_BENCH_BUILD)/%.o: %.cpp
	@echo "  HOST $<"
	@mkdir -p $(@D)
	$(Q)$(HOSTCXX) $(HOST_CPPFLAGS) $(HOST_BENCH_CXXFLAGS) -c $< -o $@

$(HOST_BENCH_BUILD)/bench_host: $(HOST_BENCH_OBJECTS)
	@echo "  LINK $@"
	$(Q)$(HOSTCXX) $(HOST_BENCH_CXXFLAGS) $^ -lbenchmark -o $@

.PHONY: bench-host
bench-host: $(HOST_BENCH_BUILD)/bench_host
	$(Q)$(HOST_BENCH_BUILD)/bench_host --benchmark_min_time=0.2

-include $(FUZZ_OBJECTS:.o=.d) $(HOST_BENCH_OBJECTS:.o=.d)
-include $(HOST_CORE_OBJECTS:.o=.d) $(HOST_MACHINE_OBJECTS:.o=.d) $(HOST_SPACE_OBJECT:.o=.d) \
  $(HOST_MAIN_OBJECT:.o=.d) \
  $(HOST_CASE_OBJECTS:.o=.d) $(HOST_RANDOM_OBJECTS:.o=.d) $(HOST_POSTCOPY_OBJECTS:.o=.d)
