"""What chapter 8 stores of a model: single questions before and after pruning, and the bytes of each variant."""

import copy
import time
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr

from lib import checks, protocol
from lib.biographies import ATTRIBUTES, BOTH_SEEN, RATES, TOLD, UNSEEN, Question
from lib.pruning import evaluate, generate, packed_bytes, quantize
from lib.pruning.generation import continuation
from lib.studies.forgetting import subject
from lib.studies.limits import bench, digests, timed
from lib.tiny_llama import facts
from lib.tiny_llama.recipes import CONTEXT

GROUPS = {BOTH_SEEN: "biography and questions seen", TOLD: "biography seen", UNSEEN: "never told"}
ANSWERS = ("right value", "likeliest wrong", "second wrong", "third wrong", "other values", "no value")
STORAGES = {"fp16": None, "int8": 8, "int4": 4}  # bits of a weight; None: as it is, two bytes
GROUP = 32  # neighboring inputs that share the scale of a quantised weight


def picked(questions: Sequence[Question]) -> dict[str, Question]:
    """Twelve questions over all groups and rates, by what the reader sees."""
    keys = list(ATTRIBUTES)
    places = [(g, r) for g in GROUPS for r in RATES] + [(BOTH_SEEN, r) for r in RATES]
    people, found = {}, {}
    for i, place in enumerate(places):
        of = [q for q in questions if (q.person.group, q.person.rate) == place]
        nth = people[place] = people.get(place, -1) + 1  # another person where a place comes again
        question = of[nth * len(keys) + i % len(keys)]
        label = GROUPS[place[0]] + (f", {place[1]}" if place[0] != UNSEEN else "")
        found[f"{len(found) + 1}. {label}: {question.attribute}"] = question
    return found


@timed
def inspected(
    recipe: str, method: str, sparsity: float, digest: str, *, seed: int = 0, device: str = "cpu"
) -> xr.Dataset:
    """What a pruned model answers to `picked` questions, over question.

    "probability" over answer (`ANSWERS`); texts: "asked", "right", "wrong" (the three likeliest other values),
    "greedy", "samples", "verdict", "support", "confidence".
    """
    checks.choice("digest", digest, [digests([recipe], [seed])])
    of = subject(recipe, seed, device)
    model, tokenizer = of.bench.pruned(method, sparsity), of.bench.tokenizer
    chosen = picked(of.bench.questions)
    asked = list(chosen.values())
    evidence, verdicts, bounds = of.judge(model, asked)
    scores = facts.value_log_probabilities(model, tokenizer, asked)
    prompts, n_new = facts.prompts(tokenizer, asked), facts.longest(tokenizer)
    drawn = generate(
        model, tokenizer, prompts, n_new, temperature=1.0, n_samples=protocol.N_SAMPLES, seed=seed
    )
    known = dict(zip((id(q) for q in of.told), of.known, strict=True))
    shares, texts = zip(*(_shares(q, np.exp(score)) for q, score in zip(asked, scores, strict=True)), strict=True)
    told = [v if known.get(id(q)) else "never told" if q.person.group == UNSEEN else "not known to the dense model"
            for q, v in zip(asked, verdicts, strict=True)]  # fmt: skip
    support = [f"{value:.1f} nats; preferred above {bounds.support:.1f}" for value in evidence.support]
    sure = [f"{value:.2f}; sure above {bounds.confidence:.2f}" for value in evidence.confidence]
    variables = {
        "probability": (("question", "answer"), np.array(shares)),
        "asked": ("question", [q.prompt for q in asked]),
        "right": ("question", [q.answer for q in asked]),
        "wrong": ("question", list(texts)),
        "greedy": ("question", [answer.strip() for answer in evidence.answer]),
        "samples": ("question", [_counted(answers) for answers in drawn]),
        "verdict": ("question", told),
        "support": ("question", support),
        "confidence": ("question", sure),
    }
    return xr.Dataset(variables, {"question": list(chosen), "answer": list(ANSWERS)})


def _shares(question: Question, probabilities: np.ndarray) -> tuple[list[float], str]:
    """Probabilities of `ANSWERS`, which sum to 1, and the names of the three likeliest wrong values."""
    values = ATTRIBUTES[question.attribute].values
    right = values.index(question.answer)
    order = [i for i in np.argsort(-probabilities, kind="stable") if i != right]
    named = [probabilities[right], *probabilities[order[:3]]]
    rest = float(probabilities[order[3:]].sum())
    return [*named, rest, max(0.0, 1 - sum(named) - rest)], ", ".join(values[i] for i in order[:3])


def _counted(answers: Sequence[str]) -> str:
    """First sentences, each with how often it was drawn, the frequent ones first."""
    counts = Counter(answer.partition(".")[0].strip() for answer in answers)
    return ", ".join(f"{text or '(nothing)'} {n}" for text, n in counts.most_common(5)) + "; …" * (len(counts) > 5)


@timed
def variants(recipe: str, sparsity: float, digest: str, *, seed: int = 0, device: str = "cpu") -> xr.Dataset:
    """Bytes and quality of a model pruned by SparseGPT, over storage (`STORAGES`).

    "bytes" of its file in the packed format, "block_bytes" of the decoder blocks alone, "perplexity" of held-out text,
    "recall": share of right answers about told people; while it answers, "memory" of its weights in bytes, and "speed",
    `pace` beside the dense model. A matrix has a bitmap where that makes it smaller.
    """
    checks.choice("digest", digest, [digests([recipe], [seed])])
    given = bench(recipe, seed, device=device)
    pruned = given.pruned("sparsegpt", sparsity)
    told = [question for question in given.questions if question.person.group != UNSEEN]
    half, found = copy.deepcopy(pruned).half(), []
    for bits in STORAGES.values():
        model = copy.deepcopy(pruned)
        sizes = packed_bytes(half, bits=bits, group=bits and GROUP)
        if bits:
            quantize(model, bits, group=GROUP)
        right = facts.recall(model, given.tokenizer, told).right.mean()
        perplexity = evaluate(model, given.text, CONTEXT).perplexity
        memory, speed = running(model)[1] * 1e6, pace(model, given.model)
        found.append((float(sizes.total), float(sizes.block_bytes), perplexity, float(right), memory, speed))
    names = ("bytes", "block_bytes", "perplexity", "recall", "memory", "speed")
    columns = zip(names, zip(*found, strict=True), strict=True)
    return xr.Dataset({name: ("storage", list(column)) for name, column in columns}, {"storage": list(STORAGES)})


def running(model, n_tokens: int = 100) -> tuple[float, float]:
    """Tokens a second of one answer, token by token, and the megabytes that the weights take meanwhile."""
    checks.whole("n_tokens", n_tokens, 1)
    steps = continuation(model, torch.ones((1, 1), dtype=torch.long))
    next(steps).item()
    begun = time.perf_counter()
    for _ in range(n_tokens):
        next(steps).item()  # as one who reads it: until then a GPU may still be at work
    seconds = time.perf_counter() - begun
    return n_tokens / seconds, sum(p.numel() * p.element_size() for p in model.parameters()) / 1e6


def pace(model, other, n_rounds: int = 10) -> float:
    """Tokens a second over those of another model, each in the fastest of so many rounds in which they take turns.

    What else the machine does can only slow a round down.
    """
    checks.whole("n_rounds", n_rounds, 1)
    speeds = [(running(model)[0], running(other)[0]) for _ in range(n_rounds)]
    return float(np.divide(*np.max(speeds, axis=0)))
