"""The command line: what it lists, what it prints, how it refuses."""

import json
import subprocess
import sys

import nbformat
import pytest
import xarray as xr
from nbformat.v4 import new_code_cell, new_notebook

import lib
from lib.__main__ import UsageError, main
from lib.build import KERNEL

SMALL = "--n-neurons 60 --n-glomeruli 10 --n-odors 80 --n-test 40".split()


def test_help_lists_the_commands():
    told = subprocess.run([sys.executable, "-m", "lib", "--help"], capture_output=True, text=True, check=True).stdout
    for command in ("build", "run", "sweep", "align", "refresh"):
        assert f"\n    {command} " in told


def test_align_prints_what_the_function_returns(capsys):
    assert main(["align", *SMALL, "--density", "0.3", "--seed", "4"]) == 0
    printed = json.loads(capsys.readouterr().out)
    expected = lib.align(60, 10, density=0.3, n_odors=80, n_test=40, seed=4)
    assert printed["drive"] == pytest.approx(float(expected.drive))
    assert printed["response_shuffled"] == pytest.approx(float(expected.response_shuffled))


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["align", *SMALL, "--density", "1.5"], 2, "density"),
        (["align", *SMALL, "--fan-in", "0"], 2, "fan_in"),
        (["align", *SMALL, "--density", "0.3", "--activity", "0"], 2, "activity"),
        (["align", *SMALL, "--density", "0.3", "--odors", "floral"], 2, "odors"),
        (["run", "book/missing.ipynb", "out.ipynb"], 2, "there is no notebook book/missing.ipynb"),
        (["sweep", "out.nc", *SMALL, "--density", "0.3", "--seeds", "0"], 2, "seeds"),
        (["sweep", f"{__file__}/out.nc", *SMALL, "--density", "1"], 1, "check that path"),
    ],
)
def test_a_bad_value_gets_one_sentence(capsys, arguments, status, said):
    assert main(arguments) == status
    told = capsys.readouterr()
    assert told.out == "" and said in told.err and told.err.count("\n") == 1
    with pytest.raises((ValueError, OSError, UsageError)):
        main([*arguments, "--debug"])


def test_usage_goes_to_standard_error(capsys):
    with pytest.raises(SystemExit) as error:
        main(["align", "--n-neurons", "many"])
    assert error.value.code == 2 and "invalid int value: 'many'" in capsys.readouterr().err


def test_an_interrupt_is_no_failure_of_ours(monkeypatch, capsys):
    def interrupted(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr("lib.build.build", interrupted)
    assert main(["build"]) == 130
    assert "Interrupted" in capsys.readouterr().err


def test_a_sweep_is_saved_with_its_dimensions(tmp_path, capsys):
    out = tmp_path / "sweep.nc"
    settings = ["--n-neurons", "40", "60", "--n-glomeruli", "10", "--n-odors", "80", "--n-test", "40"]
    assert main(["sweep", str(out), *settings, "--density", "0.2", "0.5", "1", "--seeds", "2"]) == 0
    saved = xr.load_dataset(out, engine="scipy")
    assert saved["drive"].sizes["n_neurons"] == 2
    assert saved["drive"].sizes["density"] == 3
    assert saved["drive"].sizes["seed"] == 2
    expected = lib.align(60, 10, density=0.5, n_odors=80, n_test=40, seed=1)
    assert float(saved["drive"].sel(n_neurons=60, density=0.5, seed=1).squeeze()) == pytest.approx(
        float(expected.drive)
    )


@pytest.fixture
def notebook(tmp_path):
    cells = [new_code_cell("size = 1", metadata={"tags": ["parameters"]}), new_code_cell("print(10 / size)")]
    path = tmp_path / "chapter.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": KERNEL}), path)
    return path


def test_run_executes_a_chapter_with_other_parameters(notebook, tmp_path, capsys):
    out = tmp_path / "out.ipynb"
    assert main(["run", str(notebook), "-p", "size", "4", str(out)]) == 0
    assert nbformat.read(out, as_version=4).cells[-1].outputs[0].text == "2.5\n"


def test_two_chapters_run_at_once(notebook, tmp_path):
    outs = [tmp_path / f"out{i}.ipynb" for i in range(2)]
    runs = [subprocess.Popen([sys.executable, "-m", "lib", "run", notebook, out]) for out in outs]
    assert [run.wait(120) for run in runs] == [0, 0]
    assert all(nbformat.read(out, as_version=4).cells[-1].outputs[0].text == "10.0\n" for out in outs)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["-p", "size", "0"], 1, "ZeroDivisionError"),
        (["-p", "sise", "1"], 2, "has no parameter sise; its parameters are: size"),
    ],
)
def test_a_failing_run_leaves_nothing(notebook, tmp_path, capsys, arguments, status, said):
    out = tmp_path / "out.ipynb"
    out.write_text("earlier")
    assert main(["run", str(notebook), str(out), *arguments]) == status
    assert said in capsys.readouterr().err
    assert out.read_text() == "earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chapter.ipynb", "out.ipynb"]
    assert main(["run", str(notebook), str(notebook)]) == 2
