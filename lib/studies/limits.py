"""What chapter 7 measures: how well a trained model predicts and recalls, however it was pruned."""

import copy
import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from lib import biographies, checks
from lib.biographies import ATTRIBUTES, RATES, UNSEEN, Question
from lib.measures import check_run
from lib.pruning import blocks, evaluate, prune, report
from lib.pruning.criteria import CALIBRATED, METHODS, Settings
from lib.pruning.linears import NAMES, layers
from lib.tiny_llama import facts, shipped
from lib.tiny_llama.recipes import CONTEXT, RECIPES, encode, generator, world

MODELS = ("llama2", "llama2-more-facts", "llama2-overtrained", "llama3-same-text", "llama3")
SPARSITIES = (0.0, 0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8)
N_TEXT, N_FILLER = 20_000, 4_000  # tokens of held-out text, and of text that tells no fact
PEOPLE = {"A": 60, "B": 30, "C": 30}  # asked of each group: the first ones, who are random and of all rates alike
N_CALIBRATION = 32  # sequences of CONTEXT tokens
FEW = 2  # sequences of a scant calibration
CALIBRATIONS = ("own corpus", "own corpus, 512 tokens", "another world", "filler alone")
PATTERNS = ("row", "layer", "global", "4:8", "2:4")  # what competes at a sparsity of one half
PARTS = tuple(name.rpartition(".")[2].removesuffix("_proj") for name in NAMES)
_FILLER, _CALIBRATION = 10, 11  # what a generator draws, below one seed, beside the places of `recipes`


@dataclass(frozen=True)
class Bench:
    """A trained model and what it is measured with."""

    name: str
    seed: int
    model: torch.nn.Module
    tokenizer: object
    text: Tensor  # held-out, one stream of tokens
    filler: Tensor
    characters: int  # of the held-out text
    questions: tuple[Question, ...]

    def pruned(self, method: str, sparsity: float | None, calibration: str = CALIBRATIONS[0], **settings):
        """A copy of the model, pruned; at sparsity 0 a copy as it is."""
        model = copy.deepcopy(self.model)
        if sparsity != 0:
            tokens = self.calibration(calibration) if method in CALIBRATED else None
            prune(model, method=method, sparsity=sparsity, calibration=tokens, seed=self.seed, **settings)
        return model

    def calibration(self, kind: str = CALIBRATIONS[0]) -> Tensor:
        """Token ids (n_sequences, CONTEXT) to calibrate on: text of the training's kind that training did not show."""
        checks.choice("calibration", kind, CALIBRATIONS)
        seed = self.seed + (1000 if kind == "another world" else 0)
        rng, n = generator(seed, _CALIBRATION), FEW if "512" in kind else N_CALIBRATION
        if kind == "filler alone":
            documents = _filler(rng, n * CONTEXT)
        else:
            documents = biographies.corpus(rng, world(RECIPES[self.name], seed), n * CONTEXT // 10)
        return encode(self.tokenizer, documents)[: n * CONTEXT].view(n, CONTEXT)


def _filler(rng: np.random.Generator, n_tokens: int) -> list[str]:
    """Documents of more than `n_tokens` tokens in any tokenizer."""
    return [f"{biographies.filler(rng)} {biographies.filler(rng)}" for _ in range(n_tokens // 10)]


@functools.lru_cache(2)
def bench(name: str, seed: int, n_text: int = N_TEXT, device: str = "cpu") -> Bench:
    """The trained model of that recipe and seed with its held-out text and questions."""
    checks.choice("recipe", name, RECIPES)
    check_run(seed, device)
    model, tokens = shipped.trained(name, seed, device=device)
    text = shipped.held_out(name, seed, tokens, n_text)
    filler = encode(tokens, _filler(generator(seed, _FILLER), N_FILLER))[:N_FILLER]
    asked = [
        person
        for group, n in PEOPLE.items()
        for person in [person for person in world(RECIPES[name], seed) if person.group == group][:n]
    ]
    characters = len(tokens.decode(text, skip_special_tokens=True))
    return Bench(name, seed, model, tokens, text, filler, characters, tuple(biographies.questions(asked)))


def measure(given: Bench, model: torch.nn.Module) -> xr.Dataset:
    """How well `model`, a pruned copy of the bench's, predicts and recalls.

    "perplexity" of held-out text, "filler" that of text without facts, "bits_per_character"; "recall": share of right
    answers about told people, "recall_group" and "recall_rate" the same by group (C: never told) and rate, "fluent" and
    "fluent_unseen": share of answers that are a value at all; shares of zeros "of_blocks" and "of_all" parameters.
    """
    text = evaluate(model, given.text, CONTEXT, characters=given.characters)
    answers = facts.recall(model, given.tokenizer, given.questions)
    told = answers.sel(question=answers.group != UNSEEN)
    zeros = report(model)
    values = {
        "perplexity": text.perplexity,
        "filler": evaluate(model, given.filler, CONTEXT).perplexity,
        "bits_per_character": text.bits_per_character,
        "recall": told.right.mean(),
        "fluent": told.fluent.mean(),
        "fluent_unseen": answers.fluent[answers.group == UNSEEN].mean(),
        "of_blocks": zeros.block_sparsity,
        "of_all": zeros.total_sparsity,
    }
    by_rate = [float(told.right[told.rate == rate].mean()) for rate in RATES]
    by_group = [float(answers.right[answers.group == group].mean()) for group in PEOPLE]
    vectors = {"recall_rate": ("rate", by_rate), "recall_group": ("group", by_group)}
    scalars = {name: float(value) for name, value in values.items()}
    return xr.Dataset(scalars | vectors, {"rate": list(RATES), "group": list(PEOPLE)})


def timed(function: Callable) -> Callable:
    """The function, whose dataset also says how many "seconds" it took."""

    @functools.wraps(function)
    def run(*settings, **named) -> xr.Dataset:
        begun = time.perf_counter()
        return function(*settings, **named).assign(seconds=time.perf_counter() - begun)

    return run


def _all(dim: str, values: Sequence, one: Callable) -> xr.Dataset:
    return xr.concat([one(value) for value in values], xr.Variable(dim, list(values)))


@timed
def course(recipe: str, method: str, sparsity, digest: str, *, seed: int = 0, device: str = "cpu") -> xr.Dataset:
    """`measure` of a trained model pruned by `method` to each of `sparsity` (shares of block weights, scope row).

    `digest` (`digests`) says which weights are meant, so that a stored result never outlives them.
    """
    checks.choice("method", method, METHODS)
    checks.number("sparsity", sparsity, 0, 0.99)
    checks.choice("digest", digest, [digests([recipe], [seed])])
    given = bench(recipe, seed, device=device)
    return _all("sparsity", np.ravel(sparsity).tolist(), lambda s: measure(given, given.pruned(method, s)))


@timed
def parts(recipe: str, method: str, sparsity: float, digest: str, *, seed: int = 0, device: str = "cpu") -> xr.Dataset:
    """`measure` of a model of which one "part" alone is pruned: a kind of projection, or a whole block.

    "dense": the same of the whole model; "zeros": where the zeros of a kind go if all blocks' weights compete by
    magnitude for this sparsity.
    """
    checks.choice("digest", digest, [digests([recipe], [seed])])
    given = bench(recipe, seed, N_TEXT // 2, device)
    chosen = [lambda block, kind, one=one: kind == one for one in PARTS]
    n_blocks = len(given.model.model.layers)
    chosen += [lambda block, kind, one=one: block == one for one in range(n_blocks)]
    labels = [*PARTS, *(f"block {i + 1}" for i in range(n_blocks))]
    found = [measure(given, _partly(given, method, sparsity, pick)) for pick in chosen]
    kept = xr.concat(found, xr.Variable("part", labels))[["perplexity", "recall"]]
    dense = measure(given, given.model)
    shares = report(given.pruned("magnitude", sparsity, scope="global")).layers
    zeros = [np.mean([share for name, share in shares.items() if f".{kind}_proj" in name]) for kind in PARTS]
    return kept.assign(
        dense_perplexity=dense.perplexity,
        dense_recall=dense.recall,
        zeros=xr.DataArray(zeros, dims="kind", coords={"kind": list(PARTS)}),
    )


@torch.no_grad()
def _partly(given: Bench, method: str, sparsity: float, pick: Callable[[int, str], bool]):
    """A copy of the model of which only the layers that `pick` takes (block number, kind) are pruned."""
    model, settings = copy.deepcopy(given.model), Settings(method, sparsity, seed=given.seed)
    states = blocks.States(model.model, given.calibration()) if method in CALIBRATED else None
    for index, block in enumerate(model.model.layers):
        left = [name for name, kind in zip(NAMES, PARTS, strict=True) if not pick(index, kind)]
        dense = {name: block.get_submodule(name).weight.clone() for name in left}
        blocks.prune_block(block, index, settings, states, {})
        for name, weight in dense.items():
            block.get_submodule(name).weight.copy_(weight)
        if states and index + 1 < len(model.model.layers):
            states.pass_on(block)
    return model


@timed
def calibrated(recipe: str, method: str, sparsity, digest: str, *, seed: int = 0, device: str = "cpu") -> xr.Dataset:
    """`measure` of a model pruned to each of `sparsity` with each of CALIBRATIONS, over "calibration"."""
    checks.choice("method", method, CALIBRATED)
    checks.choice("digest", digest, [digests([recipe], [seed])])
    given = bench(recipe, seed, N_TEXT // 2, device)

    def at(kind: str, s: float) -> xr.Dataset:
        return measure(given, given.pruned(method, s, kind))[["perplexity", "recall"]]

    values = np.ravel(sparsity).tolist()
    found = _all("calibration", CALIBRATIONS, lambda kind: _all("sparsity", values, functools.partial(at, kind)))
    dense = measure(given, given.model)
    return found.assign(dense_perplexity=dense.perplexity, dense_recall=dense.recall)


@timed
def patterned(recipe: str, method: str, digest: str, *, seed: int = 0, device: str = "cpu") -> xr.Dataset:
    """`measure` of a model of which one half is pruned, over "pattern" (PATTERNS); NaN where a method has none."""
    checks.choice("method", method, METHODS)
    checks.choice("digest", digest, [digests([recipe], [seed])])
    given = bench(recipe, seed, N_TEXT // 2, device)
    dense = measure(given, given.model)

    def at(pattern: str) -> xr.Dataset:
        if pattern == "global" and method in CALIBRATED:
            return xr.full_like(dense[["perplexity", "recall"]], np.nan)
        how = {"pattern": pattern} if ":" in pattern else {"scope": pattern}
        return measure(given, given.pruned(method, None if ":" in pattern else 0.5, **how))[["perplexity", "recall"]]

    found = _all("pattern", PATTERNS, at)
    return found.assign(dense_perplexity=dense.perplexity, dense_recall=dense.recall)


@timed
def capacity(recipe: str, digest: str, *, seed: int = 0, device: str = "cpu") -> xr.Dataset:
    """Bits of knowledge in a trained model, by `eq-capacity`, over all its parameters and over block weights.

    A fact counts by the probability of its value after the question, a name by that of the name after "The birth city
    of", both over the told people that are asked.
    """
    checks.choice("digest", digest, [digests([recipe], [seed])])
    given = bench(recipe, seed, device=device)
    people = [person for person in world(RECIPES[recipe], seed) if person.group != UNSEEN]
    questions = [question for question in given.questions if question.person.group != UNSEEN]
    asked = facts.prompts(given.tokenizer, questions)
    known = facts.log_probabilities(given.model, given.tokenizer, asked, [f" {q.answer}." for q in questions])
    names = list({question.person.name for question in questions})
    begun = [f"{given.tokenizer.bos_token}The birth city of"] * len(names)
    named = facts.log_probabilities(given.model, given.tokenizer, begun, [f" {name} is" for name in names])
    bits = stored_bits(len(people), -named.mean(), -known.mean() * len(ATTRIBUTES))
    n_blocks = sum(layer.numel() for _, layer in layers(given.model))
    n_all = sum(p.numel() for p in given.model.parameters())
    return xr.Dataset({"bits": bits, "n_all": float(n_all), "n_blocks": float(n_blocks)})


def stored_bits(n_people: int, name_loss: float, value_loss: float) -> float:
    """Bits that a model holds of a world (`eq-capacity`; allenzhu2024storage), at least 0 each of names and values.

    `name_loss`, `value_loss`: nats a person of the name, and of all values together.
    """
    n_names = len(biographies.FIRST) * len(biographies.FAMILY)
    n_values = float(np.prod([float(len(attribute.values)) for attribute in ATTRIBUTES.values()]))
    names, values = (max(0.0, np.log(n) - loss) for n, loss in ((n_names, name_loss), (n_values, value_loss)))
    return n_people * (names + values) / np.log(2)


def digests(recipes: Sequence[str], seeds: Sequence[int]) -> str:
    """Eight digits a model that change when its weights do."""
    made = shipped.receipt()
    missing = [f"{name}-{seed}" for name in recipes for seed in seeds if f"{name}-{seed}" not in made]
    if missing:
        name, _, seed = missing[0].rpartition("-")
        raise checks.BadSetting(f"There is no trained {missing[0]}; make it with: {shipped.command(name, int(seed))}")
    return " ".join(made[f"{name}-{seed}"]["sha256"][:8] for name in recipes for seed in seeds)
