// The library in one piece: what nvcc, CMake and the tests on the CPU compile.
#include "arithmetic.cu"
#include "modulate.cu"
