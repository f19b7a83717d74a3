// Which documents belong together: a forest in which each points to one that stands before it.
//
// Of two that are joined, the one with the smaller (rank, number) stays on top, so the top of a tree
// is the smallest of its documents, whatever the order in which they were joined.
#pragma once
#include <algorithm>
#include <utility>

#include "hash.hpp"

namespace assay {

class Forest {
 public:
  Forest(int64_t* above, const u64* rank) : above_(above), rank_(rank) {}

  int64_t top(int64_t one) {
    while (above_[one] != one) one = above_[one] = above_[above_[one]];
    return one;
  }

  void join(int64_t one, int64_t other) {
    one = top(one), other = top(other);
    if (one == other) return;
    bool before = std::pair(rank_[one], one) < std::pair(rank_[other], other);
    above_[before ? other : one] = before ? one : other;
  }

 private:
  int64_t* above_;
  const u64* rank_;
};

struct Entry {
  u64 bucket, number;
};

// Joins the documents of each bucket. Sorts the entries in place: there may be gigabytes of them.
inline void join_buckets(Entry* entries, size_t count, Forest& forest) {
  std::sort(entries, entries + count, [](const Entry& a, const Entry& b) {
    return std::pair(a.bucket, a.number) < std::pair(b.bucket, b.number);
  });
  for (size_t i = 1; i < count; i++)
    if (entries[i].bucket == entries[i - 1].bucket)
      forest.join(static_cast<int64_t>(entries[i - 1].number),
                  static_cast<int64_t>(entries[i].number));
}

}  // namespace assay
