"""From disk to disk: the same bits as in memory, one block at a time, and a kill at any moment."""

import dataclasses
import gc
import hashlib
import json
import os
import signal
import subprocess
import sys
import warnings

import pytest
import torch

from lib import pruning
from lib.checks import BadSetting
from lib.pruning import blocks, checkpoints, surgeon
from lib.pruning.__main__ import main

from .conftest import KINDS

GLOBAL = {"scope": "global"}


def load(folder):
    from transformers import LlamaForCausalLM

    return LlamaForCausalLM.from_pretrained(folder)


def same(one, other):
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) and a[name].dtype == b[name].dtype for name in a)


def digests(folder):
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


@pytest.mark.parametrize("method", ["magnitude", "wanda", "sparsegpt", "random"])
@pytest.mark.parametrize(
    "settings",
    [{"kind": kind} for kind in KINDS] + [{"dtype": torch.bfloat16}, {"dtype": torch.float16}, {"shard": "5GB"}],
    ids=str,
)
def test_the_disk_gives_the_bits_of_memory(saved, tokens, tmp_path, method, settings):
    folder, out = saved(**settings), tmp_path / "out"
    before = digests(folder)
    assert len(list(folder.glob("*.safetensors"))) > 1 or "shard" in settings
    model = load(folder)
    in_memory = pruning.prune(model, method=method, sparsity=0.6, calibration=tokens)
    streamed = pruning.stream(folder, out, method=method, sparsity=0.6, calibration=tokens)
    assert same(load(out), model) and digests(folder) == before
    assert streamed.layers == in_memory.layers and streamed.block_sparsity == in_memory.block_sparsity
    assert streamed.total_sparsity == in_memory.total_sparsity and streamed.seconds > 0
    assert not (tmp_path / "out.part").exists()
    kept = {name for name in before if "safetensors" not in name}
    assert {"config.json", "generation_config.json", "tokenizer.json"} <= kept
    assert all(digests(out)[name] == before[name] for name in kept)
    index = json.loads((out / "model.safetensors.index.json").read_text())["weight_map"]
    assert set(index) == set(checkpoints.expected(model.config)) and len(set(index.values())) == 4


@pytest.mark.parametrize("settings", [GLOBAL, GLOBAL | {"method": "random"}, {"pattern": "2:4"}, {"scope": "layer"}])
def test_scopes_and_patterns_on_disk(saved, tmp_path, settings):
    folder = saved(dtype=torch.bfloat16)
    model = load(folder)
    pruning.prune(model, **settings)
    pruning.stream(folder, tmp_path / "out", **settings)
    assert same(load(tmp_path / "out"), model)


def test_old_checkpoints_hold_what_no_one_reads(saved, tokens, tmp_path):
    """Checkpoints of Llama-2 carry the frequencies of the positions in every block; they go on, untouched."""
    from safetensors.torch import load_file, save_file

    folder = saved(shard="5GB")
    file = folder / "model.safetensors"
    names = [f"model.layers.{i}.self_attn.rotary_emb.inv_freq" for i in range(3)]
    save_file(load_file(file) | {name: torch.arange(4.0) for name in names}, file, {"format": "pt"})
    pruning.stream(folder, tmp_path / "out", method="wanda", calibration=tokens)
    shard = load_file(tmp_path / "out" / "model-00001-of-00004.safetensors")
    assert all((shard[name] == torch.arange(4.0)).all() for name in names)
    pruning.prune(model := load(saved(shard="5GB")), method="wanda", calibration=tokens)
    assert same(load(tmp_path / "out"), model)


def test_a_pruned_model_can_be_pruned_again(saved, tokens, tmp_path):
    folder = saved()
    first = pruning.stream(folder, tmp_path / "a", method="wanda", sparsity=0.5, calibration=tokens)
    second = pruning.stream(tmp_path / "a", tmp_path / "b", method="sparsegpt", sparsity=0.75, calibration=tokens)
    assert (first.block_sparsity, second.block_sparsity) == (0.5, 0.75)
    assert pruning.report(tmp_path / "b") == dataclasses.replace(second, seconds=0.0)
    again = pruning.stream(tmp_path / "a", tmp_path / "b", method="sparsegpt", sparsity=0.75, calibration=tokens)
    assert again.layers == second.layers  # b holds its own record, not that of a


@pytest.mark.parametrize("method", ["magnitude", "sparsegpt"])
@pytest.mark.parametrize("finished", [0, 1, 2])
def test_an_interrupted_pass_goes_on(saved, tokens, tmp_path, monkeypatch, method, finished):
    """Interrupted while the next shard is written; finished shards are not written again."""
    folder, out = saved(), tmp_path / "out"
    settings = dict(method=method, sparsity=0.55, calibration=tokens)
    pruning.stream(folder, tmp_path / "whole", **settings)
    written, write = [], checkpoints.write

    def interrupted(file, tensors):
        if len(written) == finished:
            for name in (file.name, checkpoints.RECORD):
                file.with_name(f"{name}.part").write_bytes(b"half")
            raise KeyboardInterrupt
        written.append(file.name)
        write(file, tensors)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            pruning.stream(folder, out, **settings)
    assert not out.exists()
    for other in ({"sparsity": 0.5}, {"calibration": tokens[:9]}, {"method": "wanda"}, {"seed": 1}):
        if other.keys() == {"calibration"} and method == "magnitude":
            continue  # magnitude does not look at it
        with pytest.raises(BadSetting, match="other settings"):
            pruning.stream(folder, out, **settings | other)
    times = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "out.part").glob("*.safetensors")}
    assert sorted(times) == sorted(written) and len(written) == finished
    pruning.stream(folder, out, **settings)
    assert digests(out) == digests(tmp_path / "whole")
    assert all((out / name).stat().st_mtime_ns == time for name, time in times.items())


def test_done_is_done(saved, tmp_path, monkeypatch):
    folder = saved()
    report = pruning.stream(folder, tmp_path / "out")
    monkeypatch.setattr(blocks, "prune_block", None)
    again = pruning.stream(folder, tmp_path / "out")
    assert again.layers == report.layers
    with pytest.raises(BadSetting, match="new or empty"):
        pruning.stream(folder, tmp_path / "out", sparsity=0.6)


def test_damped_layers_are_remembered(saved, tokens, tmp_path, monkeypatch):
    """Those of blocks that were finished before an interruption, too."""
    found, write, n = surgeon.factor, checkpoints.write, []

    def twice(*arguments):
        if len(n) == 2:
            raise KeyboardInterrupt
        n.append(write(*arguments))

    folder, settings = saved(), dict(method="sparsegpt", calibration=tokens)
    with monkeypatch.context() as patch:
        patch.setattr(surgeon, "factor", lambda hessian: (found(hessian)[0], 0.1))
        patch.setattr(checkpoints, "write", twice)
        with pytest.raises(KeyboardInterrupt):
            pruning.stream(folder, tmp_path / "out", **settings)
    damped = pruning.stream(folder, tmp_path / "out", **settings).damped
    assert len(damped) == 14 and set(damped.values()) == {0.1} and damped == pruning.report(tmp_path / "out").damped


def test_a_kill_leaves_what_can_be_taken_up(saved, tokens, tmp_path):
    """A real process, killed when its first block is written."""
    folder, out = saved(), tmp_path / "out"
    torch.save(tokens, tmp_path / "tokens.pt")
    code = (
        "import sys, os, signal, torch\n"
        "from lib import pruning\n"
        "from lib.pruning import checkpoints\n"
        "write = checkpoints.write\n"
        "def killed(file, *rest):\n"
        "    write(file, *rest)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "checkpoints.write = killed\n"
        "folder, out, tokens = sys.argv[1:]\n"
        "pruning.stream(folder, out, method='wanda', calibration=torch.load(tokens))\n"
    )
    arguments = [sys.executable, "-c", code, folder, out, tmp_path / "tokens.pt"]
    assert subprocess.run(arguments, env=os.environ, capture_output=True).returncode == -signal.SIGKILL
    assert not out.exists() and len(list((tmp_path / "out.part").glob("*.safetensors"))) == 1
    pruning.stream(folder, out, method="wanda", calibration=tokens)
    pruning.prune(model := load(folder), method="wanda", calibration=tokens)
    assert same(load(out), model)


@pytest.mark.parametrize("settings, limit", [({}, 20_000), ({"vocab_size": 2000}, 100_000)], ids=["blocks", "rest"])
def test_a_full_disk_is_said_and_nothing_is_half_written(saved, tmp_path, capsys, files_of_at_most, settings, limit):
    """The limit on the size of a file that a process may write stands for the disk: below a block, below all else."""
    folder, out = saved(**settings), tmp_path / "out"
    with files_of_at_most(limit):
        assert main(["prune", str(folder), str(out), "--method", "magnitude"]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    shard = tmp_path / "out.part" / f"model-0000{1 if settings else 2}-of-00004.safetensors"
    assert error[-1].startswith(f"{shard} cannot be written (File too large): free some space")
    assert len(error) == 1 and not out.exists() and not list((tmp_path / "out.part").glob("*.part"))
    pruning.stream(folder, out)
    assert pruning.report(out).block_sparsity == 0.5


def held():
    """Bytes of all tensors that are alive on the CPU."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of objects that warn when they are looked at
        tensors = [each for each in gc.get_objects() if type(each) in (torch.Tensor, torch.nn.Parameter)]
    storages = [each.untyped_storage() for each in tensors if each.device.type == "cpu"]
    return sum({each.data_ptr(): each.nbytes() for each in storages}.values())


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_from_block_to_block(saved, tmp_path, monkeypatch):
    """8 blocks of 13 MB: one is held at a time, and no pages of a mapped file stay."""
    sizes = dict(hidden_size=512, intermediate_size=1376, num_hidden_layers=8, vocab_size=512, num_attention_heads=8)
    folder = saved(shard="30MB", **sizes)
    seen, pruned = [], blocks.prune_block

    def watched(*arguments):
        with open("/proc/self/status") as status:
            mapped = next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssFile"))
        seen.append((mapped, held()))
        return pruned(*arguments)

    monkeypatch.setattr(blocks, "prune_block", watched)
    before = held()
    pruning.stream(folder, tmp_path / "out", method="wanda", calibration=torch.randint(512, (4, 64)))
    mapped, tensors = zip(*seen, strict=True)
    assert len(seen) == 8 and max(mapped[2:]) - mapped[1] < 6e6
    block = 4 * 512 * (2 * 512 + 2 * 128 + 3 * 1376)  # two heads of keys and values for eight of queries
    assert max(tensors) - min(tensors) < 1e5 and block < max(tensors) - before < 1.2 * block


def test_bad_places_are_named(saved, tmp_path):
    folder = saved()
    with pytest.raises(BadSetting, match="must not be MODEL_DIR"):
        pruning.stream(folder, folder / ".")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("keep")
    (tmp_path / "file").write_text("keep")
    (tmp_path / "x.part").mkdir()
    (tmp_path / "x.part" / "mine.txt").write_text("keep")
    for out, match in (("notes", "new or empty"), ("file", "is a file"), ("x", "x.part was left")):
        with pytest.raises(BadSetting, match=match):
            pruning.stream(folder, tmp_path / out)
    for device in ("tpu", "cuda:9"):
        with pytest.raises(BadSetting, match="device"):
            pruning.stream(folder, tmp_path / "new", device=device)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "notes", "x.part"]
    (tmp_path / "empty").mkdir()
    pruning.stream(folder, tmp_path / "empty")
    assert (tmp_path / "empty" / checkpoints.RECORD).exists()
