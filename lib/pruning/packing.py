"""Packed directories: safetensors of a Llama whose zeros take one bit each, exact or quantised.

Page packed_format of the book says every byte.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from lib import checks
from lib.checks import BadSetting
from lib.pruning.encoding import BITS, NAMES, encode
from lib.pruning.reading import FORMAT, KEYS, PACKED, PLAIN, VERSION, Checkpoint, checksum
from lib.pruning.writing import Header, new_folder, shard, write_index

_BLOCK = re.compile(r"model\.layers\.\d+\.(self_attn|mlp)\.\w+_proj\.weight")


@dataclass(frozen=True)
class Storage:
    """How the linear layers of decoder blocks are stored; BadSetting for what cannot be."""

    bits: int | None = None  # of a code, 8 or 4; None keeps the numbers as they are
    group: int | None = None  # neighboring inputs of a row that share a scale; None: the whole row
    sparse: bool = True  # whether a bitmap may stand for zeros, in any matrix that it makes smaller

    def __post_init__(self) -> None:
        if self.bits is not None and (type(self.bits) is not int or self.bits not in BITS):
            raise BadSetting(f"bits must be 8 or 4, not {self.bits!r}.")
        if self.group is not None:
            if self.bits is None:
                raise BadSetting("group needs bits: give bits 8 or 4 with it, or leave it out.")
            checks.whole("group", self.group, 1)

    def parts(self, name: str, tensor: Tensor) -> dict[str, Tensor]:
        """The entries of a file that store a tensor; BadSetting, with its name, for one that cannot be stored."""
        if tensor.dtype not in NAMES:
            raise BadSetting(f"{name} has the dtype {tensor.dtype}, which the packed format does not know.")
        coded = (self.bits, self.group) if is_block(name) else (None, None)
        try:
            parts = encode(tensor, *coded, self.sparse)
        except BadSetting as error:
            raise BadSetting(f"{name} cannot be stored: {error}") from error
        return {name + ("." + end if end else ""): part for end, part in parts.items()}

    def record(self, name: str, tensor: Tensor, parts: dict[str, Tensor]) -> dict:
        """What the metadata say of a tensor."""
        coded = {"bits": self.bits, "group": self.group} if self.bits and is_block(name) else {}
        return {"shape": list(tensor.shape), "dtype": NAMES[tensor.dtype], **coded, "crc32": checksum(parts)}


@dataclass(frozen=True)
class Sizes:
    """Bytes of a model in files of the packed format, by what they hold."""

    n_block_weights: int  # numbers in the linear layers of the decoder blocks, zeros too
    block_bytes: int  # these numbers, with bitmaps and scales
    other_bytes: int  # embeddings, norms, biases, head
    header_bytes: int  # names, shapes and places

    @property
    def total(self) -> int:
        """Bytes of all weight files."""
        return self.block_bytes + self.other_bytes + self.header_bytes

    @property
    def bits_per_block_weight(self) -> float:
        """Bits that a weight of the decoder blocks takes, zeros included."""
        return 8 * self.block_bytes / self.n_block_weights

    def __add__(self, other: "Sizes") -> "Sizes":
        return Sizes(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    def __str__(self) -> str:
        return (
            f"{self.total:,} bytes: {self.block_bytes:,} for {self.n_block_weights:,} weights of the decoder blocks "
            f"({self.bits_per_block_weight:.3f} bits each), {self.other_bytes:,} for all others, "
            f"{self.header_bytes:,} of headers"
        )


def is_block(name: str) -> bool:
    """Whether a tensor is the weight of a linear layer of a decoder block."""
    return _BLOCK.fullmatch(name) is not None


def plan(tensors: Iterable[tuple[str, Tensor]], metadata: dict[str, str], storage: Storage) -> tuple[Header, Sizes]:
    """The header of a packed file that is to hold these tensors, and what the file takes; looks at one at a time.

    A header stands in front of what it describes, so a file is planned before it is written.
    """
    kinds, records, n, size = {}, {}, 0, {True: 0, False: 0}
    for name, tensor in tensors:
        parts = storage.parts(name, tensor)
        kinds |= {entry: (part.dtype, list(part.shape)) for entry, part in parts.items()}
        records[name] = storage.record(name, tensor, parts)
        size[is_block(name)] += sum(part.numel() * part.element_size() for part in parts.values())
        n += tensor.numel() if is_block(name) else 0
        del tensor, parts  # before the next one is read
    about = zip(KEYS, (FORMAT, str(VERSION), json.dumps(records, sort_keys=True)), strict=True)
    header = Header(kinds, metadata | dict(about))
    return header, Sizes(n, size[True], size[False], len(header.bytes))


def pack(folder: Path | str, out: Path | str, *, bits: int | None = None, group: int | None = None) -> Sizes:
    """Write the model of a plain directory to a new directory `out` in the packed format; returns what it takes.

    Without `bits`, `unpack` gives every tensor back bit for bit. With `bits` 8 or 4 the weights of the decoder blocks
    are rounded as `quantize` rounds them, and all else is kept. Either way a matrix gets a bitmap where that makes it
    smaller. One tensor at a time is in memory, and `out` appears when it is whole. BadSetting where the directory is
    no readable Llama or is packed already.
    """
    storage, checkpoint = Storage(bits, group), Checkpoint(folder)
    if checkpoint.packed:
        raise BadSetting(f"{folder} is packed already.")
    shards, weight_map, sizes = checkpoint.shards(), {}, Sizes(0, 0, 0, 0)
    with new_folder(checkpoint.folder, out) as part:
        for place, (source, names) in enumerate(shards):
            file = part / shard(PACKED, place, len(shards))
            tensors = ((name, checkpoint.tensor(name)) for name in names)
            header, size = plan(tensors, checkpoint.metadata(source), storage)
            header.write(file, names, lambda name: storage.parts(name, checkpoint.tensor(name)))
            weight_map |= dict.fromkeys(names, file.name)
            sizes += size
        about = {"packed_format": FORMAT, "packed_version": VERSION, "total_size": sizes.total - sizes.header_bytes}
        write_index(part, PACKED, about, weight_map)
    return sizes


def unpack(folder: Path | str, out: Path | str) -> None:
    """Write the model of a packed directory to a new directory `out` as plain safetensors that any program reads.

    Quantised weights become the numbers of their dtype that they stand for. One tensor at a time is in memory, and
    `out` appears when it is whole. BadSetting where the directory is not packed or is damaged.
    """
    checkpoint = Checkpoint(folder)
    if not checkpoint.packed:
        raise BadSetting(f"{folder} is not packed.")
    shards, weight_map, size = checkpoint.shards(), {}, 0
    with new_folder(checkpoint.folder, out) as part:
        for place, (source, names) in enumerate(shards):
            file = part / shard(PLAIN, place, len(shards))
            records = {name: checkpoint.record(name) for name in names}
            kinds = {name: (record["dtype"], record["shape"]) for name, record in records.items()}
            header = Header(kinds, checkpoint.metadata(source))
            header.write(file, names, lambda name: {name: checkpoint.tensor(name)})
            weight_map |= dict.fromkeys(names, file.name)
            size += header.size
        if len(shards) > 1:
            write_index(part, PLAIN, {"total_size": size}, weight_map)
