r"""Tests for the swae.cache and swae.ingest modules: faults 3, 7, 8 and 10 of a folder's cache."""

import dataclasses
import doctest
import errno
import hashlib
import io
import json
import logging
import multiprocessing
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_images import BAD, GOOD

import swae
from swae import SWAE, cache, ingest
from swae.cache import cache_folder, open_folder
from swae.cli import main
from swae.data import ArrayBatches, Samples
from swae.images import DataError, Framing, read_folder
from swae.progress import Reader
from swae.sources import load

N = 120
ENV = {**os.environ, "PYTHONPATH": str(Path(swae.__file__).parents[1])}


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """Every folder is large enough for the cache, whose blocks are small."""
    monkeypatch.setenv("SWAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "FEW", 0)
    monkeypatch.setattr(ingest, "BLOCK", 16)


@pytest.fixture
def folder(tmp_path):
    """Images of different sizes, gray ones before those of color, and one that is text."""
    rng, folder = np.random.default_rng(0), tmp_path / "photos"
    folder.mkdir()
    for i in range(N):
        size = (rng.integers(8, 12), rng.integers(8, 12))
        shape = size if i < 40 else (*size, 3)
        pixels = rng.integers(0, 256, size=shape, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:03}.png")
    (folder / "050a.png").write_text("no image")
    return folder


FRAMING = Framing(8)


def home():
    (found,) = (path for path in cache_folder().iterdir() if (path / "manifest.json").exists())
    return found


def names():
    return {path.name for path in cache_folder().glob("*/*")}


def same(a, b):
    return torch.equal(a.x, b.x) and a.files == b.files and a.rejected == b.rejected


def sha(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ----- cold and warm


def test_cold_and_warm_are_what_memory_holds(folder, monkeypatch):
    expected = read_folder(folder, FRAMING)
    cold = open_folder(folder, FRAMING)
    monkeypatch.setattr(cache, "ingest", None)  # not called again
    warm = open_folder(folder, FRAMING)
    for read in (cold, warm):
        assert same(read, expected)
        assert read.digest == cold.digest
    assert expected.digest is None
    assert len(cold.rejected) == 1
    assert names() == {"images.npy", "manifest.json", ".lock"}
    array = np.load(home() / "images.npy", mmap_mode="r")  # any program can read it
    np.testing.assert_array_equal(array, expected.x.numpy())


@pytest.mark.parametrize("kind", GOOD)
def test_every_kind_is_as_in_memory(kind, tmp_path):
    (tmp_path / "photos").mkdir()
    GOOD[kind][0](tmp_path / "photos/x.png")
    assert same(open_folder(tmp_path / "photos"), read_folder(tmp_path / "photos"))


@pytest.mark.parametrize("kind", BAD)
def test_unreadable_is_skipped_and_reported(kind, folder, caplog):
    (folder / "050a.png").unlink()
    BAD[kind](folder / "0.png")  # the first, from which there is no shape
    for _ in ("cold", "warm"):
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="swae"):
            read = open_folder(folder, FRAMING)
        assert "1 of 121 images" in caplog.text
    assert same(read, read_folder(folder, FRAMING))
    assert [path for path, _ in read.rejected] == [str(folder / "0.png")]


def test_small_folders_stay_in_memory(folder, monkeypatch):
    monkeypatch.setattr(cache, "FEW", N + 2)
    assert open_folder(folder, FRAMING).digest is None
    assert not cache_folder().exists()
    monkeypatch.setattr(cache, "LITTLE", 1000)
    assert open_folder(folder, FRAMING).digest is not None


def test_what_is_written_to_the_map_is_not_written_to_the_file(folder):
    read = open_folder(folder, FRAMING)
    before = sha(home() / "images.npy")
    read.x.zero_()
    assert sha(home() / "images.npy") == before


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: os.utime(folder / "001.png", ns=(1, 1)),
        lambda folder: Image.new("L", (9, 9)).save(folder / "001.png"),
        lambda folder: (folder / "001.png").rename(folder / "001b.png"),
        lambda folder: (folder / "001.png").unlink(),
        lambda folder: Image.new("L", (9, 9)).save(folder / "zzz.png"),
    ],
)
def test_a_changed_folder_has_another_key(folder, change):
    old = open_folder(folder, FRAMING).x.clone()
    change(folder)
    assert same(open_folder(folder, FRAMING), read_folder(folder, FRAMING))
    assert len(list(cache_folder().iterdir())) == 2
    assert old.shape[0] == N


def test_two_folders_of_one_list_are_two(tmp_path):
    """Names, sizes and times are equal where an archive was unpacked; the images are not."""
    for name, gray in (("a", 10), ("b", 200)):
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.new("L", (8, 8), gray).save(tmp_path / name / f"{i}.bmp")
            os.utime(tmp_path / name / f"{i}.bmp", ns=(1, 1))
    means = [float(open_folder(tmp_path / name).x.float().mean()) for name in ("a", "b")]
    assert means == [10, 200]


def test_framing_and_versions_are_in_the_key(folder, monkeypatch):
    files = swae.images.find(folder)
    framings = [Framing(8), Framing(9), Framing(8, 4), Framing(8, 4, 178), Framing(None, 8)]
    keys = {cache.key_of(folder, files, framing)[0] for framing in framings}
    for name in ("FORMAT", "__version__"):
        monkeypatch.setattr(cache, name, "another")
        keys.add(cache.key_of(folder, files, Framing(8))[0])
    assert len(keys) == len(framings) + 2


def test_what_is_large_when_decoded_is_mapped(folder, monkeypatch):
    monkeypatch.setattr(cache, "FEW", 10_000)
    monkeypatch.setattr(cache, "MUCH", 3 * 8 * 8 * (N + 1))
    open_folder(folder, FRAMING)
    assert home().is_dir()
    with pytest.raises(ValueError, match="image_size must be at most 10,000, got 100000"):
        open_folder(folder, Framing(100_000))


def test_where_it_lies(monkeypatch):
    monkeypatch.delenv("SWAE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache_folder() == Path("/x/swae")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert cache_folder() == Path("/home/me/.cache/swae")
    monkeypatch.setenv("SWAE_CACHE", "~/big")
    assert cache_folder() == Path("/home/me/big")


# ----- interruptions


class FaultError(Exception):
    """An interruption."""


def stop_at(monkeypatch, name, i):
    """Raises when a method of the writer is called for the i-th time."""
    method, calls = getattr(ingest.Writer, name), []

    def faulty(*args):
        calls.append(args)
        if len(calls) > i:
            raise FaultError
        return method(*args)

    monkeypatch.setattr(ingest.Writer, name, faulty)


def decoded_files(monkeypatch):
    """Returns a list that grows by what is decoded."""
    files, decode = [], swae.images.decode_or_reason

    def listed(path, framing):
        files.append(os.path.basename(path))
        return decode(path, framing)

    monkeypatch.setattr(swae.images, "decode_or_reason", listed)
    return files


@pytest.mark.parametrize(
    ("name", "i", "left"),
    [("take", 100, 25), ("end_block", 5, 41), ("note", 7, 9), ("finish", 0, 0)],
)
def test_interrupted_and_resumed(folder, monkeypatch, name, i, left):
    Image.new("RGB", (9, 9), "red").save(folder / "000.png")  # in color from the start
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, name, i)
        with pytest.raises(FaultError):
            open_folder(folder, FRAMING)
    assert names() == {"part", "journal", ".lock"}
    files, counted = decoded_files(monkeypatch), []
    read = open_folder(folder, FRAMING, progress=lambda done, total: counted.append((done, total)))
    assert len(files) == left
    assert counted == [(done, N + 1) for done in range(N + 2 - left, N + 2)]
    assert same(read, read_folder(folder, FRAMING))


def test_a_gray_beginning_begins_anew_in_color(folder, monkeypatch):
    files = decoded_files(monkeypatch)
    read = open_folder(folder, FRAMING)
    assert files.count("000.png") == 2
    assert read.x.shape == (N, 3, 8, 8)
    assert torch.equal(read.x[:40, 0], read.x[:40, 2])


DEATH = """
import os, signal, sys
from pathlib import Path
from swae import cache, ingest
from swae.images import Framing
cache.FEW, ingest.BLOCK = 0, 16
place, name, i = sys.argv[2], sys.argv[3], int(sys.argv[4])
owner = {"os": os, "writer": ingest.Writer, "cache": cache}[place]
method, calls = getattr(owner, name), []
def deadly(*args):
    calls.append(args)
    if len(calls) > i:
        os.kill(os.getpid(), signal.SIGKILL)
    return method(*args)
setattr(owner, name, deadly)
cache.open_folder(Path(sys.argv[1]), Framing(8))
"""


def die(folder, *words):
    process = subprocess.run([sys.executable, "-c", DEATH, str(folder), *words], env={
        **ENV, "SWAE_CACHE": os.environ["SWAE_CACHE"]
    })  # fmt: skip
    assert process.returncode == -signal.SIGKILL


def test_killed_again_and_again(folder):
    for words in (
        ("writer", "write", "10"),
        ("writer", "end_block", "6"),
        ("writer", "take", "30"),
        ("os", "fsync", "0"),
        ("os", "replace", "0"),
        ("cache", "write_file", "0"),  # the array has its name, but no manifest
        ("cache", "discard", "0"),
    ):
        die(folder, *words)
        assert "manifest.json" not in names() or words[1] == "discard"
    assert same(open_folder(folder, FRAMING), read_folder(folder, FRAMING))


@pytest.mark.parametrize(
    "damage",
    [
        lambda part, journal: journal.write_bytes(journal.read_bytes()[:-20]),
        lambda part, journal: journal.write_text(journal.read_text() + '["x"]\n[3, 4]\n'),
        lambda part, journal: journal.write_bytes(b"\xff\x00"),
        lambda part, journal: part.unlink(),
        lambda part, journal: os.truncate(part, 1000),
        lambda part, journal: flip(part, 128 + 1000),
        lambda part, journal: flip(part, 128 + 7000),
    ],
)
def test_what_an_interruption_damaged_is_read_again(folder, monkeypatch, damage):
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, "finish", 0)
        with pytest.raises(FaultError):
            open_folder(folder, FRAMING)
    damage(*(next(cache_folder().glob(f"*/{name}")) for name in ("part", "journal")))
    assert same(open_folder(folder, FRAMING), read_folder(folder, FRAMING))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_leaves_what_is_done(folder, tmp_path, monkeypatch, number, code):
    Image.new("RGB", (9, 9), "red").save(folder / "000.png")
    with pytest.MonkeyPatch.context() as patch:
        take = ingest.Writer.take

        def signalled(self, i, result):
            if i == 70:
                os.kill(os.getpid(), number)
            take(self, i, result)

        patch.setattr(ingest.Writer, "take", signalled)
        words = ["fit", str(folder), "--image-size", "8", "--out", str(tmp_path / "run")]
        assert main(words) == code
    assert not (tmp_path / "run").exists()
    files = decoded_files(monkeypatch)
    open_folder(folder, FRAMING)
    assert len(files) == N + 1 - 64


def test_progress_in_a_pipe():
    said = io.StringIO()
    reader = Reader(said, every=0)
    for done in range(5, 9):  # the first four were read before
        reader(done, 8)
    lines = said.getvalue().splitlines()
    assert lines[0] == "reading 8 images"
    assert re.fullmatch(r"100%  [\d,]+ images/s  00:00 left", lines[-1])


# ----- damage


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda home: flip(home / "images.npy", 128 + 5000), "sha256 of block 2 of 8 differs"),
        (lambda home: flip(home / "images.npy", 80), "header"),
        (lambda home: os.truncate(home / "images.npy", 9000), "size"),
        (lambda home: (home / "images.npy").unlink(), "No such file"),
        (lambda home: flip(home / "manifest.json", 900), ""),
        (lambda home: (home / "manifest.json").write_text("[]"), ""),
        (lambda home: (home / "manifest.json").write_text('{"blocks": 3}'), "'sha256'"),
        (lambda home: (home / "manifest.json").write_text("[" * 100_000), "no JSON"),
    ],
)
def test_a_damaged_cache_is_built_anew(folder, caplog, damage, reason):
    expected = open_folder(folder, FRAMING)
    expected = expected._replace(x=expected.x.clone())
    damage(home())
    with caplog.at_level(logging.WARNING, logger="swae"):
        read = open_folder(folder, FRAMING)
    assert "is damaged" in caplog.text
    assert reason in caplog.text
    assert same(read, expected)


def put_a_folder(path):
    path.unlink(missing_ok=True)
    path.mkdir()
    (path / "x").write_text("")


@pytest.mark.parametrize("name", ["images.npy", "manifest.json", ".lock"])
def test_a_folder_where_a_file_should_be_is_replaced(folder, name):
    expected = read_folder(folder, FRAMING)
    open_folder(folder, FRAMING)
    put_a_folder(home() / name)
    if name == ".lock":
        (home() / "manifest.json").unlink()
    assert same(open_folder(folder, FRAMING), expected)
    assert names() == {"images.npy", "manifest.json", ".lock"}


@pytest.mark.parametrize("name", ["part", "journal"])
def test_a_folder_where_an_unfinished_file_should_be_is_replaced(folder, monkeypatch, name):
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, "finish", 0)
        with pytest.raises(FaultError):
            open_folder(folder, FRAMING)
    put_a_folder(next(cache_folder().glob(f"*/{name}")))
    assert same(open_folder(folder, FRAMING), read_folder(folder, FRAMING))
    assert names() == {"images.npy", "manifest.json", ".lock"}


def test_a_link_where_a_file_should_be_is_replaced_and_not_followed(folder, tmp_path):
    open_folder(folder, FRAMING)
    (tmp_path / "own").mkdir()
    (tmp_path / "own/x").write_text("kept")
    (home() / "images.npy").unlink()
    (home() / "images.npy").symlink_to(tmp_path / "own")
    assert same(open_folder(folder, FRAMING), read_folder(folder, FRAMING))
    assert (tmp_path / "own/x").read_text() == "kept"


def test_a_mapped_file_outlives_its_replacement(folder):
    read = open_folder(folder, FRAMING)
    before = read.x.clone()
    (home() / "manifest.json").unlink()
    open_folder(folder, FRAMING)
    assert torch.equal(read.x, before)


# ----- a full disk


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(("name", "needed"), [("posix_fallocate", "31,104"), ("fsync", "93,056")])
def test_a_full_disk(folder, name, needed):
    old = open_folder(folder, FRAMING)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, name, full)
        with pytest.raises(OSError, match=rf"images\.npy can't be .*needs {needed} bytes.* free"):
            open_folder(folder, Framing(16))
        assert len([name for name in names() if name in ("part", "journal")]) == 0
        assert same(open_folder(folder, FRAMING), old)
    assert len(list(cache_folder().glob("*/images.npy"))) == 1


LIMITED = """
import resource, sys
from pathlib import Path
from swae import cache
from swae.images import Framing
cache.FEW = 0
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    cache.open_folder(Path(sys.argv[1]), Framing(8))
except OSError as error:
    print(error)
"""


def test_a_limited_file(folder):
    env = {**ENV, "SWAE_CACHE": os.environ["SWAE_CACHE"]}
    said = subprocess.check_output(
        [sys.executable, "-c", LIMITED, str(folder)], env=env, text=True
    )
    assert "File too large" in said
    assert names() == {".lock"}


def test_a_disk_that_allocates_nothing(folder, monkeypatch):
    def unsupported(*_):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", unsupported)
    assert same(open_folder(folder, FRAMING), read_folder(folder, FRAMING))
    monkeypatch.delattr(os, "posix_fallocate")
    assert same(open_folder(folder, Framing(9)), read_folder(folder, Framing(9)))


def test_a_cache_that_cannot_be_made(folder, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SWAE_CACHE", str(tmp_path / "file"))
    assert main(["fit", str(folder), "--image-size", "8", "--out", str(tmp_path / "run")]) == 5
    said = capsys.readouterr().err
    assert "can't be made" in said
    assert "$SWAE_CACHE" in said


# ----- refusals


def test_too_many_rejected(folder):
    (folder / "050b.png").write_text("no image")
    with pytest.raises(DataError, match="2 of 122 images") as error:
        open_folder(folder, FRAMING)
    assert len(error.value.rejected) == 2
    assert names() == {".lock"}


def test_nothing_but_rejected(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x/1.png").write_text("no image")
    with pytest.raises(DataError, match="1 of 1 images"):
        open_folder(tmp_path / "x")


def test_sizes_differ_unless_resized(folder):
    with pytest.raises(DataError, match=r"000\.png.*--image-size") as cached:
        open_folder(folder)
    with pytest.raises(DataError) as plain:
        read_folder(folder)
    assert str(cached.value) == str(plain.value)
    assert names() == {".lock"}
    with pytest.raises(ValueError, match="crop must be at least 1, got 0"):
        open_folder(folder, Framing(crop=0))


# ----- two processes


def read_in_a_process(folder, queue):
    cache.FEW, ingest.BLOCK = 0, 16
    queue.put(hashlib.sha256(open_folder(folder, FRAMING).x.numpy().tobytes()).hexdigest())


def test_processes_at_once(folder):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    processes = [context.Process(target=read_in_a_process, args=(folder, queue)) for _ in "abc"]
    for process in processes:
        process.start()
    sums = {queue.get(timeout=60) for _ in processes}
    for process in processes:
        process.join()
    expected = read_folder(folder, FRAMING).x.numpy().tobytes()
    assert sums == {hashlib.sha256(expected).hexdigest()}
    assert names() == {"images.npy", "manifest.json", ".lock"}


def test_the_second_waits_and_then_reads(folder, monkeypatch, caplog):
    """While the lock is held elsewhere nothing is written; afterwards nothing is decoded."""
    caplog.set_level(logging.INFO, logger="swae")
    flock, modes = cache.fcntl.flock, []

    def held(file, mode):
        modes.append(mode)
        if mode & cache.fcntl.LOCK_NB:
            raise BlockingIOError
        with pytest.MonkeyPatch.context() as patch:  # the other process comes to its end
            patch.setattr(cache.fcntl, "flock", lambda *_: None)
            open_folder(folder, FRAMING)
        monkeypatch.setattr(cache, "ingest", None)
        flock(file, mode)

    monkeypatch.setattr(cache.fcntl, "flock", held)
    assert same(open_folder(folder, FRAMING), read_folder(folder, FRAMING))
    assert len(modes) == 2
    assert "Another process" in caplog.text


# ----- training


def samples_of(read):
    return Samples(read.x, torch.arange(len(read.x)), read.rejected, read.digest)


def both(folder):
    return samples_of(open_folder(folder, FRAMING)), samples_of(read_folder(folder, FRAMING))


def test_views_are_what_copies_are(folder):
    mapped, plain = both(folder)
    assert (mapped.mapped, plain.mapped) == (True, False)
    for index in (torch.tensor([5, 2, 9, 2]), torch.arange(N) % 3 == 0):
        a, b = mapped.select(index), plain.select(index)
        assert a.array.data_ptr() == mapped.array.data_ptr()  # no copy
        assert torch.equal(a.x, b.x)
        assert torch.equal(a.labels, b.labels)
        again = torch.tensor([1, 0])
        assert torch.equal(a.select(again).x, b.select(again).x)
        assert (len(a), a.shape, a.dtype) == (len(b), b.shape, b.dtype)
        chunks = zip(a.chunks(3), b.chunks(3), strict=True)
        assert all(torch.equal(x, y) for x, y in chunks)


def test_batches_are_the_same(folder):
    batches = [ArrayBatches(samples, 32, seed=3) for samples in both(folder)]
    for a, b in zip(*(b.epoch(2) for b in batches), strict=True):
        assert torch.equal(a.x, b.x)
        assert torch.equal(a.labels, b.labels)


def test_a_batch_that_fails_says_so(folder):
    mapped, _ = both(folder)
    batches = ArrayBatches(dataclasses.replace(mapped, index=torch.tensor([0, 10**6])), 2)
    with pytest.raises(IndexError):
        next(batches.epoch(0))


def test_fingerprints(folder):
    mapped, _ = both(folder)
    some = mapped.select(torch.tensor([1, 2]))
    prints = {s.fingerprint() for s in (mapped, some, mapped.select(torch.tensor([2, 1])))}
    assert len(prints) == 3
    again = samples_of(open_folder(folder, FRAMING)).select(torch.tensor([1, 2]))
    assert again.fingerprint() == some.fingerprint()
    flipped = dataclasses.replace(mapped, digest="another")
    assert flipped.fingerprint() != mapped.fingerprint()


def test_a_model_is_the_same_either_way(folder, tmp_path):
    sums = set()
    for i, samples in enumerate((*both(folder), both(folder)[0])):
        model = SWAE(max_epochs=2, batch_size=16, n_projections=10, validation_size=20)
        model.fit(samples)
        assert model.validation_.mapped == samples.mapped
        model.evaluate(samples)
        model.transform(samples)
        model.save(tmp_path / f"{i}")
        sums.add(sha(tmp_path / f"{i}/model.safetensors"))
    assert len(sums) == 1


def test_the_command_line_resumes_and_uses_a_mapped_folder(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(swae.commands.fit, "draw_figures", lambda *_: None)
    words = ["fit", str(folder), "--image-size", "8", "--crop", "8", "--batch-size", "16"]
    words += ["--max-epochs", "2"]
    assert main([*words, "--out", "a"]) == 0
    assert "reading 121 images" in capsys.readouterr().err
    assert main([*words, "--out", "b", "--stop-after", "1"]) == 0
    assert main([*words, "--out", "b", "--resume"]) == 0
    assert "reading" not in capsys.readouterr().err.split("samples of shape")[0]
    assert sha(Path("a/model/model.safetensors")) == sha(Path("b/model/model.safetensors"))
    rejected = json.loads(Path("a/rejected.jsonl").read_text())
    assert rejected["file"] == str(folder / "050a.png")
    assert main(["evaluate", "a"]) == 0
    assert main(["reconstruct", "a", "-n", "3"]) == 0
    assert main([*words[:-1], "3", "--out", "b", "--resume", "--crop", "7"]) == 2
    assert "crop=8" in capsys.readouterr().err


def test_what_is_skipped_is_told_once(folder, tmp_path, monkeypatch, caplog):
    """Without held-back samples the folder is read for either split, and both lack the file."""
    monkeypatch.setattr("swae.commands.fit.draw_figures", lambda *_: None)
    words = ["fit", str(folder), "--image-size", "8", "--batch-size", "16", "--max-epochs", "1"]
    for name in "ab":  # the next command tells it again
        caplog.clear()
        run = ["--validation-size", "0", "--out", str(tmp_path / name)]
        with caplog.at_level(logging.WARNING, logger="swae"):
            assert main([*words, *run]) == 0
        assert caplog.text.count("1 of 121 images") == 1


def test_a_folder_of_classes(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(10):
            Image.new("L", (4, 4), i + 100 * (name == "dog")).save(
                tmp_path / "photos" / name / f"{i}.png"
            )
    train, test = (load(tmp_path / "photos", split) for split in ("train", "test"))
    assert (len(train), len(test)) == (16, 4)
    for samples in (train, test):
        assert samples.mapped
        assert samples.classes == ("cat", "dog")
        assert torch.equal(samples.labels, (samples.x[:, 0, 0, 0] >= 100).long())


@pytest.mark.parametrize("module", [cache, ingest])
def test_examples(module):
    assert doctest.testmod(module).failed == 0
