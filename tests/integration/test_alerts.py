"""Alerts, received by a mail server and a webhook of this machine."""

from __future__ import annotations

import json
import socketserver
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import dagster as dg
import pytest

from pipelines.alerts import Alert, AlertError, send
from pipelines.build import build_defs
from pipelines.recipe.model import RecipeError, load_recipe

RECIPE = """\
name: faces
source: {{kind: folder, root: absent, label: mouth, attributes: [tone]}}
taxonomy: celebamask_hq
alerts: {alerts}
"""


class Mail(socketserver.StreamRequestHandler):
    """As much of SMTP (RFC 5321) as one message takes."""

    def handle(self):
        self.wfile.write(b"220 test\r\n")
        while line := self.rfile.readline().decode().strip():
            command = line.split()[0].upper()
            if command == "DATA":
                self.wfile.write(b"354 go on\r\n")
                body = []
                while (text := self.rfile.readline()) != b".\r\n":
                    body.append(text.decode())
                self.server.received.append("".join(body))
            self.wfile.write(b"221 bye\r\n" if command == "QUIT" else b"250 ok\r\n")
            if command == "QUIT":
                return


class Hook(BaseHTTPRequestHandler):
    def do_POST(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append(json.loads(content))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        """Says nothing."""


@contextmanager
def serving(server):
    server.received = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def mail():
    with serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mail)) as server:
        yield server


@pytest.fixture
def hook():
    with serving(HTTPServer(("127.0.0.1", 0), Hook)) as server:
        yield server


ALERT = Alert("HEML: faces failed", ("images: no such folder",))


def test_mail_and_webhook_get_the_message(mail, hook, monkeypatch):
    monkeypatch.setenv("TEAM", "team")
    send(
        [
            f"mailto://127.0.0.1:{mail.server_address[1]}"
            "/?from=heml@example.com&to=$TEAM@example.com&mode=insecure",
            f"json://127.0.0.1:{hook.server_address[1]}/alerts",
        ],
        ALERT,
    )
    (letter,) = mail.received
    assert "HEML: faces failed" in letter
    assert "To: team@example.com" in letter
    (posted,) = hook.received
    assert (posted["title"], posted["message"]) == ("HEML: faces failed", "images: no such folder")


def test_what_cannot_be_sent_says_why_without_the_secret(hook, monkeypatch):
    monkeypatch.delenv("NOT_SET", raising=False)
    monkeypatch.setenv("TOKEN", "hunter2")
    working = f"json://127.0.0.1:{hook.server_address[1]}/"
    with pytest.raises(AlertError) as told:
        send(["slack://$NOT_SET/a/b", "nonsense://$TOKEN", working], ALERT)
    assert "variable NOT_SET is not set" in str(told.value)
    assert "alerts.to[1] (nonsense): not a URL" in str(told.value)
    assert "hunter2" not in str(told.value)
    assert len(hook.received) == 1, "others are told all the same"


def test_a_failed_run_is_told_by_the_sensor(hook, tmp_path):
    path = tmp_path / "faces.yaml"
    path.write_text(RECIPE.format(alerts=f"json://127.0.0.1:{hook.server_address[1]}/"))
    defs = build_defs(recipe_files=[path], store_root=tmp_path / "store")
    sensor = defs.get_repository_def().get_sensor_def("faces_alert_failure")
    with dg.DagsterInstance.ephemeral() as instance:
        result = defs.resolve_job_def("faces").execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(["faces", "images"])],
            raise_on_error=False,
        )
        event = next(
            e for e in result.all_events if e.event_type == dg.DagsterEventType.RUN_FAILURE
        )
        context = dg.build_run_status_sensor_context(
            sensor_name=sensor.name,
            dagster_event=event,
            dagster_instance=instance,
            dagster_run=result.dagster_run,
        )
        sensor(context)
    (posted,) = hook.received
    assert posted["title"] == "HEML: faces failed"
    assert "no such folder" in posted["message"].lower() or "absent" in posted["message"]


def test_alerts_are_a_url_several_or_a_mapping(tmp_path):
    path = tmp_path / "faces.yaml"
    for written, expected in (
        ("json://host/", ["json://host/"]),
        ("[json://a/, json://b/]", ["json://a/", "json://b/"]),
        ("{to: [json://a/], events: [budgets]}", ["json://a/"]),
    ):
        path.write_text(RECIPE.format(alerts=written))
        assert load_recipe(path).settings.alerts.to == expected
    path.write_text(RECIPE.format(alerts="{to: [json://a/], events: [budget]}"))
    with pytest.raises(RecipeError, match="did you mean 'budgets'"):
        load_recipe(path)
