"""Loading: what transformers would load, and one sentence for what cannot be loaded."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from lib import pruning
from lib.checks import BadSetting


@pytest.fixture
def folder(llama, tmp_path):
    llama("grouped", torch.bfloat16).save_pretrained(tmp_path / "model", max_shard_size="20KB")
    return tmp_path / "model"


@pytest.mark.parametrize("dtype", [None, torch.float32])
def test_a_plain_directory_loads_as_transformers_loads_it(folder, dtype):
    from transformers import LlamaForCausalLM

    known = LlamaForCausalLM.from_pretrained(folder, dtype=dtype or "auto")
    found = pruning.load(folder, dtype=dtype)
    assert found.dtype == known.dtype == (dtype or torch.bfloat16)
    for (name, a), (other, b) in zip(known.named_parameters(), found.named_parameters(), strict=True):
        assert name == other and torch.equal(a, b) and b.requires_grad and not b.is_meta
    for (name, a), (other, b) in zip(known.named_buffers(), found.named_buffers(), strict=True):
        assert name == other and torch.equal(a, b) and a.dtype == b.dtype
    ids = torch.randint(61, (2, 20))
    assert torch.equal(known(ids).logits, found(ids).logits)
    found(ids).logits.float().sum().backward()  # it can be trained


def test_a_loaded_model_does_not_hang_on_its_files(folder, tmp_path):
    pruning.pack(folder, tmp_path / "packed")
    for at in (folder, tmp_path / "packed"):
        model, known = pruning.load(at), pruning.load(at)
        before = {name: p.detach().clone() for name, p in known.named_parameters()}
        for file in at.glob("*.safetensors"):
            file.write_bytes(bytes(file.stat().st_size))
        assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


def test_a_tied_head_is_the_embedding(llama, tmp_path):
    llama("tied").save_pretrained(tmp_path)
    model = pruning.load(tmp_path)
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_scaled_rotary_frequencies_are_kept(llama, tmp_path):
    from transformers import LlamaForCausalLM

    scaled = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    llama("plain", rope_parameters=scaled | {"original_max_position_embeddings": 32}).save_pretrained(tmp_path)
    ids = torch.randint(61, (1, 50))
    assert torch.equal(pruning.load(tmp_path)(ids).logits, LlamaForCausalLM.from_pretrained(tmp_path)(ids).logits)


def test_the_frequencies_that_early_checkpoints_store_are_left_out(llama, tmp_path):
    llama("plain").save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    old = tensors | {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.zeros(4)}
    save_file(old, tmp_path / "model.safetensors", {"format": "pt"})
    ids = torch.randint(61, (1, 9))
    assert torch.equal(pruning.load(tmp_path)(ids).logits, llama("plain")(ids).logits)


def configure(folder, **changed):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changed))


def coded(folder):
    file = next(file for file in folder.glob("*.safetensors") if "model.norm.weight" in load_file(file))
    save_file(load_file(file) | {"model.norm.weight": torch.ones(32, dtype=torch.int8)}, file, {"format": "pt"})


def truncate(file):
    file.write_bytes(file.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda at: configure(at, model_type="gpt2"), "gpt2"),
        (lambda at: configure(at, quantization_config={"bits": 4}), "quanti[sz]ed"),
        (lambda at: configure(at, num_hidden_layers=4), "model.layers.3.*config.json asks for"),
        (lambda at: configure(at, num_hidden_layers=2), "model.layers.2.*does not ask for"),
        (lambda at: configure(at, vocab_size=60), r"\[61, 32\].*\[60, 32\]"),
        (lambda at: configure(at, hidden_size="wide"), "config.json"),
        (lambda at: configure(at, hidden_act="swoosh"), "config.json does not describe .*swoosh"),
        (lambda at: coded(at), "model.norm.weight .* must be plain floating-point numbers, not I8"),
        (lambda at: (at / "config.json").write_text("{"), "config.json"),
        (lambda at: (at / "config.json").unlink(), "config.json"),
        (lambda at: sorted(at.glob("*.safetensors"))[1].unlink(), "model-00002-of-.* is missing"),
        (lambda at: truncate(sorted(at.glob("*.safetensors"))[1]), "model-00002-of-.* is damaged"),
        (lambda at: [file.unlink() for file in at.glob("model*")], "weights|missing"),
        (lambda at: (at / "model.safetensors.index.json").write_text("[]"), "index.json"),
    ],
)
def test_what_cannot_be_loaded_is_named(folder, damage, said):
    damage(folder)
    with pytest.raises(BadSetting, match=said) as error:
        pruning.load(folder)
    assert "\n" not in str(error.value)


def test_a_missing_directory_and_a_missing_tokenizer_are_named(folder):
    for load in (pruning.load, pruning.load_tokenizer):
        with pytest.raises(BadSetting, match="nowhere"):
            load(folder / "nowhere")
    with pytest.raises(BadSetting, match="tokenizer"):
        pruning.load_tokenizer(folder)
    configure(folder, num_attention_heads=0)  # which reading a tokenizer stumbles over
    with pytest.raises(BadSetting, match="config.json"):
        pruning.load_tokenizer(folder)


def test_a_tokenizer_comes_back(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    text = "Where was Ada born? Zoë knows."
    assert pruning.load_tokenizer(tmp_path)(text)["input_ids"] == tokenizer(text)["input_ids"]


def test_a_device_that_is_not_there_is_named(folder):
    with pytest.raises(BadSetting, match="device"):
        pruning.load(folder, device="abacus")
