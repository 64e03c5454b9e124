"""Forgotten, mislaid or made up: what becomes of a fact that a language model knew before it was changed.

A changed model is asked the facts that it knew, and asked about people whom it never heard of; what it does there is
what not knowing looks like. Every bound is a quantile of such a distribution.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from lib import checks
from lib.biographies import ATTRIBUTES, Person, Question, people
from lib.pruning import generate
from lib.tiny_llama import facts

KEPT, DAMAGED, MADE_UP, MISLAID, FORGOTTEN = VERDICTS = (
    "kept", "language damage", "hallucination-like", "retrieval failure", "forgotten",
)  # fmt: skip
MISNAMED = 0.05  # share of strangers' facts that the three bounds together may name wrongly, a third each
N_SAMPLES = 5  # answers drawn for a question


@dataclass(frozen=True)
class Evidence:
    """What a model does with each of n questions; all fields have shape (n,)."""

    answer: np.ndarray  # first sentence of the greedy answer
    right: np.ndarray  # whether it is the right value
    fluent: np.ndarray  # whether it is some value of the attribute
    spoken: np.ndarray  # where it is wrong, share of sampled answers that are some value; elsewhere NaN
    confidence: np.ndarray  # probability of the greedy answer, where that is a value; otherwise 0
    chance: np.ndarray  # probability of the right value
    support: np.ndarray  # nats by which the right value is likelier than after questions about strangers

    def __getitem__(self, chosen) -> "Evidence":
        """The evidence on the questions that numpy would choose by `chosen`."""
        return Evidence(*(getattr(self, field.name)[chosen] for field in fields(self)))

    @classmethod
    def join(cls, parts: Sequence["Evidence"]) -> "Evidence":
        """The evidence on several sets of questions, one behind the other."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


@dataclass(frozen=True)
class Bounds:
    """Where one verdict ends and another begins."""

    spoken: float  # share of sampled answers that are a value, below which language is damaged
    confidence: float  # probability of a wrong answer, above which it is as sure as knowledge
    support: float  # nats above which a fact is still preferred


def strangers(rng: np.random.Generator, n: int, known: Sequence[Person]) -> list[Person]:
    """`n` people of the same world whose names are none of those `known`, at most 1000."""
    taken = {person.name for person in known}
    return [person for person in people(rng, 1, 1, 1000)[2:] if person.name not in taken][:n]


def habits(
    model, tokenizer, asked: Sequence[Person], attributes: Sequence[str] = tuple(ATTRIBUTES)
) -> dict[str, np.ndarray]:
    """For each attribute the logarithm of the mean probability of each value, (n_values,), over the people `asked`.

    Where these are strangers, it is what the model answers without knowing whom it is asked about.
    """
    found = {}
    for attribute in attributes:
        scores = facts.value_log_probabilities(model, tokenizer, [Question(person, attribute) for person in asked])
        found[attribute] = np.logaddexp.reduce(scores, axis=0) - np.log(len(asked))
    return found


def ask(model, tokenizer, questions: Sequence[Question], baseline: dict[str, np.ndarray], seed: int = 0) -> Evidence:
    """Greedy answers to each question, sampled ones where they are wrong, and the support of the right value.

    `baseline`: the `habits` of the same model.
    """
    checks.whole("the number of questions", len(questions), 1)
    prompts = facts.prompts(tokenizer, questions)
    said = [answer.partition(".")[0] + "." for answer in facts.answers(model, tokenizer, prompts)]
    right, fluent = facts.right(said, questions), facts.fluent(said, questions)
    confidence, named = np.zeros(len(said)), np.flatnonzero(fluent)
    if len(named):
        scores = facts.log_probabilities(model, tokenizer, [prompts[i] for i in named], [said[i] for i in named])
        confidence[named] = np.exp(scores)
    chance, nats = supports(model, tokenizer, questions, baseline)
    spoken, wrong = np.full(len(said), np.nan), np.flatnonzero(~right)
    if len(wrong):
        spoken[wrong] = _spoken(model, tokenizer, [questions[i] for i in wrong], seed)
    return Evidence(np.array(said), right, fluent, spoken, confidence, chance, nats)


def supports(
    model, tokenizer, questions: Sequence[Question], baseline: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Probability and support (`eq-support`) of the right value of each question, both (n,)."""
    starts = facts.prompts(tokenizer, questions)
    chance = facts.log_probabilities(model, tokenizer, starts, [f" {question.answer}." for question in questions])
    usual = [baseline[q.attribute][ATTRIBUTES[q.attribute].values.index(q.answer)] for q in questions]
    return np.exp(chance), chance - usual


def _spoken(model, tokenizer, questions: Sequence[Question], seed: int) -> np.ndarray:
    """Share of sampled answers that are some value of the attribute, (n,)."""
    prompts, n_new = facts.prompts(tokenizer, questions), facts.longest(tokenizer)
    drawn = generate(model, tokenizer, prompts, n_new, temperature=1.0, n_samples=N_SAMPLES, seed=seed)
    return np.mean([facts.fluent(texts, questions) for texts in zip(*drawn, strict=True)], axis=0)


def knows(dense: Evidence) -> np.ndarray:
    """Which facts a model knows: its greedy answer is right, and so are more than half of all that it may draw."""
    return dense.right & (dense.chance > 0.5)


def bounds(known: Evidence, unseen: Evidence, support: np.ndarray) -> Bounds:
    """The bounds (`eq-verdict-bounds`), each beyond all but a small share of a distribution.

    Language is damaged where fewer sampled answers are values than when the dense model is asked about strangers
    (`unseen`). An answer is sure if it is surer than those, and no less sure than answers to facts that the dense model
    knows (`known`). A fact is still preferred if its support exceeds that of what the changed model never heard
    (`support`).
    """
    share = MISNAMED / 3
    sure = max(np.quantile(unseen.confidence, 1 - share), np.quantile(known.confidence, share))
    spoken = np.nanquantile(unseen.spoken, share)
    return Bounds(float(spoken), float(sure), float(np.quantile(support, 1 - share)))


def verdicts(evidence: Evidence, bounds: Bounds) -> np.ndarray:
    """What became of each fact that the dense model knew, one of `VERDICTS`; the first that applies, (n,).

    Kept: the greedy answer is right. Language damage: too few sampled answers are any value. Hallucination-like: the
    answer is wrong and as sure as knowledge. Retrieval failure: it is wrong, but the right value is still preferred.
    Forgotten: none of these; the model answers as it answers about strangers.
    """
    conditions = {
        KEPT: evidence.right,
        DAMAGED: evidence.spoken < bounds.spoken,
        MADE_UP: evidence.confidence > bounds.confidence,
        MISLAID: evidence.support > bounds.support,
    }
    return np.select(list(conditions.values()), list(conditions), FORGOTTEN)
