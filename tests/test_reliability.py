"""Faults that are made to happen in processes of their own: docs/reliability.md lists them all.

Processes are forked from a nursery (:mod:`benchmarks.nursery`), which has done the imports.
"""

import hashlib
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.fuzz import bomb
from benchmarks.nursery import Nursery
from swae import SWAE, faults, workers
from swae.checkpoint import latest_checkpoint
from swae.cli import COMMANDS, main
from swae.codes import read_codes
from swae.data import DataError
from swae.images import decode
from swae.run import Run, RunError
from swae.sources import load
from swae.weights import read_weights

SMALL = ("--batch-size", "20", "--n-projections", "5", "--network", "mlp", "--max-epochs", "4")
AT_ONCE, NEVER = -1.0, 1e9
"""The seconds between two checkpoints: one an epoch, or none before the last."""


@pytest.fixture(scope="module")
def nursery(tmp_path_factory):
    """A folder with data and a run that nothing has interrupted, ``whole``."""
    folder, rng = tmp_path_factory.mktemp("reliability"), np.random.default_rng(0)
    np.save(folder / "data.npy", rng.random((200, 8), dtype=np.float32))
    with Nursery(folder) as nursery:
        assert nursery.run(["fit", "data.npy", *SMALL, "--out", "whole"]).code == 0
        yield nursery


@pytest.fixture
def run(nursery):
    """A folder for a run."""
    path = nursery.folder / "run"
    yield path
    shutil.rmtree(path, ignore_errors=True)


def fit(nursery, fault="", *words, resume=False, **options):
    words = ["fit", "data.npy", *SMALL, "--out", "run", *["--resume"] * resume, *words]
    return nursery.start(words, fault, **options)


def weights(run):
    return hashlib.sha256((run / "model" / "model.safetensors").read_bytes()).hexdigest()


def check_whole(nursery, run, **options):
    """A run that goes on ends as one that nothing has interrupted, and has no relics."""
    ended = fit(nursery, resume=True, **options).wait()
    assert ended.code == 0, ended.said
    assert weights(run) == weights(nursery.folder / "whole")
    assert list(run.rglob(".*")) == []
    lines = [re.sub(r'"seconds": [^,]+', "", line) for line in metrics(run)]
    whole = [re.sub(r'"seconds": [^,]+', "", line) for line in metrics(nursery.folder / "whole")]
    assert lines == whole
    return ended.said


def metrics(run):
    return (run / "metrics.jsonl").read_text().splitlines()


# ----- the page


PAGE = Path(__file__).parents[1] / "docs" / "reliability.md"
NAMED = re.compile(r'`(tests/\w+\.py)(?: -k (?:"([^"]+)"|(\w+)))?`')


def test_every_row_has_tests_that_are_there():
    rows = re.findall(r"^\| (\d+) \|(.*)$", PAGE.read_text(), re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 15))
    for number, cells in rows:
        named = NAMED.findall(cells)
        assert named or number == "12"
        for file, words, word in named:
            text = (PAGE.parents[1] / file).read_text()
            tests = re.findall(r"^def (test_\w+)", text, re.MULTILINE)
            for part in (words or word or "test").split(" or "):
                assert any(part in test for test in tests), (number, file, part)


# ----- the points


def test_a_plan_is_read():
    assert faults.planned("") == {}
    assert faults.planned("train.step:3:nan,train.step:5:full") == {
        "train.step": {3: "nan", 5: "full"}
    }


@pytest.mark.parametrize(
    "plan", ["train.step", "train.step:x:kill", "train:1:kill", "file.write:1:boom", ":::"]
)
def test_a_plan_that_is_none(plan):
    with pytest.raises(ValueError, match=r"SWAE_FAULT has to be POINT:N:ACTION .*but is"):
        faults.planned(plan)


def test_a_fault_comes_at_its_visit(monkeypatch):
    monkeypatch.setattr(faults, "PLAN", faults.planned("evaluate:2:full,train.step:1:memory"))
    monkeypatch.setattr(faults, "VISITS", {})
    faults.point("evaluate")
    faults.point("file.write")
    with pytest.raises(OSError, match="No space left"):
        faults.point("evaluate")
    faults.point("evaluate")
    with pytest.raises(MemoryError):
        faults.point("train.step")


def test_every_point_is_somewhere():
    source = "".join(path.read_text() for path in Path(faults.__file__).parent.rglob("*.py"))
    assert [name for name in faults.POINTS if f'point("{name}"' not in source] == []


# ----- 1: SIGKILL


def test_killed_at_ten_random_times(nursery, run):
    rng = random.Random(0)
    killed = 0
    for _ in range(10):
        child = fit(nursery, resume=True, every=AT_ONCE)
        child.until("writing run")
        ended = child.dies_after(rng.uniform(0, 0.3))
        killed += ended.code == -signal.SIGKILL
    assert killed > 5
    check_whole(nursery, run)


def test_killed_within_the_write_of_a_checkpoint(nursery, run):
    """The first writes are those of config.yaml and of the metrics, then there are five a time."""
    visits = {"file.write": (1, 2, 4, 6, 8), "file.place": (2, 3, 6, 7, 8)}
    for point, k in [(point, k) for point, ks in visits.items() for k in ks]:
        ended = fit(nursery, f"{point}:{k}:kill", resume=True, every=AT_ONCE).wait()
        assert ended.code == -signal.SIGKILL, ended.said
    check_whole(nursery, run)


def test_killed_while_the_model_is_stored(nursery, run):
    """The run is over after 6 writes; who resumes it writes metrics, configuration and model."""
    for k in (8, 3, 6, 7, 4):
        ended = fit(nursery, f"file.place:{k}:kill", resume=True, every=NEVER).wait()
        assert ended.code == -signal.SIGKILL, ended.said
        if (run / "model").exists():
            SWAE.load(run)
    check_whole(nursery, run)


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(PAGE.parents[1])}


# ----- 2: SIGTERM and SIGINT


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("train.step:30:term", 143),
        ("train.epoch:4:int", 130),
        ("evaluate:4:term", 143),
        ("train.step:30:hup", 129),
    ],
)
def test_a_signal_leaves_a_checkpoint(nursery, run, fault, code):
    """Of the last epoch that was recorded, though none was due."""
    ended = fit(nursery, fault, every=NEVER).wait()
    assert (ended.code, ended.seconds < 5) == (code, True), ended.said
    assert "--resume goes on from the last checkpoint" in ended.said
    assert "Traceback" not in ended.said
    assert latest_checkpoint(run / "checkpoints").epoch == len(metrics(run)) == 3
    check_whole(nursery, run)


@pytest.mark.parametrize(("action", "code"), [("term", 143), ("int", 130), ("kill", -9)])
def test_an_interruption_within_the_first_epoch(nursery, run, action, code):
    """No epoch was done, so there is nothing that the seed does not tell: it begins anew."""
    ended = fit(nursery, f"train.step:5:{action}", every=NEVER).wait()
    assert (ended.code, ended.seconds < 5) == (code, True), ended.said
    assert ("--resume goes on from the last checkpoint, if" in ended.said) == (code > 0)
    assert latest_checkpoint(run / "checkpoints") is None
    assert not (run / "model").exists()
    assert "run has no checkpoint to resume; starting fresh." in check_whole(nursery, run)


def until(condition, seconds=60):
    """Waits for what a child does, and not for ever."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_from_outside(nursery, run, number, code):
    child = fit(nursery, "", "--max-epochs", "100000", every=NEVER)
    child.until("writing run")
    until(lambda: (run / "metrics.jsonl").exists() and len(metrics(run)) >= 2)
    child.send(number)
    ended = child.wait()
    assert (ended.code, ended.seconds < 5) == (code, True), ended.said
    assert latest_checkpoint(run / "checkpoints").epoch >= 1


def test_a_second_interruption_leaves_at_once(nursery, run):
    child = fit(nursery, "train.step:25:int,file.write:2:hang", every=NEVER)
    until(lambda: list(run.glob("checkpoints/.*.part/.*.part")))
    child.send(signal.SIGINT)
    ended = child.wait()
    assert (ended.code, ended.seconds < 2) == (-signal.SIGINT, True)
    check_whole(nursery, run)


@pytest.mark.parametrize(("action", "code"), [("term", 143), ("int", 130)])
def test_a_signal_within_a_write_waits_for_it(nursery, run, action, code):
    """Writes are config.yaml and then five a checkpoint: here of epoch 2, and of the end."""
    ended = fit(nursery, f"file.write:9:{action}", every=AT_ONCE).wait()
    assert (ended.code, ended.seconds < 5) == (code, True), ended.said
    assert latest_checkpoint(run / "checkpoints").epoch == len(metrics(run)) == 2
    shutil.rmtree(run)
    ended = fit(nursery, f"train.step:20:nan,file.write:4:{action}", every=NEVER).wait()
    assert (ended.code, ended.seconds < 5) == (code, True), ended.said
    assert latest_checkpoint(run / "checkpoints").epoch == len(metrics(run)) == 2
    check_whole(nursery, run)


def test_a_second_interruption_does_not_wait_for_a_write(nursery, run):
    child = fit(nursery, "file.write:9:hang", every=AT_ONCE)
    until(lambda: list(run.glob("checkpoints/.*.part")) and len(metrics(run)) == 2)
    child.send(signal.SIGINT)  # the first is waited with
    time.sleep(0.2)
    child.send(signal.SIGINT)
    ended = child.wait()
    assert (ended.code, ended.seconds < 2) == (-signal.SIGINT, True)
    assert latest_checkpoint(run / "checkpoints").epoch == 1
    check_whole(nursery, run)


@pytest.mark.parametrize(("action", "code"), [("term", 143), ("int", 130)])
def test_an_evaluation_ends(nursery, action, code):
    ended = nursery.run(["evaluate", "whole"], f"evaluate:1:{action}")
    assert (ended.code, ended.seconds < 5) == (code, True)
    assert re.fullmatch(r"swae: (terminated|interrupted)\.\n", ended.said)


AT_THE_END = {
    "before": "",
    "in atexit": "import atexit; atexit.register(again);",
    "after it": """
class Last:
    def __del__(self, again=again):
        again()
last = Last(); last.itself = last
""",
}
"""Where a signal reaches a process whose command is done; the last is torn down with modules."""


@pytest.mark.parametrize("place", AT_THE_END)
@pytest.mark.parametrize("action", ["term", "int"])
def test_a_signal_while_python_ends_changes_nothing(nursery, place, action):
    fault = f"command.done:1:{action}" if place == "before" else ""
    source = f"""
import os, signal, sys
from swae import cli
def again(kill=os.kill, pid=os.getpid(), number=signal.SIG{action.upper()}, write=os.write):
    write(2, b"signalled\\n")
    kill(pid, number)
{AT_THE_END[place]}
sys.argv = ["swae", "evaluate", "whole"]
code = cli.main()
print("last", code)
sys.exit(code)
"""
    ended = nursery.run([], fault, code=source)
    assert ended.code == 0, ended.said
    assert "last 0" in ended.said or place == "in atexit"
    assert ("signalled" in ended.said) == (place != "before")
    assert "Traceback" not in ended.said
    assert "interrupted" not in ended.said
    assert "codes are outside the prior" in ended.said


@pytest.mark.parametrize(("action", "code"), [("term", 143), ("int", 130), ("hup", 129)])
def test_a_signal_while_python_imports_ends_at_once(action, code):
    source = f"""
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "torch.nn":
            os.kill(os.getpid(), signal.SIG{action.upper()})
sys.meta_path.insert(0, Finder())
from swae import cli
sys.argv = ["swae", "fit", "digits"]
sys.exit(cli.main())
"""
    # A process that was started in the background has SIGINT ignored, and leaves it so.
    command = [sys.executable, "-c", "import signal; signal.signal(2, signal.SIG_DFL)" + source]
    ended = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
    word = {143: "terminated", 130: "interrupted", 129: "hung up"}[code]
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, "", f"swae: {word}.\n")


def test_a_signal_while_the_module_ends(nursery):
    """The same of ``python -m swae.cli``, with a fault that is planned by the environment."""
    words = [sys.executable, "-m", "swae.cli", "evaluate", "whole"]
    ended = subprocess.run(
        words,
        capture_output=True,
        text=True,
        cwd=nursery.folder,
        env={**ENVIRONMENT, "SWAE_FAULT": "command.done:1:int"},
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "codes are outside the prior" in ended.stdout


def photos(folder):
    """Writes images, and returns the words of a run of them."""
    for i in range(20):
        Image.fromarray(np.full((8, 8), i, np.uint8)).save(folder / f"{i}.png")
    return ["fit", str(folder), "--image-size", "8", *SMALL, "--out", "images"]


def cached(folder, words):
    """Returns what runs a command that reads images through a cache of small blocks."""
    return (
        "import os, sys; from swae import cache, cli, ingest; cache.FEW = 0; ingest.BLOCK = 4;"
        f"os.environ['SWAE_CACHE'] = {str(folder / 'cache')!r};"
        f"sys.exit(cli.main({words}))"
    )


@pytest.mark.parametrize(("action", "code"), [("term", 143), ("int", 130), ("kill", -9)])
def test_an_ingest_goes_on(nursery, tmp_path, action, code):
    source = cached(tmp_path, photos(tmp_path))
    ended = nursery.run([], f"ingest.block:3:{action}", code=source)
    assert (ended.code, ended.seconds < 5) == (code, True), ended.said
    assert not any((nursery.folder / "images").glob("[!.]*"))
    ended = nursery.run([], code=source)
    assert "Going on after 8 of 20 images" in ended.said
    assert ended.code == 0
    shutil.rmtree(nursery.folder / "images")


# ----- 3: a full disk, see also test_full_disk.py


def test_a_full_disk_that_stays_full(nursery, run):
    """Also what was kept for the end finds no room; the checkpoint before is left."""
    plan = ",".join(f"file.write:{k}:full" for k in range(12, 40))
    ended = fit(nursery, plan, every=AT_ONCE).wait()
    assert ended.code == 5
    sentence = r"run/checkpoints/epoch-0003/\S+ can't be written .* needs .* free"
    assert re.search(sentence, ended.said)
    assert latest_checkpoint(run / "checkpoints").epoch == 2
    check_whole(nursery, run)


def test_a_small_disk(nursery, tmp_path):
    """A file system of 200 KiB that a run does not fit on."""
    mount(tmp_path, "size=200k")
    try:
        words = ["fit", "data.npy", *SMALL, "--out", str(tmp_path / "run")]
        ended = nursery.run(words, every=AT_ONCE)
        assert ended.code == 5, ended.said
        assert re.search(r"can't be written \(No space left .*needs [\d,]+ bytes", ended.said)
        assert list((tmp_path / "run").rglob(".*")) == []
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def mount(folder, options):
    words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(words, capture_output=True).returncode != 0:
        pytest.skip("to mount a file system wants root and the right to")


def test_a_full_disk_while_images_are_decoded(nursery, tmp_path):
    """Nothing of the cache is left but its lock, and no run was begun."""
    words = photos(tmp_path)
    source = cached(tmp_path, words)
    ended = nursery.run([], "ingest.block:3:full", code=source)
    assert ended.code == 5
    assert re.fullmatch(
        rf"reading 20 images\nswae: {tmp_path}/cache/\w+/images\.npy can't be written "
        r"\(No space left on device\): it needs 1,408 bytes, and [\d,]+ are "
        r"free; make room, or name another place with "
        r"\$SWAE_CACHE\.\n",
        ended.said,
    ), ended.said
    assert [path.name for path in tmp_path.glob("cache/*/*")] == [".lock"]
    assert not (nursery.folder / "images").exists()
    assert nursery.run([], code=source).code == 0
    shutil.rmtree(nursery.folder / "images")


# ----- 4: damage, see also test_folder.py


@pytest.fixture(scope="module")
def halted(nursery):
    """A run of three of four epochs, with the checkpoints of the last two."""
    path = nursery.folder / "halted"
    words = ["fit", "data.npy", *SMALL, "--out", "halted", "--stop-after", "3"]
    assert nursery.run(words, every=AT_ONCE).code == 0
    assert len(list(path.glob("checkpoints/*"))) == 2
    return path


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)


DAMAGE = {
    "cut": ("model.safetensors", lambda path: os.truncate(path, path.stat().st_size // 2)),
    "flipped": ("optimizer.safetensors", flip),
    "missing": ("info.json", Path.unlink),
    "mixed": (
        "model.safetensors",
        lambda path: shutil.copy(path.parents[1] / "epoch-0002" / path.name, path),
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_checkpoint_is_named_and_the_one_before_goes_on(nursery, run, halted, kind):
    shutil.copytree(halted, run)
    name, damage = DAMAGE[kind]
    damage(run / "checkpoints" / "epoch-0003" / name)
    said = check_whole(nursery, run)
    reason = "is missing or unreadable: " if kind == "missing" else "is not what was written: its"
    sentence = f"Passed over the checkpoint epoch-0003: run/checkpoints/epoch-0003/{name} {reason}"
    assert sentence in said


# ----- 6: NaN


def test_a_loss_that_is_not_finite(nursery, run):
    ended = fit(nursery, "train.step:20:nan", every=NEVER).wait()
    assert ended.code == 4
    assert re.search(
        r"swae: The loss is nan at step 19 \(epoch 3, batch 4 of 8\), by its term bce", ended.said
    ), ended.said
    kept = latest_checkpoint(run / "checkpoints")
    assert kept.epoch == 2
    assert all(tensor.isfinite().all() for tensor in kept.model.values())
    assert not (run / "model").exists()
    check_whole(nursery, run)


def test_a_gradient_that_is_not_finite(nursery, run):
    """Its step is not taken, though the loss was as good as any."""
    ended = fit(nursery, "train.gradient:20:nan", every=NEVER).wait()
    assert ended.code == 4
    assert re.search(
        r"swae: The gradient is not finite at step 19 \(epoch 3, batch 4 of 8\), in encoder\S+, "
        r"although the loss's terms are {'bce': 0\.\d+, 'l1': \S+, 'penalty': \S+}",
        ended.said,
    ), ended.said
    assert "Traceback" not in ended.said
    kept = latest_checkpoint(run / "checkpoints")
    assert kept.epoch == len(metrics(run)) == 2
    for tensors in (kept.model, kept.optimizer):
        assert all(tensor.isfinite().all() for tensor in tensors.values())
    assert not (run / "model").exists()
    check_whole(nursery, run)


@pytest.mark.parametrize("command", ["evaluate", "encode", "reconstruct"])
def test_not_a_number_in_the_data(nursery, command):
    X = np.ones((50, 8), np.float32)
    X[33, 2] = np.nan
    np.save(nursery.folder / "bad.npy", X)
    words = ["fit", "bad.npy", "--out", "none"] if command == "evaluate" else [command, "whole"]
    ended = nursery.run([*words, *["bad.npy"] * (command != "evaluate")])
    assert ended.code == 3
    assert re.search(r"bad\.npy: X must be finite .* the first of them row 33", ended.said)
    assert not (nursery.folder / "none").exists()


# ----- 8: bombs, see also test_images.py


def png(width, height):
    """A PNG whose header announces what its body does not hold."""

    def chunk(kind, content):
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(60_000, 60_000), (20_000, 20_000), (2**31 - 1, 2**31 - 1)])
def test_a_bomb_is_refused_from_its_header(tmp_path, cheap, size):
    (tmp_path / "x.png").write_bytes(png(*size))
    Image.init()
    with cheap(), pytest.raises((ValueError, OSError, Image.DecompressionBombError)):
        decode(tmp_path / "x.png")


def test_a_pipe_is_not_waited_for(tmp_path, cheap):
    os.mkfifo(tmp_path / "x.png")
    os.mkfifo(tmp_path / "config.yaml")
    os.mkfifo(tmp_path / "metrics.jsonl")
    with cheap(), pytest.raises(ValueError, match="not a regular file"):
        decode(tmp_path / "x.png")
    with cheap(), pytest.raises(ValueError, match=r"There is no file .*config\.yaml"):
        Run(tmp_path).read_config()
    assert Run(tmp_path).rows() == []


@pytest.mark.parametrize("read", [load, read_codes])
def test_an_archive_that_is_a_bomb(tmp_path, cheap, read):
    (tmp_path / "x.npz").write_bytes(bomb())
    with cheap(), pytest.raises(DataError, match=r"'x\.npy', 400,000,128 bytes that .* a bomb"):
        read(tmp_path / "x.npz")


def test_an_archive_of_much_alike_is_none(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros((1_000_000, 4), np.uint8))
    assert len(load(tmp_path / "x.npz", "all")) == 1_000_000


# ----- 9: memory


LARGE = ("--batch-size", "20000", "--n-projections", "500", "--network", "mlp", "--out", "large")


@pytest.fixture(scope="module")
def rows(nursery):
    """A million rows, 32 MB."""
    np.save(nursery.folder / "million.npy", np.full((1_000_000, 8), 0.5, np.float32))


@pytest.mark.parametrize(
    "words",
    [
        ["fit", "rows.npy", *LARGE],
        ["sample", "whole", "-n", "100000000", "--out", "x.npy"],
        ["encode", "whole", "million.npy", "--out", "z.npy"],
    ],
    ids=lambda words: words[0],
)
def test_out_of_memory(nursery, rows, words):
    np.save(nursery.folder / "rows.npy", np.random.default_rng(0).random((20_000, 8)))
    ended = nursery.run(words, memory=30_000_000)
    assert ended.code == 6, ended.said
    assert re.search(r"swae: out of memory; a smaller --batch-size, or fewer samples", ended.said)
    assert not any((nursery.folder / name).exists() for name in ("large/model", "x.npy", "z.npy"))
    shutil.rmtree(nursery.folder / "large", ignore_errors=True)


@pytest.mark.parametrize(
    ("words", "width"),
    [
        (["encode", "whole", "million.npy"], 2),
        (["decode", "whole", "codes.npy"], 8),
        (["sample", "whole", "-n", "1000000"], 8),
    ],
    ids=lambda words: words[0] if isinstance(words, list) else "",
)
def test_a_million_rows_go_in_chunks(nursery, rows, words, width):
    """At once, a hidden layer alone would take 512 MB or more."""
    np.save(nursery.folder / "codes.npy", np.zeros((1_000_000, 2), np.float32))
    ended = nursery.run([*words, "--out", "z.npy"], memory=250_000_000)
    assert ended.code == 0, ended.said
    assert np.load(nursery.folder / "z.npy", mmap_mode="r").shape == (1_000_000, width)
    (nursery.folder / "z.npy").unlink()


# ----- 10: the same seed


def test_the_same_seed_in_two_processes_and_with_a_cold_or_a_warm_cache(nursery, tmp_path):
    for i in range(20):
        Image.fromarray(np.full((8, 8), 10 * i, np.uint8)).save(tmp_path / f"{i}.png")
    words = ["fit", str(tmp_path), "--image-size", "8", *SMALL, "--out"]
    source = (
        "import os, sys; from swae import cache, cli; cache.FEW = 0;"
        f"os.environ['SWAE_CACHE'] = {str(tmp_path / 'cache')!r};"
    )
    sums = []
    for name in ("cold", "warm"):
        ended = nursery.run([], code=f"{source} sys.exit(cli.main({[*words, name]}))")
        assert ended.code == 0, ended.said
        assert ("Read 20 images into" in ended.said) == (name == "cold")
        sums.append(weights(nursery.folder / name))
    assert nursery.run([*words, "memory"]).code == 0
    assert [*sums, weights(nursery.folder / "memory")] == sums[:1] * 3


def test_another_number_of_threads_is_announced_and_close(nursery, run):
    assert fit(nursery, "", "--stop-after", "2").wait().code == 0
    words = ["fit", "data.npy", *SMALL, "--out", "run", "--resume"]
    source = (
        f"import sys, torch; torch.set_num_threads(2); from swae import cli; cli.main({words})"
    )
    ended = nursery.run([], code=source)
    assert "run was trained on 1 thread and goes on with 2: " in ended.said
    assert "; 2 threads; writing run" in ended.said
    ours, whole = (
        read_weights(home / "model" / "model.safetensors")
        for home in (run, nursery.folder / "whole")
    )
    for name, tensor in whole.items():
        torch.testing.assert_close(ours[name], tensor, rtol=1e-3, atol=1e-4)


# ----- 11: the processes of a data loader


WORKERS = """
import multiprocessing, os, signal, sys, time, torch
from torch.utils.data import DataLoader, Dataset
from swae import SWAE, workers

class Faulty(Dataset):
    def __len__(self):
        return 80

    def __getitem__(self, i):
        if i in (0, 10, 75):
            print("worker", os.getpid(), flush=True)
        if i == 75:
            FAULT
        return torch.full((4,), i / 80)

workers.PATIENCE = 2.0
began = time.monotonic()
try:
    SWAE(max_epochs=1, n_projections=5, network="mlp").fit(DataLoader(Faulty(), 10, num_workers=2))
except workers.WorkerError as error:
    print("error", time.monotonic() - began, error, flush=True)
    print("left", multiprocessing.active_children())
"""

LEFT = {
    "killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "exit": "os._exit(9)",
    "hangs": "time.sleep(600)",
    "stopped": "os.kill(os.getpid(), signal.SIGSTOP)",
}


@pytest.mark.parametrize("kind", LEFT)
def test_a_worker_that_is_lost(nursery, kind):
    ended = nursery.run([], code=WORKERS.replace("FAULT", LEFT[kind]))
    assert (found := re.search(r"^error ([\d.]+) .*", ended.said, re.MULTILINE)), ended.said
    assert float(found[1]) < 10
    pids = re.findall(r"^worker (\d+)", ended.said, re.MULTILINE)
    assert len({*pids}) >= 2  # of the first pass and of those before
    assert re.search(rf"\b{pids[-1]}\b", found[0])
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert "left []" in ended.said


class Clock:
    """Time that passes by waiting alone, as long as nobody was killed."""

    now, killed, pid = 0.0, False, 1

    def monotonic(self):
        return self.now

    def wait(self, seconds):
        self.now += seconds * (1 + 1e-6)
        return self.killed

    def kill(self):
        self.killed = True


@pytest.mark.parametrize("moment", np.linspace(0, 4, 21))
def test_a_worker_that_hangs_is_given_up_within_ten_seconds(monkeypatch, moment):
    """Whenever, between two looks at it, it has worked for the last time."""
    clock = Clock()
    monkeypatch.setattr(workers, "time", clock)
    watched = workers.Watched.__new__(workers.Watched)
    watched.children, watched.verdict = [clock], None
    monkeypatch.setattr(workers, "ticks", lambda _: str(min(clock.now, moment)))
    watched.watch(clock)
    assert clock.killed
    assert workers.PATIENCE - 0.5 < clock.now - moment < 9.5


def test_a_worker_that_works_is_waited_for(nursery):
    busy = "while time.process_time() < 1.2: pass"
    ended = nursery.run([], code=WORKERS.replace("FAULT", busy).replace("2.0", "0.8"))
    assert "error" not in ended.said
    assert ended.code == 0
    assert re.search(r"have given no batch for \d s, but compute: waiting", ended.said)


# ----- 13: where a run is written


def test_a_folder_that_is_read_only(nursery, tmp_path):
    """Root may write whatever the mode says, so the file system refuses."""
    mount(tmp_path, "ro")
    try:
        for out in (tmp_path, tmp_path / "run"):
            ended = nursery.run(["fit", "data.npy", *SMALL, "--out", str(out)])
            assert ended.code == 5, ended.said
            assert re.fullmatch(
                rf"swae: {out} can't be (made|written) \(Read-only file system\); choose another "
                r"--out\.\n",
                ended.said,
            )
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_folder_that_is_a_run(nursery):
    before = weights(nursery.folder / "whole")
    ended = nursery.run(["fit", "data.npy", *SMALL, "--out", "whole"])
    assert ended.code == 2
    assert re.fullmatch(r"swae: whole is not empty; .* --overwrite .*\n", ended.said)
    assert weights(nursery.folder / "whole") == before


def test_a_folder_in_use_and_the_lock_of_a_run_that_was_killed(nursery, run):
    """What is refused while the other lives is taken over once it was killed."""
    child = fit(nursery, "train.step:5:hang", every=AT_ONCE)
    child.until("writing run")
    with (
        pytest.raises(RunError, match="run is in use by another run"),
        Run(run).claimed(resume=True),
    ):
        pass
    child.send(signal.SIGKILL)
    assert child.wait().code == -signal.SIGKILL
    assert (run / ".lock").exists()
    check_whole(nursery, run)


# ----- settings and records from strangers


LAUGHS = "a: &a [ha, ha]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in pairwise("abcdefghij")
)

STRANGE = {
    "laughs": (LAUGHS, r"holds an alias \(\*a\), which settings have no need of"),
    "deep": ("[" * 30_000, "holds more than 20 lists within lists"),
    "large": ("a: " + "b" * 2**20, "has 1,048,579 bytes, but may have 1,048,576 at most"),
    "object": ("a: !!python/object/apply:os.getpid []", "is no YAML: could not determine a"),
    "date": ("a: 2001-99-99", "is no YAML: month must be in"),
    "key": ("{[a]: b}", "is no YAML: while constructing a mapping"),
    "numbers": ("1: 2", "does not hold settings by name"),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_strange_settings_are_refused_at_once(tmp_path, cheap, capsys, kind):
    text, sentence = STRANGE[kind]
    (tmp_path / "config.yaml").write_text(text)
    with cheap(), pytest.raises(RunError, match=rf"config\.yaml {sentence}"):
        Run(tmp_path).read_config()
    assert main(["fit", "digits", "--config", str(tmp_path / "config.yaml")]) == 2
    said = capsys.readouterr().err
    assert re.search(sentence, said)
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    "line", [b"1", b"{}", b"[" * 100_000, b"\xff", b'{"epoch": "1"}', b"null"]
)
def test_strange_records_are_left_out(tmp_path, line):
    sound = b'{"epoch": 1, "loss": 0.5}\n'
    (tmp_path / "metrics.jsonl").write_bytes(sound + line + b"\n" + sound)
    assert Run(tmp_path).rows() == [{"epoch": 1, "loss": 0.5}]
    Run(tmp_path).resume_point({})
    assert Run(tmp_path).rows() == []


# ----- the network


SILENT = """
import sys
asked = []
sys.addaudithook(lambda event, args: event.startswith("socket.") and asked.append((event, args)))
from swae import cli
for words in WORDS:
    assert cli.main(words) == 0, words
print("asked", [one for one in asked if one[0] in ("socket.connect", "socket.getaddrinfo",
      "socket.gethostbyname", "socket.sendto", "socket.bind")])
"""


def test_nothing_reaches_the_network(nursery, tmp_path):
    run, out = str(tmp_path / "run"), lambda name: ["--out", str(tmp_path / name)]
    words = [
        ["fit", "data.npy", *SMALL, *out("run")],
        ["evaluate", run],
        ["reconstruct", run, *out("a.png")],
        ["sample", run, *out("b.png")],
        ["encode", run, *out("c.npz")],
        ["decode", run, str(tmp_path / "c.npz"), *out("d.npy")],
        ["info", run],
    ]
    more = {"export": ["--codes", str(tmp_path / "c.parquet")], "report": []}
    words += [[name, run, *rest] for name, rest in more.items() if name in COMMANDS]
    ended = nursery.run([], code=SILENT.replace("WORDS", repr(words)), figures=True)
    assert ended.said.splitlines()[-1] == "asked []", ended.said
