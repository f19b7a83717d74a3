// Runs of `width` tokens as hashes, to find the documents that share a run with a target: "windows-1".
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

  // True, and the hash, when the token completes a window.
  bool next(u64 token, u64& hash) {
    sum_ = sum_ * base + token;
    if (seen_ < ring_.size())
      seen_++;
    else
      sum_ -= ring_[place_] * lead_;
    ring_[place_] = token;
    if (++place_ == ring_.size()) place_ = 0;
    hash = finish(sum_, ring_.size());
    return seen_ == ring_.size();
  }

 private:
  static constexpr u64 base = K0;  // odd
  std::vector<u64> ring_;
  size_t place_ = 0, seen_ = 0;
  u64 sum_ = 0, lead_ = 1;
};

template <class Use>
void for_each_window(Text text, Scratch& scratch, Windows& windows, Use use) {
  const Scan& scan = current_scan();
  windows.begin_document();
  for_each_tokens(text, scratch, [&](const Tokens& tokens) {
    u64 hashes[64];
    for (size_t first = 0; first < tokens.count; first += 64) {
      size_t count = std::min<size_t>(64, tokens.count - first);
      scan.hash_tokens(tokens.text, tokens.starts + first, tokens.ends + first, count, hashes);
      for (size_t i = 0; i < count; i++) {
        u64 hash;
        if (windows.next(hashes[i], hash)) use(hash);
      }
    }
  });
}

// The place of a hash in a sorted list. A bit per possible upper half of the hash comes first, as
// nearly all are absent.
class Wanted {
 public:
  static constexpr size_t absent = ~size_t{0};

  Wanted(const u64* hashes, size_t count, size_t text_bytes) : hashes_(hashes), count_(count) {
    // Filling the bits costs as much as many searches: few texts go without.
    if (text_bytes < count) return;
    int log = std::clamp<int>(std::bit_width(count) + 4, 10, 30);
    shift_ = 64 - log;
    bits_.resize((size_t{1} << log) / 64);
    for (size_t i = 0; i < count; i++) {
      u64 place = hashes[i] >> shift_;
      bits_[place / 64] |= u64{1} << place % 64;
    }
  }

  size_t find(u64 hash) const {
    if (!bits_.empty()) {
      u64 place = hash >> shift_;
      if (!(bits_[place / 64] >> place % 64 & 1)) [[likely]] return absent;
    }
    const u64* found = std::lower_bound(hashes_, hashes_ + count_, hash);
    return found != hashes_ + count_ && *found == hash ? static_cast<size_t>(found - hashes_) : absent;
  }

 private:
  const u64* hashes_;
  size_t count_;
  int shift_ = 0;
  std::vector<u64> bits_;
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
    for_each_window(texts[row], scratch, windows, [&](u64 hash) {
      size_t place = wanted.find(hash);
      if (place != Wanted::absent) found.places.push_back(static_cast<int64_t>(place));
    });
    auto first = found.places.begin() + static_cast<std::ptrdiff_t>(before);
    std::sort(first, found.places.end());
    found.places.erase(std::unique(first, found.places.end()), found.places.end());
    found.rows.resize(found.places.size(), static_cast<int64_t>(row));
  }
  return found;
}

}  // namespace assay
