"""Bad checkpoints are named in one sentence before anything is written; good ones are read tensor by tensor."""

import dataclasses
import json

import pytest
import safetensors
import torch
from safetensors.torch import load_file, save_file

from lib import files, pruning
from lib.checks import BadSetting
from lib.pruning import checkpoints
from lib.pruning.checkpoints import Whole


def refused(folder, tmp_path, match, **settings):
    with pytest.raises(BadSetting, match=match) as raised:
        pruning.stream(folder, tmp_path / "out", **settings)
    assert str(raised.value).count("\n") == 0 and str(raised.value).endswith(".")
    assert not list(tmp_path.iterdir())


def configured(folder, **entries):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | entries))
    return folder


def test_what_is_read_is_what_was_saved(saved, llama):
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        found, model = Whole(saved(dtype=dtype, kind="biased")), llama(dtype=dtype, kind="biased")
        for name, tensor in model.state_dict().items():
            assert torch.equal(found.tensor(name), tensor) and found.tensor(name).dtype == dtype
            assert torch.equal(found.mapped(name), tensor) and found.finite(name)
    for kind in ("tied", "biased"):
        assert pruning.report(saved(kind=kind)) == pruning.report(llama(kind))


def test_a_copy_is_byte_for_byte(saved, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "CHUNK", 1000)
    found = Whole(saved(dtype=torch.bfloat16))
    found.copy(list(found.entries), tmp_path / "all.safetensors")
    copied = load_file(tmp_path / "all.safetensors")
    assert copied.keys() == found.entries.keys()
    assert all(torch.equal(tensor, found.tensor(name)) for name, tensor in copied.items())


def test_what_cannot_be_written_whole_is_not_there(tmp_path, monkeypatch):
    def fails(tensors, file, metadata):
        file.write_bytes(b"half")
        raise safetensors.SafetensorError("no space left")

    monkeypatch.setattr(files, "save_file", fails)
    with pytest.raises(OSError, match="model.safetensors cannot be written .no space left."):
        checkpoints.write(tmp_path / "model.safetensors", {"a": torch.zeros(3)})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "entries, match",
    [
        ({"model_type": "mistral"}, "a mistral model, not a Llama"),
        ({"model_type": "mixtral", "num_local_experts": 8}, "a mixtral model"),
        ({"num_local_experts": 8}, "mixture of experts"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "quantised"),
        ({"hidden_size": 64}, "shape"),
        ({"num_hidden_layers": 4}, "lacks the tensor model.layers.3"),
        ({"num_attention_heads": 5}, "Llama"),
        ({"num_hidden_layers": "three"}, "Llama"),
        ({"num_hidden_layers": 0}, "at least one block"),
        ({"hidden_act": "swoosh"}, "Llama that can be built .KeyError.'swoosh'"),
        ({"rope_parameters": {"rope_type": "spiral", "rope_theta": 1e4}}, "Llama that can be built .KeyError"),
    ],
)
def test_other_models_are_refused(saved, tmp_path, entries, match):
    refused(configured(saved(), **entries), tmp_path, match)


def test_missing_and_damaged_files_are_named(saved, tmp_path):
    refused(tmp_path.parent / "nowhere", tmp_path, "no directory")
    (folder := saved()).joinpath("config.json").write_text("{")
    refused(folder, tmp_path, "config.json is no JSON")
    (folder := saved()).joinpath("config.json").write_text("[]")
    refused(folder, tmp_path, "config.json holds no JSON object")
    shard = sorted((folder := saved()).glob("*.safetensors"))[1]
    whole = shard.read_bytes()
    shard.unlink()
    refused(folder, tmp_path, f"{shard.name} is missing")
    for cut in (whole[:-100], whole[:50], b"", whole + b"more", b"\xff" * 200):
        shard.write_bytes(cut)
        refused(folder, tmp_path, f"{shard.name} is damaged")
    (folder / "model.safetensors.index.json").write_text("{}")
    refused(folder, tmp_path, "no index of safetensors")
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"model.norm.weight": 3}}')
    refused(folder, tmp_path, "names no files")
    (folder / "model.safetensors.index.json").unlink()
    refused(folder, tmp_path, "holds no weights")


def test_a_packed_model_is_reported_and_to_be_unpacked_first(saved, tmp_path):
    (inner := tmp_path / "made").mkdir()
    pruned = pruning.stream(saved(kind="tied"), inner / "plain", sparsity=0.6)
    pruning.pack(inner / "plain", inner / "packed")
    assert dataclasses.replace(pruned, seconds=0.0) == pruning.report(inner / "packed")
    with pytest.raises(BadSetting, match="packed; .* unpack"):
        pruning.stream(inner / "packed", tmp_path / "out")
    pruning.unpack(inner / "packed", inner / "again")
    assert pruning.stream(inner / "again", tmp_path / "out", sparsity=0.6).layers == pruned.layers


def test_bad_weights_are_named(saved, tmp_path):
    for name, value in (
        ("model.layers.2.mlp.down_proj.weight", float("nan")),
        ("model.embed_tokens.weight", float("inf")),
    ):
        folder = saved(shard="5GB")
        tensors = load_file(folder / "model.safetensors")
        tensors[name][1, 2] = value
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        with pytest.raises(BadSetting, match=f"{name}.* must be finite"):
            pruning.stream(folder, tmp_path / "out")
        assert not list(tmp_path.iterdir())
    tensors["model.embed_tokens.weight"] = torch.zeros(61, 32, dtype=torch.int8)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    refused(folder, tmp_path, "plain floating-point")
    tensors["model.embed_tokens.weight"] = torch.zeros(61, 32, dtype=torch.bfloat16)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    refused(folder, tmp_path, "one type, not of BF16 and F32")
    refused(saved(), tmp_path, "divides the 32 inputs", pattern="1:5")
    refused(saved(), tmp_path, "sparsity", sparsity=1.2)
    refused(saved(), tmp_path, "calibration", method="wanda")
