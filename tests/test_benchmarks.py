"""What the benchmarks compare has to be the same thing done in different ways."""

import re
import sys
import time

import pytest
import torch

from benchmarks import formulas, install, likelihood
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


def test_the_formulas_are_right_where_they_should_be():
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in formulas.powers()][1:]
    assert [row[0] for row in rows] == ["1", "1.5", "2", "3"]
    for p, exact, *right, signed in ([float(cell) for cell in row] for row in rows):
        assert right == pytest.approx([exact, exact], rel=0.005)
        assert (signed == pytest.approx(exact, rel=0.005)) == (p == 2)


def test_a_weight_that_turns_on_the_batch_is_seen():
    rows = [row.split("|")[1:-1] for row in formulas.weights()][1:]
    ours, divided = zip(*((float(row[2]), float(row[3])) for row in rows), strict=True)
    assert max(ours) < 1.05 * min(ours)
    assert max(divided) > 50 * min(divided)


def installed(site, name, version, content):
    """Installs a package of one file, as pip leaves it."""
    info = site / f"{name}-{version}.dist-info"
    info.mkdir()
    (site / f"{name}.py").write_bytes(content)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "RECORD").write_text(f"{name}.py,,\n{info.name}/METADATA,,\n{name}/gone.py,,\n")


def test_a_footprint_is_that_of_the_packages_files(tmp_path):
    installed(tmp_path, "torch", "2.13.0+cpu", bytes(3 * 2**20))
    installed(tmp_path, "other", "1.0", b"")
    (tmp_path / "of nobody").write_bytes(bytes(2**20))
    found = install.footprint(tmp_path)
    assert found.torch == "2.13.0+cpu"
    assert found.sizes["torch"] == pytest.approx(3, abs=0.1)
    assert 3 < found.total < 3.2
    assert found.largest.startswith("torch 3, other 0")


def test_what_is_asked_of_pip_is_said_as_a_user_would():
    said = {name: install.asked(wanted) for name, wanted in install.WANTED.items()}
    assert said["bare"] == "."
    assert said["onnx"] == ".[onnx]"
    assert said["POT, torch"] == "pot torch"


def test_the_page_has_a_row_of_each_installation():
    page = (install.ROOT / "docs" / "alternatives.md").read_text()
    rows = re.findall(r"^\| `([^`]+)` \| \d", page, re.MULTILINE)
    assert rows == [install.asked(wanted) for wanted in install.WANTED.values()]
