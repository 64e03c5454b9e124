"""The training: AdamW, warm-up, plateau, decay; interrupted, it goes on from its last checkpoint."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from lib import checks
from lib.checkpoint import keep, resume
from lib.measures import check_run
from lib.tiny_llama.recipes import CONTEXT, RECIPES, Recipe, encode, texts, tokenizer, untrained

LOGGED = 50  # steps over which a loss is averaged
KEPT = 500  # steps between two checkpoints
WIDTH = 64  # up to which the learning rate is the same


@dataclass(frozen=True)
class Course:
    """How a model is trained: AdamW, its rate rising, then level, then falling to a tenth, gradients cut at norm 1."""

    n_sequences: int = 2  # a step, of CONTEXT tokens
    learning_rate: float = 6e-3  # the largest; in inverse proportion to the width above WIDTH
    warm_up: float = 0.05  # share of the steps
    decay: float = 0.3  # share of the steps
    weight_decay: float = 0.1

    def rate(self, step: int, n_steps: int) -> float:
        """The share of the largest learning rate at step 0, 1, ..."""
        rise, fall = (step + 1) / (self.warm_up * n_steps), (n_steps - step) / (self.decay * n_steps)
        return min(1.0, rise, 0.1 + 0.9 * fall)


def train(
    recipe: Recipe,
    seed: int = 0,
    *,
    course: Course = Course(),
    stop: int | None = None,
    checkpoint: Path | None = None,
    device: str = "cpu",
    compiled: bool = False,
) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast, np.ndarray]:
    """The model after `stop` steps (all), its tokenizer, and its loss (nats a token), the mean of every `LOGGED` steps.

    With `checkpoint`, a file that is renewed every `KEPT` steps, an interrupted training goes on from there.
    `compiled`: through torch.compile, which needs a C++ compiler and takes a third less time.
    """
    check_run(seed, device)
    tokens = tokenizer(recipe.style)
    lessons = windows(encode(tokens, texts(recipe, seed)))
    n_steps = len(lessons) // course.n_sequences
    if n_steps < 2:
        raise checks.BadSetting(f"exposures must be more: {recipe.exposures:g} give {n_steps} steps of training.")
    model = untrained(recipe, seed, len(tokens)).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.95), weight_decay=course.weight_decay, fused=True)
    forward = torch.compile(model) if compiled else model
    largest = course.learning_rate * min(1.0, WIDTH / recipe.width)
    made = json.dumps({"recipe": asdict(recipe), "seed": seed, "course": asdict(course)})
    losses = resume(checkpoint, made, model, optimizer)
    stop = n_steps if stop is None else min(stop, n_steps)
    name = next((name for name, known in RECIPES.items() if known == recipe), recipe.style)
    for step in tqdm(range(len(losses), stop), f"{name}, seed {seed}", stop, initial=len(losses)):
        shown = lessons[step * course.n_sequences :][: course.n_sequences].to(device)
        loss = forward(input_ids=shown, labels=shown, use_cache=False).loss
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.param_groups[0]["lr"] = largest * course.rate(step, n_steps)
        optimizer.step()
        losses.append(loss.item())
        if checkpoint and len(losses) % KEPT == 0:
            keep(checkpoint, made, model, optimizer, losses)
    whole = len(losses) // LOGGED * LOGGED
    return model.eval(), tokens, np.array(losses[:whole]).reshape(-1, LOGGED).mean(1)


def windows(stream: Tensor, length: int = CONTEXT) -> Tensor:
    """A stream of tokens cut into sequences of `length`, the rest dropped; shape (n_sequences, length)."""
    return stream[: len(stream) // length * length].reshape(-1, length)
