// Binds layers.hpp to Python: assay.native.layers.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>

#include <optional>
#include <string>

#include "attention.hpp"
#include "force_simd.hpp"
#include "layers.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace assay {
namespace {

using Given = nb::ndarray<float, nb::ndim<2>, nb::device::cpu>;

[[noreturn]] void refuse(const char* name, const char* why) {
  throw nb::value_error((std::string(name) + why).c_str());
}

Matrix matrix(const Given& given, const char* name) {
  if (given.size() && given.shape(1) > 1 && given.stride(1) != 1)
    refuse(name, ": the numbers of a row are to lie side by side");
  return {given.data(), given.shape(0), given.shape(1), static_cast<size_t>(given.stride(0))};
}

void like(const Matrix& one, const Matrix& other, const char* name) {
  if (one.rows != other.rows || one.columns != other.columns)
    refuse(name, " has another shape than the first matrix");
}

void check_scale(const Matrix& x, size_t head, const Matrix& scale) {
  if (head == 0 || x.columns % head)
    throw nb::value_error("head: rows are to be a whole number of heads wide");
  if (scale.rows != x.rows || scale.columns != x.columns / head)
    throw nb::value_error("scale: one number for each head of each row");
}

Turn turn(const std::optional<Given>& cosine, const std::optional<Given>& sine, size_t head) {
  if (cosine.has_value() != sine.has_value())
    throw nb::value_error("cosine and sine come together, or neither");
  if (!cosine) return {nullptr, nullptr, 0, 0};
  Matrix c = matrix(*cosine, "cosine"), s = matrix(*sine, "sine");
  like(c, s, "sine");
  if (c.columns * 2 != head || c.step != c.columns || s.step != s.columns || c.rows == 0)
    throw nb::value_error("cosine, sine: (length, head / 2), one row behind the other");
  return {c.data, s.data, c.rows, c.columns};
}

void norm(Given x, size_t head, std::optional<Given> cosine, std::optional<Given> sine, Given y,
          Given scale, size_t threads) {
  Matrix a = matrix(x, "x"), b = matrix(y, "y"), s = matrix(scale, "scale");
  like(a, b, "y");
  check_scale(a, head, s);
  Turn angles = turn(cosine, sine, head);
  nb::gil_scoped_release release;
  Layers layers = current_layers();
  share_out(a.rows, a.rows * a.columns, threads,
            [=](size_t first, size_t end) { layers.norm(a, head, angles, b, s, first, end); });
}

void add_norm(Given x, Given more, Given total, Given y, Given scale, size_t threads) {
  Matrix a = matrix(x, "x"), m = matrix(more, "more"), t = matrix(total, "total");
  Matrix b = matrix(y, "y"), s = matrix(scale, "scale");
  like(a, m, "more"), like(a, t, "total"), like(a, b, "y");
  check_scale(a, a.columns, s);
  nb::gil_scoped_release release;
  Layers layers = current_layers();
  share_out(a.rows, a.rows * a.columns, threads,
            [=](size_t first, size_t end) { layers.add_norm(a, m, t, b, s, first, end); });
}

void norm_back(Given dy, Given y, Given scale, size_t head, std::optional<Given> cosine,
               std::optional<Given> sine, std::optional<Given> more, Given dx, size_t threads) {
  Matrix g = matrix(dy, "dy"), v = matrix(y, "y"), s = matrix(scale, "scale");
  Matrix out = matrix(dx, "dx");
  like(g, v, "y"), like(g, out, "dx");
  check_scale(g, head, s);
  Turn angles = turn(cosine, sine, head);
  Matrix other = more ? matrix(*more, "more") : g;
  like(g, other, "more");
  bool added = more.has_value();
  nb::gil_scoped_release release;
  Layers layers = current_layers();
  share_out(g.rows, g.rows * g.columns, threads, [=](size_t first, size_t end) {
    layers.norm_back(g, v, s, head, angles, added ? &other : nullptr, out, first, end);
  });
}

void gate(Given gate, Given up, Given out, size_t threads) {
  Matrix a = matrix(gate, "gate"), b = matrix(up, "up"), to = matrix(out, "out");
  like(a, b, "up"), like(a, to, "out");
  nb::gil_scoped_release release;
  Layers layers = current_layers();
  share_out(a.rows, a.rows * a.columns, threads,
            [=](size_t first, size_t end) { layers.gate(a, b, to, first, end); });
}

void gate_back(Given gate, Given up, Given dout, Given dgate, Given dup, size_t threads) {
  Matrix a = matrix(gate, "gate"), b = matrix(up, "up"), g = matrix(dout, "dout");
  Matrix da = matrix(dgate, "dgate"), db = matrix(dup, "dup");
  like(a, b, "up"), like(a, g, "dout"), like(a, da, "dgate"), like(a, db, "dup");
  nb::gil_scoped_release release;
  Layers layers = current_layers();
  share_out(a.rows, a.rows * a.columns, threads,
            [=](size_t first, size_t end) { layers.gate_back(a, b, g, da, db, first, end); });
}

// --- attention -----------------------------------------------------------------------------------

using GivenHeads = nb::ndarray<float, nb::ndim<4>, nb::device::cpu>;
using GivenStarts = nb::ndarray<int32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using GivenLogs = nb::ndarray<float, nb::ndim<3>, nb::c_contig, nb::device::cpu>;

Heads heads(const GivenHeads& given, const char* name) {
  if (given.size() && given.shape(3) > 1 && given.stride(3) != 1)
    refuse(name, ": the numbers of a head are to lie side by side");
  auto step = [&](size_t n) { return static_cast<size_t>(given.stride(n)); };
  return {given.data(), given.shape(0), given.shape(1), given.shape(2), given.shape(3),
          step(0),      step(1),        step(2)};
}

Heads heads_like(const Heads& one, const GivenHeads& given, const char* name) {
  Heads other = heads(given, name);
  if (one.batches != other.batches || one.length != other.length || one.heads != other.heads ||
      one.head != other.head)
    refuse(name, " has another shape than the first");
  return other;
}

// A place outside the sequence would be read outside of memory.
void check_starts(const Heads& q, const GivenStarts& starts, const GivenLogs& logs) {
  if (starts.shape(0) != q.batches || starts.shape(1) != q.length)
    throw nb::value_error("starts: one place for each of (batch, length)");
  if (logs.shape(0) != q.batches || logs.shape(1) != q.heads || logs.shape(2) != q.length)
    throw nb::value_error("logs: (batch, heads, length)");
  for (size_t b = 0; b < q.batches; b++)
    for (size_t n = 0; n < q.length; n++) {
      int32_t start = starts.data()[b * q.length + n];
      int32_t before = n ? starts.data()[b * q.length + n - 1] : 0;
      if (start < before || start > static_cast<int32_t>(n))
        throw nb::value_error("starts: each is from the one before it to its own place");
    }
}

void attend(GivenHeads q, GivenHeads k, GivenHeads v, GivenStarts starts, GivenHeads out,
            GivenLogs logs, size_t threads) {
  Heads a = heads(q, "q"), b = heads_like(a, k, "k"), c = heads_like(a, v, "v");
  Heads to = heads_like(a, out, "out");
  check_starts(a, starts, logs);
  nb::gil_scoped_release release;
  Sizes sizes(a);
  Attention attention = current_attention();
  each_head(a, sizes.forward(), threads, [&](size_t batch, size_t head, float* scratch) {
    attention.forward(a, b, c, starts.data() + batch * a.length, to,
                      logs.data() + (batch * a.heads + head) * a.length, batch, head, sizes,
                      scratch);
  });
}

void attend_back(GivenHeads dout, GivenHeads q, GivenHeads k, GivenHeads v, GivenHeads out,
                 GivenLogs logs, GivenStarts starts, GivenHeads dq, GivenHeads dk, GivenHeads dv,
                 size_t threads) {
  Heads g = heads(dout, "dout"), a = heads_like(g, q, "q"), b = heads_like(g, k, "k");
  Heads c = heads_like(g, v, "v"), o = heads_like(g, out, "out"), da = heads_like(g, dq, "dq");
  Heads db = heads_like(g, dk, "dk"), dc = heads_like(g, dv, "dv");
  check_starts(a, starts, logs);
  nb::gil_scoped_release release;
  Sizes sizes(a);
  Attention attention = current_attention();
  each_head(a, sizes.backward(), threads, [&](size_t batch, size_t head, float* scratch) {
    attention.backward(g, a, b, c, o, logs.data() + (batch * a.heads + head) * a.length,
                       starts.data() + batch * a.length, da, db, dc, batch, head, sizes, scratch);
  });
}

// What had to be converted would be a copy, and the answer would be lost in it.
auto as_is(const char* name) { return nb::arg(name).noconvert(); }

}  // namespace
}  // namespace assay

NB_MODULE(layers, m) {
  using namespace assay;
  m.doc() =
      "What a decoder does between its matrix products, on a CPU. Matrices are float32, of any library\n"
      "that speaks DLPack; the numbers of a row lie side by side. What comes out is written where the\n"
      "last arguments say. ValueError for shapes that do not fit. The GIL is released.";
  m.def("norm", &norm, as_is("x"), "head"_a, as_is("cosine").none(), as_is("sine").none(),
        as_is("y"), as_is("scale"), "threads"_a = 1,
        "y = R x / rms(x), for each `head` numbers of x (n, width); scale (n, width / head) is 1 / rms.\n\n"
        "R turns neighbours by the angle of the row's position, n modulo length, in cosine and sine\n"
        "(length, head / 2); without them it does nothing.");
  m.def("add_norm", &add_norm, as_is("x"), as_is("more"), as_is("total"), as_is("y"),
        as_is("scale"), "threads"_a = 1, "total = x + more, y = total / rms(total); scale is (n, 1).");
  m.def("norm_back", &norm_back, as_is("dy"), as_is("y"), as_is("scale"), "head"_a,
        as_is("cosine").none(), as_is("sine").none(), as_is("more").none(), as_is("dx"), "threads"_a = 1,
        "The derivative of norm by x, from that by y; `more` is added to it.");
  m.def("gate", &gate, as_is("gate"), as_is("up"), as_is("out"), "threads"_a = 1,
        "out = silu(gate) up.");
  m.def("gate_back", &gate_back, as_is("gate"), as_is("up"), as_is("dout"),
        as_is("dgate"), as_is("dup"), "threads"_a = 1, "The derivatives of gate.");
  m.def("attend", &attend, as_is("q"), as_is("k"), as_is("v"), as_is("starts"),
        as_is("out"), as_is("logs"), "threads"_a = 1,
        "Attention where place n sees the places starts[n] .. n of its sequence.\n\n"
        "q, k, v, out: (batch, length, heads, head); scores are over sqrt(head). starts: int32 (batch,\n"
        "length), never falling; logs: (batch, heads, length), the logarithm of each sum of powers.");
  m.def("attend_back", &attend_back, as_is("dout"), as_is("q"), as_is("k"), as_is("v"),
        as_is("out"), as_is("logs"), as_is("starts"), as_is("dq"), as_is("dk"), as_is("dv"),
        "threads"_a = 1, "The derivatives of attend.");
  add_force_simd(m);
}
