"""Folders whose files have sums, and what is done about those that are not what was written."""

import json
import os
import shutil
from pathlib import Path

import pytest

from swae.manifest import MOST_JSON, CorruptError, check_sum, from_json, read_folder, write_folder


@pytest.fixture
def folder(tmp_path):
    write_folder(tmp_path / "f", {"a.txt": b"one", "b.txt": b"two"})
    return tmp_path / "f"


def test_folders_come_back(folder):
    assert read_folder(folder) == {"a.txt": b"one", "b.txt": b"two"}
    (folder / "other.txt").write_bytes(b"of someone else")
    assert "other.txt" not in read_folder(folder)


def damage_flip(folder):
    content = bytearray((folder / "b.txt").read_bytes())
    content[1] ^= 1
    (folder / "b.txt").write_bytes(content)


def damage_fifo(folder):
    (folder / "b.txt").unlink()
    os.mkfifo(folder / "b.txt")


DAMAGE = {
    "flipped": (damage_flip, r"b\.txt is not what was written: its sha256 differs"),
    "truncated": (lambda f: (f / "b.txt").write_bytes(b"tw"), r"b\.txt is not what was written"),
    "missing": (lambda f: (f / "b.txt").unlink(), r"b\.txt is missing or unreadable"),
    "fifo": (damage_fifo, r"b\.txt is missing or unreadable"),
    "no manifest": (lambda f: (f / "manifest.json").unlink(), r"manifest\.json is missing"),
    "no folder": (shutil.rmtree, r"manifest\.json is missing"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_named(folder, kind):
    damage, sentence = DAMAGE[kind]
    damage(folder)
    with pytest.raises(CorruptError, match=sentence):
        read_folder(folder)


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"{",
        b"[]",
        b"3",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"b.txt": 5}',
        b'{"nothing.txt": "00"}',
        b'{"a\\u0000b": "00"}',
        b'{"\\ud800": "00"}',
        *(
            json.dumps({name: "00"}).encode()
            for name in (
                "",
                ".",
                "..",
                "../a.txt",
                "/etc/passwd",
                "x/../../a.txt",
                "a/b",
                "a" * 999,
            )
        ),
    ],
)
def test_hostile_manifests(folder, manifest):
    (folder / "manifest.json").write_bytes(manifest)
    with pytest.raises(CorruptError, match=str(folder)):
        read_folder(folder)


def test_a_write_that_dies_before_the_files_take_their_places_leaves_the_old(folder, monkeypatch):
    monkeypatch.setattr(Path, "replace", die_at(1))
    with pytest.raises(KeyboardInterrupt):
        write_folder(folder, {"a.txt": b"1", "b.txt": b"2"})
    monkeypatch.undo()
    assert read_folder(folder) == {"a.txt": b"one", "b.txt": b"two"}


@pytest.mark.parametrize("k", [2, 3])
def test_a_write_that_dies_between_them_is_no_folder(folder, monkeypatch, k):
    """The manifest comes last: old and new files together are no folder."""
    monkeypatch.setattr(Path, "replace", die_at(k))
    with pytest.raises(KeyboardInterrupt):
        write_folder(folder, {"a.txt": b"1", "b.txt": b"2"})
    monkeypatch.undo()
    with pytest.raises(CorruptError, match=r"a\.txt is not what was written"):
        read_folder(folder)
    write_folder(folder, {"a.txt": b"1", "b.txt": b"2"})
    assert read_folder(folder) == {"a.txt": b"1", "b.txt": b"2"}
    assert sorted(path.name for path in folder.iterdir()) == ["a.txt", "b.txt", "manifest.json"]


def die_at(k):
    replace, calls = Path.replace, []

    def replace_or_die(path, target):
        calls.append(path)
        if len(calls) == k:
            raise KeyboardInterrupt
        return replace(path, target)

    return replace_or_die


def test_a_sum_takes_no_memory(tmp_path, cheap):
    (tmp_path / "zeros").touch()
    os.truncate(tmp_path / "zeros", 2**26)
    with cheap(), pytest.raises(CorruptError, match="sha256 differs"):
        check_sum(tmp_path / "zeros", "00")


# ----- JSON that is not believed


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"[" * 1000, "is no JSON"),
        (b"[" + b"[]," * 1_000_000 + b"[]]", "more lists and objects"),
        (b"[" + b"{}," * 1_000_000 + b"{}]", "more lists and objects"),
        (b"[" * 200_000 + b'"' + b"\\" * (MOST_JSON - 200_001), "more lists and objects"),
        (b'"' + b"[" * 200_000 + b"\\" * (MOST_JSON - 200_001), "more lists and objects"),
        (b"'", "is no JSON"),
        (b'{"a": NaN, "a": 1e999' + b" " * MOST_JSON, "is no JSON"),
    ],
)
def test_hostile_json_takes_no_time_and_no_memory(cheap, content, sentence):
    with cheap(), pytest.raises(CorruptError, match=rf"x\.json .*{sentence}"):
        from_json(content, Path("x.json"))


def test_brackets_in_names_are_no_lists():
    names = [f'a[{i}] {{"b"}}\\' for i in range(200_000)]
    assert from_json(json.dumps(names).encode(), Path("x")) == names
