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

// For each text that has a token: meet(slot, place, first) for each of its n-grams, by their last
// tokens and shorter ones first, place counting them; and finished(row, slots, count) with the distinct
// ones. A batch's slots are handed to prefetch some time before.
template <class Features, class Prefetch, class Meet, class Finished>
void for_each_set(const Texts& texts, u64 slots, Features& features, Scratch& scratch,
                  Prefetch prefetch, Meet meet, Finished finished) {
  Met met(slots);
  std::vector<u32> found;
  size_t count = 0, place = 0;
  for_each_batch(
      texts.size(), [&](size_t row) { return texts[row]; }, scratch, features, prefetch,
      [&](const Batch& batch) {
        const size_t orders = features.orders();
        found.resize(std::max(found.size(), count + batch.count * orders));
        u32* out = found.data() + count;
        for (size_t i = 0; i < batch.count; i++)
          for (size_t order = 0; order < std::min(orders, batch.before + i + 1); order++) {
            u64 slot = batch.slot[order][i];
            bool first = met.first(slot);
            // Written always, counted if new: whether a slot is new cannot be foretold.
            *out = static_cast<u32>(slot);
            out += first;
            meet(slot, place++, first);
          }
        count = static_cast<size_t>(out - found.data());
        if (!batch.last) return;
        finished(batch.row, found.data(), count);
        met.forget(found.data(), count);
        count = place = 0;
      });
}

template <class Features>
Sets distinct_ngrams(const Texts& texts, u64 slots, Features& features, Scratch& scratch) {
  Sets sets;
  sets.ends.assign(texts.size(), 0);
  for_each_set(
      texts, slots, features, scratch, [](u64) {}, [](u64, size_t, bool) {},
      [&](size_t row, const u32* found, size_t count) {
        sets.slots.insert(sets.slots.end(), found, found + count);
        sets.ends[row] = static_cast<int64_t>(sets.slots.size());
      });
  // A text without a token ends where the one before it does.
  for (size_t row = 1; row < texts.size(); row++)
    sets.ends[row] = std::max(sets.ends[row], sets.ends[row - 1]);
  return sets;
}

// sums[row] over the distinct n-grams of a text, distinct[row]. The n-gram at place p is added to
// running sum p mod 8 if it is met for the first time; the sums are added as in ngrams.hpp.
template <class Features, class Number>
void dot_distinct(const Texts& texts, const Number* table, u64 slots, Features& features,
                  Scratch& scratch, double* sums, int64_t* distinct) {
  std::fill(sums, sums + texts.size(), 0.0);
  std::fill(distinct, distinct + texts.size(), 0);
  double running[lanes] = {};
  for_each_set(
      texts, slots, features, scratch, [=](u64 slot) { __builtin_prefetch(table + slot); },
      [&](u64 slot, size_t place, bool first) {
        running[place % lanes] += static_cast<double>(table[slot]) * first;  // no branch
      },
      [&](size_t row, const u32*, size_t count) {
        sums[row] = total(running, 1);
        distinct[row] = static_cast<int64_t>(count);
        std::fill(running, running + lanes, 0.0);
      });
}

// The same with a table of `columns` numbers a slot: sums[row * columns + column]. Each column's numbers
// are added one by one in the order of the n-grams.
template <class Features>
void dot_distinct_columns(const Texts& texts, const float* table, size_t columns, u64 slots,
                          Features& features, Scratch& scratch, double* sums, int64_t* distinct) {
  std::fill(sums, sums + texts.size() * columns, 0.0);
  std::fill(distinct, distinct + texts.size(), 0);
  std::vector<double> running(columns, 0.0);
  for_each_set(
      texts, slots, features, scratch,
      [=](u64 slot) { __builtin_prefetch(table + slot * columns); },
      [&](u64 slot, size_t, bool first) {
        if (!first) return;
        const float* line = table + slot * columns;
        for (size_t column = 0; column < columns; column++)
          running[column] += static_cast<double>(line[column]);
      },
      [&](size_t row, const u32*, size_t count) {
        std::copy(running.begin(), running.end(), sums + row * columns);
        distinct[row] = static_cast<int64_t>(count);
        std::fill(running.begin(), running.end(), 0.0);
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
  size_t count(size_t row) const { return begin(row + 1) - begin(row); }
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

// Eight running sums, so that additions need not wait for each other.
inline double sum_of(const double* weights, const u32* places, size_t count) {
  double sums[lanes] = {};
  size_t i = 0;
  for (; i + lanes <= count; i += lanes)
    for (size_t lane = 0; lane < lanes; lane++) sums[lane] += weights[places[i + lane]];
  for (; i < count; i++) sums[i % lanes] += weights[places[i]];
  return total(sums, 1);
}

// The rows as the fit reads them, round after round. A slot of one row alone needs no weight of its
// own: that is always the row's multiplier times its label and scale. The others are numbered as they
// are met, so that the weights lie close together.
class Numbered {
 public:
  Numbered(const Examples& rows, size_t slots) {
    size_t entries = rows.size ? rows.begin(rows.size) : 0;
    std::vector<u8> met(slots, 0);  // in how many rows, 2 standing for more
    for (size_t i = 0; i < entries; i++) met[rows.slots[i]] += met[rows.slots[i]] < 2;
    std::vector<u32> number(slots);
    places_.reserve(entries);
    for (size_t row = 0; row < rows.size; row++) {
      for (size_t i = rows.begin(row); i < rows.begin(row + 1); i++) {
        u32 slot = rows.slots[i];
        if (met[slot] == 1) {
          alone_.push_back(slot);
          continue;
        }
        if (met[slot] == 2) {
          met[slot] = 3;
          number[slot] = static_cast<u32>(slots_.size());
          slots_.push_back(slot);
        }
        places_.push_back(number[slot]);
      }
      ends_.push_back(places_.size());
      alone_ends_.push_back(alone_.size());
    }
    weights_.assign(slots_.size(), 0.0);
  }

  size_t alone(size_t row) const { return alone_ends_[row + 1] - alone_ends_[row]; }

  double sum(size_t row) const {
    return sum_of(weights_.data(), places_.data() + ends_[row], ends_[row + 1] - ends_[row]);
  }

  void add(size_t row, double step) {
    for (size_t i = ends_[row]; i < ends_[row + 1]; i++) weights_[places_[i]] += step;
  }

  // The weights of all slots; own(row) is that of a slot of this row alone.
  template <class Own>
  void write(float* weights, Own own) const {
    for (size_t i = 0; i < slots_.size(); i++) weights[slots_[i]] = static_cast<float>(weights_[i]);
    for (size_t row = 0; row + 1 < alone_ends_.size(); row++)
      for (size_t i = alone_ends_[row]; i < alone_ends_[row + 1]; i++)
        weights[alone_[i]] = static_cast<float>(own(row));
  }

 private:
  std::vector<u32> slots_, places_, alone_;  // of a number; numbers row by row; slots row by row
  std::vector<size_t> ends_{0}, alone_ends_{0};
  std::vector<double> weights_;
};

// Minimises |weights|^2 / 2 + the losses by dual coordinate ascent (Shalev-Shwartz and Zhang 2013,
// arXiv:1209.1873; for the logistic loss Yu, Huang and Lin 2011). weights[bias] belongs to a feature
// that is 1 in every row. Row after row, in the order given: one order, one answer. Returns the rounds
// it took until no multiplier moved by more than `tolerance` of its cost.
inline size_t fit_logistic(const Examples& rows, float* weights, size_t bias, size_t most_rounds,
                           double tolerance) {
  Numbered numbered(rows, bias);
  std::vector<double> multipliers(rows.size, 0.0);
  double bias_weight = 0;
  auto scale = [&](size_t row) { return 1 / std::sqrt(std::max<double>(1, rows.count(row))); };
  auto own = [&](size_t row) { return rows.labels[row] * multipliers[row] * scale(row); };
  size_t round = 0;
  for (double largest = tolerance; largest >= tolerance && round < most_rounds; round++) {
    largest = 0;
    for (size_t row = 0; row < rows.size; row++) {
      double label = rows.labels[row], cost = rows.costs[row];
      double square = rows.count(row) ? 2 : 1;  // the row's length is 1, and the bias adds 1
      double sum = numbered.sum(row) + own(row) * static_cast<double>(numbered.alone(row));
      double margin = label * (sum * scale(row) + bias_weight);
      margin = best_margin(margin, margin - square * multipliers[row], square * cost);
      double change = cost / (1 + std::exp(margin)) - multipliers[row];
      multipliers[row] += change;
      largest = std::max(largest, std::abs(change) / cost);
      bias_weight += change * label;
      numbered.add(row, change * label * scale(row));
    }
  }
  numbered.write(weights, own);
  weights[bias] = static_cast<float>(bias_weight);
  return round;
}

}  // namespace assay
