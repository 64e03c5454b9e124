"""A reader's own Llama: its perplexity and its answers at the sparsities of chapter 7."""

import json
import math
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from torch import Tensor

from lib import checks
from lib.pruning import calibration, evaluate, generate, load, load_tokenizer, streaming
from lib.pruning.checkpoints import Whole
from lib.pruning.criteria import CALIBRATED
from lib.pruning.reading import Checkpoint

METHODS = ("magnitude", "wanda", "sparsegpt")
TOKENS = 2**17  # of the text: one half to calibrate on, the other to be read
N_NEW = 16  # tokens of an answer


def check(model_dir: Path | str, text: Path | str, questions: Path | str = "") -> None:
    """BadSetting unless a Llama's folder and a text are named, both readable, or neither; so for a list of questions.

    Reads no weights, so that a long run does not fail at its end; neither does `windows`.
    """
    if bool(model_dir) != bool(text):
        raise checks.BadSetting("model_dir needs text, a file that the model is to read, and text needs model_dir.")
    if questions and not model_dir:
        raise checks.BadSetting("questions are for a model of your own: name its model_dir and a text, too.")
    if model_dir:
        Checkpoint(model_dir)
        calibration.read_text("text", str(text), calibration.LETTERS)  # the command line makes numbers of names
    _questions(questions)


def windows(model_dir: Path | str, text: Path | str, context: int | None = None) -> tuple[Tensor, Tensor]:
    """The sequences of a text, (n, context) each, to calibrate on and to read; BadSetting for fewer than two in all."""
    found = calibration.sequences(text, model_dir, Whole(model_dir).llama, TOKENS, context)
    if len(found) < 2:
        raise checks.BadSetting(f"{text} must have two sequences of {found.shape[1]} tokens; give a longer text.")
    return found[: len(found) // 2], found[len(found) // 2 :]


def measure(
    model_dir: Path | str,
    text: Path | str,
    questions: Path | str | None = None,
    *,
    sparsities: Sequence[float] = (0.0, 0.3, 0.5, 0.6),
    methods: Sequence[str] = METHODS,
    context: int | None = None,
    device: str = "cpu",
) -> xr.Dataset:
    """ "perplexity" and "recall" of the Llama in `model_dir` over method and sparsity, NaN where nothing is asked.

    `text`: a UTF-8 file, whose first half calibrates and whose second half is read, in windows of `context` tokens
    (2048, or as many as the model reads). `questions`: a JSON list of {"prompt", "answer"}; right is an answer that
    begins with the one given. Pruned models are streamed to disk, beside the model or, where that cannot be written, to
    the folder for temporary files (TMPDIR), and deleted; reading one takes it into memory.
    "block_share": block weights over all parameters. BadSetting for a bad model, text or list.
    """
    checks.number("sparsities", sparsities, 0, 0.99)
    for method in methods:
        checks.choice("method", method, METHODS)
    source, (shown, read) = Whole(model_dir), windows(model_dir, text, context)
    asked = _questions(questions)
    beside = Path(model_dir).absolute().parent
    place = beside if os.access(beside, os.W_OK) else None  # the system's folder for temporary files
    dense, found = _judge(model_dir, read, asked, device), []
    for method in methods:
        row = []
        for sparsity in sparsities:
            if sparsity == 0:
                row.append(dense)
                continue
            with tempfile.TemporaryDirectory(dir=place) as folder:
                seen = shown if method in CALIBRATED else None
                out = Path(folder) / "pruned"
                streaming.stream(model_dir, out, method=method, sparsity=sparsity, calibration=seen, device=device)
                row.append(_judge(out, read, asked, device))
        found.append(row)
    values, sizes = np.array(found), {name: math.prod(shape) for name, shape in source.expected.items()}
    share = sum(size for name, size in sizes.items() if name.endswith("_proj.weight")) / sum(sizes.values())
    coords = {"method": list(methods), "sparsity": list(sparsities)}
    variables = {name: (("method", "sparsity"), values[..., i]) for i, name in enumerate(("perplexity", "recall"))}
    return xr.Dataset(variables, coords, {"context": read.shape[1], "block_share": share})


def _judge(folder: Path | str, read: Tensor, asked: list[tuple[str, str]], device: str) -> tuple[float, float]:
    """Perplexity of the windows `read`, and share of the questions that are answered rightly, NaN where none is."""
    model = load(folder, device)
    perplexity = evaluate(model, read.flatten(), read.shape[1], batch=1).perplexity
    if not asked:
        return perplexity, math.nan
    answers = generate(model, load_tokenizer(folder), [prompt for prompt, _ in asked], N_NEW)
    right = [text.strip().startswith(answer) for (text,), (_, answer) in zip(answers, asked, strict=True)]
    return perplexity, float(np.mean(right))


def _questions(file: Path | str | None) -> list[tuple[str, str]]:
    if not file:
        return []
    wrong = checks.BadSetting(f'{file} must be a JSON list of {{"prompt": ..., "answer": ...}}.')
    try:
        rows = json.loads(Path(file).read_text("utf-8"))
        pairs = [(row["prompt"], row["answer"].strip()) for row in rows]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise wrong from error
    if not pairs or not all(isinstance(prompt, str) and answer for prompt, answer in pairs):
        raise wrong  # every text begins with an empty answer
    return pairs
