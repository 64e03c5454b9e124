"""Safetensors files written one tensor at a time, and directories that appear when they are whole."""

import json
import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from lib import files
from lib.checks import BadSetting
from lib.pruning.encoding import NAMES

_WEIGHTS = (  # not copied beside new weights
    ".safetensors", ".index.json", ".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack", ".onnx", ".onnx_data", ".part",
)  # fmt: skip


class Header:
    """Where each entry stands in one safetensors file: larger numbers first, so that all are aligned, then by name.

    kinds : dtype and shape of each entry; the entries take `size` bytes.
    """

    def __init__(self, kinds: dict[str, tuple[torch.dtype, list[int]]], metadata: dict[str, str]):
        self.entries, self.size = {}, 0
        for name, (dtype, shape) in sorted(kinds.items(), key=lambda kind: (-kind[1][0].itemsize, kind[0])):
            end = self.size + math.prod(shape) * dtype.itemsize
            self.entries[name] = {"dtype": NAMES[dtype], "shape": list(shape), "data_offsets": [self.size, end]}
            self.size = end
        about = {"__metadata__": metadata} if metadata else {}
        text = json.dumps(about | self.entries, separators=(",", ":"), ensure_ascii=False).encode()
        text += b" " * (-len(text) % 8)
        self.bytes = len(text).to_bytes(8, "little") + text  # the file up to its first entry

    def write(self, file: Path, names: Iterable[str], parts: Callable[[str], dict[str, Tensor]]) -> None:
        """Write the file; `parts` gives, for one name after the other, the entries that belong to it."""
        with files.naming(file), open(file, "wb") as opened:
            opened.write(self.bytes)
            for name in tqdm(names, file.name):
                for entry, part in parts(name).items():
                    opened.seek(len(self.bytes) + self.entries[entry]["data_offsets"][0])
                    opened.write(part.flatten().view(torch.uint8).numpy().data)
                    del part  # before the next one is read
            opened.flush()
            os.fsync(opened.fileno())


@contextmanager
def new_folder(source: Path, out: Path | str) -> Iterator[Path]:
    """A directory beside `out` that becomes `out` when all went well, and is removed when not.

    It begins with everything of `source` but its weights: configuration, tokenizer, licence. BadSetting where `out`
    holds something or is a file; what a killed run left is replaced.
    """
    out = Path(out).resolve()
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise BadSetting(f"{out} exists already; name a new directory.")
    part = out.with_name(f"{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        copy_beside(source, part)
        yield part
        part.replace(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def copy_beside(source: Path, out: Path, but: tuple[str, ...] = ()) -> None:
    """Copy all that lies beside the weights: configuration, tokenizer, licence; `but` are names left out."""
    for file in sorted(source.iterdir()):
        if file.is_file() and not file.name.endswith(_WEIGHTS + but):
            shutil.copyfile(file, out / file.name)


def shard(kind: str, place: int, n: int) -> str:
    """The name of one of `n` weight files, as transformers counts them."""
    return f"{kind}.safetensors" if n == 1 else f"{kind}-{place + 1:05}-of-{n:05}.safetensors"


def write_index(folder: Path, kind: str, metadata: dict, weight_map: dict[str, str]) -> None:
    """Which file holds which tensor, under the name that transformers gives it."""
    index = {"metadata": metadata, "weight_map": dict(sorted(weight_map.items()))}
    file = folder / f"{kind}.safetensors.index.json"
    with files.naming(file):
        file.write_text(json.dumps(index, indent=2) + "\n", "utf-8")
