// What a small decoder does between its matrix products, each in one pass over memory: norms over
// the root mean square, rotations by position, the gate of a SwiGLU; and their derivatives.
//
// A matrix is rows of floats, a fixed number of floats apart. Rows are shared out to threads; a row's
// result does not depend on who has it, only on the width of the processor's vectors.
#pragma once
#include <cmath>
#include <cstring>
#include <system_error>
#include <thread>
#include <vector>

#include "text.hpp"

namespace assay {

struct Matrix {
  float* data;
  size_t rows, columns, step;  // of one row to the next, in floats

  float* row(size_t n) const { return data + n * step; }
};

// Angles of each position: (length, half) cosines and sines; nothing turns where length is 0. Row n
// stands at position n modulo length.
struct Turn {
  const float *cosine, *sine;
  size_t length, half;
};

constexpr float norm_epsilon = 1e-6f;

struct Layers {
  // y = R x / rms(x), head by head; scale (rows, columns / head) is 1 / rms.
  void (*norm)(Matrix x, size_t head, Turn turn, Matrix y, Matrix scale, size_t first, size_t end);
  // sum = x + more; y = sum / rms(sum).
  void (*add_norm)(Matrix x, Matrix more, Matrix sum, Matrix y, Matrix scale, size_t first,
                   size_t end);
  // dx from dy, y and scale; with `more`, that much is added.
  void (*norm_back)(Matrix dy, Matrix y, Matrix scale, size_t head, Turn turn, const Matrix* more,
                    Matrix dx, size_t first, size_t end);
  void (*gate)(Matrix gate, Matrix up, Matrix out, size_t first, size_t end);
  void (*gate_back)(Matrix gate, Matrix up, Matrix dout, Matrix dgate, Matrix dup, size_t first,
                    size_t end);
};

}  // namespace assay

#define LAYERS_NAME layers_portable
#define LANES 4
namespace assay {
#include "layers_lanes.hpp"
}
#undef LAYERS_NAME
#undef LANES

#if defined(__x86_64__)
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define LAYERS_NAME layers_avx2
#define LANES 8
namespace assay {
#include "layers_lanes.hpp"
}
#undef LAYERS_NAME
#undef LANES
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx2,fma,prefer-vector-width=512")
#define LAYERS_NAME layers_avx512
#define LANES 16
namespace assay {
#include "layers_lanes.hpp"
}
#undef LAYERS_NAME
#undef LANES
#pragma GCC pop_options
#endif

namespace assay {

// What the processor has, and tests allow; with products and sums in one.
inline Simd layers_level() {
#if defined(__x86_64__)
  Simd level = simd.load(std::memory_order_relaxed);
  if (level == Simd::portable || !__builtin_cpu_supports("fma")) return Simd::portable;
  return level == Simd::avx512 && __builtin_cpu_supports("avx512dq") ? level : Simd::avx2;
#else
  return Simd::portable;
#endif
}

inline Layers current_layers() {
#if defined(__x86_64__)
  if (layers_level() == Simd::avx512) return layers_avx512::all();
  if (layers_level() == Simd::avx2) return layers_avx2::all();
#endif
  return layers_portable::all();
}

// Rows go to threads in even parts; few rows are not worth a thread.
template <class Work>
void share_out(size_t rows, size_t floats, size_t threads, Work work) {
  constexpr size_t worth = 1 << 16;
  size_t parts = std::max<size_t>(1, std::min({threads, rows, floats / worth}));
  size_t each = (rows + parts - 1) / parts;
  std::vector<std::jthread> others;
  size_t part = 1;
  try {
    for (; part < parts; part++)
      others.emplace_back([=] { work(std::min(part * each, rows), std::min((part + 1) * each, rows)); });
  } catch (const std::system_error&) {  // no thread is to be had: its part and what follows are ours
    work(std::min(part * each, rows), rows);
  }
  work(0, std::min(each, rows));
}

}  // namespace assay
