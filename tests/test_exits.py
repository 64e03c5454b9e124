"""The exit status of a command, and the one sentence that it says."""

import errno
import os

import pytest
import torch

from lib import exits, files
from lib.checks import BadSetting


def _raising(error):
    def work():
        raise error

    return work


def test_a_command_that_ends_well_says_nothing(capsys):
    assert exits.status(lambda: None, "Stopped.") == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (KeyboardInterrupt(), 130, "Stopped."),
        (BadSetting("a must be b."), 2, "a must be b."),
        (MemoryError(), 2, "There is too little memory (out of memory): choose another device, or ask for less"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried 2 GiB.\nMore"), 2, "(CUDA out of memory. Tried 2 GiB)"),
    ],
)
def test_a_command_that_fails_says_one_sentence(capsys, error, status, said):
    assert exits.status(_raising(error), "Stopped.") == status
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1


def test_what_the_allocator_refuses_is_too_little_memory(capsys):
    assert exits.status(lambda: torch.empty(2**60, dtype=torch.uint8), "Stopped.") == 2
    assert "too little memory" in capsys.readouterr().err


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("not a setting"), KeyError("x")])
def test_a_fault_of_our_own_keeps_its_traceback(error):
    with pytest.raises(type(error)):
        exits.status(_raising(error), "Stopped.")


@pytest.mark.parametrize("number", exits.NO_ROOM)
def test_no_room_is_said_with_its_mend(tmp_path, number):
    with pytest.raises(OSError) as raised, files.naming(tmp_path / "new"):
        raise OSError(number, os.strerror(number))
    said = exits.sentence(raised.value)
    assert said.startswith(f"{tmp_path / 'new'} cannot be written ({os.strerror(number)}): free some space")
    assert said.endswith("give the same command again.") and "Errno" not in said


def test_other_refusals_are_said_with_the_path(tmp_path):
    (tmp_path / "file").write_text("")
    for act, place in (
        (lambda: (tmp_path / "file" / "new").mkdir(), tmp_path / "file" / "new"),
        (lambda: os.rename(tmp_path / "none", tmp_path / "other"), tmp_path / "other"),
    ):
        with pytest.raises(OSError) as raised, files.naming(tmp_path / "not this one"):
            act()
        said = exits.sentence(raised.value)
        assert said.startswith(f"{place} cannot be used (") and "check that path" in said and "Errno" not in said
    assert exits.sentence(BrokenPipeError(errno.EPIPE, "Broken pipe")) == "The output cannot be written (Broken pipe)."
    assert exits.sentence(BadSetting("a must be b.")) == "a must be b."
    assert exits.sentence(OSError("It became shorter.")) == "It became shorter."
