"""The folder of a model: what is in it, what is read of it, and what is refused.

Fault 4 is a file that is not what was written; fault 5 a folder that somebody has made to do harm.
"""

import hashlib
import json
import os
import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from swae import SWAE
from swae.checkpoint import latest_checkpoint, save_checkpoint
from swae.cli import main
from swae.drawing import draw_preview
from swae.manifest import MANIFEST, CorruptError, read_folder, write_folder
from swae.storage import CARD, CONFIG, FILES, FORMAT, PREVIEW, WEIGHTS
from swae.weights import from_safetensors, to_safetensors

X = np.random.default_rng(0).random((60, 4), dtype=np.float32)
OLD = sorted((Path(__file__).parent / "models").iterdir())


def small(**params):
    given = {"n_projections": 5, "max_epochs": 1, "batch_size": 20, "network": "mlp"} | params
    return SWAE(**given)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a model, and of another one."""
    folder = tmp_path_factory.mktemp("made")
    small().fit(X).save(folder / "model")
    small(random_state=1).fit(X).save(folder / "other")
    assert main(["info", str(folder / "model")]) == 0  # and what it imports is there
    return folder


@pytest.fixture
def folder(made, tmp_path):
    return Path(shutil.copytree(made / "model", tmp_path / "model"))


# ----- what is in it


def test_what_there_is(folder):
    assert {path.name for path in folder.iterdir()} == set(FILES)
    sums = json.loads((folder / MANIFEST).read_text())
    assert sums.keys() == {WEIGHTS, CONFIG, PREVIEW}
    for name, expected in sums.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == expected
    assert json.loads((folder / CONFIG).read_text())["format"] == FORMAT
    with Image.open(folder / PREVIEW) as preview:
        assert min(preview.size) > 100
        assert np.ptp(np.asarray(preview)) > 0


def test_a_folder_is_a_function_of_the_model(made, folder, tmp_path):
    SWAE.load(folder).save(tmp_path / "model-again")
    for name in (WEIGHTS, CONFIG, PREVIEW, MANIFEST):
        assert (tmp_path / "model-again" / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 12), (2, 32), (1, 4, 6, 8), (40,)])
def test_any_data_has_a_preview(shape, tmp_path):
    x = np.random.default_rng(0).random((20, *shape), dtype=np.float32)
    SWAE(max_epochs=1, n_projections=5, batch_size=20).fit(x).save(tmp_path)
    with Image.open(tmp_path / PREVIEW) as preview:
        assert np.ptp(np.asarray(preview)) > 0


def test_what_was_measured_is_kept(tmp_path, capsys):
    model = small().fit(X)
    assert model.evaluation_ is None
    evaluation = model.evaluate(X)
    model.save(tmp_path / "a", evaluation=evaluation)
    again = SWAE.load(tmp_path / "a")
    assert again.evaluation_ == evaluation.flat()
    again.save(tmp_path / "b")  # not measured anew, and not lost
    assert (tmp_path / "a" / CONFIG).read_bytes() == (tmp_path / "b" / CONFIG).read_bytes()
    card = (tmp_path / "b" / CARD).read_text()
    assert f"| mean squared error | {evaluation.mse:.5g} |" in card
    assert f"| {evaluation.match.sw2:.4g} | {evaluation.match.sw2_null:.4g} |" in card
    assert main(["info", str(tmp_path / "b")]) == 0
    assert f"{evaluation.mse:.5f}" in capsys.readouterr().out
    assert again.fit(X).evaluation_ is None


def test_the_card_is_its_owner_s(folder):
    """A card that was edited, or thrown away, is nothing to the model, and is not written over."""
    (folder / CARD).write_text("# Mine")
    model = SWAE.load(folder)
    model.save(folder)
    assert (folder / CARD).read_text() == "# Mine"
    (folder / CARD).unlink()
    SWAE.load(folder).save(folder)
    ours = (folder / CARD).read_text()
    model.save(folder, evaluation=model.evaluate(X))  # what is ours is brought up to date
    assert (folder / CARD).read_text() != ours
    assert "How good it is" in (folder / CARD).read_text()


def test_somebody_s_readme_is_kept(tmp_path):
    (tmp_path / CARD).write_text("# My project")
    small().fit(X).save(tmp_path)
    assert (tmp_path / CARD).read_text() == "# My project"
    SWAE.load(tmp_path)


def test_what_was_measured_is_of_these_weights(tmp_path):
    model = small(max_epochs=3)
    for epoch in model.fit_epochs(X):
        if epoch.number == 1:
            model.save(tmp_path, evaluation=model.evaluate(X))
            assert SWAE.load(tmp_path).evaluation_ is not None
    model.save(tmp_path)
    assert SWAE.load(tmp_path).evaluation_ is None


def test_a_preview_of_large_samples_is_small(monkeypatch):
    """Also where each of many labels has a row."""
    drawn = []
    monkeypatch.setattr("swae.drawing.MOST_VALUES", 100)
    x, y = np.random.default_rng(0).random((60, 30), dtype=np.float32), np.arange(60) % 3
    model = small(conditional=True, prior="mixture:components=3").fit(x, y)
    sample = model.sample
    monkeypatch.setattr(model, "sample", lambda n, **how: drawn.append(n) or sample(n, **how))
    draw_preview(model)
    assert drawn == [2, 2, 2]


@pytest.mark.parametrize("name", ["complex64", "float8_e4m3fn", "float8_e5m2", "uint16"])
def test_networks_of_any_type_come_back(name, tmp_path):
    def encoder():
        network = torch.nn.Sequential(torch.nn.Linear(4, 2))
        network.register_buffer("more", torch.ones(3).to(getattr(torch, name)))
        return network

    networks = {"encoder": encoder(), "decoder": torch.nn.Linear(2, 4)}
    model = small(**networks).fit(X)
    model.save(tmp_path)
    loaded = SWAE.load(tmp_path, **networks)
    np.testing.assert_array_equal(loaded.transform(X), model.transform(X))


def test_the_card_s_head_is_yaml(folder):
    _, head, text = (folder / CARD).read_text().split("---\n", 2)
    assert yaml.safe_load(head)["library_name"] == "swae"
    assert 'SWAE.from_pretrained("path/to/this/folder")' in text


def test_names_are_no_markup(tmp_path):
    import pandas as pd

    names = ["<script>alert(1)</script>", "a|b", "![x](http://a)", "c\n# d"]
    small().fit(pd.DataFrame(X, columns=names)).save(tmp_path)
    card = (tmp_path / CARD).read_text()
    assert "<script" not in card
    assert "![x]" not in card
    assert "\n# d" not in card


def test_a_run_s_folder_will_do(folder):
    z = SWAE.load(folder).transform(X)
    np.testing.assert_array_equal(SWAE.load(folder.parent).transform(X), z)
    np.testing.assert_array_equal(SWAE.from_pretrained(folder.parent).transform(X), z)


def test_a_full_disk_leaves_the_old_model(folder, monkeypatch):
    other = small(random_state=3).fit(X)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    calls, flush = [], os.fsync

    def full_at_the_third(descriptor):
        calls.append(descriptor)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", full_at_the_third)
    with pytest.raises(OSError, match=r"preview\.png can't be written .* bytes, and .* free"):
        other.save(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


# ----- folders of earlier versions


@pytest.mark.parametrize("old", OLD, ids=lambda path: path.name)
def test_folders_of_earlier_versions_are_read(old, tmp_path):
    model, expected = SWAE.load(old), np.load(old / "expected.npz")
    x = torch.from_numpy(expected["x"])  # whose columns need no names
    np.testing.assert_allclose(model.transform(x), expected["z"], atol=1e-5)
    x_hat = model.inverse_transform(expected["z"])
    np.testing.assert_allclose(x_hat, expected["x_hat"], rtol=1e-5, atol=1e-5)
    model.save(tmp_path)
    np.testing.assert_array_equal(SWAE.load(tmp_path).transform(x), model.transform(x))


def test_there_are_folders_of_every_version():
    assert {int(path.name.split("-")[0]) for path in OLD} == set(range(1, FORMAT + 1))


def test_labels_of_an_earlier_version():
    (table,) = (path for path in OLD if path.name == "1-table")
    model = SWAE.load(table)
    assert model.classes_ == ["ant", "bee", "cat"]
    assert model.sample(2, label="bee").shape == (2, 4)
    assert list(model.feature_names_in_) == ["height", "width", "mass", "age"]


# ----- fault 4: files that are not what was written


def cut(path, other):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path, other):
    path.write_bytes(b"")


def flip(path, other):
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def remove(path, other):
    path.unlink()


def grow(path, other):
    path.write_bytes(path.read_bytes() + b"\0")


def mix(path, other):
    shutil.copy(other / path.name, path)


DAMAGE = {f.__name__: f for f in (cut, empty, flip, remove, grow, mix)}
MODEL = [WEIGHTS, CONFIG, PREVIEW, MANIFEST]


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", MODEL)
def test_damage_is_refused_and_named(made, folder, capsys, name, damage):
    DAMAGE[damage](folder / name, made / "other")
    # A manifest of another model names the first file whose sum is another.
    named = {"mix": CONFIG, "flip": "json"}.get(damage, name) if name == MANIFEST else name
    with pytest.raises(CorruptError, match=named.replace(".", r"\.")):
        SWAE.load(folder)
    assert main(["info", str(folder)]) == 5
    said = capsys.readouterr().err
    assert named in said
    assert len(said.splitlines()) == 1


CHECKPOINT = ["model.safetensors", "optimizer.safetensors", "extra.safetensors", "info.json"]


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", [*CHECKPOINT, MANIFEST])
def test_the_checkpoint_before_is_taken_and_said(tmp_path, caplog, name, damage):
    model = torch.nn.Linear(2, 3)
    optimizer = torch.optim.Adam(model.parameters())
    for epoch in (3, 4):
        model(torch.rand(5, 2)).sum().backward()
        optimizer.step()
        save_checkpoint(tmp_path, epoch, model, optimizer, {"seen": torch.tensor(epoch)})
    before = tmp_path / "epoch-0003"
    DAMAGE[damage](tmp_path / "epoch-0004" / name, before)
    assert latest_checkpoint(tmp_path).epoch == 3
    (said,) = caplog.messages
    # A manifest of another checkpoint names the first file whose sum is another.
    named = {"mix": CHECKPOINT[2], "flip": ""}.get(damage, name) if name == MANIFEST else name
    assert said.startswith("Passed over the checkpoint epoch-0004: ")
    assert f"{tmp_path / 'epoch-0004' / named}" in said


# ----- fault 5: folders that somebody has made to do harm


class Harm:
    """What runs, if it is unpickled."""

    def __reduce__(self):
        return os.mkdir, (os.environ["SWAE_HARM"],)


def with_config(folder, **changes):
    """Changes the configuration, and makes the sums right again."""
    config = json.loads((folder / CONFIG).read_text())
    for name, value in changes.items():
        (config["params"] if name in config["params"] else config)[name] = value
    put(folder, CONFIG, json.dumps(config).encode())


def put(folder, name, content):
    """Writes a file, and makes its sum right."""
    write_folder(folder, {**read_folder(folder), name: content})


def with_weights(folder, change):
    weights = from_safetensors((folder / WEIGHTS).read_bytes(), folder)
    put(folder, WEIGHTS, to_safetensors(change(weights)))


def with_header(folder, header, numbers=b""):
    content = json.dumps(header).encode()
    put(folder, WEIGHTS, len(content).to_bytes(8, "little") + content + numbers)


def with_name(folder, name):
    """Names a file in the manifest, as if it were the model's."""
    sums = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**sums, name: "00"}))


def with_link(folder, name, target):
    (folder / name).unlink()
    (folder / name).symlink_to(target)


def with_pipe(folder, name):
    (folder / name).unlink()
    os.mkfifo(folder / name)


def with_size(folder, name, size):
    """Makes a file as large as one likes, which takes no room on the disk."""
    os.truncate(folder / name, size)


def with_promised_size(folder, size):
    """A header that promises what the file then has, none of it on the disk."""
    header = {"a": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}
    with_header(folder, header)
    with_size(folder, WEIGHTS, (folder / WEIGHTS).stat().st_size + size)


def large_header(folder):
    put(folder, WEIGHTS, (2**40).to_bytes(8, "little") + b"{}")


def header_of_the_whole_file(folder):
    content = b" " * 2**26
    (folder / WEIGHTS).write_bytes((2**26).to_bytes(8, "little") + content)


def shaped(shape, size=0):
    return {"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, size]}}


MANY = {f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(40_000)}

HOSTILE = {
    "a pickle as the weights": lambda f: put(f, WEIGHTS, pickle.dumps(Harm())),
    "a pickle as the configuration": lambda f: put(f, CONFIG, pickle.dumps(Harm())),
    "a pickle as the manifest": lambda f: (f / MANIFEST).write_bytes(pickle.dumps(Harm())),
    "a pickle that the manifest names": lambda f: put(f, "a.pkl", pickle.dumps(Harm())),
    "a module that the manifest names": lambda f: put(f, "swae.py", b"1 / 0"),
    "a header of a tebibyte": large_header,
    "a header of blanks, 64 MiB": header_of_the_whole_file,
    "a shape of terabytes": lambda f: with_header(f, shaped([10**6] * 2, 4 * 10**12)),
    "a shape below zero": lambda f: with_header(f, shaped([-5])),
    "a shape of many sizes": lambda f: with_header(f, shaped([9] * 300_000)),
    "a shape of large sizes": lambda f: with_header(f, shaped([10**4000] * 2)),
    "40,000 tensors": lambda f: with_header(f, MANY),
    "weights of 100 GB, promised": lambda f: with_promised_size(f, 10**11),
    "weights of 100 GB, not promised": lambda f: with_size(f, WEIGHTS, 10**11),
    "a preview of 100 GB": lambda f: with_size(f, PREVIEW, 10**11),
    "a configuration of 100 GB": lambda f: with_size(f, CONFIG, 10**11),
    "a manifest of 100 GB": lambda f: with_size(f, MANIFEST, 10**11),
    "a configuration of brackets": lambda f: put(f, CONFIG, b"[" * 3_000_000),
    "a configuration of a million lists": lambda f: put(f, CONFIG, b"[" + b"[]," * 10**6 + b"0]"),
    "a path that leaves the folder": lambda f: with_name(f, "../../etc/passwd"),
    "a path from the root": lambda f: with_name(f, "/etc/passwd"),
    "weights that are a link to memory without end": lambda f: with_link(f, WEIGHTS, "/dev/zero"),
    "a configuration that is a link to a secret": lambda f: with_link(f, CONFIG, "/etc/passwd"),
    "weights that are a pipe": lambda f: with_pipe(f, WEIGHTS),
    "a manifest that is a pipe": lambda f: with_pipe(f, MANIFEST),
    "a preview that is a pipe": lambda f: with_pipe(f, PREVIEW),
    "a configuration in another encoding": lambda f: put(f, CONFIG, "∀[{}]".encode("utf-16")),
    "samples of many sizes": lambda f: with_config(f, shape=[9] * 300_000),
    "samples of no size": lambda f: with_config(f, shape=[0]),
    "figures beyond any": lambda f: with_config(f, evaluation={"mse": 10**400}),
    "epochs beyond any": lambda f: with_config(f, epochs=10**400),
    "a name that writes to the terminal": lambda f: with_config(f, prior={"given": "\x1b[2J\nX"}),
    "a long name": lambda f: with_config(f, reconstruction={"given": "x" * 100_000}),
    "a long prior": lambda f: with_config(f, prior="x" * 300_000),
    "a long network": lambda f: with_config(f, network="x" * 300_000),
    "a long switch": lambda f: with_config(f, standardize={"x": "y" * 100_000}),
    "a long shape": lambda f: with_config(f, image_shape=[1] * 100_000),
    "a format of later": lambda f: with_config(f, format=FORMAT + 1),
    "a format that is none": lambda f: with_config(f, format=["1"] * 1000),
    "codes of a billion dimensions": lambda f: with_config(f, latent_dim=10**9),
    "samples of a billion values": lambda f: with_config(f, shape=[10**9]),
    "a prior that is a file": lambda f: with_config(f, prior="samples:/etc/passwd"),
    "a prior of many components": lambda f: with_config(f, prior="mixture:components=99999999"),
    "a network to import": lambda f: with_config(f, encoder="os.system", decoder="x"),
    "a cost to import": lambda f: with_config(f, reconstruction="os.system"),
    "a parameter that there is not": lambda f: with_config(f, params={"hook": "os.system"}),
    "codes beyond any": lambda f: with_config(f, latent_dim=10**30),
    "a format that is a switch": lambda f: with_config(f, format=True),
    "weights that are whole numbers": lambda f: with_weights(
        f, lambda w: {k: t.to(torch.int32) for k, t in w.items()}
    ),
    "weights that are no numbers": lambda f: with_weights(
        f, lambda w: {k: t * torch.nan for k, t in w.items()}
    ),
    "no weights": lambda f: with_weights(f, lambda w: {}),
    "a tensor too many": lambda f: with_weights(f, lambda w: {**w, "more": torch.zeros(3)}),
    "a tensor too few": lambda f: with_weights(f, lambda w: dict(list(w.items())[1:])),
    "other shapes": lambda f: with_weights(f, lambda w: {k: t[:1] for k, t in w.items()}),
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.usefixtures("unchecked")
def test_hostile_folders_are_refused_at_once(folder, tmp_path, monkeypatch, capsys, cheap, kind):
    monkeypatch.setenv("SWAE_HARM", str(tmp_path / "harm"))
    before = set(sys.modules)
    HOSTILE[kind](folder)
    with cheap(), pytest.raises(CorruptError, match=str(folder)) as caught:
        SWAE.load(folder)
    assert len(str(caught.value)) < 400  # a sentence, of which the folder wrote little
    with cheap():
        assert main(["info", str(folder)]) == 5
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert said.rstrip("\n").isprintable()
    assert "root:" not in said  # nothing of /etc/passwd
    assert not (tmp_path / "harm").exists()
    assert not {name for name in set(sys.modules) - before if "swae" not in name}


SAID = {
    "a pickle as the weights": r"model\.safetensors is no safetensors file: ",
    "a header of a tebibyte": r"model\.safetensors .*: its header has 1,099,511,627,776 bytes of ",
    "a shape of terabytes": r"model\.safetensors is truncated .*: its tensors have 4,000,000,000,",
    "a path that leaves the folder": r"manifest\.json does not name files of its own folder",
    "a format of later": r"has format \d, but this swae reads \d; a newer one may read it\.",
    "a format that is none": r"has format \['1', .*, but this swae reads \d\.",
}


@pytest.mark.parametrize("kind", SAID)
@pytest.mark.usefixtures("unchecked")
def test_what_is_said_of_a_hostile_folder(folder, tmp_path, monkeypatch, kind):
    monkeypatch.setenv("SWAE_HARM", str(tmp_path / "harm"))
    HOSTILE[kind](folder)
    with pytest.raises(CorruptError, match=f"^{folder}.*{SAID[kind]}"):
        SWAE.load(folder)


def test_the_harm_of_a_pickle_is_seen(tmp_path, monkeypatch):
    monkeypatch.setenv("SWAE_HARM", str(tmp_path / "harm"))
    pickle.loads(pickle.dumps(Harm()))
    assert (tmp_path / "harm").exists()


def test_a_pickle_that_nothing_names_is_left_alone(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("SWAE_HARM", str(tmp_path / "harm"))
    for name in ("pytorch_model.bin", "model.pkl", "swae.py", "conftest.py"):
        (folder / name).write_bytes(pickle.dumps(Harm()))
    SWAE.load(folder)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("changes", [{"shape": [2**48] * 5}, {"latent_dim": 10**30}])
@pytest.mark.usefixtures("unchecked")
def test_a_folder_that_does_not_fit_with_what_is_passed(folder, changes):
    """Whose fault it is nobody knows; it is a sentence all the same."""
    with_config(folder, **changes)
    with pytest.raises(ValueError, match=r"does not fit|is of shape"):
        SWAE.load(folder, batch_size=5)


# ----- what a file can't hold, and what is no folder


def test_all_that_has_to_be_passed_is_named(tmp_path, capsys):
    networks = {"encoder": torch.nn.Linear(4, 2), "decoder": torch.nn.Linear(2, 4)}
    small(**networks).fit(X).save(tmp_path)
    sentence = r"decoder \(a Linear\) and .* encoder \(a Linear\).*decoder=\.\.\., encoder="
    with pytest.raises(ValueError, match=sentence):
        SWAE.load(tmp_path)
    assert main(["info", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "decoder, encoder" in said or "encoder, decoder" in said
    assert "your own Linear" in said


def test_what_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CorruptError, match=r"There is no folder .*file, and a model is one"):
        SWAE.load(tmp_path / "file")
    with pytest.raises(CorruptError, match=r"SWAE\.from_pretrained"):
        SWAE.load("ants/ring")
    with pytest.raises(OSError, match="file is a file, and a model wants a folder"):
        small().fit(X).save(tmp_path / "file")


def test_a_device_that_is_not_here(folder):
    with_config(folder, device="\x1b[31mred")
    with pytest.raises(ValueError, match=r"stored with a device .* Pass device='auto'") as caught:
        SWAE.load(folder)
    assert str(caught.value).isprintable()
    SWAE.load(folder, device="cpu")
