"""The same pass from disk to disk: one decoder block in memory at a time, to be taken up again after a kill."""

import hashlib
import json
import os
import time
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from lib.checks import BadSetting
from lib.measures import check_run
from lib.pruning import blocks, checkpoints, criteria, reports, writing
from lib.pruning.checkpoints import RECORD, Whole
from lib.pruning.criteria import CALIBRATED, Settings
from lib.pruning.reading import PLAIN
from lib.pruning.reports import Report


def stream(
    model_dir: str | Path,
    out_dir: str | Path,
    *,
    method: str = "magnitude",
    sparsity: float | None = None,
    pattern: str | None = None,
    scope: str = "row",
    calibration: Tensor | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> Report:
    """Prune the Llama in `model_dir` into `out_dir`, to the last bit as `lib.pruning.prune` would in memory.

    A machine with another number of threads may add up in another order, and so differ in the last bits.

    `out_dir` appears when all is done. Until then what is finished lies in a folder of the same name with `.part`
    behind it, from which the same call goes on. BadSetting, before anything is written, for bad settings or a bad
    model; OSError where the disk is full.
    """
    begun = time.perf_counter()
    settings = Settings(method, sparsity, pattern, scope, seed)
    check_run(seed, device)
    source, out = Whole(model_dir), Path(out_dir).absolute()
    if method in CALIBRATED:
        blocks.check_calibration(calibration, source.llama, method)
    made = _made(settings, source, calibration if method in CALIBRATED else None, device)
    if _finished(out, source.folder, made):
        return reports.report(out)
    part = _part(out, made)
    _check_weights(source, settings)
    _begin(part, made)
    _blocks(source, part, settings, calibration, device)
    if not (first := part / _shard(0, source.n_blocks)).exists():
        source.copy(source.rest(), first)
    writing.copy_beside(source.folder, part, but=(RECORD,))
    _write_index(part)
    os.replace(part, out)
    return reports.report(out, time.perf_counter() - begun)


def _check_weights(source: Whole, settings: Settings) -> None:
    """BadSetting for weights that are not finite, at the beginning: it would be hours until the last block is met."""
    for name, shape in source.expected.items():
        if not source.finite(name):
            raise BadSetting(f"{name} in {source.folder} must be finite, and some of it is NaN or infinite.")
        if name.endswith("_proj.weight"):
            criteria.check_group(shape[1], settings)


def _blocks(source: Whole, part: Path, settings: Settings, calibration: Tensor | None, device: str) -> None:
    """Prune the blocks that are not yet in `part`; behind those that are, the calibration's states are found again."""
    counts = blocks.global_counts(source.layers, settings) if settings.scope == "global" else {}
    model = _skeleton(source.llama)
    states = _states(model, source, calibration, device) if settings.method in CALIBRATED else None
    for index in tqdm(range(source.n_blocks), f"prune, {settings.method}", unit="block"):
        block, file = model.layers[index], part / _shard(index + 1, source.n_blocks)
        prefix, done = f"model.layers.{index}.", file.exists()
        if done and states is None:
            continue
        entries = checkpoints.header(file) if done else source.entries
        weights = {name: checkpoints.read(entries[prefix + name]).to(device) for name in block.state_dict()}
        block.load_state_dict(weights, assign=True)
        if not done:
            _damped(part, prefix, blocks.prune_block(block, index, settings, states, counts))
            pruned = {prefix + name: weight.cpu() for name, weight in weights.items()}
            checkpoints.write(file, pruned)
            del pruned
        if states and index + 1 < source.n_blocks:
            states.pass_on(block)
        del weights
        block.to("meta")


def _damped(part: Path, prefix: str, damped: dict[str, float]) -> None:
    """Remember a block's layers that were damped, in place of those that an interrupted attempt left."""
    kept = checkpoints.record(part)
    others = {name: value for name, value in kept["damped"].items() if not name.startswith(prefix)}
    if others | damped != kept["damped"]:
        checkpoints.write_record(part, kept["made"], others | damped)


def _skeleton(config) -> nn.Module:
    """A LlamaModel without weights, but with its positions' frequencies, which no checkpoint holds."""
    from transformers import LlamaModel
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    with torch.device("meta"):
        model = LlamaModel(config).eval()
    model.rotary_emb = LlamaRotaryEmbedding(config)
    return model.requires_grad_(False)


def _states(model: nn.Module, source: Whole, calibration: Tensor, device: str) -> blocks.States:
    model.rotary_emb.to(device)
    embedding = source.mapped("model.embed_tokens.weight").to(device)  # of which only some rows are read
    model.embed_tokens.load_state_dict({"weight": embedding}, assign=True)
    states = blocks.States(model, calibration)
    model.embed_tokens.to("meta")
    return states


def _shard(index: int, n_blocks: int) -> str:
    """The file of a block, counted from 1; 0 is that of all else."""
    return writing.shard(PLAIN, index, n_blocks + 1)


def _write_index(part: Path) -> None:
    files = sorted(part.glob("*.safetensors"))
    entries = {name: entry for file in files for name, entry in checkpoints.header(file).items()}
    total = sum(end - start for *_, start, end in entries.values())
    weight_map = {name: entry[0].name for name, entry in entries.items()}
    writing.write_index(part, PLAIN, {"total_size": total}, weight_map)


def _made(settings: Settings, source: Whole, calibration: Tensor | None, device: str) -> dict:
    """What decides the result: the settings, the calibration, the kind of device, and the model's files."""
    files = sorted({entry[0] for entry in source.entries.values()})
    stamp = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    seen = None
    if calibration is not None:
        numbers = calibration.to("cpu", torch.int64).contiguous().numpy().tobytes()
        seen = f"{list(calibration.shape)}, sha256 {hashlib.sha256(numbers).hexdigest()}"
    return {
        "settings": asdict(settings),
        "calibration": seen,
        "device": device.partition(":")[0],
        "model": hashlib.sha256(json.dumps(stamp).encode()).hexdigest(),
    }


def _finished(out: Path, source: Path, made: dict) -> bool:
    """Whether `out` is this very result; BadSetting where it is something else that a new one would overwrite."""
    if out.resolve() == source.resolve():
        raise BadSetting(f"OUT_DIR must not be MODEL_DIR, {source}, which stays as it is.")
    if not out.exists():
        return False
    if not out.is_dir():
        raise BadSetting(f"OUT_DIR must be a folder, and {out} is a file.")
    if not any(out.iterdir()):
        return False
    if checkpoints.record(out).get("made") != made:
        raise BadSetting(f"OUT_DIR must be new or empty, and {out} holds something else.")
    return True


def _part(out: Path, made: dict) -> Path:
    """The folder of what is finished; BadSetting where it belongs to something else."""
    part = out.with_name(f"{out.name}.part")
    if any(file.suffix != ".part" for file in part.glob("*")) and checkpoints.record(part).get("made") != made:
        raise BadSetting(f"{part} was left by a pruning with other settings; delete it or choose another OUT_DIR.")
    return part


def _begin(part: Path, made: dict) -> None:
    if checkpoints.record(part):
        for file in part.glob("*.part"):  # what a kill left half-written
            file.unlink()
    else:
        part.mkdir(parents=True, exist_ok=True)
        checkpoints.write_record(part, made, {})
