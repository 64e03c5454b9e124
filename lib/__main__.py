"""The command line: build the book, run one chapter, sweep a grid, measure one alignment."""

import argparse
import json
import os
import sys
from pathlib import Path

from lib import exits

ROOT = Path(__file__).resolve().parent.parent


class UsageError(Exception):
    """A sentence that says which argument is wrong and how to mend it."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 1 for a failure, 2 for a bad argument, 130 when interrupted."""
    options = _parser().parse_args(arguments)
    # The kernel's debugger would otherwise print a warning about frozen modules at each start.
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    try:
        options.command(options)
        return 0
    except KeyboardInterrupt:
        print("Interrupted; nothing was left half-written.", file=sys.stderr)
        return 130
    except Exception as error:
        if options.debug:
            raise
        print(f"{options.name}: {_sentence(error)}", file=sys.stderr)
        return 2 if isinstance(error, (UsageError, ValueError, TypeError)) else 1


def _sentence(error: Exception) -> str:
    from lib.build import BuildError

    known = isinstance(error, (BuildError, UsageError, ValueError, OSError)) and str(error)
    return exits.sentence(error) if known else f"{type(error).__name__}: {error} (--debug shows where)"


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--debug", action="store_true", help="show the whole traceback of an error")
    parser = argparse.ArgumentParser(prog="python -m lib", description=__doc__)
    commands = parser.add_subparsers(dest="name", required=True, metavar="COMMAND")

    def command(name, function, text):
        added = commands.add_parser(name, parents=[shared], help=text, description=f"{text[0].upper()}{text[1:]}.")
        added.set_defaults(command=function)
        return added

    build = command("build", _build, "execute the chapters that changed and render the book to _build/html")
    build.add_argument("--profile", choices=("cpu", "gpu"), default="cpu", help="size and device of the runs (cpu)")

    run = command("run", _run, "execute one chapter with other parameters; the book and its claims stay as they are")
    run.add_argument("notebook", type=Path, help="a notebook of book/")
    run.add_argument("out", type=Path, help="where the executed notebook goes")
    run.add_argument("-p", "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))

    sweep = command("sweep", _sweep, "measure alignment over a grid of settings and save it as netCDF")
    sweep.add_argument("out", type=Path, help="netCDF file; an interrupted sweep goes on where it stopped")
    sweep.add_argument("--seeds", type=int, default=5, help="seeds for each setting (5)")
    sweep.add_argument("--jobs", type=int, default=1, help="processes (1)")
    _settings(sweep, several=True)

    align = command("align", _align, "measure one alignment and print it as JSON")
    align.add_argument("--seed", type=int, default=0, help="seed of the generator (0)")
    _settings(align, several=False)

    command("refresh", _refresh, "write the executed text outputs back into the committed notebooks, cleaned")
    return parser


def _settings(parser: argparse.ArgumentParser, several: bool) -> None:
    """The arguments of `lib.align`; with `several`, each may take more than one value."""
    many = {"nargs": "+"} if several else {}
    parser.add_argument("--n-neurons", type=int, required=True, help="cortical neurons a side, N", **many)
    parser.add_argument("--n-glomeruli", type=int, required=True, help="glomeruli a bulb, D", **many)
    parser.add_argument("--n-odors", type=int, required=True, help="familiar odors, P", **many)
    reach = parser.add_mutually_exclusive_group(required=True)
    reach.add_argument("--density", type=float, help="projection density, 0 < p <= 1", **many)
    reach.add_argument("--fan-in", type=int, help="exactly this many inputs a neuron", **many)
    parser.add_argument(
        "--activity", type=float, default=argparse.SUPPRESS, help="share of odors driving a neuron", **many
    )
    parser.add_argument("--odors", default=argparse.SUPPRESS, help="odor statistics: gaussian or mixture", **many)
    parser.add_argument("--rule", default=argparse.SUPPRESS, help="hebbian or sgd", **many)
    parser.add_argument("--sample", type=int, default=argparse.SUPPRESS, help="receiving neurons to measure (all)")
    parser.add_argument("--n-test", type=int, default=argparse.SUPPRESS, help="novel odors to measure with")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (cpu)")


_SETTINGS = ("n_neurons", "n_glomeruli", "n_odors", "density", "fan_in", "activity", "odors", "rule")
_FIXED = ("sample", "n_test", "device")


def _chosen(options: argparse.Namespace, names: tuple[str, ...]) -> dict:
    return {name: value for name in names if (value := getattr(options, name, None)) is not None}


def _build(options):
    from lib.build import build

    index = build(ROOT, options.profile)
    print(f"The book is ready: open {index.as_uri()} or run `make serve`.")


def _run(options):
    import papermill
    from papermill.cli import _resolve_type

    from lib.build import run, write

    if not options.notebook.is_file():
        raise UsageError(f"there is no notebook {options.notebook}; the chapters are in book/.")
    if not options.out.resolve().parent.is_dir():
        raise UsageError(f"the folder of {options.out} does not exist; make it first.")
    if options.out.resolve() == options.notebook.resolve():
        raise UsageError(f"{options.out} is the chapter itself; name another file.")
    parameters = {name: _resolve_type(value) for name, value in options.parameter}
    known = papermill.inspect_notebook(str(options.notebook))
    if unknown := parameters.keys() - known.keys():
        names = ", ".join(known) or "none"
        raise UsageError(f"{options.notebook} has no parameter {sorted(unknown)[0]}; its parameters are: {names}.")
    write(run(options.notebook, parameters, ROOT), options.out)


def _align(options):
    import lib

    result = lib.align(**_chosen(options, (*_SETTINGS, *_FIXED)), seed=options.seed)
    names = [f"{kind}{case}" for kind in ("drive", "response") for case in ("", "_familiar", "_shuffled")]
    print(json.dumps({name: float(getattr(result, name)) for name in names}, indent=1))


def _sweep(options):
    import lib
    from lib.sweep import sweep

    if options.seeds < 1:
        raise UsageError(f"--seeds must be at least 1, not {options.seeds}.")
    grid = _chosen(options, _SETTINGS)
    along = "density" if "density" in grid else None  # all densities in one call: they share their codes
    fixed = _chosen(options, _FIXED)
    sweep(lib.align, grid, seeds=options.seeds, along=along, path=options.out, n_jobs=options.jobs, **fixed)
    print(f"Saved {options.out}.")


def _refresh(options):
    from lib.build import refresh

    for path in refresh(ROOT):
        print(f"Refreshed {path.relative_to(ROOT)}.")


if __name__ == "__main__":
    sys.exit(main())
