"""Llamas that read: our models or a reader's own, their texts, and what is measured of their attention on the way."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from lib import attention, checks
from lib.attention import Rows
from lib.measures import check_run
from lib.pruning import load, load_tokenizer
from lib.pruning.calibration import read_text
from lib.tiny_llama import recipes, shipped, training
from lib.tiny_llama.recipes import Recipe

LONGEST = 512  # tokens of a text, twice what training showed
FIRST = {"all but the first": 1, "all": 0}  # the first key that counts: models use their first token as a sink
UNTRAINED = "untrained"
_ALIKE = {
    recipe.width: name for name, recipe in recipes.RECIPES.items() if recipe == Recipe("llama2", width=recipe.width)
}
WIDTHS = dict(sorted(_ALIKE.items()))  # the names of the models that differ in width alone
NULLS, PLACES, RANDOM = 10, 11, 13  # what a generator draws, below one seed, beside what the recipes draw
N_TEXTS = 24
SHOWN = 8  # layers, and heads, whose pattern is drawn
CLASSES = 2 ** np.arange(4, int(np.log2(recipes.CONTEXT)) + 1)  # contexts at which a class begins, the last its end
WAYS = ("strongest", "random")
CHUNK = 8  # texts that are read at a time, at most


def contexts(longest: int = LONGEST) -> list[int]:
    """Numbers of keys from 16 to `longest`, in steps of about the root of two."""
    n_steps = int(2 * np.log2(longest / 16))
    return np.round(16 * 2 ** (np.arange(n_steps + 1) / 2)).astype(int).tolist()


def fingerprint(model_dir: str = "", text: str = "") -> str:
    """Eight digits that change with the models that ship, or with the checkpoint and the text of a reader."""
    if not model_dir:
        return shipped.fingerprint()
    files = [*sorted(Path(model_dir).iterdir()), Path(text)]
    told = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(repr(told).encode()).hexdigest()[:8]


def reading(
    model: str, seed: int, length: int, n_texts: int, text: str = ""
) -> tuple[torch.nn.Module, Tensor, list[str]]:
    """A model, texts that it was not trained on, tokens (n_texts, length), and the words of the first.

    `model` names one of ours, number seed modulo 3, which reads documents of its own world one after the other; or a
    folder, whose model reads passages from the file `text`.
    """
    if text:
        return _checkpoint(model, seed, length, n_texts, text)
    name, number = "llama2" if model == UNTRAINED else model, seed % len(shipped.SEEDS)
    llama, tokens = shipped.trained(name, number)
    if model == UNTRAINED:
        llama = recipes.untrained(recipes.RECIPES[name], seed, len(tokens)).eval()
    shown = training.windows(shipped.held_out(name, number, tokens, n_texts * length), length)
    return llama, shown, [tokens.decode(token) for token in shown[0]]


def _checkpoint(folder: str, seed: int, length: int, n_texts: int, text: str):
    tokens = load_tokenizer(folder)
    stream = torch.tensor(tokens(read_text("text", text), add_special_tokens=False)["input_ids"])
    if len(stream) < length:
        raise checks.BadSetting(f"text must have at least {length} tokens, not {len(stream)}.")
    begins = recipes.generator(seed, PLACES).integers(len(stream) - length + 1, size=n_texts)
    shown = torch.stack([stream[begin : begin + length] for begin in begins])
    if tokens.bos_token_id is not None:
        shown[:, 0] = tokens.bos_token_id
    return load(folder), shown, [tokens.decode(token) for token in shown[0]]


def survey(
    model: str,
    models: str,
    *,
    share: Sequence[float] = (0.9,),
    alignment: Sequence[float] = (0.9,),
    context: Sequence[int] = tuple(contexts()),
    n_texts: int = N_TEXTS,
    text: str = "",
    seed: int = 0,
    device: str = "cpu",
) -> xr.Dataset:
    """`measure` of one of our models, or of a reader's, on text that it was not trained on.

    `models`: the `fingerprint`, so that a stored result never outlives them.
    """
    check_run(seed, device)
    checks.choice("models", models, [fingerprint(model if text else "", text)])
    llama, shown, _ = reading(model, seed, max(LONGEST, *context), n_texts, text)
    return measure(llama.to(device), shown.to(device), context, share, alignment, seed)


def survey_width(width: int, models: str, **settings) -> xr.Dataset:
    """`survey` of our model of that width."""
    return survey(WIDTHS[width], models, **settings)


def measure(
    model: torch.nn.Module,
    tokens: Tensor,
    context: Sequence[int],
    share: Sequence[float] = (0.9,),
    alignment: Sequence[float] = (0.9,),
    seed: int = 0,
) -> xr.Dataset:
    """Density of a Llama's attention at each layer, head and context length, mean over texts, beside its nulls.

    tokens (texts, length). "density" holds a share, "gaussian" and "foreign" are the same of the nulls; "entropy"
    (nats), "entropy_gaussian" and "variance" of the logits; all for each choice of "counted" (`FIRST`). Of all keys:
    "sink", what the first holds; "own", what those of the query's own document hold, and "own_keys", their number.
    "through": density at which the output aligns with the whole one, without the first key. "trained": the longest
    context that training showed, by the model's configuration.
    """
    found: dict[str, dict[tuple[int, int], np.ndarray]] = defaultdict(lambda: defaultdict(float))

    def take(rows: Rows) -> None:
        mine = own[:, rows.context - 1, None, : rows.context]
        here = {"sink": rows.logits.softmax(-1)[..., 0], "own_keys": mine.sum(-1).expand(rows.logits.shape[:2])}
        here["own"] = (rows.logits.softmax(-1) * mine).sum(-1)
        here["through"] = attention.output_density(rows.logits[..., 1:], rows.values[..., 1:, :], alignment)
        rng = recipes.generator(seed, NULLS, begin, rows.layer, rows.context)
        counted = [_sparsity(rows, first, share, rng) for first in FIRST.values()]
        here |= {name: torch.stack([one[name] for one in counted], 2) for name in counted[0]}
        for name, values in here.items():
            found[name][rows.layer, rows.context] += values.double().sum(0).cpu().numpy() / len(tokens)

    begin = 0
    for shown in tokens.tensor_split(-(-len(tokens) // CHUNK)):  # alike in size: a text alone has no next one's query
        own = _own_document(shown, model.config.bos_token_id)
        attention.read(model, shown, context, take)
        begin += len(shown)
    return _labelled(found, context, share, alignment).assign(trained=model.config.max_position_embeddings)


def _sparsity(rows: Rows, first: int, share: Sequence[float], rng: np.random.Generator) -> dict[str, Tensor]:
    """What `measure` takes of a layer's rows from key `first` on, and of the nulls; (texts, heads, ...)."""
    logits = rows.logits[..., first:]
    drawn = attention.gaussian_like(rng, logits)
    found = {name: attention.density(of, share) for name, of in (("density", logits), ("gaussian", drawn))}
    if rows.foreign is None:
        found["foreign"] = torch.full_like(found["density"], torch.nan)
    else:
        found["foreign"] = attention.density(rows.foreign[..., first:], share)
    found |= {"entropy": attention.entropy(logits), "entropy_gaussian": attention.entropy(drawn)}
    return found | {"variance": logits.double().var(-1, correction=0)}


def _own_document(tokens: Tensor, begins: int | None) -> Tensor:
    """Whether a query's key belongs to its document, which begins with that token; (texts, queries, keys)."""
    number = (tokens == (-1 if begins is None else begins)).cumsum(-1)
    return number[:, :, None] == number[:, None, :]


def _labelled(found, context, share, alignment) -> xr.Dataset:
    dims = {name: ("counted", "share") for name in ("density", "gaussian", "foreign")} | {"through": ("alignment",)}
    dims |= {name: ("counted",) for name in ("entropy", "entropy_gaussian", "variance")}
    n_layers = 1 + max(layer for layer, _ in found["sink"])
    n_heads = len(found["sink"][0, context[0]])
    variables = {}
    for name, values in found.items():
        table = np.array([[values[layer, n] for n in context] for layer in range(n_layers)])
        variables[name] = (("layer", "context", "head", *dims.get(name, ())), table)
    places = {"layer": range(1, n_layers + 1), "head": range(1, n_heads + 1), "context": list(context)}
    return xr.Dataset(variables, places | {"counted": list(FIRST), "share": list(share), "alignment": list(alignment)})


def pattern(
    model: str, models: str, *, length: int = 32, text: str = "", seed: int = 0, device: str = "cpu"
) -> xr.Dataset:
    """The beginning of a text as up to `SHOWN` layers and heads read it: "attention", NaN where a key lies ahead."""
    checks.choice("models", models, [fingerprint(model if text else "", text)])
    llama, shown, _ = reading(model, seed, LONGEST, 2, text)
    layers, heads = _spaced(llama.config.num_hidden_layers), _spaced(llama.config.num_attention_heads)
    whole = np.full((len(layers), len(heads), length, length), np.nan)

    def take(rows: Rows) -> None:
        if (here := np.flatnonzero(layers == rows.layer + 1)).size:
            weights = rows.logits[0, heads - 1].double().softmax(-1)
            whole[here[0], :, rows.context - 1, : rows.context] = weights.cpu()

    attention.read(llama.to(device), shown[:1, :length].to(device), range(1, length + 1), take)
    places = {"layer": layers, "head": heads, "query": np.arange(1, length + 1), "key": np.arange(1, length + 1)}
    return xr.Dataset({"attention": (tuple(places), whole)}, places)


def _spaced(n: int) -> np.ndarray:
    """Up to `SHOWN` of the numbers from 1 to n."""
    return np.unique(np.linspace(1, n, min(n, SHOWN)).round().astype(int))


def truncation(
    model: str, models: str, *, kept: Sequence[int], n_texts: int = 8, text: str = "", seed: int = 0,
    device: str = "cpu",
) -> xr.Dataset:  # fmt: skip
    """Perplexity of a model whose queries attend to `kept` keys beside the first, over that with all keys.

    "ratio" over "way" ("strongest" keys, or "random" ones), kept, and "context": the geometric mean of a class of
    contexts from one power of two to the next, up to recipes.CONTEXT.
    """
    checks.choice("models", models, [fingerprint(model if text else "", text)])
    llama, shown, _ = reading(model, seed, recipes.CONTEXT, n_texts, text)
    llama, shown = llama.to(device), shown.to(device)
    whole, found = _losses(llama, shown), []
    for n_kept in kept:
        for rng in (None, recipes.generator(seed, RANDOM)):
            with attention.truncated(llama, n_kept, rng):
                found.append([np.exp(loss - dense) for loss, dense in zip(_losses(llama, shown), whole, strict=True)])
    table = np.reshape(found, (len(kept), len(WAYS), len(whole)))
    places = {"kept": list(kept), "way": list(WAYS), "context": np.sqrt(2.0) * CLASSES[:-1]}
    return xr.Dataset({"ratio": (("kept", "way", "context"), table)}, places)


@torch.no_grad()
def _losses(model: torch.nn.Module, tokens: Tensor) -> list[float]:
    """Mean loss (nats) of the tokens that follow a context in each of `CLASSES`."""
    losses = []
    for chunk in tokens.split(CHUNK):
        logits = model(chunk, use_cache=False).logits[:, :-1].float()
        losses.append(torch.nn.functional.cross_entropy(logits.mT, chunk[:, 1:], reduction="none"))
    by_context = torch.cat(losses).mean(0)  # entry i follows a context of i + 1 tokens
    return [by_context[low - 1 : high - 1].mean().item() for low, high in pairwise(CLASSES.tolist())]
