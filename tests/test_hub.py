"""Tests for the swae.hub module, on data sets that they write."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image

from swae import hub
from swae.data import DataError, holdout
from swae.reading import tell
from swae.sources import load

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def quiet(tmp_path, monkeypatch, caplog):
    """Nothing is asked of the hub, and its cache is the test's."""
    tell.cache_clear()
    caplog.set_level("INFO", logger="swae")
    datasets.disable_progress_bars()
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)


PICTURES = datasets.Features(
    {
        "image": datasets.Image(),
        "label": datasets.ClassLabel(names=["cat", "dog"]),
        "n": datasets.Value("int32"),
    }
)


def pictures(n=6, size=(4, 5), mode="L"):
    columns = {
        "image": [Image.new(mode, size, i) for i in range(n)],
        "label": [None if i == n - 1 else i % 2 for i in range(n)],
        "n": list(range(n)),
    }
    return datasets.Dataset.from_dict(columns, features=PICTURES)


def numbers():
    features = datasets.Features(
        {
            "a": datasets.Value("int32"),
            "s": datasets.Sequence(datasets.Value("float32"), length=2),
            "m": datasets.Array2D((2, 2), "uint8"),
            "t": datasets.Value("string"),
            "b": datasets.Value("bool"),
            "v": datasets.Sequence(datasets.Value("float64")),
        }
    )
    columns = {
        "a": [1, 2, 3],
        "s": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],
        "m": np.arange(12, dtype=np.uint8).reshape(3, 2, 2),
        "t": ["y", "x", None],
        "b": [True, False, True],
        "v": [[1.0], [1.0, 2.0], [3.0]],
    }
    return datasets.Dataset.from_dict(columns, features=features)


def whole(source, **options):
    return hub.read(source, "train", **options)[0]


# ----- what is read


def test_images(caplog):
    pictures().save_to_disk("d")
    samples, own = hub.read("datasets:d", "train")
    assert not own
    assert samples.x.dtype == torch.uint8
    assert samples.shape == (1, 5, 4)
    assert samples.x[:, 0, 0, 0].tolist() == list(range(6))
    assert samples.labels.tolist() == [0, 1, 0, 1, 0, -1]
    assert (samples.classes, samples.columns) == (("cat", "dog"), None)
    assert caplog.messages == ["These columns of datasets:d are left out: 'n'."]
    framed = load("datasets:./d", image_size=2, crop=3)
    assert framed.shape == (1, 2, 2)


def test_another_label_may_be_named():
    pictures().save_to_disk("d")
    samples = whole("datasets:d", label_column="n")
    assert (samples.labels.tolist(), samples.classes) == (list(range(6)), ())


def test_images_of_different_sizes_are_resized():
    datasets.concatenate_datasets([pictures(), pictures(size=(3, 3))]).save_to_disk("d")
    with pytest.raises(DataError, match=r"4 x 5 .datasets:d/row 0.* 3 x 3 .*row 6.*--image-size"):
        load("datasets:d")
    assert load("datasets:d", image_size=2).shape == (1, 2, 2)


def test_gray_and_colour_are_colour():
    datasets.concatenate_datasets([pictures(), pictures(mode="RGB")]).save_to_disk("d")
    assert load("datasets:d").shape == (3, 5, 4)


def test_few_images_may_be_broken(caplog):
    columns = {"image": [None] * 1 + pictures()["image"][:] * 20}
    columns |= {"label": [0] * 121, "n": list(range(121))}
    datasets.Dataset.from_dict(columns, features=PICTURES).save_to_disk("d")
    samples = whole("datasets:d", label_column="n")
    assert samples.rejected == (("row 0", "no image"),)
    assert samples.labels.tolist() == list(range(1, 121))
    assert "1 of 121 images in datasets:d cannot be read" in caplog.text


def test_formats_that_start_programs_are_not_opened():
    bad = {"bytes": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "path": None}
    columns = {"image": [bad], "label": [0], "n": [0]}
    datasets.Dataset.from_dict(columns, features=PICTURES).save_to_disk("d")
    with pytest.raises(DataError, match=r"1 of 1 images in datasets:d cannot be read .*not an i"):
        whole("datasets:d")


def test_numbers_beside_each_other(caplog):
    numbers().save_to_disk("d")
    samples = whole("datasets:d", columns=["a", "s", "m", "b"], label_column="t")
    assert samples.columns == ("a", "s[0]", "s[1]", "m[0]", "m[1]", "m[2]", "m[3]", "b")
    assert samples.x[1].tolist() == [2, 3, 4, 4, 5, 6, 7, 0]
    assert (samples.labels.tolist(), samples.classes) == ([1, 0, -1], ("x", "y"))
    numbers().remove_columns(["v", "m", "s"]).save_to_disk("e")
    assert whole("datasets:e").columns == ("a", "b")
    assert caplog.messages == ["These columns of datasets:e are left out: 't'."]


def test_an_index_of_pandas_is_no_feature(caplog):
    columns = {"Unnamed: 0": [0, 1], "a": [5, 6], "__index_level_0__": [0, 1]}
    datasets.Dataset.from_dict(columns).save_to_disk("d")
    assert whole("datasets:d").columns == ("a",)
    assert "left out: 'Unnamed: 0', '__index_level_0__'." in caplog.text
    assert whole("datasets:d", columns=["Unnamed: 0"]).x.tolist() == [[0], [1]]


def test_one_column_of_arrays_keeps_its_shape():
    numbers().save_to_disk("d")
    matrices = whole("datasets:d", columns=["m"], label_column="b")
    assert (matrices.x.dtype, matrices.shape) == (torch.uint8, (2, 2))
    np.testing.assert_array_equal(matrices.x.flatten(), np.arange(12))
    assert matrices.labels.tolist() == [1, 0, 1]
    vectors = whole("datasets:d", columns=["s"])
    assert (vectors.x.dtype, vectors.x.tolist()) == (torch.float32, [[1, 2], [3, 4], [5, 6]])


@pytest.mark.parametrize(("names", "test"), [("train test", 1), ("train validation", 1)])
def test_own_splits(names, test):
    parts = dict(zip(names.split(), (pictures(), pictures(3)), strict=True))
    datasets.DatasetDict(parts).save_to_disk("d")
    assert (len(load("datasets:d")), len(load("datasets:d", "test"))) == (6, 3)


@pytest.mark.parametrize("name", ["train", "all"])
def test_a_split_is_drawn_where_there_is_none(name):
    datasets.DatasetDict({name: pictures()}).save_to_disk("d")
    for split, rows in zip(("train", "test"), holdout(6, 0.2, seed=3), strict=True):
        assert load("datasets:d", split, seed=3).x[:, 0, 0, 0].tolist() == rows.tolist()


def test_texts_have_one_number_in_all_splits():
    parts = {"train": ["b", "c"], "test": ["a", ""]}
    data = {k: datasets.Dataset.from_dict({"a": [1, 2], "t": t}) for k, t in parts.items()}
    datasets.DatasetDict(data).save_to_disk("d")
    for split, labels in (("train", [1, 2]), ("test", [0, -1])):
        samples = load("datasets:d", split, label_column="t")
        assert (samples.labels.tolist(), samples.classes) == (labels, ("a", "b", "c"))


def test_a_folder_of_parquet(tmp_path):
    (tmp_path / "d").mkdir()
    for split in ("train", "test"):
        numbers().select_columns(["a", "b"]).to_parquet(f"d/{split}.parquet")
    samples = load("datasets:d", "test")
    assert (len(samples), samples.columns) == (3, ("a", "b"))


def test_a_place_means_the_same_from_everywhere(tmp_path):
    pictures().save_to_disk("d")
    assert hub.from_anywhere("datasets:d") == f"datasets:{tmp_path}/d"
    assert hub.from_anywhere("datasets:./e") == f"datasets:{tmp_path}/e"
    assert hub.from_anywhere("datasets:owner/name:config") == "datasets:owner/name:config"


def test_a_configuration_follows_the_name(monkeypatch):
    monkeypatch.setattr(datasets, "load_dataset", lambda name, config: {"train": (name, config)})
    assert hub.open_splits("datasets:owner/name")["train"] == ("owner/name", None)
    assert hub.open_splits("datasets:owner/name:big")["train"] == ("owner/name", "big")


# ----- what is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": ["v"]}, "the column 'v' has to hold arrays of one shape"),
        ({}, "the column 'v' has to hold arrays of one shape"),
        ({"columns": ["t"]}, "the column 't' has to hold numbers, but does not"),
        ({"columns": ["A"]}, "columns must be columns of datasets:d .*Did you mean 'a'"),
        ({"columns": ["a"], "label_column": "v"}, "label column 'v' has to hold whole numbers"),
        ({"columns": ["a"], "image_size": 3}, "image_size and crop must be left out"),
    ],
)
def test_columns_refused(options, message):
    numbers().save_to_disk("d")
    with pytest.raises(ValueError, match=message):
        load("datasets:d", **options)


def test_images_refused():
    more = pictures().select_columns(["image"]).rename_column("image", "more")
    datasets.concatenate_datasets([pictures(), more], axis=1).save_to_disk("d")
    with pytest.raises(ValueError, match=r"choose one of the columns of images .*'image', 'more'"):
        load("datasets:d")
    assert load("datasets:d", columns=["more"]).shape == (1, 5, 4)
    with pytest.raises(ValueError, match="columns must be 'image' alone"):
        load("datasets:d", columns=["image", "n"])


def test_missing_values_are_refused_with_the_column_s_name():
    columns = {"a": [1, 2, None], "b": [1.0, float("inf"), 2.0]}
    datasets.Dataset.from_dict(columns).save_to_disk("d")
    with pytest.raises(DataError, match=r"datasets:d the column 'a' .* none in row 2"):
        load("datasets:d")
    with pytest.raises(DataError, match=r"datasets:d the column 'b' .* infinity .* in row 1"):
        load("datasets:d", columns=["b"])


def test_splits_refused():
    datasets.DatasetDict({"a": pictures(), "b": pictures()}).save_to_disk("d")
    with pytest.raises(DataError, match=r"datasets:d must have a split 'train', .* 'a', 'b'"):
        load("datasets:d")
    with pytest.raises(DataError, match="The split 'test' of datasets:e must have a row"):
        hub.part_of("datasets:e", {"train": [1], "test": []}, "test")


def test_places_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/train.parquet").write_bytes(b"PAR1 and nothing")
    (tmp_path / "file.csv").write_text("a\n1\n")
    for source, message in (
        ("datasets:empty", "datasets:empty cannot be read"),
        ("datasets:broken", "datasets:broken cannot be read"),
        ("datasets:./none", "none is no folder"),
        ("datasets:file.csv", "file.csv is no folder"),
        ("datasets:", "nothing follows"),
        ("datasets:nobody/nothing", "nothing cannot be read .*check its name and the network"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            load(source)
        assert isinstance(error.value, DataError) == ("cannot be read" in message)


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ValueError, match=r"pip install 'swae\[hub\]'"):
        load("datasets:owner/name")
