"""A reader's own Llama: a small one of a real shape, in a folder as it would come."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from transformers import LlamaForCausalLM

from lib.checks import BadSetting
from lib.live import limits
from lib.pruning import evaluate, load, load_tokenizer, pack, prune, stream
from lib.studies import limit_curves, own, prunability
from lib.tiny_llama import recipes
from lib.tiny_llama.recipes import Recipe


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    tokens = recipes.tokenizer("llama3")
    model = recipes.untrained(Recipe("llama3", width=32), 0, len(tokens))
    tokens.save_pretrained(folder / "mine")
    model.save_pretrained(folder / "mine")
    (folder / "text.txt").write_text(" ".join(recipes.texts(Recipe("llama3"), 0, n_documents=60)), "utf-8")
    return folder


def test_a_model_is_read_as_in_memory(home):
    found = own.measure(home / "mine", home / "text.txt", sparsities=[0.0, 0.5], methods=["magnitude"], context=64)
    tokens = load_tokenizer(home / "mine")((home / "text.txt").read_text("utf-8"), add_special_tokens=False)
    n = len(tokens["input_ids"]) // 64
    read = torch.tensor(tokens["input_ids"][n // 2 * 64 : n * 64])
    model = load(home / "mine")
    assert found.perplexity.values[0, 0] == pytest.approx(evaluate(model, read, 64).perplexity)
    prune(model, method="magnitude", sparsity=0.5)
    assert found.perplexity.values[0, 1] == pytest.approx(evaluate(model, read, 64).perplexity)
    assert np.isnan(found.recall).all()
    parts = [(name.endswith("_proj.weight"), p.numel()) for name, p in model.named_parameters()]
    share = sum(n for block, n in parts if block) / sum(n for _, n in parts)
    assert found.attrs == {"context": 64, "block_share": pytest.approx(share)}
    assert sorted(path.name for path in home.iterdir()) == ["mine", "text.txt"]  # nothing is left


def test_every_method_and_a_list_of_questions(home, monkeypatch):
    asked = home / "questions.json"
    asked.write_text(json.dumps([{"prompt": "Q: a A:", "answer": " one "}, {"prompt": "Q: b A:", "answer": "ne"}]))
    monkeypatch.setattr(own, "generate", lambda model, tokenizer, prompts, n: [[" one."] for _ in prompts])
    found = own.measure(home / "mine", home / "text.txt", asked, sparsities=[0.0, 0.5])
    asked.unlink()
    assert found.recall.values.tolist() == [[0.5, 0.5]] * 3
    assert len(set(found.perplexity.values[:, 1].tolist())) == 3
    curves = limit_curves.own_curves(found)
    assert (curves.recall_wanda == 1).all() and curves.perplexity_wanda[0] == 1
    all_ = curves.share.sel(denominator="all parameters")
    assert float(all_[1]) == pytest.approx(0.5 * found.attrs["block_share"])
    one = limit_curves.own_curves(found.sel({"method": ["magnitude"]}))
    assert np.isnan(one.perplexity_wanda).all() and math.isfinite(one.perplexity_magnitude[1])


def test_windows_are_read_one_by_one(home, monkeypatch):
    """The logits of eight windows over a large vocabulary take more memory than the model."""
    real, seen = LlamaForCausalLM.forward, []

    def forward(model, tokens, **settings):
        seen.append(tuple(tokens.shape))
        return real(model, tokens, **settings)

    monkeypatch.setattr(LlamaForCausalLM, "forward", forward)
    own.measure(home / "mine", home / "text.txt", sparsities=[0.0], methods=["magnitude"], context=64)
    assert set(seen) == {(1, 64)}


def test_bad_input_is_named(home, tmp_path):
    short, wrong = tmp_path / "short.txt", tmp_path / "wrong.json"
    short.write_text("Q: Who? A: me. " * 4)
    for content in ("no JSON", "[]", '[{"prompt": 1}]', '{"prompt": "a"}', '[{"prompt": 1, "answer": "a"}]',
                    '[{"prompt": "a", "answer": " "}]'):  # fmt: skip
        wrong.write_text(content)
        with pytest.raises(BadSetting, match="JSON list"):
            own.measure(home / "mine", home / "text.txt", wrong)
    with pytest.raises(BadSetting, match="short.txt"):
        own.measure(home / "mine", short)
    with pytest.raises(BadSetting, match="sparsities"):
        own.measure(home / "mine", home / "text.txt", sparsities=[1.5])
    with pytest.raises(BadSetting, match="method"):
        own.measure(home / "mine", home / "text.txt", methods=["random"])


def test_bad_input_is_named_before_a_long_run(home, tmp_path):
    model, text, empty = str(home / "mine"), str(home / "text.txt"), tmp_path / "empty"
    empty.write_text(" ")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"model_type": "gpt2"}')
    own.check("", "")
    own.check(model, text)
    for bad, named in (
        (("", text), "model_dir needs text"),
        ((model, ""), "model_dir needs text"),
        ((str(tmp_path / "none"), text), "none is no directory"),
        ((str(tmp_path / "other"), text), "gpt2 model, not a Llama"),
        ((model, str(tmp_path / "none")), "text must be a text file"),
        ((model, 5), "text must be a text file, and 5 does not exist"),
        ((model, str(empty)), "is empty"),
        ((model, text, str(empty)), "JSON list"),
        (("", "", str(empty)), "questions are for a model of your own"),
    ):
        with pytest.raises(BadSetting, match=named):
            own.check(*bad)
    short = tmp_path / "short.txt"
    short.write_text("one sentence, no more", "utf-8")
    pack(model, tmp_path / "packed")
    for bad, named in (((model, str(short)), "give a longer text"), ((str(tmp_path / "packed"), text), "is packed")):
        own.check(*bad)  # which does for chapter 6
        with pytest.raises(BadSetting, match=named):
            prunability.check(0, 0.1, *bad)


def test_a_folder_that_cannot_be_written_needs_no_writing(home, monkeypatch, tmp_path):
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != home)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    streamed = []
    monkeypatch.setattr(own.streaming, "stream", lambda *at, **how: streamed.append(Path(at[1])) or stream(*at, **how))
    own.measure(home / "mine", home / "text.txt", sparsities=[0.5], methods=["magnitude"], context=64)
    assert [place.parent.parent for place in streamed] == [tmp_path]


@pytest.mark.parametrize(("ratio", "highest"), [(1.01, 2.2), (7, 7.7), (4e5, 100), (np.nan, 2.2)])
def test_the_scale_of_a_readers_figure_holds_the_points(ratio, highest):
    grid = {"method": list(prunability.PLAIN), "sparsity": [0.0, 0.5]}
    values = np.ones((3, 2))
    values[:, 1] = ratio
    found = xr.Dataset({name: (tuple(grid), values) for name in ("perplexity", "recall")}, grid, {"block_share": 0.7})
    figure = limits.own(limit_curves.own_curves(found))
    assert figure.spec["panels"][0]["y"]["limits"] == pytest.approx([0.9, highest])
