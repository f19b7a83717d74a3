// One instruction set's way of lowering text and finding its tokens. No include guard: text.hpp
// includes this file once per instruction set, each time with another namespace and another SCAN_*.
namespace SCAN_NAME {

#if SCAN_LEVEL == 2  // AVX-512BW

struct Block {
  __m512i bytes;
};

inline Block load(const u8* p) { return {_mm512_loadu_si512(p)}; }
inline void store(u8* p, Block block) { _mm512_storeu_si512(p, block.bytes); }
inline u64 not_ascii(Block block) { return _mm512_movepi8_mask(block.bytes); }

inline Block lower(Block block) {
  __m512i place = _mm512_sub_epi8(block.bytes, _mm512_set1_epi8('A'));
  __mmask64 upper = _mm512_cmplt_epu8_mask(place, _mm512_set1_epi8(26));
  return {_mm512_mask_add_epi8(block.bytes, upper, block.bytes, _mm512_set1_epi8(32))};
}

inline u64 within(__m512i bytes, char first, char count) {
  return _mm512_cmplt_epu8_mask(_mm512_sub_epi8(bytes, _mm512_set1_epi8(first)),
                                _mm512_set1_epi8(count));
}

inline u64 words(Block block) {
  return within(block.bytes, 'a', 26) | within(block.bytes, '0', 10) |
         _mm512_cmpeq_epi8_mask(block.bytes, _mm512_set1_epi8('_'));
}

inline u64 spaces(Block block) { return within(block.bytes, 9, 5) | within(block.bytes, 28, 5); }

// The places of the set bits, and how many; writes up to 64 places past `out`.
inline size_t places(u64 bits, u32 base, u32* out) {
  const __m512i count = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  u32* begin = out;
  for (int quarter = 0; quarter < 4; quarter++) {
    __mmask16 mask = static_cast<__mmask16>(bits >> (16 * quarter));
    __m512i at = _mm512_add_epi32(count, _mm512_set1_epi32(static_cast<int>(base) + 16 * quarter));
    _mm512_storeu_si512(out, _mm512_maskz_compress_epi32(mask, at));
    out += __builtin_popcount(mask);
  }
  return static_cast<size_t>(out - begin);
}

#else

#if SCAN_LEVEL == 1  // AVX2

struct Block {
  __m256i low, high;
};

inline Block load(const u8* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32))};
}

inline void store(u8* p, Block block) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), block.low);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 32), block.high);
}

inline u64 top_bits(__m256i low, __m256i high) {
  return static_cast<u32>(_mm256_movemask_epi8(low)) |
         static_cast<u64>(static_cast<u32>(_mm256_movemask_epi8(high))) << 32;
}

inline u64 not_ascii(Block block) { return top_bits(block.low, block.high); }

inline __m256i within(__m256i bytes, char first, char count) {
  __m256i place = _mm256_sub_epi8(bytes, _mm256_set1_epi8(first));
  __m256i last = _mm256_set1_epi8(static_cast<char>(count - 1));
  return _mm256_cmpeq_epi8(_mm256_min_epu8(place, last), place);
}

inline __m256i lower_half(__m256i bytes) {
  return _mm256_add_epi8(bytes, _mm256_and_si256(within(bytes, 'A', 26), _mm256_set1_epi8(32)));
}

inline Block lower(Block block) { return {lower_half(block.low), lower_half(block.high)}; }

inline __m256i word_half(__m256i bytes) {
  __m256i line = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('_'));
  return _mm256_or_si256(_mm256_or_si256(within(bytes, 'a', 26), within(bytes, '0', 10)), line);
}

inline __m256i space_half(__m256i bytes) {
  return _mm256_or_si256(within(bytes, 9, 5), within(bytes, 28, 5));
}

inline u64 words(Block block) { return top_bits(word_half(block.low), word_half(block.high)); }
inline u64 spaces(Block block) { return top_bits(space_half(block.low), space_half(block.high)); }

#else  // any machine

struct Block {
  u8 bytes[64];
};

inline Block load(const u8* p) {
  Block block;
  std::memcpy(block.bytes, p, 64);
  return block;
}

inline void store(u8* p, const Block& block) { std::memcpy(p, block.bytes, 64); }

inline Block lower(Block block) {
  for (u8& byte : block.bytes) byte += static_cast<u8>(byte - 'A') < 26 ? 32 : 0;
  return block;
}

// Bit 0 of each byte -> 8 bits: the product moves the bit of byte i to bit 56 + i.
inline u64 gather_bits(const u8* flags) {
  u64 bits = 0;
  for (int i = 0; i < 8; i++) bits |= ((load64(flags + 8 * i) * 0x0102040810204080) >> 56) << 8 * i;
  return bits;
}

inline u64 not_ascii(const Block& block) {
  u8 flags[64];
  for (int i = 0; i < 64; i++) flags[i] = block.bytes[i] >> 7;
  return gather_bits(flags);
}

inline u64 words(const Block& block) {
  u8 flags[64];
  for (int i = 0; i < 64; i++) {
    u8 c = block.bytes[i];
    flags[i] = (static_cast<u8>(c - 'a') < 26) | (static_cast<u8>(c - '0') < 10) | (c == '_');
  }
  return gather_bits(flags);
}

inline u64 spaces(const Block& block) {
  u8 flags[64];
  for (int i = 0; i < 64; i++) {
    u8 c = block.bytes[i];
    flags[i] = (static_cast<u8>(c - 9) < 5) | (static_cast<u8>(c - 28) < 5);
  }
  return gather_bits(flags);
}

#endif

inline size_t places(u64 bits, u32 base, u32* out) {
  size_t count = static_cast<size_t>(std::popcount(bits));
  for (size_t done = 0; done < count; done += 8) {  // eight at a time: few mispredicted branches
    for (int i = 0; i < 8; i++) {
      out[done + i] = base + static_cast<u32>(std::countr_zero(bits));
      bits &= bits - 1;
    }
  }
  return count;
}

#endif

// Lowers document[at, end), cut between code points, to the end of `lowered`.
inline void lower_piece(Text document, size_t at, size_t end, Lowered& lowered) {
  const u8* in = document.data;
  u8* text = lowered.text.data();
  u8* look = lowered.look;
  size_t out = lowered.size;
  while (at < end) {
    // The table's lines keep the machine's own prefetching of the text from working.
    __builtin_prefetch(in + at + 1024);
    Block block;
    if (at + 64 <= document.size) {
      block = load(in + at);
    } else {
      u8 last[64] = {};
      std::memcpy(last, in + at, document.size - at);
      block = load(last);
    }
    size_t run = std::min<size_t>(std::countr_zero(not_ascii(block)), end - at);
    Block lowercase = lower(block);
    store(text + out, lowercase);
    if (look != text) store(look + out, lowercase);
    at += run, out += run;
    if (run == 64 || at >= end) continue;
    if (look == text) {
      look = lowered.other_look.data();
      std::memcpy(look, text, out);
    }
    do {
      Piece piece = lower_code_point(document, at);
      std::memcpy(text + out, &piece.text, 4);
      std::memcpy(look + out, &piece.look, 4);
      if (piece.more) [[unlikely]]
        lower_dotted_i(text + out, look + out);
      at += piece.read, out += piece.written;
    } while (at < end && in[at] >= 0x80);
  }
  lowered.size = out;
  lowered.look = look;
}

inline bool is_word(u8 look) {
  return static_cast<u8>(look - 'a') < 26 || static_cast<u8>(look - '0') < 10 || look == '_';
}

struct Changes {
  u64 words = 0, others = 0;  // bit 0: the class of the byte before

  void after(u8 look) {
    bool space = static_cast<u8>(look - 9) < 5 || static_cast<u8>(look - 28) < 5;
    words = is_word(look), others = !space && !words;
  }

  void next(Block block, u64& starts, u64& ends) {
    u64 word = assay::SCAN_NAME::words(block), other = ~(word | spaces(block));
    u64 word_before = word << 1 | words, other_before = other << 1 | others;
    starts = (word & ~word_before) | (other & ~other_before);
    ends = (word_before & ~word) | (other_before & ~other);
    words = word >> 63, others = other >> 63;
  }
};

// Starts and ends of the tokens of look[0, size), which is followed by 64 spaces.
inline size_t find_tokens(const u8* look, size_t size, u32* starts, u32* ends) {
  Changes changes;
  size_t started = 0, ended = 0;
  for (size_t base = 0; base <= size; base += 64) {
    u64 start, end;
    changes.next(load(look + base), start, end);
    started += places(start, static_cast<u32>(base), starts + started);
    ended += places(end, static_cast<u32>(base), ends + ended);
  }
  return started;
}

// How many tokens start in look[0, size) when a byte of class `before` precedes it.
inline size_t count_starts(const u8* look, size_t size, u8 before) {
  Changes changes;
  changes.after(before);
  size_t count = 0;
  for (size_t base = 0; base < size; base += 64) {
    u64 start, end;
    changes.next(load(look + base), start, end);
    count += static_cast<size_t>(std::popcount(start));
  }
  return count;
}

// --- hashes of many tokens at once ---------------------------------------------------------------

#if SCAN_LEVEL == 0

inline void hash_tokens(const u8* text, const u32* starts, const u32* ends, size_t count,
                        u64* out) {
  for (size_t i = 0; i < count; i++) out[i] = hash_token(text + starts[i], ends[i] - starts[i]);
}

inline void extend_all(const u64* ngrams, const u64* tokens, size_t count, u64* out) {
  for (size_t i = 0; i < count; i++) out[i] = extend(ngrams[i], tokens[i]);
}

inline void place_all(const u64* hashes, size_t count, u64 first, u64 buckets, u64* out) {
  for (size_t i = 0; i < count; i++) out[i] = first + place(hashes[i], buckets);
}

#else

#if SCAN_LEVEL == 2
typedef u64 Words __attribute__((vector_size(64)));

inline Words mul32(Words a, Words b) {
  return reinterpret_cast<Words>(
      _mm512_mul_epu32(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
}

inline Words widen(const u32* p) {
  __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return reinterpret_cast<Words>(_mm512_cvtepu32_epi64(half));
}

inline __m512i lines(const u8* text, const u32* at) {
  auto line = [=](int i) __attribute__((always_inline)) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(text + at[i]));
  };
  __m512i all = _mm512_castsi128_si512(line(0));
  all = _mm512_inserti32x4(all, line(2), 1);
  all = _mm512_inserti32x4(all, line(4), 2);
  return _mm512_inserti32x4(all, line(6), 3);
}

// The 16 bytes at each place as two words. Plain loads: where the microcode guards against
// Downfall, gathers are slower than all the rest of the hash.
inline void load_pairs(const u8* text, const u32* at, Words& first, Words& second) {
  __m512i even = lines(text, at), odd = lines(text, at + 1);
  first = reinterpret_cast<Words>(_mm512_unpacklo_epi64(even, odd));
  second = reinterpret_cast<Words>(_mm512_unpackhi_epi64(even, odd));
}

// The low n bytes of each word, n in 0..8: shifts by 64 or more give 0.
inline Words keep_bytes(Words word, Words n) {
  __m512i mask = _mm512_srlv_epi64(_mm512_set1_epi64(-1), reinterpret_cast<__m512i>(64 - 8 * n));
  return word & reinterpret_cast<Words>(mask);
}

inline Words smaller(Words a, Words b) {
  return reinterpret_cast<Words>(
      _mm512_min_epu64(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
}

#else
typedef u64 Words __attribute__((vector_size(32)));

inline Words mul32(Words a, Words b) {
  return reinterpret_cast<Words>(
      _mm256_mul_epu32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
}

inline Words widen(const u32* p) {
  __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return reinterpret_cast<Words>(_mm256_cvtepu32_epi64(half));
}

inline __m256i lines(const u8* text, const u32* at) {
  return _mm256_loadu2_m128i(reinterpret_cast<const __m128i*>(text + at[2]),
                             reinterpret_cast<const __m128i*>(text + at[0]));
}

inline void load_pairs(const u8* text, const u32* at, Words& first, Words& second) {
  __m256i even = lines(text, at), odd = lines(text, at + 1);
  first = reinterpret_cast<Words>(_mm256_unpacklo_epi64(even, odd));
  second = reinterpret_cast<Words>(_mm256_unpackhi_epi64(even, odd));
}

inline Words keep_bytes(Words word, Words n) {
  __m256i mask = _mm256_srlv_epi64(_mm256_set1_epi64x(-1), reinterpret_cast<__m256i>(64 - 8 * n));
  return word & reinterpret_cast<Words>(mask);
}

// Of numbers below 2^32.
inline Words smaller(Words a, Words b) {
  return reinterpret_cast<Words>(
      _mm256_min_epu32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
}

#endif

inline u64 lanes_above_16(Words size) {
#if SCAN_LEVEL == 2
  return _mm512_cmpgt_epu64_mask(reinterpret_cast<__m512i>(size), _mm512_set1_epi64(16));
#else
  __m256i above = _mm256_cmpgt_epi64(reinterpret_cast<__m256i>(size), _mm256_set1_epi64x(16));
  return static_cast<u64>(_mm256_movemask_pd(_mm256_castsi256_pd(above)));
#endif
}

inline constexpr size_t width = sizeof(Words) / sizeof(u64);

inline Words load_words(const u64* p) {
  Words words;
  std::memcpy(&words, p, sizeof words);
  return words;
}

inline void store_words(u64* p, Words words) { std::memcpy(p, &words, sizeof words); }

// The functions of hash.hpp, lane by lane.
inline Words fold(Words a, Words b) {
  Words a_high = a >> 32, b_high = b >> 32;
  Words low = mul32(a, b), cross = mul32(a_high, b) + (low >> 32);
  Words other = mul32(a, b_high) + (cross & 0xffffffff);
  return ((low & 0xffffffff) | (other << 32)) ^
         (mul32(a_high, b_high) + (cross >> 32) + (other >> 32));
}

inline Words times(Words a, u64 b) {
  Words low = Words{} + b, high = Words{} + (b >> 32);
  return mul32(a, low) + ((mul32(a >> 32, low) + mul32(a, high)) << 32);
}

inline Words mix(Words x, Words y) { return fold(x, y) + (x ^ (y << 32 | y >> 32)); }

// Lengths are below 2^32.
inline Words finish(Words state, Words length) {
  state ^= mul32(length, Words{} + K2) + (mul32(length, Words{} + (K2 >> 32)) << 32);
  state ^= state >> 32;
  state = times(state, K3);
  return state ^ (state >> 29);
}

inline void hash_tokens(const u8* text, const u32* starts, const u32* ends, size_t count,
                        u64* out) {
  constexpr u64 begin = start(0);
  for (size_t i = 0; i < count; i += width) {
    Words size = widen(ends + i) - widen(starts + i), a, b;
    load_pairs(text, starts + i, a, b);
    Words first = smaller(size, Words{} + 8), second = smaller(size - first, Words{} + 8);
    a = keep_bytes(a, first);
    b = keep_bytes(b, second);
    store_words(out + i, finish(mix(a ^ begin, b ^ K1), size));
    for (u64 longest = lanes_above_16(size); longest; longest &= longest - 1) {
      size_t j = i + static_cast<size_t>(std::countr_zero(longest));
      out[j] = hash_token(text + starts[j], ends[j] - starts[j]);
    }
  }
}

inline void extend_all(const u64* ngrams, const u64* tokens, size_t count, u64* out) {
  for (size_t i = 0; i < count; i += width)
    store_words(out + i, mix(load_words(ngrams + i) + K6, load_words(tokens + i) ^ K7));
}

inline void place_all(const u64* hashes, size_t count, u64 first, u64 buckets, u64* out) {
  if (buckets > 1 && std::has_single_bit(buckets)) {
    int shift = 64 - std::countr_zero(buckets);
    for (size_t i = 0; i < count; i += width)
      store_words(out + i, first + (load_words(hashes + i) >> shift));
    return;
  }
  Words times = Words{} + buckets;  // at most 2^31, so that no sum overflows
  for (size_t i = 0; i < count; i += width) {
    Words hash = load_words(hashes + i);
    store_words(out + i, first + ((mul32(hash >> 32, times) + (mul32(hash, times) >> 32)) >> 32));
  }
}

#endif

inline constexpr Scan scan = {lower_piece, find_tokens, count_starts,
                              hash_tokens, extend_all,  place_all};

}  // namespace SCAN_NAME
