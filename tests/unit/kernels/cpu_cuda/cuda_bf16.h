#include "cpu_cuda.h"
