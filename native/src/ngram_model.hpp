// Two n-gram language models, one of a target and one of the raw pool, read side by side.
//
// A word is its bucket, so a model gives a probability to each of `buckets` words, of order k after
// the k - 1 words before it (MacKay and Peto 1995, a hierarchical Dirichlet model):
//
//   P_k(word | history) = (count(history word) + prior * P_{k-1}(word | shorter history))
//                         / (count(history) + prior)
//
// Up to shared buckets these sum to 1, and to a little less after a history that ends a document. The
// raw model begins with P_1 = (count(word) + flat / buckets) / (tokens + flat), the target's with
// (1 - background) count(word) / tokens + background * the raw one's P_1; at the end it is mixed with
// the raw model's P_k in the same shares. So a word that the target lacks costs about -log(background),
// however small the target is.
#pragma once
#include <cmath>

#include "ngrams.hpp"

namespace assay {

struct NgramModels {
  const float* counts;  // slot by slot: the target's, the raw pool's
  double tokens[2];
  double prior[2];
  double flat;
  double background;
  double buckets;

  double mixed(double target, double raw) const { return target + background * (raw - target); }
};

inline constexpr size_t target = 0, raw = 1;

// Sums of logarithms. One is taken for eight probabilities, each well above 1e-38.
class LogSum {
 public:
  void multiply(double probability) {
    product_ *= probability;
    if (++factors_ == 8) settle();
  }

  double settle() {
    sum_ += std::log(product_);
    product_ = 1, factors_ = 0;
    return sum_;
  }

 private:
  double product_ = 1, sum_ = 0;
  size_t factors_ = 0;
};

// p[model] of the token whose n-grams have the slots slot(order), `known` of them; last[order] are
// those of the token before.
template <class Slot>
void probabilities(const NgramModels& models, Slot slot, size_t known, const u64* last, double* p) {
  const float* met = models.counts + 2 * slot(0);
  p[raw] = (met[raw] + models.flat / models.buckets) / (models.tokens[raw] + models.flat);
  p[target] = models.mixed(met[target] / models.tokens[target], p[raw]);
  for (size_t order = 1; order < known; order++) {
    const float* history = models.counts + 2 * last[order - 1];
    met = models.counts + 2 * slot(order);
    for (size_t model : {target, raw}) {
      double here = std::min(met[model], history[model]);  // more only where buckets are shared
      double prior = models.prior[model];
      p[model] = (here + prior * p[model]) / (history[model] + prior);
    }
  }
  p[target] = models.mixed(p[target], p[raw]);
}

// Natural logarithms of the probability of each text, logs[2 * row + model], and its tokens.
template <class Features>
void score_ngrams(const Texts& texts, const NgramModels& models, Features& features,
                  Scratch& scratch, double* logs, int64_t* tokens) {
  std::fill(logs, logs + 2 * texts.size(), 0.0);
  std::fill(tokens, tokens + texts.size(), 0);
  const size_t orders = features.orders();
  u64 last[most_orders] = {};
  LogSum sums[2];
  for_each_batch(
      texts.size(), [&](size_t row) { return texts[row]; }, scratch, features,
      [&](u64 slot) { __builtin_prefetch(models.counts + 2 * slot); },
      [&](const Batch& batch) {
        for (size_t i = 0; i < batch.count; i++) {
          size_t known = std::min(orders, batch.before + i + 1);
          auto slot = [&](size_t order) { return batch.slot[order][i]; };
          double p[2];
          probabilities(models, slot, known, last, p);
          for (size_t order = 0; order < known; order++) last[order] = slot(order);
          for (size_t model : {target, raw}) sums[model].multiply(p[model]);
        }
        tokens[batch.row] += static_cast<int64_t>(batch.count);
        if (!batch.last) return;
        for (size_t model : {target, raw}) {
          logs[2 * batch.row + model] = sums[model].settle();
          sums[model] = LogSum();
        }
      });
}

}  // namespace assay
