"""How a command ends: its exit status, and one sentence for what went wrong."""

import errno
import sys
from collections.abc import Callable

from lib.checks import BadSetting

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk, the quota, and what a file may take
NO_MEMORY = ("out of memory", "can't allocate memory")  # torch's words, on a GPU and on a CPU


def status(work: Callable[[], None], interrupted: str) -> int:
    """Do a command's work; 0, 2 for bad input, a full disk or too little memory, 130 with that sentence on Ctrl-C."""
    try:
        work()
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return 130
    except (BadSetting, OSError, MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(words in str(error) for words in NO_MEMORY):
            raise
        print(sentence(error), file=sys.stderr)
        return 2
    return 0


def sentence(error: Exception) -> str:
    """What a command says of the error that ended it: its own words, or the system's cause and the mend."""
    if isinstance(error, MemoryError | RuntimeError):
        cause = str(error).partition("\n")[0].rstrip(".") or "out of memory"
        return f"There is too little memory ({cause}): choose another device, or ask for less at a time."
    if not isinstance(error, OSError) or error.errno is None:
        return str(error)
    place = error.filename2 or error.filename or "The output"  # `files.naming` names all that is written to a disk
    if error.errno in NO_ROOM:
        return (
            f"{place} cannot be written ({error.strerror}): free some space there, or choose another disk, and give "
            "the same command again."
        )
    if not error.filename:
        return f"{place} cannot be written ({error.strerror})."
    return f"{place} cannot be used ({error.strerror}): check that path, and who may read and write there."
