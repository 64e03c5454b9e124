"""Quantisation, the rival of pruning and its partner: rounding to 8 or 4 bits, and what each variant takes on disk."""

from collections.abc import Iterator

import torch
from torch import Tensor

from lib.checks import BadSetting
from lib.pruning.encoding import dequantized, quantized
from lib.pruning.packing import Sizes, Storage, is_block, plan


def packed_bytes(model, *, bits: int | None = None, group: int | None = None, sparse: bool = True) -> Sizes:
    """What a LlamaForCausalLM as it is takes in one file of the packed format, to the byte; it is not changed.

    `bits` and `group` are those of `quantize`; without `sparse` no matrix gets a bitmap, so zeros cost what others do.
    """
    return plan(_tensors(model), {"format": "pt"}, Storage(bits, group, sparse))[1]


@torch.no_grad()
def quantize(model, bits: int = 8, *, group: int | None = None) -> Sizes:
    """Round the weights of all linear layers of the decoder blocks in place; returns what storing them takes.

    Symmetric rounding to nearest (eq-quantized): codes from -127 to 127 or -7 to 7, times a float16 scale for every
    `group` neighboring inputs of a row, or for the whole row. The weights keep their dtype and become what codes and
    scales stand for; zeros stay zero. Embeddings, norms, biases and head keep their numbers. BadSetting for weights
    that are not finite, before anything is changed.
    """
    if bits is None:
        raise BadSetting("bits must be 8 or 4, not None.")
    sizes = packed_bytes(model, bits=bits, group=group)
    for name, weight in _tensors(model):
        if is_block(name):
            weight.copy_(dequantized(*quantized(weight, bits, group), group, weight.dtype))
    return sizes


def _tensors(model) -> Iterator[tuple[str, Tensor]]:
    """Name and values of every tensor that a file would hold, in order; a tied head is the embedding."""
    for name, tensor in sorted(model.state_dict().items()):
        if not (name == "lm_head.weight" and model.config.tie_word_embeddings):
            yield name, tensor
