// Views of an Arrow text column through the C data interface: nothing is copied, nothing is owned.
#pragma once
#include <stdexcept>
#include <string>

#include "text.hpp"

extern "C" {
struct ArrowSchema {
  const char* format;
  const char* name;
  const char* metadata;
  int64_t flags;
  int64_t n_children;
  ArrowSchema** children;
  ArrowSchema* dictionary;
  void (*release)(ArrowSchema*);
  void* private_data;
};

struct ArrowArray {
  int64_t length;
  int64_t null_count;
  int64_t offset;
  int64_t n_buffers;
  int64_t n_children;
  const void** buffers;
  ArrowArray** children;
  ArrowArray* dictionary;
  void (*release)(ArrowArray*);
  void* private_data;
};
}

namespace assay {

inline constexpr size_t longest_text = (size_t{1} << 31) - 1;  // places in a piece are 32-bit

class Texts {
 public:
  enum class Layout { offsets32, offsets64, views };

  // `format` is one of u U vu z Z vz.
  Texts(const ArrowArray& array, std::string_view format)
      : size_(static_cast<size_t>(array.length)), offset_(static_cast<size_t>(array.offset)) {
    bool view = format.front() == 'v';
    layout_ = view                                             ? Layout::views
              : format.front() == 'U' || format.front() == 'Z' ? Layout::offsets64
                                                               : Layout::offsets32;
    if (size_ == 0) return;
    if (array.null_count != 0) valid_ = static_cast<const u8*>(array.buffers[0]);
    places_ = static_cast<const u8*>(array.buffers[1]);
    if (view) {
      blocks_ = array.buffers + 2;
      block_count_ = static_cast<size_t>(array.n_buffers - 3);
      block_sizes_ = static_cast<const int64_t*>(array.buffers[array.n_buffers - 1]);
    } else {
      data_ = static_cast<const u8*>(array.buffers[2]);
    }
    check();
  }

  size_t size() const { return size_; }

  bool is_null(size_t row) const {
    size_t i = offset_ + row;
    return valid_ && !(valid_[i / 8] >> (i % 8) & 1);
  }

  // A null is an empty text.
  Text operator[](size_t row) const {
    if (is_null(row)) return {nullptr, 0};
    if (layout_ == Layout::views) return view(row);
    int64_t begin = offset(row), end = offset(row + 1);
    return {data_ + begin, static_cast<size_t>(end - begin)};
  }

  size_t bytes() const {
    size_t sum = 0;
    for (size_t row = 0; row < size_; row++) sum += (*this)[row].size;
    return sum;
  }

 private:
  struct View {
    int32_t size;
    u8 start[4];  // or, of at most 12 bytes, the first four
    int32_t block, at;
  };

  const u8* view_bytes(size_t row) const { return places_ + 16 * (offset_ + row); }

  // Buffers from files need not be aligned.
  template <class T>
  static T read(const u8* p) {
    T value;
    std::memcpy(&value, p, sizeof value);
    return value;
  }

  View view_fields(size_t row) const { return read<View>(view_bytes(row)); }

  Text view(size_t row) const {
    View fields = view_fields(row);
    size_t size = static_cast<size_t>(fields.size);
    if (size <= 12) return {view_bytes(row) + 4, size};
    return {static_cast<const u8*>(blocks_[fields.block]) + fields.at, size};
  }

  int64_t offset(size_t row) const {
    size_t i = offset_ + row;
    if (layout_ == Layout::offsets64) return read<int64_t>(places_ + 8 * i);
    return read<int32_t>(places_ + 4 * i);
  }

  // What can be checked without knowing the size of the data: files may hold anything.
  void check() const {
    for (size_t row = 0; row < size_; row++) {
      if (is_null(row)) continue;
      if (layout_ == Layout::views) {
        check_view(row);
      } else {
        int64_t begin = offset(row), end = offset(row + 1);
        if (begin < 0 || end < begin) refuse(row, "has offsets that go backwards");
      }
      if ((*this)[row].size > longest_text) refuse(row, "is longer than 2^31 - 1 bytes");
    }
  }

  void check_view(size_t row) const {
    View fields = view_fields(row);
    if (fields.size < 0) refuse(row, "has a negative size");
    if (fields.size <= 12) return;
    size_t block = static_cast<size_t>(fields.block);
    if (fields.block < 0 || block >= block_count_ || fields.at < 0 ||
        int64_t{fields.at} + fields.size > block_sizes_[block])
      refuse(row, "points outside its data");
  }

  [[noreturn]] static void refuse(size_t row, const char* what) {
    throw std::invalid_argument("text " + std::to_string(row) + " " + what);
  }

  size_t size_, offset_;
  Layout layout_;
  const u8* valid_ = nullptr;
  const u8* places_ = nullptr;
  const u8* data_ = nullptr;
  const void** blocks_ = nullptr;
  const int64_t* block_sizes_ = nullptr;
  size_t block_count_ = 0;
};

}  // namespace assay
