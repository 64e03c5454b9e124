"""The task, the block that plays it, its training and its files."""

import dataclasses

import numpy as np
import pytest
import torch

from lib import files
from lib.checks import BadSetting
from lib.memory import block as blocks
from lib.memory import recall
from lib.memory.block import KINDS, Block, Task

SMALL = Task(n_slots=12, n_keys=20, n_values=4)
SHORT = recall.Course(n_steps=60, n_streams=8)


def test_streams_ask_for_what_passed():
    tokens, distance = (x.numpy() for x in blocks.streams(np.random.default_rng(0), 300, SMALL))
    assert tokens.shape == (300, 24) and distance.shape == (300, 12)
    asked = np.zeros(300)
    for stream, gaps in zip(tokens, distance, strict=True):
        shown = {}
        for slot, (key, value) in enumerate(stream.reshape(-1, 2).tolist()):
            assert 0 <= key < 20 <= value < 24
            if gaps[slot]:
                last, right = shown[key]
                assert (gaps[slot], value) == (2 * slot - (2 * last + 1), right)
            else:
                assert key not in shown
            shown[key] = slot, value
    asked = (distance > 0).mean(0)
    assert asked[0] == 0 and abs(asked[1:].mean() - 0.5) < 0.03
    lags = (distance[:, -1][distance[:, -1] > 0] + 1) // 2
    assert np.mean(lags == 1) > 0.2  # recent pairs are asked for more often: log-uniform
    assert lags.max() > 8


def test_tasks_that_cannot_be_are_refused():
    for bad in ({"n_slots": 30}, {"n_values": 1}, {"asked": 0}, {"n_keys": 0}):
        with pytest.raises(BadSetting, match=next(iter(bad))):
            dataclasses.replace(SMALL, **bad)
    with pytest.raises(BadSetting, match="kind"):
        Block("neither", np.random.default_rng(0))


def test_the_three_kinds_have_nearly_the_same_size():
    counts = [sum(p.numel() for p in Block(kind, np.random.default_rng(0)).parameters()) for kind in KINDS]
    assert max(counts) < 1.02 * min(counts)


@pytest.mark.parametrize("kind", KINDS)
def test_no_answer_depends_on_what_comes_later(kind):
    block = Block(kind, np.random.default_rng(1), SMALL)
    tokens = blocks.streams(np.random.default_rng(2), 3, SMALL)[0]
    changed = tokens.clone()
    changed[:, 15:] = changed[:, 15:].flip(1)
    one, other = block(tokens), block(changed)
    torch.testing.assert_close(one[:, :15], other[:, :15])
    assert (one[:, 15:] - other[:, 15:]).abs().max() > 1e-3


def test_attention_sees_its_window_and_the_memory_everything():
    """Which earlier tokens can change the last answer, read from the gradient with respect to each token's vector."""
    tokens = torch.from_numpy(np.random.default_rng(3).permutation(20)[None])
    reach = {}
    for kind in KINDS:
        block = Block(kind, np.random.default_rng(4), SMALL, blocks.Sizes(window=6))
        block(tokens)[0, -1].square().sum().backward()
        reach[kind] = (block.embedding.grad[tokens[0]].abs().sum(1) > 0).numpy()
    assert reach["attention"].tolist() == [False] * 13 + [True] * 7  # the window, and the key of its oldest value
    assert reach["memory"].all() and reach["both"].all()


def test_attention_is_the_softmax_with_a_sink():
    block = Block("attention", np.random.default_rng(5), SMALL, blocks.Sizes(window=2))
    rng = np.random.default_rng(6)
    q, k, v = (torch.from_numpy(rng.standard_normal((1, 3, d), dtype=np.float32)) for d in (8, 8, 32))
    scores = np.exp(np.exp(2.0) * (q[0, 2] @ k[0].T).numpy())
    expected = (scores[1] * v[0, 1] + scores[2] * v[0, 2]) / (1 + scores[1] + scores[2])
    with torch.no_grad():
        torch.testing.assert_close(block._attend(q, k, v)[0, 2], expected.float(), rtol=1e-4, atol=1e-5)


def test_accuracy_counts_right_answers_by_distance():
    class Oracle(Block):
        def forward(self, tokens):  # right where the key passed in one of the last two slots, wrong elsewhere
            near = (tokens[:, 4:] == tokens[:, 2:-2]) | (tokens[:, 4:] == tokens[:, :-4])
            near = torch.nn.functional.pad(near, (4, 0)) | torch.nn.functional.pad(
                tokens[:, 2:] == tokens[:, :-2], (2, 0)
            )
            right = torch.nn.functional.pad(tokens, (0, 1))[:, 1:] - 20
            return torch.nn.functional.one_hot(torch.where(near, right, right + 1).clip(0) % 4, 4).float()

    oracle = Oracle("attention", np.random.default_rng(0), SMALL)
    share, asked = blocks.accuracy(oracle, np.random.default_rng(7), SMALL, 400)
    assert share.tolist() == [1, 1] + [0] * 9
    distance = blocks.streams(np.random.default_rng(7), 400, SMALL)[1].numpy()
    assert asked.tolist() == [(distance == d).sum() for d in range(1, 23, 2)]
    assert np.isnan(blocks.accuracy(oracle, np.random.default_rng(7), SMALL, 1)[0]).any()


@pytest.mark.parametrize("kind", KINDS)
def test_training_learns_the_pairs_in_reach(kind):
    _, losses = recall.train(kind, 0, SMALL, dataclasses.replace(SHORT, n_steps=240))
    assert losses.shape == (12,)
    assert losses[0] > 1.2  # nats; a guess among four costs 1.39
    assert losses[-1] < 0.55


def test_a_training_killed_goes_on_as_if_it_had_not_been(tmp_path, monkeypatch):
    monkeypatch.setattr(recall, "KEPT", 10)
    whole, losses = recall.train("both", 3, SMALL, SHORT)
    file = tmp_path / "both-3.checkpoint"

    class Killed(Exception):
        pass

    def streams(rng, n, task, steps=iter(range(37))):  # noqa: B008
        if next(steps, None) is None:
            raise Killed
        return blocks.streams(rng, n, task)

    with monkeypatch.context() as patch:
        patch.setattr(recall, "streams", streams)
        with pytest.raises(Killed):
            recall.train("both", 3, SMALL, SHORT, checkpoint=file)
    assert files.load(file, "")[0]["losses"].numel() == 30
    again, resumed = recall.train("both", 3, SMALL, SHORT, checkpoint=file)
    np.testing.assert_array_equal(losses, resumed)
    for one, other in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(BadSetting, match="other settings"):
        recall.train("both", 4, SMALL, SHORT, checkpoint=file)
    assert [path.name for path in tmp_path.iterdir()] == ["both-3.checkpoint"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recall")
    assert recall.main(["train", str(folder), "--kind", "attention", "--seed", "1", "--steps", "20"]) == 0
    return folder


def test_the_command_leaves_a_block_and_its_receipt(folder, monkeypatch):
    assert {path.name for path in folder.iterdir()} == {"attention-1.safetensors", "receipt.json"}
    made = recall.receipt(folder)["models"]["attention-1"]
    assert {"command", "commit", "device", "machine", "seconds", "final_loss", "sha256"} <= made.keys()
    block, losses = recall.trained("attention", 1, folder)
    expected, course = recall.train("attention", 1, course=recall.Course(n_steps=20))
    np.testing.assert_allclose(losses, course, rtol=1e-5)
    for one, other in zip(block.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(recall, "train", None)  # what is done is not done again
    assert recall.main(["train", str(folder), "--kind", "attention", "--seed", "1", "--steps", "20"]) == 0
    assert len(recall.fingerprint(folder)) == 8


def test_files_that_are_missing_or_damaged_are_named_in_one_sentence(folder, tmp_path):
    with pytest.raises(BadSetting, match=r"attention-1.safetensors is missing; make it with: python -m lib.memory"):
        recall.trained("attention", 1, tmp_path)
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    file = tmp_path / "attention-1.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadSetting, match="is damaged"):
        recall.trained("attention", 1, tmp_path)
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(BadSetting, match="is not the file that"):
        recall.trained("attention", 1, tmp_path)
    (tmp_path / "receipt.json").write_text("{")
    with pytest.raises(BadSetting, match="no JSON"):
        recall.trained("attention", 1, tmp_path)
    (tmp_path / "receipt.json").unlink()
    with pytest.raises(BadSetting, match="is missing"):
        recall.fingerprint(tmp_path)
    for wrong in (["--seed", "-1", "--steps", "20"], ["--steps", "5"], ["--device", "abacus"]):
        assert recall.main(["train", str(tmp_path), *wrong]) == 2
    assert recall.main(["train", str(file), "--steps", "20"]) == 2  # a file is no folder


def test_the_shipped_blocks_are_those_of_the_receipt():
    made = recall.receipt()["models"]
    assert made.keys() == {f"{kind}-{seed}" for kind in KINDS for seed in range(recall.N_MODELS)}
    for name in made:
        kind, seed = name.split("-")
        _, losses = recall.trained(kind, int(seed))
        assert losses[-1] == pytest.approx(made[name]["final_loss"], abs=1e-4)
    assert all("changed" not in model["commit"] for model in made.values())  # made from a clean checkout
