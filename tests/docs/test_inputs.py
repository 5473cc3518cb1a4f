"""The tables of inputs and of faults name tests that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("page", ["inputs.md", "operations.md"])
def test_every_test_that_the_page_names_exists(page):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    # Rows of tables whose last column is called test, without heads and rules.
    tables = re.findall(r"^\|.*\| test \|\n\|[ |-]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    rows = [row for table in tables for row in table.splitlines()]
    last = [re.findall(r"`(test_\w+)`", row.split("|")[-2]) for row in rows]
    assert len(rows) > 30
    assert all(last), [row for row, named in zip(rows, last, strict=True) if not named]
    tests = "".join(p.read_text("utf-8") for p in (ROOT / "tests").rglob("test_*.py"))
    there = set(re.findall(r"^def (test_\w+)\(", tests, re.MULTILINE))
    assert {name for named in last for name in named} - there == set()
