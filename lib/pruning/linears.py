"""The linear layers of a Llama's decoder blocks, whose weights are pruned: their names, and how to come by them."""

from collections.abc import Iterable

from torch import Tensor

LINEARS = {  # the layers of a decoder block, by the one at which their common input is seen
    "self_attn.q_proj": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "self_attn.o_proj": ("self_attn.o_proj",),
    "mlp.gate_proj": ("mlp.gate_proj", "mlp.up_proj"),
    "mlp.down_proj": ("mlp.down_proj",),
}
NAMES = tuple(name for names in LINEARS.values() for name in names)


def names(n_blocks: int) -> list[str]:
    """The name of every linear layer of the decoder blocks, block by block."""
    return [f"model.layers.{index}.{name}" for index in range(n_blocks) for name in NAMES]


def layers(model) -> Iterable[tuple[str, Tensor]]:
    """Name and weight of every linear layer of the decoder blocks of a LlamaForCausalLM, block by block."""
    return ((name, model.get_submodule(name).weight) for name in names(len(model.model.layers)))
