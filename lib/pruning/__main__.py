"""Prune Llama models on disk and say what is left of them.

python -m lib.pruning prune MODEL_DIR OUT_DIR --method wanda --sparsity 0.5 --calibration text.txt
python -m lib.pruning report MODEL_DIR
python -m lib.pruning pack MODEL_DIR OUT_DIR --bits 8
python -m lib.pruning unpack MODEL_DIR OUT_DIR
python -m lib.pruning evaluate MODEL_DIR --text text.txt --context 2048 --dense DENSE_DIR
python -m lib.pruning chat MODEL_DIR
"""

import argparse
import sys
from functools import partial

from lib import exits
from lib.checks import BadSetting
from lib.pruning import calibration, commands, criteria


def _prune(options: argparse.Namespace) -> None:
    from lib.pruning import streaming
    from lib.pruning.checkpoints import Whole

    tokens = None
    if options.method in criteria.CALIBRATED:
        if options.calibration is None:
            raise BadSetting(f"{options.method} needs --calibration FILE.txt, a text such as the model is to know.")
        config = Whole(options.model_dir).llama
        tokens = calibration.sequences(options.calibration, options.model_dir, config, options.tokens, options.context)
        print(f"calibration: {len(tokens)} sequences of {tokens.shape[1]} tokens, of at most {options.tokens} tokens")
    names = ("method", "sparsity", "pattern", "scope", "seed", "device")
    settings = {name: getattr(options, name) for name in names}
    print(streaming.stream(options.model_dir, options.out_dir, calibration=tokens, **settings))


def _report(options: argparse.Namespace) -> None:
    from lib.pruning import reports

    print(reports.report(options.model_dir))


def _prune_command(commands) -> None:
    prune = commands.add_parser("prune", help="prune a model, one decoder block in memory at a time")
    prune.add_argument("model_dir", metavar="MODEL_DIR", help="a Llama's config.json, safetensors and tokenizer")
    prune.add_argument("out_dir", metavar="OUT_DIR", help="new; an interrupted run of the same command goes on")
    prune.add_argument("--method", choices=criteria.METHODS, required=True)
    prune.add_argument(
        "--sparsity", type=float, help=f"share of the blocks' weights that go ({criteria.SPARSITY}, or the pattern's)"
    )
    prune.add_argument("--pattern", metavar="N:M", help="of M consecutive inputs at most N weights stay")
    prune.add_argument("--scope", choices=criteria.SCOPES, default="row", help="the weights that compete (%(default)s)")
    prune.add_argument("--calibration", metavar="FILE.txt", help="text in UTF-8, for wanda and sparsegpt")
    prune.add_argument(
        "--tokens",
        type=int,
        default=calibration.TOKENS,
        help="of the text's beginning, or as many as it has (%(default)s)",
    )
    prune.add_argument(
        "--context", type=int, help=f"tokens of a sequence ({calibration.CONTEXT}, or as many as the model reads)"
    )
    prune.add_argument("--device", default="cpu", help="cpu or cuda (%(default)s)")
    prune.add_argument("--seed", type=int, default=0, help="of the control 'random' (%(default)s)")
    prune.set_defaults(run=_prune, interrupted="Interrupted; the same command goes on from where it was.")


def parser() -> argparse.ArgumentParser:
    """The command line; every command carries the function that runs it as `run`."""
    top = argparse.ArgumentParser(prog="python -m lib.pruning", description=__doc__.splitlines()[0])
    added = top.add_subparsers(required=True, metavar="COMMAND")
    _prune_command(added)
    report = added.add_parser("report", help="the share of zeros in every layer")
    report.add_argument("model_dir", metavar="MODEL_DIR")
    report.set_defaults(run=_report, interrupted="Interrupted.")
    commands.add(added)
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 2 for bad input or a full disk, 130 when interrupted."""
    options = parser().parse_args(arguments)
    return exits.status(partial(options.run, options), options.interrupted)


if __name__ == "__main__":
    sys.exit(main())
