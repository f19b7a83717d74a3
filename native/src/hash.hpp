// What a hash is. The definition is "hash-1": it never changes; another one gets another name.
//
// Text is read as little-endian 64-bit words, the last 16 bytes padded with zeros. A step mixes 16
// bytes into the state by one 64 x 64 -> 128 bit product, whose halves are xored. A factor that
// happens to be zero cannot wipe out the state, because both factors are added again.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace assay {

using u8 = uint8_t;
using u32 = uint32_t;
using u64 = uint64_t;

// Digits of pi after the point, each word made odd: nothing up the sleeve.
inline constexpr u64 K0 = 0x243f6a8885a308d3, K1 = 0x13198a2e03707345, K2 = 0xa4093822299f31d1,
                     K3 = 0x082efa98ec4e6c89, K4 = 0x452821e638d01377, K5 = 0xbe5466cf34e90c6d,
                     K6 = 0xc0ac29b7c97c50dd, K7 = 0x3f84d5b5b5470917;

inline u64 load64(const u8* p) {
  u64 word;
  std::memcpy(&word, p, 8);
  if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
  return word;
}

inline u64 fold(u64 a, u64 b) {
  unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
  return static_cast<u64>(product) ^ static_cast<u64>(product >> 64);
}

inline u64 step(u64 state, u64 a, u64 b) {
  u64 x = a ^ state, y = b ^ K1;
  return fold(x, y) + (x ^ std::rotl(y, 32));
}

inline constexpr u64 finish(u64 state, u64 length) {
  state ^= length * K2;
  state ^= state >> 32;
  state *= K3;
  return state ^ (state >> 29);
}

// Bytes [0, n) of p as two words, n in 0..16. Reads 16 bytes: the caller owns that much.
inline constexpr u64 low_bytes[17][2] = {
    {0, 0},
    {0xff, 0},
    {0xffff, 0},
    {0xffffff, 0},
    {0xffffffff, 0},
    {0xffffffffff, 0},
    {0xffffffffffff, 0},
    {0xffffffffffffff, 0},
    {~0ull, 0},
    {~0ull, 0xff},
    {~0ull, 0xffff},
    {~0ull, 0xffffff},
    {~0ull, 0xffffffff},
    {~0ull, 0xffffffffff},
    {~0ull, 0xffffffffffff},
    {~0ull, 0xffffffffffffff},
    {~0ull, ~0ull},
};

inline u64 step_last(u64 state, const u8* p, size_t n) {
  return step(state, load64(p) & low_bytes[n][0], load64(p + 8) & low_bytes[n][1]);
}

inline constexpr u64 start(u64 seed) { return finish(seed ^ K0, 1); }

// The bulk: steps over all 16-byte words but the last, which stays in [p, p + n), n in 1..16.
inline u64 steps(u64 state, const u8*& p, size_t& n) {
  if (n > 64) {
    u64 a = state, b = state ^ K4, c = state ^ K5, d = state ^ K6;
    do {
      a = step(a, load64(p), load64(p + 8));
      b = step(b, load64(p + 16), load64(p + 24));
      c = step(c, load64(p + 32), load64(p + 40));
      d = step(d, load64(p + 48), load64(p + 56));
      p += 64, n -= 64;
    } while (n > 64);
    state = step(step(a, b, c), d, K7);
  }
  while (n > 16) {
    state = step(state, load64(p), load64(p + 8));
    p += 16, n -= 16;
  }
  return state;
}

// Reads only the n bytes.
inline u64 hash_bytes(const u8* p, size_t n, u64 seed) {
  size_t rest = n;
  u64 state = steps(start(seed), p, rest);
  u8 last[16] = {};
  if (rest) std::memcpy(last, p, rest);
  return finish(step_last(state, last, rest), n);
}

// The same with seed 0, for text that is followed by 15 readable bytes.
inline u64 hash_token(const u8* p, size_t n) {
  constexpr u64 begin = start(0);
  if (n <= 16) [[likely]]
    return finish(step_last(begin, p, n), n);
  size_t rest = n;
  u64 state = steps(begin, p, rest);
  return finish(step_last(state, p, rest), n);
}

// The hash of (n-gram, next token).
inline u64 extend(u64 ngram, u64 token) {
  u64 x = ngram + K6, y = token ^ K7;
  return fold(x, y) + (x ^ std::rotl(y, 32));
}

// An even choice out of `count` places by the upper bits.
inline u64 place(u64 hash, u64 count) {
  return static_cast<u64>((static_cast<unsigned __int128>(hash) * count) >> 64);
}

}  // namespace assay
