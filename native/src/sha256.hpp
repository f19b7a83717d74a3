// SHA-256 (FIPS 180-4) of many short messages: up to 16 at once in the lanes of a vector, as most
// n-grams fit one block, and one at a time for the longer ones, with SHA-NI where there is one.
#pragma once
#include "text.hpp"

namespace assay::sha256 {

inline constexpr u32 rounds[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

inline constexpr u32 initial[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                   0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

inline constexpr size_t lanes = 16;
inline constexpr size_t longest_single = 55;  // bytes that fit one block with their padding

inline u32 load_big(const u8* p) { return __builtin_bswap32(load32(p)); }

// One block per lane, word by word: word[i][lane].
struct alignas(64) Blocks {
  u32 word[16][lanes];

  // A message of at most longest_single bytes, padded.
  void set(size_t lane, const u8* message, size_t size) {
    u8 block[64] = {};
    std::memcpy(block, message, size);
    block[size] = 0x80;
    for (size_t i = 0; i < 15; i++) word[i][lane] = load_big(block + 4 * i);
    word[15][lane] = static_cast<u32>(size * 8);
  }

  // The same for at most 27 bytes, given as little-endian words that are zero after the message up
  // to byte 27. Words 7 to 14 are expected to be zero already.
  void set_short(size_t lane, const u64* message, size_t size) {
    u64 end = u64{0x80} << size % 8 * 8;
    for (size_t i = 0; i < 4; i++) {
      u64 two = message[i] & (i == 3 ? 0xffffff : ~0ull);
      two |= size / 8 == i ? end : 0;
      word[2 * i][lane] = __builtin_bswap32(static_cast<u32>(two));
      if (i < 3) word[2 * i + 1][lane] = __builtin_bswap32(static_cast<u32>(two >> 32));
    }
    word[15][lane] = static_cast<u32>(size * 8);
  }
};

struct alignas(64) Digests {
  u32 word[8][lanes];
};

#define ASSAY_ROTATE(x, by) (((x) >> (by)) | ((x) << (32 - (by))))
#define ASSAY_SHA_LANES(V, COUNT)                                                                  \
  for (size_t first = 0; first < lanes; first += COUNT) {                                          \
    V w[16], s[8];                                                                                 \
    for (int i = 0; i < 16; i++) std::memcpy(&w[i], &blocks.word[i][first], sizeof(V));            \
    for (int i = 0; i < 8; i++) s[i] = V{} + initial[i];                                           \
    _Pragma("GCC unroll 64") for (int i = 0; i < 64; i++) {                                        \
      if (i >= 16) {                                                                               \
        V w15 = w[(i - 15) & 15], w2 = w[(i - 2) & 15];                                            \
        w[i & 15] += (ASSAY_ROTATE(w15, 7) ^ ASSAY_ROTATE(w15, 18) ^ (w15 >> 3)) +                 \
                     w[(i - 7) & 15] + (ASSAY_ROTATE(w2, 17) ^ ASSAY_ROTATE(w2, 19) ^ (w2 >> 10)); \
      }                                                                                            \
      V a = s[(0 - i) & 7], b = s[(1 - i) & 7], c = s[(2 - i) & 7], e = s[(4 - i) & 7],            \
        f = s[(5 - i) & 7], g = s[(6 - i) & 7];                                                    \
      V one = s[(7 - i) & 7] + (ASSAY_ROTATE(e, 6) ^ ASSAY_ROTATE(e, 11) ^ ASSAY_ROTATE(e, 25)) +  \
              (g ^ (e & (f ^ g))) + rounds[i] + w[i & 15];                                         \
      s[(3 - i) & 7] += one;                                                                       \
      s[(7 - i) & 7] = one + (ASSAY_ROTATE(a, 2) ^ ASSAY_ROTATE(a, 13) ^ ASSAY_ROTATE(a, 22)) +    \
                       ((a & b) | (c & (a | b)));                                                  \
    }                                                                                              \
    for (int i = 0; i < 8; i++) {                                                                  \
      s[i] += initial[i];                                                                          \
      std::memcpy(&digests.word[i][first], &s[i], sizeof(V));                                      \
    }                                                                                              \
  }

typedef u32 V4 __attribute__((vector_size(16)));
inline void lanes_portable(const Blocks& blocks, Digests& digests) { ASSAY_SHA_LANES(V4, 4) }

#if defined(__x86_64__)
typedef u32 V8 __attribute__((vector_size(32)));
typedef u32 V16 __attribute__((vector_size(64)));
#pragma GCC push_options
#pragma GCC target("avx2")
inline void lanes_avx2(const Blocks& blocks, Digests& digests) { ASSAY_SHA_LANES(V8, 8) }
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw")
inline void lanes_avx512(const Blocks& blocks, Digests& digests) { ASSAY_SHA_LANES(V16, 16) }
#pragma GCC pop_options
#endif
#undef ASSAY_SHA_LANES
#undef ASSAY_ROTATE

inline void digest_lanes(const Blocks& blocks, Digests& digests) {
#if defined(__x86_64__)
  Simd level = simd.load(std::memory_order_relaxed);
  if (level == Simd::avx512) return lanes_avx512(blocks, digests);
  if (level == Simd::avx2) return lanes_avx2(blocks, digests);
#endif
  lanes_portable(blocks, digests);
}

// --- one message of any length -------------------------------------------------------------------

inline void compress_portable(u32* state, const u8* data, size_t blocks) {
  for (; blocks; blocks--, data += 64) {
    u32 w[16], s[8];
    for (int i = 0; i < 16; i++) w[i] = load_big(data + 4 * i);
    for (int i = 0; i < 8; i++) s[i] = state[i];
#pragma GCC unroll 64
    for (int i = 0; i < 64; i++) {
      if (i >= 16) {
        u32 w15 = w[(i - 15) & 15], w2 = w[(i - 2) & 15];
        w[i & 15] += (std::rotr(w15, 7) ^ std::rotr(w15, 18) ^ (w15 >> 3)) + w[(i - 7) & 15] +
                     (std::rotr(w2, 17) ^ std::rotr(w2, 19) ^ (w2 >> 10));
      }
      u32 a = s[(0 - i) & 7], b = s[(1 - i) & 7], c = s[(2 - i) & 7], e = s[(4 - i) & 7],
          f = s[(5 - i) & 7], g = s[(6 - i) & 7];
      u32 one = s[(7 - i) & 7] + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) +
                (g ^ (e & (f ^ g))) + rounds[i] + w[i & 15];
      s[(3 - i) & 7] += one;
      s[(7 - i) & 7] =
          one + (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & b) | (c & (a | b)));
    }
    for (int i = 0; i < 8; i++) state[i] += s[i];
  }
}

#if defined(__x86_64__)
#pragma GCC push_options
#pragma GCC target("sha,sse4.1,ssse3")
// The instructions keep the state as (ABEF, CDGH) and do two rounds each.
inline void compress_sha_ni(u32* state, const u8* data, size_t blocks) {
  const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  __m128i low = _mm_loadu_si128(reinterpret_cast<const __m128i*>(state));       // DCBA
  __m128i high = _mm_loadu_si128(reinterpret_cast<const __m128i*>(state + 4));  // HGFE
  low = _mm_shuffle_epi32(low, 0xb1);                                           // CDAB
  high = _mm_shuffle_epi32(high, 0x1b);                                         // EFGH
  __m128i abef = _mm_alignr_epi8(low, high, 8), cdgh = _mm_blend_epi16(high, low, 0xf0);
  for (; blocks; blocks--, data += 64) {
    __m128i abef_before = abef, cdgh_before = cdgh, w[4];
    for (int i = 0; i < 4; i++) {
      __m128i words = _mm_loadu_si128(reinterpret_cast<const __m128i*>(data + 16 * i));
      w[i] = _mm_shuffle_epi8(words, swap);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
      if (i >= 4) {
        __m128i& next = w[i & 3];  // four words: the last sixteen in w[i..i+3]
        __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(next, w[(i + 1) & 3]),
                                    _mm_alignr_epi8(w[(i + 3) & 3], w[(i + 2) & 3], 4));
        next = _mm_sha256msg2_epu32(sum, w[(i + 3) & 3]);
      }
      __m128i k = _mm_loadu_si128(reinterpret_cast<const __m128i*>(rounds + 4 * i));
      __m128i wk = _mm_add_epi32(w[i & 3], k);
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, wk);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(wk, 0x0e));
    }
    abef = _mm_add_epi32(abef, abef_before), cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }
  __m128i feba = _mm_shuffle_epi32(abef, 0x1b), dchg = _mm_shuffle_epi32(cdgh, 0xb1);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state), _mm_blend_epi16(feba, dchg, 0xf0));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}
#pragma GCC pop_options

// Not every compiler knows the name "sha" in __builtin_cpu_supports.
inline bool find_sha_ni() {
  u32 a, b, c, d;
  __asm__("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(0), "c"(0));
  if (a < 7 || !__builtin_cpu_supports("sse4.1") || !__builtin_cpu_supports("ssse3")) return false;
  __asm__("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(7), "c"(0));
  return b >> 29 & 1;
}

inline const bool has_sha_ni = find_sha_ni();
#endif

inline void compress(u32* state, const u8* data, size_t blocks) {
#if defined(__x86_64__)
  if (has_sha_ni && simd.load(std::memory_order_relaxed) != Simd::portable)
    return compress_sha_ni(state, data, blocks);
#endif
  compress_portable(state, data, blocks);
}

inline void digest(const u8* data, size_t size, u32* state) {
  std::memcpy(state, initial, sizeof initial);
  compress(state, data, size / 64);
  u8 last[128] = {};
  size_t rest = size % 64, blocks = rest <= longest_single ? 1 : 2;
  if (rest) std::memcpy(last, data + size - rest, rest);
  last[rest] = 0x80;
  for (size_t i = 0; i < 8; i++) last[64 * blocks - 1 - i] = static_cast<u8>(size * 8 >> 8 * i);
  compress(state, last, blocks);
}

// --- a digest as a number modulo `count` ---------------------------------------------------------

class Modulus {
 public:
  explicit Modulus(u64 count) : count_(count), inverse_(~0ull / count) {
    u64 power = 1 % count;
    for (int i = 7; i >= 0; i--) {
      powers_[i] = power;
      power = (power << 32) % count;
    }
    beyond_ = static_cast<u64>((static_cast<unsigned __int128>(1) << 64) % count);
  }

  // The first word is the highest. Each product is below 2^63, their sum below 2^66.
  u32 of(const u32* words, size_t stride = 1) const {
    unsigned __int128 sum = 0;
    for (int i = 0; i < 8; i++) sum += words[i * stride] * powers_[i];
    u64 low = reduce(static_cast<u64>(sum));
    return static_cast<u32>(reduce(low + static_cast<u64>(sum >> 64) * beyond_));
  }

  void of(const Digests& digests, u32* out) const {
    if (count_ > u64{1} << 29) {
      for (size_t lane = 0; lane < lanes; lane++) out[lane] = of(&digests.word[0][lane], lanes);
      return;
    }
    u64 sums[lanes] = {};  // of eight products below 2^61
    for (int i = 0; i < 8; i++)
      for (size_t lane = 0; lane < lanes; lane++)
        sums[lane] += u64{digests.word[i][lane]} * static_cast<u32>(powers_[i]);
    for (size_t lane = 0; lane < lanes; lane++) out[lane] = static_cast<u32>(reduce(sums[lane]));
  }

 private:
  u64 reduce(u64 x) const {
    u64 quotient = static_cast<u64>((static_cast<unsigned __int128>(x) * inverse_) >> 64);
    u64 rest = x - quotient * count_;
    while (rest >= count_) rest -= count_;
    return rest;
  }

  u64 count_, inverse_, beyond_, powers_[8];
};

}  // namespace assay::sha256
