"""Shards are streamed: each row once, in an order that can be entered anywhere."""

import dataclasses
import io
import os
import socket
import tarfile
import time
import weakref

import numpy as np
import pytest
import torch
from PIL import Image

from swae import SWAE
from swae.checkpoint import latest_checkpoint
from swae.data import DataError
from swae.shards import ShardBatches, Shards
from swae.shards import batches as shards_module
from swae.shards.files import count
from swae.sources import load, load_any

datasets = pytest.importorskip("datasets")
pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

from datasets.packaged_modules.webdataset.webdataset import (  # noqa: E402 - which may not be there
    WebDataset,
)

SIZES = (7, 0, 13, 10, 11)
N = sum(SIZES)


def numbered(folder, sizes=SIZES):
    """Writes a column of numbers that are the rows' own, and one of labels."""
    at = 0
    for i, size in enumerate(sizes):
        rows = np.arange(at, at + size)
        table = pyarrow.table({"a": rows / 100, "b": rows.astype(np.float32), "kind": rows % 3})
        parquet.write_table(table, folder / f"part-{i}.parquet")
        at += size
    return Shards.open(folder, label_column="kind")


def archived(folder, sizes=(4, 6), edge=8, colour=False):
    at = 0
    for i, size in enumerate(sizes):
        with tarfile.open(folder / f"{i}.tar", "w") as archive:
            for j in range(at, at + size):
                pixels = np.full((edge, edge, 3) if colour else (edge, edge), j, np.uint8)
                file = io.BytesIO()
                Image.fromarray(pixels).save(file, "PNG")
                for suffix, content in (("png", file.getvalue()), ("cls", b"%d" % (j % 2))):
                    info = tarfile.TarInfo(f"set/{j:04}.{suffix}")
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
        at += size
    return folder


def rows_of(batches, epoch=0, start=0):
    return [batch.x[:, 1].int().tolist() for batch in batches.epoch(epoch, start)]


def flat(batches):
    return [row for batch in batches for row in batch]


def test_rows_are_read_in_order(tmp_path):
    shards = numbered(tmp_path)
    assert (len(shards), shards.shape, shards.columns) == (N, (2,), ("a", "b"))
    x = torch.cat(list(shards.chunks(4)))
    assert x[:, 1].tolist() == list(range(N))
    assert [len(part) for part in shards.chunks(20)] == [20, 20, 1]
    assert shards.first(9).labels.tolist() == [0, 1, 2] * 3


@pytest.mark.parametrize("block", [1, 4, 10, 1000, None])
@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_each_row_is_read_once_by_one_rank(tmp_path, block, ranks):
    batches = ShardBatches(numbered(tmp_path), 6, block=block)
    parts = [rows_of(batches.of_rank(rank, ranks)) for rank in range(ranks)]
    assert sorted(flat(row for part in parts for row in part)) == list(range(N))
    for i, together in enumerate(zip(*parts, strict=True)):
        sizes = list(map(len, together))
        assert sum(sizes) == min(6, N - 6 * i)
        assert max(sizes) - min(sizes) <= 1


def test_the_order_is_a_function_of_seed_and_epoch(tmp_path):
    shards = numbered(tmp_path)
    before = torch.get_rng_state()
    orders = [
        flat(rows_of(ShardBatches(shards, 6, seed=seed, block=8), epoch))
        for seed, epoch in ((0, 0), (0, 0), (0, 1), (1, 0))
    ]
    assert torch.equal(before, torch.get_rng_state())
    assert orders[0] == orders[1]
    assert len({tuple(order) for order in orders}) == 3
    assert all(sorted(order) == list(range(N)) for order in orders)


@pytest.mark.parametrize("start", range(8))
@pytest.mark.parametrize("rank", [0, 1])
def test_it_goes_on_at_any_batch(tmp_path, start, rank):
    batches = ShardBatches(numbered(tmp_path), 6, block=8).of_rank(rank, 2)
    assert rows_of(batches, 3, start) == rows_of(batches, 3)[start:]


def test_shards_before_the_start_are_not_opened(tmp_path):
    shards = numbered(tmp_path)
    shards.files[0].write_bytes(b"broken since")
    assert next(shards.parts(20, N)).x[0, 1] == 20
    with pytest.raises(DataError, match=r"part-0.parquet has to stay as it was"):
        next(shards.parts(0, N))


def test_the_last_batch_may_be_left_out(tmp_path):
    batches = ShardBatches(numbered(tmp_path), 6, drop_last=True)
    assert (len(batches), batches.n) == (6, 36)
    assert list(map(len, rows_of(batches))) == [6] * 6


def test_labels_stay_with_their_rows(tmp_path):
    for batch in ShardBatches(numbered(tmp_path), 6, block=8).epoch(0):
        assert torch.equal(batch.labels, batch.x[:, 1].long() % 3)


def test_archives_of_images(tmp_path):
    shards = Shards.open(archived(tmp_path))
    assert (len(shards), shards.shape, shards.dtype) == (10, (1, 8, 8), torch.uint8)
    assert torch.cat(list(shards.chunks(3)))[:, 0, 0, 0].tolist() == list(range(10))
    assert shards.first(10).labels.tolist() == [0, 1] * 5
    batch = next(ShardBatches(shards, 10).epoch(0))
    assert batch.x.dtype == torch.float32
    assert batch.x.max() == 9 / 255


def test_images_are_framed_and_gray_ones_repeated(tmp_path):
    archived(tmp_path, colour=True)
    first = tmp_path / "0.tar"
    shards = Shards.open(tmp_path, image_size=4, crop=6)
    assert shards.shape == (3, 4, 4)
    archived(tmp_path, sizes=(4,))
    assert first.exists()
    assert next(shards.parts(0, 4)).x.shape == (4, 3, 4, 4)


def arrays(folder, dtype):
    values = np.arange(2 * 6 * 6).reshape(2, 6, 6).astype(dtype)
    features = datasets.Features({"x": datasets.Array2D((6, 6), dtype)})
    data = datasets.Dataset.from_dict({"x": list(values)}, features=features)
    data.to_parquet(str(folder / "x.parquet"))
    return values


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_arrays_keep_shape_and_bytes(tmp_path, dtype):
    values = arrays(tmp_path, dtype)
    shards = Shards.open(tmp_path)
    assert str(shards.dtype) == f"torch.{dtype}"
    np.testing.assert_array_equal(next(shards.chunks(5)).numpy(), values)


def blobs(folder, n=240, shards=4):
    rng = np.random.default_rng(0)
    x = rng.random((n, 6), dtype=np.float32)
    for i, part in enumerate(np.array_split(x, shards)):
        columns = {f"c{j}": part[:, j] for j in range(6)}
        parquet.write_table(pyarrow.table(columns), folder / f"{i}.parquet")
    return x


def test_an_estimator_is_fitted_to_shards(tmp_path):
    x = torch.from_numpy(blobs(tmp_path))
    shards = Shards.open(tmp_path)
    model = SWAE(max_epochs=2, batch_size=50).fit(shards)
    assert len(model.validation_) == 60  # one of the four
    assert model.samples_per_epoch_ == 180
    np.testing.assert_allclose(model.transform(shards), model.transform(x), rtol=1e-5, atol=1e-6)
    assert model.score(shards) == pytest.approx(model.score(x), rel=1e-5)
    assert model.evaluate(shards).n == 240
    assert list(model.feature_names_in_) == [f"c{j}" for j in range(6)]


def test_a_run_over_shards_resumes_exactly(tmp_path):
    blobs(tmp_path)
    shards = Shards.open(tmp_path)
    settings = {"max_epochs": 3, "batch_size": 50, "patience": 3, "validation_size": 0.25}
    whole = SWAE(**settings).fit(shards)
    cut = SWAE(**settings)
    next(iter(cut.fit_epochs(shards)))
    cut.save_checkpoint(tmp_path / "run")
    resumed = SWAE(**settings)
    for _ in resumed.fit_epochs(shards, checkpoint=latest_checkpoint(tmp_path / "run")):
        pass
    for a, b in zip(
        whole.autoencoder_.state_dict().values(),
        resumed.autoencoder_.state_dict().values(),
        strict=True,
    ):
        assert torch.equal(a, b)
    (tmp_path / "3.parquet").unlink()
    with pytest.raises(DataError, match="not what the checkpoint was trained on"):
        cut.fit_epochs(Shards.open(tmp_path), checkpoint=latest_checkpoint(tmp_path / "run"))


def test_flat_rows_may_be_images(tmp_path):
    blobs(tmp_path)
    model = SWAE(max_epochs=1, image_shape=(1, 2, 3), network="mlp").fit(Shards.open(tmp_path))
    assert model.sample_shape_ == (1, 2, 3)
    assert model.transform(Shards.open(tmp_path)).shape == (240, 2)


NAMES = (
    "./0.png",
    "a/1.png",
    "a/1.cls",
    "a/2.png",
    "README",
    "b.c/1.png",
    "b/.h.png",
    "b/__1.png",
)


def test_an_archive_is_counted_as_the_library_reads_it(tmp_path):
    pixels = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(pixels, "PNG")
    with tarfile.open(tmp_path / "0.tar", "w") as archive:
        for name in NAMES:
            content = b"1" if name.endswith("cls") else pixels.getvalue()
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    assert count(tmp_path / "0.tar") == 4
    files = [str(tmp_path / "0.tar")]
    archive = datasets.DownloadManager().iter_archive(files[0])
    assert len(list(WebDataset._get_pipeline_from_tar(files[0], archive))) == 4


def columns(path, **columns):
    parquet.write_table(pyarrow.table(columns), path)


def test_a_row_that_is_none_is_refused_with_its_place(tmp_path):
    for i in range(3):
        columns(tmp_path / f"{i}.parquet", a=[0.1] * 300, b=[0.2] * 300)
    columns(tmp_path / "1.parquet", a=[0.1] * 300, b=[0.2] * 280 + [None] * 20)
    shards = Shards.open(tmp_path).select_shards([2, 1, 0])
    with pytest.raises(DataError, match=r"row 280 of .*1\.parquet holds NaN.* column 'b'"):
        list(shards.chunks(100))


def test_an_image_that_is_none_is_refused_with_its_place(tmp_path):
    archived(tmp_path, sizes=(3, 3))
    content = (tmp_path / "1.tar").read_bytes()
    at = content.rindex(b"\x89PNG")
    (tmp_path / "1.tar").write_bytes(content[:at] + b"nothing!" + content[at + 8 :])
    with pytest.raises(DataError, match=r"row 2 of .*1\.tar cannot be read \(not an image of a k"):
        list(Shards.open(tmp_path).chunks(10))


def test_images_of_another_size_are_refused_with_their_place(tmp_path):
    archived(tmp_path, sizes=(3,))
    other = tmp_path / "other"
    other.mkdir()
    archived(other, sizes=(2,), edge=9)
    (other / "0.tar").rename(tmp_path / "1.tar")
    with pytest.raises(DataError, match="images must have one size"):
        list(Shards.open(tmp_path).chunks(10))


@pytest.mark.parametrize("change", ["longer", "gone"])
def test_a_shard_that_changes_is_refused(tmp_path, change):
    shards = numbered(tmp_path)
    batches = ShardBatches(shards, 6)
    list(batches.epoch(0))
    if change == "gone":
        shards.files[1].unlink()
    else:
        columns(shards.files[1], a=[0.5] * 99, b=[0.5] * 99, kind=[0] * 99)
    with pytest.raises(DataError, match=r"part-2.parquet has to stay as it was"):
        list(batches.epoch(1))


def test_other_numbers_in_as_many_bytes_are_other_data(tmp_path):
    opened, sums = [], []
    for a in (np.arange(7) / 8, np.arange(7) / 4):
        path = tmp_path / "0.parquet"
        plain = {"compression": "none", "use_dictionary": False}
        parquet.write_table(pyarrow.table({"a": a}), path, **plain)
        opened.append(Shards.open(tmp_path))
        sums.append(opened[-1].fingerprint())
    assert opened[0].sizes == opened[1].sizes
    assert sums[0] != sums[1]


@pytest.mark.parametrize("other", ["text", "lacking"])
def test_a_shard_with_other_columns_is_named(tmp_path, other):
    numbered(tmp_path)
    a = {"a": ["x", "y"]} if other == "text" else {}
    columns(tmp_path / "part-3.parquet", b=[1.0, 2.0], kind=[0, 1], **a)
    with pytest.raises(DataError, match=r"part-3.parquet has ('a' as .*string|no 'a')"):
        Shards.open(tmp_path, label_column="kind")


def test_numbers_that_float32_can_not_tell_apart_are_refused(tmp_path):
    columns(tmp_path / "0.parquet", a=1e9 + np.random.default_rng(0).random(100))
    with pytest.raises(DataError, match="can't tell apart"):
        Shards.open(tmp_path)


@pytest.mark.parametrize("name", ["[12].parquet", "1*.parquet", "1?.parquet", "%31 ü.parquet"])
def test_a_name_is_no_pattern(tmp_path, name):
    folder = tmp_path / "a [b]*"
    folder.mkdir()
    for i, file in enumerate(("1.parquet", "12.parquet", name)):
        columns(folder / file, a=[float(i)] * 3)
    shards = Shards.open(folder)
    assert (
        sorted(flat(part[:, 0].tolist() for part in shards.chunks(2)))
        == [0] * 3 + [1] * 3 + [2] * 3
    )
    (tmp_path / "x::y").mkdir()
    with pytest.raises(ValueError, match="'::' in its path"):
        Shards.open(tmp_path / "x::y")


def test_an_archive_that_was_cut_is_refused(tmp_path):
    archived(tmp_path, sizes=(6,))
    path = tmp_path / "0.tar"
    content = path.read_bytes()
    with tarfile.open(path) as archive:
        end = max(m.offset_data + 512 for m in archive)
    assert count(path) == 6
    for cut in range(512, end + 1, 512):
        path.write_bytes(content[:cut])
        with pytest.raises(DataError, match=r"0.tar (is cut short|cannot be read)"):
            count(path)
    path.write_bytes(content[: end + 512])
    assert count(path) == 6


@pytest.mark.parametrize("name", ["a.npz", "a.pth", "a.png.gz", "a.json"])
def test_what_unpacks_in_an_archive_is_refused(tmp_path, name):
    with tarfile.open(tmp_path / "0.tar", "w") as archive:
        info = tarfile.TarInfo(name)
        info.size = 2**26 + 1 if name == "a.json" else 4
        archive.addfile(info, io.BytesIO(bytes(info.size)))
    with pytest.raises(DataError, match=f"'{name}': leave it out"):
        Shards.open(tmp_path)


def test_a_pipe_is_no_shard(tmp_path):
    numbered(tmp_path)
    os.mkfifo(tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"x\.parquet has to be a file"):
        Shards.open(tmp_path)


def test_opening_tells_nobody(tmp_path, monkeypatch):
    def reached(*_, **__):
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket, "getaddrinfo", reached)
    monkeypatch.setattr(datasets.load, "get_session", reached)
    assert len(numbered(tmp_path)) == N
    assert datasets.config.HF_UPDATE_DOWNLOAD_COUNTS


def test_what_is_no_folder_of_shards_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is no folder"):
        Shards.open(tmp_path / "none")
    with pytest.raises(DataError, match="got none"):
        Shards.open(tmp_path)
    (tmp_path / "x.parquet").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"x.parquet cannot be read"):
        Shards.open(tmp_path)
    (tmp_path / "y.tar").write_bytes(b"nothing")
    with pytest.raises(DataError, match="got both"):
        Shards.open(tmp_path)


def test_what_shards_can_not_do_is_refused(tmp_path):
    shards = numbered(tmp_path)
    with pytest.raises(ValueError, match="there have to be 2 or more"):
        SWAE(validation_size=0.1).fit(shards.select_shards([0]))
    with pytest.raises(ValueError, match="nothing"):
        Shards.open(tmp_path, columns=["nothing"])
    with pytest.raises(ValueError, match="holds no images"):
        Shards.open(tmp_path, image_size=8)
    with pytest.raises(ValueError, match="block must be at least 1"):
        ShardBatches(shards, 5, block=0)


def test_rows_come_from_all_over(tmp_path):
    shards = numbered(tmp_path)
    assert shards.spread(9).x[:, 1].tolist() == [0, 1, 7, 8, 9, 20, 21, 30, 31]
    assert len(shards.spread(1000)) == N
    found = shards.select(torch.tensor([30, 2]))
    assert found.x[:, 1].tolist() == [30, 2]
    assert found.labels.tolist() == [0, 2]


def test_no_more_is_read_ahead_than_a_group_of_rows(tmp_path):
    rows, group = 20_000, 100
    column = pyarrow.array(np.random.default_rng(0).random(rows))
    parquet.write_table(pyarrow.table({"a": column}), tmp_path / "0.parquet", row_group_size=group)
    shards, before, most = Shards.open(tmp_path), pyarrow.total_allocated_bytes(), 0
    for part in shards.parts(0, rows):
        most = max(most, pyarrow.total_allocated_bytes() - before)
        time.sleep(0.001)  # a slow reader, who has Arrow fill what it may
        assert len(part.x)
    assert 0 < most < 8 * rows / 4


def test_a_block_is_not_held_beside_the_next(tmp_path):
    batches = ShardBatches(numbered(tmp_path), 6, block=10)
    blocks = weakref.WeakSet()
    scattered = shards_module.scattered

    def noted(rows, order):
        assert len(blocks) == 0
        part = scattered(rows, order)
        blocks.add(part.x.untyped_storage())
        return part

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards_module, "scattered", noted)
        assert sorted(flat(rows_of(batches))) == list(range(N))


def test_labels_are_read_alone_and_stay_with_their_rows(tmp_path):
    shards = numbered(tmp_path).with_labels()
    assert shards.labels.tolist() == [i % 3 for i in range(N)]
    turned = shards.select_shards([2, 0])
    assert turned.labels.tolist() == [i % 3 for i in [*range(20, 30), *range(7)]]
    for x, labels in ShardBatches(turned, 4, block=3).epoch(1):
        assert (x[:, 1].int() % 3).tolist() == labels.tolist()
    archive = tmp_path / "archive"
    archive.mkdir()
    assert Shards.open(archived(archive)).with_labels().labels.tolist() == [0, 1] * 5


def test_labels_of_shards_steer(tmp_path):
    shards = numbered(tmp_path, (40, 40, 40))
    model = SWAE(conditional=True, max_epochs=2, validation_size=0.3, patience=5).fit(shards)
    assert model.classes_ == [0, 1, 2]
    assert model.prior_.components == 3
    assert model.sample(2, label=1).shape == (2, 2)
    only = dataclasses.replace(shards, label=None)
    with pytest.raises(ValueError, match="conditional wants labels"):
        SWAE(conditional=True).fit(only)


def test_a_class_that_is_held_back_as_a_whole_is_refused(tmp_path):
    for i in range(3):
        table = pyarrow.table({"a": [0.1 * j for j in range(9)], "kind": [i] * 9})
        parquet.write_table(table, tmp_path / f"{i}.parquet")
    shards = Shards.open(tmp_path, label_column="kind")
    with pytest.raises(ValueError, match="some classes are in these alone"):
        SWAE(conditional=True, validation_size=0.3).fit(shards)


def test_names_of_classes_are_kept(tmp_path):
    kinds = datasets.ClassLabel(names=["ant", "bee"])
    features = datasets.Features({"a": datasets.Value("float32"), "kind": kinds})
    data = datasets.Dataset.from_dict({"a": [0.0, 0.5] * 10, "kind": [1, 0] * 10}, features)
    data.to_parquet(str(tmp_path / "0.parquet"))
    shards = Shards.open(tmp_path)
    assert (shards.classes, shards.columns) == (("ant", "bee"), ("a",))
    model = SWAE(conditional=True, max_epochs=1).fit(shards)
    assert model.classes_ == ["ant", "bee"]
    assert model.validation_ is None  # of a single shard nothing is held back, but for who asks


def test_a_source_is_split_by_shards_or_folders(tmp_path):
    numbered(tmp_path)
    source = f"shards:{tmp_path}"
    train, test = (load_any(source, split, seed=1) for split in ("train", "test"))
    assert {*train.files, *test.files} == set(load_any(source, "all").files)
    assert (len(train.files), len(test.files)) == (3, 1)
    with pytest.raises(ValueError, match="load_any"):
        load(source)

    for name in ("train", "test"):
        (tmp_path / "own" / name).mkdir(parents=True)
        numbered(tmp_path / "own" / name, (5,))
    own = f"shards:{tmp_path / 'own'}"
    assert load_any(own, "test").files[0].parent.name == "test"
    with pytest.raises(ValueError, match="split must be 'train' or 'test'"):
        load_any(own, "all")


def test_limits_are_read_once(tmp_path, monkeypatch):
    shards = numbered(tmp_path)
    assert shards.limits() == (0, N - 1)
    monkeypatch.setattr(Shards, "parts", None)
    kept, held = shards.hold_out(0.3, seed=0)
    assert min(kept.limits()[0], held.limits()[0]) == 0
    assert max(kept.limits()[1], held.limits()[1]) == N - 1


def test_labels_that_are_texts_are_refused_in_words(tmp_path):
    pixels = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(pixels, "PNG")
    with tarfile.open(tmp_path / "0.tar", "w") as archive:
        for name, content in (("a.png", pixels.getvalue()), ("a.cls", b"cat")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    with pytest.raises(DataError, match=r"whole numbers in its files .cls, .* holds b'cat'"):
        Shards.open(tmp_path)


@pytest.mark.parametrize(
    ("first", "other"),
    [
        (pyarrow.array([True, False]), pyarrow.array([0.5, 3.0])),
        (pyarrow.array([1, 2]), pyarrow.array([0.5, 3.0])),
        (pyarrow.array(np.array([0.5, 1], np.float16)), pyarrow.array([0.1, 3.0])),
        (pyarrow.array([[1], [2]], pyarrow.list_(pyarrow.uint8())), pyarrow.array([[0.5], [3.0]])),
    ],
)
def test_shards_are_not_cast_to_each_others_types(tmp_path, first, other):
    for pair in ((first, other), (other, first)):
        for i, column in enumerate(pair):
            parquet.write_table(pyarrow.table({"a": column}), tmp_path / f"{i}.parquet")
        with pytest.raises(DataError, match=r"1.parquet has 'a' as .* and not .*, unlike 0.p"):
            Shards.open(tmp_path)


def test_classes_have_one_order_in_all_shards(tmp_path):
    for i, names in enumerate((["cat", "dog"], ["dog", "cat"])):
        kinds = datasets.ClassLabel(names=names)
        features = datasets.Features({"a": datasets.Value("float32"), "kind": kinds})
        data = datasets.Dataset.from_dict({"a": [0.0, 0.5], "kind": [0, 1]}, features)
        data.to_parquet(str(tmp_path / f"{i}.parquet"))
    with pytest.raises(DataError, match=r"1.parquet has 'kind' as ClassLabel"):
        Shards.open(tmp_path)


def test_what_the_library_can_not_read_is_said_with_its_place(tmp_path):
    pixels = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(pixels, "PNG")
    with tarfile.open(tmp_path / "0.tar", "w") as archive:
        for i in range(9):
            kind = b"1.5" if i == 7 else b"1"
            for suffix, content in (("png", pixels.getvalue()), ("cls", kind)):
                info = tarfile.TarInfo(f"{i}.{suffix}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    with pytest.raises(DataError, match=r"up to row 8 of .*0.tar, has to hold whole .* b'1.5'"):
        list(Shards.open(tmp_path).chunks(4))


def damaged_header(content, members):
    content[members[4].offset] ^= 1
    return content


def zeros_behind(content, members):
    at = members[6].offset
    return content[:at] + bytes(len(content) - at)


def two_archives(content, members):
    return content * 2


@pytest.mark.parametrize("damage", [damaged_header, zeros_behind, two_archives])
def test_an_archive_that_loses_rows_is_refused(tmp_path, damage):
    archived(tmp_path, sizes=(40,), colour=True)
    path = tmp_path / "0.tar"
    with tarfile.open(path) as archive:
        members = archive.getmembers()
    path.write_bytes(damage(bytearray(path.read_bytes()), members))
    with pytest.raises(DataError, match=r"0.tar is cut short or damaged, or more than one"):
        count(path)


def test_an_archive_may_end_with_a_folder(tmp_path):
    archived(tmp_path, sizes=(3,))
    with tarfile.open(tmp_path / "0.tar", "a") as archive:
        info = tarfile.TarInfo("set")
        info.type = tarfile.DIRTYPE
        archive.addfile(info)
    assert count(tmp_path / "0.tar") == 3


def test_a_column_more_is_refused_with_its_file(tmp_path):
    numbered(tmp_path)
    columns(tmp_path / "part-3.parquet", a=[1.0], b=np.ones(1, np.float32), kind=[0], zz=[1])
    with pytest.raises(DataError, match=r"part-3.parquet has 'zz' besides"):
        Shards.open(tmp_path, label_column="kind")


def test_an_archive_without_labels_or_images_is_refused(tmp_path):
    for i, suffixes in enumerate((("png", "cls"), ("png",))):
        pixels = io.BytesIO()
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(pixels, "PNG")
        with tarfile.open(tmp_path / f"{i}.tar", "w") as archive:
            for suffix in suffixes:
                content = pixels.getvalue() if suffix == "png" else b"1"
                info = tarfile.TarInfo(f"a.{suffix}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    with pytest.raises(DataError, match=r"1.tar has no 'cls', unlike 0.tar"):
        Shards.open(tmp_path)


def test_a_command_wants_two_shards_or_two_folders(tmp_path):
    numbered(tmp_path, (9,))
    with pytest.raises(ValueError, match="is alone: write its rows as several, or make two"):
        load_any(f"shards:{tmp_path}", "train")
