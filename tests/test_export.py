"""What other programs read of a model: ONNX files that say what torch says, and codes as Parquet.

An export takes a second or more, so every kind of network is exported once.
"""

import errno
import io
import json
import logging
import os
import sys
from pathlib import Path
from typing import NamedTuple

import datasets
import numpy as np
import onnx
import onnxruntime
import polars as pl
import pyarrow.parquet
import pytest
import torch
from PIL import Image
from torch import nn

from benchmarks.exported import by_onnxruntime
from swae import SWAE, __version__, export, parquet
from swae.cli import main
from swae.data import Samples
from swae.export import export_onnx, labelled
from swae.parquet import write_codes

SIZES = (1, 2, 7)
BEFORE = ("id", "z0", "z1", "codes")


class Kind(NamedTuple):
    shape: tuple  # of a sample as the user has it
    params: dict = {}  # noqa: RUF012 - never written to
    units: float = 0.0  # how far columns or channels are from [0, 1]
    latent_dim: int = 3


KINDS = {
    "table": Kind((12,), {"prior": "ring"}, units=3.0, latent_dim=2),
    "odd series": Kind((2, 101), units=2.0),
    "digits": Kind((1, 28, 28), {"prior": "ring"}, latent_dim=2),
    "odd colour pictures": Kind((3, 13, 19), units=1.0),
    "gray matrices": Kind((11, 9)),
    "large pictures, flat": Kind((3 * 64 * 64,), {"image_shape": (3, 64, 64)}),
    "odd volumes": Kind((1, 9, 10, 7)),
    "large volumes": Kind((1, 32, 32, 32)),
    "linear, cube": Kind((1, 14, 14), {"linear": True, "prior": "uniform"}, units=1.0),
}
r"""Between them every layer of every network, sigmoid outputs and, with units, linear ones."""


def data(kind, n=24):
    rng = np.random.default_rng(0)
    X = rng.random((n, *kind.shape), dtype=np.float32)
    one = (kind.shape[0], *(1 for _ in kind.shape[1:]))
    units = np.exp(kind.units * rng.standard_normal(one)).astype(np.float32)
    return X if not kind.units else (X + rng.standard_normal(one, dtype=np.float32)) * units


def fitted(kind):
    """A model of some training, with weights that nothing has silenced."""
    model = SWAE(kind.latent_dim, max_epochs=1, batch_size=12, **kind.params).fit(data(kind))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.autoencoder_.parameters():
            weight += 0.02 * torch.randn(weight.shape, generator=generator)
    return model


def known_of(network):
    """All that an export has to leave as it was, of a network and of the process."""
    levels = [logging.getLogger(name).level for name in export.TALKATIVE]
    state = {
        name: (v.numpy().tobytes(), v.stride(), v.device)
        for name, v in network.state_dict().items()
    }
    modes = [module.training for module in network.modules()]
    return state, modes, levels, torch.get_rng_state().numpy().tobytes(), torch.is_grad_enabled()


class Exported(NamedTuple):
    kind: Kind
    model: SWAE
    folder: Path


@pytest.fixture(scope="module", params=KINDS)
def exported(request, tmp_path_factory):
    kind = KINDS[request.param]
    folder = tmp_path_factory.mktemp("onnx")
    model = fitted(kind)
    before = known_of(model.autoencoder_.train())
    assert export_onnx(model, folder) == (folder / "encoder.onnx", folder / "decoder.onnx")
    assert known_of(model.autoencoder_) == before
    return Exported(kind, model, folder)


def run(path, x):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,), (result,) = session.get_inputs(), session.get_outputs()
    assert given.shape[0] == result.shape[0] == "batch"
    assert (given.type, result.type) == ("tensor(float)",) * 2
    (y,) = session.run([result.name], {given.name: x})
    return given, result, y


def closest(got, wanted):
    """The largest difference as a share of the largest value of its column, at least 1."""
    assert (got.shape, got.dtype) == (wanted.shape, np.float32)
    columns = np.abs(wanted).max(axis=0, initial=1.0)
    return (np.abs(got - wanted) / columns).max()


@pytest.mark.parametrize("n", SIZES)
def test_files_say_what_the_model_says(exported, n):
    kind, model, folder = exported
    X = data(kind)[:n]
    given, result, z = run(folder / "encoder.onnx", X)
    assert (given.name, result.name, given.shape[1:]) == ("x", "z", list(kind.shape))
    assert closest(z, model.transform(X)) < 1e-5
    Z = np.random.default_rng(n).uniform(-1.2, 1.2, (n, kind.latent_dim)).astype(np.float32)
    given, result, x = run(folder / "decoder.onnx", Z)
    assert (given.name, result.name, result.shape[1:]) == ("z", "x", list(kind.shape))
    assert closest(x, model.inverse_transform(Z)) < 1e-5
    if n > 1:
        assert x.std(axis=0).max() > 1e-4  # codes count, ten times what is allowed


def test_the_benchmark_times_the_same(exported):
    X = data(exported.kind)
    z = by_onnxruntime(exported.folder / "encoder.onnx")(X)
    assert closest(z, exported.model.transform(X)) < 1e-5


def test_files_are_whole_and_say_what_they_are_of(exported):
    kind, model, folder = exported
    assert sorted(path.name for path in folder.iterdir()) == ["decoder.onnx", "encoder.onnx"]
    for path in folder.iterdir():
        proto = onnx.load(path, load_external_data=False)
        onnx.checker.check_model(proto, full_check=True)
        facts = {entry.key: entry.value for entry in proto.metadata_props}
        shape = ",".join(map(str, model.sample_shape_))
        assert facts.pop("prior").partition(":")[0] == kind.params.get("prior", "uniform")
        assert facts == {
            "swae": __version__,
            "latent_dim": str(kind.latent_dim),
            "shape": shape,
        }
        content = path.read_bytes()
        assert b".py" not in content  # the exporter's lines of code
        part = model.autoencoder_.get_submodule(path.stem)
        floats = sum(4 * tensor.numel() for tensor in part.state_dict().values())
        assert floats < len(content) < 1.1 * floats + 40_000


def test_standardised_columns_keep_their_names(tmp_path):
    import pandas as pd

    frame = pd.DataFrame({"height, m": [1.0, 2.0, 1.5], "n": [10.0, 30.0, 20.0]})
    model = SWAE(1, prior="normal", max_epochs=1, batch_size=2).fit(frame)
    assert json.loads(export.describe(model)["columns"]) == ["height, m", "n"]


# ----- networks of the user's own


class Own(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.linear = nn.Linear(i, o)

    def forward(self, x):
        return self.linear(x)


class Fussy(Own):
    def forward(self, x):
        if x.sum() > 0:  # which no graph can follow
            x = x * 1
        return self.linear(x)


class RowByRow(Own):
    def forward(self, x):
        return torch.stack([self.linear(row) for row in x])  # as many as there were


class Rare(Own):
    def forward(self, x):
        z = self.linear(x)
        return z if self.training else torch.special.bessel_j0(z)  # which ONNX lacks


def own(kind=Own):
    X = np.random.default_rng(0).random((24, 6), dtype=np.float32)
    networks = {"encoder": kind(6, 2), "decoder": Own(2, 6)}
    return SWAE(2, max_epochs=1, batch_size=12, **networks).fit(X)


def test_own_networks_silently_and_always_the_same(tmp_path, capsys, caplog):
    model = own()
    with caplog.at_level(logging.INFO):
        encoder, decoder = export_onnx(model, tmp_path / "new" / "folder")
        again = export.to_onnx(export.parts_of(model)[1], torch.rand(2, 2))
    assert decoder.read_bytes() == labelled(again, export.describe(model))
    assert capsys.readouterr() == ("", "")
    assert caplog.messages == []
    X = np.random.default_rng(1).random((7, 6), dtype=np.float32)
    assert closest(run(encoder, X)[2], model.transform(X)) < 1e-5


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (Fussy, "Could not guard on data-dependent expression"),
        (RowByRow, "it is for 2 samples alone"),
        (Rare, "No decompositions registered|No ONNX function found"),
    ],
)
def test_own_networks_that_can_not_be_exported(tmp_path, capfd, kind, why):
    wanted = rf"^The encoder \(a {kind.__name__}\) can't be exported to ONNX for .* size: .*{why}"
    with pytest.raises(ValueError, match=wanted):
        export_onnx(own(kind), tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert capfd.readouterr() == ("", "")


# ----- what is refused


def normal():
    X = np.random.default_rng(0).normal(10, 3, (24, 5)).astype(np.float32)
    return SWAE(2, prior="normal", linear=True, max_epochs=1, batch_size=12).fit(X)


def test_files_that_differ_from_torch_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "labelled", lambda proto, facts: labelled(halved(proto), facts))
    with pytest.raises(
        ValueError, match=r"encoder.onnx differs from torch by .* 1e-05 is allowed"
    ):
        export_onnx(own(), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def halved(proto):
    """The model with half of its first weight."""
    weight = onnx.numpy_helper.to_array(proto.graph.initializer[0])
    proto.graph.initializer[0].CopyFrom(
        onnx.numpy_helper.from_array(weight / 2, proto.graph.initializer[0].name)
    )
    return proto


def test_a_difference_is_a_share_of_the_scale():
    one = torch.ones(3)
    assert export.share(one, one + 1e-3, torch.tensor(100.0)) == pytest.approx(1e-5, rel=0.01)
    assert export.share(one, torch.ones(2), torch.tensor(1.0)) == np.inf
    assert not export.share(one * np.nan, one, torch.tensor(1.0)) <= 1


def test_what_onnxruntime_can_not_open_is_refused():
    with pytest.raises(ValueError, match=r"^onnxruntime can't open encoder.onnx: .*INVALID"):
        export.opened(onnxruntime, b"nonsense", "encoder.onnx")


@pytest.mark.parametrize("library", ["onnx", "onnxscript"])
def test_a_library_that_is_missing(tmp_path, monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    message = rf"ONNX files want {library}, .*`pip install 'swae\[onnx\]'`"
    with pytest.raises(ValueError, match=message):
        export_onnx(own(), tmp_path / "new")


def test_without_onnxruntime_nothing_is_compared(tmp_path, monkeypatch, caplog):
    model = normal()
    with monkeypatch.context() as patch, caplog.at_level(logging.INFO, "swae"):
        patch.setitem(sys.modules, "onnxruntime", None)
        files = export_onnx(model, tmp_path)
    assert caplog.messages == [
        f"{file.name} was not compared, for onnxruntime is not installed." for file in files
    ]
    Z = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32)
    assert closest(run(files[1], Z)[2], model.inverse_transform(Z)) < 1e-5


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="file is a file, but ONNX files want a folder"):
        export_onnx(own(), tmp_path / "file")


def fail(*args):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def empty(monkeypatch):
    """Files that are made in no time and hold nothing."""
    monkeypatch.setattr(export, "to_onnx", lambda *_: onnx.ModelProto())
    monkeypatch.setattr(export, "check_same", lambda *_: None)


@pytest.mark.usefixtures("empty")
def test_older_files_are_replaced(tmp_path):
    for name in export.FILES:
        (tmp_path / name).write_bytes(b"old")
    for file in export_onnx(own(), tmp_path):
        assert onnx.load(file).metadata_props[0].value == __version__
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(export.FILES)


@pytest.mark.usefixtures("empty")
def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    for name in export.FILES:
        (tmp_path / name).write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=r"encoder.onnx.* can't be written .*No space left"):
        export_onnx(own(), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == dict.fromkeys(
        export.FILES, b"old"
    )


@pytest.mark.parametrize("what", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_the_old_codes(tmp_path, monkeypatch, what):
    path = tmp_path / "codes.parquet"
    path.write_bytes(b"old")

    def write():
        with parquet.in_place_of(path, lambda: 0.5) as part:
            part.write_bytes(b"new")
            if what == "write":
                fail()

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail if what == "fsync" else os.fsync)
        patch.setattr(Path, "replace", fail if what == "replace" else Path.replace)
        with pytest.raises(OSError, match="No space left"):
            write()
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {path.name: b"old"}


# ----- codes


def pictures(n=23, shape=(3, 9, 70)):
    rng = np.random.default_rng(0)
    array = torch.from_numpy(rng.integers(256, size=(n, *shape), dtype=np.uint8))
    labels = torch.from_numpy(rng.integers(-1, 2, size=n))
    return Samples(array, labels, classes=("ant", "cat"))


@pytest.fixture(scope="module")
def coded(tmp_path_factory):
    """A file of colour pictures in chunks of 10."""
    samples = pictures()
    model = SWAE(2, max_epochs=1, batch_size=12, network="mlp").fit(samples)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet, "CHUNK", 10)
        path = write_codes(model, samples, tmp_path_factory.mktemp("codes") / "codes.parquet")
    return model, samples, path


def decoded(item):
    assert item["path"] is None
    return Image.open(io.BytesIO(item["bytes"]))


def test_polars_reads_them(coded):
    model, samples, path = coded
    frame = pl.read_parquet(path)
    assert frame.columns == [*BEFORE, "label", "label_name", "error", "thumbnail"]
    assert frame["id"].to_list() == list(range(23))
    codes = model.transform(samples)
    columns = frame.select("z0", "z1").to_numpy()
    assert np.allclose(columns, codes, rtol=1e-5)  # of other chunks, which round differently
    assert np.array_equal(np.array(frame["codes"].to_list(), dtype=np.float32), columns)
    names = {-1: None, 0: "ant", 1: "cat"}
    labels = samples.labels.tolist()
    assert frame["label"].to_list() == [None if label < 0 else label for label in labels]
    assert frame["label_name"].to_list() == [names[label] for label in labels]
    assert frame["error"].dtype == pl.Float32
    wanted = ((model.reconstruct(samples) - samples.x.numpy() / 255) ** 2).mean(axis=(1, 2, 3))
    assert np.allclose(frame["error"].to_numpy(), wanted, rtol=1e-4)
    assert frame["error"].mean() == pytest.approx(-model.score(samples), rel=1e-5)


def test_pyarrow_reads_them_in_parts(coded):
    _, _, path = coded
    with pyarrow.parquet.ParquetFile(path) as file:
        assert [file.metadata.row_group(i).num_rows for i in range(3)] == [10, 10, 3]
        facts = json.loads(file.schema_arrow.metadata[b"swae"])
        assert file.read()["thumbnail"].type.names == ["bytes", "path"]
    assert facts == {
        "swae": __version__,
        "prior": "uniform",
        "latent_dim": "2",
        "shape": "3,9,70",
    }


def test_datasets_reads_them_as_images_and_classes(coded, tmp_path):
    _, _, path = coded
    rows = datasets.load_dataset(
        "parquet", data_files=str(path), split="train", cache_dir=str(tmp_path)
    )
    assert isinstance(rows.features["thumbnail"], datasets.Image)
    assert rows.features["label"].names == ["ant", "cat"]
    assert rows[3]["thumbnail"].size == (64, 8)  # of 70 x 9
    assert len(rows[3]["codes"]) == 2


def test_small_pictures_are_given_as_they_are(tmp_path):
    samples = pictures(shape=(1, 12, 30))
    model = SWAE(2, max_epochs=1, batch_size=12, network="mlp").fit(samples)
    frame = pl.read_parquet(write_codes(model, samples, tmp_path / "codes.parquet"))
    for item, x in zip(frame["thumbnail"], samples.x[:, 0].numpy(), strict=True):
        assert np.array_equal(np.asarray(decoded(item)), x)


def test_pictures_in_other_units_are_shown_around_their_mean(tmp_path):
    x = torch.full((20, 1, 8, 8), 100.0) + 7 * torch.randn(20, 1, 8, 8)
    x[0, 0, 0, 0], x[0, 0, 0, 1] = 1e3, -1e3
    model = SWAE(2, max_epochs=1, batch_size=10).fit(x)
    frame = pl.read_parquet(write_codes(model, Samples(x), tmp_path / "codes.parquet"))
    pixels = np.stack([np.asarray(decoded(item)) for item in frame["thumbnail"]])
    assert (pixels[0, 0, 0], pixels[0, 0, 1]) == (255, 0)
    assert abs(pixels.mean() - 127.5) < 5


def test_codes_take_the_place_of_older_ones(tmp_path):
    x = torch.rand(30, 4)
    model = SWAE(1, prior="normal", max_epochs=1, batch_size=10).fit(x)
    path = tmp_path / "codes.parquet"
    path.write_bytes(b"old")
    assert write_codes(model, Samples(x), path) == path
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert len(pl.read_parquet(path)) == 30


def test_a_table_has_no_thumbnails(tmp_path):
    x = torch.randn(30, 4) * 100
    model = SWAE(3, max_epochs=1, batch_size=10).fit(x)
    frame = pl.read_parquet(write_codes(model, Samples(x), tmp_path / "codes.parquet"))
    assert frame.columns == ["id", "z0", "z1", "z2", "codes", "error"]
    assert frame["error"].mean() == pytest.approx(-model.score(x), rel=1e-5)  # of standard scores


def test_rows_that_can_not_be_read_are_refused(tmp_path):
    model = SWAE(3, max_epochs=1, batch_size=10).fit(torch.rand(30, 4))
    with pytest.raises(ValueError, match=r"have shape \(5,\), but the model wants \(4,\)"):
        write_codes(model, Samples(torch.rand(30, 5)), tmp_path / "codes.parquet")


# ----- the command


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with data, a run, and the files that were exported of it."""
    home = tmp_path_factory.mktemp("export")
    rng = np.random.default_rng(0)
    np.savez(home / "data.npz", x=rng.random((60, 1, 8, 8), dtype=np.float32), y=np.arange(60) % 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        small = ["--max-epochs", "1", "--batch-size", "20", "--network", "mlp"]
        assert main(["fit", "data.npz", "--out", "run", *small]) == 0
        assert main(["export", "run", "--onnx", "onnx", "--codes", "codes.parquet"]) == 0
    return home


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return folder


def test_the_command_writes_both(here):
    assert main(["encode", "run", "--split", "all", "--out", "z.npy", "--overwrite"]) == 0
    x = np.load("data.npz")["x"]
    assert closest(run("onnx/encoder.onnx", x)[2], np.load("z.npy")) < 1e-5
    frame = pl.read_parquet("codes.parquet")
    assert len(frame) == 12  # the test split that was held out of 60
    facts = json.loads(pyarrow.parquet.read_schema("codes.parquet").metadata[b"swae"])
    assert (facts["data"], facts["split"]) == ("data.npz", "test")


def test_the_command_takes_other_data(here, capsys):
    words = ["data.npz", "--split", "all", "--codes", "all.parquet"]
    assert main(["export", "run", *words, "--overwrite"]) == 0
    assert capsys.readouterr().out == "all.parquet\n"
    assert pl.read_parquet("all.parquet")["label"].to_list() == [i % 3 for i in range(60)]


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ([], 2, "swae export wants --onnx DIR, --codes FILE or both, and got neither."),
        (["--onnx", "data.npz"], 2, "--onnx wants a folder, but data.npz is a file."),
        (["--onnx", "onnx"], 2, "onnx/encoder.onnx exists; choose another --onnx, or"),
        (["--codes", "codes.parquet"], 2, "codes.parquet exists; choose another --codes"),
        (["--codes", "new.csv"], 2, "--codes has to end in .parquet, but is 'new.csv'."),
        (["--codes", "none/new.parquet"], 2, "There is no folder none to write new.parquet into."),
        (["--codes", "/proc/new.parquet"], 5, "/proc"),
    ],
)
@pytest.mark.usefixtures("here")
def test_the_command_refuses(capsys, words, code, sentence):
    assert main(["export", "run", *words]) == code
    assert sentence in capsys.readouterr().err


@pytest.mark.usefixtures("here", "empty")
@pytest.mark.parametrize("place", ["data.npz/new", "/proc/new"])
def test_a_folder_that_can_not_be_made(capsys, place):
    assert main(["export", "run", "--onnx", place]) == 5
    assert place in capsys.readouterr().err


def test_a_full_disk_has_its_exit_code(here, monkeypatch, capsys):
    before = sorted(here.rglob("*"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        assert main(["export", "run", "--codes", "new.parquet"]) == 5
    assert "No space left on device" in capsys.readouterr().err
    assert sorted(here.rglob("*")) == before


@pytest.mark.usefixtures("here")
def test_the_command_without_pyarrow(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main(["export", "run", "--codes", "new.parquet"]) == 2
    assert "new.parquet wants pyarrow, which is not installed" in capsys.readouterr().err
