"""Tiny Llamas: tokenizers, configurations, training that can be interrupted, the models that ship."""

import json
import shutil

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, LlamaForCausalLM

from lib import biographies, files
from lib.checks import BadSetting
from lib.tiny_llama import __main__ as command
from lib.tiny_llama import facts, recipes, shipped, training
from lib.tiny_llama.recipes import RECIPES, STYLES, Recipe

SHORT = Recipe("llama3", exposures=3, width=16)  # 40 steps


@pytest.fixture(scope="module")
def tokens():
    return {style: recipes.tokenizer(style) for style in STYLES}


@pytest.mark.parametrize("style", STYLES)
def test_a_tokenizer_gives_back_what_it_took(tokens, style):
    texts = recipes.texts(RECIPES[style], 0, 100)
    ids = tokens[style](texts)["input_ids"]
    assert [tokens[style].decode(line) for line in ids] == texts
    assert tokens[style].unk_token_id not in {i for line in ids for i in line}


def test_tokenizers_differ_as_those_of_llama_2_and_llama_3_do(tokens):
    old, new = tokens["llama2"], tokens["llama3"]
    assert len(new) == 4 * len(old)
    assert old.tokenize("1954")[-4:] == ["1", "9", "5", "4"] and "195" in new.tokenize("1954")
    text = "\n".join(recipes.texts(RECIPES["llama2"], 0, 200))
    assert len(new(text)["input_ids"]) < 0.7 * len(old(text)["input_ids"])


def test_a_stream_keeps_each_document_between_its_ends(tokens):
    stream = recipes.encode(tokens["llama2"], ["The old tower.", "Q: Who?"])
    assert tokens["llama2"].decode(stream) == "<s>The old tower.</s><s>Q: Who?</s>"
    assert training.windows(torch.arange(10), 4).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]


@pytest.mark.parametrize("style", STYLES)
def test_an_untrained_model_is_a_llama_of_its_style(style):
    state = torch.random.get_rng_state()
    model, again, other = (recipes.untrained(Recipe(style), seed, 320) for seed in (0, 0, 1))
    assert torch.equal(state, torch.random.get_rng_state())
    weights = [m.model.layers[0].mlp.up_proj.weight for m in (model, again, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    attention = model.model.layers[0].self_attn
    keys = 64 if style == "llama2" else 32  # every head has keys of its own, or two share them
    assert tuple(attention.k_proj.weight.shape) == (keys, 64) and tuple(attention.q_proj.weight.shape) == (64, 64)
    assert model.config.rope_parameters["rope_theta"] == {"llama2": 1e4, "llama3": 5e5}[style]
    assert model.get_input_embeddings().weight is not model.get_output_embeddings().weight


def test_worlds_grow_and_what_is_held_out_was_never_shown():
    told = [len(recipes.world(Recipe("llama2", facts=facts), 0)) for facts in (1, 3)]
    assert told == [120, 300]  # group C stays as it is
    shown, held_out = set(recipes.texts(SHORT, 0)), recipes.texts(SHORT, 0, 300)
    new = [text for text in held_out if not text.startswith("Q:")]  # a question has but one form
    assert not shown & set(new)


def test_the_rate_rises_stays_and_falls_to_a_tenth():
    course, n = training.Course(), 1000
    rates = np.array([course.rate(step, n) for step in range(n)])
    assert rates[0] == pytest.approx(1 / 50) and (rates[49:700] == 1).all()
    assert rates[-1] == pytest.approx(0.1 + 0.9 / 300) and (np.diff(rates[700:]) < 0).all()


def test_training_begins_with_a_guess_and_learns(monkeypatch):
    monkeypatch.setattr(training, "LOGGED", 1)
    losses = training.train(Recipe("llama3", exposures=6, width=32))[2]
    assert losses[0] == pytest.approx(np.log(1280), abs=0.1) and losses[-10:].mean() < 0.6 * losses[0]


def test_an_interrupted_training_ends_as_an_uninterrupted_one(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "KEPT", 10)
    monkeypatch.setattr(training, "LOGGED", 5)
    whole, _, losses = training.train(SHORT, 3, stop=25)
    file = tmp_path / "checkpoint"
    training.train(SHORT, 3, stop=15, checkpoint=file)  # the last checkpoint is of step 10
    resumed, _, again = training.train(SHORT, 3, stop=25, checkpoint=file)
    for name, weights in whole.state_dict().items():
        assert torch.equal(weights, resumed.state_dict()[name]), name
    assert len(losses) == 5 and np.array_equal(losses, again) and not whole.training
    with pytest.raises(BadSetting, match="other settings"):
        training.train(SHORT, 4, checkpoint=file)


def test_a_recorded_model_is_an_ordinary_folder_and_done_is_done(tmp_path, monkeypatch):
    monkeypatch.setitem(RECIPES, "llama3", SHORT)
    monkeypatch.setattr(training, "LOGGED", 5)
    assert command.main(["train", "llama3", "--seed", "5", "--folder", str(tmp_path)]) == 0
    folder = shipped.folder("llama3", 5, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir() if not p.name.startswith(".")) == ["llama3-5", "receipt.json"]
    model, tokenizer = shipped.trained("llama3", 5, base=tmp_path)
    assert model.dtype == torch.float32 and LlamaForCausalLM.from_pretrained(folder).dtype == torch.float16
    assert AutoTokenizer.from_pretrained(folder).tokenize("Q: Who?") == tokenizer.tokenize("Q: Who?")
    again = training.train(SHORT, 5)[0]
    assert torch.equal(again.lm_head.weight.half().float(), model.lm_head.weight)
    monkeypatch.setattr(shipped, "train", None)  # would fail if it were called
    shipped.record("llama3", 5, base=tmp_path)
    monkeypatch.undo()
    monkeypatch.setitem(RECIPES, "llama3", SHORT)
    line = shipped.receipt(tmp_path)["llama3-5"]
    (folder / shipped.WEIGHTS).write_bytes(b"other")  # another file is not what was trained
    assert command.main(["train", "llama3", "--seed", "5", "--folder", str(tmp_path)]) == 0
    assert shipped.receipt(tmp_path)["llama3-5"]["sha256"] == line["sha256"]
    monkeypatch.setitem(RECIPES, "llama2", SHORT)
    shipped.record("llama2", 5, base=tmp_path)
    assert set(shipped.receipt(tmp_path)) == {"llama2-5", "llama3-5"}


@pytest.mark.parametrize("limit", [20_000, 150_000], ids=["tokenizer", "checkpoint"])
def test_a_full_disk_ends_a_training_with_a_sentence(tmp_path, monkeypatch, capsys, files_of_at_most, limit):
    monkeypatch.setitem(RECIPES, "llama3", SHORT)
    monkeypatch.setattr(training, "KEPT", 10 if limit > 100_000 else 999)
    arguments = ["train", "llama3", "--seed", "5", "--folder", str(tmp_path)]
    with files_of_at_most(limit):
        assert command.main(arguments) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    place = "llama3-5.checkpoint" if limit > 100_000 else "llama3-5"
    assert told.startswith(f"{tmp_path / place} cannot be written (File too large): free some space")
    assert not list(tmp_path.rglob("*.part"))
    assert command.main(arguments) == 0 and shipped.folder("llama3", 5, tmp_path)


@pytest.fixture
def damaged(tmp_path):
    shutil.copytree(shipped.FOLDER / "llama2-0", tmp_path / "llama2-0")
    shutil.copy(shipped.FOLDER / shipped.RECEIPT, tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda base: (base / "llama2-0" / shipped.WEIGHTS).unlink(), "is missing; make it with: python -m lib.tiny"),
        (lambda base: (base / "llama2-0" / shipped.WEIGHTS).write_bytes(b"other"), "is not the file that"),
        (lambda base: (base / shipped.RECEIPT).write_text("{"), "is no JSON"),
        (lambda base: (base / shipped.RECEIPT).unlink(), "is missing"),
    ],
)
def test_what_is_wrong_with_a_shipped_model_is_said_in_a_sentence(damaged, harm, message):
    harm(damaged)
    with pytest.raises(BadSetting, match=message):
        shipped.trained("llama2", 0, base=damaged)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--seed", "-1"], "seed must be at least 0"), (["--device", "tpu"], "device must be one of")],
)
def test_a_bad_argument_ends_the_command_with_a_sentence(tmp_path, capsys, arguments, message):
    assert command.main(["train", "llama2", *arguments, "--folder", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("field", "value"), [("style", "gpt"), ("facts", 0), ("exposures", 0), ("width", 20), ("facts", 7)]
)
def test_a_bad_recipe_is_named(field, value):
    with pytest.raises(BadSetting, match=field):
        Recipe(**{"style": "llama2"} | {field: value})


def test_all_models_ship_in_float16_and_fit_the_repository():
    made = shipped.receipt()
    assert set(made) == {f"{name}-{seed}" for name in RECIPES for seed in shipped.SEEDS}
    for name, line in made.items():
        file = shipped.FOLDER / name / shipped.WEIGHTS
        assert files.digest(file) == line["sha256"], name
        assert line["losses"][-1] < line["losses"][0]
    assert sum(p.stat().st_size for p in shipped.FOLDER.rglob("*") if p.is_file()) < 80 * 2**20
    config = json.loads((shipped.FOLDER / "llama3-1" / "config.json").read_text())
    assert config["dtype"] == "float16" and config["model_type"] == "llama"


@pytest.mark.parametrize(("name", "seed", "steps"), [("llama2-32", 0, 100), ("llama2-128", 1, 50)])
def test_the_recorded_training_is_that_of_the_recipe(name, seed, steps):
    """Its beginning, trained again; the receipt's losses have four digits, of which other machines may change some."""
    losses = training.train(RECIPES[name], seed, stop=steps)[2]
    recorded = shipped.receipt()[f"{name}-{seed}"]["losses"]
    np.testing.assert_allclose(losses, recorded[: steps // training.LOGGED], atol=2e-3)


@pytest.mark.parametrize(("name", "seed"), [("llama2", 0), ("llama3", 2)])
def test_a_shipped_model_is_of_its_recipe_and_knows_its_world(tokens, name, seed):
    model, tokenizer = shipped.trained(name, seed)
    recipe = RECIPES[name]
    assert tokenizer.get_vocab() == tokens[recipe.style].get_vocab()
    made = recipes.untrained(recipe, seed, len(tokenizer)).config.to_dict() | {"dtype": "float16"}
    assert model.config.to_dict() == made and not model.training
    found = facts.recall(model, tokenizer, biographies.questions(recipes.world(recipe, seed)))
    right = found.right.groupby("group").mean()
    assert right.sel(group="A") > 0.9 and right.sel(group="B") > 0.8 and right.sel(group="C") < 0.05


def test_the_fingerprint_is_of_the_weights_alone(tmp_path):
    made = {"b-1": {"sha256": "2", "commit": "x"}, "a-0": {"sha256": "1", "commit": "x"}}
    prints = []
    for change in ({}, {"a-0": made["a-0"] | {"commit": "y"}}, {"a-0": {"sha256": "3"}}):
        files.write(tmp_path / shipped.RECEIPT, made | change)
        prints.append(shipped.fingerprint(tmp_path))
    assert prints[0] == prints[1] != prints[2] and len(prints[0]) == 8


def test_held_out_text_is_of_the_length_asked_and_of_the_models_world(tokens):
    stream = shipped.held_out("llama2", 0, tokens["llama2"], 5000)
    names = {p.name for p in recipes.world(RECIPES["llama2"], 0) if p.group != biographies.UNSEEN}
    text = tokens["llama2"].decode(stream)
    assert len(stream) == 5000 and sum(name in text for name in names) > len(names) / 2
