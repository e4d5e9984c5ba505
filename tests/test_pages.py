"""The numbers of a page are those that a run printed, and what it links to is there."""

import json
import re
from pathlib import Path

import pytest

from swae.commands.publishing import flattened

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md")), ROOT / "examples" / "README.md"]
LINK = re.compile(r"\]\(<?([^)\s>]+)|\b(?:src|href)=\"([^\"]+)\"")
NAMED = re.compile(r"^\[([^]]+)\]: <?([^\s>]+)", re.MULTILINE)
"""A link that the page refers to by name."""


def printed_numbers():
    """Returns every number of the records of the paper's figures."""
    numbers = []
    for file in sorted((DOCS / "paper").glob("fig*.json")):
        record = json.loads(file.read_text())
        numbers += [*flattened(record["numbers"]).values(), record["seconds_of_training"]]
    return [float(number) for number in numbers]


def cells():
    """Returns the decimal numbers of the page's tables, but for those of others in brackets."""
    for line in (DOCS / "paper.md").read_text().splitlines():
        if line.startswith("|"):
            own = re.sub(r"\([^)]*\)", "", line).replace("−", "-")
            yield from re.findall(r"-?\d[\d,]*\.\d+%?", own)


def is_printed(cell, numbers):
    text = cell.rstrip("%").replace(",", "")
    scale = 100 if cell.endswith("%") else 1
    decimals = len(text.partition(".")[2])
    return any(f"{scale * number:.{decimals}f}" == text for number in numbers)


def test_every_number_of_the_paper_page_was_printed():
    numbers, found = printed_numbers(), list(cells())
    assert len(found) > 60
    assert [cell for cell in found if not is_printed(cell, numbers)] == []


def test_another_number_is_found():
    numbers = printed_numbers()
    assert not is_printed("0.12345", [0.1])
    assert is_printed(f"{numbers[0]:.3f}", numbers)


def relative_links(text):
    """Returns the files that a page links to or shows, without those of the web and of itself."""
    targets = [markdown or html for markdown, html in LINK.findall(text)]
    targets += [target for _, target in NAMED.findall(text)]
    files = [target.partition("#")[0] for target in targets if "://" not in target]
    return [file for file in files if file]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_and_picture_is_there(page):
    links = relative_links(page.read_text())
    assert [file for file in links if not (page.parent / file).exists()] == []


def test_links_of_every_kind_are_found():
    text = """![a](b/c.png) [d](e.md#f) [g](#h) [i](https://j.k/l.md) [m](n.md "title")
    <img src="o.png" width="9"> [![p](q.svg)](r/) [s][t]\n[t]: u.py#v\n[w]: https://x.y/z.py"""
    assert relative_links(text) == ["b/c.png", "e.md", "n.md", "o.png", "q.svg", "r/", "u.py"]
    assert all(relative_links(page.read_text()) for page in (PAGES[0], PAGES[-1]))


def headings(text):
    """Returns the names by which a page's headings are linked to."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}


def test_the_alternatives_cite_what_is_there():
    text = (DOCS / "alternatives.md").read_text()
    named = dict(NAMED.findall(text))
    used = re.findall(r"\]\[([^]]+)\]", text)
    assert len(set(used)) > 90
    assert set(used) == set(named)
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings(text)
    code = [target for target in named.values() if target.startswith("https://github.com/")]
    assert len(code) > 60
    assert all(re.search(r"/(blob|tree)/[0-9a-f]{40}(/|$)", target) for target in code)


@pytest.mark.parametrize("name", [f"fig{i}" for i in range(1, 8)])
def test_a_record_says_what_made_it(name):
    record = json.loads((DOCS / "paper" / f"{name}.json").read_text())
    assert record["command"].startswith(f"swae paper {name}")
    assert all(words.startswith("swae fit ") for words in record["trainings"])
    assert not re.search(r" /\w", json.dumps(record))  # nobody else has that path


AUTHORS = {"uniform": (0.20073, 0.00122), "circle": (0.19003, 0.00217), "ring": (0.21207, 0.00304)}
"""Cross-entropy and SW2 of the authors' trained weights on the same test images."""


@pytest.mark.parametrize("prior", AUTHORS)
def test_figure_3_beats_the_authors_weights(prior):
    numbers = json.loads((DOCS / "paper" / "fig3.json").read_text())["numbers"][prior]
    bce, sw2 = AUTHORS[prior]
    assert numbers["bce"] < bce
    assert numbers["sw2"] < sw2


def test_figure_4_keeps_faces_and_the_cube():
    numbers = json.loads((DOCS / "paper" / "fig4.json").read_text())["numbers"]["K=128"]
    assert numbers["mse"] <= 0.0080
    assert numbers["sw2_ratio"] <= 2
    assert numbers["sw2_axes_ratio"] <= 3
    assert numbers["sw2_principal_ratio"] <= 3
