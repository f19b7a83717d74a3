// One instruction set's way of the inner loops of MinHash. No include guard: minhash.hpp includes this
// file once per instruction set, each time with another namespace and another number of LANES.
namespace LANES_NAME {

typedef u32 V __attribute__((vector_size(4 * LANES)));

inline V load(const u32* from) {
  V v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

inline void store(u32* to, V v) { std::memcpy(to, &v, sizeof v); }

// least[k] = min(least[k], a[k] * hash + b[k]) over all hashes; `count` is a multiple of 64. Sixteen
// lanes four times are what the registers hold: 64 permutations meet all hashes, then the next 64.
inline void permute(const u32* a, const u32* b, size_t count, const u32* hashes, size_t n,
                    u32* least) {
  for (size_t k = 0; k < count; k += 4 * LANES) {
    V a0 = load(a + k), a1 = load(a + k + LANES), a2 = load(a + k + 2 * LANES),
      a3 = load(a + k + 3 * LANES);
    V b0 = load(b + k), b1 = load(b + k + LANES), b2 = load(b + k + 2 * LANES),
      b3 = load(b + k + 3 * LANES);
    V l0 = load(least + k), l1 = load(least + k + LANES), l2 = load(least + k + 2 * LANES),
      l3 = load(least + k + 3 * LANES);
    for (size_t i = 0; i < n; i++) {
      V hash = V{} + hashes[i];
      V p0 = a0 * hash + b0, p1 = a1 * hash + b1, p2 = a2 * hash + b2, p3 = a3 * hash + b3;
      l0 = p0 < l0 ? p0 : l0, l1 = p1 < l1 ? p1 : l1;
      l2 = p2 < l2 ? p2 : l2, l3 = p3 < l3 ? p3 : l3;
    }
    store(least + k, l0), store(least + k + LANES, l1);
    store(least + k + 2 * LANES, l2), store(least + k + 3 * LANES, l3);
  }
}

inline V turn(V x, int by) { return (x << by) | (x >> (32 - by)); }

// The first word of SHA-1 (FIPS 180-4) of messages of one block each; word[i][lane] in, first[lane] out.
inline void sha1(const Sha1Blocks& blocks, u32* first) {
  for (size_t lane = 0; lane < sha1_lanes; lane += LANES) {
    V w[16];
    for (size_t i = 0; i < 16; i++) w[i] = load(&blocks.word[i][lane]);
    V a = V{} + 0x67452301u, b = V{} + 0xefcdab89u, c = V{} + 0x98badcfeu, d = V{} + 0x10325476u,
      e = V{} + 0xc3d2e1f0u;
#pragma GCC unroll 80
    for (int i = 0; i < 80; i++) {
      if (i >= 16)
        w[i & 15] = turn(w[(i - 3) & 15] ^ w[(i - 8) & 15] ^ w[(i - 14) & 15] ^ w[i & 15], 1);
      V mixed = i < 20   ? (d ^ (b & (c ^ d))) + 0x5a827999u
                : i < 40 ? (b ^ c ^ d) + 0x6ed9eba1u
                : i < 60 ? ((b & c) | (d & (b | c))) + 0x8f1bbcdcu
                         : (b ^ c ^ d) + 0xca62c1d6u;
      V next = turn(a, 5) + mixed + e + w[i & 15];
      e = d, d = c, c = turn(b, 30), b = a, a = next;
    }
    store(first + lane, a + 0x67452301u);
  }
}

}  // namespace LANES_NAME
