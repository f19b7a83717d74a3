// The kernels of attention.hpp for vectors of LANES floats, in the namespace LAYERS_NAME. Included
// once for each instruction set, after layers_lanes.hpp.

namespace LAYERS_NAME {

// Vectors of one row of a product that are held in registers at once, for four rows.
constexpr size_t held = LANES == 16 ? 4 : 2;

// C (4, N vectors) = or += A (4, depth) B (depth, N vectors). A's numbers are `down` floats apart
// from row to row and `along` within one.
template <size_t N>
inline void tile(const float* a, size_t down, size_t along, const float* b, size_t b_step,
                 size_t depth, float* c, size_t c_step, bool add) {
  V sums[4][N];
  for (size_t i = 0; i < 4; i++)
    for (size_t j = 0; j < N; j++) sums[i][j] = add ? load(c + i * c_step + j * LANES) : V{};
  for (size_t p = 0; p < depth; p++) {
    V row[N];
    for (size_t j = 0; j < N; j++) row[j] = load(b + p * b_step + j * LANES);
    for (size_t i = 0; i < 4; i++) {
      V factor = a[i * down + p * along] - V{};  // in every lane
      for (size_t j = 0; j < N; j++) sums[i][j] += factor * row[j];
    }
  }
  for (size_t i = 0; i < 4; i++)
    for (size_t j = 0; j < N; j++) store(c + i * c_step + j * LANES, sums[i][j]);
}

// The same of any multiple of four rows and of LANES columns.
inline void multiply(const float* a, size_t down, size_t along, const float* b, size_t b_step,
                     size_t rows, size_t columns, size_t depth, float* c, size_t c_step, bool add) {
  size_t j = 0;
  for (; j + held * LANES <= columns; j += held * LANES)
    for (size_t i = 0; i < rows; i += 4)
      tile<held>(a + i * down, down, along, b + j, b_step, depth, c + i * c_step + j, c_step, add);
  for (; j < columns; j += LANES)
    for (size_t i = 0; i < rows; i += 4)
      tile<1>(a + i * down, down, along, b + j, b_step, depth, c + i * c_step + j, c_step, add);
}

// Rows one behind the other, each times `factor`; what pads them is zero.
inline void pack(const Heads& from, size_t batch, size_t head, float factor, const Sizes& sizes,
                 float* to) {
  std::memset(to, 0, sizes.rows * sizes.width * sizeof(float));
  for (size_t n = 0; n < sizes.length; n++) {
    const float* row = from.row(batch, n, head);
    for (size_t d = 0; d < sizes.head; d++) to[n * sizes.width + d] = row[d] * factor;
  }
}

// Turned over, panel by panel: (panels, head, block).
inline void pack_over(const Heads& from, size_t batch, size_t head, const Sizes& sizes, float* to) {
  std::memset(to, 0, sizes.rows * sizes.head * sizeof(float));
  for (size_t n = 0; n < sizes.length; n++) {
    const float* row = from.row(batch, n, head);
    float* column = to + n / block * block * sizes.head + n % block;
    for (size_t d = 0; d < sizes.head; d++) column[d * block] = row[d];
  }
}

// Scores of a block of queries: (block, keys), for the panels of keys first .. last.
inline void scores(const float* queries, const float* panels, size_t first, size_t last,
                   const Sizes& sizes, float* to) {
  for (size_t panel = first; panel <= last; panel++)
    multiply(queries, sizes.width, 1, panels + panel * block * sizes.head, block, block, block,
             sizes.head, to + (panel - first) * block, sizes.step, false);
}

inline void outside(float* row, size_t low, size_t high, size_t count, float value) {
  std::fill(row, row + low, value);
  std::fill(row + high, row + count, value);
}

// e^(x - shift), and their sum.
inline float raise(float* row, size_t count, float shift) {
  V total{};
  for (size_t j = 0; j < count; j += LANES) {
    V v = exponential(load(row + j) - shift);
    store(row + j, v);
    total += v;
  }
  return sum(total);
}

inline float largest(const float* row, size_t count) {
  V most = load(row);
  for (size_t j = LANES; j < count; j += LANES) {
    V v = load(row + j);
    most = v > most ? v : most;
  }
  float found = most[0];
  for (int lane = 1; lane < LANES; lane++) found = most[lane] > found ? most[lane] : found;
  return found;
}

inline void attend(const Heads& q, const Heads& k, const Heads& v, const int32_t* starts,
                   const Heads& out, float* logs, size_t batch, size_t head, const Sizes& sizes,
                   float* scratch) {
  float *queries = scratch, *panels = queries + sizes.rows * sizes.width;
  float *values = panels + sizes.rows * sizes.head, *seen = values + sizes.rows * sizes.width;
  float* found = seen + block * sizes.step;
  pack(q, batch, head, sizes.factor, sizes, queries);
  pack_over(k, batch, head, sizes, panels);
  pack(v, batch, head, 1.f, sizes, values);
  for (size_t from = 0; from < sizes.length; from += block) {
    size_t first = static_cast<size_t>(starts[from]) / block, last = from / block;
    size_t count = (last - first + 1) * block, base = first * block;
    scores(queries + from * sizes.width, panels, first, last, sizes, seen);
    float totals[block];
    for (size_t i = 0; i < block; i++) {
      float* row = seen + i * sizes.step;
      size_t n = from + i;
      if (n >= sizes.length) {
        std::fill(row, row + count, 0.f);
        continue;
      }
      size_t low = static_cast<size_t>(starts[n]) - base, high = n + 1 - base;
      outside(row, low, high, count, -INFINITY);
      float most = largest(row, count);
      totals[i] = raise(row, count, most);  // of -inf 1e-38, which changes no sum
      outside(row, low, high, count, 0.f);
      logs[n] = most + std::log(totals[i]);
    }
    multiply(seen, sizes.step, 1, values + base * sizes.width, sizes.width, block, sizes.width,
             count, found, sizes.width, false);
    for (size_t i = 0; i < block && from + i < sizes.length; i++) {
      float* to = out.row(batch, from + i, head);
      float share = 1.f / totals[i];
      for (size_t d = 0; d < sizes.head; d++) to[d] = found[i * sizes.width + d] * share;
    }
  }
}

inline void unpack(const float* from, const Heads& to, size_t batch, size_t head,
                   const Sizes& sizes) {
  for (size_t n = 0; n < sizes.length; n++)
    std::memcpy(to.row(batch, n, head), from + n * sizes.width, sizes.head * sizeof(float));
}

// With P the shares and D = sum(dO O) of each query: dV = P' dO, dS = P (dO V' - D), dQ = dS K,
// dK = dS' Q (Dao et al. 2022, arXiv 2205.14135, appendix B.4).
inline void attend_back(const Heads& dout, const Heads& q, const Heads& k, const Heads& v,
                        const Heads& out, const float* logs, const int32_t* starts, const Heads& dq,
                        const Heads& dk, const Heads& dv, size_t batch, size_t head,
                        const Sizes& sizes, float* scratch) {
  size_t whole = sizes.rows * sizes.width, over = sizes.rows * sizes.head;
  float *queries = scratch, *keys = queries + whole, *slopes = keys + whole;
  float *of_keys = slopes + whole, *of_values = of_keys + whole;
  float *key_panels = of_values + whole, *value_panels = key_panels + over;
  float *shares = value_panels + over, *changes = shares + block * sizes.step;
  float* found = changes + block * sizes.step;
  pack(q, batch, head, sizes.factor, sizes, queries);
  pack(k, batch, head, 1.f, sizes, keys);
  pack(dout, batch, head, 1.f, sizes, slopes);
  pack_over(k, batch, head, sizes, key_panels);
  pack_over(v, batch, head, sizes, value_panels);
  std::memset(of_keys, 0, 2 * whole * sizeof(float));
  for (size_t from = 0; from < sizes.length; from += block) {
    size_t first = static_cast<size_t>(starts[from]) / block, last = from / block;
    size_t count = (last - first + 1) * block, base = first * block;
    const float* slope = slopes + from * sizes.width;
    scores(queries + from * sizes.width, key_panels, first, last, sizes, shares);
    scores(slope, value_panels, first, last, sizes, changes);
    for (size_t i = 0; i < block; i++) {
      float *share = shares + i * sizes.step, *change = changes + i * sizes.step;
      size_t n = from + i;
      if (n >= sizes.length) {
        std::fill(share, share + count, 0.f);
        std::fill(change, change + count, 0.f);
        continue;
      }
      size_t low = static_cast<size_t>(starts[n]) - base, high = n + 1 - base;
      raise(share, count, logs[n]);
      outside(share, low, high, count, 0.f);
      float mean = dot(slope + i * sizes.width, out.row(batch, n, head), sizes.head);
      for (size_t j = 0; j < count; j += LANES)
        store(change + j, load(share + j) * (load(change + j) - mean));
    }
    multiply(shares, 1, sizes.step, slope, sizes.width, count, sizes.width, block,
             of_values + base * sizes.width, sizes.width, true);
    multiply(changes, 1, sizes.step, queries + from * sizes.width, sizes.width, count, sizes.width,
             block, of_keys + base * sizes.width, sizes.width, true);
    multiply(changes, sizes.step, 1, keys + base * sizes.width, sizes.width, block, sizes.width,
             count, found, sizes.width, false);
    for (size_t i = 0; i < block && from + i < sizes.length; i++) {
      float* to = dq.row(batch, from + i, head);
      for (size_t d = 0; d < sizes.head; d++) to[d] = found[i * sizes.width + d] * sizes.factor;
    }
  }
  unpack(of_keys, dk, batch, head, sizes);
  unpack(of_values, dv, batch, head, sizes);
}

}  // namespace LAYERS_NAME
