"""What stands between matrix products, against the formulas in double precision."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.native import layers

LEVELS = ("portable", "avx2", "avx512")


@pytest.fixture(params=LEVELS)
def level(request):
    try:
        before = layers._force_simd(request.param)
    except ValueError as there:
        pytest.skip(str(there))
    yield request.param
    layers._force_simd(before)


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def strided(matrix):
    """The same numbers, as the right half of something wider."""
    rows, columns = matrix.shape
    wide = np.full((rows, 2 * columns + 3), np.nan, np.float32)
    wide[:, columns + 3 :] = matrix
    return wide[:, columns + 3 :]


def angles(length, head):
    found = np.outer(np.arange(length), 1.0 / (1 + np.arange(head // 2)))
    return np.cos(found).astype(np.float32), np.sin(found).astype(np.float32)


def norm(x, head, turn=None):
    """(y, scale) by the book; x (rows, width) in double precision."""
    parts = x.reshape(len(x), -1, head)
    scale = 1 / np.sqrt((parts**2).mean(axis=2, keepdims=True) + 1e-6)
    y = parts * scale
    if turn is not None:
        c, s = (np.resize(part, (len(x), head // 2))[:, None, :] for part in turn)
        first, second = y[..., ::2].copy(), y[..., 1::2].copy()
        y[..., ::2], y[..., 1::2] = first * c - second * s, second * c + first * s
    return y.reshape(x.shape), scale[..., 0]


def slope(function, x, pull, step=1e-5):
    """The derivative of sum(pull function(x)) by every number of x, by differences."""
    found = np.zeros_like(x)
    for place in np.ndindex(*x.shape):
        moved = [x.copy(), x.copy()]
        moved[0][place] += step
        moved[1][place] -= step
        up, down = ((function(m) * pull).sum() for m in moved)
        found[place] = (up - down) / (2 * step)
    return found


@pytest.mark.parametrize(("width", "head"), [(128, 64), (64, 64), (60, 20), (6, 2), (48, 16)])
@pytest.mark.parametrize("turning", [False, True])
def test_norms_and_rotations(level, width, head, turning):
    x = numbers(50, width)
    turn = angles(7, head) if turning else None
    y, scale = np.empty((50, width), np.float32), np.empty((50, width // head), np.float32)
    layers.norm(strided(x), head, *(turn or (None, None)), y, scale, 2)
    wanted, scales = norm(x.astype(float), head, turn)
    assert np.allclose(y, wanted, atol=2e-6) and np.allclose(scale, scales, rtol=1e-6)
    total = np.empty_like(y)
    one = np.empty((50, 1), np.float32)
    layers.add_norm(x, strided(2 * x), total, y, one)
    assert np.allclose(total, 3 * x) and np.allclose(y, norm(3.0 * x, width)[0], atol=2e-6)


@pytest.mark.parametrize("turning", [False, True])
def test_the_derivative_of_a_norm(level, turning):
    x, pull, more = numbers(5, 40), numbers(5, 40, seed=1), numbers(5, 40, seed=2)
    turn = angles(3, 20) if turning else None
    y, scale = np.empty_like(x), np.empty((5, 2), np.float32)
    layers.norm(x, 20, *(turn or (None, None)), y, scale)
    wanted = slope(lambda moved: norm(moved, 20, turn)[0], x.astype(float), pull)
    for added in (None, more) if not turning else (None,):
        found = np.empty_like(x)
        layers.norm_back(strided(pull), y, scale, 20, *(turn or (None, None)), added, found)
        assert np.allclose(found, wanted + (0 if added is None else added), atol=2e-5)


@pytest.mark.parametrize("width", [1, 16, 37, 352])
def test_gates(level, width):
    gate, up, pull = (numbers(9, width, seed=n) for n in range(3))
    gate[0, 0], gate[1, 0], gate[2, 0] = 90, -90, -200
    out, da, db = (np.empty_like(gate) for _ in range(3))
    layers.gate(strided(gate), strided(up), out)
    g, u, p = (part.astype(float) for part in (gate, up, pull))
    share = 1 / (1 + np.exp(-g))
    assert np.allclose(out, g * share * u, rtol=2e-6, atol=1e-30)
    layers.gate_back(strided(gate), up, strided(pull), da, db, 2)
    assert np.allclose(da, p * u * share * (1 + g * (1 - share)), rtol=1e-5, atol=1e-6)
    assert np.allclose(db, p * g * share, rtol=2e-6, atol=1e-30)


def attention(q, k, v, starts):
    """(batch, length, heads, head) in double precision, and the logarithms of sums."""
    length, place = q.shape[1], np.arange(q.shape[1])
    scores = np.einsum("bihd,bjhd->bhij", q, k) / np.sqrt(q.shape[3])
    seen = (place[None, None] >= starts[:, :, None]) & (place[None, None] <= place[:, None])
    scores = np.where(seen[:, None], scores, -np.inf)
    logs = np.log(np.exp(scores).sum(axis=3))
    assert length == scores.shape[2]
    return np.einsum("bhij,bjhd->bihd", np.exp(scores - logs[..., None]), v), logs


def beginnings(draw, batch, length):
    begins = [[draw.random() < 0.1 for _ in range(length)] for _ in range(batch)]
    places = np.where(begins, np.arange(length), 0)
    return np.maximum.accumulate(places, axis=1).astype(np.int32)


@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 200), st.integers(1, 40))
def test_attention_inside_documents(draw, length, head):
    starts = beginnings(draw, 2, length)
    q, k, v = (numbers(2, length, 3, head, seed=n) for n in range(3))
    wanted, sums = attention(*(part.astype(float) for part in (q, k, v)), starts)
    for level in LEVELS:
        try:
            before = layers._force_simd(level)
        except ValueError:
            continue
        out, logs = np.empty_like(q), np.empty((2, 3, length), np.float32)
        layers.attend(q, k, v, starts, out, logs, 2)
        layers._force_simd(before)
        assert np.allclose(out, wanted, atol=5e-6) and np.allclose(logs, sums, atol=5e-6)


def test_the_derivative_of_attention(level):
    starts = np.array([[0, 0, 2, 2, 2, 5, 5]], np.int32)
    q, k, v, pull = (numbers(1, 7, 2, 6, seed=n) for n in range(4))
    out, logs = np.empty_like(q), np.empty((1, 2, 7), np.float32)
    layers.attend(q, k, v, starts, out, logs)
    found = [np.empty_like(q) for _ in range(3)]
    layers.attend_back(pull, q, k, v, out, logs, starts, *found)
    exact = [part.astype(float) for part in (q, k, v)]
    for place, ours in enumerate(found):

        def moved(part, place=place):
            given = [*exact[:place], part, *exact[place + 1 :]]
            return attention(*given, starts)[0]

        assert np.allclose(ours, slope(moved, exact[place], pull), atol=2e-5)


def test_threads_change_no_bit():
    x, more = numbers(4000, 128), numbers(4000, 128, seed=1)
    starts = np.zeros((6, 150), np.int32)
    q, k, v, pull = (numbers(6, 150, 2, 64, seed=n) for n in range(4))
    answers = []
    for threads in (1, 2, 5):
        total, y, scale = np.empty_like(x), np.empty_like(x), np.empty((4000, 1), np.float32)
        layers.add_norm(x, more, total, y, scale, threads)
        out, logs = np.empty_like(q), np.empty((6, 2, 150), np.float32)
        layers.attend(q, k, v, starts, out, logs, threads)
        found = [np.empty_like(q) for _ in range(3)]
        layers.attend_back(pull, q, k, v, out, logs, starts, *found, threads)
        answers.append(b"".join(part.tobytes() for part in (total, y, scale, out, logs, *found)))
    assert len(set(answers)) == 1


ALONE = """
import os, resource
import numpy as np
from assay.native import layers
resource.setrlimit(resource.RLIMIT_NPROC, (2, 2))
os.setuid(65533)
x = np.ones((200_000, 64), np.float32)
y, scale = np.empty_like(x), np.empty((200_000, 1), np.float32)
layers.norm(x, 64, None, None, y, scale, 50)
q = np.ones((4, 70, 2, 16), np.float32)
out, logs = np.empty_like(q), np.empty((4, 2, 70), np.float32)
layers.attend(q, q, q, np.zeros((4, 70), np.int32), out, logs, 9)
assert np.allclose(y, 1) and np.allclose(out, 1)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="root alone can become a user who may start nothing")
def test_without_threads_to_be_had_the_work_is_done_all_the_same():
    assert subprocess.run([sys.executable, "-c", ALONE], check=False).returncode == 0


def test_what_is_no_number_stays_none():
    bad = np.array([[np.nan, np.inf, -np.inf, 1.0]], np.float32)
    out = np.empty_like(bad)
    layers.gate(bad, np.ones_like(bad), out)
    assert np.isnan(out[0, 0]) and np.isinf(out[0, 1]) and np.isfinite(out[0, 3])


def test_what_does_not_fit_is_refused():
    x, y, scale = numbers(4, 8), numbers(4, 8), numbers(4, 1)
    refusals = [
        (lambda: layers.norm(x, 8, None, None, y[:3], scale), "another shape"),
        (lambda: layers.norm(x, 3, None, None, y, scale), "whole number of heads"),
        (lambda: layers.norm(x, 4, None, None, y, scale), "one number for each head"),
        (lambda: layers.norm(x, 8, numbers(2, 4), None, y, scale), "come together"),
        (lambda: layers.norm(x, 8, numbers(2, 3), numbers(2, 3), y, scale), "head / 2"),
        (lambda: layers.gate(x[:, ::2], y[:, ::2], y[:, ::2]), "side by side"),
        (lambda: layers.gate_back(x, y, x, y, y[:, :4]), "another shape"),
    ]
    heads, logs = numbers(1, 5, 1, 4), np.empty((1, 1, 5), np.float32)
    for starts, word in (
        ([[0, 0, 0, 0]], "one place for each"),
        ([[0, 0, 3, 0, 0]], "to its own place"),
        ([[0, 1, 0, 0, 0]], "from the one before"),
        ([[-1, 0, 0, 0, 0]], "from the one before"),
    ):
        given = np.array(starts, np.int32)
        refusals.append(
            (lambda given=given: layers.attend(heads, heads, heads, given, heads, logs), word)
        )
    for call, word in refusals:
        with pytest.raises(ValueError, match=word):
            call()
    zero = np.zeros((1, 5), np.int32)
    refusals = [  # what would have to be copied first: the answer would be lost
        lambda: layers.gate(x.astype(float), y, y),
        lambda: layers.gate(x, y, y.astype(float)),
        lambda: layers.attend(heads, heads, heads, zero, heads, logs[:, :, ::2]),
        lambda: layers.attend(heads, heads, heads, zero.astype(np.int64), heads, logs),
    ]
    for call in refusals:
        with pytest.raises(TypeError):
            call()
    empty = numbers(0, 8)
    layers.gate(empty, empty, empty)
