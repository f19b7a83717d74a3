// The kernels of layers.hpp for vectors of LANES floats, in the namespace LAYERS_NAME. Included once
// for each instruction set.

namespace LAYERS_NAME {

typedef float V __attribute__((vector_size(LANES * 4)));
typedef int32_t I __attribute__((vector_size(LANES * 4)));

inline V load(const float* from) {
  V v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

inline void store(float* to, V v) { std::memcpy(to, &v, sizeof v); }

inline float sum(V v) {
  float total = 0;
  for (int lane = 0; lane < LANES; lane++) total += v[lane];
  return total;
}

// One number for each pair of neighbours, twice.
inline V twice(const float* from) {
#if defined(__clang__)
  V v;
  for (int lane = 0; lane < LANES; lane++) v[lane] = from[lane / 2];
  return v;
#else
  V v{};
  std::memcpy(&v, from, sizeof v / 2);
  I places;
  for (int lane = 0; lane < LANES; lane++) places[lane] = lane / 2;
  return __builtin_shuffle(v, places);
#endif
}

inline V swapped(V v) {
#if defined(__clang__)
  V other;
  for (int lane = 0; lane < LANES; lane++) other[lane] = v[lane ^ 1];
  return other;
#else
  I places;
  for (int lane = 0; lane < LANES; lane++) places[lane] = lane ^ 1;
  return __builtin_shuffle(v, places);
#endif
}

inline V signs() {
  V v;
  for (int lane = 0; lane < LANES; lane++) v[lane] = lane % 2 ? 1.f : -1.f;
  return v;
}

// x[2j], x[2j + 1] turned by the angle of j, or back; in place.
inline void turn_row(float* x, size_t width, const float* cosine, const float* sine, float way) {
  size_t j = 0;
  V flip = signs() * way;
  for (; j + LANES <= width; j += LANES) {
    V v = load(x + j);
    store(x + j, v * twice(cosine + j / 2) + swapped(v) * (twice(sine + j / 2) * flip));
  }
  for (; j + 1 < width; j += 2) {
    float a = x[j], b = x[j + 1], c = cosine[j / 2], s = sine[j / 2] * way;
    x[j] = a * c - b * s;
    x[j + 1] = b * c + a * s;
  }
}

inline float dot(const float* a, const float* b, size_t width) {
  size_t j = 0;
  V first{}, second{};
  for (; j + 2 * LANES <= width; j += 2 * LANES) {
    first += load(a + j) * load(b + j);
    second += load(a + j + LANES) * load(b + j + LANES);
  }
  for (; j + LANES <= width; j += LANES) first += load(a + j) * load(b + j);
  float total = sum(first + second);
  for (; j < width; j++) total += a[j] * b[j];
  return total;
}

inline float norm_row(const float* x, float* y, size_t width) {
  float scale = 1.f / std::sqrt(dot(x, x, width) / static_cast<float>(width) + norm_epsilon);
  size_t j = 0;
  for (; j + LANES <= width; j += LANES) store(y + j, load(x + j) * scale);
  for (; j < width; j++) y[j] = x[j] * scale;
  return scale;
}

inline void norm(Matrix x, size_t head, Turn turn, Matrix y, Matrix scale, size_t first, size_t end) {
  for (size_t n = first; n < end; n++) {
    size_t place = turn.length ? n % turn.length * turn.half : 0;
    for (size_t h = 0; h * head < x.columns; h++) {
      float* out = y.row(n) + h * head;
      scale.row(n)[h] = norm_row(x.row(n) + h * head, out, head);
      if (turn.length) turn_row(out, head, turn.cosine + place, turn.sine + place, 1.f);
    }
  }
}

inline void add_norm(Matrix x, Matrix more, Matrix total, Matrix y, Matrix scale, size_t first,
                     size_t end) {
  for (size_t n = first; n < end; n++) {
    const float *a = x.row(n), *b = more.row(n);
    float* to = total.row(n);
    size_t j = 0;
    for (; j + LANES <= x.columns; j += LANES) store(to + j, load(a + j) + load(b + j));
    for (; j < x.columns; j++) to[j] = a[j] + b[j];
    *scale.row(n) = norm_row(to, y.row(n), x.columns);
  }
}

// With y = u sqrt(width) and u a unit vector, dx = scale (dy - y mean(dy y)); a rotation keeps
// products, so both are taken before it is undone.
inline void norm_back(Matrix dy, Matrix y, Matrix scale, size_t head, Turn turn, const Matrix* more,
                      Matrix dx, size_t first, size_t end) {
  for (size_t n = first; n < end; n++) {
    size_t place = turn.length ? n % turn.length * turn.half : 0;
    for (size_t h = 0; h * head < dy.columns; h++) {
      const float *g = dy.row(n) + h * head, *v = y.row(n) + h * head;
      float* out = dx.row(n) + h * head;
      float factor = scale.row(n)[h];
      float along = dot(g, v, head) / static_cast<float>(head) * factor;
      size_t j = 0;
      if (more) {
        const float* other = more->row(n) + h * head;
        for (; j + LANES <= head; j += LANES)
          store(out + j, load(other + j) + (load(g + j) * factor - load(v + j) * along));
        for (; j < head; j++) out[j] = other[j] + (g[j] * factor - v[j] * along);
      } else {
        for (; j + LANES <= head; j += LANES)
          store(out + j, load(g + j) * factor - load(v + j) * along);
        for (; j < head; j++) out[j] = g[j] * factor - v[j] * along;
      }
      if (turn.length) turn_row(out, head, turn.cosine + place, turn.sine + place, -1.f);
    }
  }
}

// e^x to about one unit in the last place: x = n ln 2 + f, and Taylor's polynomial for e^f, |f| <= .35.
inline V exponential(V x) {
  V given = x;
  V low = -87.f - V{}, high = 88.f - V{};
  x = x < low ? low : x;
  x = x > high ? high : x;
  V shifted = x * 1.44269504f + 12582912.f;  // 1.5 * 2^23: the integer stands in the lowest bits
  V n = shifted - 12582912.f;
  V f = x - n * 0.693359375f - n * -2.12194440e-4f;
  V p = 1.f / 5040 - V{};
  p = p * f + 1.f / 720;
  p = p * f + 1.f / 120;
  p = p * f + 1.f / 24;
  p = p * f + 1.f / 6;
  p = p * f + .5f;
  p = p * f + 1.f;
  p = p * f + 1.f;
  I bits, power;
  std::memcpy(&bits, &shifted, sizeof bits);
  std::memcpy(&power, &p, sizeof power);
  power += bits << 23;
  std::memcpy(&p, &power, sizeof p);
  return given == given ? p : given;  // what is no number stays none
}

inline V sigmoid(V x) { return 1.f / (1.f + exponential(-x)); }

// What is left of a row goes through a vector that is filled up with zeros.
inline V load_some(const float* from, size_t count) {
  V v{};
  std::memcpy(&v, from, count * sizeof(float));
  return v;
}

inline void store_some(float* to, V v, size_t count) { std::memcpy(to, &v, count * sizeof(float)); }

inline void gate(Matrix gate, Matrix up, Matrix out, size_t first, size_t end) {
  for (size_t n = first; n < end; n++) {
    const float *a = gate.row(n), *b = up.row(n);
    float* to = out.row(n);
    size_t j = 0;
    for (; j + LANES <= gate.columns; j += LANES) {
      V x = load(a + j);
      store(to + j, x * sigmoid(x) * load(b + j));
    }
    if (size_t left = gate.columns - j) {
      V x = load_some(a + j, left);
      store_some(to + j, x * sigmoid(x) * load_some(b + j, left), left);
    }
  }
}

inline void gate_back(Matrix gate, Matrix up, Matrix dout, Matrix dgate, Matrix dup, size_t first,
                      size_t end) {
  for (size_t n = first; n < end; n++) {
    const float *a = gate.row(n), *b = up.row(n), *g = dout.row(n);
    float *da = dgate.row(n), *db = dup.row(n);
    for (size_t j = 0; j < gate.columns; j += LANES) {
      size_t some = std::min<size_t>(LANES, gate.columns - j);
      bool whole = some == LANES;
      V x = whole ? load(a + j) : load_some(a + j, some);
      V u = whole ? load(b + j) : load_some(b + j, some);
      V d = whole ? load(g + j) : load_some(g + j, some);
      V s = sigmoid(x), silu = x * s;
      V of_gate = d * u * (s + silu * (1.f - s)), of_up = d * silu;
      if (whole) {
        store(da + j, of_gate);
        store(db + j, of_up);
      } else {
        store_some(da + j, of_gate, some);
        store_some(db + j, of_up, some);
      }
    }
  }
}

inline Layers all() { return {norm, add_norm, norm_back, gate, gate_back}; }

}  // namespace LAYERS_NAME
