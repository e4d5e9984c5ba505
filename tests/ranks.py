"""What ranks compute together, and one process by itself: the cases of test_distributed.py.

Run as a script, by each rank, it stores the results of all cases; imported, its cases are run by
the tests in one process. Each takes the place of a rank and returns tensors by name.
"""

import json
import os
import sys
import warnings
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

import swae.sliced
from swae import SWAE, Autoencoder, Mixture, Normal, Ring, SlicedWassersteinLoss, Uniform
from swae.data import ArrayBatches, LoaderBatches, as_samples
from swae.distributed import is_lost_rank
from swae.networks import build
from swae.penalties.conditional import ConditionalSlicedWasserstein
from swae.penalties.likelihood import LogLikelihood
from swae.penalties.queued import QueuedSlicedWasserstein
from swae.priors import FromFunction, FromSamples
from swae.seeding import stream
from swae.training import DivergedError, make_optimizer, train_epochs

SIZES = {1: {}, 2: {"equal": (20, 20), "unequal": (33, 7)}, 4: {"empty": (5, 0, 23, 12)}}
"""How the 40 rows of a batch are cut; a tail of nothing is what a tiny last batch gives."""

MIXTURE = Mixture([[-2.0, 0.0], [2.0, 0.0], [0.0, 3.0]], scales=[0.1, 0.2, 0.4], weights=[1, 2, 3])
SAMPLES = FromSamples(torch.rand(31, 2, generator=torch.Generator().manual_seed(1)))
FUNCTION = FromFunction(lambda n, g: torch.rand(n, 2, generator=g).cumsum(dim=0), dim=2)


def draws(name):
    return stream(0, name)


def flat(tensors):
    none = torch.zeros(0, dtype=torch.float64)
    return torch.cat([none, *(t.detach().flatten().double() for t in tensors)])


# ----- penalties, in float64


def penalty_case(make, dim=2, labels=False, seeded=True, steps=2):
    """Two steps of a penalty on the codes x W: values, gradients of W, and buffers."""

    def case(rank, sizes):
        x = torch.randn(40, 5, generator=draws("x"), dtype=torch.float64)
        c = torch.randint(-1, 3, (40,), generator=draws("labels"))
        w = torch.randn(5, dim, generator=draws("w"), dtype=torch.float64, requires_grad=True)
        penalty = make().double()
        own = slice(sum(sizes[:rank]), sum(sizes[: rank + 1]))
        # What rank 0 has counts, whatever the others have.
        torch.manual_seed(7 + rank)
        values = []
        for step in range(steps):
            known = (c[own],) if labels else ()
            if seeded:
                generator = draws(f"step{step}")
            elif len(sizes) == 1:
                seed = int(torch.randint(2**62, ()))
                generator = torch.Generator().manual_seed(seed)
            else:
                generator = None
            # Codes that are remembered and those of the batch are to be no ties, which any order
            # resolves: then it is not the ranks that differ.
            z = (1 + step / 8) * (x[own] @ w)
            value = penalty(z, *known, generator=generator)
            value.backward()
            values.append(value)
        return {"values": flat(values), "summed": w.grad, "buffers": flat(penalty.buffers())}

    return case


def second_derivative(rank, sizes):
    x = torch.randn(40, 5, generator=draws("x"), dtype=torch.float64)
    w = torch.randn(5, 2, generator=draws("w"), dtype=torch.float64, requires_grad=True)
    own = slice(sum(sizes[:rank]), sum(sizes[: rank + 1]))
    z = torch.tanh(x[own] @ w)
    value = SlicedWassersteinLoss(Uniform(2), p=3.0)(z, draws("step"))
    (g,) = torch.autograd.grad(value, w, create_graph=True)
    g.square().sum().backward()
    return {"first": g.detach(), "second": w.grad}


def in_chunks(rank, sizes):
    before, swae.sliced.CHUNK = swae.sliced.CHUNK, 200
    try:
        return penalty_case(lambda: sliced(Uniform(2)))(rank, sizes)
    finally:
        swae.sliced.CHUNK = before


def sliced(prior, **settings):
    return SlicedWassersteinLoss(prior, **settings)


def conditional(**settings):
    return ConditionalSlicedWasserstein(MIXTURE, **settings)


def queued(**settings):
    return QueuedSlicedWasserstein(Uniform(2), **settings)


def of_null(make, dim=2, labels=False):
    """What the penalty is for perfect codes, of the same number: its value, which has no gradient.

    The ranks are together: in training mode, as where a weight is steered.
    """

    def case(rank, sizes):
        own = slice(sum(sizes[:rank]), sum(sizes[: rank + 1]))
        c = torch.randint(-1, 3, (40,), generator=draws("labels"))[own] if labels else None
        z = torch.zeros(sizes[rank], dim, dtype=torch.float64)
        penalty = make().double()
        values = [penalty.null(z, c, draws(f"step{step}")) for step in range(2)]
        none = torch.zeros(0, dtype=torch.float64)
        return {"values": flat(values), "summed": none, "buffers": flat(penalty.buffers())}

    return case


PENALTIES = {
    "auto": penalty_case(lambda: sliced(Ring())),
    "iid": penalty_case(lambda: sliced(Normal(3), slices="iid"), 3),
    "orthogonal": penalty_case(lambda: sliced(Normal(3), slices="orthogonal"), 3),
    "equispaced": penalty_case(lambda: sliced(Ring(), slices="equispaced")),
    "principal": penalty_case(lambda: sliced(Normal(4), slices="principal"), 4, steps=3),
    "line": penalty_case(lambda: sliced(Normal(1)), 1),
    "few directions": penalty_case(lambda: sliced(Uniform(2), n_projections=3)),
    "not quasi": penalty_case(lambda: sliced(Uniform(2), quasi=False)),
    "oversampled": penalty_case(lambda: sliced(Uniform(2), oversampling=3)),
    "p=1": penalty_case(lambda: sliced(Uniform(2), p=1)),
    "p=1.5": penalty_case(lambda: sliced(Uniform(2), p=1.5)),
    "unseeded": penalty_case(lambda: sliced(Uniform(2)), seeded=False),
    "likelihood": penalty_case(lambda: LogLikelihood(Normal(2))),
    "conditional": penalty_case(conditional, labels=True, steps=3),
    "conditional, no memory": penalty_case(lambda: conditional(memory=0), labels=True),
    "conditional, principal": penalty_case(lambda: conditional(slices="principal"), labels=True),
    "conditional, no labels": penalty_case(conditional),
    "queued": penalty_case(queued, steps=3),
    "queued, short": penalty_case(lambda: queued(memory=24), steps=3),
    "queued, principal": penalty_case(lambda: queued(slices="principal", memory=64)),
    "queued, few directions": penalty_case(lambda: queued(n_projections=3, oversampling=2)),
    "in chunks": in_chunks,
    "a cost": penalty_case(lambda: sliced(Uniform(2), p=lambda t: t.square() + t.abs())),
    "samples": penalty_case(lambda: sliced(SAMPLES, oversampling=2)),
    "a function": penalty_case(lambda: sliced(FUNCTION, n_projections=2)),
    "stratified": penalty_case(lambda: sliced(Ring(stratified=True), quasi=False)),
    "null": of_null(lambda: sliced(Ring(stratified=True), oversampling=2)),
    "null, queued": of_null(queued),
    "null, conditional": of_null(conditional, labels=True),
}


# ----- models, in float32


class Losses(nn.Module):
    """A model whose forward is its loss, as DDP wants it."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, *args, **kwargs):
        return self.model.loss(*args, **kwargs)


def model_case(penalty, reg_weight=10.0, shape=(1, 8, 8), labels=False, **settings):
    """Steps of plain gradient descent under DDP."""

    def case(rank, sizes):
        torch.manual_seed(0)
        model = Autoencoder(*build(shape, 2), penalty(), reg_weight=reg_weight, **settings)
        wrapped = Losses(model)
        if len(sizes) > 1:
            wrapped = nn.parallel.DistributedDataParallel(wrapped)
        own = slice(sum(sizes[:rank]), sum(sizes[: rank + 1]))
        parts = []
        for step in range(3):
            x = torch.rand(40, *shape, generator=draws(f"x{step}"))
            c = torch.randint(-1, 3, (40,), generator=draws(f"labels{step}")) if labels else None
            c = None if c is None else c[own]
            loss = wrapped(x[own], c, generator=draws(f"step{step}"))
            wrapped.zero_grad()
            loss.total.backward()
            parts += [loss.total, *loss.parts.values(), *loss.weighted.values()]
            with torch.no_grad():
                for weight in model.parameters():
                    weight -= 0.01 * weight.grad
        return {
            "losses": flat(parts),
            "gradient": flat(p.grad for p in model.parameters()),
            "weights": flat(model.parameters()),
            "buffers": flat(model.buffers()),
        }

    return case


MODELS = {
    "images": model_case(lambda: sliced(Ring())),
    "vectors": model_case(lambda: sliced(Ring()), shape=(6,), reconstruction="mse"),
    "steered": model_case(lambda: sliced(Ring()), "auto", shape=(6,)),
    "with a queue": model_case(queued, shape=(6,)),
    "conditional and steered": model_case(conditional, "auto:1.5", shape=(6,), labels=True),
    "of likelihood": model_case(lambda: LogLikelihood(Normal(2)), shape=(6,)),
    "of a function": model_case(
        lambda: sliced(Ring()), shape=(6,), reconstruction=lambda y, x: (y - x).square().mean()
    ),
}


# ----- training


def training_case(batches_of):
    def case(rank, sizes):
        torch.manual_seed(0)
        model = Autoencoder(*build((6,), 2), sliced(Ring()), reconstruction="mse")
        optimizer = make_optimizer("adam", model, 1e-3)
        said = []
        epochs = train_epochs(
            model,
            batches_of(torch.rand(41, 6, generator=draws("data"))),
            optimizer,
            max_epochs=2,
            progress=lambda step, n, parts: said.append(n),
        )
        records = [torch.tensor([e.step, e.loss, *e.parts.values()]) for e in epochs]
        return {
            "records": torch.stack(records),
            "seen": torch.tensor(sum(said)),
            "weights": flat(model.parameters()),
        }

    return case


def fitted(rank, sizes):
    x = np.random.default_rng(0).random((90, 6), dtype=np.float32)
    model = SWAE(
        batch_size=20, max_epochs=4, patience=2, validation_size=20, precision="32", device="cpu"
    ).fit(x)
    return {
        "weights": flat(model.autoencoder_.parameters()),
        "best": torch.tensor([float(model.best_.epoch), model.best_.value]),
    }


def diverged(rank, sizes):
    """The last row of a batch of two is not finite; one rank has it."""
    x = torch.rand(8, 6)
    x[5] = np.inf
    model = Autoencoder(*build((6,), 2), sliced(Ring()), reconstruction="mse", output="linear")
    batches = ArrayBatches(as_samples(torch.zeros(8, 6)), batch_size=8)
    object.__setattr__(batches.samples, "array", x)
    try:
        list(train_epochs(model, batches, make_optimizer("adam", model, 1e-3), max_epochs=1))
    except DivergedError as error:
        return {"said": torch.tensor(list(str(error).encode()))}
    return {}


# 41 samples in batches of 10: the last has a single one, and only rank 0 has it.
TRAININGS = {
    "arrays": training_case(lambda x: ArrayBatches(as_samples(x), 10)),
    "dataset": training_case(lambda x: LoaderBatches(torch.utils.data.TensorDataset(x), 10)),
    "fitted": fitted,
}


# ----- what only several can do


def alone(rank, ranks):
    """The penalty of each rank's own codes, where it is asked for; in evaluation, on one rank."""
    z = torch.rand(9, 2, generator=draws(f"rank{rank}"))
    results = {"self": sliced(Ring(), group="self")(z, draws(f"draw{rank}"))}
    if rank == 0:
        results["evaluated"] = sliced(Ring()).eval()(z, draws("draw0"))
    return results


def in_pairs(rank, ranks):
    pairs = [dist.new_group([r, r + 1]) for r in range(0, ranks, 2)]
    z = torch.rand(9, 2, generator=draws(f"rank{rank}"))
    return {"pair": sliced(Ring(), group=pairs[rank // 2])(z, draws(f"draw{rank // 2}"))}


def refused(rank, ranks):
    said = []
    for generator in (draws(f"rank{rank}"), None if rank else draws("step")):
        try:
            sliced(Ring())(torch.rand(5, 2), generator)
        except ValueError as error:
            said.append(str(error))
    return {"said": torch.tensor(list("|".join(said).encode()))}


def results(rank, ranks):
    together = {}
    for name, sizes in SIZES[ranks].items():
        cases = PENALTIES | MODELS | {"second derivative": second_derivative}
        together |= {(name, case): run(rank, sizes) for case, run in cases.items()}
    cut = next(iter(SIZES[ranks].values()))
    together |= {("", case): run(rank, cut) for case, run in TRAININGS.items()}
    together["", "diverged"] = diverged(rank, cut)
    for case in (alone, in_pairs, refused):
        together["", case.__name__] = case(rank, ranks)
    return together


@contextmanager
def world(folder, rank, ranks):
    """Has the first so many ranks meet, and part."""
    store = f"file://{folder}/store-of-{ranks}"
    dist.init_process_group(
        "gloo", init_method=store, rank=rank, world_size=ranks, timeout=timedelta(seconds=60)
    )
    yield
    dist.destroy_process_group()


def left_alone(folder, rank):
    """The last two ranks meet, and one dies while the other waits for it."""
    store = f"file://{folder}/store-of-the-last"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    if rank == 1:
        os._exit(9)
    try:
        dist.barrier()
    except RuntimeError as error:
        (folder / "left-alone").write_text(str(is_lost_rank(error)))


def accelerated(folder, rank, port):
    """The example's loop in two processes, of which Accelerate knows by the environment."""
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in (place | meeting).items()})
    with warnings.catch_warnings(action="ignore"):
        from examples import accelerate_loop

        figures = accelerate_loop.main(epochs=2, cpu=True)
    (folder / f"accelerated-{rank}").write_text(json.dumps(figures))
    dist.destroy_process_group()


def main(folder, rank, port):
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", module="lightning_fabric")
    torch.set_num_threads(1)
    for ranks in (4, 2):
        if rank < ranks:
            with world(folder, rank, ranks):
                torch.save(results(rank, ranks), folder / f"{ranks}-{rank}.pt")
    if rank >= 2:
        left_alone(folder, rank - 2)
    else:
        accelerated(folder, rank, port)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
