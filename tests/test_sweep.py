import errno
import os

import numpy as np
import pytest
import xarray as xr

from lib import sweep as module
from lib.alignment import align, online
from lib.analysis import relative_curvature, required_density, slope
from lib.sweep import sweep

CALLS = []


def product(a, b, seed, offset=0.0):
    CALLS.append((a, b, seed))
    return {"value": a * b + 100 * seed + offset}


def squares(x, power, seed):
    CALLS.append((tuple(x), power, seed))
    return {"value": np.array(x, float) ** power + seed, "total": float(sum(x))}


@pytest.fixture(autouse=True)
def _no_calls_yet():
    CALLS.clear()


def test_values_stand_at_their_coordinates(tmp_path):
    found = sweep(product, {"a": [1, 2], "b": [5, 7, 9]}, seeds=[4, 8], cache=tmp_path, offset=0.5)
    assert found.value.dims == ("a", "b", "seed")
    for point in found.value.stack(point=found.value.dims).to_series().items():
        (a, b, seed), value = point
        assert value == a * b + 100 * seed + 0.5


def test_what_goes_along_is_one_call(tmp_path):
    found = sweep(squares, {"x": [1, 2, 3], "power": [2, 3]}, seeds=2, along="x", cache=tmp_path)
    assert len(CALLS) == 4
    assert found.value.sel(x=3, power=3, seed=1) == 28
    assert found.total.dims == ("power", "seed")
    course = sweep(
        online,
        {"density": [0.5]},
        along="presentations",
        cache=tmp_path,
        n_neurons=20,
        n_glomeruli=5,
        n_presentations=40,
    )
    assert course.drive.dims == ("density", "seed", "presentations")
    assert course.presentations[-1] == 40


def test_interrupted_sweep_goes_on_where_it_stopped(tmp_path, monkeypatch):
    grid, whole = {"a": [1, 2, 3], "b": [5]}, tmp_path / "whole"
    expected = sweep(product, grid, seeds=2, cache=whole)

    def interrupt(dataset, path, write=module.write):
        if len(CALLS) == 9:
            raise KeyboardInterrupt
        write(dataset, path)

    monkeypatch.setattr(module, "write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        sweep(product, grid, seeds=2, cache=tmp_path / "part")
    monkeypatch.undo()
    assert len(list((tmp_path / "part").rglob("*.nc"))) == 2
    again = sweep(product, grid, seeds=2, cache=tmp_path / "part")
    assert len(CALLS) == 6 + 3 + 4
    xr.testing.assert_identical(again, expected)


def test_order_and_processes_do_not_matter(tmp_path):
    settings = {"n_glomeruli": 10, "n_odors": 100}
    one = sweep(
        align, {"n_neurons": [50, 80], "density": [0.2, 0.5]}, along="density", cache=tmp_path / "1", **settings
    )
    other = sweep(
        align,
        {"density": [0.2, 0.5], "n_neurons": [80, 50]},
        along="density",
        cache=tmp_path / "2",
        n_jobs=2,
        **settings,
    )
    for name in one:
        np.testing.assert_array_equal(one[name], other[name].sel(n_neurons=[50, 80]).transpose(*one[name].dims))


def test_points_do_not_outlive_the_science(tmp_path, monkeypatch):
    sweep(product, {"a": [1], "b": [1]}, cache=tmp_path)
    sweep(product, {"a": [1], "b": [1]}, cache=tmp_path)
    assert len(CALLS) == 1
    monkeypatch.setattr(module, "source_hash", lambda function: "another")
    sweep(product, {"a": [1], "b": [1]}, cache=tmp_path)
    assert len(CALLS) == 2


def test_points_of_a_readers_script_do_not_outlive_its_helpers(tmp_path):
    script = "def helper(a):\n    return {}\n\n\ndef mine(a, seed):\n    return {{'value': helper(a)}}\n"
    found = []
    for i, said in enumerate(("a", "2 * a")):
        folder = tmp_path / str(i)  # the same file, without waiting for its time of change
        folder.mkdir()
        (folder / "script.py").write_text(script.format(said))
        space = {"__name__": "script"}
        exec(compile((folder / "script.py").read_text(), folder / "script.py", "exec"), space)
        found.append(float(sweep(space["mine"], {"a": [3]}, cache=tmp_path / "cache").value.squeeze()))
    assert found == [3, 6]


def test_a_function_without_a_text_is_refused(tmp_path):
    space = {"__name__": "nowhere"}
    exec("def mine(a, seed):\n    return {'value': a}\n", space)
    with pytest.raises(ValueError, match="must stand in a file"):
        sweep(space["mine"], {"a": [3]}, cache=tmp_path)


def test_merged_file_is_netcdf_and_a_full_disk_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "results" / "product.nc"
    found = sweep(product, {"a": [1, 2], "b": [3]}, path=path, cache=tmp_path / "cache")
    xr.testing.assert_equal(xr.load_dataset(path, engine="scipy"), found)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        module.write(found + 1, path)
    xr.testing.assert_equal(xr.load_dataset(path, engine="scipy"), found)
    assert [f.name for f in path.parent.iterdir()] == ["product.nc"]


def test_an_unreadable_point_is_computed_again(tmp_path):
    expected = sweep(product, {"a": [1], "b": [3]}, cache=tmp_path)
    next(tmp_path.rglob("*.nc")).write_bytes(b"not netCDF")
    xr.testing.assert_identical(sweep(product, {"a": [1], "b": [3]}, cache=tmp_path), expected)
    assert len(CALLS) == 2


def test_bad_grids_are_named(tmp_path):
    with pytest.raises(ValueError, match="^a has no values"):
        sweep(product, {"a": [], "b": [1]}, cache=tmp_path)
    with pytest.raises(ValueError, match="^seeds"):
        sweep(product, {"a": [1], "b": [1]}, seeds=0, cache=tmp_path)
    with pytest.raises(ValueError, match="^as_float must return"):
        sweep(as_float, {"x": [1]}, cache=tmp_path)


def as_float(x, seed):
    return float(x)


def test_required_density_is_exact_on_the_closed_form():
    p = np.geomspace(0.01, 1, 12)
    alignment = xr.DataArray([(1.2 + k / p) ** -0.5 for k in (0.05, 0.5)], dims=["k", "density"], coords={"density": p})
    found = required_density(alignment, 0.6)
    np.testing.assert_allclose(found, np.array([0.05, 0.5]) / (0.6**-2 - 1.2))
    assert np.isnan(required_density(alignment, 0.99)).all()
    assert np.isnan(required_density(alignment, 0.01)).all()


def test_slope_and_curvature_of_known_curves():
    x = np.array([1.0, 3, 10])
    power = xr.DataArray(np.array([2 * x**-1.5, 7 * x**0.5]), dims=["seed", "x"], coords={"x": x})
    np.testing.assert_allclose(slope(power, "x"), [-1.5, 0.5])
    bent = xr.DataArray(5 + 3 * x + 0 * x**2, dims="x", coords={"x": x})
    assert float(relative_curvature(bent, "x")) == pytest.approx(0, abs=1e-9)
    square = xr.DataArray(5 + (x - 1) ** 2, dims="x", coords={"x": x})
    assert float(relative_curvature(square, "x")) == pytest.approx(1)


def test_settings_are_told_apart_and_what_has_no_text_is_refused(tmp_path):
    one, other = np.zeros(2000), np.zeros(2000)
    other[1000] = 5
    totals = [float(sweep(total, {"a": [1]}, cache=tmp_path, x=x).value.squeeze()) for x in (one, other)]
    assert totals == [0, 5]
    sweep(product, {"a": [np.int64(3)], "b": [1]}, cache=tmp_path)
    sweep(product, {"a": [3], "b": [1]}, cache=tmp_path)
    assert CALLS == [(3, 1, 0)]
    with pytest.raises(ValueError, match="^a sweep's settings"):
        sweep(total, {"a": [1]}, cache=tmp_path, x=lambda t: t)


def total(a, x, seed):
    return {"value": float(np.sum(x))}


def test_coordinates_that_differ_are_refused(tmp_path):
    settings = {"n_neurons": 20, "n_glomeruli": 5, "density": 0.5, "cache": tmp_path}
    with pytest.raises(ValueError, match="^presentations differs"):
        sweep(online, {"n_presentations": [50, 100]}, along="presentations", **settings)
    with pytest.raises(ValueError, match="^online returned vectors"):
        sweep(online, {"n_presentations": [50]}, **settings)


def test_a_point_cut_short_anywhere_is_computed_again(tmp_path):
    expected = sweep(product, {"a": [1], "b": [3]}, cache=tmp_path)
    file = next(tmp_path.rglob("*.nc"))
    whole = file.read_bytes()
    for n in range(0, len(whole), 7):
        file.write_bytes(whole[:n])
        xr.testing.assert_identical(sweep(product, {"a": [1], "b": [3]}, cache=tmp_path), expected)


def table(a, seed):
    return xr.Dataset({"x": (("row", "column"), a * np.arange(6.0).reshape(2, 3))}, coords={"row": [seed, 7], "y": 1.0})


def test_a_dataset_adds_its_dimensions(tmp_path):
    found = sweep(table, {"a": [1, 2]}, cache=tmp_path)
    assert dict(found.sizes) == {"a": 2, "seed": 1, "row": 2, "column": 3}
    np.testing.assert_array_equal(found.x.sel(a=2, seed=0, row=7), [6, 8, 10])
    with pytest.raises(ValueError, match="row differs between the points"):
        sweep(table, {"a": [1]}, seeds=2, cache=tmp_path)


def test_a_point_depends_on_what_its_function_imports_and_on_nothing_else():
    library = module.LIBRARY
    files = {file.relative_to(library).as_posix() for file in module._imported(library / "alignment.py")}
    assert {"alignment.py", "projection.py", "cortex.py", "odors.py", "checks.py", "updates.py"} <= files
    assert not {"explorer/__init__.py", "recipe.py", "claims.py", "studies/alignment.py"} & files
    assert module.source_hash(align) != module.source_hash(product)
