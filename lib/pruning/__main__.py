"""Prune Llama models on disk and say what is left of them.

python -m lib.pruning report MODEL_DIR
"""

import argparse
import sys

from lib.checks import BadSetting


def _report(options: argparse.Namespace) -> None:
    from lib.pruning import report

    print(report(options.model_dir))


def parser() -> argparse.ArgumentParser:
    """The command line; every command carries the function that runs it as `run`."""
    top = argparse.ArgumentParser(prog="python -m lib.pruning", description=__doc__.splitlines()[0])
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    report = commands.add_parser("report", help="the share of zeros in every layer")
    report.add_argument("model_dir", metavar="MODEL_DIR")
    report.set_defaults(run=_report)
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 2 for bad input or a full disk, 130 when interrupted."""
    options = parser().parse_args(arguments)
    try:
        options.run(options)
    except KeyboardInterrupt:
        print("Interrupted; the same command goes on from where it was.", file=sys.stderr)
        return 130
    except (BadSetting, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
