"""Directories packed and unpacked, on small Llamas of all kinds, whole and damaged."""

import errno
import json
import os
import re
import weakref
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from lib import pruning
from lib.checks import BadSetting
from lib.pruning import packing, reading, writing

from .conftest import KINDS


def bits_of(tensor):
    return tensor.contiguous().view(torch.uint8).numpy().tobytes()


def tensors(folder):
    """All tensors of a plain directory as safetensors itself reads them, as bytes with dtype and shape."""
    found = {}
    for file in Path(folder).glob("*.safetensors"):
        found |= {name: (x.dtype, x.shape, bits_of(x)) for name, x in load_file(file).items()}
    return found


def same(one, other):
    pairs = list(zip(one.state_dict().items(), other.state_dict().items(), strict=True))
    return all(a == b and x.dtype == y.dtype and bits_of(x) == bits_of(y) for (a, x), (b, y) in pairs)


def configure(file, **changed):
    file.write_text(json.dumps(json.loads(file.read_text()) | changed))


@pytest.fixture
def plain(llama, tmp_path):
    """A function that writes a pruned Llama as transformers does and gives its directory."""

    def write(kind="grouped", dtype=torch.float16, shard="20KB", sparsity=0.6, **changed):
        model = llama(kind, dtype, **changed)
        if sparsity:
            pruning.prune(model, sparsity=sparsity)
        model.save_pretrained(tmp_path / "plain", max_shard_size=shard)
        (tmp_path / "plain" / "LICENSE").write_text("free")
        return tmp_path / "plain"

    return write


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("dtype", "shard"), [(torch.float16, "20KB"), (torch.bfloat16, "9GB"), (torch.float32, "60KB")]
)
def test_a_directory_comes_back_bit_for_bit(plain, tmp_path, kind, dtype, shard):
    from transformers import LlamaForCausalLM

    folder = plain(kind, dtype, shard)
    configure(folder / "generation_config.json", temperature=0.7, do_sample=True, eos_token_id=[2, 5])
    sizes = pruning.pack(folder, tmp_path / "packed")
    pruning.unpack(tmp_path / "packed", tmp_path / "back")
    assert tensors(tmp_path / "back") == tensors(folder)
    names = {file.name for file in folder.iterdir()}
    assert (len(names) > 6) == (shard != "9GB")
    assert {file.name for file in (tmp_path / "back").iterdir()} == names
    for name in names - {"model.safetensors.index.json"}:
        assert (tmp_path / "back" / name).read_bytes() == (folder / name).read_bytes()
    if shard != "9GB":
        one, other = (
            json.loads((at / "model.safetensors.index.json").read_text()) for at in (folder, tmp_path / "back")
        )
        assert one["weight_map"] == other["weight_map"]
        assert one["metadata"]["total_size"] == other["metadata"]["total_size"]
    files = [file for file in (tmp_path / "packed").iterdir() if file.suffix == ".safetensors"]
    assert sizes.total == sum(file.stat().st_size for file in files)
    assert sizes.block_bytes / sizes.n_block_weights == pytest.approx(0.4 * dtype.itemsize + 1 / 8, abs=0.02)
    loaded, known = pruning.load(tmp_path / "packed"), LlamaForCausalLM.from_pretrained(folder)
    assert same(loaded, known) and not loaded.training
    ids = torch.randint(61, (2, 20))
    assert torch.equal(loaded(ids).logits, known(ids).logits)
    assert loaded.generation_config.to_dict() == known.generation_config.to_dict()
    assert loaded.generation_config.eos_token_id == [2, 5]


@pytest.mark.parametrize("kind", ["tied", "biased"])
def test_one_file_takes_what_packed_bytes_says(plain, tmp_path, kind):
    folder = plain(kind, shard="9GB")
    for name, how in (("exact", {}), ("coded", {"bits": 4, "group": 16})):
        sizes = pruning.pack(folder, tmp_path / name, **how)
        assert sizes == pruning.packed_bytes(pruning.load(folder), **how)
        assert sizes.total == (tmp_path / name / "packed.safetensors").stat().st_size


def test_the_same_weights_in_other_formats_stay_behind(plain, tmp_path):
    folder = plain()
    beside = {"tokenizer.model", "chat_template.jinja", "generation_config.json", "LICENSE"}
    weights = {"pytorch_model.bin", "pytorch_model.bin.index.json", "consolidated.00.pth", "tf_model.h5",
               "flax_model.msgpack", "model.onnx", "model.onnx_data"}  # fmt: skip
    for name in beside | weights:
        (folder / name).touch()
    (folder / "original").mkdir()
    pruning.pack(folder, tmp_path / "packed")
    pruning.stream(folder, tmp_path / "streamed")
    for out in (tmp_path / "packed", tmp_path / "streamed"):
        names = {path.name for path in out.iterdir()}
        assert beside < names and not (weights | {"original"}) & names


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("sparsity", [0, 0.6])
def test_a_quantised_directory_loads_as_the_quantised_model(plain, tmp_path, dtype, bits, sparsity):
    folder = plain("biased", dtype, sparsity=sparsity)
    for group in (None, 16):
        pruning.pack(folder, tmp_path / f"packed-{group}", bits=bits, group=group)
        known = pruning.load(folder)
        pruning.quantize(known, bits, group=group)
        assert same(pruning.load(tmp_path / f"packed-{group}"), known)
        pruning.unpack(tmp_path / f"packed-{group}", tmp_path / f"back-{group}")
        assert same(pruning.load(tmp_path / f"back-{group}"), known)


def test_negative_zeros_and_payloads_survive(plain, tmp_path):
    folder = plain(shard="9GB")
    file = folder / "model.safetensors"
    raw = bytearray(file.read_bytes())
    header = int.from_bytes(raw[:8], "little")
    place = json.loads(raw[8 : 8 + header])["model.layers.1.mlp.up_proj.weight"]["data_offsets"][0] + 8 + header
    odd = bytes.fromhex("0080 017c ff7d 01fe")  # -0.0, a signalling NaN, two payloads
    raw[place : place + 8] = odd
    file.write_bytes(raw)
    pruning.pack(folder, tmp_path / "packed")
    pruning.unpack(tmp_path / "packed", tmp_path / "back")
    assert (tmp_path / "back" / "model.safetensors").read_bytes() == bytes(raw)
    assert bits_of(pruning.load(tmp_path / "packed").model.layers[1].mlp.up_proj.weight)[:8] == odd


def test_a_plain_safetensors_reader_opens_a_packed_file(plain, tmp_path):
    folder = plain(shard="9GB")
    pruning.pack(folder, tmp_path / "packed", bits=4)
    with safe_open(tmp_path / "packed" / "packed.safetensors", framework="np") as opened:
        metadata, names = opened.metadata(), set(opened.keys())
        codes = opened.get_tensor("model.layers.0.mlp.up_proj.weight.codes")
    assert metadata.pop("format") == "pt" and set(metadata) == set(reading.KEYS)
    assert (metadata["packed_format"], metadata["packed_version"]) == ("bitmap", "1")
    records = json.loads(metadata["packed_tensors"])
    assert records.keys() == tensors(folder).keys()
    assert records["model.layers.0.mlp.up_proj.weight"].items() >= {
        ("dtype", "F16"), ("bits", 4), ("group", None)
    }  # fmt: skip
    assert codes.dtype == "uint8"
    assert {"model.norm.weight", "model.layers.0.mlp.up_proj.weight.bitmap"} <= names
    index = json.loads((tmp_path / "packed" / "packed.safetensors.index.json").read_text())
    assert index["weight_map"] == dict.fromkeys(sorted(records), "packed.safetensors")
    assert index["metadata"]["packed_version"] == 1


def test_one_tensor_at_a_time_is_in_memory(plain, tmp_path, monkeypatch):
    """Each tensor that packing, unpacking and loading read is gone before the next one is asked for."""
    folder, alive, most = plain(), weakref.WeakSet(), []
    read = reading.Checkpoint.tensor

    def tensor(self, name):
        most.append(len(alive))
        found = read(self, name)
        alive.add(found)
        return found

    monkeypatch.setattr(reading.Checkpoint, "tensor", tensor)
    pruning.pack(folder, tmp_path / "packed")
    pruning.unpack(tmp_path / "packed", tmp_path / "back")
    n = len(tensors(folder))
    assert max(most) == 0 and len(most) == 3 * n
    pruning.load(tmp_path / "packed", dtype=torch.float32)
    assert max(most) == 0 and len(most) == 4 * n


def test_nothing_half_written_is_left(plain, tmp_path, monkeypatch):
    folder, sync, calls = plain(), os.fsync, []

    def full(file):
        calls.append(file)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(file)

    (tmp_path / "packed.part").mkdir()  # what a killed run left
    (tmp_path / "packed.part" / "packed-00009-of-00009.safetensors").write_text("half")
    monkeypatch.setattr(writing.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        pruning.pack(folder, tmp_path / "packed")
    assert {path.name for path in tmp_path.iterdir()} == {"plain"}
    pruning.pack(folder, tmp_path / "packed")
    assert not list((tmp_path / "packed").glob("*9*")) and not list(tmp_path.glob("*.part"))


def test_folders_that_will_not_do_are_refused(plain, tmp_path):
    folder = plain(shard="9GB")
    for out in (folder, folder / "LICENSE"):
        with pytest.raises(BadSetting, match="exists already"):
            pruning.pack(folder, out)
    (tmp_path / "empty").mkdir()
    pruning.pack(folder, tmp_path / "empty")
    with pytest.raises(BadSetting, match="packed already"):
        pruning.pack(tmp_path / "empty", tmp_path / "twice")
    with pytest.raises(BadSetting, match="not packed"):
        pruning.unpack(folder, tmp_path / "twice")
    with pytest.raises(BadSetting, match="bits"):
        pruning.pack(folder, tmp_path / "twice", bits=3)
    assert not (tmp_path / "twice").exists()


@pytest.fixture
def packed(plain, tmp_path):
    pruning.pack(plain(shard="9GB"), tmp_path / "packed", bits=None)
    return tmp_path / "packed"


def rewrite(folder, change):
    """Change a packed file's header, leaving its tensors where they are."""
    file = folder / "packed.safetensors"
    raw = file.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + length :])


def refused(folder, said):
    with pytest.raises(BadSetting, match=said) as error:
        pruning.load(folder)
    assert str(error.value).count("\n") == 0
    with pytest.raises(BadSetting, match=said):
        pruning.unpack(folder, folder.parent / "back")
    assert not (folder.parent / "back").exists() and not list(folder.parent.glob("*.part"))


WEIGHT = "model.layers.2.self_attn.k_proj.weight"


def test_a_flipped_bit_is_named(packed):
    file = packed / "packed.safetensors"
    raw = bytearray(file.read_bytes())
    length = int.from_bytes(raw[:8], "little")
    for entry in (f"{WEIGHT}.bitmap", f"{WEIGHT}.values"):
        changed = bytearray(raw)
        changed[8 + length + json.loads(raw[8 : 8 + length])[entry]["data_offsets"][0]] ^= 4
        file.write_bytes(changed)
        refused(packed, rf"packed.safetensors is damaged: the checksum of {WEIGHT} is wrong")


def test_damaged_files_are_named(packed):
    file = packed / "packed.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    refused(packed, "packed.safetensors is damaged")
    file.unlink()
    refused(packed, "packed.safetensors is missing")
    (packed / "packed.safetensors.index.json").write_text("{")
    refused(packed, "index.json is no JSON")


def record(header):
    return json.loads(header["__metadata__"]["packed_tensors"])


def set_record(header, **changed):
    records = record(header)
    records[WEIGHT] |= changed
    header["__metadata__"]["packed_tensors"] = json.dumps(records)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda h: h["__metadata__"].update(packed_version="2"), "version 2 of the packed format; this program reads"),
        (lambda h: h["__metadata__"].update(packed_format="zip"), "not in the packed format"),
        (lambda h: h.pop("__metadata__"), "not in the packed format"),
        (lambda h: h["__metadata__"].update(packed_tensors="["), "list of tensors is no JSON"),
        (lambda h: h["__metadata__"].update(packed_tensors="{}"), "does not say how lm_head.weight is"),
        (lambda h: set_record(h, dtype="F17"), f"does not say how {WEIGHT} is stored"),
        (lambda h: set_record(h, shape=[16, 31]), f"{WEIGHT} cannot be unpacked"),
        (lambda h: set_record(h, bits=4), f"{WEIGHT} cannot be unpacked"),
        (lambda h: set_record(h, color="red"), f"{WEIGHT} cannot be unpacked"),
        (lambda h: set_record(h, crc32=1), f"the checksum of {WEIGHT} is wrong"),
    ],
)
def test_headers_that_say_something_else_are_refused(packed, change, said):
    rewrite(packed, change)
    refused(packed, said)


def test_dtypes_that_are_not_known_are_refused():
    with pytest.raises(BadSetting, match="x has the dtype torch.complex64"):
        packing.Storage().parts("x", torch.zeros(2, 2, dtype=torch.complex64))


PAGE = (Path(__file__).parents[2] / "book" / "packed_format.md").read_text("utf-8")


def blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.S)


def test_the_pages_example_is_what_the_code_writes(tmp_path):
    matrix, exact, header, coded = blocks("text")
    rows = [[float(x) for x in line.split()] for line in matrix.splitlines()[1:]]
    weight = torch.tensor(rows, dtype=torch.float16)
    name = "model.layers.0.mlp.up_proj.weight"
    for storage, said in ((packing.Storage(), exact), (packing.Storage(4), coded)):
        parts = storage.parts(name, weight)
        told = {line.split()[0]: bytes.fromhex(line.split(maxsplit=1)[1]) for line in said.splitlines()}
        assert {key.rpartition(".")[2]: bits_of(part) for key, part in parts.items()} == told
    found, sizes = packing.plan([(name, weight)], {"format": "pt"}, packing.Storage())
    text = "".join(header.splitlines()[1:])
    assert found.bytes[8:].decode().rstrip(" ") == text
    assert f"whole file has {sizes.total} bytes: 8 for the header's length, {len(found.bytes) - 8} for" in PAGE


def test_the_pages_sizes_are_those_of_the_formula(llama):
    rows = re.findall(r"^\| \.(\d) \| (\.\d+) \| (\.\d+) \| (\.\d+) \|$", PAGE, re.M)
    assert len(rows) == 3
    for sparsity, *ratios in rows:
        for bits, ratio in zip((16, 8, 4), ratios, strict=True):
            assert float(ratio) == pytest.approx(1 - int(sparsity) / 10 + 1 / bits)
    weight = torch.zeros(80, 80, dtype=torch.float16)
    weight.flatten()[: int(0.4 * 6400)] = 1.5
    parts = packing.Storage().parts("model.layers.0.mlp.up_proj.weight", weight)
    assert sum(len(bits_of(part)) for part in parts.values()) == 0.4625 * 2 * 6400


@pytest.mark.parametrize("how", [{}, {"bits": 8, "group": 12}, {"bits": 4}, {"bits": 4, "group": 16}])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("sparsity", [0.6, 1.0])
def test_the_pages_reader_reads_packed_models(plain, tmp_path, how, dtype, sparsity):
    reader = {}
    exec(blocks("python")[0], reader)
    folder = plain("biased", dtype, shard="40KB", sparsity=sparsity)
    pruning.pack(folder, tmp_path / "packed", **how)
    found = {}
    for file in sorted((tmp_path / "packed").glob("*.safetensors")):
        found |= reader["read_packed"](file)
    known = pruning.load(tmp_path / "packed").state_dict()
    assert found.keys() == known.keys()
    for name, tensor in known.items():
        if how and packing.is_block(name):
            assert bits_of(torch.from_numpy(found[name]).to(dtype)) == bits_of(tensor)
        else:
            assert found[name].tobytes() == bits_of(tensor)
