"""What a receipt says of the run that it closes."""

import json
import subprocess
import sys

from lib import receipts


def git(folder, *arguments):
    identity = ["-c", "user.name=reader", "-c", "user.email=reader@example.org"]
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_commit_says_whether_the_tree_was_changed(tmp_path):
    assert receipts.commit(tmp_path) == "unknown"
    git(tmp_path, "init", "--quiet")
    (tmp_path / "a.txt").write_text("1")
    git(tmp_path, "add", "a.txt")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert receipts.commit(tmp_path) == head
    (tmp_path / "a.txt").write_text("2")
    assert receipts.commit(tmp_path) == f"{head}, changed"


def test_without_git_the_commit_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert receipts.commit() == "unknown"


def in_fresh_python(code):
    return json.loads(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


def test_sources_are_the_imported_files_alone():
    found = in_fresh_python("import json; from lib import receipts; print(json.dumps(receipts.sources()))")
    assert found == ["lib/__init__.py", "lib/receipts.py"]
    found = in_fresh_python(
        "import json, lib.explorer; from lib import receipts; print(json.dumps(receipts.sources()))"
    )
    assert {"lib/explorer/__init__.py", "lib/explorer/figure.js", "lib/explorer/figure.css"} <= set(found)


def test_book_tools_leave_torch_alone():
    code = "import json, sys, lib, lib.build, lib.claims, lib.explorer, lib.ledger, lib.receipts; "
    assert in_fresh_python(code + "print(json.dumps('torch' in sys.modules))") is False


def test_receipt_is_json_with_every_field():
    made = receipts.receipt(seed=7, profile="cpu")
    assert json.loads(json.dumps(made)) == made
    assert (made["seed"], made["profile"], made["device"]) == (7, "cpu", "cpu")
    assert 0 < made["seconds"] and 1e7 < made["peak_bytes"] < 1e12
    assert made["versions"]["numpy"] == __import__("numpy").__version__
    assert "cores" in made["machine"]


def test_a_receipt_shows_itself_as_table_and_text():
    made = receipts.receipt(seed=7, profile="cpu", device="cpu") | {"machine": "a < b"}
    bundle = receipts._Shown(made)._repr_mimebundle_()
    assert "a &lt; b" in bundle["text/html"] and "<th>peak memory</th>" in bundle["text/html"]
    assert "first seed   7" in bundle["text/plain"].splitlines()
    assert bundle[receipts.MIME] == made
