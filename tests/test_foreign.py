"""Weights of Keras: the same function as in Keras' own convention, and the files that are refused.

The files are written here, layer by layer, from a description of their own; the reference runs
that description in NumPy, images as (n, h, w, c) and kernels as Keras keeps them.
"""

import builtins
import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from numpy.lib.stride_tricks import sliding_window_view

from swae import SWAE
from swae.cli import main
from swae.foreign import read_keras
from swae.images import DataError

DATA = Path(__file__).parents[2] / "shared" / "data"
AUTHORS = DATA / "authors-mnist-uniform"

GLOROT = {"class_name": "VarianceScaling", "config": {"distribution": "uniform", "scale": 1.0}}
SAME = {"padding": "same", "data_format": "channels_last"}


def conv(i, o, activation="linear", padding="same"):
    fixed = {"kernel_size": [3, 3], "strides": [1, 1], "dilation_rate": [1, 1], "use_bias": True}
    own = {"filters": o, "activation": activation, "kernel_initializer": GLOROT}
    return "Conv2D", fixed | SAME | own | {"padding": padding}, (3, 3, i, o)


def dense(i, o, activation="linear"):
    settings = {"units": o, "activation": activation, "use_bias": True}
    return "Dense", settings | {"kernel_initializer": GLOROT, "bias_constraint": None}, (i, o)


def entry(*shape):
    settings = {"batch_input_shape": [None, *shape], "dtype": "float32", "sparse": False}
    return "InputLayer", settings, None


LEAKY = ("LeakyReLU", {"alpha": 0.20000000298023224}, None)
POOL = ("AveragePooling2D", {"pool_size": [2, 2], "strides": [2, 2], **SAME}, None)
UP = ("UpSampling2D", {"size": [2, 2], "data_format": "channels_last"}, None)

NETWORKS = {
    "encoder": [
        entry(28, 28, 1),
        *(conv(1, 16), LEAKY, conv(16, 16), LEAKY, POOL),
        *(conv(16, 32), LEAKY, conv(32, 32), LEAKY, POOL),
        *(conv(32, 64), LEAKY, conv(64, 64), LEAKY, POOL),
        *(("Flatten", {}, None), dense(1024, 128, "relu"), dense(128, 2)),
    ],
    "decoder": [
        *(entry(2), dense(2, 128), dense(128, 1024, "relu")),
        ("Reshape", {"target_shape": [4, 4, 64]}, None),
        *(UP, conv(64, 64), LEAKY, conv(64, 64), LEAKY),
        *(UP, conv(64, 64, padding="valid"), LEAKY, conv(64, 64), LEAKY),
        *(UP, conv(64, 32), LEAKY, conv(32, 32), LEAKY, conv(32, 1, "sigmoid")),
    ],
}


def draw(network, rng):
    """Returns a kernel and a bias for each layer that has them."""
    return [
        None
        if shape is None
        else (
            rng.normal(0, (2 / np.prod(shape[:-1])) ** 0.5, shape).astype(np.float32),
            rng.normal(0, 0.1, shape[-1]).astype(np.float32),
        )
        for _, _, shape in network
    ]


def write(path, part, weights):
    """Writes a network as model.save of Keras 2.1 does."""
    first = 1 if part == "encoder" else 20
    names = [f"{kind.lower()}_{i}" for i, (kind, _, _) in enumerate(NETWORKS[part], start=first)]
    inbound = [[], *([[[name, 0, 0, {}]]] for name in names)]
    layers = [
        {
            "class_name": kind,
            "config": {"name": name, "trainable": True, **settings},
            "inbound_nodes": nodes,
            "name": name,
        }
        for name, (kind, settings, _), nodes in zip(names, NETWORKS[part], inbound, strict=False)
    ]
    ends = {"input_layers": [[names[0], 0, 0]], "output_layers": [[names[-1], 0, 0]]}
    config = {"class_name": "Model", "config": {"layers": layers, "name": "model_1", **ends}}
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = b"2.1.5", b"tensorflow"
        file.attrs["model_config"] = json.dumps(config).encode()
        group = file.create_group("model_weights")
        group.attrs["keras_version"], group.attrs["backend"] = b"2.1.5", b"tensorflow"
        group.attrs["layer_names"] = [name.encode() for name in names]
        for name, arrays in zip(names, weights, strict=True):
            own = [] if arrays is None else [f"{name}/kernel:0", f"{name}/bias:0"]
            layer = group.create_group(name)
            layer.attrs["weight_names"] = [word.encode() for word in own]
            for word, array in zip(own, arrays or (), strict=True):
                layer.create_dataset(word, data=array)


def apply(network, weights, x):
    """Runs a network in Keras' convention."""
    for (kind, settings, _), arrays in zip(network, weights, strict=True):
        x = STEPS[kind](x, settings, arrays)
        x = ACTIVATIONS[settings.get("activation", "linear")](x)
    return x


def convolve(x, settings, arrays):
    if settings["padding"] == "same":
        x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = sliding_window_view(x, (3, 3), axis=(1, 2))
    return np.einsum("nhwiuv,uvio->nhwo", windows, arrays[0], optimize=True) + arrays[1]


def pool(x, *_):
    """Averages blocks of 2x2, and of what is left of them at an odd end."""
    x = np.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)), mode="edge")
    return x.reshape(len(x), x.shape[1] // 2, 2, x.shape[2] // 2, 2, -1).mean((2, 4))


STEPS = {
    "InputLayer": lambda x, *_: x,
    "Conv2D": convolve,
    "LeakyReLU": lambda x, *_: np.where(x < 0, 0.2 * x, x),
    "AveragePooling2D": pool,
    "UpSampling2D": lambda x, *_: x.repeat(2, axis=1).repeat(2, axis=2),
    "Flatten": lambda x, *_: x.reshape(len(x), -1),
    "Reshape": lambda x, *_: x.reshape(-1, 4, 4, 64),
    "Dense": lambda x, _, arrays: x @ arrays[0] + arrays[1],
}
ACTIVATIONS = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}


@pytest.fixture(scope="module")
def weights():
    rng = np.random.default_rng(0)
    return {part: draw(network, rng) for part, network in NETWORKS.items()}


@pytest.fixture(scope="module")
def place(weights, tmp_path_factory):
    """A folder with both files that is never written to."""
    folder = tmp_path_factory.mktemp("keras")
    for part in NETWORKS:
        write(folder / f"{part}.h5", part, weights[part])
    return folder


@pytest.fixture
def here(place, tmp_path, monkeypatch):
    """A fresh working folder with both files."""
    for part in NETWORKS:
        shutil.copy(place / f"{part}.h5", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def import_keras(*words):
    return main(["import-keras", "encoder.h5", "decoder.h5", *words])


def refused(match):
    with pytest.raises(DataError, match=match) as caught:
        read_keras(Path("encoder.h5"), Path("decoder.h5"))
    assert ".h5" in str(caught.value)
    assert str(caught.value).endswith(".")


# --- what it is for


def test_the_function_is_that_of_keras(here, weights):
    assert import_keras("--out", "run") == 0
    model, rng = SWAE.load("run/model"), np.random.default_rng(1)

    x = rng.random((5, 28, 28, 1), dtype=np.float32)
    z = apply(NETWORKS["encoder"], weights["encoder"], x)
    assert model.transform(x.transpose(0, 3, 1, 2)) == pytest.approx(z, abs=1e-5)

    x_hat = apply(NETWORKS["decoder"], weights["decoder"], 3 * z)
    assert x_hat.std() > 0.01
    assert model.inverse_transform(3 * z) == pytest.approx(x_hat.transpose(0, 3, 1, 2), abs=1e-5)


def test_the_run_is_one_like_those_of_fit(here, capsys):
    assert import_keras("--out", "run", "--prior", "ring") == 0
    config = yaml.safe_load(Path("run/config.yaml").read_text())
    assert (config["data"], config["prior"], config["preset"]) == ("mnist", "ring", "authors")
    assert sorted(p.name for p in Path("run").iterdir()) == ["config.yaml", "model"]

    assert main(["info", "run"]) == 0
    said = capsys.readouterr().out
    assert "203,250" in said
    assert "epochs             none here (imported)\n" in said
    x = np.random.default_rng(0).integers(0, 256, (50, 1, 28, 28), dtype=np.uint8)
    np.save("x.npy", x)
    assert main(["evaluate", "run", "x.npy"]) == 0
    assert "bce" in capsys.readouterr().out
    assert main(["fit", "x.npy", "--out", "run", "--resume"]) == 2
    assert "holds a model and no checkpoint" in capsys.readouterr().err


def test_a_folder_is_only_replaced_if_asked(here, capsys):
    assert import_keras("--out", "run") == 0
    assert import_keras("--out", "run") == 2
    assert "--overwrite" in capsys.readouterr().err
    assert import_keras("--out", "run", "--overwrite", "--prior", "circle") == 0
    assert yaml.safe_load(Path("run/config.yaml").read_text())["prior"] == "circle"


def test_what_is_refused_leaves_no_folder_and_an_old_run(here, capsys):
    Path("decoder.h5").rename("other.h5")
    assert import_keras("--out", "run") == 3
    assert "decoder.h5 has to be an HDF5 file" in capsys.readouterr().err
    assert not Path("run").exists()
    Path("other.h5").rename("decoder.h5")
    assert import_keras("--out", "run", "--prior", "rign") == 2
    assert not Path("run").exists()
    assert import_keras("--out", "run") == 0
    Path("decoder.h5").unlink()
    assert import_keras("--out", "run", "--overwrite") == 3
    assert SWAE.load("run/model").sample(1).shape == (1, 1, 28, 28)


def test_without_h5py_it_says_what_to_install(here, monkeypatch, capsys):
    true_import = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "h5py":
            raise ImportError(name)
        return true_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert import_keras("--out", "run") == 2
    assert "pip install 'swae[keras]'" in capsys.readouterr().err


@pytest.mark.skipif(not AUTHORS.is_dir(), reason="the authors' weights are not in ../shared/data")
def test_the_authors_weights(tmp_path, capsys):
    run, files = str(tmp_path / "run"), [str(AUTHORS / f"{part}.h5") for part in NETWORKS]
    assert main(["import-keras", *files, "--out", run]) == 0
    capsys.readouterr()
    assert main(["evaluate", run, "mnist", "--data-dir", str(DATA), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["n"] == 10_000
    wanted = {"bce": 0.20073, "l1": 0.10068, "mse": 0.04625}
    assert {name: figures[name] for name in wanted} == pytest.approx(wanted, abs=2e-5)


# --- what is refused


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "has to be an HDF5 file of Keras, but begins with b''"),
        (b"weights, but as text", "begins with b'weights,'"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "cannot be read"),
    ],
)
def test_no_hdf5(here, content, match):
    Path("encoder.h5").write_bytes(content)
    refused(match)


@pytest.mark.parametrize("size", [9, 1000, 100_000, 800_000])
def test_cut_short(here, size):
    Path("encoder.h5").write_bytes(Path("encoder.h5").read_bytes()[:size])
    refused("encoder.h5 cannot be read")


def test_no_file_that_could_be_read(here):
    with Path("encoder.h5").open("r+b") as file:
        file.truncate(2**24 + 1)
    refused("has to be of 16,777,216 bytes at most, but is of 16,777,217")
    Path("encoder.h5").unlink()
    refused("there is no such file")
    Path("encoder.h5").mkdir()
    refused("there is no such file")


def test_swapped(here):
    Path("encoder.h5").rename("first.h5")
    Path("decoder.h5").rename("encoder.h5")
    Path("first.h5").rename("decoder.h5")
    refused("encoder.h5 has to be the encoder, but is the decoder: the encoder's file comes first")


def edit(config, number, **settings):
    config["config"]["layers"][number]["config"].update(settings)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda c: edit(c, 2, alpha=0.3), "alpha of the layer leakyrelu_3 .* but is 0.3"),
        (lambda c: edit(c, 1, activation="tanh"), "activation of .* 'linear', but is 'tanh'"),
        (lambda c: edit(c, 1, padding="valid"), "padding of .* 'same', but is 'valid'"),
        (lambda c: edit(c, 1, filters=32), "filters of .* 16, but is 32"),
        (lambda c: edit(c, 1, groups=2), "groups of .* None, but is 2"),
        (lambda c: edit(c, 0, batch_input_shape=[None, 32, 32, 1]), "batch_input_shape"),
        (lambda c: edit(c, 1, data_format="channels_first"), "data_format"),
        (lambda c: c.update(class_name="Sequential"), "'Model', but is 'Sequential'"),
        (lambda c: c["config"]["layers"].pop(), "Layer 19 .* 'Dense', but is 'no layer'"),
        (
            lambda c: c["config"]["layers"][2].update(class_name="Lambda"),
            "Layer 3 of the encoder .* 'LeakyReLU', but is 'Lambda'",
        ),
        (
            lambda c: c["config"]["layers"][2].update(
                inbound_nodes=[[["inputlayer_1", 0, 0, {}]]]
            ),
            "inbound_nodes of the layer leakyrelu_3",
        ),
        (lambda c: c["config"].update(output_layers=[]), "output_layers"),
        (lambda c: c["config"].update(layers=7), "cannot be read"),
        (lambda c: c.clear(), "cannot be read"),
    ],
)
def test_another_network(here, change, match):
    with h5py.File("encoder.h5", "r+") as file:
        config = json.loads(file.attrs["model_config"])
        change(config)
        file.attrs["model_config"] = json.dumps(config).encode()
    refused(match)


def as_references(owner, name):
    del owner.attrs[name]
    owner.attrs.create(name, owner.ref, dtype=h5py.ref_dtype)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda f: f.attrs.pop("model_config"), "has to have the attribute model_config"),
        (lambda f: f.attrs.create("model_config", 7), "model_config of .* has to be text"),
        (lambda f: as_references(f, "model_config"), "model_config of .* has to be text"),
        (lambda f: f.attrs.create("model_config", b"{"), "cannot be read"),
        (lambda f: f.attrs.create("model_config", b"[" * 60_000), "cannot be read"),
        (lambda f: f.attrs.create("model_config", [b"{}"]), "shape of model_config"),
        (lambda f: f.attrs.create("model_config", h5py.Empty("S1")), "has to be text"),
        (
            lambda f: f.create_group("optimizer_weights"),
            r"lacks \[\] and holds \['optimizer_weights'\] besides",
        ),
        (lambda f: f["model_weights"].attrs.create("backend", b"theano"), "'tensorflow', but"),
        (lambda f: f["model_weights"].attrs.pop("layer_names"), "attribute layer_names"),
        (lambda f: f["model_weights"].attrs.create("layer_names", b"one"), "has to be a list"),
        (lambda f: f["model_weights"].attrs.create("layer_names", [b"one"]), "but is .'one'."),
        (lambda f: as_references(f["model_weights"], "layer_names"), "has to be text"),
        (lambda f: f["model_weights"].create_group("more"), "holds .'more'. besides"),
        (lambda f: f["model_weights"].pop("flatten_17"), "lacks .'flatten_17'. and"),
        (lambda f: f["model_weights/flatten_17"].create_group("more"), "holds .'more'. besides"),
        (
            lambda f: f["model_weights/flatten_17"].attrs.create("weight_names", [b"more"]),
            "weight_names of",
        ),
        (lambda f: f["model_weights/conv2d_2"].create_group("more"), "holds .'more'. besides"),
        (
            lambda f: f["model_weights/conv2d_2/conv2d_2"].create_dataset("more", data=[1.0]),
            "holds .'more'. besides",
        ),
        (
            lambda f: f["model_weights/conv2d_2"].attrs.create("weight_names", [b"../x", b"/"]),
            "weight_names of",
        ),
        (lambda f: f["model_weights/conv2d_2"].attrs.create("weight_names", []), "weight_names"),
    ],
)
def test_another_content(here, change, match):
    with h5py.File("encoder.h5", "r+") as file:
        change(file)
    refused(match)


HOME, NAME, SHAPE = "model_weights/dense_18/dense_18", "kernel:0", (1024, 128)
ONES = np.ones(SHAPE, np.float32)


def virtual(group):
    layout = h5py.VirtualLayout(SHAPE, np.float32)
    layout[:] = h5py.VirtualSource("other.h5", "x", SHAPE)
    group.create_virtual_dataset(NAME, layout)


def unbounded(group):
    """A virtual array that has to open the other file to know its shape."""
    layout = h5py.VirtualLayout(SHAPE, np.float32, maxshape=(None, 128))
    source = h5py.VirtualSource("other.h5", "x", SHAPE, maxshape=(None, 128))
    layout[h5py.h5s.UNLIMITED :, :] = source[h5py.h5s.UNLIMITED :, :]
    group.create_virtual_dataset(NAME, layout)


def external(group):
    files = [("other.bin", 0, ONES.nbytes)]
    group.create_dataset(NAME, SHAPE, np.float32, external=files)


def changed(value):
    array = ONES.copy()
    array[3, 4] = value
    return array


def link(target):
    return lambda g: g.__setitem__(NAME, target)


def array(data=None, **settings):
    return lambda g: g.create_dataset(NAME, data=data, **settings)


@pytest.mark.parametrize(
    ("put", "match"),
    [
        (array(ONES.T), r"shape of .* \(1024, 128\), but is \(128, 1024\)"),
        (array(np.float32(1)), r"shape of .* but is \(\)"),
        (array(h5py.Empty("f4")), "shape of .* but is None"),
        (array(shape=(2**30, 2**20), dtype="f4"), "shape of .* but is .1073741824, 1048576"),
        (array(shape=SHAPE, dtype="f4"), "bytes of .* 524288, but is 0"),
        (array(ONES.astype(np.int32)), "type of .* 'float32', but is 'int32'"),
        (array(ONES.astype(np.float64)), "type of .* but is 'float64'"),
        (array(ONES.astype("c8")), "type of .* but is 'complex64'"),
        (array(shape=SHAPE, dtype=h5py.ref_dtype), "type of .* but is 'object'"),
        (array(shape=SHAPE, dtype=h5py.string_dtype()), "type of .* but is 'object'"),
        (array(shape=SHAPE, dtype=h5py.vlen_dtype("f4")), "type of .* but is 'object'"),
        (array(changed(np.nan)), "has to be finite, but holds NaN"),
        (array(changed(-np.inf)), "has to be finite, but holds NaN or infinity"),
        (array(ONES, chunks=(64, 64)), "in one piece"),
        (array(ONES, compression="gzip"), "in one piece"),
        (array(shape=(1, 1), maxshape=SHAPE, chunks=SHAPE, dtype="f4"), "in one piece"),
        (virtual, "in one piece"),
        (unbounded, "in one piece"),
        (external, "in one piece"),
        (link(h5py.SoftLink("/x")), "kernel:0 .* has to be there itself, but is a link"),
        (link(h5py.ExternalLink("other.h5", "/x")), "has to be there itself, but is a link"),
        (link(np.dtype("f4")), "has to be an array, but is a Datatype"),
        (lambda g: g.create_group(NAME), "has to be an array, but is a Group"),
        (lambda g: None, "lacks .'kernel:0'. and"),
    ],
)
def test_another_array(here, put, match):
    with h5py.File("other.h5", "w") as file:
        file["x"] = ONES
    Path("other.bin").write_bytes(ONES.tobytes())
    with h5py.File("encoder.h5", "r+") as file:
        del file[HOME][NAME]
        put(file[HOME])
    refused(match)


@pytest.mark.parametrize("name", [HOME, "model_weights/dense_18", "model_weights"])
@pytest.mark.parametrize("kind", [h5py.SoftLink, h5py.ExternalLink])
def test_links_of_groups(here, name, kind):
    """A link to what would be right is none the less not followed."""
    with h5py.File("encoder.h5", "r+") as file, h5py.File("other.h5", "w") as other:
        file.copy(name, other, "moved")
        del file[name]
        file[name] = kind("other.h5", "/moved") if kind is h5py.ExternalLink else kind("/x")
    refused("has to be there itself, but is a link")


def test_big_endian_is_the_same(here, weights):
    wanted, _ = read_keras(Path("encoder.h5"), Path("decoder.h5"))
    with h5py.File("encoder.h5", "r+") as file:
        values = file[HOME][NAME][()]
        del file[HOME][NAME]
        file[HOME].create_dataset(NAME, data=values, dtype=">f4")
    got, _ = read_keras(Path("encoder.h5"), Path("decoder.h5"))
    assert all((got[name] == wanted[name]).all() for name in wanted)
