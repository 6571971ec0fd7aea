// The runtime of the stand-in (libcudart), its heart: what is known of streams, captures and memory, and the rules that it enforces.
//
// Device memory is host memory, kernels do nothing, copies and fills outside a capture are done at once. Each launch, copy, fill,
// capture and replay is booked (booked.inc). As in CUDA
// - unsafe calls in a capture (cudaMalloc, cudaFree, synchronous copies, device-wide waits, event queries) break it off, for the
//   threads that the capture's mode names (global, thread_local, relaxed);
// - waiting for a capturing stream, or for an event recorded in a capture, is refused;
// - a capturing stream may not wait for an event of outside the capture, nor for another capture's;
// - forked streams must be joined before the capture ends, in the thread that began it.
// Beyond CUDA it books as anomalies: work outside a capture while one goes on, and copies of pageable memory in one.
#define __CUDA_RUNTIME_API_VERSION_INTERNAL // the functions' own names, not those of old versions
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <pthread.h>
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <vector>

using std::string;
using std::to_string;

struct Stream;
struct Share { // of a stream in a capture
  long done = 0, joined = 0; // pieces of work, and how many of them another stream has waited for
};
struct Graph {
  long id;
  pthread_t owner;
  int mode;
  Stream *origin;
  long nodes = 0;
  bool broken = false;
  std::map<Stream *, Share> shares; // of the forked streams
};
struct Stream {
  int id, priority;
  Graph *capture = nullptr;
};
struct Event {
  bool recorded = false;
  Graph *capture = nullptr;
  Stream *stream = nullptr;
  long work = 0;               // of its stream in the capture, when it was recorded
  long waits = 0, queries = 0; // host waits before it was recorded; queries to answer with "not ready"
};

// Kept for ever: libraries call in while the process ends.
static auto &lock = *new std::recursive_mutex;
static auto &booked = *new std::map<string, long>, &odd = *new std::map<string, long>;
static auto &kernels = *new std::map<const void *, string>;
static auto &device_memory = *new std::map<char *, size_t>, &pinned_memory = *new std::map<char *, size_t>;
static auto &streams = *new std::vector<Stream *>;
static auto &captures = *new std::vector<Graph *>; // that are going on
static Stream default_stream{0, 0};
static const size_t TOTAL = (size_t)79 << 30;
static size_t limit = (size_t)78 << 30, used = 0, peak = 0, pinned = 0, pinned_peak = 0;
static long graphs = 0, host_waits = 0, pending = -1;
static thread_local cudaError_t last = cudaSuccess;
static thread_local int thread_mode = cudaStreamCaptureModeGlobal, current_device = 0;
#define LOCKED std::lock_guard<std::recursive_mutex> locked(lock)
#define REFUSE_IN_CAPTURE(name)                                                                                        \
  if (auto error = unsafe(name))                                                                                       \
  return error

static void anomaly(const string &what) {
  odd[what]++;
  if (getenv("STANDIN_TRACE"))
    fprintf(stderr, "[stand-in] %s\n", what.c_str());
}
static cudaError_t failed(cudaError_t error) {
  return last = error;
}
static Stream *stream_of(cudaStream_t stream) { // 0, 1, 2 are the default streams
  return (size_t)stream <= 2 ? &default_stream : (Stream *)stream;
}
static bool going_on(Graph *graph) {
  for (auto each : captures)
    if (each == graph)
      return true;
  return false;
}
static Graph *forbidding() { // the capture that forbids this thread unsafe calls
  if (thread_mode == cudaStreamCaptureModeRelaxed)
    return nullptr;
  for (auto each : captures) {
    bool mine = pthread_equal(each->owner, pthread_self());
    if (mine && each->mode != cudaStreamCaptureModeRelaxed)
      return each;
    if (!mine && each->mode == cudaStreamCaptureModeGlobal && thread_mode == cudaStreamCaptureModeGlobal)
      return each;
  }
  return nullptr;
}
static cudaError_t unsafe(const char *call) {
  LOCKED;
  Graph *graph = forbidding();
  if (!graph)
    return cudaSuccess;
  anomaly(string("unsafe call in a capture: ") + call);
  graph->broken = true;
  return failed(cudaErrorStreamCaptureUnsupported);
}
static cudaError_t waits_for(Stream *stream, const char *call) {
  LOCKED;
  if (!stream->capture)
    return cudaSuccess;
  anomaly(string("waiting for a capturing stream: ") + call);
  stream->capture->broken = true;
  return failed(cudaErrorStreamCaptureUnsupported);
}
static bool inside(std::map<char *, size_t> &memory, const void *pointer) {
  auto next = memory.upper_bound((char *)pointer);
  return next != memory.begin() && (--next, (char *)pointer < next->first + next->second);
}

extern "C" {
#include "booked.inc"
#include "launch.inc"
#include "device.inc"
#include "memory.inc"
#include "streams.inc"
#include "captures.inc"
#include "rest.inc"
}
