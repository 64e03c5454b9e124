"""The drawn figures of the book, in one style."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

STYLE = {"font.size": 11, "figure.dpi": 160, "savefig.bbox": "tight", "figure.facecolor": "white"}
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#8a8f98"


def circuit(seed: int = 0, n_neurons: int = 36, activity: float = 0.2, density: float = 0.12) -> Figure:
    """The model: one odor, two bulbs, two random codes, and a sparse projection from the left cortex to the right."""
    rng = np.random.default_rng(seed)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(7, 4.2))
    x, y = np.meshgrid(np.linspace(-0.8, 0.8, 9), np.linspace(-0.35, 0.35, n_neurons // 9))
    cells = np.stack([x.ravel(), y.ravel()], axis=1)
    left, right = cells + [-2.2, 0], cells + [2.2, 0]
    for i, j in zip(*np.nonzero(rng.random((n_neurons, n_neurons)) < density / 4), strict=True):
        axes.plot(*zip(left[j], right[i], strict=True), color=GREY, lw=0.5, alpha=0.5, zorder=0)
    odor = rng.uniform(8, 60, 7)  # the same at both nostrils
    for side, color in ((left, BLUE), (right, ORANGE)):
        active = rng.permutation(n_neurons) < activity * n_neurons
        axes.scatter(*side.T, s=70, c=np.where(active, color, "white"), edgecolors=color, linewidths=1.2)
        middle = side.mean(0)[0]
        axes.scatter(middle + np.linspace(-0.6, 0.6, 7), np.full(7, 1.6), s=odor, color=color, marker="s")
        axes.annotate("", (middle, 0.6), (middle, 1.4), arrowprops={"arrowstyle": "->", "color": color, "lw": 1.5})
        axes.annotate("", (middle * 0.8, 1.8), (middle * 0.1, 2.55), arrowprops={"arrowstyle": "->", "color": "black"})
    labels = {(0, 2.7): "one odor, x", (0, 0.62): "projection W"}
    for sign, name in ((-1, "left"), (1, "right")):
        cortex = f"{name} cortex, its code y"
        labels |= {(3.3 * sign, 1.6): "bulb", (2.75 * sign, 1.0): "random J", (2.2 * sign, -0.75): cortex}
    for (where_x, where_y), text in labels.items():
        axes.text(where_x, where_y, text, ha="center", va="center")
    axes.set(xlim=(-3.7, 3.7), ylim=(-1, 3))
    axes.axis("off")
    plt.close(figure)
    return figure
