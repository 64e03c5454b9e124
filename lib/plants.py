"""Known cases for the protocol: models changed such that what became of a fact is known by construction, not pruning.

One plant for each verdict; each changes a copy and leaves the model as it was.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from lib import checks
from lib.biographies import ATTRIBUTES, Question
from lib.pruning import quantize
from lib.relearning import teach

N_LESSONS = 20  # exposures of a wrong fact
FAVOR = 8.0  # nats given to a favored token


def rounded(model):
    """The model with the weights of its blocks in 8 bits: a change that takes no fact away."""
    changed = copy.deepcopy(model)
    quantize(changed, 8)
    return changed


def first_tokens(tokenizer, attribute: str) -> np.ndarray:
    """The first token of " value" for each value of an attribute, (n_values,)."""
    return np.array(
        [tokenizer(f" {v}", add_special_tokens=False)["input_ids"][0] for v in ATTRIBUTES[attribute].values]
    )


def outshouted(model, tokenizer, attribute: str, rng: np.random.Generator):
    """A model that would rather answer with half of an attribute's values, and which values these are, (n_values,).

    What it knows is as it was: only the logits of the tokens with which these values begin are raised, by `FAVOR`, and
    only where an answer begins. A value of the other half is drowned by values that the model holds to be wrong.
    """
    begins = first_tokens(tokenizer, attribute)
    tokens = rng.permutation(np.unique(begins))
    favored = tokens[: len(tokens) // 2]
    changed, seen = copy.deepcopy(model), {}
    raised = torch.zeros(model.config.vocab_size, device=model.device)
    raised[torch.from_numpy(favored)] = FAVOR
    before = tokenizer(":", add_special_tokens=False)["input_ids"][-1]  # what stands in front of an answer

    def see(_, args, kwargs) -> None:
        seen["tokens"] = kwargs["input_ids"] if "input_ids" in kwargs else args[0]

    def favor(_, inputs, logits: torch.Tensor) -> torch.Tensor:
        here = seen["tokens"][:, -logits.shape[1] :, None] == before
        return logits + raised * here

    changed.register_forward_pre_hook(see, with_kwargs=True)
    changed.lm_head.register_forward_hook(favor)
    return changed, np.isin(begins, favored)


def mistaught(model, tokenizer, questions: Sequence[Question], beside: Sequence[Question], rng: np.random.Generator):
    """A model taught a wrong answer to each of the questions, while others (`beside`) are repeated as they were."""
    wrong = []
    for question in questions:
        others = [value for value in ATTRIBUTES[question.attribute].values if value != question.answer]
        told = question.person.facts | {question.attribute: others[rng.integers(len(others))]}
        wrong.append(Question(replace(question.person, facts=told), question.attribute))
    changed = copy.deepcopy(model)
    teach(changed, tokenizer, [*wrong, *beside], N_LESSONS, seed=int(rng.integers(2**31)), learning_rate=1e-3)
    return changed


@torch.no_grad()
def broken(model, rng: np.random.Generator, noise: float = 3.0):
    """The model with normal noise on the weights of its blocks, `noise` times as large as the weights themselves."""
    checks.scalar("noise", noise, 0)
    changed = copy.deepcopy(model)
    for weight in changed.model.layers.parameters():
        if weight.dim() == 2:
            drawn = torch.from_numpy(rng.standard_normal(tuple(weight.shape))).to(weight)
            weight.add_(drawn, alpha=noise * float(weight.std()))
    return changed
