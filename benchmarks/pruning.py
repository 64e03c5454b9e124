"""Time and peak memory of pruning from disk to disk: streaming, in memory, and plainly as the papers say.

A model of random weights in a Llama's shape is written to a folder; each way then reads it, prunes it and writes the
result in a process of its own. "plain" keeps the whole model in memory and a statistic for each of a block's seven
layers, sorts for its masks, factors an inverse, and works on the weights as they lie. Memory is the peak of the
process above what torch and transformers take, and that of the GPU. Ratios are to "plain", of CPU time on a CPU.

    python benchmarks/pruning.py [--shape 1b] [--layers 2] [--tokens 4096] [--context 2048] [--device cpu]
"""

import argparse
import math
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import torch

SHAPES = {  # of Llama-3.2-1B and Llama-3.1-8B
    "1b": dict(hidden_size=2048, intermediate_size=8192, num_attention_heads=32, num_hidden_layers=16, head_dim=64),
    "8b": dict(hidden_size=4096, intermediate_size=14336, num_attention_heads=32, num_hidden_layers=32, head_dim=128),
}
WAYS = ("plain", "memory", "streaming")
METHODS = ("magnitude", "wanda", "sparsegpt")
BLOCK, DAMPING = 128, 0.01  # of SparseGPT, as published


def make(folder: Path, options: argparse.Namespace) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = SHAPES[options.shape] | ({"num_hidden_layers": options.layers} if options.layers else {})
    config = LlamaConfig(**shape, num_key_value_heads=8, vocab_size=128256, tie_word_embeddings=options.shape == "1b")
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    LlamaForCausalLM(config).save_pretrained(folder, max_shard_size="2GB")


def calibration(options: argparse.Namespace) -> torch.Tensor:
    drawn = torch.Generator().manual_seed(0)
    return torch.randint(128256, (options.tokens // options.context, options.context), generator=drawn)


def prune(way: str, method: str, folder: Path, out: Path, options: argparse.Namespace) -> None:
    from lib import pruning

    tokens = calibration(options)
    settings = dict(method=method, sparsity=options.sparsity, calibration=tokens)
    if way == "streaming":
        pruning.stream(folder, out, **settings, device=options.device)
        return
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).to(options.device)
    if way == "memory":
        pruning.prune(model, **settings)
    else:
        plain(model, method, options.sparsity, tokens.to(options.device))
    model.save_pretrained(out, max_shard_size="2GB")


@torch.no_grad()
def plain(model, method: str, sparsity: float, tokens: torch.Tensor) -> None:
    """The papers' algorithm: block by block, one sequence at a time, every layer by itself."""
    states = [model.model.embed_tokens(row[None]) for row in tokens]
    places = torch.arange(tokens.shape[1], device=tokens.device)[None]
    angles = model.model.rotary_emb(states[0], position_ids=places)
    for block in model.model.layers:
        linear = {name: layer for name, layer in block.named_modules() if isinstance(layer, torch.nn.Linear)}
        sums = {}
        if method != "magnitude":
            hooks = [layer.register_forward_hook(watch(sums, name, method)) for name, layer in linear.items()]
            for state in states:
                block(state, position_embeddings=angles, position_ids=places)
            for hook in hooks:
                hook.remove()
        for name, layer in linear.items():
            weight = layer.weight.float()
            if method == "sparsegpt":
                weight = sparsegpt(weight, sums.pop(name), sparsity)
            else:
                score = weight.abs() * (sums.pop(name).sqrt() if method == "wanda" else 1)
                lowest = score.sort(dim=1, stable=True).indices[:, : round(sparsity * weight.shape[1])]
                weight.scatter_(1, lowest, 0)
            layer.weight.copy_(weight)
        if method != "magnitude":
            states = [block(state, position_embeddings=angles, position_ids=places) for state in states]


def watch(sums: dict, name: str, method: str):
    def hook(_, inputs, __) -> None:
        x = inputs[0].flatten(0, 1).float()
        sums[name] = sums.get(name, 0) + (x.T @ x if method == "sparsegpt" else x.square().sum(0))

    return hook


def sparsegpt(weight: torch.Tensor, hessian: torch.Tensor, sparsity: float) -> torch.Tensor:
    """Frantar and Alistarh's algorithm 1, with masks a row."""
    n = len(hessian)
    hessian += DAMPING * hessian.diagonal().mean() * torch.eye(n, device=hessian.device)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian))
    upper = torch.linalg.cholesky(inverse, upper=True)
    for start in range(0, n, BLOCK):
        end = min(start + BLOCK, n)
        score = (weight[:, start:end] / upper.diagonal()[start:end]).square()
        count = round(sparsity * end) - round(sparsity * start)
        gone = torch.zeros_like(score, dtype=torch.bool)
        gone.scatter_(1, score.sort(dim=1, stable=True).indices[:, :count], True)
        errors = torch.zeros_like(score)
        for j in range(start, end):
            errors[:, j - start] = torch.where(gone[:, j - start], weight[:, j], 0) / upper[j, j]
            weight[:, j:end] -= errors[:, j - start, None] * upper[j, j:end]
        weight[:, start:end].masked_fill_(gone, 0)
        weight[:, end:] -= errors @ upper[start:end, end:]
    return weight


def measured(way: str, method: str, folder: Path, out: Path, options: argparse.Namespace, answer) -> None:
    """One way in this process: seconds, those of the CPU, MB of memory above that of the imports, MB of the GPU's."""
    import transformers.models.llama.modeling_llama  # noqa: F401

    torch.set_num_threads(options.threads)
    cuda = options.device != "cpu"
    if cuda:
        torch.zeros(1, device=options.device)
    before, start, busy = peak(), time.perf_counter(), time.process_time()
    prune(way, method, folder, out, options)
    times = time.perf_counter() - start, time.process_time() - busy
    answer.send((*times, peak() - before, torch.cuda.max_memory_allocated() / 2**20 if cuda else math.nan))


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def apart(one: Path, other: Path) -> float:
    """Share of the blocks' weights that are zero in one result alone."""
    from lib.pruning import linears, reading

    a, b = reading.Checkpoint(one), reading.Checkpoint(other)
    names = [f"{name}.weight" for name in linears.names(a.config["num_hidden_layers"])]
    differ = sum(int(((a.tensor(name) == 0) != (b.tensor(name) == 0)).sum()) for name in names)
    return differ / sum(a.tensor(name).numel() for name in names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=SHAPES, default="1b")
    parser.add_argument("--layers", type=int, help="decoder blocks (all of the shape)")
    parser.add_argument("--tokens", type=int, default=128 * 2048, help="of the calibration (%(default)s)")
    parser.add_argument("--context", type=int, default=2048, help="tokens of a sequence (%(default)s)")
    parser.add_argument("--sparsity", type=float, default=0.5)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="of torch on the CPU (%(default)s)")
    options = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        child = spawn.Process(target=make, args=(folder, options))
        child.start()
        child.join()
        size = sum(file.stat().st_size for file in folder.glob("*.safetensors")) / 2**20
        print(f"torch {torch.__version__}, {options.device}, {options.threads} threads: {options}")
        print(f"checkpoint of {size:.0f} MB, random weights, bfloat16; {calibration(options).numel()} tokens")
        head = f"{'time':>10} {'CPU':>10} {'ratio':>6} {'memory':>10} {'ratio':>6} {'GPU':>9}   masks differ"
        print(f"{'method':>10} {'way':>10} {head}")
        for method in options.methods:
            first = None
            for way in options.ways:
                out = Path(scratch) / f"{method}-{way}"
                receive, send = spawn.Pipe(duplex=False)
                child = spawn.Process(target=measured, args=(way, method, folder, out, options, send))
                child.start()
                send.close()
                seconds, busy, memory, gpu = receive.recv()
                child.join()
                spent = seconds if options.device != "cpu" else busy  # what others do on the machine costs no CPU time
                first = first or (spent, memory, out)
                times = f"{seconds:8.1f} s {busy:8.1f} s {spent / first[0]:6.2f}"
                memories = f"{memory:7.0f} MB {memory / first[1]:6.2f} {gpu:6.0f} MB"
                print(f"{method:>10} {way:>10} {times} {memories}   {apart(first[2], out):.1e}", flush=True)


if __name__ == "__main__":
    main()
