"""Labels of any kind, and the shares of classes of which few labels are known."""

import math

import numpy as np
import pytest
import torch

from swae.classes import class_shares, classes_of, labelled
from swae.data import Samples


@pytest.mark.parametrize(
    ("y", "names", "labels"),
    [
        ([3, 1, 3], [1, 3], [1, 0, 1]),
        ([3, -1, 1], [1, 3], [1, -1, 0]),
        (np.array([2, 5], dtype=np.uint8), [2, 5], [0, 1]),
        (torch.tensor([5, -1]), [5], [0, -1]),
        ([2.0, math.nan], [2], [0, -1]),
        (np.array([2.0, np.nan], dtype=np.float32), [2], [0, -1]),
        (["b", None, "a"], ["a", "b"], [1, -1, 0]),
        (np.array(["b", "a", "b"]), ["a", "b"], [1, 0, 1]),
        (["b", -1, "a"], ["a", "b"], [1, -1, 0]),
        ([True, False], [0, 1], [1, 0]),
    ],
)
def test_labels_are_numbered_in_order(y, names, labels):
    classes = classes_of(y)
    assert classes.names == names
    assert {type(name) for name in classes.names} <= {int, str}
    assert classes.labels.dtype == torch.int64
    assert classes.labels.tolist() == labels


@pytest.mark.parametrize(
    ("labels", "names", "numbers"),
    [
        ([1, -1, 0], ["owl", "ant"], [1, -1, 0]),
        ([2, 0, -1], ["owl", "bee"], [1, 0, -1]),
    ],
)
def test_the_names_that_occur_are_the_classes(labels, names, numbers):
    samples = Samples(torch.rand(3, 2), torch.tensor(labels), classes=("owl", "ant", "bee"))
    named, classes = labelled(samples, None)
    assert (classes.names, classes.labels.tolist()) == (names, numbers)
    assert named.labels.tolist() == numbers
    assert labelled(samples, [7, 8, 7])[1].names == [7, 8]


@pytest.mark.parametrize("names", [("owl",), ("owl", "owl")])
def test_names_that_do_not_fit(names):
    samples = Samples(torch.rand(2, 2), torch.tensor([0, 1]), classes=names)
    with pytest.raises(ValueError, match="name the labels 0, 1, from 0 and each once, but is owl"):
        labelled(samples, None)


@pytest.mark.parametrize(
    ("y", "dtype", "names", "labels"),
    [
        ([3, None, 1], "Int64", [1, 3], [1, -1, 0]),
        (["b", None, "a"], "string", ["a", "b"], [1, -1, 0]),
        ([None, 2, 2], "Float64", [2], [-1, 0, 0]),
    ],
)
def test_what_pandas_calls_missing_is_no_label(y, dtype, names, labels):
    pandas = pytest.importorskip("pandas")
    classes = classes_of(pandas.Series(y, dtype=dtype))
    assert (classes.names, classes.labels.tolist()) == (names, labels)


@pytest.mark.parametrize(
    ("y", "sentence"),
    [
        ([[0], [1]], r"shape \(n,\), but has \(2, 1\)"),
        ([-1, None, math.nan], "hold a label at least, but all are -1, NaN or None"),
        ([], "hold a label at least"),
        ([1, "a"], "but holds both"),
        ([1.5], "whole numbers or strings, but holds 1.5"),
        ([math.inf], "whole numbers or strings, but holds inf"),
        ([(1, 2), (1,)], r"whole numbers or strings, but holds \(1, 2\)"),
    ],
)
def test_labels_that_are_none(y, sentence):
    with pytest.raises(ValueError, match=sentence):
        classes_of(y)


def test_labels_of_all_samples_are_the_shares():
    labels = torch.tensor([0, 0, 0, 1, 2, 2])
    torch.testing.assert_close(class_shares(labels, 3), labels.bincount() / 6)


def test_many_labels_tell_the_shares():
    known = torch.arange(100_000) % 10
    known = known.where(known > 2, 0)
    shares = class_shares(torch.cat((known, torch.full((100_000,), -1))), 10)
    torch.testing.assert_close(shares, known.bincount(minlength=10) / 1e5, rtol=0, atol=1e-4)


def test_few_labels_of_equal_classes_are_nearly_equal():
    """Nearer than their frequencies, on average over draws."""
    errors = []
    for _ in range(100):
        known = torch.randint(0, 10, (600,))
        frequencies = known.bincount(minlength=10) / 600
        shares = class_shares(torch.cat((known, torch.full((60_000,), -1))), 10)
        errors.append([(s - 0.1).abs().sum() for s in (shares, frequencies)])
    ours, plain = torch.tensor(errors).mean(dim=0)
    assert ours < 0.5 * plain


@pytest.mark.parametrize("labels", [[0], [0, 1], [-1, 0, 2], [1, 1, 1]])
def test_shares_sum_to_one(labels):
    shares = class_shares(torch.tensor(labels), 3)
    assert (shares >= 0).all()
    assert shares.sum().item() == pytest.approx(1)
