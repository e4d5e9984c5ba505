"""Ranks that train one model have the loss, the gradient and the weights of one process."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import ranks as cases
import torch
from safetensors.torch import load_file

import swae.sliced
from benchmarks.scaling import first_of
from swae import Autoencoder, SlicedWassersteinLoss, Uniform
from swae.checkpoint import checkpoints
from swae.cli import main
from swae.data import ArrayBatches, LoaderBatches, PartBatches, as_samples
from swae.distributed import ALONE, Ranks, apart, check_group, joined, meet
from swae.launching import code_of, environments, launch, place_of
from swae.manifest import read_folder
from swae.penalties.queued import QueuedSlicedWasserstein
from swae.training import check_ranks

SCRIPT = Path(cases.__file__)
PATIENCE = 120  # seconds after which a hang is a failure
ENV = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent.parent)}


def start(command, **variables):
    return subprocess.Popen(
        list(map(str, command)),
        env={**ENV, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def ended(process, seconds=PATIENCE):
    """Waits for a process; one that hangs is killed with all that it has started."""
    try:
        said, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return process.returncode, said


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="session")
def four(tmp_path_factory):
    """Four processes, of which all, then two, then the other two are the ranks of a training."""
    folder = tmp_path_factory.mktemp("ranks")
    port = free_port()
    processes = [start([sys.executable, SCRIPT, folder, rank, port]) for rank in range(4)]
    for process, wanted in zip(processes, (0, 0, 0, 9), strict=True):
        code, said = ended(process)
        assert code == wanted, said
    return folder


@pytest.fixture(scope="session", params=[2, 4])
def ranked(request, four):
    """The results of all cases on each of so many ranks."""
    return [torch.load(four / f"{request.param}-{rank}.pt") for rank in range(request.param)]


def each(ranked, case):
    """Goes through the cuts that a case was run with, and what each rank has of it."""
    for cut in cases.SIZES[len(ranked)]:
        yield [results[cut, case] for results in ranked]


def near(a, b, tolerance):
    return float((a - b).norm()) <= tolerance * float(b.norm())


# ----- one batch


@pytest.mark.parametrize("case", cases.PENALTIES)
def test_a_penalty_is_one_processs(ranked, case):
    wanted = cases.PENALTIES[case](0, (40,))
    n = len(ranked)
    for results in each(ranked, case):
        for result in results:
            assert near(result["values"], wanted["values"], 1e-10)
            assert torch.equal(result["values"], results[0]["values"])
            assert torch.equal(result["buffers"], results[0]["buffers"])
            torch.testing.assert_close(result["buffers"], wanted["buffers"])
        summed = sum(result["summed"] for result in results)
        assert near(summed / n, wanted["summed"], 1e-10)  # the average, which DDP takes
        assert near(summed, n * wanted["summed"], 1e-10)  # what plain sums are


def test_a_second_derivative_is_one_processs(ranked):
    """Of the square of each rank's own gradient, R times its part of the one process's."""
    wanted = cases.second_derivative(0, (40,))
    for results in each(ranked, "second derivative"):
        assert near(sum(r["first"] for r in results) / len(ranked), wanted["first"], 1e-10)
        assert all(r["second"].isfinite().all() for r in results)


@pytest.mark.parametrize("case", cases.MODELS)
def test_a_model_is_one_processs(ranked, case):
    wanted = cases.MODELS[case](0, (40,))
    for results in each(ranked, case):
        for result in results:
            assert near(result["losses"], wanted["losses"], 1e-5)
            assert near(result["gradient"], wanted["gradient"], 1e-5)
            assert near(result["weights"], wanted["weights"], 1e-5)
            torch.testing.assert_close(result["buffers"], wanted["buffers"], rtol=1e-4, atol=1e-5)
            assert torch.equal(result["weights"], results[0]["weights"])
            assert torch.equal(result["buffers"], results[0]["buffers"])


# ----- epochs


@pytest.mark.parametrize("case", cases.TRAININGS)
def test_a_training_is_one_processs(ranked, case):
    wanted = cases.TRAININGS[case](0, (40,))
    for result in (results["", case] for results in ranked):
        assert result.keys() == wanted.keys()
        for name, value in wanted.items():
            assert near(result[name].double(), value.double(), 1e-5)
        assert torch.equal(result["weights"], ranked[0]["", case]["weights"])


def test_all_ranks_say_that_they_diverged(ranked):
    wanted = cases.diverged(0, (40,))["said"]
    assert b"The loss is nan at step 0" in bytes(wanted.tolist())
    assert all(torch.equal(results["", "diverged"]["said"], wanted) for results in ranked)


# ----- who works together


def test_a_rank_can_work_for_itself(ranked):
    for rank, results in enumerate(ranked):
        z = torch.rand(9, 2, generator=cases.draws(f"rank{rank}"))
        wanted = cases.sliced(cases.Ring())(z, cases.draws(f"draw{rank}"))
        assert torch.equal(results["", "alone"]["self"], wanted)
        if rank == 0:
            assert torch.equal(results["", "alone"]["evaluated"], wanted)


def test_a_group_works_together(ranked):
    for rank, results in enumerate(ranked):
        first = rank // 2 * 2
        z = [torch.rand(9, 2, generator=cases.draws(f"rank{r}")) for r in (first, first + 1)]
        wanted = cases.sliced(cases.Ring())(torch.cat(z), cases.draws(f"draw{rank // 2}"))
        torch.testing.assert_close(results["", "in_pairs"]["pair"], wanted)


def test_generators_that_differ_are_refused_by_all(ranked):
    for results in ranked:
        said = bytes(results["", "refused"]["said"].tolist()).decode().split("|")
        assert len(said) == 2
        assert all("generator has to be in the same state on all ranks" in s for s in said)


@pytest.mark.usefixtures("unchecked")
def test_a_group_is_a_group_or_a_word():
    with pytest.raises(ValueError, match=r"group has to be a process group .* but is 'none'"):
        SlicedWassersteinLoss(Uniform(2), group="none")
    with pytest.raises(TypeError, match=r"group has to be a process group .* but is 3"):
        check_group(3)


def test_a_process_by_itself_has_nothing_done_to_its_tensors():
    x = torch.rand(3, 2)
    assert meet(None, together=True) is None
    assert ALONE.gather(x) is ALONE.total(x) is x
    assert ALONE.exchange(x) is x
    assert ALONE.directions(x) == (x, 1.0)


@pytest.mark.parametrize("widths", [[5], [3, 3, 3], [3, 3, 2, 2], [5, 0, 23, 12], [0, 0, 1]])
@pytest.mark.parametrize("k", [0, 1, 4])
def test_blocks_are_put_side_by_side_and_apart(widths, k):
    x = torch.rand(k, sum(widths))
    laid = torch.cat([block.flatten() for block in x.split(widths, dim=1)])
    assert torch.equal(apart(x, widths), laid)
    assert torch.equal(joined(laid, widths, k), x)


@pytest.mark.parametrize("ranks", [2, 5, 50])
def test_a_ranks_part_does_not_grow_with_the_ranks(ranks, monkeypatch):
    """Of 50 directions and 20 rows a rank: what it is sent, projects, draws and sorts."""
    drawn, compared = [], []
    from_cube, distance = Uniform.from_cube, swae.sliced.wasserstein_1d

    def drawing(prior, u):
        drawn.append(u.shape)
        return from_cube(prior, u)

    def comparing(x, y, p):
        compared.append((x.shape, y.shape))
        return distance(x, y, p)

    monkeypatch.setattr(Uniform, "from_cube", drawing)
    monkeypatch.setattr(swae.sliced, "wasserstein_1d", comparing)
    z = torch.rand(20, 3, requires_grad=True)
    with first_of(ranks, 20) as received:
        SlicedWassersteinLoss(Uniform(3), 50, oversampling=2)(z, cases.draws("p")).backward()
    assert drawn == [(40, 3)]
    assert compared == [((50 // ranks, 20 * ranks), (50 // ranks, 40 * ranks))]
    share = (ranks - 1) / ranks * 20 * 50 * 4
    assert received == pytest.approx([share, 2 * share, share])
    assert z.grad.shape == z.shape


def test_parts_cover_a_draw():
    sizes = (5, 0, 23, 12)
    rows = [list(range(120))[Ranks(r, sizes).part(3)] for r in range(4)]
    assert [len(part) for part in rows] == [15, 0, 69, 36]
    assert [row for part in rows for row in part] == list(range(120))


def test_directions_are_shared_out():
    theta, n = torch.rand(2, 7), 3
    group = torch.distributed.ProcessGroup(0, n)
    parts = [Ranks(r, (1,) * n, group).directions(theta) for r in range(n)]
    together = torch.cat([part for part, _ in parts], dim=1)
    assert torch.equal(together.sort(dim=1).values, theta.sort(dim=1).values)
    assert sum(share for _, share in parts) == pytest.approx(1)
    assert Ranks(2, (1,) * n, group).directions(theta[:, :2])[1] == 0


# ----- data


@pytest.mark.parametrize("n", [40, 41, 43])
@pytest.mark.parametrize("kind", ["arrays", "loader"])
def test_ranks_read_the_batches_of_one(n, kind):
    x, labels = torch.rand(n, 3), torch.arange(n)
    if kind == "arrays":
        whole = ArrayBatches(as_samples(x, labels), 10, seed=3)
    else:
        whole = LoaderBatches(torch.utils.data.TensorDataset(x, labels), 10, seed=3)
    parts = [whole.of_rank(r, 4) for r in range(4)]
    for part in parts:
        assert (len(part), part.n, part.shape) == (len(whole), whole.n, whole.shape)
    for batch, *own in zip(whole.epoch(2), *(part.epoch(2) for part in parts), strict=True):
        assert torch.equal(torch.cat([p.x for p in own]), batch.x)
        assert torch.equal(torch.cat([p.labels for p in own]), batch.labels)
        sizes = [len(p.x) for p in own]
        assert max(sizes) - min(sizes) <= 1


def test_a_rank_gathers_no_more_than_its_rows(monkeypatch):
    rows = []
    batches = ArrayBatches(as_samples(np.zeros((20, 3), np.float32)), 10).of_rank(1, 2)
    select = type(batches.samples).select

    def counted(samples, index):
        rows.append(len(index))
        return select(samples, index)

    monkeypatch.setattr(type(batches.samples), "select", counted)
    list(batches.epoch(0))
    assert rows == [5, 5]
    assert not isinstance(batches, PartBatches)


# ----- launching


def test_places_are_read_from_the_environment(monkeypatch):
    assert place_of({}) is None
    assert place_of({"RANK": "0", "WORLD_SIZE": "1"}) is None
    monkeypatch.setenv("NODE_RANK", "1")
    monkeypatch.setenv("MASTER_ADDR", "far")
    monkeypatch.setenv("MASTER_PORT", "1")
    assert [place_of(place)[:2] for place in environments(2, 3)] == [(2, 0), (3, 1)]
    monkeypatch.delenv("MASTER_ADDR")
    with pytest.raises(ValueError, match="MASTER_ADDR is not there"):
        environments(2, 3)


def python(code):
    return [
        sys.executable,
        "-c",
        f"import os, signal, time; rank = int(os.environ['RANK']); {code}",
    ]


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("pass", 0),
        ("rank == 1 and os._exit(9); time.sleep(60)", 9),
        ("rank == 1 and os.kill(os.getpid(), signal.SIGKILL); time.sleep(60)", 137),
        ("rank == 0 and os._exit(3); time.sleep(60)", 3),
        # One that won't end is killed.
        ("signal.signal(15, 1) if rank == 0 else os._exit(4); time.sleep(60)", 4),
    ],
)
def test_one_that_fails_ends_all(code, wanted, monkeypatch, capfd):
    monkeypatch.setattr("swae.launching.GRACE", 1.0)
    began = time.monotonic()
    assert launch(python(code), 3) == wanted
    assert time.monotonic() - began < 30
    assert ("so all ranks end" in capfd.readouterr().err) == (wanted in (9, 137))


def test_what_failed_first_counts():
    assert code_of([5, -9, None]) == 137


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_a_launcher_that_is_ended_ends_its_ranks(signum, tmp_path):
    code = f"""
from swae.launching import watch_launcher
watch_launcher()
open(f'{tmp_path}/{{rank}}', 'w').write(str(os.getpid()))
time.sleep(60)"""
    call = f"from swae.launching import launch; exit(launch({python(code)!r}, 2))"
    launcher = start([sys.executable, "-c", call])
    pids = [int(read(tmp_path / str(rank))) for rank in range(2)]
    launcher.send_signal(signum)
    assert ended(launcher, 30)[0] in (128 + signum, -signum)
    until(lambda: not any(map(is_running, pids)), 10)


def read(path):
    return until(lambda: path.exists() and path.read_text())


def until(condition, seconds=PATIENCE):
    for _ in range(seconds * 20):
        if value := condition():
            return value
        time.sleep(0.05)
    raise TimeoutError


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_ranks_notice_one_that_dies(four):
    """Without a launcher that would end them, and at once."""
    assert (four / "left-alone").read_text() == "True"


def test_accelerates_loop_has_one_model(four):
    ours, theirs = (json.loads((four / f"accelerated-{rank}").read_text()) for rank in range(2))
    assert ours == theirs
    assert 0 < ours["mse"] < 0.2


# ----- swae fit

FIT = "fit digits --batch-size 400 --precision 32 --device cpu --seed 1 --max-epochs 2"


@contextmanager
def fit(*words, launcher=("-m", "swae.cli"), more=()):
    process = start([sys.executable, *launcher, *FIT.split(), *words, *more])
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def weights(folder):
    (path,) = folder.glob("checkpoints/epoch-0002/model.safetensors")
    return cases.flat(load_file(path).values())


TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "swae.cli")


def test_fit_on_devices_is_fit_and_goes_on_elsewhere(tmp_path, capsys):
    whole, half, other = tmp_path / "whole", tmp_path / "half", tmp_path / "other"
    assert main([*FIT.split(), "--out", str(whole)]) == 0

    with fit("--out", half, "--devices", "2", "--stop-after", "1") as process:
        code, said = ended(process)
    assert code == 0, said
    # One of them speaks, and writes.
    assert said.count("samples of shape") == said.count("stopped after 1 of 2 epochs") == 1
    assert len((half / "metrics.jsonl").read_text().splitlines()) == 1
    assert (half / "config.yaml").read_text() == (whole / "config.yaml").read_text()

    shutil.copytree(half, other)
    assert main([*FIT.split(), "--out", str(other), "--resume"]) == 0
    assert near(weights(other), weights(whole), 1e-5)

    with fit("--out", half, "--resume", launcher=TORCHRUN) as process:
        code, said = ended(process)
    assert code == 0, said
    assert said.count("samples of shape") == 1
    assert near(weights(half), weights(whole), 1e-5)


def test_fit_asks_for_ranks_that_can_be(tmp_path, capsys, monkeypatch):
    out = ["--out", str(tmp_path / "run")]
    assert main([*FIT.split(), *out, "--devices", "0"]) == 2
    assert "--devices has to be at least 1, but is 0" in capsys.readouterr().err
    assert main([*FIT.split(), *out, "--num-nodes", "2"]) == 2
    assert "NODE_RANK is not there" in capsys.readouterr().err
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert main([*FIT.split(), *out, "--devices", "2"]) == 2
    assert "a launcher has started 4" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_rank_that_is_terminated_ends_the_run(tmp_path):
    run = tmp_path / "run"
    with fit("--out", run, "--devices", "2", "--max-epochs", "100000") as process:
        read(run / "metrics.jsonl")
        pid = rank_of(process.pid, 1)
        os.kill(pid, signal.SIGTERM)
        began = time.monotonic()
        code, said = ended(process, 60)
    assert time.monotonic() - began < 20
    assert code == 143
    assert "rank 1 was ended by signal 15" in said
    assert "Traceback" not in said
    assert not is_running(pid)
    # Rank 0 may have had the time to write what it kept; then it is whole.
    assert all(map(read_folder, checkpoints(run / "checkpoints")))


def rank_of(launcher, rank):
    """Finds the process that is a rank among a launcher's."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    return next(
        int(pid)
        for pid in children
        if f"\0RANK={rank}\0" in Path(f"/proc/{pid}/environ").read_text()
    )


# ----- what several ranks can't do is refused before anything is touched


class Own(torch.nn.Module):
    """A penalty that knows nothing of ranks."""

    prior = Uniform(2)

    def forward(self, z, generator=None):
        return z.square().mean()


def test_what_ranks_can_not_do():
    layers = torch.nn.Linear(3, 2), torch.nn.Linear(2, 3)
    known = Autoencoder(*layers, SlicedWassersteinLoss(Uniform(2)), "mse", "linear")
    queued = QueuedSlicedWasserstein(Uniform(2))
    check_ranks(known, 2)
    check_ranks(Autoencoder(*layers, queued, "mse", "linear"), 2)
    check_ranks(Autoencoder(*layers, Own(), "mse", "linear"), 1)
    with pytest.raises(ValueError, match="Several ranks want a penalty that matches the codes"):
        check_ranks(Autoencoder(*layers, Own(), "mse", "linear"), 2)


def test_a_sampler_that_shares_out_already():
    data = torch.utils.data.TensorDataset(torch.rand(40, 3))
    sampler = torch.utils.data.DistributedSampler(data, num_replicas=2, rank=0)
    batches = LoaderBatches(torch.utils.data.DataLoader(data, batch_size=10, sampler=sampler))
    with pytest.raises(ValueError, match="without a DistributedSampler"):
        batches.of_rank(0, 2)


def test_a_refused_run_leaves_the_old_one(tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((60, 4), dtype=np.float32))
    words = ["fit", str(tmp_path / "x.npy"), "--out", str(tmp_path / "run"), "--max-epochs", "1"]
    assert main(words) == 0
    before = sorted(tmp_path.rglob("*"))
    assert main([*words, "--overwrite", "--devices", "2", "--batch-size", "1"]) == 2
    assert "ask for 2 processes, but a batch has 1 sample at most" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before
