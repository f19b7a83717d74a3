// N-grams of tokens as places in a table: counted into it, or summed over it.
//
// "fast-1": the hash of a token is hash-1 of its bytes; the hash of an n-gram extends the hash of its
// first n - 1 tokens by its last; order k has the slots [(k - 1) * buckets, k * buckets) to itself.
// "reference-1": the n-gram is its tokens joined by one space, its slot is SHA-256 of that as a number
// modulo `buckets`, and all orders share the slots (Xie et al., DSIR, arXiv:2302.03169).
//
// The order of n-grams, and so of additions, is a function of the text alone: tokens in order of the
// text, and for each token the n-grams that end with it, shortest first.
#pragma once
#include "arrow.hpp"
#include "sha256.hpp"

namespace assay {

inline constexpr size_t most_orders = 8;
inline constexpr size_t tokens_at_once = 64;  // their slots are prefetched, then used

struct Slots {
  u64 slot[tokens_at_once * most_orders];
  size_t count;
};

// --- fast ----------------------------------------------------------------------------------------

class FastFeatures {
 public:
  FastFeatures(size_t orders, u64 buckets) : orders_(orders), buckets_(buckets) {}

  void begin_document() { known_ = 0; }

  template <class Prefetch>
  void find(const Tokens& tokens, size_t first, size_t end, Slots& slots, Prefetch prefetch) {
    size_t out = 0;
    for (size_t i = first; i < end; i++) {
      u64 token = hash_token(tokens.text + tokens.starts[i], tokens.ends[i] - tokens.starts[i]);
      u64 ngram = token;
      for (size_t order = 0; order <= known_; order++) {
        u64 slot = order * buckets_ + place(ngram, buckets_);
        prefetch(slot);
        slots.slot[out++] = slot;
        std::swap(ngram, ending_[order]);
        ngram = extend(ngram, token);
      }
      if (known_ + 1 < orders_) known_++;
    }
    slots.count = out;
  }

 private:
  size_t orders_, known_ = 0;
  u64 buckets_;
  u64 ending_[most_orders] = {};  // hashes of the n-grams that end with the token before, by order
};

// --- reference -----------------------------------------------------------------------------------

// Buckets of the n-grams met lately. N-grams come back often, and SHA-256 is slow.
class Memo {
 public:
  static constexpr size_t longest = 27;
  static constexpr size_t entries = 1 << 15;  // 1 MiB, about one core's L2

  struct Key {
    u64 word[4];  // the n-gram padded with zeros, its length in byte 27, and 0 for the bucket
  };

  void forget() { table_.assign(entries, Key{}); }

  static Key key(const u8* p, size_t n) {
    Key key;
    for (size_t i = 0; i < 2; i++) {
      size_t here = n > 16 * i ? std::min<size_t>(n - 16 * i, 16) : 0;
      key.word[2 * i] = load64(p + 16 * i) & low_bytes[here][0];
      key.word[2 * i + 1] = load64(p + 16 * i + 8) & low_bytes[here][1];
    }
    key.word[3] |= n << 24;
    return key;
  }

  Key& entry(const Key& key) {
    u64 hash = step(step(K0, key.word[0], key.word[1]), key.word[2], key.word[3]);
    return table_[hash >> (64 - std::countr_zero(entries))];
  }

  static bool same(const Key& entry, const Key& key) {
    return entry.word[0] == key.word[0] && entry.word[1] == key.word[1] &&
           entry.word[2] == key.word[2] && static_cast<u32>(entry.word[3]) == key.word[3];
  }

  static u32 bucket(const Key& entry) { return static_cast<u32>(entry.word[3] >> 32); }

  static void remember(Key& entry, const Key& key, u32 bucket) {
    entry = key;
    entry.word[3] |= u64{bucket} << 32;
  }

 private:
  std::vector<Key> table_ = std::vector<Key>(entries);
};

class ReferenceFeatures {
 public:
  ReferenceFeatures(size_t orders, u64 buckets) : orders_(orders), modulus_(buckets) {
    static thread_local Memo memo;
    static thread_local u64 memo_buckets = 0;
    if (memo_buckets != buckets) memo.forget();
    memo_buckets = buckets;
    memo_ = &memo;
  }

  void begin_document() {
    known_ = size_ = 0;
    joined_.shrink(kept_scratch);
  }

  template <class Prefetch>
  void find(const Tokens& tokens, size_t first, size_t end, Slots& slots, Prefetch prefetch) {
    keep_known();
    size_t out = 0;
    for (size_t i = first; i < end; i++) {
      append(tokens.text + tokens.starts[i], tokens.ends[i] - tokens.starts[i]);
      for (size_t order = 0; order <= known_; order++)
        look_up(begins_[tokens_ - 1 - order], size_ - 1, slots, out++);
      if (known_ + 1 < orders_) known_++;
    }
    work_off(slots);
    slots.count = out;
    for (size_t i = 0; i < out; i++) prefetch(slots.slot[i]);
  }

 private:
  struct Waiting {
    size_t slot;
    Memo::Key* entry;
    Memo::Key key;
  };

  // The tokens joined by spaces, so that every n-gram is a stretch of it. In front stay the last
  // tokens of the call before.
  void append(const u8* token, size_t size) {
    joined_.reserve(size_ + size + 64, size_);
    begins_[tokens_++] = size_;
    std::memcpy(joined_.data() + size_, token, size);
    size_ += size;
    joined_.data()[size_++] = ' ';
  }

  void keep_known() {
    size_t from = known_ && tokens_ ? begins_[tokens_ - known_] : size_;
    for (size_t i = 0; i < known_; i++) begins_[i] = begins_[tokens_ - known_ + i] - from;
    tokens_ = known_;
    size_ -= from;
    if (size_) std::memmove(joined_.data(), joined_.data() + from, size_);
  }

  void look_up(size_t begin, size_t end, Slots& slots, size_t place) {
    const u8* ngram = joined_.data() + begin;
    size_t size = end - begin;
    Waiting& next = waiting_[waiting_count_];
    next.slot = place;
    next.entry = nullptr;
    if (size <= Memo::longest) {
      next.key = Memo::key(ngram, size);
      next.entry = &memo_->entry(next.key);
      if (Memo::same(*next.entry, next.key)) {
        slots.slot[place] = Memo::bucket(*next.entry);
        return;
      }
    }
    if (size > sha256::longest_single) {
      u32 digest[8];
      sha256::digest(ngram, size, digest);
      slots.slot[place] = modulus_.of(digest, 1);
      return;
    }
    alignas(64) u8 block[64] = {};
    std::memcpy(block, ngram, size);
    block[size] = 0x80;
    block[62] = static_cast<u8>(size >> 5), block[63] = static_cast<u8>(size << 3);
    for (size_t i = 0; i < 16; i++) blocks_.word[i][waiting_count_] = sha256::load_big(block + 4 * i);
    if (++waiting_count_ == sha256::lanes) work_off(slots);
  }

  void work_off(Slots& slots) {
    if (!waiting_count_) return;
    sha256::Digests digests;
    sha256::digest_lanes(blocks_, digests);
    for (size_t i = 0; i < waiting_count_; i++) {
      u32 bucket = modulus_.of(&digests.word[0][i], sha256::lanes);
      slots.slot[waiting_[i].slot] = bucket;
      if (waiting_[i].entry) Memo::remember(*waiting_[i].entry, waiting_[i].key, bucket);
    }
    waiting_count_ = 0;
  }

  size_t orders_, known_ = 0;
  sha256::Modulus modulus_;
  Memo* memo_;
  Buffer<u8> joined_;
  size_t size_ = 0, tokens_ = 0;
  size_t begins_[tokens_at_once + most_orders];
  sha256::Blocks blocks_ = {};
  Waiting waiting_[sha256::lanes];
  size_t waiting_count_ = 0;
};

// --- what is done with them ----------------------------------------------------------------------

template <class Features, class Prefetch, class Use>
void for_each_slots(Text text, Scratch& scratch, Features& features, Prefetch prefetch, Use use) {
  Slots slots;
  features.begin_document();
  for_each_tokens(text, scratch, [&](const Tokens& tokens) {
    for (size_t first = 0; first < tokens.count; first += tokens_at_once) {
      size_t end = std::min(first + tokens_at_once, tokens.count);
      features.find(tokens, first, end, slots, prefetch);
      use(tokens, first, slots);
    }
  });
}

template <class Features>
u64 add_ngrams(const Texts& texts, int64_t* counts, Features& features, Scratch& scratch) {
  u64 added = 0;
  auto prefetch = [counts](u64 slot) { __builtin_prefetch(counts + slot, 1); };
  for (size_t row = 0; row < texts.size(); row++) {
    for_each_slots(texts[row], scratch, features, prefetch,
                   [&](const Tokens&, size_t, const Slots& slots) {
                     for (size_t i = 0; i < slots.count; i++) counts[slots.slot[i]]++;
                     added += slots.count;
                   });
  }
  return added;
}

// sums[row * columns + column], ngrams[row].
template <class Features, class Number>
void dot_ngrams(const Texts& texts, const Number* table, size_t columns, Features& features,
                Scratch& scratch, double* sums, int64_t* ngrams) {
  auto prefetch = [=](u64 slot) { __builtin_prefetch(table + slot * columns); };
  for (size_t row = 0; row < texts.size(); row++) {
    double* sum = sums + row * columns;
    std::fill(sum, sum + columns, 0.0);
    u64 seen = 0;
    for_each_slots(texts[row], scratch, features, prefetch,
                   [&](const Tokens&, size_t, const Slots& slots) {
                     seen += slots.count;
                     if (columns == 1) {
                       double running = *sum;
                       for (size_t i = 0; i < slots.count; i++) running += table[slots.slot[i]];
                       *sum = running;
                       return;
                     }
                     for (size_t i = 0; i < slots.count; i++) {
                       const Number* line = table + slots.slot[i] * columns;
                       for (size_t column = 0; column < columns; column++) sum[column] += line[column];
                     }
                   });
    ngrams[row] = static_cast<int64_t>(seen);
  }
}

}  // namespace assay
