// Runs of `width` tokens as hashes, to find the documents that share a run with a target:
// "windows-1".
//
// With t the token hashes of the run, the hash is finish(sum of t[i] * B^(width - 1 - i), width)
// modulo 2^64, so the next one costs two products whatever the width.
#pragma once
#include "arrow.hpp"

namespace assay {

inline constexpr size_t widest_window = size_t{1} << 20;

class Windows {
 public:
  explicit Windows(size_t width) : ring_(width) {
    for (size_t i = 0; i < width; i++) lead_ *= base;
  }

  void begin_document() { place_ = seen_ = 0, sum_ = 0; }

  // The hashes of the windows that these tokens complete, and how many.
  size_t take(const u64* tokens, size_t count, u64* hashes) {
    u64 *ring = ring_.data(), sum = sum_;
    size_t width = ring_.size(), i = 0, out = 0;
    for (; i < count && seen_ < width; i++) {
      sum = sum * base + (ring[seen_++] = tokens[i]);
      if (seen_ == width) hashes[out++] = finish(sum, width);
    }
    for (; i < count; i++) {
      sum = sum * base + tokens[i] - ring[place_] * lead_;
      ring[place_] = tokens[i];
      place_ = place_ + 1 == width ? 0 : place_ + 1;
      hashes[out++] = finish(sum, width);
    }
    sum_ = sum;
    return out;
  }

 private:
  static constexpr u64 base = K0;  // odd
  std::vector<u64> ring_;
  size_t place_ = 0, seen_ = 0;
  u64 sum_ = 0, lead_ = 1;
};

// Hands on the hashes in order, some at a time: use(hashes, count).
template <class Use>
void for_each_windows(Text text, Scratch& scratch, Windows& windows, Use use) {
  constexpr size_t at_once = 256;
  const Scan& scan = current_scan();
  u64 token_hashes[at_once + vector_slack], hashes[at_once];
  windows.begin_document();
  for_each_tokens(text, scratch, [&](const Tokens& tokens) {
    for (size_t first = 0; first < tokens.count; first += at_once) {
      size_t count = std::min(at_once, tokens.count - first);
      scan.hash_tokens(tokens.text, tokens.starts + first, tokens.ends + first, count,
                       token_hashes);
      use(hashes, windows.take(token_hashes, count, hashes));
    }
  });
}

// The place of a hash in a sorted list. Nearly all are absent, so a Bloom filter comes first: the
// upper bits of a hash choose a word and the lower ones two bits of it. 16 to 32 bits per wanted
// hash let about one absent hash in a hundred through.
class Wanted {
 public:
  static constexpr size_t absent = ~size_t{0};

  Wanted(const u64* hashes, size_t count, size_t text_bytes) : hashes_(hashes), count_(count) {
    // Filling the bits costs as much as many searches: few texts go without.
    if (text_bytes < count) return;
    int log = std::clamp<int>(std::bit_width(count) + 4, 10, 30);
    shift_ = 64 - (log - 6);
    filter_.resize(size_t{1} << (log - 6));
    for (size_t i = 0; i < count; i++) filter_[hashes[i] >> shift_] |= bits(hashes[i]);
  }

  size_t find(u64 hash) const {
    if (!filter_.empty() && (filter_[hash >> shift_] & bits(hash)) != bits(hash)) [[likely]]
      return absent;
    const u64* found = std::lower_bound(hashes_, hashes_ + count_, hash);
    return found != hashes_ + count_ && *found == hash ? static_cast<size_t>(found - hashes_)
                                                       : absent;
  }

 private:
  static u64 bits(u64 hash) { return u64{1} << (hash & 63) | u64{1} << (hash >> 6 & 63); }

  const u64* hashes_;
  size_t count_;
  int shift_ = 0;
  std::vector<u64> filter_;
};

struct Found {
  std::vector<int64_t> rows, places;
};

inline Found find_windows(const Texts& texts, size_t width, const u64* hashes, size_t count,
                          Scratch& scratch) {
  Found found;
  if (!count) return found;
  Wanted wanted(hashes, count, texts.bytes());
  Windows windows(width);
  for (size_t row = 0; row < texts.size(); row++) {
    size_t before = found.places.size();
    for_each_windows(texts[row], scratch, windows, [&](const u64* run, size_t runs) {
      for (size_t i = 0; i < runs; i++) {
        size_t place = wanted.find(run[i]);
        if (place != Wanted::absent) found.places.push_back(static_cast<int64_t>(place));
      }
    });
    auto first = found.places.begin() + static_cast<std::ptrdiff_t>(before);
    std::sort(first, found.places.end());
    found.places.erase(std::unique(first, found.places.end()), found.places.end());
    found.rows.resize(found.places.size(), static_cast<int64_t>(row));
  }
  return found;
}

}  // namespace assay
