"""A grid of settings and seeds to one xarray.Dataset: resumable, parallel, the same in any order.

Each point is one small netCDF file, written under another name and then renamed, so a point is there whole or not at
all; a sweep that was interrupted goes on with the points that are missing.
"""

import ast
import functools
import hashlib
import inspect
import itertools
import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path

import joblib
import numpy as np
import xarray as xr
from tqdm import tqdm

LIBRARY = Path(__file__).parent
CACHE = LIBRARY.parent / "_build" / "sweeps"

# A worker that has grown too large, or had long nothing to do, is replaced; nothing is lost, but joblib warns.
warnings.filterwarnings("ignore", "A worker stopped while some jobs were given", UserWarning)


def sweep(
    function: Callable,
    grid: Mapping[str, Sequence],
    *,
    seeds: int | Sequence[int] = 1,
    along: str | None = None,
    path: Path | str | None = None,
    cache: Path | str | None = None,
    n_jobs: int = 1,
    **fixed,
) -> xr.Dataset:
    """`function(**point, seed=seed, **fixed)` at every point of `grid` and every seed, as one dataset.

    Its dimensions are those of the grid and "seed". The function returns a dataclass or a mapping of numbers, or of
    vectors along the dimension `along`: if that is in the grid, the function gets all its values in one call (densities
    share their codes); if not, the result's own entry `along` is the coordinate. Or it returns an xarray.Dataset, whose
    dimensions are added. `seeds`: how many, or which. `path`: where to write the dataset as netCDF. `cache`: the folder
    of the points, if not _build/sweeps. ValueError for an empty grid, or a function that returns anything else.
    """
    if not hasattr(function, "__qualname__"):
        raise ValueError("function must have a name of its own; pass fixed settings as keywords, not by partial.")
    seeds = list(range(seeds)) if np.ndim(seeds) == 0 else list(seeds)
    outer = {name: list(values) for name, values in grid.items() if name != along} | {"seed": seeds}
    if empty := [name for name, values in {**grid, "seeds": seeds}.items() if not len(values)]:
        raise ValueError(f"{empty[0]} has no values; give at least one.")
    common = dict(fixed, **({along: list(grid[along])} if along in grid else {}))
    points = [dict(zip(outer, values, strict=True)) for values in itertools.product(*outer.values())]
    source = source_hash(function)
    folder = Path(cache or CACHE) / f"{function.__name__}-{source[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{_key(function, along, {**common, **point})}.nc" for point in points]
    missing = [(p, f) for p, f in zip(points, files, strict=True) if not _readable(f)]
    tasks = (joblib.delayed(_compute)(function, {**common, **p}, f, along) for p, f in missing)
    done = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")(tasks)
    for _ in tqdm(done, total=len(missing), desc=function.__name__, disable=bool(os.environ.get("CI")) or not missing):
        pass
    merged = _merge(files, outer, along, common.get(along))
    merged.attrs = {"function": function.__name__, "fixed": json.dumps(fixed, default=_plain), "source": source}
    if path is not None:
        write(merged, path)
    return merged


def source_hash(function: Callable) -> str:
    """Hash of the code that a point depends on, so that no point outlives a change of the science.

    That is the function's module and what it imports of this library. Of a function from elsewhere it is all of the
    library, the file in which it stands, and its own text: that is all there is of one in a notebook, whose helpers
    in other cells do not count. ValueError where it has no text.
    """
    file = Path(inspect.getsourcefile(function) or "")
    if file.is_relative_to(LIBRARY):
        return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(_imported(file)))).hexdigest()
    try:
        own = inspect.getsource(function)
    except OSError as error:
        raise ValueError("function must stand in a file or in a notebook's cell, so that its text is known.") from error
    files = [*LIBRARY.rglob("*.py"), *([file] if file.is_file() else [])]
    return hashlib.sha256(own.encode() + b"".join(file.read_bytes() for file in sorted(files))).hexdigest()


def _imported(file: Path) -> set[Path]:
    """The file and all of the library that it imports, directly or through another."""
    found, waiting = set(), [file]
    while waiting:
        found.add(file := waiting.pop())
        waiting += [other for other in _imports(file, file.stat().st_mtime_ns) if other not in found]
    return found


@functools.cache
def _imports(file: Path, changed: int) -> frozenset[Path]:
    """The files of the library that `file`, last changed then, names in its import statements."""
    names = set()
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    paths = [LIBRARY.parent.joinpath(*name.split(".")) for name in names if name.partition(".")[0] == LIBRARY.name]
    files = (file for path in paths for file in (path.with_suffix(".py"), path / "__init__.py"))
    return frozenset(file for file in files if file.is_file())


def write(dataset: xr.Dataset, path: Path | str) -> None:
    """Write netCDF under another name, then rename; OSError leaves an earlier file as it was."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        dataset.to_netcdf(part, engine="scipy")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _plain(value):
    """What json cannot write of a setting; ValueError for what has no lasting text, such as a function."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if is_dataclass(value):
        return [type(value).__name__, asdict(value)]
    raise ValueError(f"a sweep's settings are numbers, strings, sequences and dataclasses, not {value!r}.")


def _key(function: Callable, along: str | None, settings: dict) -> str:
    text = json.dumps([function.__module__, function.__qualname__, along, settings], sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _readable(file: Path) -> bool:
    try:
        xr.load_dataset(file, engine="scipy")
    except Exception:  # a file cut short fails in many ways
        return False
    return True


def _compute(function: Callable, settings: dict, file: Path, along: str | None) -> None:
    result = function(**settings)
    if not isinstance(result, xr.Dataset):
        result = _dataset(function, asdict(result) if is_dataclass(result) else result, along)
    write(result, file)


def _dataset(function: Callable, values, along: str | None) -> xr.Dataset:
    if not isinstance(values, Mapping):
        raise ValueError(f"{function.__name__} must return a dataclass or a mapping, not {type(values).__name__}.")
    if along is None and any(np.ndim(v) for v in values.values()):
        raise ValueError(f"{function.__name__} returned vectors; name their dimension with along.")
    return xr.Dataset({name: ((along,) if np.ndim(v) else (), v) for name, v in values.items()})


def _merge(files: list[Path], outer: dict, along: str | None, coordinate) -> xr.Dataset:
    shape = tuple(map(len, outer.values()))
    points = [xr.load_dataset(file, engine="scipy") for file in files]
    variables, coordinates = {}, dict(outer) if coordinate is None else {**outer, along: coordinate}
    for name, first in points[0].variables.items():
        if first.dims != (name,):
            stacked = np.stack([point[name].values for point in points]).reshape(shape + first.shape)
            variables[name] = ((*outer, *first.dims), stacked)
        elif name not in coordinates:
            if any(not point[name].equals(points[0][name]) for point in points):
                raise ValueError(f"{name} differs between the points; choose settings that give them the same.")
            coordinates[name] = first.values
    return xr.Dataset(variables, coords=coordinates)
