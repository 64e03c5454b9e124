"""For nbval: of a checked cell compare the text that is committed, not what else the page needs."""

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
