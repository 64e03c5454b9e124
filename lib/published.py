"""Figures that others published on pruned Llama models, each with its source, and the shapes of these models.

Perplexities are of WikiText-2. They depend on the context length (Llama-2-7B: 5.47 at 2048 tokens, 5.12 at 4096), so
that only ratios to the dense model of the same source are ever compared.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr

METHODS = ("magnitude", "wanda", "sparsegpt")
PATTERNS = ("50 %", "4:8", "2:4")


@dataclass(frozen=True)
class Shape:
    """What decides how many parameters a Llama has."""

    vocabulary: int
    width: int
    intermediate: int
    n_layers: int
    n_heads: int
    n_key_value_heads: int
    source: str  # key in references.bib

    @property
    def block_weights(self) -> int:
        """Weights of the linear layers of all blocks, which the methods prune."""
        attention = 2 * self.width**2 * (1 + self.n_key_value_heads / self.n_heads)
        return int(self.n_layers * (attention + 3 * self.width * self.intermediate))

    @property
    def parameters(self) -> int:
        """All: also the embedding, the output layer, which is another matrix, and the norms."""
        norms = (2 * self.n_layers + 1) * self.width
        return self.block_weights + 2 * self.vocabulary * self.width + norms

    @property
    def block_share(self) -> float:
        """Share of the block weights in all parameters (`eq-denominator`)."""
        return self.block_weights / self.parameters


SHAPES = {
    "Llama-2-7B": Shape(32_000, 4096, 11_008, 32, 32, 32, "touvron2023llama2"),
    "Llama-3-8B": Shape(128_256, 4096, 14_336, 32, 32, 8, "grattafiori2024llama3"),
}


@dataclass(frozen=True)
class Row:
    """One model of one source: its size in parameters, its dense perplexity, and those after pruning."""

    model: str
    family: str
    parameters: float
    context: int
    dense: float
    pruned: dict[tuple[str, str], float]  # by method and pattern
    source: str  # key in references.bib


def _row(model, family, parameters, context, dense, source, **pruned) -> Row:
    """`pruned`: for each method its perplexities in the order of PATTERNS, None where there is none."""
    named = {(m, p): v for m, found in pruned.items() for p, v in zip(PATTERNS, found, strict=False) if v is not None}
    return Row(model, family, parameters, context, dense, named, source)


ROWS = (
    _row("Llama-2-7B", "Llama-2", 6.74e9, 4096, 5.12, "sun2024wanda",
         magnitude=(14.89, 16.48, 54.59), sparsegpt=(6.51, 8.12, 10.17), wanda=(6.42, 7.97, 11.02)),
    _row("Llama-2-13B", "Llama-2", 13.0e9, 4096, 4.57, "sun2024wanda",
         magnitude=(6.37, 6.76, 8.33), sparsegpt=(5.63, 6.60, 8.32), wanda=(5.56, 6.55, 8.27)),
    _row("Llama-2-70B", "Llama-2", 69.0e9, 4096, 3.12, "sun2024wanda",
         magnitude=(4.98, 5.58, 6.33), sparsegpt=(3.98, 4.59, 5.40), wanda=(3.98, 4.47, 5.16)),
    _row("Llama-3-8B", "Llama-3", 8.03e9, 2048, 6.14, "zhang2024ria",
         magnitude=(2499.39,), sparsegpt=(9.40, 12.13, 16.26), wanda=(10.82, None, 24.18)),
    _row("Llama-3-70B", "Llama-3", 70.6e9, 2048, 2.85, "zhang2024ria",
         magnitude=(19.11,), sparsegpt=(5.79,), wanda=(6.56, None, 9.28)),
    *(
        _row(f"OPT-{size}", "OPT", parameters, 2048, dense, "frantar2023sparsegpt", sparsegpt=(pruned,))
        for size, parameters, dense, pruned in (
            ("125M", 125e6, 27.66, 36.85), ("350M", 350e6, 22.00, 31.58), ("1.3B", 1.3e9, 14.62, 17.46),
            ("2.7B", 2.7e9, 12.47, 13.48), ("6.7B", 6.7e9, 10.86, 11.55), ("13B", 13e9, 10.13, 11.17),
            ("30B", 30e9, 9.56, 9.79), ("66B", 66e9, 9.34, 9.32), ("175B", 175e9, 8.35, 8.21),
        )
    ),
)  # fmt: skip
FAMILIES = tuple(dict.fromkeys(row.family for row in ROWS))


def ratios() -> xr.Dataset:
    """Perplexity over that of the dense model, "ratio" over method, pattern and model, with "parameters" a model."""
    values = [[[r.pruned.get((m, p), np.nan) / r.dense for r in ROWS] for p in PATTERNS] for m in METHODS]
    coords = {"method": list(METHODS), "pattern": list(PATTERNS), "model": [row.model for row in ROWS]}
    coords["family"] = ("model", [row.family for row in ROWS])
    variables = {"ratio": (("method", "pattern", "model"), values)}
    return xr.Dataset(variables | {"parameters": ("model", [row.parameters for row in ROWS])}, coords)
