r"""Tests for the swae.celeba module."""

import doctest
import logging
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import swae.celeba
from swae import cache
from swae.data import DataError
from swae.images import Framing, read_folder
from swae.sources import has_images, load

PLACES = ("celeba/img_align_celeba", "img_align_celeba")


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    monkeypatch.delenv("SWAE_DATA", raising=False)
    monkeypatch.setitem(sys.modules, "datasets", None)
    swae.celeba.tell.cache_clear()


def write(root, n=20, place="celeba/img_align_celeba", size=(89, 109)):
    """Writes images, without the loss of a JPEG, in which red is the image's number."""
    folder = root / place
    folder.mkdir(parents=True)
    for i in range(1, n + 1):
        Image.new("RGB", size, (i, 100, 200)).save(folder / f"{i:06}.jpg", "PNG")
    return folder


def partition(path, numbers):
    path.parent.mkdir(exist_ok=True)
    lines = (f"{i:06}.jpg {number}\n" for i, number in enumerate(numbers, 1))
    path.write_text("".join(lines))


def ids(samples):
    return (samples.x[:, 0].double().mean(dim=(1, 2))).round().int().tolist()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("few", [0, 2000])
def test_without_a_partition_the_last_tenth_is_the_test(tmp_path, caplog, monkeypatch, place, few):
    monkeypatch.setattr(cache, "FEW", few)
    write(tmp_path, place=place)
    caplog.set_level(logging.INFO, logger="swae")
    train, test = (load("celeba", split, data_dir=tmp_path) for split in ("train", "test"))
    assert (ids(train), ids(test)) == (list(range(1, 19)), [19, 20])
    assert train.shape == (3, 64, 64)
    assert train.mapped == (few == 0)
    assert train.labels is None
    assert "There is no list_eval_partition.txt: the last 2 of celeba's 20 images" in caplog.text
    assert caplog.text.count("There is no list_eval") == 1  # it was read twice


@pytest.mark.parametrize("where", ["list_eval_partition.txt", "Eval/list_eval_partition.txt"])
def test_the_authors_partition(tmp_path, caplog, where):
    write(tmp_path)
    caplog.set_level(logging.INFO, logger="swae")
    partition(tmp_path / "celeba" / where, [0] * 5 + [1] * 5 + [2] * 5 + [0] * 2)
    assert ids(load("celeba", data_dir=tmp_path)) == [1, 2, 3, 4, 5, 16, 17]
    assert ids(load("celeba", "test", data_dir=tmp_path)) == [11, 12, 13, 14, 15]
    assert "3 of celeba's images are not in" in caplog.text


def test_a_partition_of_other_images(tmp_path, caplog):
    """A subset of the images may have none of the test part's, which come last."""
    write(tmp_path)
    caplog.set_level(logging.INFO, logger="swae")
    path = tmp_path / "celeba/list_eval_partition.txt"
    partition(path, [0] * 20 + [1] * 5 + [2] * 5)
    assert ids(load("celeba", "test", data_dir=tmp_path)) == [19, 20]
    assert f"No test image of {path} is there: the last 2" in caplog.text
    partition(path, [2] * 20)
    with pytest.raises(DataError, match="no image of the train split"):
        load("celeba", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"000001.jpg 0\n000002.jpg\n", "Line 2 of .*has to be a name and 0, 1 or 2"),
        (b"000001.jpg 3\n", "Line 1 of .*but is '000001.jpg 3'"),
        (b"000001.jpg 0 1\n", "Line 1 of"),
        (b"", "No test"),
        (b"\xff\xfe\n", "has to be text"),
        (b"\0" * 10_000, "Line 1 of"),
    ],
)
def test_a_partition_that_is_none(tmp_path, caplog, content, message):
    write(tmp_path)
    caplog.set_level(logging.INFO, logger="swae")
    (tmp_path / "celeba/list_eval_partition.txt").write_bytes(content)
    if content:
        with pytest.raises(DataError, match=message):
            load("celeba", data_dir=tmp_path)
    else:
        assert len(load("celeba", data_dir=tmp_path)) == 18
        assert message in caplog.text


def test_rejected_files_are_left_out(tmp_path):
    folder = write(tmp_path, n=200)
    (folder / "000100.jpg").write_text("no image")
    train, test = (load("celeba", split, data_dir=tmp_path) for split in ("train", "test"))
    assert ids(train) == [i for i in range(1, 180) if i != 100] + [180]
    assert ids(test)[0] == 181
    assert len(train.rejected) == len(test.rejected) == 1


def test_not_there(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"celeba/img_align_celeba, .*--data-dir .*SWAE_DATA"):
        load("celeba", data_dir=tmp_path)
    with pytest.raises(DataError, match="looked in no folder"):
        load("celeba")
    write(tmp_path)
    monkeypatch.setenv("SWAE_DATA", str(tmp_path))
    assert len(load("celeba")) == 18
    (tmp_path / "one").mkdir()
    write(tmp_path / "one", n=1)
    with pytest.raises(DataError, match="at least 2 images"):
        load("celeba", data_dir=tmp_path / "one")


# ----- the crop


def rings(width, height, path):
    """An image whose pixels are their distance from the middle column and row."""
    x, y = np.abs(np.arange(width) - (width - 1) / 2), np.abs(np.arange(height) - (height - 1) / 2)
    Image.fromarray(np.maximum(x, y[:, None]).astype(np.uint8)).save(path)


def test_a_crop_is_the_middle(tmp_path):
    rings(40, 50, tmp_path / "x.png")
    x = read_folder(tmp_path, Framing(crop=20)).x
    assert x.shape == (1, 1, 20, 20)
    assert x.max() == 9
    assert torch.equal(x, x.flip(2, 3))
    assert load_one(tmp_path, crop=20, image_size=5).shape == (1, 5, 5)


def load_one(folder, **options):
    for name in ("a.png", "b.png"):
        os.link(folder / "x.png", folder / name)
    return load(folder, **options)


def test_celebas_crop_is_in_pixels_of_the_original(tmp_path):
    for width, height in ((178, 218), (89, 109)):
        folder = tmp_path / f"{width}" / "img_align_celeba"
        folder.mkdir(parents=True)
        for name in ("000001.png", "000002.png"):
            rings(width, height, folder / name)
        x = load("celeba", data_dir=folder.parent, crop=148, image_size=148 * width // 178).x
        assert x.shape[2:] == (148 * width // 178,) * 2
        assert x.max() == x.shape[2] // 2 - 1 + (width % 2)
    with pytest.raises(ValueError, match="crop has to be at most 178 for celeba, but is 200"):
        load("celeba", data_dir=tmp_path / "178", crop=200)


def test_an_image_that_is_too_small_for_the_crop(tmp_path):
    rings(20, 30, tmp_path / "x.png")
    with pytest.raises(DataError, match="a square of 21 cannot be cut out of 20 x 30"):
        load(tmp_path, crop=21)


def test_crop_belongs_to_images(tmp_path):
    with pytest.raises(ValueError, match=r"crop must be left out.*'digits'"):
        load("digits", crop=8)
    assert has_images("celeba")
    assert has_images(tmp_path)
    assert not has_images("digits")
    assert not has_images(tmp_path / "x.npy")


@pytest.mark.skipif(
    not (Path(__file__).parents[2] / "shared/data/celeba").is_dir(),
    reason="the shared data are not here",
)
def test_celeba_itself():
    root = Path(__file__).parents[2] / "shared/data"
    train, test = (load("celeba", split, data_dir=root, crop=148) for split in ("train", "test"))
    assert (len(train), len(test)) == (9000, 1000)
    assert train.shape == (3, 64, 64)


def test_examples():
    assert doctest.testmod(swae.celeba).failed == 0
