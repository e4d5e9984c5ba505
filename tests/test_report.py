"""Reports: well-formed, self-contained, escaped, and true to the folder that they tell of."""

import base64
import hashlib
import io
import json
import os
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
import yaml
from PIL import Image

from swae.cli import main
from swae.manifest import CorruptError
from swae.report import compare, page, read_account, write_comparison, write_report
from swae.report import measures as of
from swae.report.charts import curves, overlaid
from swae.report.comparing import best, judges_of
from swae.report.shrinking import shrunk
from swae.run import Run, RunError

EVIL = '<script>alert("1")</script>&\'x'
VOID = {"meta", "img", "br", "link", "input", "hr"}
SETTINGS = {
    "data": "digits",
    "latent_dim": 2,
    "prior": "uniform",
    "validation_size": 0.1,
    "max_epochs": 3,
    "seed": 0,
    "patience": None,
    "standardize": False,
}


def png(width=30, height=20):
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "white").save(buffer, format="png")
    return buffer.getvalue()


def row(epoch, **others):
    """A line of metrics; every number in it is another, so that none can be taken for another."""
    names = ("bce", "l1", "mse", "psnr", "sw2", "sw2_null", "sw2_axes", "sw2_axes_null")
    names += ("sw2_principal", "sw2_principal_null", "outside")
    values = {f"val_{name}": 0.3 / epoch + 0.0123 * i for i, name in enumerate(names, start=1)}
    own = {"epoch": epoch, "step": 7 * epoch, "seconds": 0.5 * epoch, "loss": 2.0 / epoch}
    return {**own, "bce": 0.7 / epoch, "learning_rate": 0.01, "val_n": 120, **values, **others}


def write(folder, *, rows=None, figures=("samples", "triptych", "curves"), **settings):
    """Writes a run folder by hand."""
    run = Run(folder)
    run.figures.mkdir(parents=True)
    run.model.mkdir()
    run.write_config(SETTINGS | settings)
    for line in [row(i) for i in (1, 2, 3)] if rows is None else rows:
        run.record(line)
    (run.model / "config.json").write_text(json.dumps({"swae": "0.0", "shape": [1, 8, 8]}))
    for i, name in enumerate(figures):
        (run.figures / f"{name}.png").write_bytes(png(width=30 + 40 * i))
    run.note({"after_epoch": 0, "samples": 1000, "judged": "held-back training samples"})
    return folder


class Page(HTMLParser):
    """Takes a page apart, and complains where its tags do not balance."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text, self.styles = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs), attrs
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert "svg" in self.open, tag  # only there a slash closes
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        (self.styles if self.open[-1:] == ["style"] else self.text).append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "run")


@pytest.fixture
def pair(tmp_path):
    better = [row(i, val_bce=0.01, val_sw2=row(i)["val_sw2_null"] * 1.01) for i in (1, 2)]
    write(tmp_path / "a")
    write(tmp_path / "b", rows=better, max_epochs=2)
    return [tmp_path / "a", tmp_path / "b"]


def pages(folder, pair):
    return [page(read_account(folder)), compare([read_account(path) for path in pair])]


# ----- the page


def test_pages_are_well_formed(folder, pair):
    for text in pages(folder, pair):
        parts = Page(text)
        assert text.startswith("<!doctype html>")
        assert parts.all("html") == [{"lang": "en"}]
        assert len(parts.all("h1")) == len(parts.all("main")) == len(parts.all("title")) == 1
        names = [attrs["id"] for _, attrs in parts.tags if "id" in attrs]
        assert len(names) == len(set(names))
        labels = [a["aria-labelledby"] for _, a in parts.tags if "aria-labelledby" in a]
        assert set(labels) <= set(names)


def test_pages_ask_for_nothing(folder, pair):
    for text in pages(folder, pair):
        parts = Page(text)
        (css,) = parts.styles
        assert not {"script", "link", "iframe", "object", "base", "form"} & {
            tag for tag, _ in parts.tags
        }
        for tag, attrs in parts.tags:
            for name in ("src", "href", "srcset", "xlink:href", "poster", "action", "data"):
                assert (attrs.get(name) or "data:").startswith("data:"), (tag, attrs)
            assert not [name for name in attrs if name.startswith("on") or name == "style"]
        assert "url(" not in css
        assert "@import" not in css
        assert not re.search(r"https?:|//", re.sub("base64,[A-Za-z0-9+/=]+", "", text))


def test_the_policy_allows_pictures_within_and_this_style_alone(folder):
    parts = Page(page(read_account(folder)))
    (policy,) = (a["content"] for a in parts.all("meta") if "http-equiv" in a)
    digest = hashlib.sha256("".join(parts.styles).encode()).digest()
    assert policy == (
        "default-src 'none'; img-src data:; "
        f"style-src 'sha256-{base64.b64encode(digest).decode()}'; base-uri 'none'; "
        "form-action 'none'"
    )


def test_pictures_are_those_of_the_folder_with_a_text_instead(folder):
    images = Page(page(read_account(folder))).all("img")
    stored = {
        (folder / "figures" / f"{name}.png").read_bytes() for name in ("samples", "triptych")
    }
    shown = {base64.b64decode(image["src"].partition(",")[2]) for image in images}
    assert shown == stored  # curves are drawn as SVG
    for image in images:
        assert len(image["alt"]) > 20
        assert int(image["width"]) > int(image["height"]) == 20


def test_every_number_is_that_of_the_last_line(folder):
    account = read_account(folder)
    last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    found = re.findall(
        r'<tr data-key="(\w+)">.*?</th><td class="n">(.*?)</td><td class="n">(.*?)</td>'
        r'<td class="n">(.*?)</td>',
        page(account),
    )
    assert [key for key, *_ in found] == [measure.key for measure in of.MEASURES]
    for key, value, null, ratio in found:
        assert values_in(value) == [last[key]]
        if key.startswith("val_sw2"):
            assert values_in(null) == [last[f"{key}_null"]]
            assert values_in(ratio) == [last[key] / last[f"{key}_null"]]
        else:
            assert null == ratio == ""


def values_in(text):
    """Returns the exact numbers of a cell, whose words have to be these in four digits."""
    found = []
    for exact, words in re.findall(r'<data value="([^"]+)">(.*?)</data>', text):
        number = float(exact)
        shown = float(words.rstrip(" %dBnats").replace("−", "-").replace(",", ""))
        assert shown / (100 if "%" in words else 1) == pytest.approx(number, rel=2e-3, abs=5e-4)
        found.append(number)
    return found


def test_time_and_throughput_are_of_the_median_epoch(folder):
    text = page(read_account(folder))
    assert '<data value="1.0">1 s</data>' in text  # of 0.5, 1.0 and 1.5
    assert '<data value="3.0">3 s</data>' in text
    assert "1,000 samples/s" in text


def test_what_the_user_named_is_escaped(tmp_path):
    folder = write(
        tmp_path / 'r<b>"&',
        data=f"/data/{EVIL}/{EVIL}.csv",
        prior=EVIL,
        columns=[EVIL, "b"],
        figures=("samples", "<i>mine</i>&".replace("/", "")),
    )
    run = Run(folder)
    run.reject([(EVIL, EVIL)])
    (run.model / "config.json").write_text(json.dumps({"swae": EVIL, "shape": [EVIL]}))
    run.record(row(4, **{EVIL: 0.5}))
    run.note({EVIL: EVIL, "judged": EVIL})
    other = write(tmp_path / EVIL.replace("/", ""))
    for text in (
        page(read_account(folder)),
        compare([read_account(folder), read_account(other)]),
    ):
        parts = Page(text)
        assert not {"script", "b", "i"} & {tag for tag, _ in parts.tags}
        assert EVIL in "".join(parts.text)


def test_the_same_folder_gives_the_same_bytes(folder, pair):
    assert pages(folder, pair) == pages(folder, pair)
    write_report(Run(folder))
    first = Run(folder).report.read_bytes()
    write_report(Run(folder))  # whose folder holds a report by now
    assert Run(folder).report.read_bytes() == first


def test_missing_pieces_are_left_out(tmp_path):
    old = write(tmp_path / "old", figures=())
    for name in ("made.jsonl", "model/config.json"):
        (old / name).unlink()
    text = page(read_account(old))
    Page(text)
    assert "<img" not in text
    assert "samples/s" not in text
    assert "SWAE.load" not in text
    assert "held-back training samples" in text

    bare = write(tmp_path / "bare", rows=[{"epoch": 1}], figures=(), validation_size=0)
    text = page(read_account(bare))
    Page(text)
    assert "The run noted no numbers" in text


def test_a_picture_that_is_none_is_left_out(folder):
    (folder / "figures" / "modes.png").write_bytes(b"no picture")
    (folder / "figures" / "codes.png").write_bytes(png()[:16] + bytes(8))
    (folder / "figures" / "cut.png").write_bytes(png()[:-30])
    assert set(read_account(folder).pictures) == {"samples", "triptych"}


def stored(image):
    buffer = io.BytesIO()
    Image.fromarray(image.astype(np.uint8)).save(buffer, format="png")
    return buffer.getvalue()


def test_a_picture_that_is_a_pipe_is_left_out(folder):
    os.mkfifo(folder / "figures" / "pipe.png")
    assert "pipe" not in read_account(folder).pictures


def test_a_line_that_nests_without_end_is_damage(folder):
    for name in ("made.jsonl", "metrics.jsonl"):
        lines = (folder / name).read_text()
        (folder / name).write_text("[" * 100_000 + "\n" + lines)
        with pytest.raises(CorruptError, match=f"Line 1 of .*{name} is damaged"):
            read_account(folder)
        (folder / name).write_text(lines)


@pytest.mark.parametrize("name", ["report-me", "fit", "other"])
def test_a_run_without_a_model_is_not_used(tmp_path, name):
    folder = write(tmp_path / name)
    assert f"swae sample {folder}" in page(read_account(folder))
    shutil.rmtree(folder / "model")
    text = page(read_account(folder))
    assert "swae sample" not in text
    assert f"swae report {folder}" in text


def test_large_pictures_are_shrunk_where_nobody_sees_it():
    rng = np.random.default_rng(0)
    gray = rng.integers(256, size=(300, 300, 1)).repeat(3, axis=2)
    small = shrunk(stored(gray))
    assert len(small) < len(stored(gray))
    with Image.open(io.BytesIO(small)) as image:
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), gray)

    # Points of many colours on white, and grays: nearer than the colours are to each other.
    plot = np.full((300, 300, 3), 255)
    plot[:, :150] = rng.integers(256, size=(300, 150, 1))
    plot[::3, 150:] = rng.integers(5, size=(100, 150, 3)) * 63
    small = shrunk(stored(plot))
    assert len(small) < len(stored(plot)) / 2
    with Image.open(io.BytesIO(small)) as image:
        seen = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(seen - plot).max() <= 24
    assert np.abs(seen - plot)[:, :150].max() <= 2
    assert (seen[:, :150].max(axis=-1) == seen[:, :150].min(axis=-1)).all()
    assert (seen[1::3, 150:] == 255).all()

    photograph = stored(rng.integers(256, size=(300, 300, 3)))  # of more colours than 256
    assert shrunk(photograph) == photograph


def test_an_unended_run_says_how_to_go_on(tmp_path):
    text = page(read_account(write(tmp_path / "a b", max_epochs=9)))
    assert "3 of 9 epochs" in text
    assert "--resume" in text
    assert "&#39;" in text  # a path with a space is quoted for the shell
    assert "--resume" not in page(read_account(write(tmp_path / "whole")))


def test_values_that_are_no_numbers_are_passed_over(tmp_path):
    rows = [row(1), row(2, val_bce=None, val_psnr=float("nan"), val_sw2_axes=float("inf"))]
    rows[1] |= {"val_l1": "0.1", "val_mse": 10**400, "step": 10**400, "seconds": None}
    account = read_account(write(tmp_path / "run", rows=rows, max_epochs="many"))
    keys = [number.measure.key for number in of.numbers_of(account)]
    assert not {"val_bce", "val_psnr", "val_sw2_axes", "val_l1", "val_mse"} & set(keys)
    Page(page(account))


def test_what_is_no_number_is_named(tmp_path):
    rows = [row(1), row(2, val_bce=float("nan"), val_mse="text")]
    text = page(read_account(write(tmp_path / "run", rows=rows)))
    assert "No number in the last line of metrics.jsonl: cross-entropy" in text
    assert "No number" not in page(read_account(write(tmp_path / "other")))


def test_few_samples_have_no_verdict(tmp_path):
    for n, said in ((499, True), (500, False)):
        text = page(read_account(write(tmp_path / str(n), rows=[row(1, val_n=n)])))
        assert ("too few to tell" in text) == said


def test_other_samples_of_one_name_are_not_compared(tmp_path):
    folders = [write(tmp_path / name) for name in "ab"]
    for folder, held in zip(folders, "xy", strict=True):
        Run(folder).note({"judged": "held-back training samples", "judged_sum": held})
    first, second = map(read_account, folders)
    assert judges_of(first) != judges_of(second)


def test_standardised_errors_have_another_sentence(tmp_path):
    text = page(read_account(write(tmp_path / "run", standardize=True)))
    assert "own mean would score 1" in text


# ----- curves


def test_curves_pass_through_their_values(folder):
    account = read_account(folder)
    (panel,) = [panel for panel in curves(account) if panel.title == "cross-entropy"]
    train, held = panel.lines
    assert (train.name, held.name) == ("training", "held out")
    x, y = np.array(train.points, dtype=float).T
    np.testing.assert_allclose(np.diff(x), np.diff(x)[0], atol=0.11)
    drawn = (y - y[0]) / (y[-1] - y[0])
    values = np.array([r["bce"] for r in account.rows])
    np.testing.assert_allclose(drawn, (values - values[0]) / (values[-1] - values[0]), atol=2e-3)
    assert (y > 0).all()
    assert (y < 210).all()


def test_nulls_are_dashed_and_constant_settings_not_drawn(folder):
    panels = {panel.title: panel for panel in curves(read_account(folder))}
    assert "learning rate" not in panels
    assert panels["SW2 along the axes"].null.style == "null"
    assert panels["cross-entropy"].null is None
    assert not [title for title in panels if "null" in title or title == "n"]


def test_long_runs_have_few_points_and_keep_the_last(tmp_path):
    rows = [row(i) for i in range(1, 2002)]
    account = read_account(write(tmp_path / "long", rows=rows))
    path = curves(account)[0].lines[0].path
    assert path.count("L") <= 500
    assert path.endswith("344.0 178.0")  # the right border, and the least value
    assert len(page(account)) < 100_000


def test_overlaid_curves_are_told_apart(pair):
    accounts = [read_account(path) for path in pair] * 5
    panels = overlaid(accounts, [str(i) for i in range(10)])
    styles = [line.style for line in panels[0].lines]
    assert len(set(styles)) == 10


@pytest.mark.parametrize("values", [[0.0, 0.0], [1e-30, 2e30], [5.0], [-1e9, -1e9], [0.3, 0.3001]])
def test_any_values_have_an_axis(tmp_path, values):
    rows = [{"epoch": i, "loss": v, "val_sw2": v} for i, v in enumerate(values, start=1)]
    for panel in curves(read_account(write(tmp_path / "run", rows=rows))):
        numbers = [float(n) for line in panel.lines for n in re.findall(r"-?[\d.]+", line.path)]
        assert all(0 <= n <= 360 for n in numbers)
        assert len(panel.y) <= 13


# ----- several


def account(tmp_path, name, **settings):
    rows = settings.pop("rows", None)
    return read_account(write(tmp_path / name, rows=rows, **settings))


def measure(key):
    return next(m for m in of.MEASURES if m.key == key)


def test_the_best_is_marked(tmp_path):
    a = account(tmp_path, "a", rows=[row(1, val_bce=0.3, val_psnr=20.0)])
    b = account(tmp_path, "b", rows=[row(1, val_bce=0.2, val_psnr=10.0)])
    c = account(tmp_path, "c", rows=[row(1, val_bce=None, val_psnr=15.0)])
    assert best([a, b, c], measure("val_bce")) == [False, True, False]
    assert best([a, b, c], measure("val_psnr")) == [True, False, False]
    assert best([a, a], measure("val_bce")) == [False, False]
    assert best([b, c], measure("val_bce")) == [False, False]


def test_the_best_ratio_is_the_nearest_to_one(tmp_path):
    rows = [[row(1, val_sw2=v, val_sw2_null=0.1)] for v in (0.05, 0.11, 0.3)]
    accounts = [account(tmp_path, str(i), rows=r) for i, r in enumerate(rows)]
    assert best(accounts, measure("val_sw2"), ratio=True) == [False, True, False]
    assert best(accounts, measure("val_sw2")) == [True, False, False]


@pytest.mark.parametrize(
    ("settings", "data", "distance", "ratio"),
    [
        ({}, True, True, True),
        ({"prior": "ring"}, True, False, True),
        ({"latent_dim": 3}, True, False, True),
        ({"data": "mnist"}, False, False, False),
        ({"seed": 1}, False, False, False),
        ({"validation_size": 0.2}, True, True, True),  # as long as as many samples judge
        ({"standardize": True}, False, True, True),
        ({"image_size": 32}, False, False, False),
        ({"rows": [row(1, val_n=60, val_bce=0.1, val_sw2=0.9)]}, False, False, False),
    ],
)
def test_unequal_things_are_not_compared(tmp_path, settings, data, distance, ratio):
    a = account(tmp_path, "a", rows=[row(1)])
    b = account(tmp_path, "b", **{"rows": [row(1, val_bce=0.1, val_sw2=0.9)], **settings})
    assert any(best([a, b], measure("val_bce"))) is data
    assert any(best([a, b], measure("val_sw2"))) is distance
    assert any(best([a, b], measure("val_sw2"), ratio=True)) is ratio


def test_a_seed_does_not_choose_the_test_images_of_mnist(tmp_path):
    folders = [write(tmp_path / str(i), data="mnist", seed=i, validation_size=0) for i in (0, 1)]
    for folder in folders:
        (folder / "made.jsonl").unlink()
    a, b = (read_account(folder) for folder in folders)
    assert a.judged == "120 test samples"
    assert judges_of(a) == judges_of(b)


def test_several_runs_side_by_side(pair):
    accounts = [read_account(path) for path in pair]
    text = compare(accounts)
    table = text[text.index('id="table-numbers"') : text.index("What differs")]
    numbers = values_in(re.sub(r"<tr><th scope=\"row\">time.*?</tr>", "", table))
    expected = []
    for m in of.MEASURES:
        expected += [a.last[m.key] for a in accounts]
        if m.null:
            expected += [a.last[f"{m.key}_null"] for a in accounts]
            expected += [a.last[m.key] / a.last[f"{m.key}_null"] for a in accounts]
    assert numbers == expected
    assert '<td class="n best"><data value="0.01">' in table
    assert "All are judged on the same 120 held-back training samples" in text
    assert f"{len(SETTINGS) - 1} settings are equal" in text
    assert '<th scope="row">max_epochs</th><td class="t">3</td><td class="t">2</td>' in text
    assert len(Page(text).all("img")) == 4


def test_runs_of_other_data_are_marked(tmp_path, folder):
    other = write(tmp_path / "other", data="mnist")
    text = compare([read_account(folder), read_account(other)])
    assert "They are not judged on the same samples" in text
    assert "<small>best</small>" not in text


def test_runs_with_one_name_are_told_by_their_paths(tmp_path):
    accounts = [account(tmp_path, f"{parent}/run") for parent in "ab"]
    text = compare(accounts)
    assert all(f'<th scope="col" class="n">{a.path}</th>' in text for a in accounts)


# ----- faults


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (lambda run: run.config.unlink(), "holds no config.yaml of a run, so it is none"),
        (lambda run: run.config.write_text("data: [\n"), "config.yaml is no YAML"),
        (lambda run: run.metrics.unlink(), "has no finished epoch to report"),
        (lambda run: run.metrics.write_text('{"epoch": 1'), "has no finished epoch to report"),
    ],
)
def test_folders_that_are_no_run(folder, break_it, sentence):
    break_it(Run(folder))
    with pytest.raises(RunError, match=sentence):
        read_account(folder)


@pytest.mark.parametrize(
    "line", ["{", "[1]", '{"loss": 1}', '{"epoch": "1"}', "\x00", "", '{"epoch": 1e400}']
)
def test_damaged_lines(folder, line):
    run = Run(folder)
    lines = run.metrics.read_text().splitlines()
    run.metrics.write_text("\n".join([lines[0], line, *lines[1:]]) + "\n")
    with pytest.raises(CorruptError, match=r"Line 2 of .*metrics.jsonl is damaged: it "):
        read_account(folder)


def test_a_line_that_was_cut_off_is_no_damage(folder):
    with Run(folder).metrics.open("a") as file:
        file.write('{"epoch": 4, "lo')
    assert read_account(folder).last["epoch"] == 3


@pytest.mark.parametrize(("content", "said"), [("[", "no JSON"), ("[1]", "no model's config")])
def test_a_damaged_model_configuration(folder, content, said):
    (folder / "model" / "config.json").write_text(content)
    with pytest.raises(CorruptError, match=said):
        read_account(folder)


def test_the_same_run_twice(tmp_path, pair):
    link = tmp_path / "link"
    link.symlink_to(pair[0])
    with pytest.raises(RunError, match="are the same run; name each once"):
        write_comparison([*pair, link], tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


# ----- the command


@pytest.fixture
def here(tmp_path, monkeypatch, pair):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(capsys, words, code, sentence):
    assert main(["report", *words]) == code
    assert sentence in capsys.readouterr().err


def test_the_command(here, capsys):
    assert main(["report", "a"]) == 0
    assert main(["report", "a", "b"]) == 0
    assert main(["report", "a", "--out", "one.html"]) == 0
    assert main(["report", "a", "b"]) == 0  # a report may be replaced
    assert capsys.readouterr().out.split() == [
        "a/report.html", "report.html", "one.html", "report.html"
    ]  # fmt: skip
    assert (here / "one.html").read_bytes() == (here / "a" / "report.html").read_bytes()


def test_what_the_command_refuses(here, capsys):
    (here / "mine.html").write_text("my page")
    (here / "empty").mkdir()
    refused(capsys, ["none"], 2, "There is no run folder none.")
    refused(capsys, ["empty"], 2, "empty holds no config.yaml of a run, so it is none.")
    refused(capsys, ["a/model"], 2, "so it is none; the run is a.")
    refused(capsys, ["a", "b", "none"], 2, "There is no run folder none.")
    refused(capsys, ["a", "b", "b/"], 2, "are the same run")
    refused(capsys, ["a", "--out", "a.pdf"], 2, "--out has to end in .html, but is a.pdf.")
    refused(capsys, ["a", "--out", "no/a.html"], 2, "There is no folder no")
    refused(capsys, ["a", "b", "--out", "mine.html"], 2, "mine.html exists and is no report")
    assert (here / "mine.html").read_text() == "my page"
    assert main(["report", "a", "b", "--out", "mine.html", "--overwrite"]) == 0
    Run(here / "b").metrics.write_text("{\n")
    refused(capsys, ["b"], 5, "Line 1 of b/metrics.jsonl is damaged: it is no JSON.")
    assert not (here / "b" / "report.html").exists()


# ----- a run of fit's own


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("fitted"), np.random.default_rng(0)
    np.save(folder / "images.npy", rng.integers(0, 256, size=(60, 1, 8, 8), dtype=np.uint8))
    words = ["--batch-size", "16", "--n-projections", "10", "--max-epochs", "2"]
    words += ["--latent-dim", "3", "--stop-after", "1", "--out", str(folder / "run")]
    assert main(["fit", str(folder / "images.npy"), *words]) == 0
    return folder / "run"


def test_fit_ends_with_its_report(fitted):
    text = (fitted / "report.html").read_text()
    Page(text)
    assert text == page(read_account(fitted))
    assert "1 of 2 epochs" in text
    account = read_account(fitted)
    pictures = {"reconstructions", "samples", "codes", "interpolations", "modes"}
    assert set(account.pictures) == pictures
    (made,) = account.made
    assert made["after_epoch"] == 0
    assert made["samples"] == 44
    assert account.settings == yaml.safe_load((fitted / "config.yaml").read_text())


def test_a_run_that_goes_on_has_its_report_rewritten(fitted, capsys):
    words = ["fit", "--config", str(fitted / "config.yaml"), "--out", str(fitted), "--resume"]
    assert main(words) == 0
    text = (fitted / "report.html").read_text()
    assert "1 of 2 epochs" not in text
    assert "After epoch 2, judged on 4 held-back training samples" in text
    assert "Trained in 2 parts, which began after epoch 0, 1" in text
    assert capsys.readouterr().out.splitlines()[-1] == f"report    {fitted / 'report.html'}"


def test_pictures_that_fail_lose_no_run(fitted, monkeypatch, capsys, tmp_path):
    def fail(*args):
        raise ValueError("No picture can be drawn.")

    monkeypatch.setattr("swae.commands.fit.draw_figures", fail)
    words = ["fit", "--config", str(fitted / "config.yaml"), "--out", str(tmp_path / "run")]
    assert main(words) == 2
    output = capsys.readouterr()
    assert "No picture can be drawn." in output.err
    assert f"model     {tmp_path / 'run' / 'model'}" in output.out
    assert (tmp_path / "run" / "report.html").exists()
    assert (tmp_path / "run" / "model" / "config.json").exists()
