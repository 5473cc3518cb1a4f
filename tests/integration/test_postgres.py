"""The Dagster instance in a Postgres server of its own, by the change that the documents show."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import dagster as dg
import pytest

ROOT = Path(__file__).parents[2]
FOUND = sorted(Path("/usr/lib/postgresql").glob("*/bin")) + [
    Path(path).parent for path in [shutil.which("initdb")] if path
]


@pytest.fixture(scope="module")
def server(free_port):
    """URL of a server that runs as an unprivileged user."""
    pytest.importorskip("dagster_postgres", reason="extra postgres is not installed")
    if not FOUND:
        pytest.skip("no Postgres server is installed (Debian package postgresql)")
    # The server refuses to run as root.
    user = {"user": "nobody"} if os.geteuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="heml-postgres-"))
    if user:
        shutil.chown(folder, "nobody")
    port = free_port()

    def run(program, *arguments):
        subprocess.run(
            [FOUND[-1] / program, "-D", folder / "data", *arguments],
            check=True, cwd=folder, stdout=subprocess.DEVNULL, **user,
        )  # fmt: skip

    try:
        run("initdb", "-U", "heml", "--auth=trust", "--no-sync")
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        run("pg_ctl", "start", "-w", "-l", folder / "log", "-o", options)
        try:
            yield f"postgresql+psycopg2://heml@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "stop", "-m", "immediate")
    finally:
        shutil.rmtree(folder)


def documented():
    """The lines that the documents say to add to dagster.yaml."""
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"^```yaml\n(storage:\n.*?)^```", text, re.MULTILINE | re.DOTALL)
    return lines


@dg.asset
def number():
    return dg.MaterializeResult(metadata={"score": 0.5})


def test_runs_are_kept_in_postgres(server, tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", server)
    settings = (ROOT / "pipelines/runtime/dagster.yaml").read_text(encoding="utf-8")
    (tmp_path / "dagster.yaml").write_text(settings + documented())
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert dg.materialize([number], instance=instance).success
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        event = instance.get_latest_materialization_event(number.key)
        assert event.asset_materialization.metadata["score"].value == 0.5
        assert type(instance.run_storage).__module__.startswith("dagster")
    assert not list(tmp_path.rglob("*.db")), "nothing in SQLite"
