"""The pass block by block: each block is seen dense behind pruned ones, is pruned, and passes its states on."""

import time
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from tqdm import tqdm

from lib import checks
from lib.pruning import criteria, linears, reports, surgeon
from lib.pruning.criteria import CALIBRATED, Settings
from lib.pruning.linears import LINEARS, NAMES
from lib.pruning.reports import Report

TOKENS = 4096  # of calibration that pass a block at once, or one sequence where that is longer
PRECISE = 4096  # inputs up to which a Hessian is kept and factored in float64


def prune(
    model,
    *,
    method: str = "magnitude",
    sparsity: float | None = None,
    pattern: str | None = None,
    scope: str = "row",
    calibration: Tensor | None = None,
    seed: int = 0,
) -> Report:
    """Prune all linear layers of a LlamaForCausalLM's decoder blocks in place; embeddings, norms and head stay.

    `calibration` (n_sequences, length) are token ids, which Wanda and SparseGPT need. The settings are those of
    `criteria.Settings`; sparsity is .5 where neither it nor a pattern is given. BadSetting before anything is changed
    where a setting, the model or the calibration will not do; where the states overflow on their way, it names the
    layer, and the blocks before that one are pruned already.
    """
    begun = time.perf_counter()
    settings = Settings(method, sparsity, pattern, scope, seed)
    check_model(model, settings)
    if method in CALIBRATED:
        check_calibration(calibration, model.config, method)
    counts = global_counts(lambda: linears.layers(model), settings) if scope == "global" else {}
    damped, training = {}, model.training
    model.eval()
    try:
        states = States(model.model, calibration) if method in CALIBRATED else None
        for index, block in enumerate(tqdm(model.model.layers, f"prune, {method}")):
            damped |= prune_block(block, index, settings, states, counts)
            if states and index + 1 < len(model.model.layers):
                states.pass_on(block)
    finally:
        model.train(training)
    n_parameters = sum(p.numel() for p in model.parameters())
    return reports.count(linears.layers(model), n_parameters, damped, time.perf_counter() - begun)


def check_model(model, settings: Settings) -> None:
    """BadSetting unless the model is a whole LlamaForCausalLM of finite weights, which the pattern divides."""
    if type(model).__name__ != "LlamaForCausalLM":
        raise checks.BadSetting(f"model must be a LlamaForCausalLM, not a {type(model).__name__}.")
    for name, weight in linears.layers(model):
        if type(weight) is not nn.Parameter or weight.is_meta or not weight.is_floating_point():
            raise checks.BadSetting(
                f"model must hold all weights as plain numbers, and {name} is offloaded or quantized."
            )
        check_weight(name, weight, settings)


def check_weight(name: str, weight: Tensor, settings: Settings) -> None:
    """BadSetting where a weight is NaN or infinite, or where a pattern does not divide its inputs."""
    if not weight.isfinite().all():
        raise checks.BadSetting(f"The weights of {name} must be finite, and some are NaN or infinite.")
    criteria.check_group(weight.shape[1], settings)


def check_calibration(tokens: Tensor | None, config, method: str) -> None:
    """BadSetting unless there are token ids (n_sequences, length) of the model's vocabulary and context."""
    if tokens is None:
        raise checks.BadSetting(f"calibration must be token ids (n_sequences, length), which {method!r} needs.")
    if not isinstance(tokens, Tensor) or tokens.dtype not in (torch.int64, torch.int32) or tokens.dim() != 2:
        raise checks.BadSetting("calibration must be a tensor of whole numbers of shape (n_sequences, length).")
    checks.whole("the calibration's number of sequences", tokens.shape[0], 1)
    checks.whole("the calibration's length", tokens.shape[1], 1, config.max_position_embeddings)
    checks.whole("the smallest token id of the calibration", int(tokens.min()), 0)
    checks.whole("the largest token id of the calibration", int(tokens.max()), 0, config.vocab_size - 1)


def global_counts(layers, settings: Settings) -> dict[str, int]:
    """What `criteria.global_counts` says for `layers`, a function that gives name and weight of one after the other."""

    def scores() -> Iterable[tuple[str, Tensor]]:
        for place, (name, weight) in enumerate(layers()):
            yield name, _scores(weight, settings, divmod(place, len(NAMES)))

    return criteria.global_counts(scores, settings.sparsity)


def _scores(weight: Tensor, settings: Settings, place: tuple[int, int], norms: Tensor | None = None) -> Tensor:
    if settings.method == "random":
        return criteria.random(weight, settings.seed, *place)
    return criteria.magnitude(weight) if norms is None else criteria.wanda(weight, norms)


class States:
    """The hidden states of the calibration in front of a block, and how the model calls its blocks.

    They pass in batches of the same size whoever asks, so that two passes agree to the last bit.
    """

    @torch.no_grad()
    def __init__(self, model, tokens: Tensor) -> None:
        """`model` is a LlamaModel, of which only the embedding and the positions are used."""
        tokens = tokens.to(model.embed_tokens.weight.device)
        self.batches, self.arguments = [], {}
        for batch in tokens.split(max(1, TOKENS // tokens.shape[1])):
            if len(batch) not in self.arguments:
                self.arguments[len(batch)] = _arguments(model, batch)
            self.batches.append(model.embed_tokens(batch))

    def _through(self, block: nn.Module, states: Tensor) -> Tensor:
        args, kwargs = self.arguments[len(states)]
        out = block(states, *args, **kwargs)
        return out[0] if isinstance(out, tuple) else out

    @torch.no_grad()
    def pass_on(self, block: nn.Module) -> None:
        """Replace the states by what the block makes of them."""
        for states in self.batches:
            states.copy_(self._through(block, states))

    @torch.no_grad()
    def statistics(self, block: nn.Module, outer: bool) -> dict[str, Tensor]:
        """Sums over tokens of x x^T (`outer`) or of x^2, for the input x of each layer that LINEARS names first."""
        sums: dict[str, Tensor] = {}

        def see(name: str):
            def hook(_, inputs) -> None:
                x = inputs[0].flatten(0, -2).float()
                n = x.shape[1]
                if name not in sums:
                    kind = torch.float64 if n <= PRECISE or not outer else torch.float32
                    sums[name] = torch.zeros((n, n) if outer else n, dtype=kind, device=x.device)
                if outer and n > PRECISE:
                    sums[name].addmm_(x.T, x)  # a large sum is not held twice
                else:
                    sums[name].add_(x.T @ x if outer else x.square().sum(0))

            return block.get_submodule(name).register_forward_pre_hook(hook)

        hooks = [see(name) for name in LINEARS]
        try:
            for states in self.batches:
                self._through(block, states)
        finally:
            for hook in hooks:
                hook.remove()
        return sums


class _Reached(Exception):
    pass


def _arguments(model, tokens: Tensor) -> tuple[tuple, dict]:
    """What the model hands to its first block beside the hidden states."""
    seen = []

    def stop(_, args, kwargs) -> None:
        seen.append((args[1:], {name: value for name, value in kwargs.items() if name != "hidden_states"}))
        raise _Reached

    hook = model.layers[0].register_forward_pre_hook(stop, with_kwargs=True)
    try:
        model(tokens, use_cache=False)
    except _Reached:
        return seen[0]
    finally:
        hook.remove()


@torch.no_grad()
def prune_block(
    block: nn.Module, index: int, settings: Settings, states: States | None, counts: dict[str, int]
) -> dict[str, float]:
    """Prune the layers of one block in place, and name those that needed more damping.

    q, k and v share the statistic of their one input, and so do gate and up.
    """
    sums = states.statistics(block, settings.method == "sparsegpt") if states else {}
    damped = {}
    for first, names in LINEARS.items():
        seen = sums.pop(first, None)
        if seen is not None and not seen.isfinite().all():
            raise checks.BadSetting(
                f"The inputs of model.layers.{index}.{first} must be finite, and on this calibration they are not."
            )
        upper = None
        if settings.method == "sparsegpt":
            upper, damping = surgeon.factor(seen)
            upper = upper.float()  # the sweep is in float32, whatever the factor was found in
            if damping > surgeon.DAMPING:
                damped |= {f"model.layers.{index}.{name}": damping for name in names}
        for name in names:
            weight = block.get_submodule(name).weight
            if upper is not None:
                weight.copy_(surgeon.sweep(weight.float(), upper, settings))
                continue
            scores = _scores(weight, settings, (index, NAMES.index(name)), None if seen is None else seen.sqrt())
            weight.masked_fill_(criteria.choose(scores, settings, counts.get(f"model.layers.{index}.{name}")), 0)
    return damped
