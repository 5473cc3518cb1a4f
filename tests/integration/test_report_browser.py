"""The report in a real browser: no console messages, all images decode, nothing is cut off.

A page with the report in a frame of a phone's or a desktop's width looks at it from outside and
writes down what it finds; headless Chromium prints that page.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from report_store import ReportStore

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: nothing was looked at"),
    pytest.mark.xdist_group("report"),
]

PROBE = """<!doctype html><title>probe</title>
<iframe src="report.html" style="width:{width}px;height:2000px;border:0"></iframe>
<pre id="found"></pre>
<script>
window.onload = () => {{
  const page = document.querySelector("iframe").contentDocument;
  const images = [...page.images];
  const width = page.documentElement.clientWidth;
  const boxes = [...page.querySelectorAll(".scroll")];
  const found = {{
    images: images.length,
    broken: images.filter(p => !(p.complete && p.naturalWidth > 0)).map(p => p.alt),
    targets: [...page.querySelectorAll("nav a")].map(a => page.querySelector(a.hash) !== null),
    hidden: [...page.querySelectorAll("main > section")]
      .filter(s => s.getBoundingClientRect().height < 40).map(s => s.id),
    width: width,
    paper: getComputedStyle(page.body).backgroundColor,
    wanted: page.documentElement.scrollWidth,
    smallest: Math.min(...[...page.querySelectorAll("p, td, th, li, figcaption, span")]
      .map(e => parseFloat(getComputedStyle(e).fontSize))),
    unreachable: boxes.filter(b => b.scrollWidth > b.clientWidth && b.tabIndex < 0).length,
    charts: [...page.querySelectorAll(".chart img")].map(p => p.getBoundingClientRect().width),
  }};
  document.getElementById("found").textContent = JSON.stringify(found);
}};
</script>"""


@pytest.fixture(scope="module")
def report(rendered_report: ReportStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rendered report in a folder to which the probe is added."""
    return shutil.copy(
        rendered_report.store.report, tmp_path_factory.mktemp("browser") / "report.html"
    )


def look(report: Path, width: int, dark: bool = False) -> tuple[dict[str, Any], list[str]]:
    """What the probe found, and the console messages."""
    probe = report.with_name(f"probe-{width}.html")
    probe.write_text(PROBE.format(width=width))
    profile = report.with_name(f"profile-{width}")
    command = [
        str(CHROMIUM), "--headless", "--disable-gpu", "--disable-dev-shm-usage",
        "--allow-file-access-from-files", f"--user-data-dir={profile}",
        "--enable-logging=stderr", "--virtual-time-budget=20000", "--dump-dom", probe.as_uri(),
    ]  # fmt: skip
    if dark:
        command.insert(1, "--blink-settings=preferredColorScheme=0")
    if os.geteuid() == 0:
        # Chromium's sandbox refuses to run as root, which containers often are.
        command.insert(1, "--no-sandbox")
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    text = done.stdout.split('<pre id="found">')[1].split("</pre>")[0]
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(text.replace("&amp;", "&").replace("&lt;", "<")), console


@pytest.mark.parametrize("width", [390, 1280])
def test_the_report_works_in_a_browser(report: Path, width: int) -> None:
    found, console = look(report, width)
    assert console == []
    assert found["images"] > 20
    assert found["broken"] == []
    assert found["hidden"] == []
    assert len(found["targets"]) == 8
    assert all(found["targets"])
    assert found["wanted"] <= found["width"] <= width, "the page itself does not scroll sideways"
    assert found["smallest"] >= 12
    assert found["unreachable"] == 0, "what scrolls can be reached with the keyboard"
    assert min(found["charts"]) >= 340


def test_the_report_follows_a_dark_screen(report: Path) -> None:
    found, console = look(report, 1281, dark=True)
    assert console == []
    assert found["paper"] == "rgb(18, 22, 27)"
