// MinHash signatures of a text's shingles, and the bands of a signature: "minhash-1".
//
// A shingle is a run of `width` tokens of text.hpp; a text of fewer tokens has one, which is all of
// them, and a text without a token has none. A shingle's hash has 32 bits: the lower half of its hash
// by windows-1 ("fast"), or the first four bytes of SHA-1 of its tokens joined by one space, lowest
// byte first ("sha1"). What follows is the scheme "affine32" of datasketch 2: g is the hash through
// MurmurHash3's finalizer, and sig[k] = min over the shingles of a[k] * g + b[k] modulo 2^32, with all
// bits set where there is no shingle.
#pragma once
#include "windows.hpp"

namespace assay {

inline constexpr u32 no_minimum = ~u32{0};
inline constexpr size_t sha1_lanes = 16;
inline constexpr size_t most_permutations = 1 << 16;

// One block per lane, word by word.
struct alignas(64) Sha1Blocks {
  u32 word[16][sha1_lanes];
};

struct Lanes {
  void (*permute)(const u32* a, const u32* b, size_t count, const u32* hashes, size_t n, u32* least);
  void (*sha1)(const Sha1Blocks& blocks, u32* first);
};

}  // namespace assay

#define LANES_NAME lanes_portable
#define LANES 4
namespace assay {
#include "minhash_lanes.hpp"
}
#undef LANES_NAME
#undef LANES

#if defined(__x86_64__)
#pragma GCC push_options
#pragma GCC target("avx2")
#define LANES_NAME lanes_avx2
#define LANES 8
namespace assay {
#include "minhash_lanes.hpp"
}
#undef LANES_NAME
#undef LANES
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw")
#define LANES_NAME lanes_avx512
#define LANES 16
namespace assay {
#include "minhash_lanes.hpp"
}
#undef LANES_NAME
#undef LANES
#pragma GCC pop_options
#endif

namespace assay {

inline Lanes current_lanes() {
#if defined(__x86_64__)
  Simd level = simd.load(std::memory_order_relaxed);
  if (level == Simd::avx512) return {lanes_avx512::permute, lanes_avx512::sha1};
  if (level == Simd::avx2) return {lanes_avx2::permute, lanes_avx2::sha1};
#endif
  return {lanes_portable::permute, lanes_portable::sha1};
}

// MurmurHash3's finalizer of 32 bits (Appleby, public domain): what datasketch mixes a hash with.
inline u32 fmix32(u32 hash) {
  hash = (hash ^ hash >> 16) * 0x85ebca6b;
  hash = (hash ^ hash >> 13) * 0xc2b2ae35;
  return hash ^ hash >> 16;
}

// The permutations h -> a * h + b, and the least values that some hashes reach under them. Hashes are
// gathered first, so that a, b and the minima stay in registers while all of them go by.
class Minima {
 public:
  Minima(const u64* a, const u64* b, size_t count)
      : count_(count), a_(padded(count), 1), b_(padded(count)), least_(padded(count)) {
    for (size_t k = 0; k < count; k++)
      a_[k] = static_cast<u32>(a[k]), b_[k] = static_cast<u32>(b[k]);
  }

  size_t count() const { return count_; }

  void begin() {
    waiting_count_ = 0;
    std::fill(least_.begin(), least_.end(), no_minimum);
  }

  void add(u32 hash) {
    waiting_[waiting_count_++] = fmix32(hash);
    if (waiting_count_ == most_waiting) work_off();
  }

  // Valid until the next begin().
  const u32* end() {
    work_off();
    return least_.data();
  }

 private:
  static constexpr size_t most_waiting = 1024;  // 4 kB: they stay in the first cache

  static size_t padded(size_t count) { return (count + 63) / 64 * 64; }

  void work_off() {
    lanes_.permute(a_.data(), b_.data(), a_.size(), waiting_, waiting_count_, least_.data());
    waiting_count_ = 0;
  }

  Lanes lanes_ = current_lanes();
  size_t count_, waiting_count_ = 0;
  std::vector<u32> a_, b_, least_;
  u32 waiting_[most_waiting];
};

// --- shingles ------------------------------------------------------------------------------------

class FastShingles {
 public:
  explicit FastShingles(size_t width) : windows_(width) {}

  void hash_all(Text text, Scratch& scratch, Minima& minima) {
    bool any = false;
    for_each_windows(text, scratch, windows_, [&](const u64* hashes, size_t count) {
      for (size_t i = 0; i < count; i++) minima.add(static_cast<u32>(hashes[i]));
      any |= count > 0;
    });
    if (!any) hash_whole(text, scratch, minima);
  }

 private:
  static void hash_whole(Text text, Scratch& scratch, Minima& minima) {
    size_t tokens = count_tokens(text, scratch);
    if (!tokens) return;
    Windows whole(tokens);
    for_each_windows(text, scratch, whole, [&](const u64* hashes, size_t count) {
      for (size_t i = 0; i < count; i++) minima.add(static_cast<u32>(hashes[i]));
    });
  }

  Windows windows_;
};

inline u32 sha1_of_long(const u8* data, size_t size);

class Sha1Shingles {
 public:
  explicit Sha1Shingles(size_t width) : width_(width) {}

  void hash_all(Text text, Scratch& scratch, Minima& minima) {
    join(text, scratch);
    size_t tokens = begins_.size() - 1, width = std::min(width_, tokens);
    for (size_t i = 0; width && i + width <= tokens; i++)
      hash(joined_.data() + begins_[i], begins_[i + width] - 1 - begins_[i], minima);
    work_off(minima);
    joined_.shrink(kept_scratch);
  }

 private:
  static constexpr size_t longest_single = 55;  // bytes that fit one block with their padding

  // The tokens with one space between two of them: every shingle is a stretch of that.
  void join(Text text, Scratch& scratch) {
    size_t size = 0;
    begins_.assign(1, 0);
    for_each_tokens(text, scratch, [&](const Tokens& tokens) {
      size_t more = tokens.ends[tokens.count - 1] - tokens.starts[0] + tokens.count;
      joined_.reserve(size + more, size);
      for (size_t i = 0; i < tokens.count; i++) {
        size_t bytes = tokens.ends[i] - tokens.starts[i];
        std::memcpy(joined_.data() + size, tokens.text + tokens.starts[i], bytes);
        joined_.data()[size + bytes] = ' ';
        begins_.push_back(size += bytes + 1);
      }
    });
  }

  void hash(const u8* data, size_t size, Minima& minima) {
    if (size > longest_single) return minima.add(sha1_of_long(data, size));
    alignas(4) u8 block[64] = {};
    std::memcpy(block, data, size);
    block[size] = 0x80;
    block[62] = static_cast<u8>(size >> 5), block[63] = static_cast<u8>(size << 3);
    for (size_t i = 0; i < 16; i++) blocks_.word[i][waiting_] = __builtin_bswap32(load32(block + 4 * i));
    if (++waiting_ == sha1_lanes) work_off(minima);
  }

  void work_off(Minima& minima) {
    alignas(64) u32 first[sha1_lanes];
    if (waiting_) lanes_.sha1(blocks_, first);
    for (size_t i = 0; i < waiting_; i++) minima.add(__builtin_bswap32(first[i]));
    waiting_ = 0;
  }

  Lanes lanes_ = current_lanes();
  size_t width_, waiting_ = 0;
  Buffer<u8> joined_;
  std::vector<size_t> begins_;
  Sha1Blocks blocks_ = {};
};

// Rare: five tokens that are longer than 55 bytes. One lane after the other would be wasted on them.
inline u32 sha1_of_long(const u8* data, size_t size) {
  u32 s[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
  size_t blocks = (size + 8) / 64 + 1;
  for (size_t block = 0; block < blocks; block++) {
    u8 bytes[64] = {};
    size_t at = 64 * block, here = at < size ? std::min<size_t>(64, size - at) : 0;
    if (here) std::memcpy(bytes, data + at, here);
    if (at <= size && size < at + 64) bytes[size - at] = 0x80;
    if (block + 1 == blocks)
      for (size_t i = 0; i < 8; i++) bytes[63 - i] = static_cast<u8>(u64{size} * 8 >> 8 * i);
    u32 w[80];
    for (size_t i = 0; i < 16; i++) w[i] = __builtin_bswap32(load32(bytes + 4 * i));
    for (size_t i = 16; i < 80; i++)
      w[i] = std::rotl(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    u32 a = s[0], b = s[1], c = s[2], d = s[3], e = s[4];
    for (size_t i = 0; i < 80; i++) {
      u32 mixed = i < 20   ? (d ^ (b & (c ^ d))) + 0x5a827999
                  : i < 40 ? (b ^ c ^ d) + 0x6ed9eba1
                  : i < 60 ? ((b & c) | (d & (b | c))) + 0x8f1bbcdc
                           : (b ^ c ^ d) + 0xca62c1d6;
      u32 next = std::rotl(a, 5) + mixed + e + w[i];
      e = d, d = c, c = std::rotl(b, 30), b = a, a = next;
    }
    s[0] += a, s[1] += b, s[2] += c, s[3] += d, s[4] += e;
  }
  return __builtin_bswap32(s[0]);
}

// --- whole columns -------------------------------------------------------------------------------

// use(row, signature) for each text, in order.
template <class Shingles, class Use>
void for_each_signature(const Texts& texts, Shingles& shingles, Minima& minima, Scratch& scratch,
                        Use use) {
  for (size_t row = 0; row < texts.size(); row++) {
    minima.begin();
    shingles.hash_all(texts[row], scratch, minima);
    use(row, minima.end());
  }
}

// The bands' hashes: 53 bits, so that a float64 holds them. A signature without a shingle has none.
inline constexpr u64 no_band = ~u64{0};

inline void hash_bands(const u32* signature, size_t bands, size_t rows, u64* out) {
  for (size_t band = 0; band < bands; band++) {
    const u32* begin = signature + band * rows;
    bool empty = std::all_of(begin, begin + rows, [](u32 value) { return value == no_minimum; });
    u64 state = start(band);
    for (size_t i = 0; i < rows; i++) state = step(state, begin[i], i);
    out[band] = empty ? no_band : finish(state, rows) >> 11;
  }
}

}  // namespace assay
