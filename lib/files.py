"""Files that are whole or not there, written aside and renamed; what goes wrong names the file."""

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import safetensors
from safetensors.torch import load_file, save_file
from torch import Tensor

from lib.checks import BadSetting


@contextmanager
def naming(file: Path) -> Iterator[None]:
    """Make of what the system refuses while `file` is written an OSError that names the file and carries its number."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename:
            raise
        raise OSError(error.errno, error.strerror, str(file)) from error
    except Exception as error:  # safetensors and tokenizers tell the number in their words alone
        if told := re.search(r"\(os error (\d+)\)", str(error)):
            raise OSError(int(told[1]), os.strerror(int(told[1])), str(file)) from error
        if isinstance(error, safetensors.SafetensorError):
            raise OSError(f"{file} cannot be written ({error}).") from error
        raise


def _umask() -> int:
    """What this process takes from the permissions of its files, which can only be read by setting it."""
    found = os.umask(0)
    os.umask(found)
    return found


@contextmanager
def aside(file: Path) -> Iterator[Path]:
    """The name to write under, which becomes `file` when all went well; OSError leaves an earlier file as it was."""
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        with naming(file):
            yield part
            part.chmod(0o666 & ~_umask())  # safetensors' own are for their owner alone
            os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)


def save(file: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write safetensors, as a whole or not at all; OSError leaves an earlier file as it was."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with aside(file) as part:
        save_file({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, part, metadata)


def load(file: Path, remedy: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file; BadSetting, with the remedy, where it is missing or damaged."""
    if not file.exists():
        raise BadSetting(f"{file} is missing; make it with: {remedy}")
    try:
        with safetensors.safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
        return load_file(file), metadata
    except (safetensors.SafetensorError, OSError) as error:
        raise BadSetting(f"{file} is damaged ({error}); delete it and train or check it out again.") from error


def write(file: Path, content: object) -> None:
    """Write JSON, as a whole or not at all; OSError leaves an earlier file as it was."""
    with aside(file) as part:
        part.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", "utf-8")


def read(file: Path, remedy: str) -> dict:
    """What a JSON file says; BadSetting where it is missing or damaged."""
    try:
        return json.loads(file.read_text("utf-8"))
    except FileNotFoundError as error:
        raise BadSetting(f"{file} is missing; make it with: {remedy}") from error
    except ValueError as error:
        raise BadSetting(f"{file} is no JSON ({error}); check it out again.") from error


def digest(file: Path) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock, which processes that write the same file there share."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
