"""What the benchmarks compare has to be the same thing done in different ways."""

import sys
import time

import pytest
import torch

from benchmarks import likelihood
from benchmarks.ingest import FRAMINGS, SIZE, by_pillow, by_swae, synthetic, watch
from benchmarks.likelihood import PENALTIES, fit
from benchmarks.penalty import WAYS, draw
from benchmarks.timing import interleaved, peak
from benchmarks.training import plain_networks
from benchmarks.variance import CASES, choices, spread
from swae.images import find, read_folder
from swae.networks import build
from swae.sources import load


@pytest.mark.parametrize("samples", [60, 180])
def test_ways_of_the_penalty_have_one_gradient(samples):
    x, y, theta = draw(60, 3, 7, samples)
    gradients = []
    for way in ("torch.sort", "swae"):
        x.grad = None
        WAYS[way](x, y, theta)
        gradients.append(x.grad)
    torch.testing.assert_close(*gradients)


def test_the_plain_networks_are_the_papers():
    """With the same weights they give what ours give."""
    plain, ours = plain_networks(), build((1, 28, 28), 2)
    assert [sum(p.numel() for p in net.parameters()) for net in plain] == [203_250, 308_193]
    for a, b in zip(plain, ours, strict=True):
        values = zip(a.state_dict(), b.state_dict().values(), strict=True)
        a.load_state_dict(dict(values))
    x, z = torch.rand(3, 1, 28, 28), torch.rand(3, 2)
    torch.testing.assert_close(plain[0](x), ours[0](x))
    torch.testing.assert_close(plain[1](z), ours[1](z))


def test_ways_take_turns():
    calls = []
    ways = {name: lambda x, name=name: calls.append((name, x)) for name in "ab"}
    times = interleaved(ways, lambda: (len(calls),), seconds=0)
    assert calls == [("ab"[i % 2], i) for i in range(10)]  # twice to set up, then three rounds
    assert set(times) == {"a", "b"}
    assert min(times.values()) > 0


def test_peak_counts_a_process_of_its_own():
    ballast = torch.zeros(2**26)  # 256 MiB here, which the other process has no part in
    seconds, most = peak(sys.executable, "-c", "import time; time.sleep(0.1)")
    assert seconds > 0.1
    assert 1 < most < 100 < ballast.nbytes / 2**20
    with pytest.raises(SystemExit, match="failed with 3"):
        peak(sys.executable, "-c", "import sys; sys.exit(3)")


def test_the_synthetic_folder_is_of_celebas_size(tmp_path, monkeypatch):
    monkeypatch.setenv("SWAE_CACHE", "put back afterwards")
    synthetic(tmp_path, 5)
    assert len(find(tmp_path)) == 5
    assert read_folder(tmp_path).x.shape == (5, 3, *SIZE[::-1])
    for way in (by_pillow, by_swae):
        for framing in FRAMINGS.values():
            way(tmp_path, framing)


def test_memory_is_that_of_the_process():
    held = []
    before, most = watch(lambda: held.append(torch.ones(2**24)) or time.sleep(0.1))
    assert 60 < most - before < 80


@pytest.mark.parametrize("d", CASES)
def test_choices_are_all_pairs(d):
    found = choices(d)
    assert len(set(found)) == 12
    assert {c.k for c in found} == {1, 2, 8}


def test_spread():
    assert spread([1.0], 2) == "1.00"
    assert spread([1.0, 3.0], 1) == "2.0 ± 1.4"


def test_a_row_of_the_likelihood_is_a_fit():
    train = load("digits").select(torch.arange(40))
    rows = [fit("uniform", penalty, 0.1, train, train, epochs=1) for penalty in PENALTIES]
    for row, penalty in zip(rows, PENALTIES, strict=True):
        assert (row["prior"], row["penalty"], row["weight"]) == ("uniform", penalty, 0.1)
        assert row["deviation"] == pytest.approx(row["codes"].std())
        assert row["deviation of the prior"] == pytest.approx(3**-0.5, rel=0.02)
        assert row["mse"] > 0
    panels = likelihood.draw(rows, train.labels).axes
    titles = [ax.get_title(loc="left") for ax in panels]
    assert titles == [f"uniform, {penalty}" for penalty in PENALTIES]
