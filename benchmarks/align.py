"""Time and peak memory of one alignment point: ours against the dense code that one would write first.

One point: 100 glomeruli, 2000 familiar and 400 novel odors, fan-in 100. Every measurement has a process of its own;
its memory is the peak of the whole process, so torch itself (the line "import") is in it.

    python benchmarks/align.py [--seeds 3]
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time

N_GLOMERULI, N_ODORS, N_NOVEL, FAN_IN = 100, 2000, 400, 100
SAMPLE = 2000


def ours(n_neurons: int, seed: int, sample: int | None = None, **settings) -> float:
    import lib

    settings = {"fan_in": FAN_IN, "n_odors": N_ODORS, "n_test": N_NOVEL} | settings
    return lib.align(n_neurons, N_GLOMERULI, seed=seed, sample=sample, **settings).drive


def dense(n_neurons: int, seed: int) -> float:
    """The same six alignments in torch as a user would write them: dense masks, all odors at once."""
    import numpy as np
    import torch
    from scipy.special import ndtri

    rng = np.random.default_rng(seed)
    j_l, j_r = (torch.from_numpy(rng.standard_normal((n_neurons, N_GLOMERULI), dtype=np.float32)) for _ in range(2))
    shown, novel = (
        torch.from_numpy(rng.standard_normal((N_GLOMERULI, n), dtype=np.float32)) for n in (N_ODORS, N_NOVEL)
    )

    def code(j, x):
        return torch.relu(j @ x - float(ndtri(0.9)) * j.norm(dim=1, keepdim=True))

    def correlation(a, b):
        a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
        r = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))
        return float(r.mean()), float(r.std()) / n_neurons**0.5

    chosen = torch.rand(n_neurons, n_neurons, generator=torch.Generator().manual_seed(seed)).topk(FAN_IN, dim=1).indices
    mask = torch.zeros(n_neurons, n_neurons).scatter_(1, chosen, 1.0)
    y_l, y_r = code(j_l, shown), code(j_r, shown)
    w = mask * ((y_r - y_r.mean(1, keepdim=True)) @ (y_l - y_l.mean(1, keepdim=True)).T) / N_ODORS
    found = {}
    for name, x in (("novel", novel), ("familiar", shown[:, :N_NOVEL])):
        g, h = w @ code(j_l, x), j_r @ x
        z = torch.relu(g - g.quantile(0.9, dim=1, keepdim=True))
        found[name] = correlation(g, h), correlation(z, code(j_r, x))
        if name == "novel":
            order = torch.from_numpy(rng.permutation(N_NOVEL))
            found["shuffled"] = correlation(g, h[:, order]), correlation(z, code(j_r, x)[:, order])
    return found["novel"][0][0]


def measure(name: str, n_neurons: int, seed: int, **settings) -> dict:
    """Seconds, peak GiB and alignment of one run in a fresh process, after imports and one small warm-up run."""
    calls = [f"benchmarks.align.{name}({n}, {seed}, **{settings!r})" for n in (4000, n_neurons)]
    code = f"import benchmarks.align; {calls[0]}; benchmarks.align.report(lambda: {calls[1]})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def report(run) -> None:
    start = time.perf_counter()
    drive = run()
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"seconds": seconds, "gib": peak, "drive": drive}))


def best(name: str, n_neurons: int, seeds: int, **settings) -> dict:
    """The fastest of as many runs as there are seeds."""
    runs = [measure(name, n_neurons, seed, **settings) for seed in range(seeds)]
    return min(runs, key=lambda run: run["seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="runs of each, of which the fastest counts (default 3)")
    seeds = parser.parse_args().seeds
    print(f"{os.cpu_count()} cores; import: {measure('ours', 100, 0)['gib']:.2f} GiB")
    print(f"{'N':>8} {'dense':>18} {'ours':>18} {'faster':>8} {'memory':>8}   drive, dense and ours")
    for n in (1000, 4000, 16_000):
        a, b = best("dense", n, seeds), best("ours", n, seeds)
        print(
            f"{n:8d} {a['seconds']:8.2f} s {a['gib']:5.2f} G {b['seconds']:8.2f} s {b['gib']:5.2f} G"
            f" {a['seconds'] / b['seconds']:7.1f}x {b['gib'] / a['gib']:8.2f}   {a['drive']:.3f} {b['drive']:.3f}",
            flush=True,
        )
    for n in (100_000, 1_000_000):
        b = best("ours", n, seeds, sample=SAMPLE)
        print(
            f"{n:8d} {'':18} {b['seconds']:8.2f} s {b['gib']:5.2f} G  {SAMPLE} sampled   {b['drive']:.3f}", flush=True
        )
    print("cost against synapses x odors (N = 16000, seconds a billion; a constant is linear):")
    for change in ({"fan_in": 200}, {"n_odors": 4000}, {"fan_in": 200, "n_odors": 4000}):
        b = best("ours", 16_000, seeds, **change)
        work = 16_000 * change.get("fan_in", FAN_IN) * change.get("n_odors", N_ODORS) / 1e9
        print(f"  {change}: {b['seconds'] / work:.3f}")


if __name__ == "__main__":
    main()
