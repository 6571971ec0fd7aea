// Stand-in for cuDNN: a handle remembers its stream; a plan of the graph API (convolutions) and every older computing
// function (made by build.py) is booked as one kernel. The real library may launch more, such as changes of layout.
// Every plan is accepted: it enforces nothing, and cannot show real refusals, choices of engines or their workspaces.
#define CUDNNWINAPI
#include <cudnn.h>
#include <stdlib.h>
#include <string.h>

extern void standin_work(const char *, void *);
typedef struct {
  void *stream;
} Handle;

cudnnStatus_t cudnnCreate(cudnnHandle_t *handle) { return *handle = calloc(1, sizeof(Handle)), 0; }
cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t s) { return ((Handle *)handle)->stream = s, 0; }
cudnnStatus_t cudnnGetStream(cudnnHandle_t handle, cudaStream_t *s) { return *s = ((Handle *)handle)->stream, 0; }
size_t cudnnGetVersion(void) { return CUDNN_VERSION; }
size_t cudnnGetCudartVersion(void) { return CUDART_VERSION; }
const char *cudnnGetErrorString(cudnnStatus_t status) { return "an error of the stand-in"; }
void cudnnGetLastErrorString(char *text, size_t size) {
  if (size)
    text[0] = 0;
}
cudnnStatus_t cudnnGetProperty(libraryPropertyType kind, int *value) {
  return *value = kind == 0 ? CUDNN_MAJOR : kind == 1 ? CUDNN_MINOR : CUDNN_PATCHLEVEL, 0;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t kind, cudnnBackendDescriptor_t *descriptor) {
  return *descriptor = calloc(1, 128), 0;
}
cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) { return 0; }
cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) { return 0; }
cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t kind, int64_t count, const void *values) {
  return 0;
}
cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t kind, int64_t wanted, int64_t *got, void *values) {
  int64_t count = 1; // one engine, without notes and knobs, and zeros otherwise
  int room = values && wanted > 0;
  switch (name) {
  case CUDNN_ATTR_ENGINE_NUMERICAL_NOTE:
  case CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE:
  case CUDNN_ATTR_ENGINECFG_KNOB_CHOICES:
  case CUDNN_ATTR_ENGINE_KNOB_INFO: count = 0; break;
  default:
    if (kind == CUDNN_TYPE_CHAR) {
      if (room)
        strncpy(values, "{}", wanted);
      count = wanted > 0 && wanted < 3 ? wanted : 3;
    } else if (room && kind != CUDNN_TYPE_BACKEND_DESCRIPTOR)
      memset(values, 0, 8);
  }
  if (got)
    *got = count;
  return 0;
}
cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t pack) {
  return standin_work("cudnnBackendExecute", ((Handle *)handle)->stream), 0;
}

cudnnStatus_t cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize(
    cudnnHandle_t handle, cudnnBatchNormMode_t mode, cudnnBatchNormOps_t operations, const cudnnTensorDescriptor_t x,
    const cudnnTensorDescriptor_t z, const cudnnTensorDescriptor_t y, const cudnnTensorDescriptor_t bn,
    const cudnnActivationDescriptor_t activation, size_t *bytes) {
  return *bytes = 1024, 0;
}
cudnnStatus_t cudnnGetBatchNormalizationBackwardExWorkspaceSize(
    cudnnHandle_t handle, cudnnBatchNormMode_t mode, cudnnBatchNormOps_t operations, const cudnnTensorDescriptor_t x,
    const cudnnTensorDescriptor_t y, const cudnnTensorDescriptor_t dy, const cudnnTensorDescriptor_t dz,
    const cudnnTensorDescriptor_t dx, const cudnnTensorDescriptor_t bn, const cudnnActivationDescriptor_t activation,
    size_t *bytes) {
  return *bytes = 1024, 0;
}
cudnnStatus_t cudnnGetBatchNormalizationTrainingExReserveSpaceSize(cudnnHandle_t handle, cudnnBatchNormMode_t mode,
                                                                   cudnnBatchNormOps_t operations,
                                                                   const cudnnActivationDescriptor_t activation,
                                                                   const cudnnTensorDescriptor_t x, size_t *bytes) {
  return *bytes = 1024, 0;
}
