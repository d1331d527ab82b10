# The tools: which are found, and how old they may be. The variables are expanded in recipes, so a missing
# tool stops only the goals that use it.

# GCC 12 is the first with <expected>; QEMU 7.2 and clang 17 are the oldest that were tried. Debian 12's
# default clang, 14, cannot read GCC 12's <expected>: it lacks conditionally trivial destructors.
OLDEST_GCC := 12
OLDEST_QEMU := 7.2
OLDEST_CLANG := 17

# $(call once,VARIABLE,VALUE): as the value of VARIABLE; its first use replaces the variable by what it came
# to.
once = $(eval $(1) := $(2))$($(1))

# $(call need,TOOL): its name if it is installed, else one line that says what to do.
need = $(if $(shell command -v $(1)),$(1),$(error $(1) not found; run `make deps`))

# $(call version,TOOL): what it prints of itself, without what distributions add in parentheses.
no_parentheses := s/([^)]*)//g
number_with_dots := s/.*[^0-9.]\([0-9][0-9]*\.[0-9.]*\).*/\1/p
version = $(shell $(1) --version 2>/dev/null | sed -n -e '$(no_parentheses)' -e '$(number_with_dots)' | sed q)

# $(call at_least,OLDEST,VERSION): not empty if it is. A tool that prints no version is taken as it is.
at_least = $(shell printf '%s\n' $(1) $(2) | sort -VC && echo yes)

# $(call installed,TOOL): it and its names that end in a version (g++-14), the newest of these first.
installed = $(if $(shell command -v $(1)),$(1)) $(shell IFS=:; \
  for directory in $$PATH; do printf '%s\n' "$$directory/$(1)"-*; done | \
  sed -n 's|.*/\($(1)-[0-9][0-9]*\)$$|\1|p' | sort -Vru)

# $(call newest_first,TOOL): the same, by version.
newest_first = $(shell printf '%s\n' $(foreach t,$(call installed,$(1)),$(call version,$(t))=$(t)) | \
  sort -Vr | sed 's/.*=//')

# $(call new_enough,TOOLS,OLDEST): the first of them that is; empty if there is none.
new_enough = $(firstword $(foreach t,$(1),$(if $(call at_least,$(2),$(call version,$(t))),$(t))))

# $(call choose,INSTALLED,TOOL,OLDEST): the first of them that is new enough; if none is, one line that says
# why.
choose = $(or $(call new_enough,$(1),$(3)),$(error $(if $(strip $(1)),$(firstword $(1)) is version \
  $(call version,$(firstword $(1))) and too old: $(3) or later is needed,$(2) not found; run `make deps`)))
default = $(call choose,$(call installed,$(1)),$(1),$(2))
newest = $(call choose,$(call newest_first,$(1)),$(1),$(2))

# The cross compiler under the name that Debian gives it, or riscv-gnu-toolchain.
ifndef TOOLPREFIX
prefixes := riscv64-linux-gnu- riscv64-unknown-linux-gnu-
TOOLPREFIX = $(call once,TOOLPREFIX,$(or \
  $(firstword $(foreach p,$(prefixes),\
    $(if $(call new_enough,$(call installed,$(p)g++),$(OLDEST_GCC)),$(p)))),\
  $(firstword $(foreach p,$(prefixes),$(if $(strip $(call installed,$(p)g++)),$(p)))),\
  $(firstword $(prefixes))))
endif
CROSS_CXX = $(call once,CROSS_CXX,$(call default,$(TOOLPREFIX)g++,$(OLDEST_GCC)))
CROSS_CC = $(patsubst $(TOOLPREFIX)g++%,$(TOOLPREFIX)gcc%,$(CROSS_CXX))
HOSTCXX = $(call once,HOSTCXX,$(call default,g++,$(OLDEST_GCC)))
CLANGXX = $(call once,CLANGXX,$(call newest,clang++,$(OLDEST_CLANG)))
CLANG_FORMAT = $(call once,CLANG_FORMAT,$(call newest,clang-format,$(OLDEST_CLANG)))
CLANG_TIDY = $(call once,CLANG_TIDY,$(call newest,clang-tidy,$(OLDEST_CLANG)))
PYTHON = $(call once,PYTHON,$(call need,python3))
QEMU = $(call once,QEMU,$(call default,qemu-system-riscv64,$(OLDEST_QEMU)))
GDB ?= $(or $(shell command -v gdb-multiarch),$(shell command -v $(TOOLPREFIX)gdb),$(call need,gdb-multiarch))
