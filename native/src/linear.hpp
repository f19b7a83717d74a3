// Documents as sets of n-grams, and the logistic model that is linear in them.
//
// A document is the vector with 1 / sqrt(d) in the places of its d distinct n-grams: its length is 1.
#pragma once
#include <cmath>

#include "ngrams.hpp"

namespace assay {

// Which slots a document has had. Forgetting costs as much as what was met, not as much as there is.
class Met {
 public:
  explicit Met(u64 slots) : bits_((slots + 63) / 64, 0) {}

  bool first(u64 slot) {
    u64& word = bits_[slot / 64];
    u64 bit = u64{1} << slot % 64;
    bool seen = word & bit;
    word |= bit;
    return !seen;
  }

  void forget(const u32* slots, size_t count) {
    for (size_t i = 0; i < count; i++) bits_[slots[i] / 64] = 0;
  }

 private:
  std::vector<u64> bits_;
};

// Row r has the entries [ends[r - 1], ends[r]) of slots: its distinct n-grams in the order in which
// they first end, shorter ones first.
struct Sets {
  std::vector<int64_t> ends;
  std::vector<u32> slots;
};

// finished(row, slots, count) for each text that has a token, some time after prefetch(slot) for each.
template <class Features, class Prefetch, class Finished>
void for_each_set(const Texts& texts, u64 slots, Features& features, Scratch& scratch,
                  Prefetch prefetch, Finished finished) {
  Met met(slots);
  std::vector<u32> found;
  size_t count = 0;
  for_each_batch(
      texts.size(), [&](size_t row) { return texts[row]; }, scratch, features, prefetch,
      [&](const Batch& batch) {
        found.resize(std::max(found.size(), count + batch.count * features.orders()));
        // Written always, counted if new: whether a slot is new cannot be foretold.
        for (size_t i = 0; i < batch.count; i++)
          for (size_t order = 0; order < features.orders() && i >= batch.first(order); order++) {
            found[count] = static_cast<u32>(batch.slot[order][i]);
            count += met.first(batch.slot[order][i]);
          }
        if (!batch.last) return;
        finished(batch.row, found.data(), count);
        met.forget(found.data(), count);
        count = 0;
      });
}

template <class Features>
Sets distinct_ngrams(const Texts& texts, u64 slots, Features& features, Scratch& scratch) {
  Sets sets;
  sets.ends.assign(texts.size(), 0);
  for_each_set(
      texts, slots, features, scratch, [](u64) {},
      [&](size_t row, const u32* found, size_t count) {
        sets.slots.insert(sets.slots.end(), found, found + count);
        sets.ends[row] = static_cast<int64_t>(sets.slots.size());
      });
  // A text without a token ends where the one before it does.
  for (size_t row = 1; row < texts.size(); row++)
    sets.ends[row] = std::max(sets.ends[row], sets.ends[row - 1]);
  return sets;
}

// Eight running sums, so that additions need not wait for each other.
template <class Number>
double sum_of(const Number* table, const u32* slots, size_t count) {
  double sums[lanes] = {};
  size_t i = 0;
  for (; i + lanes <= count; i += lanes)
    for (size_t lane = 0; lane < lanes; lane++) sums[lane] += table[slots[i + lane]];
  for (; i < count; i++) sums[i % lanes] += table[slots[i]];
  return total(sums, 1);
}

// sums[row] over the distinct n-grams of a text, distinct[row].
template <class Features, class Number>
void dot_distinct(const Texts& texts, const Number* table, u64 slots, Features& features,
                  Scratch& scratch, double* sums, int64_t* distinct) {
  std::fill(sums, sums + texts.size(), 0.0);
  std::fill(distinct, distinct + texts.size(), 0);
  for_each_set(
      texts, slots, features, scratch, [=](u64 slot) { __builtin_prefetch(table + slot); },
      [&](size_t row, const u32* found, size_t count) {
        sums[row] = sum_of(table, found, count);
        distinct[row] = static_cast<int64_t>(count);
      });
}

// --- the model -----------------------------------------------------------------------------------

// Rows with the label and the cost of each: the loss of row r is
// cost[r] * log(1 + exp(-label[r] * (weights . row + bias))).
struct Examples {
  size_t size;
  const int64_t* ends;
  const u32* slots;
  const double* labels;  // 1 or -1
  const double* costs;

  size_t begin(size_t row) const { return row ? static_cast<size_t>(ends[row - 1]) : 0; }
  size_t count(size_t row) const { return static_cast<size_t>(ends[row]) - begin(row); }
};

// The margin u of a row once its multiplier is best: u = from + reach * sigma(-u). The left side less
// the right rises with u, with a slope of 1 to 1 + reach / 4; Newton's method, kept between the
// bounds that the root is known to lie in.
inline double best_margin(double u, double from, double reach) {
  double low = from, high = from + reach;
  for (int i = 0; i < 50; i++) {
    double share = 1 / (1 + std::exp(u));
    double excess = u - from - reach * share;
    (excess > 0 ? high : low) = u;
    double next = u - excess / (1 + reach * share * (1 - share));
    if (next < low || next > high) next = (low + high) / 2;
    if (std::abs(next - u) < 1e-10) return next;
    u = next;
  }
  return u;
}

// The rows as the fit reads them, round after round. A slot of one row alone needs no weight of its
// own: it is always the row's multiplier times its scale. The others are numbered as they are met, so
// that the weights lie close together. Half of the entries go, and most cache misses.
class Shared {
 public:
  Shared(const Examples& rows, size_t slots) : number_(slots, 0) {
    std::vector<u8> met(slots, 0);  // in how many rows, 2 standing for more
    const u32* end = rows.slots + (rows.size ? rows.ends[rows.size - 1] : 0);
    for (const u32* slot = rows.slots; slot < end; slot++) met[*slot] += met[*slot] < 2;
    entries_.reserve(static_cast<size_t>(end - rows.slots));
    ends_.reserve(rows.size);
    for (size_t row = 0; row < rows.size; row++) {
      for (size_t i = 0; i < rows.count(row); i++) {
        u32 slot = rows.slots[rows.begin(row) + i];
        if (met[slot] < 2) continue;
        if (!number_[slot]) number_[slot] = ++met_;
        entries_.push_back(number_[slot] - 1);
      }
      ends_.push_back(entries_.size());
    }
    weights_.assign(met_, 0.0);
  }

  size_t count(size_t row) const { return ends_[row] - begin(row); }

  double sum(size_t row) const {
    return sum_of(weights_.data(), entries_.data() + begin(row), count(row));
  }

  void add(size_t row, double step) {
    for (size_t i = begin(row); i < ends_[row]; i++) weights_[entries_[i]] += step;
  }

  // The weight of a slot, which is `alone` where the slot is of one row.
  double weight(u32 slot, double alone) const {
    return number_[slot] ? weights_[number_[slot] - 1] : alone;
  }

 private:
  size_t begin(size_t row) const { return row ? ends_[row - 1] : 0; }

  std::vector<u32> number_, entries_;  // 1 + the place of a slot's weight, or 0; places
  std::vector<size_t> ends_;
  std::vector<double> weights_;
  u32 met_ = 0;
};

// Minimises |weights|^2 / 2 + the losses by dual coordinate ascent (Shalev-Shwartz and Zhang 2013,
// arXiv:1209.1873; for the logistic loss Yu, Huang and Lin 2011). weights[bias] belongs to a feature
// that is 1 in every row. Row after row, in the order given: one order, one answer. Returns the rounds
// it took until no multiplier moved by more than `tolerance` of its cost.
inline size_t fit_logistic(const Examples& rows, double* weights, size_t bias, size_t most_rounds,
                           double tolerance) {
  Shared shared(rows, bias);
  std::vector<double> multipliers(rows.size, 0.0);
  auto scale = [&](size_t row) { return 1 / std::sqrt(std::max<double>(1, rows.count(row))); };
  weights[bias] = 0;
  size_t round = 0;
  for (double largest = tolerance; largest >= tolerance && round < most_rounds; round++) {
    largest = 0;
    for (size_t row = 0; row < rows.size; row++) {
      double label = rows.labels[row], cost = rows.costs[row], part = scale(row);
      double square = rows.count(row) ? 2 : 1;  // the row's length is 1, and the bias adds 1
      double alone = label * multipliers[row] * part;  // the weight of each slot of its own
      double own = alone * static_cast<double>(rows.count(row) - shared.count(row));
      double margin = label * ((shared.sum(row) + own) * part + weights[bias]);
      margin = best_margin(margin, margin - square * multipliers[row], square * cost);
      double change = cost / (1 + std::exp(margin)) - multipliers[row];
      multipliers[row] += change;
      largest = std::max(largest, std::abs(change) / cost);
      weights[bias] += change * label;
      shared.add(row, change * label * part);
    }
  }
  for (size_t row = 0; row < rows.size; row++)
    for (size_t i = rows.begin(row); i < rows.begin(row) + rows.count(row); i++)
      weights[rows.slots[i]] =
          shared.weight(rows.slots[i], rows.labels[row] * multipliers[row] * scale(row));
  return round;
}

}  // namespace assay
