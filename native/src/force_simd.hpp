// The instruction set that a module's kernels use, chosen by hand: for tests.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <string>

#include "text.hpp"

namespace assay {

inline std::string simd_name(Simd level) {
  return level == Simd::avx512 ? "avx512" : level == Simd::avx2 ? "avx2" : "portable";
}

inline std::string force_simd(const std::string& name) {
  std::string known;
  for (Simd level : {Simd::portable, Simd::avx2, Simd::avx512}) {
    if (level > best_simd()) break;
    if (name == simd_name(level)) return simd_name(simd.exchange(level));
    known += (known.empty() ? "'" : ", '") + simd_name(level) + "'";
  }
  throw nanobind::value_error(("this machine has " + known + ", not '" + name + "'").c_str());
}

// Each module has a choice of its own.
inline void add_force_simd(nanobind::module_& m) {
  m.def("_force_simd", &force_simd, nanobind::arg("name"),
        "For tests: use \"portable\", \"avx2\" or \"avx512\" from now on; returns what was in use.");
}

}  // namespace assay
