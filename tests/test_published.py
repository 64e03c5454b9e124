"""The published figures' shapes and ratios."""

import numpy as np
import pytest
import torch

from lib import published


@pytest.mark.parametrize("name", published.SHAPES)
def test_shapes_have_the_parameters_of_the_models(name):
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = published.SHAPES[name]
    with torch.device("meta"):
        model = LlamaForCausalLM(LlamaConfig(
            vocab_size=shape.vocabulary, hidden_size=shape.width, intermediate_size=shape.intermediate,
            num_hidden_layers=shape.n_layers, num_attention_heads=shape.n_heads,
            num_key_value_heads=shape.n_key_value_heads,
        ))  # fmt: skip
    assert shape.parameters == sum(p.numel() for p in model.parameters())
    blocks = sum(p.numel() for name, p in model.named_parameters() if name.endswith("_proj.weight"))
    assert shape.block_weights == blocks


def test_shares_of_the_two_models():
    assert published.SHAPES["Llama-2-7B"].parameters == 6_738_415_616
    assert published.SHAPES["Llama-3-8B"].parameters == 8_030_261_248
    shares = [shape.block_share for shape in published.SHAPES.values()]
    np.testing.assert_allclose(shares, [0.961, 0.869], atol=5e-4)


def test_ratios_are_to_the_dense_model_of_the_same_row():
    found = published.ratios().ratio

    def ratio(*place):
        return float(found.sel(dict(zip(("method", "pattern", "model"), place, strict=True))))

    assert ratio("wanda", "50 %", "Llama-2-7B") == pytest.approx(6.42 / 5.12)
    assert ratio("sparsegpt", "2:4", "Llama-3-8B") == pytest.approx(16.26 / 6.14)
    assert np.isnan(ratio("wanda", "4:8", "Llama-3-8B"))
    costs = found.sel({"method": "sparsegpt", "pattern": "50 %"}).values[published.ratios().family.values == "OPT"]
    np.testing.assert_allclose(costs - 1, [0.33, 0.44, 0.19, 0.081, 0.064, 0.103, 0.024, -0.002, -0.017], atol=6e-3)


def test_every_row_has_a_known_source():
    from pathlib import Path

    text = Path(published.__file__).parents[1].joinpath("book", "references.bib").read_text("utf-8")
    for source in {row.source for row in published.ROWS} | {shape.source for shape in published.SHAPES.values()}:
        assert f"{{{source}," in text


def test_a_source_has_one_context():
    assert {(row.source, row.context) for row in published.ROWS} == {
        ("sun2024wanda", 4096), ("zhang2024ria", 2048), ("frantar2023sparsegpt", 2048)}  # fmt: skip
