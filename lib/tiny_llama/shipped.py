"""The trained models that ship with the book: ordinary model folders, and a receipt that says how each was made."""

import hashlib
import time
from pathlib import Path

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from lib import checks, files
from lib.pruning import load
from lib.tiny_llama.recipes import RECIPES, encode, texts
from lib.tiny_llama.training import train

FOLDER = Path(__file__).resolve().parents[2] / "book" / "data" / "tiny_llama"
SEEDS = (0, 1, 2)  # of each recipe
RECEIPT, WEIGHTS = "receipt.json", "model.safetensors"


def command(name: str, seed: int) -> str:
    """What trains a model that ships."""
    return f"python -m lib.tiny_llama train {name} --seed {seed}"


def folder(name: str, seed: int, base: Path = FOLDER) -> Path:
    """The model's folder: config, tokenizer, weights in float16; BadSetting unless it is the one of the receipt."""
    checks.choice("name", name, RECIPES)
    checks.whole("seed", seed, 0)
    found, remedy = base / f"{name}-{seed}", command(name, seed)
    if not (found / WEIGHTS).exists():
        raise checks.BadSetting(f"{found / WEIGHTS} is missing; make it with: {remedy}")
    if receipt(base).get(found.name, {}).get("sha256") != files.digest(found / WEIGHTS):
        raise checks.BadSetting(
            f"{found / WEIGHTS} is not the file that {base / RECEIPT} names; check both out again or: {remedy}"
        )
    return found


def receipt(base: Path = FOLDER) -> dict[str, dict]:
    """For each model (`NAME-SEED`): command, commit, device, machine, seconds, losses, sha256."""
    return files.read(base / RECEIPT, "python -m lib.tiny_llama train")


def fingerprint(base: Path = FOLDER) -> str:
    """Eight digits that change when one of the trained models does."""
    digests = [made["sha256"] for _, made in sorted(receipt(base).items())]
    return hashlib.sha256("".join(digests).encode()).hexdigest()[:8]


def trained(
    name: str, seed: int, *, device: str = "cpu", base: Path = FOLDER
) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """A trained model in float32, ready to answer, and its tokenizer; BadSetting where a file is bad."""
    found = folder(name, seed, base)
    model = load(found, device, torch.float32)  # transformers' own way shows a progress bar in every notebook
    return model, PreTrainedTokenizerFast.from_pretrained(found)


def held_out(name: str, seed: int, tokens: PreTrainedTokenizerFast, n_tokens: int = 20_000) -> torch.Tensor:
    """Text of the model's world that training did not show, as one stream of `n_tokens` tokens."""
    stream = encode(tokens, texts(RECIPES[name], seed, n_documents=n_tokens // 10))
    return stream[:n_tokens]


def record(name: str, seed: int, *, base: Path = FOLDER, device: str = "cpu", compiled: bool = False) -> None:
    """Train one model and write its folder, weights last, and its line of the receipt; done is done.

    Its time counts from where the training was last taken up.
    """
    from lib import receipts  # the command's business, not the science's

    checks.choice("name", name, RECIPES)
    out, checkpoint = base / f"{name}-{seed}", base / f"{name}-{seed}.checkpoint"
    made = receipt(base) if (base / RECEIPT).exists() else {}
    if out.name in made and (out / WEIGHTS).exists() and made[out.name]["sha256"] == files.digest(out / WEIGHTS):
        return
    begun = time.perf_counter()
    model, tokens, losses = train(RECIPES[name], seed, checkpoint=checkpoint, device=device, compiled=compiled)
    model.config.dtype = torch.float16
    with files.naming(out):
        tokens.save_pretrained(out)
        model.config.save_pretrained(out)
    weights = {key: tensor.half() for key, tensor in model.state_dict().items()}
    files.save(out / WEIGHTS, weights, {"format": "pt"})
    line = {
        "command": command(name, seed) + " --compile" * compiled,
        "commit": receipts.commit(),
        "device": device,
        "machine": receipts.machine(device),
        "torch": torch.__version__,
        "seconds": round(time.perf_counter() - begun, 1),
        "losses": [round(float(loss), 4) for loss in losses],
        "sha256": files.digest(out / WEIGHTS),
    }
    with files.locked(base):  # several trainings may end at once
        made = receipt(base) if (base / RECEIPT).exists() else {}
        files.write(base / RECEIPT, made | {out.name: line})
    checkpoint.unlink(missing_ok=True)
