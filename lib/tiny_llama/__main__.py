"""Train the tiny Llamas that ship with the book, or others.

python -m lib.tiny_llama train [NAME] [--seed S] [--device cuda] [--compile] [--folder FOLDER]
"""

import argparse
import sys
from pathlib import Path

from lib import exits
from lib.tiny_llama.recipes import RECIPES
from lib.tiny_llama.shipped import FOLDER, SEEDS, record


def main(arguments: list[str] | None = None) -> int:
    """Train models; returns the exit status: 0, 2 for a bad setting or file, 130 when interrupted."""
    parser = argparse.ArgumentParser(prog="python -m lib.tiny_llama", description=__doc__.splitlines()[0])
    command = parser.add_subparsers(required=True, metavar="COMMAND").add_parser("train", help="train models")
    command.add_argument("name", nargs="?", choices=RECIPES, help="one recipe (all)")
    command.add_argument("--seed", type=int, help=f"one seed ({SEEDS[0]} to {SEEDS[-1]})")
    command.add_argument("--device", default="cpu", help="of torch (cpu)")
    command.add_argument("--compile", action="store_true", help="through torch.compile, which needs a C++ compiler")
    command.add_argument("--folder", type=Path, default=FOLDER, help="where the models go (%(default)s)")
    options = parser.parse_args(arguments)

    def work() -> None:
        for seed in SEEDS if options.seed is None else [options.seed]:
            for name in [options.name] if options.name else RECIPES:
                record(name, seed, base=options.folder, device=options.device, compiled=options.compile)

    return exits.status(work, "Interrupted; the same command goes on from the last checkpoint.")


if __name__ == "__main__":
    sys.exit(main())
