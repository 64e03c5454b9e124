"""What a model knows of its world: its answers to questions, which of them are right, how likely it finds each value.

A question follows the token that begins a document, as in training, and its answer is the first sentence that the
model writes.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from transformers import DynamicCache, LlamaForCausalLM, PreTrainedTokenizerBase

from lib import checks
from lib.biographies import ATTRIBUTES, Question
from lib.pruning import generate

ROWS = 1024  # texts that `value_log_probabilities` reads at once


def prompts(tokenizer: PreTrainedTokenizerBase, questions: Sequence[Question]) -> list[str]:
    """The questions as a model is asked them, each as the beginning of a document."""
    return [f"{tokenizer.bos_token}{question.prompt}" for question in questions]


def longest(tokenizer: PreTrainedTokenizerBase) -> int:
    """Tokens that the longest right answer takes, its full stop included."""
    sentences = [_sentence(value) for attribute in ATTRIBUTES.values() for value in attribute.values]
    return max(map(len, tokenizer(sentences, add_special_tokens=False)["input_ids"]))


def answers(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], n_new: int | None = None
) -> list[str]:
    """What the model finds likeliest, token by token, after each prompt; `n_new` tokens, or as many as `longest`."""
    n_new = longest(tokenizer) if n_new is None else n_new
    return [text for (text,) in generate(model, tokenizer, list(prompts), n_new)]


def right(answers: Sequence[str], questions: Sequence[Question]) -> np.ndarray:
    """Whether the first sentence of each answer is the right value and nothing else; booleans (n_questions,)."""
    pairs = zip(answers, questions, strict=True)
    return np.array([_first(answer) == _sentence(question.answer) for answer, question in pairs], bool)


def fluent(answers: Sequence[str], questions: Sequence[Question]) -> np.ndarray:
    """Whether the first sentence is some value of the attribute asked for, right or wrong; booleans (n_questions,)."""
    allowed = {key: {_sentence(value) for value in attribute.values} for key, attribute in ATTRIBUTES.items()}
    pairs = zip(answers, questions, strict=True)
    return np.array([_first(answer) in allowed[question.attribute] for answer, question in pairs], bool)


def recall(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, questions: Sequence[Question]) -> xr.Dataset:
    """`right` and `fluent` of the model's answers, over "question" with its name, attribute, group and rate."""
    checks.whole("the number of questions", len(questions), 1)
    found = answers(model, tokenizer, prompts(tokenizer, questions))
    people = [question.person for question in questions]
    labels = {key: ("question", [getattr(person, key) for person in people]) for key in ("name", "group", "rate")}
    labels["attribute"] = ("question", [question.attribute for question in questions])
    measured = {"right": right(found, questions), "fluent": fluent(found, questions)}
    return xr.Dataset({name: ("question", values) for name, values in measured.items()}, labels)


@torch.no_grad()
def value_log_probabilities(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[Question],
    starts: Sequence[str] | None = None,
) -> list[np.ndarray]:
    """The logarithm of the probability of " value." after each question, for each value of its attribute: (n_values,).

    `starts`, one a question, stand in for `prompts`, for instance with a biography before the question. The values
    share one reading of what precedes them.
    """
    starts = prompts(tokenizer, questions) if starts is None else starts
    places = defaultdict(list)
    for place, (start, question) in enumerate(zip(starts, questions, strict=True)):
        ids = tokenizer(start)["input_ids"]
        places[question.attribute, len(ids)].append((place, ids))
    found: list[np.ndarray] = [np.empty(0)] * len(starts)
    for (attribute, _), group in places.items():
        sentences = _encoded(tokenizer, attribute)
        step = max(1, ROWS // len(sentences))
        for begin in range(0, len(group), step):
            some = group[begin : begin + step]
            scores = _scores(model, torch.tensor([ids for _, ids in some]), sentences)
            for (place, _), row in zip(some, scores, strict=True):
                found[place] = row
    return found


@torch.no_grad()
def log_probabilities(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, starts: Sequence[str], ends: Sequence[str]
) -> np.ndarray:
    """The logarithm of the probability of each end, all its tokens, after its start: (n_starts,)."""
    before = tokenizer(list(starts))["input_ids"]
    after = tokenizer(list(ends), add_special_tokens=False)["input_ids"]
    found = []
    for begin in range(0, len(before), ROWS // 4):
        some = list(zip(before, after, strict=True))[begin : begin + ROWS // 4]
        width = max(len(start) + len(end) for start, end in some)
        shown = torch.tensor([start + end + [0] * (width - len(start) - len(end)) for start, end in some])
        likely = model(shown.to(model.device), use_cache=False).logits.float().log_softmax(-1).cpu()
        for row, ids, (start, end) in zip(likely, shown, some, strict=True):
            told = slice(len(start), len(start) + len(end))
            found.append(float(row[told.start - 1 : told.stop - 1].gather(1, ids[told, None]).sum()))
    return np.array(found)


def _scores(model: LlamaForCausalLM, starts: torch.Tensor, sentences: torch.Tensor) -> np.ndarray:
    """Log-probability of each sentence (n, length), -1 where it has ended, after each start: (n_starts, n)."""
    starts, sentences = starts.to(model.device), sentences.to(model.device)
    n_starts, n = len(starts), len(sentences)
    cache = DynamicCache(config=model.config)
    if starts.shape[1] > 1:
        model(starts[:, :-1], past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache.batch_repeat_interleave(n)
    told = sentences.clamp(min=0).repeat(n_starts, 1)
    shown = torch.cat([starts[:, -1:].repeat_interleave(n, 0), told[:, :-1]], 1)
    logits = model(shown, past_key_values=cache, use_cache=True).logits.float().log_softmax(-1)
    each = logits.gather(2, told[..., None])[..., 0].reshape(n_starts, n, -1)
    return each.masked_fill(sentences < 0, 0).double().sum(2).cpu().numpy()


def _encoded(tokenizer: PreTrainedTokenizerBase, attribute: str) -> torch.Tensor:
    """The sentences of an attribute's values as tokens (n_values, length), filled up with -1."""
    sentences = [_sentence(value) for value in ATTRIBUTES[attribute].values]
    ids = tokenizer(sentences, add_special_tokens=False)["input_ids"]
    return torch.tensor([each + [-1] * (max(map(len, ids)) - len(each)) for each in ids])


def _sentence(value: str) -> str:
    return f" {value}."


def _first(answer: str) -> str:
    """The first sentence with its full stop; of an answer that has none, all of it."""
    head, stop, _ = answer.partition(".")
    return head + stop
