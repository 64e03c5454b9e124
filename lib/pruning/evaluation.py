"""How well a model predicts a text: perplexity in windows of a stated length, as the pruning papers measure it."""

import math
from dataclasses import dataclass

import torch
from torch.nn import functional
from tqdm import tqdm

from lib import checks


@dataclass(frozen=True)
class Evaluation:
    """Mean surprise of a model at a text."""

    perplexity: float  # exp(nats per token)
    nats_per_token: float  # mean over the predicted tokens
    bits_per_character: float | None  # None where the number of characters was not given
    n_tokens: int  # that were predicted


@torch.no_grad()
def evaluate(model, tokens, context: int, *, characters: int | None = None, batch: int = 8) -> Evaluation:
    """Perplexity of a row of token ids in windows of `context` tokens that do not overlap (eq-perplexity).

    The first token of a window is read and not predicted, and what does not fill a window is left out, as in
    sun2024wanda; so `n_tokens` = whole windows x (context - 1). With `characters`, the number of characters of the
    whole text, bits per character are the mean bits a token times the text's tokens a character: they compare
    tokenizers, as perplexities cannot. `batch` windows are read at once. A model that overflows has perplexity nan.
    """
    checks.whole("context", context, 2, model.config.max_position_embeddings)
    checks.whole("batch", batch, 1)
    tokens = torch.as_tensor(tokens)
    n_windows = tokens.numel() // context
    if tokens.dim() != 1 or tokens.is_floating_point() or not n_windows:
        raise checks.BadSetting(
            f"tokens must be one row of at least context = {context} token ids, not {tuple(tokens.shape)}."
        )
    if tokens.min() < 0 or tokens.max() >= model.config.vocab_size:
        raise checks.BadSetting(f"tokens must be below the model's vocabulary of {model.config.vocab_size}.")
    nats = 0.0
    rows = tokens[: n_windows * context].view(n_windows, context).split(batch)
    for windows in tqdm(rows, "evaluate", leave=False, delay=2):
        windows = windows.to(model.device).long()
        logits = model(windows, use_cache=False).logits[:, :-1]
        nats += functional.cross_entropy(logits.flatten(0, 1).float(), windows[:, 1:].flatten(), reduction="sum").item()
    n_tokens = n_windows * (context - 1)
    mean = nats / n_tokens
    bits = None
    if characters is not None:
        checks.whole("characters", characters, 1)
        bits = mean / math.log(2) * tokens.numel() / characters
    perplexity = torch.tensor(mean, dtype=torch.float64).exp().item()  # infinite rather than an OverflowError
    return Evaluation(perplexity, mean, bits, n_tokens)
