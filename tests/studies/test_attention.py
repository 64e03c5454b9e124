"""What chapter 6 measures, on small random Llamas, on rows whose answer is known, and on the trained models."""

import numpy as np
import pytest
import torch
import xarray as xr
from scipy import stats
from transformers import LlamaConfig, LlamaForCausalLM

from lib import attention
from lib.checks import BadSetting
from lib.profile import PROFILES
from lib.studies import attention as studies
from lib.studies import reading
from lib.tiny_llama import recipes, shipped

RUN = PROFILES["cpu"]


def llama(std=0.3, n_layers=2, vocabulary=30):
    sizes = dict(hidden_size=32, intermediate_size=48, num_attention_heads=4, num_key_value_heads=2)
    config = LlamaConfig(vocab_size=vocabulary, num_hidden_layers=n_layers, bos_token_id=1, **sizes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(config).eval()
        for weights in model.parameters():
            torch.nn.init.normal_(weights, std=std)
    return model


@pytest.fixture(scope="module")
def tokens():
    shown = torch.from_numpy(np.random.default_rng(0).integers(2, 30, (11, 64)))
    shown[:, ::16] = 1  # a document every 16 tokens
    return shown


@pytest.fixture(scope="module")
def found(tokens):
    return reading.measure(llama(), tokens, [16, 33, 64], (0.5, 0.9), (0.5, 0.9), seed=3)


def test_contexts_are_steps_of_the_root_of_two():
    assert reading.contexts(128) == [16, 23, 32, 45, 64, 91, 128]
    assert reading.contexts()[-1] == reading.LONGEST and reading.contexts(100)[-1] == 91


def test_survey_equals_measures_of_transformers_own_attention(found, tokens):
    model = llama()
    model.set_attn_implementation("eager")
    with torch.no_grad():
        weights = torch.stack(model(tokens, output_attentions=True).attentions)  # (layer, text, head, query, key)
    for n in (16, 33, 64):
        row, here = weights[..., n - 1, :n].double(), found.sel(context=n)
        np.testing.assert_allclose(here.sink, row[..., 0].mean(1), atol=1e-6)
        np.testing.assert_allclose(here.own, row[..., (n - 1) // 16 * 16 :].sum(-1).mean(1), atol=1e-6)
        assert np.all(here.own_keys == (n - 1) % 16 + 1)
        for counted, rest in (("all", row), ("all but the first", row[..., 1:] / row[..., 1:].sum(-1, keepdim=True))):
            entropy = -(rest * rest.log()).sum(-1)
            np.testing.assert_allclose(here.entropy.sel(counted=counted), entropy.mean(1), atol=1e-5)
            held = rest.sort(-1, descending=True).values.cumsum(-1)
            density = ((held < 0.9).sum(-1) + 1) / rest.shape[-1]
            np.testing.assert_allclose(here.density.sel(counted=counted, share=0.9), density.mean(1), atol=1e-3)
            variance = rest.log().var(-1, correction=0)
            np.testing.assert_allclose(here["variance"].sel(counted=counted), variance.mean(1), rtol=1e-4)


def test_chunks_of_texts_change_nothing(found, tokens, monkeypatch):
    monkeypatch.setattr(reading, "CHUNK", 11)
    whole = reading.measure(llama(), tokens, [16, 33, 64], (0.5, 0.9), (0.5, 0.9), seed=3)
    for name in ("density", "entropy", "variance", "through", "own"):  # the nulls draw and pair by chunks
        np.testing.assert_allclose(whole[name], found[name], atol=1e-6)
    for name in ("gaussian", "foreign"):
        np.testing.assert_allclose(whole[name].mean(), found[name].mean(), rtol=0.05)


def test_foreign_density_is_that_of_the_next_texts_queries(found, tokens):
    expected = {}

    def take(rows):
        expected.setdefault(rows.layer, []).append(attention.density(rows.foreign[..., 1:], [0.9])[..., 0])

    for chunk in tokens.tensor_split(-(-len(tokens) // reading.CHUNK)):
        attention.read(llama(), chunk, [64], take)
    for layer, parts in expected.items():
        here = found.foreign.sel(layer=layer + 1, context=64, counted="all but the first", share=0.9)
        np.testing.assert_allclose(here, torch.cat(parts).mean(0), rtol=1e-6)
    assert not np.allclose(found.foreign, found.density)


def test_summary_speaks_of_the_claims_keys_and_share(found):
    one = found.assign(gaussian=found.gaussian + 0.01, entropy=found.entropy.where(found.counted != "all", 0.0))
    said = studies.summary(one.expand_dims(seed=[0, 1]))
    at = {"context": 64, "counted": studies.COUNTED, "share": 0.9}
    assert said["n_models"] == 2
    assert said["density"] == pytest.approx(float(found.density.sel(at).mean()))
    assert said["number"] == pytest.approx(63 * said["density"])
    assert said["gaussian"] == pytest.approx(float(found.gaussian.sel(at).mean()) + 0.01)
    assert said["own_keys"] == pytest.approx(16 / 64)
    log_n, growth, exponent = np.log([16, 33, 64]), [], []
    for layer in found.layer:
        for head in found["head"]:
            own = found.sel(layer=layer, head=head, counted=studies.COUNTED)
            growth.append(np.polyfit(log_n, own["variance"], 1)[0])
            exponent.append(np.polyfit(log_n, own.entropy, 1)[0])
    gap = np.abs(np.array(exponent) - 1 + np.array(growth) / 2).mean()
    assert said["heads_gap"] == pytest.approx(gap)


def test_no_text_is_left_to_read_alone(tokens, monkeypatch):
    monkeypatch.setattr(reading, "CHUNK", len(tokens) - 1)
    found = reading.measure(llama(), tokens, [16])
    assert np.isfinite(found.foreign).all()


def test_one_text_has_no_foreign_query(tokens):
    alone = reading.measure(llama(), tokens[:1], [16])
    assert np.isnan(alone.foreign).all() and np.isfinite(alone.gaussian).all()


def swept(**variables):
    """A sweep of `survey` with given values over context, for two seeds, one layer of two heads."""
    context = np.array([16, 32, 64, 128, 256, 512])
    sizes = {"model": ["llama2"], "seed": [0, 1], "layer": [1], "context": context, "head": [1, 2]}
    sizes |= {"counted": list(reading.FIRST), "share": [0.5, 0.9]}
    shape = {name: len(values) for name, values in sizes.items()}
    data = {}
    for name, values in variables.items():
        dims = [d for d in shape if d != "share" or name in ("density", "gaussian", "foreign")]
        full = np.broadcast_to(values(context)[:, None, None], [shape[d] for d in dims[3:6]])
        full = full[..., None] if len(dims) == 7 else full
        data[name] = (dims, np.broadcast_to(full, [shape[d] for d in dims]))
    return xr.Dataset(data | {"trained": (("model", "seed"), [[256, 256]])}, sizes)


def test_curves_find_the_exponent_within_the_trained_contexts():
    bent = swept(density=lambda n: np.where(n <= 256, n**-0.7, 1.0), gaussian=lambda n: 0.5 * n**-0.2,
                 foreign=lambda n: 0.9 + 0 * n, variance=lambda n: 0 * n + 4.0)  # fmt: skip
    curves = studies.context_curves(bent)
    np.testing.assert_allclose(curves.exponent, -0.7, atol=1e-12)
    assert curves.place.values.tolist() == ["all layers", "layer 1"]
    np.testing.assert_allclose(curves.closed.sel(share=0.9), attention.gaussian_density(0.9, 2.0))
    assert np.all(curves.uniform.sel(share=0.5) == 0.5)


def test_claim_takes_its_own_keys_share_and_contexts():
    bent = swept(density=lambda n: np.where(n <= 256, n**-0.7, 1.0), gaussian=lambda n: 0.5 * n**-0.2)
    for name in ("density", "gaussian"):  # what the claim does not ask for
        asked = (bent.counted == studies.COUNTED) & (bent.share == studies.SHARE)
        bent[name] = bent[name].where(asked, 0.3)
    width = np.array([32, 64, 128])
    by_width = bent.isel(model=0, drop=True).expand_dims(width=width)
    scale = xr.DataArray(width**-0.5, dims="width", coords={"width": width})
    by_width["density"] = (by_width.density * scale).where(by_width.context == recipes.CONTEXT, 0.7)
    slopes = list(studies.claim(bent.sel(model="llama2"), by_width).values())
    for values, expected in zip(slopes[:3], (-0.7, -0.5, -0.5), strict=True):
        np.testing.assert_allclose(values, [expected, expected], atol=1e-12)
    assert np.all(np.abs(slopes[3]) < 0.06)  # whole keys of a short row make it a little steeper than flat


def test_heads_of_gaussian_logits_lie_on_the_line():
    growth = 0.6
    found = swept(variance=lambda n: 1 + growth * np.log(n), entropy=lambda n: np.log(n) - (1 + growth * np.log(n)) / 2,
                  entropy_gaussian=lambda n: np.log(n))  # fmt: skip
    curves = studies.head_curves(found)
    np.testing.assert_allclose(curves.growth, growth)
    np.testing.assert_allclose(curves.exponent, 1 - growth / 2)
    np.testing.assert_allclose(curves.exponent_gaussian, 1)
    assert curves.sizes["unit"] == 4
    assert np.interp(growth, curves.line_at, curves.line_exponent) == pytest.approx(1 - growth / 2)


def test_freezing_shows_its_closed_forms():
    growth, share = [0.0, 1.0, 4.0], [0.9]
    parts = [studies.freezing(c, share, seed=1).expand_dims(growth=[c], seed=[1]) for c in growth]
    curves = studies.freezing_curves(xr.concat(parts, "growth"))
    np.testing.assert_allclose(curves.effective_exponent[:2].values.ravel(), [1, 0.5], atol=0.04)
    assert curves.effective_exponent[2] < 0.15
    np.testing.assert_allclose(curves.effective.sel(growth=0), studies.N_KEYS)
    np.testing.assert_allclose(curves.holding_theory.sel(growth=0, share=0.9), 0.9 * np.array(studies.N_KEYS))
    largest = studies.N_KEYS[-1]
    deviation = np.sqrt(np.log(largest))
    expected = largest * stats.norm.cdf(stats.norm.ppf(0.9) - deviation)
    assert float(curves.holding_theory.sel(growth=1, share=0.9, n_keys=largest)) == pytest.approx(expected)


def test_pattern_keeps_the_strongest_keys():
    whole = np.full((4, 4), np.nan)
    for i, row in enumerate([[1], [0.4, 0.6], [0.2, 0.2, 0.6], [0.5, 0.1, 0.3, 0.1]]):
        whole[i, : i + 1] = row
    positions = [1, 2, 3, 4]
    found = xr.Dataset({"attention": (("query", "key"), whole)}, {"query": positions, "key": positions})
    curves = studies.pattern_curves(found.expand_dims(seed=[0]), [2, 3, 4], [0.5, 0.9])
    kept = curves.kept_key
    assert kept.sel(asking=3, share=0.5).dropna("key").values.tolist() == [3]
    assert kept.sel(asking=4, share=0.5).dropna("key").values.tolist() == [3]
    assert kept.sel(asking=4, share=0.9).dropna("key").values.tolist() == [2, 3, 4]
    assert curves.kept_row.sel(asking=4, share=0.5).sum() == pytest.approx(0.3**0.5)
    assert np.nanmax(curves.root) == 1 and np.isnan(curves.root[0, 1])


def test_losses_follow_contexts_of_their_class(monkeypatch):
    model, shown = llama(), torch.from_numpy(np.random.default_rng(2).integers(2, 30, (9, 64)))
    monkeypatch.setattr(reading, "CLASSES", np.array([16, 32, 64]))
    with torch.no_grad():
        chances = model(shown).logits.log_softmax(-1)
    expected = [
        np.mean([-chances[i, n - 1, shown[i, n]] for i in range(9) for n in range(low, 2 * low)]) for low in (16, 32)
    ]
    np.testing.assert_allclose(reading._losses(model, shown), expected, rtol=1e-4)


def test_density_needed_is_read_off_the_ratio():
    kept, context = np.array([1, 2, 4, 8, 16, 32, 64]), 1.5 * 2.0 ** np.arange(4, 8)
    enough = 4 * (context / 24) ** 0.5  # keys at which the perplexity is e^.1 times the dense one, by construction
    ratio = np.exp(0.1 * enough[None] / kept[:, None])
    table = np.stack([ratio, 5 + 0 * ratio])[None]
    places = {"seed": [0], "way": list(reading.WAYS), "kept": kept, "context": context}
    curves = studies.truncation_curves(
        xr.Dataset({"ratio": (("seed", "way", "kept", "context"), table)}, places), [1.1]
    )
    np.testing.assert_allclose(
        curves.needed.sel(limit=1.1) * context, enough, rtol=0.15
    )  # straight lines between powers of two
    np.testing.assert_allclose(curves.exponent, -0.5, atol=0.03)
    assert np.all(curves.random == 5)


def test_a_pattern_is_transformers_own_attention():
    name, marked = "llama2-32", shipped.fingerprint()
    found = reading.pattern(name, marked, length=12, seed=1).attention
    model, shown, words = reading.reading(name, 1, reading.LONGEST, 2)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        expected = torch.stack(model(shown[:1, :12], output_attentions=True).attentions)[:, 0]
    np.testing.assert_allclose(found.fillna(0), expected, atol=1e-5)
    assert found.isnull().sum() == 16 * 66 and len(words) == reading.LONGEST
    assert reading._spaced(32).tolist() == [1, 5, 10, 14, 19, 23, 28, 32]


def test_a_survey_of_a_trained_model():
    name = "llama2-32"
    found = reading.survey(name, shipped.fingerprint(), context=[16, 64], n_texts=4, seed=4)
    assert found.sizes["layer"] == recipes.N_LAYERS and found.sizes["head"] == recipes.N_HEADS
    assert float(found.density.mean()) < 0.8
    with pytest.raises(BadSetting, match="models"):
        reading.survey(name, "00000000")


def test_a_reader_brings_a_checkpoint(tmp_path):
    tokens = recipes.tokenizer("llama2")
    model = llama(vocabulary=len(tokens))
    model.save_pretrained(tmp_path / "model")
    tokens.save_pretrained(tmp_path / "model")
    text = tmp_path / "text.txt"
    text.write_text("the old river stands near the garden. " * 80, "utf-8")
    settings = dict(context=[16, 32], n_texts=2, text=str(text))
    marked = reading.fingerprint(str(tmp_path / "model"), str(text))
    found = reading.survey(str(tmp_path / "model"), marked, **settings)
    assert found.sizes["layer"] == 2 and np.isfinite(found.density).all()
    _, shown, words = reading.reading(str(tmp_path / "model"), 0, 32, 2, str(text))
    assert words[0] == "<s>" and shown.shape == (2, 32)
    text.write_text("too short", "utf-8")
    marked = reading.fingerprint(str(tmp_path / "model"), str(text))
    with pytest.raises(BadSetting, match="text"):
        reading.survey(str(tmp_path / "model"), marked, **settings)


@pytest.mark.parametrize(
    ("bad", "name"),
    [({"seed": -1}, "seed"), ({"longest": 20}, "longest"), ({"longest": 5000}, "longest"), ({"text": "x"}, "model_dir"),
     ({"model_dir": "nowhere", "text": "x"}, "nowhere")],
)  # fmt: skip
def test_bad_parameters_are_named(bad, name):
    with pytest.raises(BadSetting, match=name):
        studies.check(RUN, **{"seed": 0, "longest": 512, "model_dir": "", "text": "", **bad})
