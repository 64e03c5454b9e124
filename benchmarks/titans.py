"""Time of the Titans memory's update: exact chunks against the loop, one pair at a time, on the same numbers.

Both are measured in this process after one small warm-up, turn by turn; the fastest of some runs counts. The distance
between the two memories is printed beside, relative to their norm (float32).

    python benchmarks/titans.py [--runs 5] [--threads 1] [--device cpu]
"""

import argparse
import time

import numpy as np
import torch

from lib.memory import titans

SIZES = (  # streams, pairs, dimensions of a key, of a value
    (1, 1000, 1000, 50),  # the stream of odors of chapter 3
    (32, 96, 8, 32),  # a step of training a block that recalls pairs
    (1, 4096, 64, 64),  # one head of a language model's layer
    (16, 4096, 64, 64),
)


def pairs(streams: int, n: int, n_keys: int, n_values: int, device: str):
    rng = np.random.default_rng(0)
    keys, values = (rng.standard_normal((streams, n, d), dtype=np.float32) for d in (n_keys, n_values))
    keys, values = torch.from_numpy(keys).to(device), torch.from_numpy(values).to(device)
    rates = (torch.from_numpy(rng.random((streams, n), dtype=np.float32)).to(device) for _ in range(3))
    theta, eta, alpha = (top * rate for top, rate in zip((0.1, 0.8, 0.01), rates, strict=True))
    return torch.nn.functional.normalize(keys, dim=-1), values, titans.Gates(theta, eta, alpha)


def seconds(run, device: str) -> tuple[float, torch.Tensor]:
    start = time.perf_counter()
    memory = run()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - start, memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="runs of each, of which the fastest counts (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (%(default)s)")
    parser.add_argument("--device", default="cpu", help="of torch (%(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {options.device}, {options.threads} threads, reading every pair's key back")
    print(
        f"{'streams':>8} {'pairs':>6} {'keys':>5} {'values':>6} {'chunk':>6} {'loop':>11} {'chunked':>11} {'ratio':>7}"
    )
    with torch.no_grad():
        for sizes in SIZES:
            keys, values, gates = pairs(*sizes, options.device)
            for chunk in (16, 64, 256):
                forms = (
                    lambda k=keys, v=values, g=gates: titans.loop(k, v, g, k)[1].memory,
                    lambda k=keys, v=values, g=gates, c=chunk: titans.chunked(k, v, g, k, chunk=c)[1].memory,
                )
                turns = [[seconds(form, options.device) for form in forms] for _ in range(options.runs + 1)][1:]
                (slow, one), (fast, other) = (min(runs, key=lambda run: run[0]) for runs in zip(*turns, strict=True))
                apart = float((one - other).norm() / one.norm())
                row = " ".join(f"{n:{width}d}" for n, width in zip((*sizes, chunk), (8, 6, 5, 6, 6), strict=True))
                times = f"{1e3 * slow:8.1f} ms {1e3 * fast:8.1f} ms {slow / fast:6.1f}x"
                print(f"{row} {times}   apart {apart:.0e}", flush=True)


if __name__ == "__main__":
    main()
