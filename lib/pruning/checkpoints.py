"""Llama checkpoints in safetensors, read and written a tensor at a time, and what is wrong with a bad one."""

import json
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from lib import files
from lib.checks import BadSetting
from lib.pruning import linears
from lib.pruning.encoding import NAMES
from lib.pruning.reading import Checkpoint, empty

FLOATS = {NAMES[dtype]: dtype for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16)}
RECORD = "pruning.json"  # how a folder's model was pruned
CHUNK = 2**24  # bytes that are looked at or copied at once


class Whole(Checkpoint):
    """A directory of plain safetensors that was checked to be a whole Llama; BadSetting, in one sentence, if not.

    Its tensors are read, not mapped: the pages of a mapped file count as the process's memory until it is closed, so
    that memory would grow from block to block.
    """

    def __init__(self, folder: str | Path) -> None:
        super().__init__(folder)
        if self.packed:
            raise BadSetting(f"{folder} is packed; make it plain with: python -m lib.pruning unpack {folder} NEW_DIR")
        if self.config.get("num_local_experts") or self.config.get("num_experts"):
            raise BadSetting(f"{folder} holds a mixture of experts, whose layers are not those of a Llama.")
        self.llama = self.configuration()
        self.entries = {}  # of each tensor: its file, dtype, shape, and where its bytes begin and end there
        for file in sorted(set(self.files.values())):
            self.entries |= header(file)
        self.expected = expected(self.llama)
        self._check()

    def _check(self) -> None:
        for name, shape in self.expected.items():
            if name not in self.entries:
                raise BadSetting(f"{self.folder} lacks the tensor {name}, which its config.json asks for.")
            _, dtype, found, _, _ = self.entries[name]
            if dtype not in FLOATS:
                raise BadSetting(f"{name} in {self.folder} must be plain floating-point numbers, not {dtype}.")
            if found != shape:
                raise BadSetting(f"{name} in {self.folder} must have shape {shape} by its config.json, not {found}.")
        dtypes = sorted({self.entries[name][1] for name in self.expected})
        if len(dtypes) > 1:
            raise BadSetting(f"{self.folder} must hold numbers of one type, not of {' and '.join(dtypes)}.")

    @property
    def n_blocks(self) -> int:
        """Number of decoder blocks."""
        return self.llama.num_hidden_layers

    def block(self, index: int) -> list[str]:
        """The names of the tensors of a block."""
        return [name for name in self.expected if name.startswith(f"model.layers.{index}.")]

    def rest(self) -> list[str]:
        """The names of all else, tensors that only older versions read among them."""
        inside = {name for index in range(self.n_blocks) for name in self.block(index)}
        return [name for name in self.entries if name not in inside]

    def tensor(self, name: str) -> Tensor:
        """A tensor on the CPU."""
        return read(self.entries[name])

    def mapped(self, name: str) -> Tensor:
        """A tensor whose numbers are read from the disk where they are looked at: for a moment's use."""
        return super().tensor(name)

    def _bytes(self, name: str) -> Iterable[bytes]:
        file, _, _, start, end = self.entries[name]
        with open(file, "rb") as opened:
            opened.seek(start)
            for left in range(end - start, 0, -CHUNK):
                yield opened.read(min(left, CHUNK))

    def finite(self, name: str) -> bool:
        """Whether a tensor holds neither NaN nor infinity."""
        dtype = FLOATS[self.entries[name][1]]
        return all(torch.frombuffer(bytearray(piece), dtype=dtype).isfinite().all() for piece in self._bytes(name))

    def layers(self) -> Iterable[tuple[str, Tensor]]:
        """Name and weight of every linear layer of the blocks, one at a time."""
        return ((name, self.tensor(f"{name}.weight")) for name in linears.names(self.n_blocks))

    def copy(self, names: list[str], file: Path) -> None:
        """Write some tensors, byte for byte, to a new safetensors file; a few MB are in memory at a time."""
        header, place = {"__metadata__": {"format": "pt"}}, 0
        for name in names:
            _, dtype, shape, start, end = self.entries[name]
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [place, place := place + end - start]}
        encoded = json.dumps(header, separators=(",", ":")).encode()
        encoded += b" " * (-len(encoded) % 8)
        with files.aside(file) as part, open(part, "wb") as out:
            out.write(len(encoded).to_bytes(8, "little") + encoded)
            for name in names:
                out.writelines(self._bytes(name))


def expected(config) -> dict[str, list[int]]:
    """Name and shape of every tensor that a LlamaForCausalLM of this configuration needs."""
    state = empty(config).state_dict()
    if config.tie_word_embeddings:
        state.pop("lm_head.weight", None)
    return {name: list(tensor.shape) for name, tensor in state.items()}


def header(file: Path) -> dict[str, tuple]:
    """Of each tensor in a file: (file, dtype, shape, first byte, end); BadSetting where the file is cut or damaged."""
    size = file.stat().st_size
    try:
        with open(file, "rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            if length > size:
                raise ValueError("its header is longer than the file")
            header = json.loads(opened.read(length))
        header.pop("__metadata__", None)
        begin = 8 + length
        entries = {
            name: (file, entry["dtype"], entry["shape"], *(begin + place for place in entry["data_offsets"]))
            for name, entry in header.items()
        }
        if max((entry[-1] for entry in entries.values()), default=begin) != size:
            raise ValueError("it is not as long as its header says")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise BadSetting(f"{file} is damaged ({error}); fetch or copy it again.") from error
    return entries


def read(entry: tuple) -> Tensor:
    """The tensor at an entry of a header."""
    file, dtype, shape, start, end = entry
    data = torch.empty(end - start, dtype=torch.uint8)
    view = memoryview(data.numpy())
    with open(file, "rb", buffering=0) as opened:
        opened.seek(start)
        while len(view):
            if not (n := opened.readinto(view)):
                raise OSError(f"{file} has become shorter while it was read.")
            view = view[n:]
    return data.view(FLOATS[dtype]).reshape(shape)


def write(file: Path, tensors: dict[str, Tensor]) -> None:
    """Write a shard of a model; OSError, with nothing half-written, where that fails."""
    files.save(file, tensors, {"format": "pt"})


def record(folder: Path) -> dict:
    """How the model in a folder was pruned: `made`, and the layers that were `damped`; empty where it was not."""
    try:
        return json.loads((folder / RECORD).read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def write_record(folder: Path, made: dict, damped: dict[str, float]) -> None:
    """Write, or renew, what `record` reads."""
    files.write(folder / RECORD, {"made": made, "damped": damped})
