"""Loggers: each writes what it is told, once, in its own place, and tells nobody else."""

import errno
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from swae import SWAE
from swae.cli import main
from swae.commands.figures import thumbnails_of
from swae.data import Samples
from swae.loggers import JsonLines, Logger, Snapshot, TensorBoard, Together, WeightsAndBiases
from swae.loggers.logger import numbers_of, picture_of
from swae.loggers.projector import sprite
from swae.loggers.together import kinds_of, open_logs
from swae.run import Run
from swae.training import Epoch

EventAccumulator = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator"
).EventAccumulator
pytest.importorskip("wandb")

SMALL = ("--batch-size", "16", "--n-projections", "10", "--max-epochs", "4", "--device", "cpu")
SETTINGS = {"prior": "ring", "data": "/home/someone/secret/faces", "latent_dim": 2}


# ----- reading back, by other programs' readers or by the format's description


def read_json(folder):
    return {row["epoch"]: row["loss"] for row in JsonLines(folder / "m.jsonl", done=None).rows()}


def events_of(folder):
    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0}).Reload()


def scalars(folder, name):
    return [(event.step, event.value) for event in events_of(folder).Scalars(name)]


def read_tensorboard(folder):
    steps = scalars(folder, "train/loss")
    assert len(dict(steps)) == len(steps)  # no epoch is there twice
    return dict(steps)


def records(file):
    """Returns the records of a run of Weights & Biases: a log in LevelDB's format.

    A header of 7 bytes; then blocks of 32 KiB with chunks of a checksum, a length and a kind
    (1 whole; 2, 3, 4 the first, a middle and the last part), which leave the last 6 bytes alone.
    """
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, parts = file.read_bytes(), 7, b""
    assert data[:4] == b":W&B"
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        size, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        parts += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):
            yield Record.FromString(parts)
            parts = b""


def finished(file):
    """Returns the records of a run that was closed, once its last one is there.

    Of a second part in the same process the library's own process may be writing still.
    """
    for _ in range(100):
        found = list(records(file))
        if found and found[-1].WhichOneof("record_type") == "exit":
            return found
        time.sleep(0.1)
    raise TimeoutError(file)


def history(folder):
    """Returns what the run that a folder's note names was told, over all its parts."""
    id = json.loads((folder / "wandb" / "swae.json").read_text())["id"]
    rows = []
    for file in sorted(folder.glob(f"wandb/offline-run-*-{id}*/run-{id}.wandb")):
        for record in finished(file):
            if record.WhichOneof("record_type") == "history":
                items = record.history.item
                named = {item.key or "/".join(item.nested_key): item for item in items}
                rows.append({name: json.loads(item.value_json) for name, item in named.items()})
    steps = [row["_step"] for row in rows]
    assert steps == sorted(set(steps))  # or the server would drop what goes back
    return rows


def read_wandb(folder):
    told = [(row["epoch"], row["train/loss"]) for row in history(folder) if "train/loss" in row]
    assert len(dict(told)) == len(told)  # no epoch is there twice
    return dict(told)


MAKE = {
    "json": lambda folder, done=0: JsonLines(folder / "m.jsonl", done=done),
    "tensorboard": lambda folder, done=0: TensorBoard(folder, SETTINGS, done=done),
    "wandb": lambda folder, done=0: WeightsAndBiases(folder, SETTINGS, "me", done=done),
    "together": lambda folder, done=0: Together([JsonLines(folder / "m.jsonl", done=done)]),
}
READ = {
    "json": read_json,
    "tensorboard": read_tensorboard,
    "wandb": read_wandb,
    "together": read_json,
}
every = pytest.mark.parametrize("name", MAKE)


def loss(epoch):
    return {"epoch": epoch, "loss": 1 / 2**epoch, "val_mse": 0.25, "val_bce": None}


def snapshot(epoch, n=5):
    figure = Figure(figsize=(1, 1))
    figure.subplots().plot([0, 1])
    rng = np.random.default_rng(epoch)
    codes = rng.normal(size=(n, 2)).astype(np.float32)
    labels = np.array(["a", "b\tc", "", "d", "é"])[:n]
    return Snapshot(epoch, {"plot": figure}, codes, labels, rng.random((n, 1, 6, 4)))


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder for the logger, and nothing of the user's or of other tests' around it."""
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_PROJECT", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    (tmp_path / "own").mkdir()
    return tmp_path / "own"


# ----- what every logger does


def test_every_logger_is_here():
    ours = {c for c in Logger.__subclasses__() if c.__module__.startswith("swae.")}
    assert ours == {JsonLines, TensorBoard, Together, WeightsAndBiases}


@every
def test_it_writes_what_it_is_told_and_nothing_elsewhere(name, own):
    state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 - to compare
    before = set(own.parent.iterdir())
    with MAKE[name](own) as logger:
        for epoch in (1, 2, 3):
            logger.record(loss(epoch))
        logger.show(snapshot(3))
    logger.close()
    assert READ[name](own) == {1: 0.5, 2: 0.25, 3: 0.125}
    assert set(own.parent.iterdir()) == before
    assert not list((own.parent / "home").iterdir()) + list((own.parent / "work").iterdir())
    assert torch.equal(torch.get_rng_state(), state[0])
    assert (np.random.get_state()[1] == state[1]).all()  # noqa: NPY002 - to compare


@every
def test_a_run_that_goes_on_has_no_epoch_twice(name, own):
    with MAKE[name](own) as logger:
        for epoch in (1, 2, 3):
            logger.record(loss(epoch))
            logger.show(snapshot(epoch))
    with MAKE[name](own, done=2) as logger:  # epoch 3 was after the last checkpoint
        for epoch in (3, 4):
            logger.record(loss(epoch))
            logger.show(snapshot(epoch))
    assert READ[name](own) == {epoch: 1 / 2**epoch for epoch in (1, 2, 3, 4)}


@every
def test_a_run_that_starts_anew_has_none_of_the_old_one(name, own):
    with MAKE[name](own) as logger:
        logger.record(loss(1))
        logger.record(loss(2))
    with MAKE[name](own) as logger:
        logger.record(loss(1))
    assert READ[name](own) == {1: 0.5}


@every
def test_it_takes_what_training_yields(name, own):
    X = np.random.default_rng(0).random((32, 1, 8, 8), dtype=np.float32)
    model = SWAE(max_epochs=2, batch_size=16, n_projections=5, device="cpu")
    with MAKE[name](own) as logger:
        losses = {}
        for epoch in model.fit_epochs(X):
            logger.record(epoch)
            losses[epoch.number] = epoch.loss
        logger.show(Snapshot(epoch.number, codes=model.transform(X), thumbnails=X))
    assert READ[name](own) == pytest.approx(losses, rel=1e-6)


@pytest.mark.parametrize("name", ["json", "tensorboard", "wandb"])
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"codes": np.zeros(5)}, r"codes has to have shape \(n, d\), but has \(5,\)"),
        ({"labels": np.zeros(4)}, "labels has to be one for each of 5 codes, but is 4"),
        ({"codes": None}, "labels has to be one for each of 0 codes, but is 5"),
        ({"thumbnails": np.zeros((6, 1, 2, 2))}, "thumbnails has to be one for each of 5 codes"),
        ({"thumbnails": np.zeros((5, 2, 2))}, r"shape \(n, 1 or 3, h, w\), but has \(5, 2, 2\)"),
    ],
)
def test_a_snapshot_that_does_not_fit(name, own, change, sentence, shared):
    with pytest.raises(ValueError, match=sentence):
        shared(name).show(snapshot(1)._replace(**change))


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Loggers that are refused everything, so that all refusals may share them."""
    made = {}

    def get(name):
        if name not in made:
            made[name] = MAKE[name](tmp_path_factory.mktemp(name))
        return made[name]

    yield get
    for logger in made.values():
        logger.close()


def test_a_model_that_is_not_trained_may_be_shown(own):
    with TensorBoard(own) as board, WeightsAndBiases(own) as run:
        for logger in (board, run):
            logger.show(snapshot(0))
            logger.record(loss(1))
            logger.show(snapshot(1))
    assert [image.step for image in events_of(own).Images("figures/plot")] == [0, 1]
    assert [row["epoch"] for row in history(own)] == [0, 1, 1]


def test_numbers_are_named_by_what_they_are_of():
    epoch = Epoch(2, 16, 0.5, 0.75, {"penalty": 0.25}, 0.125)
    expected = {"step": 16, "seconds": 0.5, "loss": 0.75, "penalty": 0.25, "learning_rate": 0.125}
    assert numbers_of(epoch) == (2, {f"train/{name}": value for name, value in expected.items()})
    assert numbers_of(loss(1)) == (1, {"train/loss": 0.5, "val/mse": 0.25})


# ----- JSON


def test_lines_are_what_they_were(tmp_path):
    row = {"epoch": 1, "loss": 0.1, "val_bce": None, "val_n": 120}
    JsonLines(tmp_path / "m.jsonl").record(row)
    assert (tmp_path / "m.jsonl").read_bytes() == json.dumps(row).encode() + b"\n"
    with (tmp_path / "m.jsonl").open("a") as file:
        file.write('{"epoch": 2, "lo')  # the process was killed
    JsonLines(tmp_path / "m.jsonl", done=2).record(row | {"epoch": 2})
    assert [row["epoch"] for row in JsonLines(tmp_path / "m.jsonl", done=None).rows()] == [1, 2]


# ----- TensorBoard


def test_tensorboard_shows_figures_and_settings(own):
    shown = snapshot(3)
    with TensorBoard(own, SETTINGS) as logger:
        logger.show(shown)
    events = events_of(own)
    (image,) = events.Images("figures/plot")
    assert (image.step, image.width, image.height) == (3, 100, 100)
    assert picture_of(shown.figures["plot"]).shape == (100, 100, 3)  # the figure is still open
    (text,) = events.Tensors("settings/text_summary")
    assert "| prior | ring |" in text.tensor_proto.string_val[0].decode()


def test_the_projector_finds_codes_labels_and_thumbnails(own):
    """By its own reading of its configuration; the newest codes are there."""
    from google.protobuf import text_format
    from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

    shown = snapshot(2)
    with TensorBoard(own) as logger:
        logger.show(snapshot(1, n=3))
        logger.show(shown)
    text = (own / "projector_config.pbtxt").read_text()
    (info,) = text_format.Parse(text, ProjectorConfig()).embeddings
    codes = np.loadtxt(own / info.tensor_path, delimiter="\t", dtype=np.float32)
    assert (codes[:, :2] == shown.codes).all()
    assert (codes[:, 2:] == np.zeros((5, 1))).all()  # of two columns it shows nothing
    assert (own / info.metadata_path).read_text() == "a\nb c\n-\nd\né\n"
    assert list(info.sprite.single_image_dim) == [4, 6]
    page = np.asarray(Image.open(own / info.sprite.image_path))
    assert page.shape == (2 * 6, 3 * 4, 3)
    for i, x in enumerate(shown.thumbnails):
        top, left = i // 3 * 6, i % 3 * 4
        assert (page[top : top + 6, left : left + 4, 1] == np.rint(255 * x[0])).all()


def test_a_sprite_is_as_large_as_the_projector_shows(monkeypatch):
    monkeypatch.setattr("swae.loggers.projector.LARGEST", 32)
    page, size = sprite(np.ones((9, 3, 20, 10), dtype=np.float32))
    assert size == (5, 10)
    assert page.size == (15, 30)
    assert np.asarray(page).min() == 255


# ----- Weights & Biases


TELL = """
import sys
from pathlib import Path
import numpy as np
from swae.loggers import Snapshot, WeightsAndBiases

def watch(event, args):
    if event == "socket.connect" and not isinstance(args[1], str):
        print("connects to", args[1])
    if event in ("socket.getaddrinfo", "input"):
        print(event, args)

sys.addaudithook(watch)
for online in (False, True):
    with WeightsAndBiases(Path(sys.argv[1]), online=online) as logger:
        logger.record({"epoch": 1, "loss": 0.5})
        logger.show(Snapshot(1, codes=np.zeros((3, 2))))
    print("closed", flush=True)
    sys.stdin.readline()  # until what was heard has been looked at
"""


@pytest.fixture
def wire(monkeypatch):
    """Listens where the library and its process call, whomever they want, and counts."""
    calls = []

    def listen():
        while True:
            try:
                client, address = server.accept()
            except OSError:
                return
            calls.append(address)
            client.close()

    server = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=listen)
    thread.start()
    place = f"http://127.0.0.1:{server.getsockname()[1]}"
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "WANDB_BASE_URL"):
        monkeypatch.setenv(name, place)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    yield calls
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


def test_offline_nobody_is_called_and_nothing_is_said(own, wire, monkeypatch):
    """Though the environment says online and who logs in; online the wire does hear it.

    In a process of its own, for the library reads its settings and the proxies once in each.
    """
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_API_KEY", 40 * "a")
    command = [sys.executable, "-c", TELL, str(own)]
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    running = subprocess.Popen(command, env=env, text=True, start_new_session=True, **pipes)
    with running:
        try:
            assert running.stdout.readline() == "closed\n"
            assert wire == []
            assert read_wandb(own) == {1: 0.5}
            running.stdin.write("go on\n")
            running.stdin.flush()
            end = time.monotonic() + 60
            while not wire and running.poll() is None and time.monotonic() < end:
                time.sleep(0.05)
            assert wire  # so that what stands above could fail
        finally:
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGKILL)


def test_wandb_has_the_numbers_pictures_and_codes(own):
    shown = snapshot(1)
    with WeightsAndBiases(own, SETTINGS, "me") as logger:
        logger.record(loss(1))
        logger.show(shown)
    numbers, pictures = history(own)
    assert (numbers["train/loss"], numbers["val/mse"]) == (0.5, 0.25)
    assert pictures["epoch"] == 1
    assert "val/bce" not in numbers
    (files,) = own.glob("wandb/offline-run-*/files")
    (picture,) = files.glob("media/images/figures/plot_*.png")
    assert (np.asarray(Image.open(picture)) == picture_of(shown.figures["plot"])).all()
    (table,) = files.glob("media/table/codes_*.table.json")
    table = json.loads(table.read_text())
    assert table["columns"] == ["z1", "z2", "label"]
    assert (np.float32([row[:2] for row in table["data"]]) == shown.codes).all()
    assert [row[2] for row in table["data"]] == list(shown.labels)


def test_wandb_keeps_no_more_than_it_is_given(own):
    with WeightsAndBiases(own, SETTINGS, "me") as logger:
        logger.record(loss(1))
    (file,) = own.glob("wandb/offline-run-*/run-*.wandb")
    kinds = [record.WhichOneof("record_type") for record in finished(file)]
    assert {"run", "history", "exit"} <= {*kinds}
    assert not {"environment", "files", "stats", "output", "output_raw"} & {*kinds}
    (run,) = [record.run for record in finished(file) if record.HasField("run")]
    assert (run.display_name, run.project, run.host) == ("me", "swae", "")
    assert not run.git.remote_url + run.git.commit
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert {name: config[name] for name in SETTINGS} == SETTINGS | {"data": "faces"}
    whole = b"".join(path.read_bytes() for path in own.rglob("*") if path.is_file())
    assert b"someone" not in whole


# ----- several, and their names


class Broken(Logger):  # a stand-in, of which only `how` matters
    def __init__(self, error):
        self.error, self.calls = error, 0

    def record(self, row):
        self.calls += 1
        raise self.error

    def show(self, snapshot):
        raise self.error

    close = show


def test_a_logger_that_fails_is_left_out(tmp_path, caplog):
    broken, lines = Broken(RuntimeError("no more")), JsonLines(tmp_path / "m.jsonl")
    with Together([broken, lines]) as logs:
        logs.record(loss(1))
        logs.record(loss(2))
        logs.show(snapshot(2))
    assert broken.calls == 1
    assert len(lines.rows()) == 2
    sentence = "Broken failed and is left out; training goes on (RuntimeError: no more)."
    assert [record.getMessage() for record in caplog.records] == [sentence]


def test_a_logger_that_can_not_begin_is_left_out(tmp_path, caplog, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("can't begin")

    monkeypatch.setattr("swae.loggers.together.WeightsAndBiases", refuse)
    with open_logs(("wandb", "tensorboard"), tmp_path, {}) as logs:
        assert [type(one) for one in logs.loggers] == [TensorBoard]
    assert "wandb failed and is left out; training goes on" in caplog.text


def test_lines_that_are_there_are_kept(tmp_path):
    for _ in range(2):
        JsonLines(tmp_path / "m.jsonl").record(loss(1))
    assert len(JsonLines(tmp_path / "m.jsonl").rows()) == 2
    assert JsonLines(tmp_path / "m.jsonl", done=0).rows() == []


def test_a_line_that_has_no_room_is_not_begun(tmp_path):
    lines = JsonLines(tmp_path / "m.jsonl")
    lines.record(loss(1))
    size, limits = lines.path.stat().st_size, resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 5, limits[1]))
    try:
        with pytest.raises(OSError, match=r"m\.jsonl can't be written .* it needs .* bytes"):
            lines.record(loss(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert lines.path.stat().st_size == size


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), MemoryError(), SystemExit()])
def test_what_training_can_not_outlive_is_raised(error):
    with pytest.raises(type(error)):
        Together([Broken(error)]).record(loss(1))


def test_a_disk_that_is_full_ends_it(own, monkeypatch):
    """Also where the projector's files say so in a sentence of their own."""
    with Together([TensorBoard(own)]) as logs:
        with monkeypatch.context() as patch:
            full = OSError(errno.ENOSPC, "No space left on device")
            patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(full))
            with pytest.raises(OSError, match=r"it needs .* bytes"):
                logs.show(snapshot(1))
        assert len(logs.loggers) == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("tensorbord", "but is 'tensorbord'. Did you mean tensorboard?"),
        ("tensorboard,wb", "--log has to be of tensorboard, wandb, wandb:online, but is 'wb'."),
        ("wandb,wandb:online", "has to be wandb or wandb:online, but is both"),
        ("wandb:online", "wandb:online wants a login"),
    ],
)
def test_names_that_are_refused_before_anything_is_written(own, capsys, words, sentence):
    assert main(["fit", "digits", "--out", "run", "--log", words]) == 2
    assert sentence in capsys.readouterr().err
    assert not Path("run").exists()


@pytest.mark.parametrize(("kind", "module"), [("tensorboard", "tensorboard"), ("wandb", "wandb")])
def test_a_library_that_is_not_installed(monkeypatch, kind, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=rf"not installed: `pip install 'swae\[{kind}\]'`"):
        kinds_of(kind)


# ----- the command


@pytest.fixture
def data(own):
    rng = np.random.default_rng(0)
    np.savez(
        "data.npz", x=rng.integers(0, 256, (60, 1, 8, 8)).astype(np.uint8), y=np.arange(60) % 3
    )
    return "data.npz"


@pytest.mark.parametrize(
    ("shape", "small"),
    [
        ((1, 8, 8), (1, 8, 8)),
        ((3, 64, 40), (3, 32, 20)),
        ((1, 6, 64, 64), (1, 32, 32)),
        ((2, 8, 8), None),
        ((5,), None),
        ((3, 40), None),
    ],
)
def test_thumbnails_are_small_images_or_none(shape, small):
    x = torch.rand(7, *shape)
    thumbnails = thumbnails_of(Samples(x))
    assert (thumbnails is None) == (small is None)
    if small is not None:
        assert thumbnails.shape == (7, *small)
        assert thumbnails.mean() == pytest.approx(float(x.mean()), abs=0.05)


def without_time(rows):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def test_fit_with_logs_is_fit_and_goes_on(data, monkeypatch):
    """Half of the epochs, then the others: the logs of one run, and the model of a run without."""
    drawn = []
    for what in (
        "plotting.triptych",
        "commands.figures.draw_pairs",
        "commands.figures.draw_samples",
    ):
        monkeypatch.setattr(f"swae.{what}", lambda *_, **__: Figure(figsize=(1, 1)))
    monkeypatch.setattr("swae.plotting.save", lambda figure, path: drawn.append(path.stem))
    words = ["fit", data, *SMALL, "--out"]
    assert main([*words, "plain"]) == 0
    assert drawn == ["curves", "reconstructions", "samples", "triptych", "interpolations"]
    logs = ["--log", "tensorboard", "--log=wandb"]
    assert main([*words, "run", *logs, "--stop-after", "3"]) == 0
    assert main([*words, "run", *logs, "--resume"]) == 0

    run, plain = Run(Path("run")), Run(Path("plain"))
    rows = run.rows()
    assert without_time(rows) == without_time(plain.rows())
    weights = "model.safetensors"
    assert (run.model / weights).read_bytes() == (plain.model / weights).read_bytes()
    assert run.read_config()["log"] == "tensorboard,wandb"

    events = events_of(run.logs / "tensorboard")
    for name in ("loss", "val_mse", "val_sw2", "learning_rate"):
        tag = "val/" + name.removeprefix("val_") if "val_" in name else f"train/{name}"
        told = [(event.step, event.value) for event in events.Scalars(tag)]
        assert told == [(row["epoch"], np.float32(row[name])) for row in rows]
    assert [event.step for event in events.Images("figures/triptych")] == [1, 2, 3, 4]
    codes = np.loadtxt(run.logs / "tensorboard" / "projector" / "codes.tsv", dtype=np.float32)
    x = torch.from_numpy(np.load(data)["x"])
    own = SWAE.load(run.model, device="cpu").transform(x)
    assert len(codes) == 48  # the training samples
    assert np.abs(codes[:, None, :2] - own).max(2).min(1).max() < 1e-6  # in another order

    told = history(run.logs)
    assert [row["epoch"] for row in told if "train/loss" in row] == [1, 2, 3, 4]
    assert [row["epoch"] for row in told if "train/loss" not in row] == [1, 2, 3, 4]
    assert [row["val/mse"] for row in told if "val/mse" in row] == [row["val_mse"] for row in rows]

    with run.claimed(overwrite=True):
        run.clear()
    assert not run.logs.exists()


def test_training_outlives_a_logger(data, monkeypatch, capsys, caplog):
    def fail(*_):
        raise RuntimeError("no more")

    monkeypatch.setattr("swae.commands.fit.draw_figures", lambda *_: None)
    monkeypatch.setattr("swae.commands.fit.is_shown", lambda _: False)
    monkeypatch.setattr(TensorBoard, "record", fail)
    assert main(["fit", data, *SMALL, "--out", "run", "--log", "tensorboard"]) == 0
    assert [record.getMessage() for record in caplog.records].count(
        "TensorBoard failed and is left out; training goes on (RuntimeError: no more)."
    ) == 1
    assert len(Run(Path("run")).rows()) == 4
