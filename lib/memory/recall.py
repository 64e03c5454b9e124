"""Blocks that recall, trained and shipped: the training, which can be interrupted, the files, and the command.

python -m lib.memory.recall train FOLDER [--kind both] [--seed 0] [--steps 2000]
"""

import argparse
import hashlib
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from lib import checks, exits, files
from lib.checkpoint import keep, resume
from lib.measures import check_run
from lib.memory.block import KINDS, TASK, Block, Task, answers, streams

FOLDER = Path(__file__).resolve().parents[2] / "book" / "data" / "recall"  # the blocks that ship with the book
N_MODELS = 5  # of each kind, seeds 0 to 4
WEIGHTS, TRAINING, TESTING = range(3)  # what a generator draws, below one seed
LOGGED = 20  # steps over which a loss is averaged
KEPT = 100  # steps between two checkpoints


@dataclass(frozen=True)
class Course:
    """How a block is trained: Adam, a warm-up, then a cosine down to zero, gradients clipped at norm 1."""

    n_steps: int = 2000
    n_streams: int = 32  # streams a step
    learning_rate: float = 0.01  # the largest
    warm_up: int = 50  # steps

    def __post_init__(self) -> None:
        checks.whole("n_steps", self.n_steps, LOGGED)
        checks.whole("n_streams", self.n_streams, 1)
        checks.scalar("learning_rate", self.learning_rate, 0, 1, open_low=True)

    def rate(self, step: int) -> float:
        """The learning rate at step 0, 1, ..."""
        warm = min(1, (step + 1) / self.warm_up)
        return self.learning_rate * warm * 0.5 * (1 + np.cos(np.pi * step / self.n_steps))


COURSE = Course()  # that of the blocks that ship with the book


def generator(seed: int, *place: int) -> np.random.Generator:
    """The generator at a place in the tree that spawns from `seed`, so that any step can be drawn by itself."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=place))


def train(
    kind: str,
    seed: int = 0,
    task: Task = TASK,
    course: Course = COURSE,
    stop: int | None = None,
    checkpoint: Path | None = None,
    device: str = "cpu",
) -> tuple[Block, np.ndarray]:
    """A block trained for `stop` steps of its course, and its loss (nats), averaged over every `LOGGED` steps.

    With `checkpoint`, a file that is renewed every `KEPT` steps, an interrupted training goes on from there.
    """
    check_run(seed, device)
    block = Block(kind, generator(seed, WEIGHTS), task).to(device)
    optimizer = torch.optim.Adam(block.parameters(), lr=course.learning_rate)
    made = json.dumps({"kind": kind, "seed": seed, "task": asdict(task), "course": asdict(course)})
    losses = resume(checkpoint, made, block, optimizer)
    stop = course.n_steps if stop is None else stop
    for step in tqdm(range(len(losses), stop), f"{kind}, seed {seed}", stop, initial=len(losses)):
        shown = (x.to(device) for x in streams(generator(seed, TRAINING, step), course.n_streams, task))
        loss = functional.cross_entropy(*answers(block, *shown, task.n_keys))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(block.parameters(), 1.0)
        optimizer.param_groups[0]["lr"] = course.rate(step)
        optimizer.step()
        losses.append(loss.item())
        if checkpoint and len(losses) % KEPT == 0:
            keep(checkpoint, made, block, optimizer, losses)
    whole = len(losses) // LOGGED * LOGGED
    return block, np.array(losses[:whole]).reshape(-1, LOGGED).mean(1)


def trained(kind: str, seed: int, folder: Path = FOLDER) -> tuple[Block, np.ndarray]:
    """The trained block of that kind and seed and its losses, as `train` gave them; BadSetting where a file is bad.

    Its file must be the one that the receipt beside it names.
    """
    checks.choice("kind", kind, KINDS)
    file = folder / f"{kind}-{seed}.safetensors"
    tensors, _ = files.load(file, _remedy(folder))
    if receipt(folder)["models"].get(file.stem, {}).get("sha256") != files.digest(file):
        raise checks.BadSetting(f"{file} is not the file that {folder / 'receipt.json'} names; check both out again.")
    losses = tensors.pop("losses").double().numpy()
    block = Block(kind, generator(seed, WEIGHTS))
    block.load_state_dict(tensors)
    return block, losses


def receipt(folder: Path = FOLDER) -> dict:
    """How the blocks in `folder` were made; BadSetting where the file is missing or damaged."""
    return files.read(folder / "receipt.json", _remedy(folder))


def _remedy(folder: Path) -> str:
    return f"python -m lib.memory.recall train {folder}"


def fingerprint(folder: Path = FOLDER) -> str:
    """Eight digits that change when one of the trained blocks does."""
    digests = [model["sha256"] for _, model in sorted(receipt(folder)["models"].items())]
    return hashlib.sha256("".join(digests).encode()).hexdigest()[:8]


def record(folder: Path, kind: str, seed: int, course: Course, device: str) -> None:
    """Train one block, write it to `folder` and say in the receipt there how it was made; done is done.

    Its time counts from where the training was last taken up.
    """
    from lib import receipts  # the command's business, not the science's

    checkpoint, file = folder / f"{kind}-{seed}.checkpoint", folder / f"{kind}-{seed}.safetensors"
    command = f"python -m lib.memory.recall train {folder} --kind {kind} --seed {seed} --steps {course.n_steps}"
    made = receipt(folder) if (folder / "receipt.json").exists() else {"models": {}}
    earlier = made["models"].get(file.stem, {})
    if earlier.get("command") == command and file.exists() and earlier["sha256"] == files.digest(file):
        return
    begun = time.perf_counter()
    block, losses = train(kind, seed, course=course, checkpoint=checkpoint, device=device)
    weights = {name: p.detach() for name, p in block.named_parameters()}
    files.save(file, weights | {"losses": torch.from_numpy(losses).float()}, {"kind": kind, "seed": str(seed)})
    made["models"][file.stem] = {
        "command": command,
        "commit": receipts.commit(),
        "device": device,
        "machine": receipts.machine(device),
        "torch": torch.__version__,
        "seconds": round(time.perf_counter() - begun, 1),
        "final_loss": round(float(losses[-1]), 4),
        "sha256": files.digest(file),
    }
    files.write(folder / "receipt.json", made)
    checkpoint.unlink(missing_ok=True)


def main(arguments: list[str] | None = None) -> int:
    """Train blocks; returns the exit status: 0, 2 for a bad setting or file, 130 when interrupted."""
    parser = argparse.ArgumentParser(prog="python -m lib.memory.recall", description=__doc__.splitlines()[0])
    command = parser.add_subparsers(required=True, metavar="COMMAND").add_parser("train", help="train blocks")
    command.add_argument("folder", type=Path, help="where the blocks and their receipt go")
    command.add_argument("--kind", choices=KINDS, help="one kind (all)")
    command.add_argument("--seed", type=int, help=f"one seed (0 to {N_MODELS - 1})")
    command.add_argument("--steps", type=int, default=Course.n_steps, help="length of the course (%(default)s)")
    command.add_argument("--device", default="cpu", help="of torch (cpu)")
    options = parser.parse_args(arguments)

    def work() -> None:
        for kind in [options.kind] if options.kind else KINDS:
            for seed in range(N_MODELS) if options.seed is None else [options.seed]:
                record(options.folder, kind, seed, Course(n_steps=options.steps), options.device)

    return exits.status(work, "Interrupted; the same command goes on from the last checkpoint.")


if __name__ == "__main__":
    sys.exit(main())
