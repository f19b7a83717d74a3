// The Python face of the kernels: conversions, bounds, releasing the GIL; nothing else.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <optional>

#include "force_simd.hpp"
#include "forest.hpp"
#include "minhash.hpp"
#include "linear.hpp"
#include "ngram_model.hpp"
#include "ngrams.hpp"
#include "surface.hpp"
#include "windows.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace assay {
namespace {

// --- what comes in -------------------------------------------------------------------------------

constexpr char accepted[] =
    "one Arrow array of type string, large_string, string_view, binary, large_binary or "
    "binary_view";

std::string name_of_type(nb::handle object) {
  return nb::cast<std::string>(nb::type_name(object.type()));
}

nb::object arrow_capsules(nb::handle object) {
  if (nb::hasattr(object, "__arrow_c_array__")) return object.attr("__arrow_c_array__")();
  std::string message = std::string("texts must be ") + accepted + ", not " + name_of_type(object);
  if (nb::hasattr(object, "chunks"))
    message += ": pass its chunks one at a time, or combine_chunks() first";
  throw nb::type_error(message.c_str());
}

template <class T>
T& capsule_content(nb::handle capsule, const char* name) {
  void* content = PyCapsule_GetPointer(capsule.ptr(), name);
  if (!content) throw nb::python_error();
  return *static_cast<T*>(content);
}

// Keeps the Arrow data alive for as long as its texts are looked at.
class Column {
 public:
  explicit Column(nb::handle object) {
    nb::tuple capsules(arrow_capsules(object));
    schema_ = capsules[0], array_ = capsules[1];
    auto& schema = capsule_content<ArrowSchema>(schema_, "arrow_schema");
    auto& array = capsule_content<ArrowArray>(array_, "arrow_array");
    std::string_view format = schema.format;
    bool known = format == "u" || format == "U" || format == "z" || format == "Z" ||
                 format == "vu" || format == "vz";
    if (!known || schema.dictionary) {
      std::string found = nb::hasattr(object, "type")
                              ? nb::cast<std::string>(nb::str(nb::object(object.attr("type"))))
                              : "format '" + std::string(format) + "'";
      if (schema.dictionary) found += " (cast it first)";
      std::string message = std::string("texts must be ") + accepted + ", not " +
                            name_of_type(object) + " of type " + found;
      throw nb::type_error(message.c_str());
    }
    texts_.emplace(array, format);
  }

  const Texts& texts() const { return *texts_; }

 private:
  nb::object schema_, array_;
  std::optional<Texts> texts_;
};

Text view(const nb::bytes& text) {
  if (text.size() > longest_text) throw nb::value_error("text is longer than 2^31 - 1 bytes");
  return {reinterpret_cast<const u8*>(text.c_str()), text.size()};
}

// A C-contiguous array of the caller's, through the buffer protocol, so that nothing is ever
// copied.
class Array {
 public:
  Array(nb::handle object, const char* name, const std::string& wanted, const char* kinds,
        bool writable)
      : message_(std::string(name) + " must be " + wanted) {
    if (!PyObject_CheckBuffer(object.ptr())) refuse(name_of_type(object));
    if (PyObject_GetBuffer(object.ptr(), &buffer_, PyBUF_FORMAT | PyBUF_STRIDES)) {
      PyErr_Clear();
      refuse("a " + name_of_type(object) + " that lends no buffer");
    }
    try {
      check(kinds, writable);
    } catch (...) {
      PyBuffer_Release(&buffer_);
      throw;
    }
  }

  Array(const Array&) = delete;
  ~Array() { PyBuffer_Release(&buffer_); }

  char kind() const { return kind_; }
  size_t dimensions() const { return static_cast<size_t>(buffer_.ndim); }
  size_t length(size_t axis) const { return static_cast<size_t>(buffer_.shape[axis]); }

  template <class T>
  T* data() const {
    return static_cast<T*>(buffer_.buf);
  }

  [[noreturn]] void refuse(const std::string& found) const {
    throw nb::value_error((message_ + ", not " + found).c_str());
  }

  std::string shape() const {
    std::string text = "(";
    for (size_t axis = 0; axis < dimensions(); axis++)
      text += (axis ? ", " : "") + std::to_string(length(axis));
    return text + (dimensions() == 1 ? ",)" : ")");
  }

 private:
  // One letter for the element: i int64, u uint64, w uint32, f float32, d float64.
  void check(const char* kinds, bool writable) {
    std::string_view format = buffer_.format ? buffer_.format : "B";
    if (format.size() == 2 && (format[0] == '=' || format[0] == '<' || format[0] == '@'))
      format.remove_prefix(1);
    char letter = format.size() == 1 ? format[0] : '?';
    if ((letter == 'l' || letter == 'q') && buffer_.itemsize == 8) kind_ = 'i';
    if ((letter == 'L' || letter == 'Q') && buffer_.itemsize == 8) kind_ = 'u';
    if ((letter == 'I' || letter == 'L') && buffer_.itemsize == 4) kind_ = 'w';
    if (letter == 'f' || letter == 'd') kind_ = letter;
    if (kind_ == 0 || !std::strchr(kinds, kind_))
      refuse("elements of format '" + std::string(buffer_.format ? buffer_.format : "B") + "'");
    if (!PyBuffer_IsContiguous(&buffer_, 'C')) refuse("an array with strides");
    if (writable && buffer_.readonly) refuse("a read-only array");
    if (reinterpret_cast<uintptr_t>(buffer_.buf) % static_cast<size_t>(buffer_.itemsize))
      refuse("an array that is not aligned");
  }

  std::string message_;
  Py_buffer buffer_ = {};
  char kind_ = 0;
};

enum class Features { fast, reference };

struct Definition {
  Features features;
  size_t orders;
  u64 buckets;

  u64 slots() const { return features == Features::fast ? orders * buckets : buckets; }
};

Definition definition(const std::string& features, int64_t orders, int64_t buckets) {
  Definition result;
  if (features == "fast")
    result.features = Features::fast;
  else if (features == "reference")
    result.features = Features::reference;
  else
    throw nb::value_error(
        ("features must be 'fast' or 'reference', not '" + features + "'").c_str());
  if (orders < 1 || orders > static_cast<int64_t>(most_orders))
    throw nb::value_error(("orders must be 1 to 8, not " + std::to_string(orders)).c_str());
  if (buckets < 1 || buckets > int64_t{1} << 31)
    throw nb::value_error(("buckets must be 1 to 2^31, not " + std::to_string(buckets)).c_str());
  result.orders = static_cast<size_t>(orders);
  result.buckets = static_cast<u64>(buckets);
  return result;
}

size_t checked_width(int64_t width) {
  if (width < 1 || width > static_cast<int64_t>(widest_window))
    throw nb::value_error(("width must be 1 to 2^20, not " + std::to_string(width)).c_str());
  return static_cast<size_t>(width);
}

// Scratch is the thread's own; after a large document most of it is given back.
template <class Use>
auto with_scratch(Use use) {
  static thread_local Scratch scratch;
  struct Shrink {
    ~Shrink() { scratch.shrink(); }
  } shrink;
  return use(scratch);
}

template <class Use>
auto with_features(const Definition& definition, Use use) {
  if (definition.features == Features::fast) {
    FastFeatures features(definition.orders, definition.buckets);
    return use(features);
  }
  ReferenceFeatures features(definition.orders, definition.buckets);
  return use(features);
}

// --- what goes out -------------------------------------------------------------------------------

template <class T>
using Numpy = nb::ndarray<nb::numpy, T>;

template <class T>
struct Column1 {
  std::unique_ptr<T[]> data;
  std::vector<size_t> shape;

  explicit Column1(std::vector<size_t> shape) : shape(std::move(shape)) {
    size_t count = 1;
    for (size_t length : this->shape) count *= length;
    data.reset(new T[std::max<size_t>(count, 1)]);
  }

  Numpy<T> numpy() {
    T* memory = data.release();
    nb::capsule owner(memory, [](void* p) noexcept { delete[] static_cast<T*>(p); });
    return Numpy<T>(memory, shape.size(), shape.data(), owner);
  }
};

template <class T>
Numpy<T> numpy(const std::vector<T>& values) {
  Column1<T> out({values.size()});
  if (!values.empty()) std::memcpy(out.data.get(), values.data(), values.size() * sizeof(T));
  return out.numpy();
}

// --- the functions -------------------------------------------------------------------------------

// One value per text, found without the GIL.
template <class T, class Value>
Numpy<T> each(nb::handle texts, Value value) {
  Column column(texts);
  Column1<T> out({column.texts().size()});
  {
    nb::gil_scoped_release release;
    for (size_t row = 0; row < column.texts().size(); row++)
      out.data[row] = value(column.texts(), row);
  }
  return out.numpy();
}

Numpy<bool> py_valid_utf8(nb::object texts) {
  return each<bool>(texts, [](const Texts& column, size_t row) {
    return !column.is_null(row) && is_utf8(column[row]);
  });
}

Numpy<u64> py_fingerprint(nb::object texts, u64 seed) {
  return each<u64>(texts, [seed](const Texts& column, size_t row) {
    return hash_bytes(column[row].data, column[row].size, seed);
  });
}

Numpy<int64_t> py_count_tokens(nb::object texts) {
  return each<int64_t>(texts, [](const Texts& column, size_t row) {
    return with_scratch(
        [&](Scratch& scratch) { return static_cast<int64_t>(count_tokens(column[row], scratch)); });
  });
}

u64 py_slots(const std::string& features, int64_t orders, int64_t buckets) {
  return definition(features, orders, buckets).slots();
}

u64 py_add_ngrams(nb::object texts, nb::object counts, const std::string& features, int64_t orders,
                  int64_t buckets) {
  Definition wanted = definition(features, orders, buckets);
  Column column(texts);
  std::string entries = std::to_string(wanted.slots());
  Array array(
      counts, "counts",
      "a writable C-contiguous array of " + entries + " int64 (slots of '" + features + "')", "i",
      true);
  if (array.dimensions() != 1 || array.length(0) != wanted.slots())
    array.refuse("one of shape " + array.shape());
  nb::gil_scoped_release release;
  return with_features(wanted, [&](auto& how) {
    return with_scratch([&](Scratch& scratch) {
      return add_ngrams(column.texts(), array.data<int64_t>(), how, scratch);
    });
  });
}

nb::tuple py_dot_ngrams(nb::object texts, nb::object table, const std::string& features,
                        int64_t orders, int64_t buckets) {
  Definition wanted = definition(features, orders, buckets);
  Column column(texts);
  std::string entries = std::to_string(wanted.slots());
  Array array(table, "table",
              "a C-contiguous array of float32 or float64 of shape (" + entries + ",) or (" +
                  entries + ", columns)",
              "fd", false);
  if (array.dimensions() < 1 || array.dimensions() > 2 || array.length(0) != wanted.slots())
    array.refuse("one of shape " + array.shape());
  size_t columns = array.dimensions() == 2 ? array.length(1) : 1, rows = column.texts().size();
  std::vector<size_t> shape = {rows};
  if (array.dimensions() == 2) shape.push_back(columns);
  Column1<double> sums(shape);
  Column1<int64_t> ngrams({rows});
  {
    nb::gil_scoped_release release;
    with_features(wanted, [&](auto& how) {
      with_scratch([&](Scratch& scratch) {
        auto run = [&](auto* numbers) {
          dot_ngrams(column.texts(), numbers, columns, how, scratch, sums.data.get(),
                     ngrams.data.get());
        };
        if (array.kind() == 'f')
          run(array.data<const float>());
        else
          run(array.data<const double>());
      });
    });
  }
  return nb::make_tuple(sums.numpy(), ngrams.numpy());
}

// One-dimensional, of `length` elements of a kind.
template <class T>
T* line(const Array& array, size_t length) {
  if (array.dimensions() != 1 || array.length(0) != length) array.refuse("one of shape " + array.shape());
  return array.data<T>();
}

std::string wanted_line(size_t length, const char* type) {
  return "a C-contiguous array of " + std::to_string(length) + " " + type;
}

Definition small_definition(const std::string& features, int64_t orders, int64_t buckets) {
  Definition wanted = definition(features, orders, buckets);
  if (wanted.slots() > u64{1} << 32)
    throw nb::value_error(
        ("there may be 2^32 slots here, not " + std::to_string(wanted.slots())).c_str());
  return wanted;
}

nb::tuple py_distinct_ngrams(nb::object texts, const std::string& features, int64_t orders,
                             int64_t buckets) {
  Definition wanted = small_definition(features, orders, buckets);
  Column column(texts);
  Sets sets;
  {
    nb::gil_scoped_release release;
    sets = with_features(wanted, [&](auto& how) {
      return with_scratch([&](Scratch& scratch) {
        return distinct_ngrams(column.texts(), wanted.slots(), how, scratch);
      });
    });
  }
  return nb::make_tuple(numpy(sets.ends), numpy(sets.slots));
}

nb::tuple py_dot_distinct(nb::object texts, nb::object table, const std::string& features,
                          int64_t orders, int64_t buckets) {
  Definition wanted = small_definition(features, orders, buckets);
  Column column(texts);
  Array array(table, "table", wanted_line(wanted.slots(), "float32 or float64"), "fd", false);
  line<const void>(array, wanted.slots());
  size_t rows = column.texts().size();
  Column1<double> sums({rows});
  Column1<int64_t> distinct({rows});
  {
    nb::gil_scoped_release release;
    with_features(wanted, [&](auto& how) {
      with_scratch([&](Scratch& scratch) {
        auto run = [&](auto* numbers) {
          dot_distinct(column.texts(), numbers, wanted.slots(), how, scratch, sums.data.get(),
                       distinct.data.get());
        };
        if (array.kind() == 'f')
          run(array.data<const float>());
        else
          run(array.data<const double>());
      });
    });
  }
  return nb::make_tuple(sums.numpy(), distinct.numpy());
}

nb::tuple py_dot_distinct_columns(nb::object texts, nb::object table, const std::string& features,
                                  int64_t orders, int64_t buckets) {
  Definition wanted = small_definition(features, orders, buckets);
  Column column(texts);
  std::string entries = std::to_string(wanted.slots());
  Array array(table, "table", "a C-contiguous array of float32 of shape (" + entries + ", columns)",
              "f", false);
  if (array.dimensions() != 2 || array.length(0) != wanted.slots() || !array.length(1))
    array.refuse("one of shape " + array.shape());
  size_t rows = column.texts().size(), columns = array.length(1);
  Column1<double> sums({rows, columns});
  Column1<int64_t> distinct({rows});
  {
    nb::gil_scoped_release release;
    with_features(wanted, [&](auto& how) {
      with_scratch([&](Scratch& scratch) {
        dot_distinct_columns(column.texts(), array.data<const float>(), columns, wanted.slots(), how,
                             scratch, sums.data.get(), distinct.data.get());
      });
    });
  }
  return nb::make_tuple(sums.numpy(), distinct.numpy());
}

size_t py_fit_logistic(nb::object ends, nb::object slots, nb::object labels, nb::object costs,
                       nb::object weights, size_t rounds, double tolerance) {
  Array ends_array(ends, "ends", "a C-contiguous array of int64 that never goes down", "i", false);
  size_t rows = ends_array.dimensions() ? ends_array.length(0) : 0;
  const int64_t* last = line<const int64_t>(ends_array, rows);
  if (!std::is_sorted(last, last + rows) || (rows && last[0] < 0)) ends_array.refuse("one that does");
  size_t entries = rows ? static_cast<size_t>(last[rows - 1]) : 0;
  Array slots_array(slots, "slots", wanted_line(entries, "uint32"), "w", false);
  Array labels_array(labels, "labels", wanted_line(rows, "float64"), "d", false);
  Array costs_array(costs, "costs", wanted_line(rows, "float64"), "d", false);
  Array weights_array(weights, "weights", "a writable C-contiguous array of float32", "f", true);
  if (weights_array.dimensions() != 1 || weights_array.length(0) == 0)
    weights_array.refuse("one of shape " + weights_array.shape());
  Examples examples{rows, last, line<const u32>(slots_array, entries),
                    line<const double>(labels_array, rows), line<const double>(costs_array, rows)};
  size_t bias = weights_array.length(0) - 1;
  if (std::any_of(examples.slots, examples.slots + entries, [=](u32 slot) { return slot >= bias; }))
    slots_array.refuse("one with a slot that weights has no place for, its last being the bias's");
  nb::gil_scoped_release release;
  return fit_logistic(examples, weights_array.data<float>(), bias, rounds, tolerance);
}

nb::tuple py_score_ngrams(nb::object texts, nb::object counts, std::pair<double, double> tokens,
                          std::pair<double, double> prior, double flat, double background,
                          const std::string& features, int64_t orders, int64_t buckets) {
  Definition wanted = definition(features, orders, buckets);
  if (wanted.features != Features::fast)
    throw nb::value_error("a language model needs orders apart: features must be 'fast'");
  Column column(texts);
  std::string entries = std::to_string(wanted.slots());
  Array array(counts, "counts", "a C-contiguous array of float32 of shape (" + entries + ", 2)", "f",
              false);
  if (array.dimensions() != 2 || array.length(0) != wanted.slots() || array.length(1) != 2)
    array.refuse("one of shape " + array.shape());
  NgramModels models{array.data<const float>(),
                     {tokens.first, tokens.second},
                     {prior.first, prior.second},
                     flat,
                     background,
                     static_cast<double>(wanted.buckets)};
  size_t rows = column.texts().size();
  Column1<double> logs({rows, 2});
  Column1<int64_t> lengths({rows});
  {
    nb::gil_scoped_release release;
    with_scratch([&](Scratch& scratch) {
      FastFeatures how(wanted.orders, wanted.buckets);
      score_ngrams(column.texts(), models, how, scratch, logs.data.get(), lengths.data.get());
    });
  }
  return nb::make_tuple(logs.numpy(), lengths.numpy());
}

nb::bytes py_lower(nb::bytes text) {
  Text document = view(text);
  std::string out;
  {
    nb::gil_scoped_release release;
    with_scratch([&](Scratch& scratch) {
      Lowered& lowered = scratch.lowered;
      for_each_piece(document, lowered, [&](const Scan&, bool) {
        out.append(reinterpret_cast<const char*>(lowered.text.data()), lowered.size);
        lowered.keep_from(lowered.size);
      });
    });
  }
  return nb::bytes(out.data(), out.size());
}

std::vector<std::string> token_strings(const nb::bytes& text) {
  Text document = view(text);
  std::vector<std::string> out;
  nb::gil_scoped_release release;
  with_scratch([&](Scratch& scratch) {
    for_each_tokens(document, scratch, [&](const Tokens& tokens) {
      for (size_t i = 0; i < tokens.count; i++)
        out.emplace_back(reinterpret_cast<const char*>(tokens.text) + tokens.starts[i],
                         tokens.ends[i] - tokens.starts[i]);
    });
  });
  return out;
}

nb::list py_tokens(nb::bytes text) {
  nb::list out;
  for (const std::string& token : token_strings(text))
    out.append(nb::bytes(token.data(), token.size()));
  return out;
}

nb::list py_list_ngrams(nb::bytes text, const std::string& features, int64_t orders,
                        int64_t buckets) {
  Definition wanted = definition(features, orders, buckets);
  std::vector<std::string> tokens = token_strings(text);
  Text document = view(text);
  std::vector<u64> slots;
  {
    nb::gil_scoped_release release;
    with_features(wanted, [&](auto& how) {
      with_scratch([&](Scratch& scratch) {
        for_each_batch(
            1, [&](size_t) { return document; }, scratch, how, [](u64) {},
            [&](const Batch& batch) {
              for (size_t i = 0; i < batch.count; i++)
                for (size_t order = 0; order < how.orders() && i >= batch.first(order); order++)
                  slots.push_back(batch.slot[order][i]);
            });
      });
    });
  }
  nb::list out;
  size_t next = 0;
  for (size_t i = 0; i < tokens.size(); i++) {
    std::string ngram = tokens[i];
    for (size_t order = 1; order <= std::min(wanted.orders, i + 1); order++) {
      if (order > 1) ngram = tokens[i + 1 - order] + " " + ngram;
      out.append(nb::make_tuple(nb::bytes(ngram.data(), ngram.size()), order, slots[next++]));
    }
  }
  return out;
}

Numpy<u64> py_windows(nb::bytes text, int64_t width) {
  Windows windows(checked_width(width));
  Text document = view(text);
  std::vector<u64> hashes;
  {
    nb::gil_scoped_release release;
    with_scratch([&](Scratch& scratch) {
      for_each_windows(document, scratch, windows, [&](const u64* run, size_t runs) {
        hashes.insert(hashes.end(), run, run + runs);
      });
    });
  }
  return numpy(hashes);
}

nb::tuple py_find_windows(nb::object texts, int64_t width, nb::object wanted) {
  size_t checked = checked_width(width);
  Column column(texts);
  Array array(wanted, "wanted", "a C-contiguous array of uint64 in strictly ascending order", "u",
              false);
  if (array.dimensions() != 1) array.refuse("one of shape " + array.shape());
  const u64* hashes = array.data<const u64>();
  size_t count = array.length(0);
  Found found;
  bool ascending;
  {
    nb::gil_scoped_release release;
    ascending =
        std::adjacent_find(hashes, hashes + count, std::greater_equal<>()) == hashes + count;
    if (ascending)
      found = with_scratch([&](Scratch& scratch) {
        return find_windows(column.texts(), checked, hashes, count, scratch);
      });
  }
  if (!ascending) array.refuse("an unsorted one or one with repeats (use numpy.unique)");
  return nb::make_tuple(numpy(found.rows), numpy(found.places));
}

Numpy<double> py_surface(nb::object texts) {
  Column column(texts);
  Column1<double> out({column.texts().size(), statistic_count});
  {
    nb::gil_scoped_release release;
    Surface surface;  // thread_local, each of its fields would cost a look-up: 15 % (measured)
    for (size_t row = 0; row < column.texts().size(); row++)
      surface.measure(column.texts()[row], out.data.get() + row * statistic_count);
  }
  return out.numpy();
}

// --- near duplicates -----------------------------------------------------------------------------

struct Sketch {
  Array array;
  size_t width;
  bool fast;

  Sketch(nb::handle permutations, int64_t width, const std::string& hash)
      : array(permutations, "permutations",
              "a C-contiguous array of uint64 of shape (2, k), k from 1 to 2^16", "u", false),
        width(checked_width(width)),
        fast(hash == "fast") {
    if (array.dimensions() != 2 || array.length(0) != 2 || !count() || count() > most_permutations)
      array.refuse("one of shape " + array.shape());
    if (!fast && hash != "sha1")
      throw nb::value_error(("hashing must be 'fast' or 'sha1', not '" + hash + "'").c_str());
  }

  size_t count() const { return array.length(1); }

  template <class Use>
  void run(const Texts& texts, Use use) const {
    Minima minima(array.data<const u64>(), array.data<const u64>() + count(), count());
    with_scratch([&](Scratch& scratch) {
      if (fast) {
        FastShingles shingles(width);
        for_each_signature(texts, shingles, minima, scratch, use);
      } else {
        Sha1Shingles shingles(width);
        for_each_signature(texts, shingles, minima, scratch, use);
      }
    });
  }
};

Numpy<u32> py_minhash(nb::object texts, nb::object permutations, int64_t width,
                      const std::string& hash) {
  Sketch sketch(permutations, width, hash);
  Column column(texts);
  Column1<u32> out({column.texts().size(), sketch.count()});
  {
    nb::gil_scoped_release release;
    sketch.run(column.texts(), [&](size_t row, const u32* signature) {
      std::memcpy(out.data.get() + row * sketch.count(), signature, 4 * sketch.count());
    });
  }
  return out.numpy();
}

Numpy<u64> py_minhash_bands(nb::object texts, nb::object permutations, int64_t width,
                            const std::string& hash, int64_t bands, int64_t rows) {
  Sketch sketch(permutations, width, hash);
  Column column(texts);
  int64_t most = static_cast<int64_t>(sketch.count());
  if (bands < 1 || rows < 1 || rows > most / bands)
    throw nb::value_error(("bands * rows must be 1 to " + std::to_string(most) + ", not " +
                           std::to_string(bands) + " * " + std::to_string(rows))
                              .c_str());
  size_t count = static_cast<size_t>(bands);
  Column1<u64> out({column.texts().size(), count});
  {
    nb::gil_scoped_release release;
    sketch.run(column.texts(), [&](size_t row, const u32* signature) {
      hash_bands(signature, count, static_cast<size_t>(rows), out.data.get() + row * count);
    });
  }
  return out.numpy();
}

// The forest over documents 0..n-1, looked over once: an index from outside could be anything.
Forest forest(const Array& above, const Array& rank) {
  if (above.dimensions() != 1) above.refuse("one of shape " + above.shape());
  if (rank.dimensions() != 1 || rank.length(0) != above.length(0))
    rank.refuse("one of shape " + rank.shape());
  return Forest(above.data<int64_t>(), rank.data<const u64>());
}

void py_join_buckets(nb::object above, nb::object rank, nb::object entries) {
  Array tops(above, "above", "a writable C-contiguous array of int64, its own forest", "i", true);
  Array ranks(rank, "rank", "a C-contiguous array of uint64, one for each document", "u", false);
  Array pairs(entries, "entries",
              "a writable C-contiguous array of uint64 of shape (m, 2) that names documents", "u",
              true);
  if (pairs.dimensions() != 2 || pairs.length(1) != 2) pairs.refuse("one of shape " + pairs.shape());
  Forest trees = forest(tops, ranks);
  auto* data = reinterpret_cast<Entry*>(pairs.data<u64>());
  auto* forests = tops.data<int64_t>();
  size_t documents = tops.length(0), count = pairs.length(0);
  bool known = true, sound = true;
  {
    nb::gil_scoped_release release;
    for (size_t i = 0; i < count; i++) known &= data[i].number < documents;
    for (size_t i = 0; i < documents; i++) sound &= static_cast<u64>(forests[i]) < documents;
    if (known && sound) join_buckets(data, count, trees);
  }
  if (!known) pairs.refuse("one that names others");
  if (!sound) tops.refuse("one that points outside");
}

}  // namespace
}  // namespace assay

NB_MODULE(kernels, m) {
  using namespace assay;
  m.doc() = "Kernels over Arrow text columns. No copy of the text is made and the GIL is released.";
  m.attr("UNICODE_VERSION") = unicode::version;
  nb::dict features;
  features["fast"] = "fast-1";
  features["reference"] = "reference-1";
  m.attr("FEATURES") = features;

  m.def("valid_utf8", &py_valid_utf8, nb::arg("texts").none(),
        "bool (n,): is the text UTF-8, as strictly as bytes.decode sees it? A null is not.\n\n"
        "TypeError if texts is not one Arrow text array.");
  m.def(
      "fingerprint", &py_fingerprint, nb::arg("texts").none(), "seed"_a = 0,
      "uint64 (n,): the 64-bit hash \"hash-1\" of each text's bytes, the same on every machine.\n\n"
      "Not a cryptographic hash. TypeError if texts is not one Arrow text array.");
  m.def("count_tokens", &py_count_tokens, nb::arg("texts").none(),
        "int64 (n,): how many matches of `\\w+|[^\\w\\s]+` the lowered text has.\n\n"
        "TypeError if texts is not one Arrow text array.");
  m.def("slots", &py_slots, "features"_a, "orders"_a, "buckets"_a,
        "The length of a table: orders * buckets for \"fast\", buckets for \"reference\".\n\n"
        "ValueError for unknown features, orders outside 1..8 or buckets outside 1..2**31.");
  m.def(
      "add_ngrams", &py_add_ngrams, nb::arg("texts").none(), nb::arg("counts").none(), "features"_a,
      "orders"_a, "buckets"_a,
      "Count every n-gram of 1 to `orders` tokens into counts, int64 (slots,), in place.\n\n"
      "Returns how many were added. Two threads need two arrays. ValueError if counts is not a\n"
      "writable C-contiguous int64 array of exactly slots(features, orders, buckets) entries, or\n"
      "if the settings are out of range; TypeError if texts is not one Arrow text array.");
  m.def(
      "dot_ngrams", &py_dot_ngrams, nb::arg("texts").none(), nb::arg("table").none(), "features"_a,
      "orders"_a, "buckets"_a,
      "(sums, ngrams): table[slot] summed over a text's n-grams, and how many there were.\n\n"
      "table is float32 or float64 (slots,) or (slots, k); sums is float64 (n,) or (n, k), ngrams\n"
      "int64 (n,). The n-grams that end with token i are added, shortest first, to running sum\n"
      "i % 8 in float64; in the end ((0+4)+(2+6)) + ((1+5)+(3+7)) of these: the same bits on "
      "every\n"
      "machine and in every batch.\n"
      "ValueError if table has another shape, type or layout or the settings are out of range;\n"
      "TypeError if texts is not one Arrow text array.");
  m.def("distinct_ngrams", &py_distinct_ngrams, nb::arg("texts").none(), "features"_a, "orders"_a, "buckets"_a,
        "(ends, slots): the distinct n-grams of each text, in the order of list_ngrams.\n\n"
        "Text r has the entries ends[r - 1] (0 for the first) to ends[r] of slots; int64 (n,) and\n"
        "uint32. ValueError if the settings are out of range or make more than 2**32 slots;\n"
        "TypeError if texts is not one Arrow text array.");
  m.def("dot_distinct", &py_dot_distinct, nb::arg("texts").none(), nb::arg("table").none(), "features"_a, "orders"_a, "buckets"_a,
        "(sums, distinct): table[slot] summed over a text's distinct n-grams, and how many there are.\n\n"
        "table is float32 or float64 (slots,); sums is float64 (n,), distinct int64 (n,). The p-th of\n"
        "list_ngrams is added to running sum p % 8, if it was not there before; then as dot_ngrams.\n"
        "ValueError if table has another shape, type or layout or the settings are out of range;\n"
        "TypeError if texts is not one Arrow text array.");
  m.def("dot_distinct_columns", &py_dot_distinct_columns, nb::arg("texts").none(), nb::arg("table").none(), "features"_a, "orders"_a, "buckets"_a,
        "(sums, distinct): the rows of a table summed over a text's distinct n-grams, and their number.\n\n"
        "table is float32 (slots, columns) with at least one column; sums is float64 (n, columns),\n"
        "distinct int64 (n,). N-grams are added one by one in the order of list_ngrams. ValueError if\n"
        "table has another shape, type or layout or the settings are out of range; TypeError if texts\n"
        "is not one Arrow text array.");
  m.def("fit_logistic", &py_fit_logistic, nb::arg("ends").none(), nb::arg("slots").none(), nb::arg("labels").none(),
        nb::arg("costs").none(), nb::arg("weights").none(), "rounds"_a, "tolerance"_a,
        "Minimise |w|**2 / 2 + sum of costs * log(1 + exp(-labels * (w . row + bias))), in place.\n\n"
        "A row is the vector with 1 / sqrt(d) in the places of its d slots, given as distinct_ngrams\n"
        "does. weights is float32 (slots + 1,), zeros at first; the last one is the bias, which is\n"
        "part of w; the sums are float64. labels, 1 or -1, and costs, above 0, are float64. Rows are taken in the order\n"
        "given, up to `rounds` times, until no row's multiplier moves by more than `tolerance` of its\n"
        "cost; returns the rounds. One order gives one answer. ValueError for other shapes, types or\n"
        "slots.");
  m.def("score_ngrams", &py_score_ngrams, nb::arg("texts").none(), nb::arg("counts").none(), "tokens"_a,
        "prior"_a, "flat"_a, "background"_a, "features"_a, "orders"_a, "buckets"_a,
        "(logs, lengths): the log probability of each text under two n-gram models, and its tokens.\n\n"
        "counts is float32 (slots, 2): how often each n-gram occurs in the target and in the raw\n"
        "pool; tokens and prior are pairs likewise. logs is float64 (n, 2), natural logarithms. What\n"
        "the models are: ngram_model.hpp. ValueError if counts has another shape or type or the\n"
        "settings are out of range or not \"fast\"; TypeError if texts is not one Arrow text array.");
  m.def("lower", &py_lower, "text"_a,
        "text lowered as str.lower does it; bytes that are not UTF-8 stay as they are.");
  m.def("tokens", &py_tokens, "text"_a,
        "The tokens of the lowered text. A byte that is not UTF-8 is like a punctuation mark.");
  m.def("list_ngrams", &py_list_ngrams, "text"_a, "features"_a, "orders"_a, "buckets"_a,
        "(tokens joined by a space, order, slot) of each n-gram, by their last token, and then\n"
        "the shortest first, which is the order in which dot_ngrams adds them.\n\n"
        "ValueError if the settings are out of range.");
  m.def(
      "windows", &py_windows, "text"_a, "width"_a,
      "uint64 (max(0, tokens - width + 1),): the hash of each run of `width` tokens, in order.\n\n"
      "ValueError if width is outside 1..2**20.");
  m.def(
      "find_windows", &py_find_windows, nb::arg("texts").none(), "width"_a,
      nb::arg("wanted").none(),
      "(rows, places), int64 (hits,) each: texts[row] has the window wanted[place].\n\n"
      "Each pair once, by row, then by place. wanted is uint64 (m,), ascending, without repeats,\n"
      "else ValueError; TypeError if texts is not one Arrow text array.");
  nb::list statistics;
  for (const char* name : statistic_names) statistics.append(name);
  m.attr("STATISTICS") = nb::tuple(statistics);
  m.def("surface", &py_surface, nb::arg("texts").none(),
        "float64 (n, len(STATISTICS)): what STATISTICS names, of each text; all finite.\n\n"
        "What each is: native/src/surface.hpp and docs/quality-dedup.md. TypeError if texts is not\n"
        "one Arrow text array.");
  m.def("minhash", &py_minhash, nb::arg("texts").none(), nb::arg("permutations").none(), "width"_a,
        "hashing"_a = "fast",
        "uint32 (n, k): MinHash signatures of the runs of `width` tokens, as datasketch's scheme\n"
        "\"affine32\" makes them with permutations uint64 (2, k) = (a, b).\n\n"
        "hashing is \"fast\": windows(shingle, width)[0] & 0xffffffff, or \"sha1\": datasketch's\n"
        "sha1_hash32 of the tokens joined by a space. A text of fewer tokens is one shingle, one\n"
        "without tokens has 0xffffffff everywhere. ValueError for settings out of range; TypeError\n"
        "if texts is not one Arrow text array.");
  m.def("minhash_bands", &py_minhash_bands, nb::arg("texts").none(),
        nb::arg("permutations").none(), "width"_a, "hashing"_a, "bands"_a, "rows"_a,
        "uint64 (n, bands): 53 bits of hash for each `rows` values of the signature; 2**64 - 1\n"
        "where the text has no token. Bands differ even where their values do not.\n\n"
        "ValueError if bands * rows is more than there are permutations; else as minhash.");
  m.def("join_buckets", &py_join_buckets, nb::arg("above").none(), nb::arg("rank").none(),
        nb::arg("entries").none(),
        "Join the documents of each bucket: entries is uint64 (m, 2), (bucket, document), and is\n"
        "sorted in place; above is int64 (n,), where each document points to itself or to one of\n"
        "smaller (rank, number), and is changed in place.\n\n"
        "ValueError for other shapes, types or layouts, or documents that are not there.");
  add_force_simd(m);
}
