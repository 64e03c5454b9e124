"""Text that a model writes after a prompt: one loop for single answers, hundreds at once, and a chat."""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from lib import checks

ROWS = 512  # answers written at once


@torch.no_grad()
def continuation(
    model, tokens: Tensor, temperature: float = 0.0, uniform: np.ndarray | None = None
) -> Iterator[Tensor]:
    """The next token of every row, then the next but one, ...: each step yields token ids (rows,) and has no last.

    tokens : (rows, length) ids of prompts of one length, so that nothing is padded.
    uniform : (rows, steps) numbers in [0, 1) that choose tokens at a temperature above 0: token v where the cumulated
        probability passes the number, the same on every device.
    """
    tokens, cache = tokens.to(model.device), None
    step = 0
    while True:
        out = model(tokens, past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache, logits = out.past_key_values, out.logits[:, -1].float()
        if temperature == 0:
            chosen = logits.argmax(1)
        else:
            passed = (logits / temperature).double().softmax(1).cumsum(1)
            point = torch.from_numpy(uniform[:, step, None]).to(passed) * passed[:, -1:]
            chosen = torch.searchsorted(passed, point, right=True)[:, 0].clamp(max=passed.shape[1] - 1)
        yield chosen
        tokens, step = chosen[:, None], step + 1


def ends(model, tokenizer) -> set[int]:
    """The tokens that end an answer: those of the model's generation settings and the tokenizer's."""
    named = model.generation_config.eos_token_id
    named = named if isinstance(named, list) else [named]
    return {token for token in (*named, tokenizer.eos_token_id) if token is not None}


def encoded(model, tokenizer, prompt: str, n_new: int) -> list[int]:
    """The prompt's tokens; BadSetting where there are none or they leave no room for `n_new` in the context."""
    ids = tokenizer(prompt)["input_ids"]
    room = model.config.max_position_embeddings
    if not ids:
        raise checks.BadSetting("prompt must hold at least one token.")
    if len(ids) + n_new > room:
        raise checks.BadSetting(
            f"prompt has {len(ids)} tokens, which with {n_new} new ones do not fit the model's context of {room}."
        )
    return ids


def written(tokenizer, prompt: list[int], new: list[int], stop: str | None = None) -> str:
    """What new tokens add to a prompt's text, special ones left out, up to the first `stop`."""
    how = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}  # as it was written
    before = tokenizer.decode(prompt, **how)
    text = tokenizer.decode([*prompt, *new], **how)[len(before) :]
    return text if stop is None else text.split(stop, 1)[0]


def generate(
    model,
    tokenizer,
    prompts: list[str],
    n_new: int,
    *,
    temperature: float = 0.0,
    n_samples: int = 1,
    seed: int = 0,
    stop: str | None = None,
) -> list[list[str]]:
    """What the model writes after each prompt: `n_samples` texts of at most `n_new` tokens, without the prompt.

    Greedy at temperature 0, where all samples of a prompt are equal; otherwise drawn from the softmax of logits over
    temperature, with random numbers that `seed` and the place of prompt and sample fix. A text ends before an
    end-of-text token or the first `stop`. Prompts of equal length are read together, so none is padded.
    """
    checks.whole("n_new", n_new, 1)
    checks.whole("n_samples", n_samples, 1)
    checks.scalar("temperature", temperature, 0)
    if isinstance(prompts, str):
        raise checks.BadSetting("prompts must be a list of texts, not one text.")
    copies = n_samples if temperature else 1
    uniform = np.random.default_rng(seed).random((len(prompts), copies, n_new)) if temperature else None
    texts = [[""] * copies for _ in prompts]
    by_length = defaultdict(list)
    for index, prompt in enumerate(prompts):
        ids = encoded(model, tokenizer, prompt, n_new)
        by_length[len(ids)] += [(index, copy, ids) for copy in range(copies)]
    for rows in by_length.values():
        for begin in range(0, len(rows), ROWS):
            some = rows[begin : begin + ROWS]
            drawn = None if uniform is None else np.stack([uniform[index, copy] for index, copy, _ in some])
            answers = _answers(model, tokenizer, [ids for *_, ids in some], n_new, temperature, drawn, stop)
            for (index, copy, _), text in zip(some, answers, strict=True):
                texts[index][copy] = text
    return texts if temperature else [text * n_samples for text in texts]


def _answers(model, tokenizer, prompts: list[list[int]], n_new: int, temperature, uniform, stop) -> list[str]:
    """The answers to prompts of one length, all written at once."""
    last = ends(model, tokenizer)
    new = [[] for _ in prompts]
    texts: list[str | None] = [None] * len(prompts)
    steps = continuation(model, torch.tensor(prompts), temperature, uniform)
    for _ in range(n_new):
        for row, token in enumerate(next(steps).tolist()):
            if texts[row] is not None:
                continue
            if token not in last:
                new[row].append(token)
            if token in last or (stop and stop in written(tokenizer, prompts[row], new[row])):
                texts[row] = written(tokenizer, prompts[row], new[row], stop)
        if None not in texts:
            break
    return [
        written(tokenizer, prompt, ids, stop) if text is None else text
        for prompt, ids, text in zip(prompts, new, texts, strict=True)
    ]
