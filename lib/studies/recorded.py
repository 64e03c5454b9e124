"""The sweeps of chapters 7 and 8 that take longer than a chapter may: recorded by a command, and read.

python -m lib.studies.recorded [NAME] [--device cuda]
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from lib import checks, exits, files
from lib.studies import assistant, forgetting, limits
from lib.sweep import sweep, write
from lib.tiny_llama import shipped

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "book" / "data" / "pruning"
POINTS = ROOT / "_build" / "recorded"  # a file a point, so that an interrupted recording goes on
RECEIPT = "receipt.json"
TWO = ("llama2", "llama3")


@dataclass(frozen=True)
class Recording:
    """A function of a trained model over a grid, for the models of some recipes and seeds."""

    function: Callable
    grids: tuple[dict, ...]  # one after the other; NaN where none of them has a setting
    recipes: tuple[str, ...] = TWO
    along: str | None = None
    seeds: tuple[int, ...] = shipped.SEEDS


PRUNED = {"method": ["magnitude", "wanda", "sparsegpt"], "sparsity": [0.0, 0.4, 0.5, 0.6, 0.7, 0.8]}
RECORDINGS = {
    "limits": Recording(
        limits.course,
        (
            {"method": ["magnitude", "wanda", "sparsegpt"], "sparsity": list(limits.SPARSITIES)},
            {"method": ["random"], "sparsity": [0.0, 0.2, 0.3, 0.4, 0.6]},
        ),
        limits.MODELS,
        "sparsity",
    ),
    "parts": Recording(limits.parts, ({"method": ["magnitude", "sparsegpt"], "sparsity": [0.5, 0.8]},)),
    "calibrated": Recording(
        limits.calibrated, ({"method": ["wanda", "sparsegpt"], "sparsity": [0.5, 0.6, 0.7]},), along="sparsity"
    ),
    "patterned": Recording(limits.patterned, ({"method": ["magnitude", "wanda", "sparsegpt", "random"]},)),
    "capacity": Recording(limits.capacity, ({},), limits.MODELS),
    "decline": Recording(forgetting.decline, (PRUNED,)),
    "named": Recording(forgetting.named, ({},)),
    "relearned": Recording(forgetting.relearned, ({"method": ["sparsegpt"], "sparsity": [0.6, 0.7]},)),
    "inspected": Recording(assistant.inspected, (PRUNED,), seeds=(0,)),
    "variants": Recording(assistant.variants, ({"sparsity": [0.0, 0.4, 0.5, 0.6, 0.7]},)),
}


def load(name: str, folder: Path = FOLDER) -> xr.Dataset:
    """A recorded sweep; BadSetting where it is missing, changed, or of other models than those that ship."""
    checks.choice("name", name, RECORDINGS)
    file, remedy = folder / f"{name}.nc", command(name)
    if not file.exists():
        raise checks.BadSetting(f"{file} is missing; make it with: {remedy}")
    if receipt(folder).get(name, {}).get("sha256") != files.digest(file):
        raise checks.BadSetting(f"{file} is not the file that {folder / RECEIPT} names; check both out again.")
    found = xr.load_dataset(file, engine="scipy")
    if found.attrs["models"] != _models(name):
        raise checks.BadSetting(
            f"{file} was recorded with other trained models than those that ship; renew it: {remedy}"
        )
    return found


def fingerprint(name: str, folder: Path = FOLDER) -> str:
    """Eight digits that change when a recorded sweep does."""
    return files.digest(folder / f"{name}.nc")[:8] if (folder / f"{name}.nc").exists() else "missing"


def receipt(folder: Path = FOLDER) -> dict[str, dict]:
    """For each recorded sweep: command, commit, device, machine, seconds, seeds, sha256."""
    return files.read(folder / RECEIPT, command(""))


def command(name: str) -> str:
    """What records a sweep."""
    return f"python -m lib.studies.recorded {name}".rstrip()


def _models(name: str) -> str:
    return limits.digests(RECORDINGS[name].recipes, RECORDINGS[name].seeds)


def measured(name: str, recipe: str, seed: int, device: str = "cpu") -> xr.Dataset:
    """What one trained model adds to a recording; its points are kept, so that nothing is measured twice."""
    made = RECORDINGS[name]
    settings = dict(
        seeds=[seed], along=made.along, cache=POINTS, digest=limits.digests([recipe], [seed]), device=device
    )
    found = [sweep(made.function, {"recipe": [recipe], **grid}, **settings) for grid in made.grids]
    return xr.concat(found, "method", join="outer", combine_attrs="drop") if len(found) > 1 else found[0].drop_attrs()


def record(name: str, *, folder: Path = FOLDER, device: str = "cpu") -> None:
    """Measure all models of a recording, write it in single precision, and say in the receipt how it was made.

    Its seconds are those of all points, whenever they were measured.
    """
    from lib import receipts  # the command's business, not the science's

    models = _models(name)  # all must be there before the first is measured
    made = RECORDINGS[name]
    found = [[measured(name, recipe, seed, device) for seed in made.seeds] for recipe in made.recipes]
    joined = xr.concat([xr.concat(seeds, "seed", join="outer") for seeds in found], "recipe", join="outer")
    seconds = float(joined.seconds.sum())
    kept = joined.drop_vars("seconds").map(_single).assign_attrs(models=models)
    write(kept, folder / f"{name}.nc")
    line = {
        "command": command(name),
        "commit": receipts.commit(),
        "device": device,
        "machine": receipts.machine(device),
        "seconds": round(seconds, 1),
        "seeds": list(made.seeds),
        "sha256": files.digest(folder / f"{name}.nc"),
    }
    with files.locked(folder):
        files.write(folder / RECEIPT, (receipt(folder) if (folder / RECEIPT).exists() else {}) | {name: line})


def _single(values: xr.DataArray) -> xr.DataArray:
    """Numbers in single precision; text as it is."""
    return values.astype(np.float32) if values.dtype.kind == "f" else values


def main(arguments: list[str] | None = None) -> int:
    """Record sweeps; returns the exit status: 0, 2 for a bad setting or file, 130 when interrupted."""
    parser = argparse.ArgumentParser(prog="python -m lib.studies.recorded", description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="?", choices=RECORDINGS, help="one recording (all)")
    parser.add_argument("--device", default="cpu", help="of torch (cpu)")
    options = parser.parse_args(arguments)

    def work() -> None:
        for name in [options.name] if options.name else RECORDINGS:
            record(name, device=options.device)

    return exits.status(work, "Interrupted; the same command goes on from the last point.")


if __name__ == "__main__":
    sys.exit(main())
