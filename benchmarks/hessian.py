"""Time of the top Hessian eigenvalue: Hessian-vector products and Lanczos against the dense Hessian.

The SGD loss of one receiving neuron with so many inputs, 2000 odors, 50 glomeruli; both in this process, in float64,
after one small warm-up run, the fastest of so many repeats.

    python benchmarks/hessian.py [--repeats 3] [--largest 2000]
"""

import argparse
import os
import time

import numpy as np
import torch

from lib import curvature, landscape

N_GLOMERULI, N_ODORS = 50, 2000
SIZES = (50, 100, 200, 500, 1000, 2000, 4000)


def matrix_free(loss, weights: torch.Tensor) -> float:
    return float(curvature.top(np.random.default_rng(0), loss, weights)[0][0])


def whole(loss, weights: torch.Tensor) -> float:
    return float(torch.linalg.eigvalsh(curvature.dense(loss, weights))[-1])


def problem(fan_in: int):
    rng = np.random.default_rng(fan_in)
    circuit = landscape.draw_circuit(rng, 1, fan_in, N_GLOMERULI, fan_in)
    codes = circuit.encode(landscape.draw_odors(rng, N_GLOMERULI, N_ODORS))
    return lambda w: landscape.squared_loss(w, codes).sum(), torch.zeros(1, fan_in, dtype=torch.float64)


def fastest(method, loss, weights: torch.Tensor, repeats: int) -> tuple[float, float]:
    """Seconds of the fastest run, and its result."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        value = method(loss, weights)
        times.append(time.perf_counter() - start)
    return min(times), value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="runs of each, of which the fastest counts (default 3)")
    parser.add_argument("--largest", type=int, default=2000, help="most inputs of a neuron (default 2000)")
    asked = parser.parse_args()
    print(f"{os.cpu_count()} cores, torch on {torch.get_num_threads()}")
    print(f"{'inputs':>8} {'dense':>12} {'matrix-free':>12} {'faster':>8}   top eigenvalue, dense; relative difference")
    for method in (whole, matrix_free):
        method(*problem(20))
    for fan_in in (n for n in SIZES if n <= asked.largest):
        loss, weights = problem(fan_in)
        (slow, exact), (fast, found) = (fastest(m, loss, weights, asked.repeats) for m in (whole, matrix_free))
        ratio = f"{slow / fast:7.1f}x"
        print(
            f"{fan_in:8d} {slow:10.3f} s {fast:10.3f} s {ratio:>8}   {exact:.4f} {abs(found / exact - 1):.0e}",
            flush=True,
        )


if __name__ == "__main__":
    main()
