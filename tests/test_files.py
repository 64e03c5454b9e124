"""Files are whole or not there, and what goes wrong names the file."""

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


@pytest.mark.parametrize("mask", [0o022, 0o027])
def test_files_have_the_permissions_that_the_reader_gives(tmp_path, mask):
    before = os.umask(mask)
    try:
        files.save(tmp_path / "tensors", {"a": torch.ones(3)}, {})
        files.write(tmp_path / "json", {})
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o666 & ~mask}


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
