"""The commands on finished models: pack, unpack, evaluate, chat."""

import argparse
import sys

from lib.checks import BadSetting


def _pack(options: argparse.Namespace) -> None:
    from lib.pruning.packing import pack

    print(pack(options.model_dir, options.out_dir, bits=options.bits, group=options.group))


def _unpack(options: argparse.Namespace) -> None:
    from lib.pruning.packing import unpack

    unpack(options.model_dir, options.out_dir)


def _evaluate(options: argparse.Namespace) -> None:
    from lib.pruning.calibration import CONTEXT, read_text
    from lib.pruning.evaluation import evaluate
    from lib.pruning.reading import load, load_tokenizer

    text = read_text("text", options.text)
    folders = [options.model_dir, options.dense] if options.dense else [options.model_dir]
    rows = [load_tokenizer(at)(text, add_special_tokens=False, verbose=False)["input_ids"] for at in folders]
    if rows[0] != rows[-1]:
        raise BadSetting(f"{options.dense} has another tokenizer, so its perplexity cannot be compared.")
    settings, results = {"characters": len(text), "batch": options.batch}, []
    for at in folders:
        model = load(at, options.device)
        context = options.context or min(CONTEXT, model.config.max_position_embeddings)
        results.append(evaluate(model, rows[0], context, **settings))
    found = results[0]
    print(f"perplexity {found.perplexity:.4f} at context {context}, {found.n_tokens:,} tokens predicted")
    print(f"bits per character {found.bits_per_character:.4f}")
    if options.dense:
        print(f"over dense {found.perplexity / results[1].perplexity:.4f} (dense {results[1].perplexity:.4f})")


def _chat(options: argparse.Namespace) -> None:
    from lib.pruning.conversation import Chat, talk
    from lib.pruning.reading import load, load_tokenizer

    tokenizer, model = load_tokenizer(options.model_dir), load(options.model_dir, options.device)
    settings = {name: getattr(options, name) for name in ("n_new", "temperature", "seed", "stop")}
    chat = Chat(model, tokenizer, **settings)
    sys.stdin.reconfigure(errors="surrogateescape")  # bytes that are no text reach the chat, which names them
    talk(chat)


def add(commands) -> None:
    """Add the commands to the command line's own; each carries the function that runs it as `run`."""

    def command(name: str, run, text: str, *folders: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        for folder in folders:
            added.add_argument(folder.lower(), metavar=folder)
        added.set_defaults(run=run, interrupted="Interrupted; nothing was left half-written.")
        return added

    pack = command("pack", _pack, "write a model without its zeros, exactly or quantised", "MODEL_DIR", "OUT_DIR")
    pack.add_argument("--bits", type=int, choices=(8, 4), help="round the weights of the decoder blocks")
    pack.add_argument("--group", type=int, help="inputs that share a scale, with --bits (a whole row)")

    command("unpack", _unpack, "write a packed model as plain safetensors", "MODEL_DIR", "OUT_DIR")

    evaluate = command("evaluate", _evaluate, "measure how well a model predicts a text", "MODEL_DIR")
    evaluate.add_argument("--text", required=True, metavar="FILE", help="text in UTF-8")
    evaluate.add_argument("--context", type=int, help="tokens of a window (2048, or as many as the model reads)")
    evaluate.add_argument("--dense", metavar="MODEL_DIR", help="the model before pruning, to compare with")
    evaluate.add_argument("--batch", type=int, default=1, help="windows read at once (%(default)s)")

    chat = command("chat", _chat, "talk to a model in the terminal", "MODEL_DIR")
    chat.add_argument("--n-new", type=int, default=256, help="most tokens of an answer (%(default)s)")
    chat.add_argument("--temperature", type=float, default=0.0, help="0 for the likeliest token (%(default)s)")
    chat.add_argument("--seed", type=int, default=0, help="of the draws at a temperature above 0 (%(default)s)")
    chat.add_argument("--stop", metavar="TEXT", help="what ends an answer")
    for reads in (evaluate, chat):
        reads.add_argument("--device", default="cpu", help="cpu or cuda (%(default)s)")
