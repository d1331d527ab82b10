#!/bin/sh
# Runs the guest test programs where what they say is known to be true: compiled for this machine's Linux, and
# for RISC-V under user-mode emulation. A case that fails here is a wrong test, not a wrong kernel.
#
#   user/tests/oracle.sh [program]...      BUILD=directory (default build), TOOLPREFIX=riscv64-linux-gnu-
set -u
cd "$(dirname "$0")/../.." || exit 2
out=${BUILD:-build}/oracle
prefix=${TOOLPREFIX:-riscv64-linux-gnu-}
flags='-O2 -g -static -pthread -Wall -Wextra -Werror'
mkdir -p "$out"
failed=0

# build COMPILER_PREFIX SOURCE OUTPUT
build() {
  case $2 in
    *.cpp) "$1"g++ -std=c++23 -Wno-restrict $flags "$2" -o "$3" ;;
    *) "$1"gcc -std=gnu17 -D_GNU_SOURCE= $flags "$2" -o "$3" ;;
  esac
}

# run LABEL COMMAND...
run() {
  label=$1
  shift
  "$@" > "$out/log" 2>&1
  status=$?
  printf '%-22s %-9s %3d ok %3d skipped\n' "$name" "$label" \
    "$(grep -c '^ok' "$out/log")" "$(grep -c '# SKIP' "$out/log")"
  [ $status -eq 0 ] && return
  failed=$((failed + 1))
  grep -v '^ok' "$out/log" | head -n 40
}

[ $# -gt 0 ] || set -- $(cd user/tests && ls *.c *.cpp | sed 's/\.[a-z]*$//')
for name; do
  source=$(ls user/tests/"$name".c user/tests/"$name".cpp 2> /dev/null)
  build '' "$source" "$out/$name-native" && build "$prefix" "$source" "$out/$name-riscv" || exit 2
  run native "$out/$name-native"
  if [ "$(uname -m)" = riscv64 ]; then continue; fi
  run emulated qemu-riscv64 "$out/$name-riscv"
done
[ $failed -eq 0 ]
