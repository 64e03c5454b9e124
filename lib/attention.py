"""How sparse attention is: measures on a query's logits, their closed forms and nulls, and logits read off any Llama.

A row of attention is the softmax of a query's logits over the n keys that it sees.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri
from torch import Tensor

from lib import checks

SHARES = (0.5, 0.8, 0.9, 0.95)  # of a row's attention that the kept keys hold
ALIGNMENTS = (0.5, 0.7, 0.9)  # of the output through the kept keys with the whole one


def density(logits: Tensor, shares: Sequence[float] = SHARES) -> Tensor:
    """Smallest share of keys that holds each of `shares` of the attention, (..., shares), of logits (..., keys).

    `eq-attention-density`; a key counts whole.
    """
    checks.number("shares", shares, 0, 1, open_low=True)
    held = logits.double().softmax(-1).sort(-1, descending=True).values.cumsum(-1)
    wanted = torch.as_tensor(shares, dtype=held.dtype, device=held.device).expand(*held.shape[:-1], -1).contiguous()
    n_kept = torch.searchsorted(held, wanted) + 1
    return n_kept.clamp(max=logits.shape[-1]) / logits.shape[-1]


def entropy(logits: Tensor) -> Tensor:
    """Entropy of each row in nats, (...), of logits (..., keys), `eq-attention-density`."""
    log = logits.double().log_softmax(-1)
    return -(log.exp() * log).sum(-1)


def output_density(logits: Tensor, values: Tensor, alignments: Sequence[float] = ALIGNMENTS) -> Tensor:
    """Share of keys, strongest first, through which the output first aligns with the whole one, (..., alignments).

    logits (..., keys), values (..., keys, head dimension); alignment is the cosine of the two outputs.
    """
    checks.number("alignments", alignments, 0, 1)
    attention, order = logits.double().softmax(-1).sort(-1, descending=True)
    sorted_values = values.double().gather(-2, order[..., None].expand(values.shape))
    through = (attention[..., None] * sorted_values).cumsum(-2)
    cosine = torch.nn.functional.cosine_similarity(through, through[..., -1:, :], dim=-1)
    wanted = torch.as_tensor(alignments, dtype=cosine.dtype, device=cosine.device)
    reached = cosine[..., None] >= wanted - 1e-12  # so that the whole output, at least, aligns with itself
    return (reached.int().argmax(-2) + 1) / logits.shape[-1]


def gaussian_like(rng: np.random.Generator, logits: Tensor) -> Tensor:
    """Independent Gaussian logits (..., keys), each row scaled to exactly the variance of that row of `logits`."""
    drawn = torch.from_numpy(rng.standard_normal(logits.shape)).to(logits.device)
    return drawn * (logits.double().std(-1, keepdim=True) / drawn.std(-1, keepdim=True))


def gaussian_density(share: ArrayLike, deviation: ArrayLike) -> np.ndarray:
    """Density at which many Gaussian logits of that standard deviation hold `share`, `eq-attention-gaussian`."""
    return ndtr(ndtri(share) - np.asarray(deviation, float))


def freezing_exponent(growth: ArrayLike) -> np.ndarray:
    """Exponent C of the number of keys that count, n^C, where the logits' variance is `growth` times log n.

    `eq-attention-freezing`.
    """
    checks.number("growth", growth, 0)
    return np.maximum(0, 1 - np.asarray(growth, float) / 2)


def bounded_density(share: ArrayLike, reach: ArrayLike) -> np.ndarray:
    """Least density that can hold `share` where logits differ by at most `reach`, `eq-attention-bound`."""
    share = np.asarray(share, float)
    return share / (share + (1 - share) * np.exp(np.asarray(reach, float)))


@dataclass(frozen=True)
class Rows:
    """What one layer's queries at position n ask of the n keys that they see."""

    layer: int
    context: int  # n
    logits: Tensor  # (texts, heads, n)
    foreign: Tensor | None  # the same keys asked by the next text's query; None where there is one text
    values: Tensor  # (texts, heads, n, head dimension)


@torch.no_grad()
def read(model: torch.nn.Module, tokens: Tensor, contexts: Sequence[int], take: Callable[[Rows], None]) -> None:
    """Hand the rows of each layer and context length to `take` while a Llama reads `tokens` (texts, length).

    Only the rows asked for are made, one layer at a time, whatever attention the model itself computes with, so that
    long contexts fit. BadSetting for another model than a Llama, or a context longer than the texts.
    """
    if getattr(model.config, "model_type", None) != "llama":
        raise checks.BadSetting(f"model must be a Llama, not {getattr(model.config, 'model_type', type(model))!r}.")
    for n in contexts:
        checks.whole("contexts", int(n), 1, tokens.shape[1])
    asked = [int(n) for n in contexts]
    hooks = [
        layer.self_attn.register_forward_pre_hook(_watch(i, asked, take), with_kwargs=True)
        for i, layer in enumerate(model.model.layers)
    ]
    try:
        model.model(tokens, use_cache=False)  # without the head: logits over the vocabulary would take most memory
    finally:
        for hook in hooks:
            hook.remove()


def _watch(layer: int, contexts: list[int], take: Callable[[Rows], None]) -> Callable:
    def hook(attention, positional, named):
        hidden = named["hidden_states"] if "hidden_states" in named else positional[0]
        query, key, value = _projected(attention, hidden, named["position_embeddings"])
        for n in contexts:
            asking, seen = query[:, :, n - 1, :, None] * attention.scaling, key[:, :, :n]
            logits = (seen @ asking)[..., 0].float()
            foreign = (seen @ asking.roll(-1, 0))[..., 0].float() if len(hidden) > 1 else None
            take(Rows(layer, n, logits, foreign, value[:, :, :n]))

    return hook


@contextmanager
def truncated(model: torch.nn.Module, n_kept: int, rng: np.random.Generator | None = None) -> Iterator[None]:
    """Within, each query of a Llama attends to its first key and to its `n_kept` strongest others alone.

    With `rng`, to as many others at random. Weights are renormalised over what is kept.
    """
    checks.whole("n_kept", n_kept, 1)
    layers = [layer.self_attn for layer in model.model.layers]
    for attention in layers:
        attention.forward = _truncating(attention, n_kept, rng)
    try:
        yield
    finally:
        for attention in layers:
            del attention.forward  # the class's own comes back


def _truncating(attention: torch.nn.Module, n_kept: int, rng: np.random.Generator | None) -> Callable:
    def forward(hidden_states, position_embeddings, **_):
        query, key, value = _projected(attention, hidden_states, position_embeddings)
        n = hidden_states.shape[1]
        ahead = torch.ones(n, n, dtype=torch.bool, device=query.device).triu(1)
        logits = (query @ key.mT * attention.scaling).float().masked_fill(ahead, -torch.inf)
        scores = logits if rng is None else torch.from_numpy(rng.random(logits.shape, np.float32)).to(logits.device)
        left_out = ~largest(scores.masked_fill(ahead, -torch.inf), n_kept)
        output = logits.masked_fill(left_out, -torch.inf).softmax(-1).to(value.dtype) @ value
        return attention.o_proj(output.transpose(1, 2).flatten(2)), None

    return forward


def largest(scores: Tensor, n_kept: int) -> Tensor:
    """Whether a key is the first, or of the `n_kept` others of the largest score; (..., keys) as the scores.

    A score of -inf is a key that is not seen.
    """
    kept = torch.zeros_like(scores, dtype=torch.bool)
    others = scores[..., 1:]
    kept[..., 1:].scatter_(-1, others.topk(min(n_kept, others.shape[-1])).indices, True)
    kept &= scores > -torch.inf
    kept[..., 0] = True
    return kept


def holding(logits: Tensor, share: float) -> Tensor:
    """Whether a key is the first, or of the fewest others that hold `share` of the rest; (..., keys) as the logits.

    A logit of -inf is a key that is not seen.
    """
    checks.scalar("share", share, 0, 1, open_low=True)
    weights, order = logits[..., 1:].softmax(-1).sort(-1, descending=True)
    enough = (weights.cumsum(-1) - weights < share * weights.sum(-1, keepdim=True)) & (weights > 0)
    kept = torch.ones_like(logits, dtype=torch.bool)
    kept[..., 1:].scatter_(-1, order, enough)
    return kept


def _projected(attention, hidden: Tensor, rotation: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
    """Queries, keys and values of a layer, (texts, heads, positions, head dimension), as Llama makes them."""
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb, repeat_kv

    projections = attention.q_proj, attention.k_proj, attention.v_proj
    query, key, value = (
        project(hidden).unflatten(-1, (-1, attention.head_dim)).transpose(1, 2) for project in projections
    )
    query, key = apply_rotary_pos_emb(query, key, *rotation)
    return query, repeat_kv(key, attention.num_key_value_groups), repeat_kv(value, attention.num_key_value_groups)
