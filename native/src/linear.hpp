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

  template <class Slot>
  void forget(const Slot* slots, size_t count) {
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

// finished(row, slots, count) for each text that has a token.
template <class Features, class Finished>
void for_each_set(const Texts& texts, u64 slots, Features& features, Scratch& scratch,
                  Finished finished) {
  Met met(slots);
  std::vector<u32> found;
  for_each_batch(
      texts.size(), [&](size_t row) { return texts[row]; }, scratch, features, [](u64) {},
      [&](const Batch& batch) {
        for (size_t i = 0; i < batch.count; i++)
          for (size_t order = 0; order < features.orders() && i >= batch.first(order); order++)
            if (met.first(batch.slot[order][i]))
              found.push_back(static_cast<u32>(batch.slot[order][i]));
        if (!batch.last) return;
        finished(batch.row, found.data(), found.size());
        met.forget(found.data(), found.size());
        found.clear();
      });
}

template <class Features>
Sets distinct_ngrams(const Texts& texts, u64 slots, Features& features, Scratch& scratch) {
  Sets sets;
  sets.ends.assign(texts.size(), 0);
  for_each_set(texts, slots, features, scratch, [&](size_t row, const u32* found, size_t count) {
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
  for_each_set(texts, slots, features, scratch, [&](size_t row, const u32* found, size_t count) {
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

// Minimises |weights|^2 / 2 + the losses by dual coordinate ascent (Shalev-Shwartz and Zhang 2013,
// arXiv:1209.1873; for the logistic loss Yu, Huang and Lin 2011). weights[bias] belongs to a feature
// that is 1 in every row. Row after row, in the order given: one order, one answer. Returns the rounds
// it took until no multiplier moved by more than `tolerance` of its cost.
inline size_t fit_logistic(const Examples& rows, double* weights, size_t bias, size_t most_rounds,
                           double tolerance) {
  std::vector<double> multipliers(rows.size, 0.0);
  for (size_t round = 1; round <= most_rounds; round++) {
    double largest = 0;
    for (size_t row = 0; row < rows.size; row++) {
      const u32* slots = rows.slots + rows.begin(row);
      size_t count = rows.count(row);
      double scale = count ? 1 / std::sqrt(static_cast<double>(count)) : 0;
      double square = count ? 2 : 1;  // the row's length is 1, and the bias adds 1
      double label = rows.labels[row], cost = rows.costs[row];
      double margin = label * (sum_of(weights, slots, count) * scale + weights[bias]);
      margin = best_margin(margin, margin - square * multipliers[row], square * cost);
      double change = cost / (1 + std::exp(margin)) - multipliers[row];
      multipliers[row] += change;
      largest = std::max(largest, std::abs(change) / cost);
      weights[bias] += change * label;
      for (size_t i = 0; i < count; i++) weights[slots[i]] += change * label * scale;
    }
    if (largest < tolerance) return round;
  }
  return most_rounds;
}

}  // namespace assay
