// What nearly every test case includes, compiled once for them all by the makefile; no file names it.

#include <doctest/doctest.h>

#include "kernel/lib/standard.hpp"
#include "test/host/space.hpp"
#include "test/host/world.hpp"
