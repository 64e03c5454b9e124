"""From a text file to the token ids on which a pruning looks at its layers."""

from pathlib import Path

import torch
from torch import Tensor

from lib import checks
from lib.pruning.reading import load_tokenizer

TOKENS = 128 * 2048  # as in sun2024wanda and frantar2023sparsegpt
CONTEXT = 2048  # tokens of a sequence, or as many as the model reads
LETTERS = 16  # characters a token: more of a file is never read


def sequences(
    file: str | Path, model_dir: str | Path, config, tokens: int = TOKENS, context: int | None = None
) -> Tensor:
    """Token ids (n_sequences, context) from the beginning of a UTF-8 text file, by the model's own tokenizer.

    As many whole sequences as `tokens` allow and the text has. BadSetting where the file is no text or is too short
    for one sequence, where the model has no tokenizer, or where a setting is out of range.
    """
    longest = config.max_position_embeddings
    context = min(CONTEXT, longest) if context is None else context
    checks.whole("context", context, 1, longest)
    checks.whole("tokens", tokens, context)
    text = read_text("calibration", file, LETTERS * tokens)
    ids = load_tokenizer(model_dir)(text, add_special_tokens=False, verbose=False)["input_ids"][:tokens]
    n = len(ids) // context
    if n == 0:
        raise checks.BadSetting(
            f"{file} must have at least the {context} tokens of one sequence, and has {len(ids)}; "
            "give a longer text."
        )
    return torch.tensor(ids[: n * context]).reshape(n, context)


def read_text(name: str, file: str | Path, letters: int = -1) -> str:
    """The text in a UTF-8 file, or its first `letters`; BadSetting, with the setting's `name`, where it is none."""
    try:
        with open(file, encoding="utf-8") as opened:
            text = opened.read(letters)
    except (FileNotFoundError, IsADirectoryError) as error:
        wrong = "is a folder" if isinstance(error, IsADirectoryError) else "does not exist"
        raise checks.BadSetting(f"{name} must be a text file, and {file} {wrong}.") from error
    except UnicodeDecodeError as error:
        raise checks.BadSetting(f"{file} must be a text in UTF-8, and is binary.") from error
    if "\0" in text:
        raise checks.BadSetting(f"{file} must be a text in UTF-8, and is binary.")
    if not text.strip():
        raise checks.BadSetting(f"{file} must hold a text, and is empty.")
    return text
