"""Batches in parts on several ranks have the gradient of one process's whole batch.

Run as a script, by each of two ranks, it stores what they have; the tests hold it against what one
process has of the batch in one pass.
"""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import test_accumulation as whole
import torch
import torch.distributed as dist

from swae import SWAE
from swae.accumulation import accumulate, average_gradients, check_layers
from swae.data import ArrayBatches, Samples
from swae.seeding import stream
from swae.training import DivergedError, make_optimizer, train_epochs

CUTS = {"uneven": (16, 7), "empty": (23, 0), "empty first": (0, 23)}
"""How the 23 rows of a batch are cut; with 5 a part, ranks have different numbers of parts."""

STEPS = 2


def model_of(case):
    torch.manual_seed(0)
    return whole.CASES[case]()


def state(model):
    return torch.cat([t.detach().flatten().double() for t in model.state_dict().values()])


def steps(case, compute):
    """Gradients, losses and weights of some steps of plain descent; compute takes the gradient."""
    model, found = model_of(case), []
    x, labels = whole.batch(torch.float32)
    for step in range(STEPS):
        model.zero_grad()
        loss = compute(model, x, labels, stream(0, "penalty", step))
        values = [loss.total, *loss.parts.values(), *loss.weighted.values()]
        found += [whole.gradient(model), torch.stack(values).detach()]
        with torch.no_grad():
            for weight in model.parameters():
                weight -= 0.01 * weight.grad
    return [*found, state(model)]


def in_one_pass(model, x, labels, generator):
    loss = model.loss(x, labels, generator=generator)
    loss.total.backward()
    return loss


def in_parts_of(own):
    def compute(model, x, labels, generator):
        loss = accumulate(model, x[own], labels[own], rows=5, generator=generator)
        average_gradients(model)
        return loss

    return compute


def trained(micro_batch_size, bad=False):
    """Epochs of 50 samples in batches of 20; the last has 10, and each rank 5 of them."""
    model = model_of("conditional, steered")
    x, labels = whole.batch(torch.float32, 50)
    batches = ArrayBatches(Samples(x, labels), 20)
    if bad:
        x[49] = torch.inf
    optimizer = make_optimizer("rmsprop", model, 1e-4)
    records = [
        [epoch.loss, *epoch.parts.values()]
        for epoch in train_epochs(
            model, batches, optimizer, max_epochs=2, micro_batch_size=micro_batch_size
        )
    ]
    return [torch.tensor(records), state(model)]


def fitted(rows):
    x = torch.rand(90, 6, generator=stream(0, "x")).numpy()
    settings = {"batch_size": 20, "max_epochs": 2, "precision": "32", "device": "cpu"}
    return [state(SWAE(micro_batch_size=rows, **settings).fit(x).autoencoder_)]


def diverged(micro_batch_size):
    """What is said of a row that is not finite, which one rank has."""
    try:
        trained(micro_batch_size, bad=True)
    except DivergedError as error:
        return str(error)
    return None


def empty_everywhere():
    model = model_of("plain")
    try:
        accumulate(model, torch.zeros(0, *whole.SHAPE), rows=5)
    except ValueError as error:
        return str(error)
    return None


def each_its_own(rank, average):
    """The gradient of a rank whose penalty matches its own codes alone, or the ranks' average."""
    model = model_of("plain")
    model.penalty.group = "self"
    x = whole.batch(torch.float32)[0]
    accumulate(model, x[12 * rank : 12 * rank + 11], rows=5, generator=stream(0, "penalty", rank))
    if average:
        average_gradients(model)
    return whole.gradient(model)


def main(folder, rank):
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=rank,
        world_size=2,
        timeout=timedelta(seconds=60),
    )
    results = {}
    for name, sizes in CUTS.items():
        own = slice(sum(sizes[:rank]), sum(sizes[: rank + 1]))
        results |= {(name, case): steps(case, in_parts_of(own)) for case in whole.CASES}
    results["trained"], results["fitted"] = trained(3), fitted(3)
    results["diverged"], results["nothing"] = diverged(3), empty_everywhere()
    results["average"] = each_its_own(rank, average=True)
    dist.destroy_process_group()
    torch.save(results, f"{folder}/{rank}.pt")


@pytest.fixture(scope="module")
def ranked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    path = os.pathsep.join(str(p) for p in (Path(__file__).parents[1], Path(__file__).parent))
    ranks = [
        subprocess.Popen(
            [sys.executable, __file__, str(folder), str(rank)],
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        for rank in ranks:
            said, _ = rank.communicate(timeout=180)
            assert rank.returncode == 0, said
    finally:
        for rank in ranks:
            rank.kill()
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def check_near(found, wanted, error=1e-5):
    for a, b in zip(found, wanted, strict=True):
        assert (a.double() - b.double()).norm() <= error * b.double().norm()


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("case", whole.CASES)
def test_parts_on_ranks_are_one_pass(ranked, case, cut):
    wanted = steps(case, in_one_pass)
    for results in ranked:
        check_near(results[cut, case], wanted)
        assert torch.equal(results[cut, case][-1], ranked[0][cut, case][-1])


def test_training_in_parts_on_ranks_is_one_processs(ranked):
    for results in ranked:
        check_near(results["trained"], trained(None), 1e-4)
        check_near(results["fitted"], fitted(None), 1e-4)
        for what in ("trained", "fitted"):
            assert torch.equal(results[what][-1], ranked[0][what][-1])


def test_all_ranks_know_what_is_not_finite(ranked):
    assert "The loss is" in ranked[0]["diverged"]
    assert ranked[0]["diverged"] == ranked[1]["diverged"]
    assert all("at least one sample, but is empty" in results["nothing"] for results in ranked)


def test_who_works_alone_waits_for_nobody(ranked):
    wanted = (each_its_own(0, average=False) + each_its_own(1, average=False)) / 2
    for results in ranked:
        torch.testing.assert_close(results["average"], wanted)


def test_a_layer_that_waits_for_others_is_refused():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.SyncBatchNorm(2))
    with pytest.raises(ValueError, match="SyncBatchNorm waits"):
        check_layers(model)
    check_layers(model[:1])


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1], int(sys.argv[2]))
