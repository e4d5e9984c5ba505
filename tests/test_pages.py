"""The numbers of a page are those that a run printed: its tables against the stored records."""

import json
import re
from pathlib import Path

import pytest

from swae.commands.publishing import flattened

DOCS = Path(__file__).parents[1] / "docs"


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


def test_every_figure_of_the_page_is_there():
    for page in ("paper.md", "likelihood.md", "results.md", "performance.md"):
        for file in re.findall(r"!\[[^]]*\]\(([^)]+)\)", (DOCS / page).read_text()):
            assert (DOCS / file).is_file(), file


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
