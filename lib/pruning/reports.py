"""What a pruning left: the share of zeros of every layer, of all block weights and of all parameters."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from lib.checks import BadSetting
from lib.pruning import checkpoints, reading
from lib.pruning.linears import NAMES, layers, names


@dataclass(frozen=True)
class Report:
    """Shares of zeros; `str` of it is a table of one line a decoder block."""

    layers: dict[str, float]  # of each linear layer of the blocks, by its name in the model
    block_sparsity: float  # of the weights of all these layers
    total_sparsity: float  # zeros in these layers over all parameters of the model, embeddings and norms too
    damped: dict[str, float] = field(default_factory=dict)  # layers that needed more damping than 1 %, and how much
    seconds: float = 0.0

    def __str__(self) -> str:
        shares: dict[str, dict[str, float]] = {}
        for name, share in self.layers.items():
            block, _, layer = name.removeprefix("model.layers.").partition(".")
            shares.setdefault(block, {})[layer] = share
        short = [name.rpartition(".")[2].removesuffix("_proj") for name in NAMES]
        lines = ["block " + " ".join(f"{name:>6}" for name in short)]
        lines += [
            f"{block:>5} " + " ".join(f"{row[name]:6.3f}" for name in NAMES) for block, row in shares.items()
        ]
        lines.append(
            f"zero: {self.block_sparsity:.4f} of the weights of all blocks' linear layers, "
            f"{self.total_sparsity:.4f} of all parameters"
        )
        lines += [f"damped by {damping:g} of the mean diagonal: {name}" for name, damping in self.damped.items()]
        if self.seconds:
            lines.append(f"in {self.seconds:.1f} s")
        return "\n".join(lines)


def count(
    layers: Iterable[tuple[str, Tensor]], n_parameters: int, damped: dict[str, float] | None = None, seconds: float = 0
) -> Report:
    """The report of layers (name, weight), of which one at a time is looked at, in a model of `n_parameters`."""
    zeros, sizes = {}, {}
    for name, weight in layers:
        zeros[name], sizes[name] = weight.numel() - int(torch.count_nonzero(weight)), weight.numel()
    gone = sum(zeros.values())
    shares = {name: zeros[name] / sizes[name] for name in zeros}
    return Report(shares, gone / sum(sizes.values()), gone / n_parameters, damped or {}, seconds)


def report(model, seconds: float = 0.0) -> Report:
    """The shares of zeros in a LlamaForCausalLM, or in the plain or packed directory of one, read tensor by tensor.

    BadSetting where the directory does not hold the layers that its config.json asks for.
    """
    if not isinstance(model, str | Path):
        return count(layers(model), sum(p.numel() for p in model.parameters()), seconds=seconds)
    found = reading.Checkpoint(model)
    wanted = names(found.configuration().num_hidden_layers)
    for name in wanted:
        if f"{name}.weight" not in found.files:
            raise BadSetting(f"{model} lacks the tensor {name}.weight, which its config.json asks for.")
    linear = ((name, found.tensor(f"{name}.weight")) for name in wanted)
    damped = checkpoints.record(found.folder).get("damped")
    return count(linear, sum(found.tensor(name).numel() for name in found.parameters()), damped, seconds)
