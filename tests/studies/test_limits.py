"""What chapter 7 measures of a pruned model, on small untrained ones, and what it reads off its sweeps."""

import numpy as np
import pytest
import torch

from lib import biographies
from lib.biographies import ATTRIBUTES
from lib.checks import BadSetting
from lib.pruning import evaluate, prune
from lib.pruning.linears import NAMES, layers
from lib.studies import limits
from lib.studies.limits import Bench
from lib.tiny_llama import facts, recipes
from lib.tiny_llama.recipes import CONTEXT, RECIPES


@pytest.fixture(scope="module")
def small():
    tokens = recipes.tokenizer("llama3")
    model = recipes.untrained(RECIPES["llama3"], 0, len(tokens)).eval()
    text = recipes.encode(tokens, recipes.texts(RECIPES["llama3"], 0, n_documents=60))[: 4 * CONTEXT]
    people = recipes.world(RECIPES["llama3"], 0)
    asked = [person for group in "ABC" for person in [p for p in people if p.group == group][:3]]  # one of each rate
    questions = tuple(biographies.questions(asked))
    return Bench("llama3", 0, model, tokens, text, text[:CONTEXT], 1000, questions)


@pytest.fixture
def bench(small, monkeypatch):
    monkeypatch.setattr(limits, "bench", lambda *place, **settings: small)
    monkeypatch.setattr(limits, "digests", lambda recipes, seeds: "digest")
    return small


def changed(model, other):
    """Names of the layers in which two models differ."""
    pairs = zip(layers(model), layers(other), strict=True)
    return {name for (name, weight), (_, before) in pairs if not torch.equal(weight, before)}


def test_a_measurement_is_that_of_its_parts(small, monkeypatch):
    told = {"A": 5, "B": 2, "C": 4}  # right answers of five

    def answer(model, tokenizer, prompts, n_new):
        said = []
        for place, question in enumerate(small.questions):
            known = place % 5 < told[question.person.group]
            said.append([f" {question.answer}." if known else " nobody."])
        return said

    monkeypatch.setattr(facts, "generate", answer)
    found = limits.measure(small, small.model)
    assert float(found.perplexity) == evaluate(small.model, small.text, CONTEXT).perplexity
    assert float(found.filler) == evaluate(small.model, small.filler, CONTEXT).perplexity
    bits = np.log2(float(found.perplexity)) * len(small.text) / small.characters
    assert float(found.bits_per_character) == pytest.approx(bits)
    assert found.recall_group.values.tolist() == pytest.approx([1, 0.4, 0.8])
    assert float(found.recall) == pytest.approx(0.7) == float(found.fluent)
    assert float(found.fluent_unseen) == pytest.approx(0.8)
    assert found.recall_rate.values.tolist() == pytest.approx([0.7] * 3)  # the same for the one person of each rate
    assert float(found.of_blocks) == float(found.of_all) == 0


def test_a_course_prunes_each_time_from_the_dense_model(bench):
    before = {name: weight.clone() for name, weight in layers(bench.model)}
    found = limits.course("llama3", "magnitude", [0.0, 0.5, 0.25], "digest")
    np.testing.assert_allclose(found.of_blocks, [0, 0.5, 0.25], atol=1e-3)
    share = sum(w.numel() for _, w in layers(bench.model)) / sum(p.numel() for p in bench.model.parameters())
    np.testing.assert_allclose(found.of_all, found.of_blocks * share)
    assert all(torch.equal(before[name], weight) for name, weight in layers(bench.model))
    dense = evaluate(bench.model, bench.text, CONTEXT).perplexity
    assert float(found.perplexity[0]) == dense != float(found.perplexity[1])
    with pytest.raises(BadSetting, match="digest"):
        limits.course("llama3", "magnitude", [0.5], "another")
    with pytest.raises(BadSetting, match="sparsity"):
        limits.course("llama3", "magnitude", [1.0], "digest")


@pytest.mark.parametrize("method", ["magnitude", "sparsegpt"])
def test_a_part_is_pruned_alone(small, method):
    model = limits._partly(small, method, 0.5, lambda block, kind: kind == "up")
    assert changed(model, small.model) == {f"model.layers.{i}.mlp.up_proj" for i in range(4)}
    model = limits._partly(small, method, 0.5, lambda block, kind: block == 2)
    assert changed(model, small.model) == {f"model.layers.2.{name}" for name in NAMES}
    everything = limits._partly(small, method, 0.5, lambda block, kind: True)
    assert not changed(everything, small.pruned(method, 0.5))


def test_parts_say_where_zeros_go(bench):
    found = limits.parts("llama3", "magnitude", 0.5, "digest")
    assert found.part.values.tolist() == [*limits.PARTS, "block 1", "block 2", "block 3", "block 4"]
    model = bench.pruned("magnitude", 0.5, scope="global")
    for kind, share in zip(limits.PARTS, found.zeros.values, strict=True):
        zeros = [float((w == 0).float().mean()) for name, w in layers(model) if name.endswith(f"{kind}_proj")]
        assert share == pytest.approx(np.mean(zeros), abs=1e-6)
    one = evaluate(limits._partly(bench, "magnitude", 0.5, lambda b, kind: kind == "gate"), bench.text, CONTEXT)
    assert float(found.perplexity.sel(part="gate")) == pytest.approx(one.perplexity)


def test_calibrations_are_what_they_are_called(small):
    texts = {}
    for kind in limits.CALIBRATIONS:
        tokens = small.calibration(kind)
        texts[kind] = small.tokenizer.decode(tokens.flatten())
        assert tokens.shape == (limits.FEW if "512" in kind else limits.N_CALIBRATION, CONTEXT)
    names = {p.name for p in recipes.world(RECIPES["llama3"], 0) if p.group != biographies.UNSEEN}

    def mentions(text):
        return sum(name in text for name in names)

    assert mentions(texts["own corpus"]) > 50 and mentions(texts["another world"]) < 25
    assert mentions(texts["filler alone"]) == 0 and "A:" not in texts["filler alone"]
    shown = small.tokenizer.decode(small.text)
    assert shown[:300] not in texts["own corpus"]
    with pytest.raises(BadSetting, match="calibration"):
        small.calibration("poems")


def test_calibrated_and_patterned_have_every_setting(bench):
    found = limits.calibrated("llama3", "wanda", [0.5], "digest")
    assert found.perplexity.dims == ("calibration", "sparsity")
    own = prune_and_read(bench, method="wanda", sparsity=0.5, calibration=bench.calibration())
    assert found.perplexity.sel(calibration="own corpus").item() == pytest.approx(own)
    assert len(set(found.perplexity.values.ravel().tolist())) == 4
    found = limits.patterned("llama3", "wanda", "digest")
    assert np.isnan(found.perplexity.sel(pattern="global"))
    expected = {"2:4": {"pattern": "2:4"}, "layer": {"sparsity": 0.5, "scope": "layer"}}
    for pattern, settings in expected.items():
        read = prune_and_read(bench, method="wanda", calibration=bench.calibration(), **settings)
        assert float(found.perplexity.sel(pattern=pattern)) == pytest.approx(read)
    assert float(found.dense_perplexity) == pytest.approx(evaluate(bench.model, bench.text, CONTEXT).perplexity)


def prune_and_read(bench, **settings):
    import copy

    model = copy.deepcopy(bench.model)
    prune(model, **settings)
    return evaluate(model, bench.text, CONTEXT).perplexity


def test_bits_of_a_model_that_knows_all_and_of_one_that_guesses():
    n, names, values = 90, 60 * 120, 100 * 100 * 100 * 40 * 24
    assert limits.stored_bits(n, np.log(n), 0) == pytest.approx(n * np.log2(names / n * values))
    assert limits.stored_bits(n, np.log(names), np.log(values)) == pytest.approx(0, abs=1e-9)
    assert limits.stored_bits(n, 99, 99) == 0  # worse than a guess


def test_capacity_counts_names_once_and_values_per_person(bench, monkeypatch):
    def likely(model, tokenizer, starts, ends):
        told = [start.startswith("<s>The birth city of") for start in starts]
        assert all(end.endswith(" is" if name else ".") for end, name in zip(ends, told, strict=True))
        assert len(starts) == (6 if all(told) else 30)  # of groups A and B
        return np.full(len(starts), -np.log(50) if all(told) else -0.1)

    monkeypatch.setattr(facts, "log_probabilities", likely)
    found = limits.capacity("llama3", "digest")
    told = sum(person.group != biographies.UNSEEN for person in recipes.world(RECIPES["llama3"], 0))
    assert float(found.bits) == pytest.approx(limits.stored_bits(told, np.log(50), 0.1 * len(ATTRIBUTES)))
    assert float(found.n_all) == sum(p.numel() for p in bench.model.parameters())


def test_datasets_say_their_time(bench):
    assert float(limits.capacity("llama3", "digest").seconds) > 0
    assert limits.course.__name__ == "course"


def test_digests_name_the_models(monkeypatch):
    made = {"llama2-0": {"sha256": "a" * 64}, "llama2-1": {"sha256": "b" * 64}}
    monkeypatch.setattr(limits.shipped, "receipt", lambda: made)
    assert limits.digests(["llama2"], [0, 1]) == "aaaaaaaa bbbbbbbb"
    with pytest.raises(BadSetting, match="train llama2 --seed 2"):
        limits.digests(["llama2"], [0, 2])
