"""The page of inputs names tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_test_that_the_page_names_exists():
    page = (ROOT / "docs/inputs.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)` \|$", page, re.MULTILINE))
    tests = "".join(p.read_text("utf-8") for p in (ROOT / "tests").rglob("test_*.py"))
    assert len(named) > 30
    assert named - set(re.findall(r"^def (test_\w+)\(", tests, re.MULTILINE)) == set()
