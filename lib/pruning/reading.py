"""A directory with a Llama's weights, plain or packed, read one tensor at a time, and the model in it."""

import json
import zlib
from pathlib import Path

import safetensors
import torch
from torch import Tensor

from lib.checks import BadSetting
from lib.measures import check_run
from lib.pruning.encoding import DTYPES, NAMES, decode

FORMAT, VERSION = "bitmap", 1
PLAIN, PACKED = "model", "packed"  # how the names of their files begin
KEYS = ("packed_format", "packed_version", "packed_tensors")  # of a packed file's metadata
PARTS = ("", ".bitmap", ".codes", ".scales", ".values")  # what may follow a tensor's name in a packed file
_UNUSED = ".rotary_emb.inv_freq"  # early Llama checkpoints store it; it follows from the configuration


class Checkpoint:
    """A model directory: `config`, `packed` or not, and the `files` that hold each tensor; BadSetting where it is none.

    Nothing is read before `tensor` asks for it, and nothing stays open.
    """

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise BadSetting(f"{folder} is no directory.")
        self.config = _json(self.folder / "config.json", f"{folder} is no model directory")
        if self.config.get("model_type") != "llama":
            raise BadSetting(f"{folder} holds a {self.config.get('model_type', 'nameless')} model, not a Llama.")
        if "quantization_config" in self.config:
            raise BadSetting(f"{folder} was quantised by another tool; start from its 16-bit weights.")
        self.packed = (self.folder / f"{PACKED}.safetensors.index.json").exists()
        self.files = self._files(PACKED if self.packed else PLAIN)
        self._records: dict[Path, dict[str, dict]] = {}

    def _files(self, kind: str) -> dict[str, Path]:
        index, single = (self.folder / f"{kind}.safetensors{end}" for end in (".index.json", ""))
        if index.exists():
            names = _json(index, f"{self.folder} has no index").get("weight_map")
            if not isinstance(names, dict) or not all(isinstance(file, str) for file in names.values()):
                raise BadSetting(f"{index} is no index of safetensors: its weight_map names no files.")
            files = {name: self.folder / file for name, file in names.items()}
        elif single.exists():
            with _opened(single) as opened:
                files = dict.fromkeys(opened.keys(), single)
        else:
            raise BadSetting(f"{self.folder} holds no weights: there is neither {single.name} nor {index.name}.")
        for file in sorted(set(files.values())):
            if not file.is_file():
                raise BadSetting(f"{file} is missing, which {index.name} names.")
        return files

    def shards(self) -> list[tuple[Path, list[str]]]:
        """Each file with the names of its tensors, both in order."""
        return [
            (file, sorted(name for name, of in self.files.items() if of == file))
            for file in sorted(set(self.files.values()))
        ]

    def configuration(self):
        """The LlamaConfig; BadSetting where config.json holds what is none."""
        from transformers import LlamaConfig

        try:
            config = LlamaConfig.from_dict(self.config)
        except Exception as error:  # a bad entry fails in any way, by the validator that it meets
            said = " ".join(str(error).split())
            raise BadSetting(f"config.json in {self.folder} does not describe a Llama ({said}).") from error
        if config.num_hidden_layers < 1:
            raise BadSetting(f"config.json in {self.folder} must describe a Llama with at least one block.")
        return config

    def parameters(self) -> set[str]:
        """The names of the parameters: a tied head is the embedding, and stored frequencies of positions are none."""
        tied = {"lm_head.weight"} if self.config.get("tie_word_embeddings") else set()
        return {name for name in self.files if not name.endswith(_UNUSED)} - tied

    def metadata(self, file: Path) -> dict[str, str]:
        """What a file says about itself, without what packing added."""
        with _opened(file) as opened:
            return {key: text for key, text in (opened.metadata() or {}).items() if key not in KEYS}

    def record(self, name: str) -> dict:
        """How a tensor of a packed directory is stored: shape, dtype, crc32, and bits and group where quantised."""
        file = self.files[name]
        if file not in self._records:
            with _opened(file) as opened:
                self._records[file] = _records(file, opened.metadata() or {})
        try:
            record = self._records[file][name]
            return record | {"dtype": DTYPES[record["dtype"]], "shape": list(record["shape"])}
        except (KeyError, TypeError) as error:
            raise BadSetting(f"{file} is damaged: it does not say how {name} is stored.") from error

    def tensor(self, name: str) -> Tensor:
        """One tensor, on the CPU, bit for bit what was packed; BadSetting names what is damaged."""
        file = self.files[name]
        with _opened(file) as opened:
            if not self.packed:
                return _part(opened, file, name)
            stored = set(opened.keys())
            parts = {name + end: _part(opened, file, name + end) for end in PARTS if name + end in stored}
        record = self.record(name)
        if checksum(parts) != record.pop("crc32", None):
            raise BadSetting(f"{file} is damaged: the checksum of {name} is wrong; pack or download it again.")
        try:
            return decode({entry[len(name) + 1 :]: part for entry, part in parts.items()}, **record)
        except (KeyError, TypeError, ValueError) as error:
            raise BadSetting(f"{file} is damaged: {name} cannot be unpacked ({error}).") from error


def checksum(parts: dict[str, Tensor]) -> int:
    """CRC-32 of the bytes of the entries that store a tensor, in alphabetical order."""
    crc = 0
    for _, part in sorted(parts.items()):
        crc = zlib.crc32(part.flatten().view(torch.uint8).numpy(), crc)
    return crc


def _records(file: Path, metadata: dict[str, str]) -> dict[str, dict]:
    kind, version, records = (metadata.get(key) for key in KEYS)
    if kind != FORMAT:
        raise BadSetting(f"{file} is not in the packed format, which its metadata would name.")
    if version != str(VERSION):
        raise BadSetting(f"{file} has version {version} of the packed format; this program reads version {VERSION}.")
    try:
        return json.loads(records)
    except (TypeError, ValueError) as error:
        raise BadSetting(f"{file} is damaged: its list of tensors is no JSON.") from error


class _opened:
    """A safetensors file, closed after use; BadSetting where it cannot be read."""

    def __init__(self, file: Path):
        self.file = file

    def __enter__(self):
        try:
            self.handle = safetensors.safe_open(self.file, framework="pt")
            return self.handle.__enter__()
        except (safetensors.SafetensorError, OSError) as error:
            said = f"{self.file} is damaged or no safetensors file ({error}); fetch or copy it again."
            raise BadSetting(said) from error

    def __exit__(self, *raised) -> None:
        self.handle.__exit__(*raised)


def _part(opened, file: Path, name: str) -> Tensor:
    try:
        return opened.get_tensor(name)
    except (safetensors.SafetensorError, OSError) as error:
        raise BadSetting(f"{file} is damaged: {name} cannot be read ({error}).") from error


def _json(file: Path, else_: str) -> dict:
    try:
        found = json.loads(file.read_text("utf-8"))
    except FileNotFoundError as error:
        raise BadSetting(f"{else_}: there is no {file.name} in it.") from error
    except ValueError as error:
        raise BadSetting(f"{file} is no JSON ({error}).") from error
    if not isinstance(found, dict):
        raise BadSetting(f"{file} holds no JSON object.")
    return found


def empty(config):
    """The LlamaForCausalLM of a LlamaConfig without weights, in eval mode; BadSetting where none can be built."""
    from transformers import LlamaForCausalLM

    try:
        with torch.device("meta"):
            return LlamaForCausalLM(config).eval()
    except Exception as error:  # an unknown activation or kind of positions fails wherever it is looked up
        raise BadSetting(f"config.json does not describe a Llama that can be built ({error!r}).") from error


def load(folder: Path | str, device: str = "cpu", dtype: torch.dtype | None = None):
    """The `LlamaForCausalLM` of a plain or packed directory, in eval mode, in `dtype` or as it was stored.

    It is filled tensor by tensor: beside the model, one tensor is in memory. A packed model is dense once loaded.
    BadSetting where something is missing, damaged, or of another shape than the configuration says.
    """
    from transformers import GenerationConfig
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    check_run(0, device)
    checkpoint = Checkpoint(folder)
    config = checkpoint.configuration()
    model = empty(config)
    model.model.rotary_emb = LlamaRotaryEmbedding(config)  # no checkpoint holds its frequencies
    expected = {name: parameter for name, parameter in model.named_parameters()}
    tied = {"lm_head.weight"} if config.tie_word_embeddings else set()
    names = checkpoint.parameters()
    for missing in sorted(expected.keys() - tied - names):
        raise BadSetting(f"{folder} has no {missing}, which its config.json asks for.")
    for strange in sorted(names - expected.keys()):
        raise BadSetting(f"{folder} holds {strange}, which its config.json does not ask for.")
    for name in sorted(names):
        tensor = checkpoint.tensor(name)
        if tensor.shape != expected[name].shape:
            sizes = f"{list(tensor.shape)}, not {list(expected[name].shape)} as its config.json says"
            raise BadSetting(f"{name} in {folder} is {sizes}.")
        if not tensor.is_floating_point():
            raise BadSetting(f"{name} in {folder} must be plain floating-point numbers, not {NAMES[tensor.dtype]}.")
        model.load_state_dict({name: tensor.to(device, dtype, copy=True)}, strict=False, assign=True)
        del tensor  # which may be the file itself, mapped, and goes before the next one is read
    model.tie_weights()
    model.requires_grad_(True)
    if (checkpoint.folder / "generation_config.json").exists():
        model.generation_config = GenerationConfig.from_pretrained(checkpoint.folder)
    return model.to(device)


def load_tokenizer(folder: Path | str):
    """The tokenizer in a directory; BadSetting where there is none."""
    from transformers import AutoTokenizer

    if not Path(folder).is_dir():
        raise BadSetting(f"{folder} is no directory.")
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # each kind of tokenizer fails in its own way
        Checkpoint(folder).configuration()  # which it reads, so that the fault may be there
        raise BadSetting(f"{folder} holds no tokenizer that can be read; copy the model's there.") from error
