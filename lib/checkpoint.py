"""A training that goes on where it stopped: its weights, Adam's moments and its losses, in one file of safetensors."""

from pathlib import Path

import torch
from torch import nn

from lib import files
from lib.checks import BadSetting

MOMENTS = ("exp_avg", "exp_avg_sq")  # what Adam and AdamW keep of every weight


def keep(file: Path, made: str, model: nn.Module, optimizer: torch.optim.Optimizer, losses: list[float]) -> None:
    """Write weights, the optimizer's two moments of each, and all losses; `made` says of which training."""
    tensors = {f"weights.{name}": p.detach() for name, p in model.named_parameters()}
    for name, p in model.named_parameters():
        tensors |= {f"{moment}.{name}": optimizer.state[p][moment] for moment in MOMENTS}
    files.save(file, tensors | {"losses": torch.tensor(losses, dtype=torch.float64)}, {"made": made})


@torch.no_grad()
def resume(file: Path | None, made: str, model: nn.Module, optimizer: torch.optim.Optimizer) -> list[float]:
    """Put model and optimizer where `keep` left them and return the losses, none where there is no such file.

    BadSetting where the file is damaged or of a training that was `made` otherwise.
    """
    if file is None or not file.exists():
        return []
    tensors, metadata = files.load(file, "the same command")
    if metadata.get("made") != made:
        raise BadSetting(f"{file} was left by a training with other settings; delete it or choose another folder.")
    losses = tensors["losses"].tolist()
    for name, p in model.named_parameters():
        p.copy_(tensors[f"weights.{name}"])
        moments = {moment: tensors[f"{moment}.{name}"].to(p.device) for moment in MOMENTS}
        step = torch.tensor(float(len(losses)), device=p.device)  # where a fused optimizer looks for it
        optimizer.state[p] = {"step": step, **moments}
    return losses
