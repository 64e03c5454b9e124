"""One tensor packed and unpacked: bit for bit, whatever the bits are."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.pruning.encoding import decode, dequantized, encode, quantized

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.float8_e4m3fn]
PATTERNS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


def bits_of(tensor):
    return tensor.contiguous().view(torch.uint8).numpy().tobytes()


@st.composite
def matrices(draw):
    """Matrices of any bits at all (infinities, NaN payloads, negative zeros), of which a share is zero."""
    dtype = draw(st.sampled_from(FLOATS))
    shape = draw(st.tuples(st.integers(1, 9), st.integers(1, 30)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    pattern = PATTERNS[dtype.itemsize]
    numbers = rng.integers(0, np.iinfo(pattern).max, shape, dtype=pattern, endpoint=True)
    numbers[rng.random(shape) < 0.1] = 1 << (8 * dtype.itemsize - 1)  # a negative zero
    numbers[rng.random(shape) < draw(st.sampled_from([0, 0.06, 0.3, 0.6, 1]))] = 0
    return torch.from_numpy(numbers.view(np.dtype(f"i{dtype.itemsize}") if dtype.itemsize > 1 else np.uint8)).view(
        dtype
    )


@settings(max_examples=150, deadline=None)
@given(matrices())
def test_a_matrix_comes_back_bit_for_bit(matrix):
    parts = encode(matrix)
    assert bits_of(decode(parts, list(matrix.shape), matrix.dtype)) == bits_of(matrix)
    n, size = matrix.numel(), matrix.element_size()
    kept = sum(any(bits_of(x[None])) for x in matrix.flatten())
    packed = (n + 7) // 8 + kept * size
    assert parts.keys() == ({"bitmap", "values"} if packed < n * size else {""})
    assert sum(len(bits_of(part)) for part in parts.values()) == min(packed, n * size)
    assert encode(matrix, sparse=False).keys() == {""}


def test_bits_stand_as_the_format_page_says():
    """Weight i, row by row, is bit i % 8 of byte i // 8, the lowest bit first, and the last byte filled up."""
    matrix = torch.zeros(3, 7, dtype=torch.float16)
    matrix[0, 1], matrix[1, 1], matrix[2, 6] = 1.5, -0.0, torch.nan
    parts = encode(matrix)
    assert parts["bitmap"].tolist() == [0b00000010, 0b00000001, 0b00010000]
    assert bits_of(parts["values"]) == bytes([0x00, 0x3E, 0x00, 0x80, 0x00, 0x7E])
    whole = torch.tensor([[1.0, -7.0, 0.0, 3.0, 2.0]])
    assert encode(whole, bits=4)["codes"].tolist() == [0x91, 0x30, 0x02]
    assert encode(whole, bits=4)["scales"].tolist() == [[1.0]]


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_codes_come_back_as_what_they_stand_for(data):
    rows, n = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 33))
    bits, group = data.draw(st.sampled_from([8, 4])), data.draw(st.sampled_from([None, 1, 5, 32]))
    dtype = data.draw(st.sampled_from(FLOATS[:3]))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    matrix = rng.standard_normal((rows, n)) * (rng.random((rows, n)) > data.draw(st.sampled_from([0, 0.3, 0.7, 1])))
    matrix = torch.from_numpy(matrix).to(dtype)
    sparse = data.draw(st.booleans())
    parts = encode(matrix, bits, group, sparse)
    expected = dequantized(*quantized(matrix, bits, group), group, dtype)
    assert bits_of(decode(parts, [rows, n], dtype, bits, group)) == bits_of(expected)
    kept = int((quantized(matrix, bits, group)[0] != 0).sum())
    bitmap, whole = (rows * n + 7) // 8 + (kept * bits + 7) // 8, (rows * n * bits + 7) // 8
    assert ("bitmap" in parts) == (sparse and bitmap < whole)
    size = sum(len(bits_of(part)) for name, part in parts.items() if name != "scales")
    assert size == (bitmap if "bitmap" in parts else whole)


def test_what_is_no_matrix_stays_as_it_is():
    for tensor in (torch.zeros(40), torch.zeros(()), torch.zeros(2, 30, 2), torch.zeros(0, 5)):
        assert encode(tensor).keys() == {""}
        assert torch.equal(decode(encode(tensor), list(tensor.shape), tensor.dtype), tensor)


def broken(parts, name, change):
    return parts | {name: change(parts[name].clone())}


def set_last(part, value):
    part[-1] = value
    return part


@pytest.mark.parametrize(
    ("bits", "name", "change", "said"),
    [
        (None, "values", lambda x: x[:-1], "values are F16"),
        (None, "values", lambda x: x.float(), "values are F32"),
        (None, "bitmap", lambda x: x[:-1], "bitmap are U8"),
        (None, "bitmap", lambda x: set_last(x, x[-1] ^ 128), "behind the last weight"),
        (None, "bitmap", lambda x: set_last(x, x[-1] ^ 1), "values are"),
        (8, "codes", lambda x: x[1:], "codes are I8"),
        (4, "codes", lambda x: set_last(x, x[-1] | 128), "codes go on"),
        (4, "scales", lambda x: x[:, :1], "scales are F16"),
    ],
)
def test_parts_that_contradict_one_another_are_refused(bits, name, change, said):
    matrix = torch.zeros(3, 15, dtype=torch.float16)
    matrix[:, :3] = torch.arange(9).view(3, 3) + 1
    group = 4 if bits else None
    parts = encode(matrix, bits, group)
    assert torch.equal(decode(parts, [3, 15], torch.float16, bits, group)[:, 4:], matrix[:, 4:])
    with pytest.raises(ValueError, match=said):
        decode(broken(parts, name, change), [3, 15], torch.float16, bits, group)
