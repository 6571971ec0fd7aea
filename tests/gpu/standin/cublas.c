// Stand-in for cuBLAS: a handle remembers its stream and modes; every computing function (made by build.py from what the
// installed libraries need) is booked as one kernel under its own name. The real library may launch more than one.
// It enforces nothing, and cannot show which algorithm is chosen, its workspace or its refusals.
#include <stdlib.h>

typedef struct {
  void *stream;
  int math, pointers;
} Handle;

int cublasCreate_v2(Handle **handle) { return *handle = calloc(1, sizeof(Handle)), 0; }
int cublasDestroy_v2(Handle *handle) { return free(handle), 0; }
int cublasSetStream_v2(Handle *handle, void *stream) { return handle->stream = stream, 0; }
int cublasGetStream_v2(Handle *handle, void **stream) { return *stream = handle->stream, 0; }
int cublasSetMathMode(Handle *handle, int mode) { return handle->math = mode, 0; }
int cublasGetMathMode(Handle *handle, int *mode) { return *mode = handle->math, 0; }
int cublasSetPointerMode_v2(Handle *handle, int mode) { return handle->pointers = mode, 0; }
int cublasGetPointerMode_v2(Handle *handle, int *mode) { return *mode = handle->pointers, 0; }
int cublasSetWorkspace_v2(Handle *handle, void *pointer, size_t bytes) { return 0; }
