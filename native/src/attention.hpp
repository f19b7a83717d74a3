// Attention inside documents: the token at place n of a sequence sees the places starts[n] .. n.
//
// Queries go in blocks; a block's scores are made for the panels of keys from its first document's
// beginning to its own end, and nothing else is. The backward pass makes them again (Dao et al. 2022,
// arXiv 2205.14135). What a sequence and head comes to does not depend on threads.
#pragma once
#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>

#include "layers.hpp"

namespace assay {

inline constexpr size_t block = 64;  // queries, and keys of a panel; 16 kB of a head of 64

// (batch, length, heads, head); the numbers of a head lie side by side.
struct Heads {
  float* data;
  size_t batches, length, heads, head;
  size_t batch_step, length_step, head_step;

  float* row(size_t batch, size_t place, size_t which) const {
    return data + batch * batch_step + place * length_step + which * head_step;
  }
};

// Of what is packed: rows and widths are filled up to whole blocks and vectors.
struct Sizes {
  size_t length, head, rows, width, step;
  float factor;

  explicit Sizes(const Heads& q)
      : length(q.length),
        head(q.head),
        rows((q.length + block - 1) / block * block),
        width((q.head + 15) / 16 * 16),
        step(rows + 16),  // not a power of two: rows would share their places in the cache
        factor(1.f / std::sqrt(static_cast<float>(q.head))) {}

  size_t forward() const { return 2 * rows * width + rows * head + block * (step + width); }
  size_t backward() const {
    return 5 * rows * width + 2 * rows * head + block * (2 * step + width);
  }
};

}  // namespace assay

#define LAYERS_NAME layers_portable
#define LANES 4
namespace assay {
#include "attention_lanes.hpp"
}
#undef LAYERS_NAME
#undef LANES

#if defined(__x86_64__)
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define LAYERS_NAME layers_avx2
#define LANES 8
namespace assay {
#include "attention_lanes.hpp"
}
#undef LAYERS_NAME
#undef LANES
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx2,fma,prefer-vector-width=512")
#define LAYERS_NAME layers_avx512
#define LANES 16
namespace assay {
#include "attention_lanes.hpp"
}
#undef LAYERS_NAME
#undef LANES
#pragma GCC pop_options
#endif

namespace assay {

struct Attention {
  decltype(&layers_portable::attend) forward;
  decltype(&layers_portable::attend_back) backward;
};

inline Attention current_attention() {
#if defined(__x86_64__)
  if (layers_level() == Simd::avx512) return {layers_avx512::attend, layers_avx512::attend_back};
  if (layers_level() == Simd::avx2) return {layers_avx2::attend, layers_avx2::attend_back};
#endif
  return {layers_portable::attend, layers_portable::attend_back};
}

// work(batch, head, scratch) for every sequence and head; each thread has a scratch of its own.
template <class Work>
void each_head(const Heads& q, size_t floats, size_t threads, Work work) {
  if (q.length == 0 || q.head == 0) return;
  size_t count = q.batches * q.heads, each = (floats * sizeof(float) + 63) / 64 * 64;
  threads = std::max<size_t>(1, std::min(threads, count));
  std::unique_ptr<char, void (*)(void*)> memory(
      static_cast<char*>(std::aligned_alloc(64, threads * each)), std::free);
  if (!memory) throw std::bad_alloc();
  std::atomic<size_t> next{0};
  auto some = [&](size_t thread) {
    float* scratch = reinterpret_cast<float*>(memory.get() + thread * each);
    for (size_t n = next++; n < count; n = next++) work(n / q.heads, n % q.heads, scratch);
  };
  std::vector<std::jthread> others;
  try {
    for (size_t n = 1; n < threads; n++) others.emplace_back(some, n);
  } catch (const std::system_error&) {  // no thread is to be had: those that are there do it all
  }
  some(0);
}

}  // namespace assay
