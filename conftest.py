"""For all tests: no progress bars; for nbval: compare the text that is committed, not what else the page needs."""

import os

os.environ["TQDM_DISABLE"] = "1"  # read when tqdm is imported; what is printed is compared

BESIDE_TEXT = (
    "text/html",
    "image/svg+xml",
    "application/papermill.record/text/plain",
    "application/vnd.thesis.claim+json",
    "application/vnd.thesis.receipt+json",
)


def pytest_collection_modifyitems(items):
    for notebook in {item.parent for item in items if hasattr(item.parent, "skip_compare")}:
        notebook.skip_compare += BESIDE_TEXT
