"""What chapter 8 measures: what pruning takes first, what became of it, and whether the protocol can be trusted."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from lib import biographies, checks, plants, protocol
from lib.biographies import ATTRIBUTES, BOTH_SEEN, RATES, TOLD, UNSEEN, Person, Question, questions
from lib.protocol import DAMAGED, FORGOTTEN, KEPT, MADE_UP, MISLAID, VERDICTS, Bounds, Evidence
from lib.pruning import evaluate
from lib.relearning import teach
from lib.studies.limits import Bench, bench, digests, timed
from lib.tiny_llama import facts
from lib.tiny_llama.recipes import CONTEXT, RECIPES, generator, world

N_HABITS, N_BOUNDS = 20, 40  # strangers who say what is usual, and from whose facts the bounds are taken
N_TAUGHT, N_EXPOSURES = 40, 12  # facts of a kind that are taught again, and how often
NEW = "never told"
TAUGHT = (MISLAID, FORGOTTEN, MADE_UP, NEW)
_STRANGERS, _PLANTS, _TAUGHT, _BOOK = range(20, 24)  # what a generator draws, below one seed, beside `recipes`


@dataclass(frozen=True)
class Subject:
    """A trained model, what it was told, and what it made of it before it was pruned."""

    bench: Bench
    told: list[Question]  # facts that training told of
    unseen: list[Question]  # of the people of group C
    strangers: list[Person]
    never: list[Question]  # facts of other strangers, from which the bounds are taken
    known: np.ndarray  # which of `told` the model knows
    knowing: Evidence  # on those
    guessing: Evidence  # on `never`

    def judge(self, model, asked: Sequence[Question]) -> tuple[Evidence, np.ndarray, Bounds]:
        """Evidence on a changed model, its verdicts, and the bounds between them."""
        tokenizer, seed = self.bench.tokenizer, self.bench.seed
        usual = protocol.habits(model, tokenizer, self.strangers)
        bounds = protocol.bounds(
            self.knowing, self.guessing, protocol.supports(model, tokenizer, self.never, usual)[1]
        )
        evidence = protocol.ask(model, tokenizer, asked, usual, seed)
        return evidence, protocol.verdicts(evidence, bounds), bounds


@functools.lru_cache(1)
def subject(recipe: str, seed: int, device: str = "cpu") -> Subject:
    """A model that ships with the book, and the evidence on it before any change."""
    given = bench(recipe, seed, device=device)
    known = world(RECIPES[recipe], seed)
    made_up = protocol.strangers(generator(seed, _STRANGERS), N_HABITS + N_BOUNDS, known)
    usual = protocol.habits(given.model, given.tokenizer, made_up[:N_HABITS])
    told = [question for question in given.questions if question.person.group != UNSEEN]
    unseen = [question for question in given.questions if question.person.group == UNSEEN]
    never = questions(made_up[N_HABITS:])
    evidence, guessing = (protocol.ask(given.model, given.tokenizer, asked, usual, seed) for asked in (told, never))
    knows = protocol.knows(evidence)
    return Subject(given, told, unseen, made_up[:N_HABITS], never, knows, evidence[knows], guessing)


def open_book(of: Subject) -> float:
    """Share of questions about people of group C that the dense model answers rightly behind their biography."""
    rng, tokenizer = generator(of.bench.seed, _BOOK), of.bench.tokenizer
    starts = [tokenizer.bos_token + biographies.open_book(rng, q.person, q.attribute) for q in of.unseen]
    return float(facts.right(facts.answers(of.bench.model, tokenizer, starts), of.unseen).mean())


@timed
def decline(
    recipe: str, method: str, sparsity: float, digest: str, *, seed: int = 0, device: str = "cpu"
) -> xr.Dataset:
    """What a pruned model has lost of the facts that it was told.

    Numbers of facts over group (A, B) and rate: "told", "right", "fluent" (answered by some value), "known" (by the
    dense model), and over verdict, too, "verdicts" of those known. "perplexity" of held-out text; "guesses": share of
    questions about people of group C that are answered by some value.
    """
    checks.choice("digest", digest, [digests([recipe], [seed])])
    of = subject(recipe, seed, device)
    model = of.bench.pruned(method, sparsity)
    evidence, verdicts, _ = of.judge(model, of.told)
    group, rate = (np.array([getattr(q.person, key) for q in of.told]) for key in ("group", "rate"))
    cells = {(g, r): (group == g) & (rate == r) for g in (BOTH_SEEN, TOLD) for r in RATES}

    def count(mask: np.ndarray) -> np.ndarray:
        return np.array([float(mask[cell].sum()) for cell in cells.values()]).reshape(2, len(RATES))

    masks = {"told": np.ones(len(group), bool), "right": evidence.right, "fluent": evidence.fluent, "known": of.known}
    variables = {name: (("group", "rate"), count(mask)) for name, mask in masks.items()}
    by_verdict = np.stack([count(of.known & (verdicts == verdict)) for verdict in VERDICTS], -1)
    variables["verdicts"] = (("group", "rate", "verdict"), by_verdict)
    variables["perplexity"] = evaluate(model, of.bench.text, CONTEXT).perplexity
    said = facts.answers(model, of.bench.tokenizer, facts.prompts(of.bench.tokenizer, of.unseen))
    variables["guesses"] = float(facts.fluent(said, of.unseen).mean())
    return xr.Dataset(variables, {"group": [BOTH_SEEN, TOLD], "rate": list(RATES), "verdict": list(VERDICTS)})


@timed
def named(recipe: str, digest: str, *, seed: int = 0, device: str = "cpu") -> xr.Dataset:
    """How the protocol names planted cases: numbers of "cases" over planted and named.

    The bounds come from one half of the people told of and from strangers, the cases from the other half and from
    group C. "strangers_kept": share of the dense model's answers about group C that count as kept.
    """
    checks.choice("digest", digest, [digests([recipe], [seed])])
    of, rng = subject(recipe, seed, device), generator(seed, _PLANTS)
    first = np.arange(len(of.told)) // len(ATTRIBUTES) % 2 == 0
    fitted = replace(of, knowing=of.knowing[first[of.known]])
    cases = [question for question, use in zip(of.told, of.known & ~first, strict=True) if use]
    beside = [question for question, use in zip(of.told, of.known & first, strict=True) if use]
    model, tokenizer = of.bench.model, of.bench.tokenizer
    mistaught = plants.mistaught(model, tokenizer, cases[::3], beside[::3], rng)
    found = {
        KEPT: fitted.judge(plants.rounded(model), cases)[1],
        DAMAGED: fitted.judge(plants.broken(model, rng), cases)[1],
        MADE_UP: fitted.judge(mistaught, cases[::3])[1],
        MISLAID: _outshouted(fitted, cases, rng),
        FORGOTTEN: fitted.judge(model, of.unseen)[1],
    }
    counts = [[float((found[planted] == verdict).sum()) for verdict in VERDICTS] for planted in VERDICTS]
    variables = {"cases": (("planted", "named"), counts), "strangers_kept": (found[FORGOTTEN] == KEPT).mean()}
    return xr.Dataset(variables, {"planted": list(VERDICTS), "named": list(VERDICTS)})


def _outshouted(of: Subject, cases: list[Question], rng: np.random.Generator) -> np.ndarray:
    """Verdicts on facts whose answers were drowned, one attribute after the other, by bounds for all together."""
    tokenizer, seed, found, never = of.bench.tokenizer, of.bench.seed, [], []
    for attribute, about in ATTRIBUTES.items():
        model, favored = plants.outshouted(of.bench.model, tokenizer, attribute, rng)
        drowned = dict(zip(about.values, ~favored, strict=True))
        usual = protocol.habits(model, tokenizer, of.strangers, [attribute])
        asked = [q for q in cases if q.attribute == attribute and drowned[q.answer]]
        if asked:
            evidence = protocol.ask(model, tokenizer, asked, usual, seed)
            found.append(evidence[~evidence.right])
        of_strangers = [q for q in of.never if q.attribute == attribute]
        never.append(protocol.supports(model, tokenizer, of_strangers, usual)[1])
    bounds = protocol.bounds(of.knowing, of.guessing, np.concatenate(never))
    return protocol.verdicts(Evidence.join(found), bounds)


@timed
def relearned(
    recipe: str, method: str, sparsity: float, digest: str, *, seed: int = 0, device: str = "cpu"
) -> xr.Dataset:
    """How fast a pruned model relearns facts that it lost, by what became of them, beside facts that it never had.

    Over kind (`TAUGHT`): "facts" that were taught, at most `N_TAUGHT`; "savings" (`eq-savings`); over exposure, too,
    "recalled": the share answered rightly after so many exposures. All facts are taught together, at one rate.
    """
    checks.choice("digest", digest, [digests([recipe], [seed])])
    of, rng = subject(recipe, seed, device), generator(seed, _TAUGHT)
    model, tokenizer = of.bench.pruned(method, sparsity), of.bench.tokenizer
    asked = [question for question, known in zip(of.told, of.known, strict=True) if known]
    verdicts = of.judge(model, asked)[1]
    pools = {kind: [q for q, v in zip(asked, verdicts, strict=True) if v == kind] for kind in TAUGHT[:-1]}
    pools[NEW] = of.unseen
    chosen = {kind: [pool[i] for i in rng.permutation(len(pool))[:N_TAUGHT]] for kind, pool in pools.items()}
    taught = [question for kind in TAUGHT for question in chosen[kind]]
    starts, right = facts.prompts(tokenizer, taught), []

    def answer(exposure: int) -> None:
        right.append(facts.right(facts.answers(model, tokenizer, starts), taught))

    answer(0)
    teach(model, tokenizer, taught, N_EXPOSURES, seed=int(rng.integers(2**31)), after=answer)
    kinds = np.repeat(TAUGHT, [len(chosen[kind]) for kind in TAUGHT])
    return savings(np.array(right), kinds, np.array([question.attribute for question in taught]))


def savings(right: np.ndarray, kinds: np.ndarray, attributes: np.ndarray) -> xr.Dataset:
    """The dataset of `relearned` from right answers (1 + exposures, facts) and the kind and attribute of each fact.

    A fact's saving (`eq-savings`) is 1 less the exposures until it is first answered rightly, over those that facts of
    its attribute take that were never told; one that never comes right counts as one exposure more than there were.
    """
    first = np.where(right.any(0), right.argmax(0), len(right)).astype(float)
    usual = {key: first[(attributes == key) & (kinds == NEW)] for key in np.unique(attributes)}
    saved = 1 - first / np.array([usual[key].mean() if len(usual[key]) else np.nan for key in attributes])
    masks = [kinds == kind for kind in TAUGHT]
    mean = [float(np.nanmean(saved[mask])) if np.isfinite(saved[mask]).any() else np.nan for mask in masks]
    curve = np.array([right[:, mask].mean(1) if mask.any() else np.full(len(right), np.nan) for mask in masks])
    variables = {
        "facts": ("kind", [float(mask.sum()) for mask in masks]),
        "savings": ("kind", mean),
        "recalled": (("kind", "exposure"), curve),
    }
    return xr.Dataset(variables, {"kind": list(TAUGHT), "exposure": np.arange(len(right))})
