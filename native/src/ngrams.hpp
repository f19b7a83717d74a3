// N-grams of tokens as places in a table: counted into it, or summed over it.
//
// "fast-1": the hash of a token is hash-1 of its bytes; the hash of an n-gram extends the hash of
// its first n - 1 tokens by its last; order k has the slots [(k - 1) * buckets, k * buckets) to
// itself. "reference-1": the n-gram is its tokens joined by one space, its slot is SHA-256 of that
// as a number modulo `buckets`, and all orders share the slots (Xie et al., DSIR,
// arXiv:2302.03169).
//
// The order of additions is a function of the text alone. Token i adds the n-grams that end with
// it, shortest first, to running sum i mod 8; at the end the sums are added as
// ((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7)). All in double.
#pragma once
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "arrow.hpp"
#include "sha256.hpp"

namespace assay {

inline constexpr size_t most_orders = 8;
inline constexpr size_t most_tokens = 256;  // in a batch
inline constexpr size_t lanes = 8;

// Slots of the n-grams that end with some tokens of one document. The table's lines are fetched for
// one batch while the batch before is worked on.
struct Batch {
  u64 slot[most_orders][most_tokens + vector_slack];  // by order, then by last token
  size_t count;                                       // tokens
  size_t before;                                      // tokens of the document before these
  size_t row;
  bool last;  // of its document

  // From which token on there are n-grams of orders + 1.
  size_t first(size_t order) const { return order > before ? std::min(order - before, count) : 0; }
};

// --- fast ----------------------------------------------------------------------------------------

class FastFeatures {
 public:
  // The table's lines of two batches fit the first-level cache. Measured here: see NOTES.md.
  static constexpr size_t batch_tokens = 96;

  FastFeatures(size_t orders, u64 buckets) : orders_(orders), buckets_(buckets) {}

  size_t orders() const { return orders_; }

  // Takes tokens [first, first + count) as those from `place` on of a batch.
  void take(const Tokens& tokens, size_t first, size_t count, size_t place) {
    scan_.hash_tokens(tokens.text, tokens.starts + first, tokens.ends + first, count,
                      ngrams_[0] + 1 + place);
  }

  void finish(Batch& batch) {
    for (size_t order = 0; order < orders_; order++) {
      u64* ngrams = ngrams_[order] + 1;
      if (order) scan_.extend_all(ngrams_[order - 1], ngrams_[0] + 1, batch.count, ngrams);
      scan_.place_all(ngrams, batch.count, order * buckets_, buckets_, batch.slot[order]);
    }
    for (size_t order = 0; order < orders_; order++)
      ngrams_[order][0] = ngrams_[order][batch.count];
  }

 private:
  size_t orders_;
  u64 buckets_;
  const Scan& scan_ = current_scan();
  // Hashes of n-grams by order; [0] is that of the token before the batch, then one for each token.
  u64 ngrams_[most_orders][batch_tokens + 2 * vector_slack] = {};
};

// --- reference -----------------------------------------------------------------------------------

// Buckets of the n-grams met lately. N-grams come back often, and SHA-256 is slow.
class Memo {
 public:
  static constexpr size_t longest = 27;
  static constexpr size_t entries = 1 << 17;  // 4 MiB for each thread that uses it

  Memo() : table_(static_cast<Key*>(std::aligned_alloc(bytes, bytes))) {
    if (!table_) throw std::bad_alloc();
#if defined(__linux__)
    madvise(table_.get(), bytes, MADV_HUGEPAGE);
#endif
    forget();
  }

  struct Key {
    u64 word[4];  // the n-gram padded with zeros, its length in byte 27, and 0 for the bucket
  };

  // The low n bytes, for each n.
  static constexpr auto masks = [] {
    std::array<Key, longest + 1> masks = {};
    for (size_t n = 0; n <= longest; n++)
      for (size_t i = 0; i < n; i++) masks[n].word[i / 8] |= u64{0xff} << i % 8 * 8;
    return masks;
  }();

  void forget() { std::memset(static_cast<void*>(table_.get()), 0, bytes); }

  // Reads 32 bytes.
  static Key key(const u8* p, size_t n) {
    const Key& mask = masks[n];
    return {load64(p) & mask.word[0], load64(p + 8) & mask.word[1], load64(p + 16) & mask.word[2],
            (load64(p + 24) & mask.word[3]) | n << 24};
  }

  Key* table() { return table_.get(); }

  static size_t place(const Key& key) {
    u64 hash = fold(fold(key.word[0] ^ K0, key.word[1] ^ K1) ^ key.word[2], key.word[3] ^ K2);
    return hash >> (64 - std::countr_zero(entries));
  }

  static bool same(const Key& entry, const Key& key) {
    u64 differs = (entry.word[0] ^ key.word[0]) | (entry.word[1] ^ key.word[1]) |
                  (entry.word[2] ^ key.word[2]) | static_cast<u32>(entry.word[3] ^ key.word[3]);
    return differs == 0;
  }

  static u32 bucket(const Key& entry) { return static_cast<u32>(entry.word[3] >> 32); }

  static void remember(Key& entry, const Key& key, u32 bucket) {
    entry = key;
    entry.word[3] |= u64{bucket} << 32;
  }

 private:
  static constexpr size_t bytes = entries * sizeof(Key);

  struct Free {
    void operator()(Key* p) const { std::free(p); }
  };
  std::unique_ptr<Key[], Free> table_;
};

class ReferenceFeatures {
 public:
  // Enough that the n-grams unknown to the memo nearly fill their last vector.
  static constexpr size_t batch_tokens = 256;

  ReferenceFeatures(size_t orders, u64 buckets) : orders_(orders), modulus_(buckets) {
    static thread_local Memo memo;
    static thread_local u64 memo_buckets = 0;
    if (memo_buckets != buckets) memo.forget();
    memo_buckets = buckets;
    memo_ = &memo;
  }

  size_t orders() const { return orders_; }

  // Joins the tokens with spaces, so that every n-gram is a stretch of the joined text.
  void take(const Tokens& tokens, size_t first, size_t count, size_t) {
    size_t bytes = tokens.ends[first + count - 1] - tokens.starts[first];
    joined_.reserve(size_ + bytes + count + 64, size_);
    u8* out = joined_.data() + size_;
    for (size_t i = first; i < first + count; i++) {
      const u8* token = tokens.text + tokens.starts[i];
      size_t size = tokens.ends[i] - tokens.starts[i];
      begins_[tokens_++] = static_cast<size_t>(out - joined_.data());
      std::memcpy(out, token, 16);
      if (size > 16) [[unlikely]]
        std::memcpy(out + 16, token + 16, size - 16);
      out += size;
      *out++ = ' ';
    }
    size_ = static_cast<size_t>(out - joined_.data());
  }

  void finish(Batch& batch) {
    begins_[tokens_] = size_;
    size_t asked = 0;
    for (size_t order = 0; order < orders_; order++) asked = sort(batch, order, asked);
    digest_rest();
    look_up(asked);
    keep_last(batch.last ? 0 : std::min(orders_ - 1, tokens_));
  }

 private:
  static constexpr size_t most = batch_tokens * most_orders;

  struct Asked {
    Memo::Key key;
    Memo::Key* entry;
    u64* slot;
  };

  void keep_last(size_t count) {
    size_t from = begins_[tokens_ - count];
    for (size_t i = 0; i < count; i++) begins_[i] = begins_[tokens_ - count + i] - from;
    tokens_ = count;
    size_ -= from;
    if (size_) std::memmove(joined_.data(), joined_.data() + from, size_);
    if (!size_) joined_.shrink(kept_scratch);
  }

  // N-grams of one order by length: most are to be looked up, and follow those asked before.
  size_t sort(Batch& batch, size_t order, size_t asked) {
    const u8* joined = joined_.data();
    const size_t* end = begins_ + tokens_ - batch.count + 1;
    Memo::Key* table = memo_->table();
    for (size_t i = batch.first(order), count = batch.count; i < count; i++) {
      const u8* ngram = joined + end[i - order - 1];
      size_t size = end[i] - 1 - end[i - order - 1];
      if (size > Memo::longest) [[unlikely]] {
        digest_long(ngram, size, &batch.slot[order][i]);
        continue;
      }
      Asked& next = asked_[asked++];
      next.key = Memo::key(ngram, size);
      next.entry = table + Memo::place(next.key);
      next.slot = &batch.slot[order][i];
      __builtin_prefetch(next.entry);
    }
    return asked;
  }

  void digest_long(const u8* ngram, size_t size, u64* slot) {
    if (size <= sha256::longest_single) {
      rest_.set(rest_count_, ngram, size);
      rest_slots_[rest_count_] = slot;
      if (++rest_count_ == sha256::lanes) digest_rest();
    } else {
      u32 digest[8];
      sha256::digest(ngram, size, digest);
      *slot = modulus_.of(digest);
    }
  }

  void digest_rest() {
    if (!rest_count_) return;
    sha256::Digests digests;
    sha256::digest_lanes(rest_, digests);
    u32 buckets[sha256::lanes];
    modulus_.of(digests, buckets);
    for (size_t i = 0; i < rest_count_; i++) *rest_slots_[i] = buckets[i];
    rest_count_ = 0;
  }

  // Without a branch on whether the memo knows the n-gram: it cannot be predicted.
  void look_up(size_t count) {
    size_t missing = 0;
    for (size_t i = 0; i < count; i++) {
      const Asked& asked = asked_[i];
      *asked.slot = Memo::bucket(*asked.entry);
      missing_[missing] = static_cast<u32>(i);
      missing += !Memo::same(*asked.entry, asked.key);
    }
    for (size_t first = 0; first < missing; first += sha256::lanes) {
      size_t few = std::min(sha256::lanes, missing - first);
      for (size_t i = 0; i < few; i++) {
        const Memo::Key& key = asked_[missing_[first + i]].key;
        missed_.set_short(i, key.word, key.word[3] >> 24);
      }
      sha256::Digests digests;
      sha256::digest_lanes(missed_, digests);
      u32 buckets[sha256::lanes];
      modulus_.of(digests, buckets);
      for (size_t i = 0; i < few; i++) {
        Asked& asked = asked_[missing_[first + i]];
        *asked.slot = buckets[i];
        Memo::remember(*asked.entry, asked.key, buckets[i]);
      }
    }
  }

  size_t orders_;
  sha256::Modulus modulus_;
  Memo* memo_;
  Buffer<u8> joined_;
  size_t size_ = 0,
         tokens_ = 0;  // of what is joined: the last tokens of the batch before come first
  size_t begins_[batch_tokens + most_orders];
  Asked asked_[most];
  u32 missing_[most + 1];
  size_t rest_count_ = 0;
  sha256::Blocks missed_ = {}, rest_ = {};
  u64* rest_slots_[sha256::lanes];
};

// --- what is done with them ----------------------------------------------------------------------

// Hands on the batches of text(0), text(1), ... in order: use(batch), some time after
// prefetch(slot) for each of its slots. A text without tokens has none.
template <class GetText, class Features, class Prefetch, class Use>
void for_each_batch(size_t rows, GetText text, Scratch& scratch, Features& features,
                    Prefetch prefetch, Use use) {
  Batch batches[2];
  Batch *batch = &batches[0], *waiting = &batches[1];
  batch->count = batch->before = waiting->count = 0;
  auto pass_on = [&](bool last) {
    batch->last = last;
    features.finish(*batch);
    for (size_t order = 0; order < features.orders(); order++)
      for (size_t i = batch->first(order); i < batch->count; i++) prefetch(batch->slot[order][i]);
    if (waiting->count) use(*waiting);
    waiting->before = last ? 0 : batch->before + batch->count;
    waiting->count = 0;
    std::swap(batch, waiting);
  };
  for (size_t row = 0; row < rows; row++) {
    for_each_tokens(text(row), scratch, [&](const Tokens& tokens) {
      for (size_t i = 0; i < tokens.count;) {
        // Only now is it known that the full one is not the last.
        if (batch->count == Features::batch_tokens) pass_on(false);
        batch->row = row;
        size_t count = std::min(Features::batch_tokens - batch->count, tokens.count - i);
        features.take(tokens, i, count, batch->count);
        batch->count += count, i += count;
      }
    });
    if (batch->count) pass_on(true);
  }
  if (waiting->count) use(*waiting);
}

template <class Features>
u64 add_ngrams(const Texts& texts, int64_t* counts, Features& features, Scratch& scratch) {
  u64 added = 0;
  for_each_batch(
      texts.size(), [&](size_t row) { return texts[row]; }, scratch, features,
      [=](u64 slot) { __builtin_prefetch(counts + slot, 1); },
      [&](const Batch& batch) {
        for (size_t order = 0; order < features.orders(); order++) {
          for (size_t i = batch.first(order); i < batch.count; i++) counts[batch.slot[order][i]]++;
          added += batch.count - batch.first(order);
        }
      });
  return added;
}

inline double total(const double* sums, size_t stride) {
  auto at = [=](size_t lane) { return sums[lane * stride]; };
  return ((at(0) + at(4)) + (at(2) + at(6))) + ((at(1) + at(5)) + (at(3) + at(7)));
}

template <class Number>
void add_lines(const Batch& batch, size_t orders, const Number* table, double* running) {
  double sums[lanes];
  std::memcpy(sums, running, sizeof sums);
  size_t i = 0;
  auto one_by_one = [&](size_t end) {
    for (; i < end; i++)
      for (size_t order = 0; order < orders && i >= batch.first(order); order++)
        sums[i % lanes] += table[batch.slot[order][i]];
  };
  // The first tokens of a document end fewer n-grams.
  if (batch.before + 1 < orders) one_by_one(std::min(lanes, batch.count));
  for (; i + lanes <= batch.count; i += lanes)
    for (size_t order = 0; order < orders; order++)
      for (size_t lane = 0; lane < lanes; lane++) sums[lane] += table[batch.slot[order][i + lane]];
  one_by_one(batch.count);
  std::memcpy(running, sums, sizeof sums);
}

template <class Number>
void add_wide_lines(const Batch& batch, size_t orders, const Number* table, size_t columns,
                    double* running) {
  for (size_t i = 0; i < batch.count; i++)
    for (size_t order = 0; order < orders && i >= batch.first(order); order++) {
      const Number* line = table + batch.slot[order][i] * columns;
      double* sums = running + i % lanes * columns;
      for (size_t column = 0; column < columns; column++) sums[column] += line[column];
    }
}

// sums[row * columns + column], ngrams[row].
template <class Features, class Number>
void dot_ngrams(const Texts& texts, const Number* table, size_t columns, Features& features,
                Scratch& scratch, double* sums, int64_t* ngrams) {
  std::fill(sums, sums + texts.size() * columns, 0.0);
  std::fill(ngrams, ngrams + texts.size(), 0);
  std::vector<double> running(lanes * columns);
  for_each_batch(
      texts.size(), [&](size_t row) { return texts[row]; }, scratch, features,
      [=](u64 slot) { __builtin_prefetch(table + slot * columns); },
      [&](const Batch& batch) {
        if (batch.before == 0) std::fill(running.begin(), running.end(), 0.0);
        if (columns == 1)
          add_lines(batch, features.orders(), table, running.data());
        else
          add_wide_lines(batch, features.orders(), table, columns, running.data());
        for (size_t order = 0; order < features.orders(); order++)
          ngrams[batch.row] += static_cast<int64_t>(batch.count - batch.first(order));
        if (batch.last)
          for (size_t column = 0; column < columns; column++)
            sums[batch.row * columns + column] = total(running.data() + column, columns);
      });
}

}  // namespace assay
