"""Hostile files for every loader, the same few at each run; ``benchmarks.fuzz`` has more."""

import mmap

import pytest

from benchmarks.fuzz import NAMES, fuzz, loaders

FEW = {"Parquet": 8}
"""Each of these files is read by a process of its own first."""


@pytest.fixture(scope="module")
def made():
    return loaders()


def test_every_loader_is_here(made):
    assert tuple(made) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_file_is_read_or_refused(made, name):
    counts, harm = fuzz(made[name], examples=FEW.get(name, 50))
    assert [sentence for sentence, *_ in harm] == []
    assert sum(counts.values()) >= FEW.get(name, 50)
    assert counts["refused"] > 0 or name == "metrics.jsonl"  # of which what is none is left out


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_many_hostile_files_are_read_or_refused(made, name):
    _, harm = fuzz(made[name], seconds=60, number=0)
    assert [sentence for sentence, *_ in harm] == []


@pytest.mark.parametrize(
    ("read", "sentence"),
    [
        (lambda folder, name: 1 / 0, "ZeroDivisionError"),
        (lambda folder, name: (folder.parent / "x").write_text("x"), "write to"),
        (lambda folder, name: touch(250_000_000), "MB"),
        (lambda folder, name: __import__("pickle").loads(b"cos\ngetpid\n."), "pickle.find_class"),
        (lambda folder, name: raises(ValueError("short")), "no sentence"),
    ],
)
def test_harm_is_noticed(made, read, sentence):
    loader = made["metrics.jsonl"]._replace(read=read)
    _, harm = fuzz(loader, examples=1)
    assert sentence in harm[0][0]


def touch(n):
    """Takes memory from the system itself, for what a heap has freed would not count."""
    with mmap.mmap(-1, n) as taken:
        taken[::4096] = b"x" * len(range(0, n, 4096))


def raises(error):
    raise error
