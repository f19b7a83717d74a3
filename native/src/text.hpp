// What a word is. The definition, shared by every feature:
//
// A text is lowered as Python's str.lower does it, and its tokens are the matches of
// `\w+|[^\w\s]+` of Python's `re`, both in Unicode 14.0.0. A byte that is not UTF-8 is a character
// of its own, neither word nor space, and stays as it is (Python: errors="surrogateescape").
//
// A document is worked on in pieces that fit a core's cache. A token that touches the end of a
// piece waits at the front of the next one, so nothing depends on where the pieces end.
#pragma once
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <memory>
#include <new>
#include <string_view>
#include <vector>

#include "hash.hpp"
#include "unicode_tables.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace assay {

struct Text {
  const u8* data;
  size_t size;
};

// Memory that is not cleared, grown for one large document and given back after it.
template <class T>
class Buffer {
 public:
  T* data() { return memory_.get(); }
  size_t capacity() const { return capacity_; }

  // Makes room for `size`, keeping the first `used`.
  void reserve(size_t size, size_t used = 0) {
    if (size <= capacity_) return;
    size = std::max(size, capacity_ + capacity_ / 2);
    Memory larger(static_cast<T*>(std::malloc(size * sizeof(T))));
    if (!larger) throw std::bad_alloc();
    if (used) std::memcpy(larger.get(), memory_.get(), used * sizeof(T));
    memory_ = std::move(larger);
    capacity_ = size;
  }

  void shrink(size_t keep) {
    if (capacity_ <= keep) return;
    memory_.reset();
    capacity_ = 0;
  }

 private:
  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  using Memory = std::unique_ptr<T[], Free>;
  Memory memory_;
  size_t capacity_ = 0;
};

// --- code points ---------------------------------------------------------------------------------

inline u32 load32(const u8* p) {
  u32 word;
  std::memcpy(&word, p, 4);
  if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap32(word);
  return word;
}

struct CodePoint {
  u32 code;
  u32 size;  // in bytes; 0 for a byte that is not UTF-8
};

// The code point whose bytes are the low ones of `raw`, as strict as Python's decoder.
inline CodePoint decode(u32 raw) {
  u32 first = raw & 0xff;
  if (first < 0x80) return {first, 1};
  if ((raw & 0xc0e0) == 0x80c0) {
    u32 code = (raw & 0x1f) << 6 | (raw >> 8 & 0x3f);
    return {code, code >= 0x80 ? 2u : 0u};
  }
  if ((raw & 0xc0c0f0) == 0x8080e0) {
    u32 code = (raw & 0x0f) << 12 | (raw >> 2 & 0xfc0) | (raw >> 16 & 0x3f);
    return {code, code >= 0x800 && code - 0xd800 >= 0x800 ? 3u : 0u};
  }
  if ((raw & 0xc0c0c0f8) == 0x808080f0) {
    u32 code = (raw & 0x07) << 18 | (raw << 4 & 0x3f000) | (raw >> 10 & 0xfc0) | (raw >> 24 & 0x3f);
    return {code, code - 0x10000 < 0x100000 ? 4u : 0u};
  }
  return {0, 0};
}

inline u32 raw_at(Text text, size_t at) {
  size_t left = text.size - at;
  if (left >= 4) [[likely]]
    return load32(text.data + at);
  u32 raw = 0;
  for (size_t i = 0; i < left; i++) raw |= static_cast<u32>(text.data[at + i]) << 8 * i;
  return raw;
}

inline CodePoint code_point_at(Text text, size_t at) { return decode(raw_at(text, at)); }

// The one that ends at `end`.
inline CodePoint code_point_before(Text text, size_t end) {
  for (size_t size = 1; size <= 4 && size <= end; size++) {
    CodePoint found = code_point_at(text, end - size);
    if (found.size) return found.size == size ? found : CodePoint{0, 0};
    if ((text.data[end - size] & 0xc0) != 0x80) break;
  }
  return {0, 0};
}

inline u32 encode(u32 code, u32& size) {
  if (code < 0x80) return size = 1, code;
  if (code < 0x800) return size = 2, 0x80c0 | code >> 6 | (code & 0x3f) << 8;
  if (code < 0x10000)
    return size = 3, 0x8080e0 | code >> 12 | (code >> 6 & 0x3f) << 8 | (code & 0x3f) << 16;
  return size = 4, 0x808080f0 | code >> 18 | (code >> 12 & 0x3f) << 8 | (code >> 6 & 0x3f) << 16 |
                       (code & 0x3f) << 24;
}

inline int sigma_class(CodePoint point) {
  return point.size ? unicode::record(point.code).sigma : 0;
}

// CPython's rule: a cased character before it and none after it, case-ignorable ones skipped. Each
// walk stops at the next capital sigma at the latest, as that is cased: the work stays linear.
inline bool is_final_sigma(Text text, size_t at) {
  int before = 2, after = 2;
  for (size_t i = at; i > 0 && before == 2;) {
    CodePoint point = code_point_before(text, i);
    before = sigma_class(point);
    i -= std::max(point.size, 1u);
  }
  if (before != 1) return false;
  for (size_t i = at + 2; i < text.size && after == 2;) {
    CodePoint point = code_point_at(text, i);
    after = sigma_class(point);
    i += std::max(point.size, 1u);
  }
  return after != 1;
}

// The lower case of a code point beyond ASCII: bytes, their class, and how many bytes went in and
// out.
struct Piece {
  u32 text, look, read, written;
  bool more;
};

inline constexpr u32 capital_sigma = 0x3a3, final_sigma = 0x3c2, dotted_i = 0x130;

inline Piece lower_code_point(Text document, size_t at) {
  u32 raw = raw_at(document, at);
  CodePoint point = decode(raw);
  if (point.size == 0) return {raw, '.', 1, 1, false};
  const unicode::Record& record = unicode::record(point.code);
  u32 look = record.look * 0x01010101u;
  if (record.delta == 0) [[likely]]
    return {raw, look, point.size, point.size + (point.code == dotted_i), point.code == dotted_i};
  u32 lowered = point.code + static_cast<u32>(record.delta);
  if (point.code == capital_sigma && is_final_sigma(document, at)) lowered = final_sigma;
  u32 written;
  u32 text = encode(lowered, written);
  return {text, look, point.size, written, false};
}

// U+0130 becomes i and U+0307, a combining dot, which is no word character.
inline void lower_dotted_i(u8* text, u8* look) {
  std::memcpy(text, "i\xcc\x87", 3);
  std::memcpy(look, "a..", 3);
}

// --- pieces of a document ------------------------------------------------------------------------

// Lowered text, and beside it an ASCII byte of the same class for every byte. For ASCII text both
// are the same memory.
struct Lowered {
  Buffer<u8> text, other_look;
  u8* look = nullptr;
  size_t size = 0;

  void room(size_t more) {
    // Lowering makes 2 bytes 3 at worst; blocks of 64 may be written past the end.
    size_t want = size + more + more / 2 + 256;
    bool same = look == text.data();
    text.reserve(want, size);
    other_look.reserve(want, same ? 0 : size);
    look = same ? text.data() : other_look.data();
  }

  // Moves the bytes from `first` on to the front.
  void keep_from(size_t first) {
    size -= first;
    if (size) std::memmove(text.data(), text.data() + first, size);
    if (size && look != text.data()) std::memmove(look, look + first, size);
    if (!size) look = text.data();
  }
};

struct Scan {
  void (*lower_piece)(Text document, size_t at, size_t end, Lowered& lowered);
  size_t (*find_tokens)(const u8* look, size_t size, u32* starts, u32* ends);
  size_t (*count_starts)(const u8* look, size_t size, u8 before);
  // All three work on whole vectors: up to 7 entries past the end are read and written.
  // out[i] = hash_token(token i); extend(ngrams[i], tokens[i]); first + place(hashes[i], buckets).
  void (*hash_tokens)(const u8* text, const u32* starts, const u32* ends, size_t count, u64* out);
  void (*extend_all)(const u64* ngrams, const u64* tokens, size_t count, u64* out);
  void (*place_all)(const u64* hashes, size_t count, u64 first, u64 buckets, u64* out);
};

}  // namespace assay

#define SCAN_NAME portable
#define SCAN_LEVEL 0
namespace assay {
#include "scan.hpp"
}
#undef SCAN_NAME
#undef SCAN_LEVEL

#if defined(__x86_64__)
#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2,popcnt")
#define SCAN_NAME avx2
#define SCAN_LEVEL 1
namespace assay {
#include "scan.hpp"
}
#undef SCAN_NAME
#undef SCAN_LEVEL
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx2,bmi,bmi2,popcnt")
#define SCAN_NAME avx512
#define SCAN_LEVEL 2
namespace assay {
#include "scan.hpp"
}
#undef SCAN_NAME
#undef SCAN_LEVEL
#pragma GCC pop_options
#endif

namespace assay {

enum class Simd { portable, avx2, avx512 };

inline Simd best_simd() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
              __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
  if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw"))
    return Simd::avx512;
  if (avx2) return Simd::avx2;
#endif
  return Simd::portable;
}

inline std::atomic<Simd> simd{best_simd()};

inline const Scan& current_scan() {
#if defined(__x86_64__)
  Simd level = simd.load(std::memory_order_relaxed);
  if (level == Simd::avx512) return avx512::scan;
  if (level == Simd::avx2) return avx2::scan;
#endif
  return portable::scan;
}

inline constexpr size_t piece_size = 1 << 15;
inline constexpr size_t vector_slack = 8;
inline constexpr size_t kept_scratch = 1 << 20;  // entries that a thread keeps between calls

struct Scratch {
  Lowered lowered;
  Buffer<u32> starts, ends;

  void shrink() {
    lowered.text.shrink(kept_scratch);
    lowered.other_look.shrink(kept_scratch);
    starts.shrink(kept_scratch / 4);
    ends.shrink(kept_scratch / 4);
  }
};

// Where a piece of about `size` bytes from `at` may end without splitting a code point.
inline size_t piece_end(Text document, size_t at, size_t size) {
  if (document.size - at <= size) return document.size;
  size_t end = at + size;
  for (size_t back = 1; back < 4; back++)
    if (code_point_at(document, end - back).size > back) return end - back;
  return end;
}

// Hands on each piece of the lowered text as it is made: piece(lowered, last) decides what to keep.
template <class Visit>
void for_each_piece(Text document, Lowered& lowered, Visit visit) {
  const Scan& scan = current_scan();
  lowered.size = 0;
  lowered.look = lowered.text.data();
  for (size_t at = 0; at < document.size;) {
    // A long unfinished token makes the pieces grow with it, so that moving it stays linear.
    size_t end = piece_end(document, at, std::max(piece_size, lowered.size));
    lowered.room(end - at);
    scan.lower_piece(document, at, end, lowered);
    at = end;
    visit(scan, at == document.size);
  }
}

// After the last there are places for `vector_slack` more, somewhere in the text.
struct Tokens {
  const u8* text;  // lowered; 64 more bytes are readable
  const u32* starts;
  const u32* ends;
  size_t count;
};

// Hands on the tokens of a document in order, many at a time, and at least once for a text that has
// any.
template <class Visit>
void for_each_tokens(Text document, Scratch& scratch, Visit visit) {
  Lowered& lowered = scratch.lowered;
  for_each_piece(document, lowered, [&](const Scan& scan, bool last) {
    scratch.starts.reserve(lowered.size + 128);
    scratch.ends.reserve(lowered.size + 128);
    u32 *starts = scratch.starts.data(), *ends = scratch.ends.data();
    std::memset(lowered.look + lowered.size, ' ', 64);
    size_t count = scan.find_tokens(lowered.look, lowered.size, starts, ends);
    std::fill(starts + count, starts + count + vector_slack, 0);
    std::fill(ends + count, ends + count + vector_slack, 0);
    bool unfinished = !last && count && ends[count - 1] == lowered.size;
    if (unfinished) count--;
    if (count) visit(Tokens{lowered.text.data(), starts, ends, count});
    lowered.keep_from(unfinished ? starts[count] : lowered.size);
  });
}

inline size_t count_tokens(Text document, Scratch& scratch) {
  Lowered& lowered = scratch.lowered;
  size_t count = 0;
  u8 before = ' ';
  for_each_piece(document, lowered, [&](const Scan& scan, bool) {
    std::memset(lowered.look + lowered.size, ' ', 64);
    count += scan.count_starts(lowered.look, lowered.size, before);
    before = lowered.look[lowered.size - 1];
    lowered.keep_from(lowered.size);
  });
  return count;
}

// --- whole texts ---------------------------------------------------------------------------------

inline bool is_utf8(Text text) {
  size_t at = 0;
  while (at < text.size) {
    if (at + 16 <= text.size &&
        !((load64(text.data + at) | load64(text.data + at + 8)) & 0x8080808080808080)) {
      at += 16;
      continue;
    }
    do {
      u32 size = code_point_at(text, at).size;
      if (size == 0) return false;
      at += size;
    } while (at < text.size && text.data[at] >= 0x80);
  }
  return true;
}

}  // namespace assay
