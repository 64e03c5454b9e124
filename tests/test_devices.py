"""A second device for machines that have none: what the language models compute there never mixes it with the CPU.

Its tensors lie in the CPU's memory but call themselves CUDA's. They refuse what such tensors would refuse: to meet a
tensor of the CPU in one operation, and to become an array of numpy.
"""

import copy

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from lib import plants, pruning
from lib.pruning import blocks
from lib.pruning.criteria import CALIBRATED
from lib.studies import layers, limits, reading
from lib.tiny_llama import facts, shipped, training
from lib.tiny_llama.recipes import Recipe

GPU, CPU = torch.device("cuda", 0), torch.device("cpu")
MIXING = ("copy_", "__getitem__", "__setitem__", "to")  # may see both: a CPU's index serves tensors of a GPU


class OnGPU(torch.Tensor):
    """A tensor that calls itself one of a GPU."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        return call(function, args, kwargs or {})

    def __deepcopy__(self, memo):
        with torch._C.DisableTorchFunctionSubclass():
            memo[id(self)] = new = self.detach().clone().as_subclass(OnGPU).requires_grad_(self.requires_grad)
        new._is_param = getattr(self, "_is_param", False)
        return new


class Emulation(TorchFunctionMode):
    def __torch_function__(self, function, types, args=(), kwargs=None):
        return call(function, args, kwargs or {})


def call(function, args, kwargs):
    """Call a function of torch on the CPU, its result where a GPU would have it; errors as with a GPU."""
    with torch._C.DisableTorchFunctionSubclass():
        name, given = function.__name__, tree_leaves((args, kwargs))
        if name in ("device", "_parse_to"):
            return function(*args, **kwargs)
        tensors = [x for x in given if isinstance(x, torch.Tensor)]
        here = any(isinstance(x, OnGPU) for x in tensors)
        if name == "__get__" and here and getattr(function.__self__, "__name__", "") == "device":
            return GPU
        if here and name == "_has_compatible_shallow_copy_type":
            return False  # so that a module that moves makes new parameters
        if here and name in ("numpy", "__array__"):
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        others = [x for x in tensors if not isinstance(x, OnGPU) and x.dim() and not x.is_meta]
        if here and others and (name not in MIXING or name == "__getitem__" and args[0] is others[0]):
            raise RuntimeError(f"{name}: expected all tensors to be on the same device")
        there = here
        if name == "cpu":
            there = False
        for x in args[1:] if name == "to" else ():
            there = isinstance(x, OnGPU) if isinstance(x, torch.Tensor) else there
        for x in given:
            there = str(x).startswith("cuda") if isinstance(x, str | torch.device) else there
        args, kwargs = tree_map(lambda x: CPU if is_gpu(x) else x, (args, kwargs))
        result = function(*args, **kwargs)
        if name in ("copy_", "__setitem__"):
            return result
        return tree_map(lambda x: placed(x, there, name in ("to", "cpu") and there != here), result)


def is_gpu(x):
    return isinstance(x, str | torch.device) and str(x).startswith("cuda")


def placed(x, there, moved):
    if not isinstance(x, torch.Tensor) or (isinstance(x, OnGPU) == there and not moved):
        return x
    return (x.clone() if moved else x).as_subclass(OnGPU if there else torch.Tensor)


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(blocks, "check_model", lambda model, settings: None)  # which wants parameters of torch's class
    limits.bench.cache_clear()
    with Emulation():
        yield "cuda"
    limits.bench.cache_clear()


NAME = "llama2-32"
CALIBRATION = torch.randint(320, (6, 32), generator=torch.Generator().manual_seed(1))


def on_cpu(model):
    return {name: weight.cpu() for name, weight in model.state_dict().items()}


def test_the_emulation_refuses_what_a_gpu_refuses(gpu):
    x = torch.ones(3, device=gpu)
    assert x.device == GPU and (x * 2).device == GPU and x.cpu().device == CPU and x.cpu().numpy().sum() == 3
    assert torch.zeros(2).to(x).device == GPU and x[torch.tensor([0, 1])].device == GPU
    for wrong in (lambda: x + torch.ones(3), lambda: torch.ones(3)[x.long()], lambda: torch.where(x > 0, x, -x.cpu())):
        with pytest.raises(RuntimeError, match="same device"):
            wrong()
    with pytest.raises(TypeError, match="numpy"):
        x.numpy()


@pytest.mark.parametrize("method", ["magnitude", "random", "wanda", "sparsegpt"])
def test_pruning_there_is_pruning_here(gpu, tmp_path, method):
    here, there = (shipped.trained(NAME, 0, device=device)[0] for device in ("cpu", gpu))
    for how in ({"pattern": "2:4"}, {"scope": "layer" if method in CALIBRATED else "global"}):
        one, other = copy.deepcopy(here), copy.deepcopy(there)
        assert other.device == GPU
        for model in (one, other):
            pruning.prune(model, method=method, calibration=CALIBRATION, **how)
        known, found = on_cpu(one), on_cpu(other)
        assert all(torch.equal(known[name], found[name]) for name in known)
    folder = shipped.folder(NAME, 0)
    for device in ("cpu", gpu):
        pruning.stream(folder, tmp_path / device, method=method, calibration=CALIBRATION, device=device)
    known, found = (on_cpu(pruning.load(tmp_path / device)) for device in ("cpu", gpu))
    assert all(torch.equal(known[name], found[name]) for name in known)


def test_a_model_there_reads_answers_and_learns(gpu, monkeypatch):
    monkeypatch.setattr(plants, "N_LESSONS", 1)
    (here, tokens), (there, _) = (shipped.trained(NAME, 0, device=device) for device in ("cpu", gpu))
    given = limits.bench(NAME, 0, 1000, gpu)
    asked, rng = list(given.questions[:3]), np.random.default_rng(0)
    prompts = facts.prompts(tokens, asked)
    for ask in (
        lambda model: pruning.evaluate(model, given.text, 128).perplexity,
        lambda model: pruning.generate(model, tokens, prompts, 4, temperature=1.0, n_samples=2),
        lambda model: np.concatenate(facts.value_log_probabilities(model, tokens, asked)).tolist(),
        lambda model: facts.log_probabilities(model, tokens, prompts, [" a."] * 3).tolist(),
        lambda model: pruning.quantize(model, 4, group=8),
    ):
        assert ask(there) == ask(here)
    models = [plants.rounded(there), plants.broken(there, rng), plants.mistaught(there, tokens, asked, asked, rng)]
    models.append(plants.outshouted(there, tokens, "major", rng)[0])
    for model in models:
        assert model.device == GPU and len(facts.answers(model, tokens, prompts, 2)) == 3


def test_single_layers_and_attention_are_measured_there(gpu, monkeypatch):
    monkeypatch.setattr(limits, "N_CALIBRATION", 2)
    settings, models = {"seed": 0}, reading.fingerprint()
    for measure in (
        lambda device: layers.layer_errors(NAME, [0.5], layers.fingerprint(), device=device, **settings),
        lambda device: reading.survey(NAME, models, context=(16, 32), n_texts=2, device=device, **settings),
        lambda device: reading.pattern(NAME, models, length=8, device=device, **settings),
        lambda device: reading.truncation(NAME, models, kept=[2], n_texts=2, device=device, **settings),
    ):
        assert measure(gpu).equals(measure("cpu"))


def test_a_training_there_is_taken_up_there(gpu, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "KEPT", 2)
    file, recipe = tmp_path / "checkpoint", Recipe("llama2", width=32, exposures=1)
    model, *_ = training.train(recipe, stop=2, checkpoint=file, device=gpu)
    assert model.device == GPU
    optimizers = []
    kept = torch.optim.AdamW
    monkeypatch.setattr(torch.optim, "AdamW", lambda *of, **how: optimizers.append(kept(*of, **how)) or optimizers[0])
    training.train(recipe, stop=4, checkpoint=file, device=gpu)
    for state in optimizers[0].state.values():  # of which a fused optimizer reads all where the weights are
        assert {name: part.device for name, part in state.items()} == dict.fromkeys(state, GPU)
