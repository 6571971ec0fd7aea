// Stand-in for the CUDA driver (libcuda): what Triton's launcher, NVRTC kernels and torch call of it.
//
// Modules and functions are names only; a launch is booked by the stand-in runtime (cudart.cpp). All other functions of
// the driver are empty (made by build.py). It enforces nothing of its own and cannot show whether a cubin is valid.
#include <cuda.h>
#undef cuGetProcAddress // the header gives the name to the newer function
#include <stdlib.h>
#include <string.h>

extern void standin_work(const char *, void *);
extern int standin_attribute(int);
extern int cudaGetDeviceCount(int *);
typedef struct {
  char name[160];
} Function;

CUresult cuInit(unsigned flags) { return 0; }
CUresult cuDriverGetVersion(int *version) { return *version = CUDA_VERSION, 0; }
CUresult cuDeviceGet(CUdevice *device, int number) { return *device = number, 0; }
CUresult cuDeviceGetCount(int *count) { return cudaGetDeviceCount(count); }
CUresult cuDeviceGetName(char *text, int size, CUdevice device) { return strncpy(text, "Stand-in H100", size), 0; }
CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice device) {
  return *value = standin_attribute(attribute), 0;
}
CUresult cuCtxGetCurrent(CUcontext *context) { return *context = (CUcontext)1, 0; }
CUresult cuCtxSetCurrent(CUcontext context) { return 0; }
CUresult cuCtxGetDevice(CUdevice *device) { return *device = 0, 0; }
CUresult cuCtxPushCurrent_v2(CUcontext context) { return 0; }
CUresult cuCtxPopCurrent_v2(CUcontext *context) { return *context = (CUcontext)1, 0; }
CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) { return *context = (CUcontext)1, 0; }
CUresult cuDevicePrimaryCtxGetState(CUdevice device, unsigned *flags, int *active) {
  return *flags = 0, *active = 1, 0;
}

static CUresult loaded(CUmodule *module) { return *module = calloc(1, 16), 0; }
CUresult cuModuleLoad(CUmodule *module, const char *path) { return loaded(module); }
CUresult cuModuleLoadData(CUmodule *module, const void *image) { return loaded(module); }
CUresult cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned count, CUjit_option *options, void **values) {
  return loaded(module);
}
CUresult cuModuleUnload(CUmodule module) { return 0; }
CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
  Function *made = calloc(1, sizeof(Function));
  strncpy(made->name, name, sizeof made->name - 1);
  return *function = (CUfunction)made, 0;
}
CUresult cuFuncGetAttribute(int *value, CUfunction_attribute attribute, CUfunction function) {
  *value = attribute == CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK ? 1024 : attribute == CU_FUNC_ATTRIBUTE_NUM_REGS ? 32 : 0;
  return 0;
}
CUresult cuLaunchKernel(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                        unsigned shared, CUstream stream, void **arguments, void **extra) {
  return standin_work(((Function *)f)->name, stream), 0;
}
CUresult cuLaunchCooperativeKernel(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                                   unsigned bz, unsigned shared, CUstream stream, void **arguments) {
  return standin_work(((Function *)f)->name, stream), 0;
}
CUresult cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction f, void **arguments, void **extra) {
  return standin_work(((Function *)f)->name, config->hStream), 0;
}
CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int *count, CUfunction f, int threads, size_t shared) {
  return *count = 8, 0;
}
CUresult cuOccupancyMaxActiveClusters(int *count, CUfunction f, const CUlaunchConfig *config) { return *count = 8, 0; }
CUresult cuPointerGetAttribute(void *value, CUpointer_attribute attribute, CUdeviceptr pointer) {
  return *(CUdeviceptr *)value = pointer, 0;
}
CUresult cuGetErrorString(CUresult error, const char **text) { return *text = "an error of the stand-in", 0; }
CUresult cuGetErrorName(CUresult error, const char **text) { return *text = "an error of the stand-in", 0; }
CUresult cuGetProcAddress_v2(const char *name, void **function, int version, cuuint64_t flags,
                             CUdriverProcAddressQueryResult *result) {
  return *function = 0, CUDA_ERROR_NOT_FOUND;
}
CUresult cuGetProcAddress(const char *name, void **function, int version, cuuint64_t flags) {
  return *function = 0, CUDA_ERROR_NOT_FOUND;
}
CUresult cuGetExportTable(const void **table, const CUuuid *id) { // NVRTC asks, and goes on without
  return *table = 0, CUDA_ERROR_NOT_FOUND;
}
