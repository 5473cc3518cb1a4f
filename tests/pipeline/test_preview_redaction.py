"""Preview images of earlier runs leave the event log; the rest of the runs stays."""

import base64
import json

import dagster as dg
import pytest

from pipelines.runtime.preview_redaction import redact_previews

IMAGE = base64.b64encode(bytes(range(256)) * 8).decode()


def shown(name):
    markdown = f"![images](data:image/png;base64,{IMAGE})"

    @dg.multi_asset(name=name, specs=[dg.AssetSpec(dg.AssetKey([name, "images"]))])
    def _images():
        metadata = {"accepted": 7, "picture": dg.MetadataValue.md(markdown)}
        yield dg.MaterializeResult(asset_key=dg.AssetKey([name, "images"]), metadata=metadata)

    return _images


@pytest.fixture
def instance(tmp_path):
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        for name in ("faces", "faces_2", "facesx2"):
            assert dg.materialize([shown(name)], instance=instance).success
        yield instance


def metadata(instance, name):
    event = instance.get_latest_materialization_event(dg.AssetKey([name, "images"]))
    return event.asset_materialization.metadata


def test_previews_go_and_counts_stay(instance, tmp_path):
    assert redact_previews(instance, "faces_2") == 1
    assert metadata(instance, "faces_2")["accepted"].value == 7
    assert "removed" in metadata(instance, "faces_2")["picture"].value
    # Of recipes with nearly the same name they stay.
    for other in ("faces", "facesx2"):
        assert IMAGE in metadata(instance, other)["picture"].value
    assert redact_previews(instance, "faces") == 1
    assert redact_previews(instance, "facesx2") == 1
    assert redact_previews(instance, "faces") == 0


def test_no_byte_is_left_in_the_files_of_dagster(instance, tmp_path):
    def holds():
        part = IMAGE[:200].encode()
        return [p.name for p in tmp_path.rglob("*") if p.is_file() and part in p.read_bytes()]

    assert holds()
    for name in ("faces", "faces_2", "facesx2"):
        redact_previews(instance, name)
    run = instance.get_runs()[0]
    events = instance.all_logs(run.run_id)
    assert IMAGE not in json.dumps([str(event) for event in events])
    assert holds() == []
