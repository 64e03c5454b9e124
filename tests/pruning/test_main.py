"""The command line, from a text to a pruned model, and its one sentence for bad input."""

import numpy as np
import pytest
import torch

from lib import pruning
from lib.checks import BadSetting
from lib.pruning import calibration
from lib.pruning.__main__ import main


@pytest.fixture
def text(tmp_path):
    words = np.random.default_rng(0).integers(61, size=1000)
    file = tmp_path / "text.txt"
    file.write_text(" ".join(f"w{i}" for i in words))
    return file, torch.from_numpy(words)


def test_a_text_becomes_sequences(saved, llama, text):
    (file, words), folder, config = text, saved(), llama().config
    found = calibration.sequences(file, folder, config)
    assert found.shape == (15, 64) and (found.flatten() == words[:960]).all()  # the longest context of this model
    found = calibration.sequences(file, folder, config, tokens=107, context=25)
    assert found.shape == (4, 25) and (found.flatten() == words[:100]).all()


def test_prune_and_report(saved, text, tmp_path, capsys):
    folder, out = saved(), tmp_path / "out"
    arguments = ["prune", str(folder), str(out), "--method", "wanda", "--pattern", "2:4", "--calibration", str(text[0])]
    assert main([*arguments, "--tokens", "640", "--context", "32"]) == 0
    printed = capsys.readouterr().out
    assert "calibration: 20 sequences of 32 tokens, of at most 640 tokens" in printed
    assert "zero: 0.5000 of the weights" in printed
    assert main(["report", str(out)]) == 0
    assert capsys.readouterr().out.splitlines()[:5] == printed.splitlines()[1:6]
    tokens = text[1][:640].view(20, 32)
    expected = pruning.prune(model := load(folder), method="wanda", pattern="2:4", calibration=tokens)
    assert expected.layers == pruning.report(out).layers
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), load(out).parameters(), strict=True))


def load(folder):
    from transformers import LlamaForCausalLM

    return LlamaForCausalLM.from_pretrained(folder)


@pytest.mark.parametrize(
    "content, match",
    [
        (b"", "empty"),
        (b"  \n ", "empty"),
        (b"w1 \xff\xfe w2", "binary"),
        (b"w1\0w2", "binary"),
        (b"w1 w2 w3", "at least the 64 tokens of one sequence, and has 3"),
        (None, "text file"),
    ],
)
def test_bad_texts_are_named(saved, tmp_path, capsys, content, match):
    file = tmp_path / "text.txt"
    if content is not None:
        file.write_bytes(content)
    arguments = ["prune", str(saved()), str(tmp_path / "out"), "--method", "wanda", "--calibration", str(file)]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert match in error and error.count("\n") == 1
    assert [each.name for each in tmp_path.iterdir()] == ["text.txt"][: content is not None]


def test_other_bad_input(saved, llama, text, tmp_path, capsys):
    folder, out = str(saved()), str(tmp_path / "out")

    def refused(match, *arguments, model=folder):
        assert main(["prune", model, out, *arguments]) == 2
        error = capsys.readouterr().err
        assert match in error and error.count("\n") == 1

    refused("sparsity", "--method", "magnitude", "--sparsity", "1.2")
    refused("pattern", "--method", "magnitude", "--sparsity", ".6", "--pattern", "2:4")
    refused("needs --calibration", "--method", "wanda")
    refused("context", "--method", "wanda", "--calibration", str(text[0]), "--context", "65")
    refused("tokens", "--method", "wanda", "--calibration", str(text[0]), "--tokens", "10")
    refused("device", "--method", "magnitude", "--device", "tpu")
    (bare := tmp_path / "bare").mkdir()
    llama().save_pretrained(bare)
    refused("tokenizer", "--method", "wanda", "--calibration", str(text[0]), model=str(bare))
    (bare / "tokenizer.json").write_text("{")
    refused("tokenizer", "--method", "wanda", "--calibration", str(text[0]), model=str(bare))
    assert main(["report", str(tmp_path)]) == 2 and "config.json" in capsys.readouterr().err
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.part").exists()
    with pytest.raises(SystemExit, match="2"):
        main(["prune", folder, out])


def test_an_interruption_is_said(monkeypatch, saved, tmp_path, capsys):
    from lib.pruning import streaming

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(streaming, "stream", interrupt)
    assert main(["prune", str(saved()), str(tmp_path / "out"), "--method", "magnitude"]) == 130
    assert "goes on" in capsys.readouterr().err


def test_ids_beyond_the_vocabulary_are_named(saved, tmp_path, text):
    """A tokenizer that is not the model's own."""
    folder = saved(vocab_size=50)
    with pytest.raises(BadSetting, match="largest token id .* at most 49"):
        found = calibration.sequences(text[0], folder, load(folder).config)
        pruning.stream(folder, tmp_path / "out", method="wanda", calibration=found)
