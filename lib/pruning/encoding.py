"""One weight matrix as it is stored: a bitmap and what is not zero, in its own dtype or in 8 or 4 bits.

Page packed_format of the book says every byte.
"""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lib import checks

BITS = (8, 4)
DTYPES = {  # safetensors' names
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
_PATTERNS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # bytes -> a dtype that shows the bits
_SMALLEST_SCALE = 2.0**-24  # of float16: below it, a scale would round to zero


def quantized(weight: Tensor, bits: int, group: int | None = None) -> tuple[Tensor, Tensor]:
    """Codes (int8, the shape of `weight`) and scales (float16, rows x groups) of symmetric rounding to nearest.

    A group is `group` neighboring inputs of a row, or the whole row; the last may be shorter. Its scale is its largest
    magnitude over 2^(bits-1) - 1, rounded up to float16, so that no weight is more than half a scale off; code 0 is
    weight 0, and zeros stay zero (eq-quantized).
    Raises BadSetting where a weight is not finite or a scale does not fit float16.
    """
    top = 2 ** (bits - 1) - 1
    grouped = _grouped(weight.float(), group)
    exact = grouped.abs().amax(2) / top
    scales = exact.half()
    below = (scales.float() < exact).to(torch.int16)
    scales = (scales.view(torch.int16) + below).view(torch.float16).clamp(min=_SMALLEST_SCALE)  # the next one up
    if not scales.isfinite().all():
        raise checks.BadSetting(f"quantisation needs finite weights of magnitude below {65504 * top:,}.")
    codes = (grouped / scales.float()[..., None]).round().to(torch.int8)
    return codes.flatten(1)[:, : weight.shape[1]].contiguous(), scales


def dequantized(codes: Tensor, scales: Tensor, group: int | None, dtype: torch.dtype) -> Tensor:
    """The weights that codes and scales stand for: their product in float32, rounded to `dtype` (eq-quantized)."""
    grouped = _grouped(codes.float(), group) * scales.float()[..., None]
    return grouped.flatten(1)[:, : codes.shape[1]].to(dtype)


def _grouped(matrix: Tensor, group: int | None) -> Tensor:
    """(rows, groups, inputs of a group), the last group filled with zeros."""
    group = matrix.shape[1] if group is None else group
    return functional.pad(matrix, (0, -matrix.shape[1] % group)).view(len(matrix), -1, group)


def encode(tensor: Tensor, bits: int | None = None, group: int | None = None, sparse: bool = True) -> dict[str, Tensor]:
    """The parts that store a tensor, on the CPU: "" alone where it stays as it is, else some of the following.

    "bitmap" (where it makes a matrix smaller and `sparse` allows it), "values" (numbers whose bits are not all zero,
    in the tensor's dtype) or, with `bits`, "codes" and "scales". A negative zero is a number like any other.
    """
    tensor = tensor.detach()
    if tensor.dim() != 2 or not tensor.numel():
        return {"": tensor.cpu().contiguous()}
    if bits is None:
        numbers, parts = _pattern(tensor.cpu()), {}
    else:
        codes, scales = quantized(tensor, bits, group)
        numbers, parts = codes.cpu().flatten().numpy(), {"scales": scales.cpu()}
    width, n = bits or 8 * numbers.itemsize, len(numbers)
    if sparse and _n_bytes(n, 1) + _n_bytes(np.count_nonzero(numbers), width) < _n_bytes(n, width):
        kept = numbers != 0
        parts["bitmap"] = torch.from_numpy(np.packbits(kept, bitorder="little"))
        numbers = numbers[kept]
    elif bits is None:
        return {"": tensor.cpu().contiguous()}
    if not len(numbers):
        numbers = np.empty(1, numbers.dtype)[:0]  # what numpy selects from an array has stride 0 where it is empty
    numbers = torch.from_numpy(numbers)
    if bits is None:
        return parts | {"values": numbers.view(tensor.dtype)}
    return parts | {"codes": _nibbles(numbers) if bits == 4 else numbers}


def decode(
    parts: dict[str, Tensor], shape: list[int], dtype: torch.dtype, bits: int | None = None, group: int | None = None
) -> Tensor:
    """The tensor of that shape and dtype whose parts `encode` gave; ValueError where they contradict one another."""
    if "" in parts:
        return _expect("tensor", parts[""], dtype, shape)
    n = math.prod(shape)
    if bits is None:
        numbers, stored = parts["values"], dtype
    else:
        numbers, stored = parts["codes"], torch.int8 if bits == 8 else torch.uint8
    kept = _mask(parts["bitmap"], n) if "bitmap" in parts else None
    n_kept = n if kept is None else np.count_nonzero(kept)
    _expect("values" if bits is None else "codes", numbers, stored, [(n_kept + 1) // 2 if bits == 4 else n_kept])
    numbers = _pattern(_signed(numbers, n_kept) if bits == 4 else numbers)
    if kept is not None:
        whole = np.zeros(n, numbers.dtype)
        whole[kept] = numbers
        numbers = whole
    numbers = torch.from_numpy(numbers)
    if bits is None:
        return numbers.view(dtype).view(shape)
    _expect("scales", parts["scales"], torch.float16, [shape[0], -(-shape[1] // (group or shape[1]))])
    return dequantized(numbers.view(torch.int8).view(shape), parts["scales"], group, dtype)


def _n_bytes(count: int, bits: int) -> int:
    return (count * bits + 7) // 8


def _pattern(tensor: Tensor) -> np.ndarray:
    """The same bits as integers in a row, so that no arithmetic touches a payload or a sign of zero."""
    return tensor.contiguous().view(_PATTERNS[tensor.element_size()]).flatten().numpy()


def _mask(bitmap: Tensor, n: int) -> np.ndarray:
    _expect("bitmap", bitmap, torch.uint8, [_n_bytes(n, 1)])
    bits = np.unpackbits(bitmap.numpy(), bitorder="little")
    if bits[n:].any():
        raise ValueError("its bitmap has bits behind the last weight")
    return bits[:n].view(bool)


def _nibbles(codes: Tensor) -> Tensor:
    """Two codes a byte in two's complement of 4 bits, the earlier one in the lower half."""
    low, high = functional.pad(codes & 15, (0, len(codes) % 2)).view(-1, 2).to(torch.uint8).unbind(1)
    return low | high << 4


def _signed(nibbles: Tensor, n: int) -> Tensor:
    codes = torch.stack([nibbles & 15, nibbles >> 4], 1).flatten().to(torch.int8)
    if n % 2 and codes[-1]:
        raise ValueError("its codes go on behind the last weight")
    return torch.where(codes > 7, codes - 16, codes)[:n]


def _expect(name: str, part: Tensor, dtype: torch.dtype, shape: list[int]) -> Tensor:
    if part.dtype != dtype or list(part.shape) != list(shape):
        raise ValueError(f"its {name} are {NAMES.get(part.dtype)} {list(part.shape)}, not {NAMES[dtype]} {list(shape)}")
    return part
