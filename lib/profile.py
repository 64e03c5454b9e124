"""What a run may use: the CPU profile everywhere, the GPU profile on a machine that has one."""

from dataclasses import dataclass

from lib import checks


@dataclass(frozen=True)
class Profile:
    """Size of a run."""

    name: str
    device: str  # of torch
    n_seeds: int  # seeds behind each spread
    n_jobs: int  # processes of a sweep
    sample: int  # receiving neurons measured at each point
    memory: int  # bytes that one alignment may take


PROFILES = {
    "cpu": Profile("cpu", "cpu", n_seeds=5, n_jobs=2, sample=250, memory=2 * 2**30),
    "gpu": Profile("gpu", "cuda", n_seeds=20, n_jobs=1, sample=2000, memory=32 * 2**30),
}


def load(name: str = "cpu") -> Profile:
    """The profile of that name; ValueError for an unknown one, or for "gpu" where torch sees no GPU."""
    checks.choice("profile", name, PROFILES)
    if name == "gpu":
        import torch

        if not torch.cuda.is_available():
            raise checks.BadSetting('profile "gpu" needs a CUDA device and torch sees none; run with profile "cpu".')
    return PROFILES[name]
