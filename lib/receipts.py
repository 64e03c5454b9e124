"""How a run was made: commit, settings, machine, versions, time, and the files of `lib` that it stood on."""

import html
import importlib.metadata
import os
import platform
import re
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil

MIME = "application/vnd.thesis.receipt+json"
PACKAGES = ("numpy", "scipy", "torch", "transformers", "xarray", "matplotlib", "papermill", "jupyter-book")
ROOT = Path(__file__).resolve().parent.parent


def sources() -> list[str]:
    """The files of `lib` imported so far, with the .js and .css beside them, relative to the repository."""
    modules = {
        Path(module.__file__).resolve()
        for name, module in list(sys.modules.items())
        if (name == "lib" or name.startswith("lib.")) and getattr(module, "__file__", None)
    }
    pages = {
        file for module in modules for file in module.parent.iterdir() if file.suffix in (".js", ".css")
    }
    return sorted(file.relative_to(ROOT).as_posix() for file in modules | pages)


def commit(root: Path = ROOT) -> str:
    """The commit, followed by `, changed` when tracked files differ from it; `unknown` without git."""
    try:
        head = _output("git", "rev-parse", "HEAD", cwd=root)
        return head + (", changed" if _output("git", "status", "--porcelain", "--untracked-files=no", cwd=root) else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def receipt(*, seed: int, profile: str, device: str | None = None) -> dict:
    """Everything that is known of this run, as JSON; `device` is that of the profile unless it is named."""
    if device is None:
        from lib import profile as profiles

        device = profiles.load(profile).device
    return {
        "commit": commit(),
        "profile": profile,
        "device": device,
        "machine": machine(device),
        "seed": seed,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.time() - psutil.Process().create_time(), 1),
        "peak_bytes": _peak_bytes(),
        "versions": {"python": platform.python_version(), **versions()},
        "sources": sources(),
    }


def versions() -> dict[str, str]:
    """The versions of the packages that the numbers and the pages depend on."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "absent"
    return found


def machine(device: str = "cpu") -> str:
    """Processor and cores this process may use, with the accelerator where the run used one."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = re.findall(r"^model name\s*: (.+)$", cpuinfo.read_text(), re.MULTILINE)
        model = names[0] if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if not device.startswith("cuda"):
        return f"{model}, {cores} cores"
    import torch

    return f"{torch.cuda.get_device_name(device)}; {model}, {cores} cores"


def rows(made: dict) -> dict[str, str]:
    """A receipt as a table of name and text."""
    return {
        **{name: str(made[name]) for name in ("commit", "profile", "device", "machine")},
        "first seed": str(made["seed"]),
        "finished": made["finished"],
        "time": f"{made['seconds']:.0f} s",
        "peak memory": f"{made['peak_bytes'] / 2**30:.2f} GiB",
        "versions": ", ".join(f"{name} {version}" for name, version in made["versions"].items()),
    }


def table(made: dict) -> str:
    """A receipt in HTML."""
    cells = "".join(f"<tr><th>{name}</th><td>{html.escape(text)}</td></tr>" for name, text in rows(made).items())
    return f'<table class="receipt"><tbody>{cells}</tbody></table>'


class _Shown(dict):
    """A receipt that displays itself as a table."""

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {
            "text/plain": "\n".join(f"{name:<12} {text}" for name, text in rows(self).items()),
            "text/html": table(self),
            MIME: dict(self),
        }


def show(*, seed: int, profile: str, device: str | None = None) -> None:
    """Display the receipt of this run; the last cell of a chapter."""
    from IPython.display import display

    display(_Shown(receipt(seed=seed, profile=profile, device=device)))


def _output(*command: str, cwd: Path) -> str:
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout.strip()


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
