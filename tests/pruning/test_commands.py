"""The commands on finished models, from the terminal's side."""

import functools
import json
import math
import os
import pty
import select
import signal
import subprocess
import sys

import pytest
import torch

from lib import pruning
from lib.pruning.__main__ import main

from .conftest import TEXT


@pytest.fixture
def folder(llama, tokenizer, tmp_path):
    model = llama("grouped", torch.float16, vocab_size=len(tokenizer), eos_token_id=2)
    pruning.prune(model, sparsity=0.6)
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_pack_and_unpack(folder, tmp_path, capsys):
    assert main(["pack", str(folder), str(tmp_path / "packed")]) == 0
    sizes = pruning.packed_bytes(pruning.load(folder))
    assert f"{sizes.total:,} bytes" in capsys.readouterr().out
    assert main(["unpack", str(tmp_path / "packed"), str(tmp_path / "back")]) == 0
    for file in ("model.safetensors", "tokenizer.json", "config.json"):
        assert (tmp_path / "back" / file).read_bytes() == (folder / file).read_bytes()
    assert main(["pack", str(folder), str(tmp_path / "coded"), "--bits", "4", "--group", "8"]) == 0
    assert f"{pruning.packed_bytes(pruning.load(folder), bits=4, group=8).total:,} bytes" in capsys.readouterr().out


def test_evaluate_prints_what_the_function_measures(folder, tokenizer, tmp_path, capsys):
    main(["pack", str(folder), str(tmp_path / "coded"), "--bits", "4"])
    (tmp_path / "text.txt").write_text(TEXT * 4, "utf-8")
    capsys.readouterr()
    arguments = ["evaluate", str(tmp_path / "coded"), "--text", str(tmp_path / "text.txt"), "--context", "30"]
    assert main([*arguments, "--dense", str(folder)]) == 0
    told = capsys.readouterr().out.splitlines()
    tokens = tokenizer(TEXT * 4, add_special_tokens=False)["input_ids"]
    coded, dense = (pruning.load(at) for at in (tmp_path / "coded", folder))
    settings = {"characters": len(TEXT) * 4, "batch": 1}
    found, before = (pruning.evaluate(model, tokens, 30, **settings) for model in (coded, dense))
    assert told[0] == f"perplexity {found.perplexity:.4f} at context 30, {len(tokens) // 30 * 29:,} tokens predicted"
    assert told[1] == f"bits per character {found.bits_per_character:.4f}"
    assert told[2] == f"over dense {found.perplexity / before.perplexity:.4f} (dense {before.perplexity:.4f})"
    assert not math.isclose(found.perplexity, before.perplexity, rel_tol=1e-3)
    assert main(arguments) == 0
    assert capsys.readouterr().out.splitlines() == told[:2]
    assert main(arguments[:-2]) == 0
    assert "at context 64, " in capsys.readouterr().out  # as many as the model reads


@pytest.mark.parametrize("tokenizer", ["words"], indirect=True)
def test_bytes_that_are_no_text_do_not_end_a_chat(folder):
    command = [sys.executable, "-m", "lib.pruning", "chat", str(folder), "--n-new", "3"]
    strict = os.environ | {"PYTHONIOENCODING": "utf-8:strict"}
    ended = subprocess.run(command, input=b"Ada \xff\nAda\n", env=strict, capture_output=True)
    assert ended.returncode == 0 and ended.stderr == b""
    assert b"must be in UTF-8" in ended.stdout and ended.stdout.count(b"> ") == 3


def strange(folder, tmp_path):
    """The same model with another tokenizer."""
    other = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    other["pre_tokenizer"] = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": False}
    (tmp_path / "other").mkdir()
    for file in folder.iterdir():
        (tmp_path / "other" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "other" / "tokenizer.json").write_text(json.dumps(other), "utf-8")
    return tmp_path / "other"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("pack {folder} {folder}", "exists already"),
        ("pack {folder}/nowhere {new}", "nowhere is no directory"),
        ("pack {folder} {new} --group 8", "group needs bits"),
        ("unpack {folder} {new}", "not packed"),
        ("evaluate {folder} --text {new} --context 8", "text must be a text file"),
        ("evaluate {folder} --text {folder}/model.safetensors --context 8", "binary"),
        ("evaluate {folder} --text {text} --context 999", "context must be at least 2 and at most 64, not 999"),
        ("evaluate {folder} --text {text} --context 8 --dense {other}", "another tokenizer"),
        ("evaluate {folder} --text {text} --context 8 --device abacus", "device"),
        ("chat {folder} --n-new 0", "n_new"),
        ("chat {new}", "no directory"),
    ],
)
def test_bad_input_is_one_sentence(folder, tmp_path, capsys, arguments, said):
    (tmp_path / "text.txt").write_text(TEXT, "utf-8")
    places = {"folder": folder, "new": tmp_path / "new", "text": tmp_path / "text.txt"}
    if "{other}" in arguments:
        places["other"] = strange(folder, tmp_path)
    assert main(arguments.format(**places).split()) == 2
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1
    assert not (tmp_path / "new").exists() and not list(tmp_path.glob("*.part"))


def test_a_full_disk_is_said_and_nothing_is_left(folder, tmp_path, capsys, files_of_at_most):
    assert main(["pack", str(folder), str(tmp_path / "packed")]) == 0
    capsys.readouterr()
    kept = sorted(path.name for path in tmp_path.iterdir())
    size = (folder / "tokenizer.json").stat().st_size
    sources = {"pack": (folder, "packed.safetensors"), "unpack": (tmp_path / "packed", "model.safetensors")}
    for name, (source, weights) in sources.items():
        for limit, file in ((size - 1, "tokenizer.json"), (size + 1, weights)):
            with files_of_at_most(limit):
                assert main([name, str(source), str(tmp_path / "new")]) == 2
            told = capsys.readouterr().err
            assert f"{file} cannot be written (File too large): free some space" in told and told.count("\n") == 1
            assert sorted(path.name for path in tmp_path.iterdir()) == kept


def test_an_interrupt_leaves_nothing(folder, tmp_path, capsys, monkeypatch):
    def stopped(self, name):
        raise KeyboardInterrupt

    monkeypatch.setattr("lib.pruning.reading.Checkpoint.tensor", stopped)
    assert main(["pack", str(folder), str(tmp_path / "new")]) == 130
    assert "nothing was left" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("tokenizer", ["words"], indirect=True)
def test_chat_in_a_terminal(folder):
    """Through a pseudo-terminal: an answer comes piece by piece, Ctrl-C ends it, Ctrl-D ends the talk with status 0."""
    control, end = pty.openpty()
    command = [sys.executable, "-m", "lib.pruning", "chat", str(folder), "--n-new", "50"]
    heard = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a job in the background ignores it
    process = subprocess.Popen(command, stdin=end, stdout=end, stderr=end, start_new_session=True, preexec_fn=heard)
    os.close(end)
    told, passed = b"", 0

    def until(text, interrupting=False):
        """Wait for `text` behind what was waited for before; `interrupting` until it comes.

        A signal between the prompt and the system's reading is heard only at the next key or signal.
        """
        nonlocal told, passed
        silences = 0
        while (found := told.find(text, passed)) < 0:
            if interrupting and not told[passed:]:
                os.kill(process.pid, signal.SIGINT)
            if select.select([control], [], [], 5)[0]:
                told += os.read(control, 999)
            else:
                silences += 1
                assert silences < 24, told
        passed = found + len(text)

    try:
        until(b"> ")
        os.write(control, b"In Paris\n")
        until(b"In Paris\r\n")
        until(b"\n> ")
        until(b"(Ctrl-D ends)", interrupting=True)
        until(b"> ")
        os.write(control, b"\x04")
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(control)
    assert b"Traceback" not in told
