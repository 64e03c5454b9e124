"""What tests of several rooms share."""

import resource
from contextlib import contextmanager

import pytest


@pytest.fixture(scope="session")
def files_of_at_most():
    """A function of a number of bytes: within it no file can grow beyond, as on a disk that is full."""

    @contextmanager
    def limited(n_bytes):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited
