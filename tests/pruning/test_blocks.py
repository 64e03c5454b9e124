"""Pruning in memory: exact counts, what the statistics are of, and independent passes of all methods."""

import dataclasses

import numpy as np
import pytest
import torch

from lib import pruning
from lib.checks import BadSetting
from lib.pruning import blocks, linears, surgeon
from lib.pruning.criteria import Settings

from .conftest import KINDS


def weights(model):
    return {name: w.detach().clone() for name, w in linears.layers(model)}


def gone(model):
    return {name: (w == 0).numpy() for name, w in weights(model).items()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["magnitude", "wanda", "sparsegpt", "random"])
def test_rows_lose_exactly_their_share_and_nothing_else_changes(llama, tokens, kind, method):
    model, before = llama(kind), dict(llama(kind).named_parameters())
    report = pruning.prune(model, method=method, sparsity=0.43, calibration=tokens)
    linear = {name + ".weight" for name in weights(model)}
    assert len(linear) == 21
    for name, p in model.named_parameters():
        if name not in linear:
            assert (p == before[name]).all()
            continue
        zeros = p == 0
        assert (zeros.sum(1) == round(0.43 * p.shape[1])).all()
        if method != "sparsegpt":
            assert (p[~zeros] == before[name][~zeros]).all()
    n_zeros, sizes = (sum(f(w) for w in gone(model).values()) for f in (np.count_nonzero, np.size))
    assert report.block_sparsity == n_zeros / sizes
    assert report.total_sparsity == n_zeros / sum(p.numel() for p in model.parameters())
    assert report.layers == {name: zero.mean() for name, zero in gone(model).items()} and not report.damped
    assert dataclasses.replace(pruning.report(model), seconds=report.seconds) == report


def inputs(model, tokens, layer):
    """What a linear layer sees when the whole model reads the tokens, float64, (tokens, inputs)."""
    seen = []
    hook = model.get_submodule(layer).register_forward_pre_hook(lambda _, x: seen.append(x[0].flatten(0, 1).double()))
    with torch.no_grad():
        model(tokens)
    hook.remove()
    return torch.cat(seen).numpy()


@pytest.mark.parametrize("method", ["wanda", "sparsegpt"])
@pytest.mark.parametrize("kind", ["grouped", "biased"])
def test_a_block_is_seen_dense_behind_pruned_ones(llama, tokens, kind, method):
    """Written straight from the papers: the whole model reads all tokens anew for each layer."""
    model, expected = llama(kind), llama(kind)
    pruning.prune(model, method=method, sparsity=0.5, calibration=tokens)
    for index, block in enumerate(expected.model.layers):
        seen = {name: inputs(expected, tokens, f"model.layers.{index}.{name}") for name in linears.NAMES}
        for name, x in seen.items():
            weight = block.get_submodule(name).weight
            w = weight.detach().double().numpy()
            if method == "wanda":
                rank = np.argsort(np.argsort(np.abs(w) * np.sqrt((x**2).sum(0)), axis=1), axis=1)
                w = np.where(rank < round(0.5 * w.shape[1]), 0, w)
            else:
                upper, _ = surgeon.factor(torch.from_numpy(x.T @ x))
                w = surgeon.sweep(torch.from_numpy(w), upper, Settings("sparsegpt")).numpy()
            weight.data.copy_(torch.from_numpy(w))
    for name, mask in gone(expected).items():
        assert (gone(model)[name] == mask).all()
        np.testing.assert_allclose(weights(model)[name], weights(expected)[name], atol=2e-5)


def test_scopes_and_patterns_in_whole_models(llama, tokens):
    for method in ("magnitude", "random", "wanda", "sparsegpt"):
        model = llama()
        pruning.prune(model, method=method, sparsity=0.37, scope="layer", calibration=tokens)
        for zeros in gone(model).values():
            assert zeros.sum() == round(0.37 * zeros.size) and len(set(zeros.sum(1))) > 1
        report = pruning.prune(model := llama(), method=method, pattern="2:4", calibration=tokens)
        assert report.block_sparsity == 0.5
        for zeros in gone(model).values():
            assert (zeros.reshape(len(zeros), -1, 4).sum(2) == 2).all()
    for method in ("magnitude", "random"):
        report = pruning.prune(model := llama(), method=method, sparsity=0.37, scope="global")
        zeros = np.concatenate([z.ravel() for z in gone(model).values()])
        assert zeros.sum() == round(0.37 * zeros.size) and len(set(report.layers.values())) > 10
    together = torch.cat([w.flatten() for w in weights(llama()).values()]).abs()
    pruning.prune(model := llama(), sparsity=0.37, scope="global")
    kept = torch.cat([w.flatten() for w in weights(model).values()]) != 0
    assert together[~kept].max() <= together[kept].min()


def test_the_control_depends_on_its_seed_alone(llama):
    masks = []
    for seed in (0, 0, 1):
        pruning.prune(model := llama(), method="random", seed=seed)
        masks.append(np.concatenate([z.ravel() for z in gone(model).values()]))
    assert (masks[0] == masks[1]).all() and abs((masks[0] == masks[2]).mean() - 0.5) < 0.02
    by_block = masks[0].reshape(3, -1)
    assert all(abs((by_block[i] == by_block[i - 1]).mean() - 0.5) < 0.02 for i in range(3))  # each block draws anew


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_its_type_and_its_counts(llama, tokens, dtype):
    for method in ("magnitude", "wanda", "sparsegpt"):
        model = llama(dtype=dtype)
        pruning.prune(model, method=method, sparsity=0.6, calibration=tokens)
        for name, w in weights(model).items():
            assert w.dtype == dtype and w.isfinite().all()
            assert ((w == 0).sum(1) == round(0.6 * w.shape[1])).all(), name


def test_sparsegpt_loses_less_than_wanda_and_wanda_less_than_chance(llama, tokens):
    """The output of a layer of the first block on the calibration, relative to the dense one."""
    x, dense, lost = inputs(llama(), tokens, "model.layers.0.mlp.down_proj"), llama(), {}
    w = dense.model.layers[0].mlp.down_proj.weight.detach().double().numpy()
    for method in ("sparsegpt", "wanda", "random"):
        pruning.prune(model := llama(), method=method, calibration=tokens)
        pruned = model.model.layers[0].mlp.down_proj.weight.detach().double().numpy()
        lost[method] = np.linalg.norm(x @ (pruned - w).T) / np.linalg.norm(x @ w.T)
    assert lost["sparsegpt"] < 0.9 * lost["wanda"] and lost["wanda"] < 0.9 * lost["random"]


def test_the_replay_is_the_model_to_the_last_bit(llama, tokens):
    """With eager attention too, whose mask depends on the size of the batch; and with batches that do not divide."""
    for attention in ("sdpa", "eager"):
        model = llama(attn_implementation=attention)
        many = tokens.repeat(14, 1)  # 350 sequences of 16, in batches of 256
        states = blocks.States(model.model, many)
        assert [len(batch) for batch in states.batches] == [256, 94]
        for block in model.model.layers:
            states.pass_on(block)
        with torch.no_grad():
            expected = [model.model.norm.forward(batch) for batch in states.batches]
            whole = [model.model(batch, use_cache=False).last_hidden_state for batch in many.split(256)]
        assert all((one == other).all() for one, other in zip(expected, whole, strict=True))


def test_training_mode_and_hooks_are_left_as_they_were(llama, tokens):
    model = llama(attention_dropout=0.5).train()
    pruning.prune(model, method="wanda", calibration=tokens)
    assert model.training and all(not module._forward_pre_hooks for module in model.modules())
    pruning.prune(same := llama(attention_dropout=0.5), method="wanda", calibration=tokens)
    assert all((a == b).all() for a, b in zip(model.parameters(), same.parameters(), strict=True))
    assert all(p.grad_fn is None and p.requires_grad for p in model.parameters())


def test_bad_models_and_calibrations_are_named_before_anything_changes(llama, tokens):
    def refused(model, match, **settings):
        before = [p.clone().nan_to_num(7) for p in model.parameters()]
        with pytest.raises(BadSetting, match=match):
            pruning.prune(model, **settings)
        assert all((a == b.nan_to_num(7)).all() for a, b in zip(before, model.parameters(), strict=True))

    refused(torch.nn.Linear(2, 2), "LlamaForCausalLM")
    for value in (float("nan"), float("inf")):
        model = llama()
        model.model.layers[2].mlp.up_proj.weight.data[3, 4] = value
        refused(model, "model.layers.2.mlp.up_proj must be finite")
    refused(llama(), "divides the 32 inputs", pattern="3:7")
    for calibration, match in (
        (None, "calibration .* 'wanda' needs"),
        (tokens[0], "shape"),
        (tokens.float(), "whole numbers"),
        (tokens[:0], "number of sequences"),
        (tokens[:, :0], "length"),
        (tokens.repeat(1, 5), "length must be .* at most 64"),
        (tokens + 1, "largest token id .* at most 60"),
        (tokens - 1, "smallest token id"),
    ):
        refused(llama(), match, method="wanda", calibration=calibration)
    with torch.device("meta"):
        model = type(llama())(llama().config)
    with pytest.raises(BadSetting, match="offloaded"):
        pruning.prune(model)


def test_inputs_that_overflow_are_named(llama, tokens):
    model = llama(dtype=torch.float16)
    model.model.layers[1].mlp.up_proj.weight.data.mul_(3e4)
    with pytest.raises(BadSetting, match="inputs of model.layers.1.mlp.down_proj must be finite"):
        pruning.prune(model, method="wanda", calibration=tokens)


def test_a_damped_layer_is_in_the_report(llama, tokens, monkeypatch):
    found = surgeon.factor
    monkeypatch.setattr(surgeon, "factor", lambda hessian: (found(hessian)[0], 0.1))
    report = pruning.prune(llama(), method="sparsegpt", calibration=tokens)
    assert set(report.damped) == set(report.layers) and set(report.damped.values()) == {0.1}
    assert "damped by 0.1 of the mean diagonal: model.layers.0.self_attn.k_proj" in str(report)


def test_the_report_is_a_table(llama):
    lines = str(pruning.prune(llama(), sparsity=0.25)).splitlines()
    assert lines[0].split() == ["block", "q", "k", "v", "o", "gate", "up", "down"]
    assert lines[2].split() == ["1"] + 7 * ["0.250"]
    assert lines[4].startswith("zero: 0.2500 of the weights") and lines[5].startswith("in ")
