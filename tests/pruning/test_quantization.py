"""Rounding to 8 and 4 bits: its error, its zeros, and what each variant takes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from lib import pruning
from lib.checks import BadSetting
from lib.pruning import linears
from lib.pruning.encoding import dequantized, quantized


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 5),
    st.integers(1, 40),
    st.sampled_from([8, 4]),
    st.sampled_from([None, 1, 7, 16, 64]),
    st.floats(1e-3, 10),
    st.sampled_from([torch.float32, torch.float16, torch.bfloat16]),
    st.integers(0, 99),
)
def test_rounding_is_that_of_a_loop_over_weights(rows, n, bits, group, size, dtype, seed):
    """Codes from a loop in float64: no weight is over half a step off, and steps are as short as float16 allows."""
    weight = (size * torch.randn(rows, n, generator=torch.Generator().manual_seed(seed))).to(dtype)
    weight[torch.rand(rows, n, generator=torch.Generator().manual_seed(seed)) < 0.4] = 0
    codes, scales = quantized(weight, bits, group)
    back = dequantized(codes, scales, group, torch.float32)
    top, width = 2 ** (bits - 1) - 1, group or n
    assert scales.shape == (rows, -(-n // width)) and codes.shape == weight.shape
    for i in range(rows):
        for place, begin in enumerate(range(0, n, width)):
            some = weight[i, begin : begin + width].double().numpy()
            scale, shortest = float(scales[i, place]), max(abs(some).max() / top, 2.0**-24)
            assert shortest * (1 - 1e-6) <= scale <= max(shortest * (1 + 2**-10), shortest + 2**-24) * (1 + 1e-6)
            near = abs(some / scale % 1 - 0.5) < 1e-5  # halves may fall to either side in float32
            assert ((codes[i, begin : begin + width].numpy() == np.rint(some / scale)) | near).all()
            assert (abs(back[i, begin : begin + width].numpy() - some) <= scale * (0.5 + 1e-5)).all()
    assert (back[weight == 0] == 0).all()
    assert abs(codes).amax() <= top


@pytest.mark.parametrize("kind", ["grouped", "tied", "biased"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_only_the_blocks_are_rounded_and_zeros_stay(llama, kind, dtype):
    model, dense = llama(kind, dtype), llama(kind, dtype)
    for each in (model, dense):
        pruning.prune(each, method="magnitude", sparsity=0.6)
    sizes = pruning.quantize(model, 4, group=16)
    linear = {name + ".weight" for name, _ in linears.layers(model)}
    for (name, found), (_, before) in zip(model.state_dict().items(), dense.state_dict().items(), strict=True):
        assert found.dtype == dtype
        if name not in linear:
            assert torch.equal(found, before)
            continue
        assert (found[before == 0] == 0).all() and not torch.equal(found, before)
        for row, old in zip(found.float(), before.float(), strict=True):
            for begin in range(0, len(row), 16):
                assert len(set(row[begin : begin + 16].tolist())) <= 15
                assert row[begin : begin + 16].sub(old[begin : begin + 16]).abs().max() <= old.abs().max() / 13
    assert sizes.n_block_weights == sum(w.numel() for _, w in linears.layers(model))


def test_more_bits_and_smaller_groups_are_nearer(llama):
    def distance(bits, group):
        model = llama("grouped")
        pruning.quantize(model, bits, group=group)
        return sum((a - b).square().sum() for (_, a), (_, b) in zip(linears.layers(model), whole, strict=True)).item()

    whole = [(name, w.detach()) for name, w in linears.layers(llama("grouped"))]
    found = [distance(4, None), distance(4, 16), distance(4, 4), distance(8, None), distance(8, 8)]
    assert found == sorted(found, reverse=True)
    assert 200 < distance(4, None) / distance(8, None) < 450  # steps are 127/7 times wider: squared, 329


def test_bytes_are_those_of_the_formula(llama):
    """Block weights: (1 - s) + 1/16 of dense float16, and 1/b + (1 - s) of b bits, beside a float16 a group."""
    model = llama("plain", torch.float16)
    n = sum(w.numel() for _, w in linears.layers(model))
    rows = sum(len(w) for _, w in linears.layers(model))
    dense = pruning.packed_bytes(model)
    assert dense.block_bytes == 2 * n == pruning.packed_bytes(model, sparse=False).block_bytes
    assert pruning.packed_bytes(model, bits=8).block_bytes <= n + 2 * rows
    assert pruning.packed_bytes(model, bits=8, sparse=False).block_bytes == n + 2 * rows
    assert pruning.packed_bytes(model, bits=4, group=16, sparse=False).block_bytes == n / 2 + 2 * n / 16
    pruning.prune(model, sparsity=0.6, scope="layer")
    kept = sum(int((w != 0).sum()) for _, w in linears.layers(model))
    assert kept == pytest.approx(0.4 * n, abs=21)
    found = pruning.packed_bytes(model)
    assert found.block_bytes == 2 * kept + n / 8
    assert found.block_bytes / dense.block_bytes == pytest.approx(0.4625, abs=1e-3)
    assert found.bits_per_block_weight == pytest.approx(16 * 0.4625, abs=0.01)
    assert found.other_bytes == dense.other_bytes
    assert pruning.packed_bytes(model, sparse=False).block_bytes == 2 * n
    small = {bits: pruning.packed_bytes(model, bits=bits) for bits in (8, 4)}
    for bits, sizes in small.items():
        copy = llama("plain", torch.float16)
        pruning.prune(copy, sparsity=0.6, scope="layer")
        assert pruning.quantize(copy, bits) == sizes
        left = sum(int((w != 0).sum()) for _, w in linears.layers(copy))
        assert sizes.block_bytes - n / 8 - 2 * rows == pytest.approx(left * bits / 8, abs=21)
    assert small[4].block_bytes < small[8].block_bytes < found.block_bytes
    assert f"{found.total:,} bytes" in str(found)


def test_a_plain_file_takes_what_is_said(llama, tmp_path):
    model = llama("biased", torch.bfloat16)
    save_file({name: tensor for name, tensor in model.state_dict().items()}, tmp_path / "x", {"format": "pt"})
    sizes = pruning.packed_bytes(model, sparse=False)
    assert sizes.block_bytes + sizes.other_bytes == sum(p.numel() * 2 for p in model.parameters())
    length = int.from_bytes((tmp_path / "x").read_bytes()[:8], "little")
    assert sizes.total - sizes.header_bytes == (tmp_path / "x").stat().st_size - 8 - length


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"bits": 5}, "bits"),
        ({"bits": None}, "bits"),
        ({"bits": 8.0}, "bits"),
        ({"bits": 8, "group": 0}, "group"),
        ({"bits": 8, "group": 2.5}, "group"),
    ],
)
def test_what_cannot_be_rounded_is_refused(llama, settings, said):
    with pytest.raises(BadSetting, match=said):
        pruning.quantize(llama("plain"), **settings)
    with pytest.raises(BadSetting, match="group needs bits"):
        pruning.packed_bytes(llama("plain"), group=8)


def test_weights_that_are_not_finite_change_nothing(llama):
    model = llama("plain")
    model.model.layers[2].mlp.up_proj.weight.data[3, 4] = torch.inf
    with pytest.raises(BadSetting, match="model.layers.2.mlp.up_proj.weight cannot be stored: quantisation needs"):
        pruning.quantize(model, 8)
    assert torch.equal(model.model.layers[0].mlp.up_proj.weight, llama("plain").model.layers[0].mlp.up_proj.weight)


def test_the_error_is_that_of_a_uniform_remainder():
    """Of 200 rows of 512 Gaussian weights: mean squared error over Delta^2 / 12, within 3 %; seed 5."""
    weight = torch.randn(200, 512, generator=torch.Generator().manual_seed(5))
    for bits, group in ((8, None), (8, 64), (4, 64)):
        codes, scales = quantized(weight, bits, group)
        error = (dequantized(codes, scales, group, torch.float32) - weight).view(200, -1, group or 512)
        assert (error.square().mean(2) / (scales.float() ** 2 / 12)).mean() == pytest.approx(1, abs=0.03)
