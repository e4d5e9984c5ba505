"""Tests for the swae.tables and swae.columns modules."""

import datetime
import decimal
import sys

import numpy as np
import polars as pl
import pytest
import torch

from swae import columns, tables
from swae.data import DataError, holdout
from swae.reading import tell
from swae.sources import load


@pytest.fixture(autouse=True)
def untold(caplog):
    """Each test hears what is said once a process."""
    tell.cache_clear()
    caplog.set_level("INFO", logger="swae")


@pytest.fixture
def write(tmp_path):
    def write(content, name="a.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


FRAME = pl.DataFrame(
    {"b": [1.5, -2.0, 3e-7], "a": [1, 2, 3], "flag": [True, False, True], "kind": ["y", None, "x"]}
)


def written(frame, path):
    match path.suffix:
        case ".parquet":
            frame.write_parquet(path)
        case ".tsv":
            frame.write_csv(path, separator="\t")
        case _:
            frame.write_csv(path)
    return path


# ----- what is read


@pytest.mark.parametrize("suffix", tables.SUFFIXES)
def test_the_formats_hold_the_same(tmp_path, suffix):
    samples = tables.read(written(FRAME, tmp_path / f"a{suffix}"), label_column="kind")
    assert samples.x.dtype == torch.float32
    expected = np.array([[1.5, 1, 1], [-2, 2, 0], [3e-7, 3, 1]], dtype=np.float32)
    np.testing.assert_array_equal(samples.x.numpy(), expected)
    assert samples.columns == ("b", "a", "flag")
    assert samples.labels.tolist() == [1, -1, 0]
    assert samples.classes == ("x", "y")


def test_values_come_back_to_the_last_bit(tmp_path):
    x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    x[0] = [np.finfo(np.float32).max, np.finfo(np.float32).tiny, 0]
    frame = pl.DataFrame(x, schema=["a", "b", "c"])
    for suffix in (".csv", ".parquet"):
        read = tables.read(written(frame, tmp_path / f"x{suffix}"))
        np.testing.assert_array_equal(read.x.numpy(), x)


@pytest.mark.parametrize(
    ("content", "x", "names"),
    [
        ("a,b\n1,2\n3,4\n", [[1, 2], [3, 4]], ("a", "b")),
        ("a,b\r\n1,2\r\n\r\n\r\n", [[1, 2]], ("a", "b")),
        ("\ufeffa, b\n1, 2", [[1, 2]], ("a", "b")),
        ("a;b\n1;2\n", [[1, 2]], ("a", "b")),
        ("a\tb\n1\t2\n", [[1, 2]], ("a", "b")),
        ('"a,b","c\nd"\n1,2\n', [[1, 2]], ("a,b", "c\nd")),
        ("1,2\n3,4\n", [[1, 2], [3, 4]], ("x0", "x1")),
        ("a,b\nTrue,1\nfalse,2\n", [[1, 1], [0, 2]], ("a", "b")),
        ("a\n1e3\n-.5\n+7\n", [[1000], [-0.5], [7]], ("a",)),
        (f"a\n{'9' * 30}\n", [[1e30]], ("a",)),
        (",a\n0,5\n1,6\n", [[5], [6]], ("a",)),
    ],
)
def test_text(write, content, x, names):
    samples = tables.read(write(content))
    np.testing.assert_array_equal(samples.x.numpy(), np.array(x, dtype=np.float32))
    assert (samples.columns, samples.labels, samples.classes) == (names, None, ())


def test_columns_are_in_the_order_of_the_choice(tmp_path):
    samples = tables.read(written(FRAME, tmp_path / "a.csv"), columns=["a", "b"])
    assert samples.columns == ("a", "b")
    assert samples.x[1].tolist() == [2, -2]


def test_what_float32_can_not_tell_apart_is_said(tmp_path, caplog):
    frame = pl.DataFrame({"second": [1_700_000_000 + i for i in range(60)], "a": range(60)})
    path = written(frame, tmp_path / "a.csv")
    tables.read(path)
    assert [m.partition(" that float32")[0] for m in caplog.messages] == [
        f"In {path} the column 'second' varies by so little"
    ]


def test_what_is_left_out_is_said(tmp_path, write, caplog):
    frame = pl.DataFrame(
        {
            "a": [1, 2],
            "bytes": pl.Series([0, 255], dtype=pl.UInt8),
            "price": [decimal.Decimal("1.5")] * 2,
            "day": [datetime.date(2020, 1, 1)] * 2,
            "text": ["1", "2"],
            "list": [[1], [2]],
            "__index_level_0__": [0, 1],
        }
    )
    samples = tables.read(written(frame, tmp_path / "a.parquet"))
    assert samples.x.tolist() == [[1, 0, 1.5], [2, 255, 1.5]]
    assert caplog.messages == [
        f"These columns of {tmp_path}/a.parquet are left out: 'day', 'text', 'list', one without "
        "a name."
    ]
    caplog.clear()
    path = write(",a,t\n0,5,u\n1,6,v\n")
    for _ in range(2):
        tables.read(path)
    assert caplog.messages == [f"These columns of {path} are left out: one without a name, 't'."]
    caplog.clear()
    tables.read(write("1,2\n", "bare.csv"))
    assert "bare.csv has no line of names: its columns are x0 to x1" in caplog.text


@pytest.mark.parametrize(
    ("column", "labels", "classes"),
    [
        (["3", "1", ""], [3, 1, -1], ()),
        (["3.0", "1.0", ""], [3, 1, -1], ()),
        (["b", "a", ""], [1, 0, -1], ("a", "b")),
        (["10", "9", "x"], [0, 1, 2], ("10", "9", "x")),
        (["true", "false", ""], [1, 0, -1], ("false", "true")),
        (["-1", "0", "1"], [-1, 0, 1], ()),
    ],
)
def test_labels(write, column, labels, classes):
    path = write("a,y\n" + "".join(f"1,{label}\n" for label in column))
    samples = tables.read(path, label_column="y")
    assert samples.labels.dtype == torch.int64
    assert (samples.labels.tolist(), samples.classes) == (labels, classes)


@pytest.mark.parametrize(
    ("series", "labels", "classes"),
    [
        (pl.Series([3, None], dtype=pl.UInt8), [3, -1], ()),
        (pl.Series([3.0, None]), [3, -1], ()),
        (pl.Series([True, None]), [1, -1], ()),
        (pl.Series(["7", None]), [0, -1], ("7",)),
        (pl.Series(["b", "a"], dtype=pl.Categorical), [1, 0], ("a", "b")),
        (pl.Series(["b", "a"], dtype=pl.Enum(["b", "a"])), [1, 0], ("a", "b")),
    ],
)
def test_labels_with_types(tmp_path, series, labels, classes):
    path = written(pl.DataFrame({"a": [1, 2], "y": series}), tmp_path / "a.parquet")
    samples = tables.read(path, label_column="y")
    assert (samples.labels.tolist(), samples.classes) == (labels, classes)


def test_a_split_is_drawn_as_of_an_array(write):
    path = write("a,y\n" + "".join(f"{i},{'uv'[i % 2]}\n" for i in range(10)))
    for split, rows in zip(("train", "test"), holdout(10, 0.2, seed=3), strict=True):
        samples = load(path, split, seed=3, label_column="y")
        assert samples.x[:, 0].tolist() == rows.tolist()
        assert samples.labels.tolist() == (rows % 2).tolist()
        assert (samples.columns, samples.classes) == (("a",), ("u", "v"))


# ----- what is refused


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n3,\n", "the column 'b' has to hold .* but holds none in line 3 .1 such of 2"),
        ("a,b\n1,2\n\n3,4\n", "the column 'a' .* holds none in line 3"),
        ("a,b\n1\n2,3\n", "the column 'b' .* holds none in line 2"),
        ("a,b\n1,2\n3,NaN\n", "the column 'b' .* holds none in line 3"),
        ("a,b\n1,2\n3,-inf\n", "the column 'b' .* holds infinity or .* in line 3"),
        ("a,b\n1,2\n3,1e39\n", "the column 'b' .* too large for float32 in line 3"),
        ("1,2\n3,\n", "the column 'x1' .* holds none in line 2"),
        ('a,b\n"x\ny",1\nz,\n', "the column 'b' .* holds none in row 1"),
        ("a,b\n1,2\n3,?\n4,5\n", r"the column 'b' has to hold numbers, but holds '\?' in line 3"),
        ("a,b\n1,2\n1,2,3\n", "2 fields in each line, as in the first, but has 3 in line 3"),
        ("a,a\n1,2\n", "names 'a' twice"),
        ("a;b\n1;2,5\n", "the column 'b' holds '2,5' in line 2, with a decimal comma"),
        ('a,b\n1,"-2,5"\n', "'-2,5' in line 2, with a decimal comma"),
        ("1,5;2,5\n3,5;4,5\n", "'3,5' in line 2, with a decimal comma"),
        ("", "but is empty"),
        ("\n\n", "but is empty"),
        ("\na\n1\n", "begins with an empty line"),
        ("a,b", "a row below the names"),
        ("a,b\n\n", "a row below the names"),
        ("a\nu\nv\n", "a column of numbers, but holds none beside 'a'"),
        ('a,b\n"1,2\n', "cannot be read"),
        (b"\xff\xfea\x00", "is not text in UTF-8: save it as UTF-8"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "is not text in UTF-8: save it as UTF-8"),
        (b"a\n\xe9\n", "is not text in UTF-8: save it as UTF-8"),
        (b"\0" * 100, "a row below the names"),
    ],
)
def test_bad_text(write, content, message):
    path = write(content)
    with pytest.raises(DataError, match=message) as error:
        tables.read(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pl.DataFrame({"a": [1, None]}), "the column 'a' .* holds none in row 1"),
        (pl.DataFrame({"a": [1.0, float("nan")]}), "the column 'a' .* holds none in row 1"),
        (pl.DataFrame({"a": [1.0, 1e39]}), "the column 'a' .* too large for float32 in row 1"),
        (pl.DataFrame({"a": ["u"]}), "a column of numbers, but holds none beside 'a'"),
        (pl.DataFrame({"a": []}), "a row below the names"),
        (pl.DataFrame(), "a row below the names"),
    ],
)
def test_bad_parquet(tmp_path, frame, message):
    with pytest.raises(DataError, match=message) as error:
        tables.read(written(frame, tmp_path / "a.parquet"))
    assert str(tmp_path / "a.parquet") in str(error.value)


def test_broken_parquet(tmp_path, write):
    whole = written(FRAME, tmp_path / "whole.parquet").read_bytes()
    for content in (b"", b"PAR1", b"a,b\n1,2\n", whole[:-1], whole[:40], whole[40:]):
        with pytest.raises(DataError, match=r"a\.parquet cannot be read"):
            tables.read(write(content, "a.parquet"))


def test_more_rows_than_memory_are_not_read(tmp_path, monkeypatch):
    path = written(FRAME, tmp_path / "a.parquet")
    monkeypatch.setattr("os.sysconf", lambda name: 1)
    with pytest.raises(DataError, match="announces 3 rows of 4 columns, more than the memory"):
        tables.read(path)


def test_a_panic_is_an_error(write, monkeypatch):
    def panic(*args, **kwargs):
        raise pl.exceptions.PanicException("index out of bounds\nsomewhere")

    monkeypatch.setattr(pl, "read_csv", panic)
    with pytest.raises(DataError, match=r"a\.csv cannot be read \(index out of bounds\)"):
        tables.read(write("a\n1\n"))


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"label_column": "knid"}, r"label_column must be a column of .*a\.csv.*mean 'kind'"),
        ({"label_column": "Kind"}, "Did you mean 'kind'"),
        ({"label_column": "b"}, r"label column 'b' has to hold whole numbers .* 1.5 in line 2"),
        ({"columns": ["a", "B"]}, "columns must be columns of .*got 'B'. Did you mean 'b'"),
        ({"columns": ["a", "a"]}, "each column once, got 'a' twice"),
        ({"columns": []}, "at least one column"),
        ({"columns": ["a"], "label_column": "a"}, "leave out the label column, got 'a'"),
        ({"columns": ["kind"]}, "the column 'kind' has to hold numbers, but does not"),
    ],
)
def test_choices_that_cannot_be_met(tmp_path, chosen, message):
    with pytest.raises(ValueError, match=message):
        tables.read(written(FRAME, tmp_path / "a.csv"), **chosen)


def test_a_date_is_no_label(tmp_path):
    frame = pl.DataFrame({"a": [1], "day": [datetime.date(2020, 1, 1)]})
    with pytest.raises(DataError, match=r"label column 'day' .* but holds Date"):
        tables.read(written(frame, tmp_path / "a.parquet"), label_column="day")


def test_without_the_library(write, monkeypatch):
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ValueError, match=r"pip install 'swae\[tables\]'"):
        tables.read(write("a\n1\n"))


# ----- names


@pytest.mark.parametrize(
    ("text", "names"),
    [("a", ["a"]), ("a, b", ["a", "b"]), ('"a,b",c', ["a,b", "c"]), (" a b ", ["a b"])],
)
def test_names_are_split_at_commas(text, names):
    assert columns.split_names(text) == names


@pytest.mark.parametrize("text", ["", " ", "a,,b", ","])
def test_empty_names(text):
    with pytest.raises(ValueError, match="--columns has to be names"):
        columns.split_names(text)


@pytest.mark.parametrize(
    ("probe", "sentence"),
    [
        ("import os; os.abort()", r"its reader ended with -6"),
        (
            "import os, sys; print('memory allocation of 9 bytes failed', file=sys.stderr, "
            "flush=True); print('  0: stack', file=sys.stderr, flush=True); os.abort()",
            r"memory allocation of 9 bytes failed",
        ),
    ],
)
def test_a_file_that_ends_its_reader_is_refused(tmp_path, monkeypatch, probe, sentence):
    """polars aborts the process at some pages; so another one reads first."""
    monkeypatch.setattr(tables, "PROBE", probe)
    pl.DataFrame({"a": [1.0, 2.0]}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=rf"a\.parquet cannot be read \({sentence}\): replace"):
        tables.read(tmp_path / "a.parquet")


def test_the_reader_runs_nothing_of_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "polars.py").write_text("raise SystemExit(1)")
    pl.DataFrame({"a": [1.0, 2.0]}).write_parquet(tmp_path / "a.parquet")
    monkeypatch.chdir(tmp_path)
    assert len(tables.read(tmp_path / "a.parquet")) == 2
