import pytest

from lib import sweep


@pytest.fixture(autouse=True)
def _fresh_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "CACHE", tmp_path)
