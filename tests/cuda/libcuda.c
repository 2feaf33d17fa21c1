/* NVIDIA's driver as NVIDIA's bindings find it: a library that tells where every function is. Python plays them. */
#include <string.h>

typedef void *(*find_function)(const char *name, int version);

static find_function find = 0;

void play(find_function functions) { find = functions; }

int cuGetProcAddress_v2(const char *name, void **address, int version, unsigned long long flags, int *status) {
    (void)flags;
    if (strcmp(name, "cuGetProcAddress") == 0) /* some of the bindings ask for it again */
        *address = (void *)cuGetProcAddress_v2;
    else
        *address = find ? find(name, version) : 0;
    if (status) *status = *address ? 0 : 1;
    return 0;
}
