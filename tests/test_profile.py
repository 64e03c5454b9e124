import pytest
import torch

from lib import profile


def test_profiles_are_loaded_by_name():
    assert profile.load() is profile.PROFILES["cpu"]
    assert profile.load("cpu").device == "cpu"


def test_unknown_profile_and_missing_gpu_are_said(monkeypatch):
    with pytest.raises(ValueError, match="^profile must be one of 'cpu', 'gpu'"):
        profile.load("tpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match='^profile "gpu" needs a CUDA device'):
        profile.load("gpu")
