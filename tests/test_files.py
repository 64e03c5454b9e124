"""Files are whole or not there, and what goes wrong with them is said in one sentence."""

import errno
import os
import re

import pytest
import safetensors
import tokenizers
import torch

from lib import files
from lib.checks import BadSetting


@pytest.mark.parametrize(
    "write",
    [lambda file: files.write(file, {"a": [7] * 999}), lambda file: files.save(file, {"a": torch.ones(999)}, {})],
)
def test_a_full_disk_names_the_file_and_leaves_the_earlier_one(tmp_path, files_of_at_most, write):
    file = tmp_path / "kept"
    file.write_text("earlier")
    with files_of_at_most(1000), pytest.raises(OSError) as raised:
        write(file)
    assert (raised.value.errno, raised.value.filename) == (errno.EFBIG, str(file))
    assert file.read_text() == "earlier" and list(tmp_path.iterdir()) == [file]
    write(file)
    assert file.stat().st_size > 1000 and list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("number", files.NO_ROOM)
def test_no_room_is_said_with_its_mend(tmp_path, number):
    with pytest.raises(OSError) as raised, files.naming(tmp_path / "new"):
        raise OSError(number, os.strerror(number))
    said = files.sentence(raised.value)
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
        said = files.sentence(raised.value)
        assert said.startswith(f"{place} cannot be used (") and "check that path" in said and "Errno" not in said
    assert files.sentence(BrokenPipeError(errno.EPIPE, "Broken pipe")) == "The output cannot be written (Broken pipe)."
    assert files.sentence(BadSetting("a must be b.")) == "a must be b."
    assert files.sentence(OSError("It became shorter.")) == "It became shorter."


def test_what_rust_says_has_its_number(tmp_path):
    """Tokenizers raise a bare Exception, safetensors one of its own; what is neither goes through."""
    empty = tokenizers.Tokenizer(tokenizers.models.BPE())
    with pytest.raises(NotADirectoryError, match=re.escape(str(tmp_path))), files.naming(tmp_path):
        empty.save(f"{os.devnull}/x")
    with pytest.raises(OSError, match=r"new cannot be written \(strange\)\."), files.naming(tmp_path / "new"):
        raise safetensors.SafetensorError("strange")
    with pytest.raises(KeyError), files.naming(tmp_path):
        raise KeyError("a")


def test_an_interrupted_writing_leaves_the_earlier_file(tmp_path):
    file = tmp_path / "kept"
    file.write_text("earlier")
    with pytest.raises(KeyboardInterrupt), files.aside(file) as part:
        part.write_text("half")
        raise KeyboardInterrupt
    assert file.read_text() == "earlier" and list(tmp_path.iterdir()) == [file]


def test_bad_files_are_named(tmp_path):
    for read, wrong in ((files.read, "is no JSON"), (files.load, "is damaged")):
        with pytest.raises(BadSetting, match="none is missing; make it with: cook"):
            read(tmp_path / "none", "cook")
        (tmp_path / "bad").write_text("{")
        with pytest.raises(BadSetting, match=wrong):
            read(tmp_path / "bad", "cook")
