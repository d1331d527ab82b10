#!/bin/sh
# Installs what is missing, and nothing when nothing is:
#
#   deps.sh "PACKAGES NEEDED" "PACKAGES WANTED" OLDEST_CLANG
#
# What is needed has to be had. What is wanted is for tests and checks: where the distribution lacks it, it is left out in
# one line. An N in a wanted name is the newest version of clang there.
needed=$1
wanted=$2
oldest_clang=$3

if ! command -v apt-get > /dev/null; then
  echo "make deps installs with apt-get, which is not here. Please install, by the names of your system:"
  echo " " $needed $wanted
  exit 0
fi

as_root() {
  if [ "$(id -u)" = 0 ]; then
    env DEBIAN_FRONTEND=noninteractive "$@"
  elif command -v sudo > /dev/null; then
    sudo env DEBIAN_FRONTEND=noninteractive "$@"
  else
    echo "make deps: neither root nor sudo; install:$missing"
    exit 1
  fi
}

installed() { dpkg-query -W -f='${Status}' "$1" 2> /dev/null | grep -q ' installed$'; }
available() { apt-cache show "$1" 2> /dev/null | grep -q '^Package:'; }

missing=
for package in $needed; do
  installed "$package" || missing="$missing $package"
done

updated=no
if [ -n "$wanted" ]; then
  # A system that never fetched the lists of packages cannot say what it lacks.
  if [ -z "$(apt-cache pkgnames clang-format)" ]; then
    as_root apt-get -qq update || exit 1
    updated=yes
  fi
  clang=$(apt-cache pkgnames clang-format- | sed -n 's/^clang-format-\([0-9][0-9]*\)$/\1/p' | sort -n | tail -n 1)
  if [ "${clang:-0}" -lt "$oldest_clang" ]; then
    without=
    for package in $wanted; do
      case $package in *-N*) ;; *) without="$without $package" ;; esac
    done
    [ "$without" = " $wanted" ] ||
      echo "make deps: no clang of $oldest_clang or later here; make fuzz, tidy and check-format need one"
    wanted=$without
  fi
  for package in $wanted; do
    case $package in *-N*) package=${package%%-N*}-$clang${package#*-N} ;; esac
    if installed "$package"; then
      continue
    elif available "$package"; then
      missing="$missing $package"
    else
      echo "make deps: no package $package here; left out, for only tests and checks need it"
    fi
  done
fi

[ -n "$missing" ] || exit 0
echo "make deps: installing$missing"
[ $updated = yes ] || as_root apt-get -qq update || exit 1
as_root apt-get -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 install $missing > /dev/null
