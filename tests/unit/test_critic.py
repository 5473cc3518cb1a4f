"""The critic: a planted mark is seen, and what does not bear it is kept."""

from collections import Counter

import numpy as np
import pytest

from data_contracts import RECOMBINED_SAMPLES
from heml.recombination.critic.critic import FEWEST, Candidate, criticize
from heml.recombination.critic.crops import PIECES, SIDE, edit_crops
from heml.recombination.critic.crops_file import CropsFile


def photograph(rng) -> np.ndarray:
    base = rng.integers(60, 190, 3) + rng.normal(0, 8, (96, 96, 3))
    return base.clip(0, 255).astype(np.uint8)


def edited(rng, host, mark: bool) -> np.ndarray:
    """The host with a disc in another shade, and perhaps a grid over it."""
    y, x = np.mgrid[:96, :96]
    disc = np.hypot(x - 48, y - 48) < 25
    sample = host.astype(int)
    sample[disc] += rng.integers(-12, 13, 3)
    if mark:
        sample[disc & (x % 2 == 0) & (y % 2 == 0)] += 45
    return sample.clip(0, 255).astype(np.uint8)


def candidates(count: int, marked: set[int]) -> list[Candidate]:
    rng = np.random.default_rng(0)
    found = []
    for number in range(count):
        host, donor = photograph(rng), photograph(rng)
        crops = edit_crops(edited(rng, host, number in marked), host, donor, number)
        found.append(Candidate(f"edit-{number}", f"host-{number % 50}", crops))
    return found


def test_pieces_lie_along_the_outline_and_are_real_elsewhere():
    rng = np.random.default_rng(1)
    host, donor = photograph(rng), photograph(rng)[:80, :70]
    crops = edit_crops(edited(rng, host, True), host, donor, 7)
    assert crops.sample.shape == (PIECES, 3, SIDE, SIDE)
    assert crops.real.shape == (2 * PIECES, 3, SIDE, SIDE)
    same = (crops.sample == crops.real[:PIECES]).all(axis=1).mean(axis=(1, 2))
    assert ((same > 0.05) & (same < 0.95)).all()
    assert edit_crops(host, host, donor, 7) is None


@pytest.mark.parametrize("shape", [(5, 9), (64, 20), (1, 1)])
def test_small_pictures_give_whole_pieces(shape):
    host = np.zeros((*shape, 3), np.uint8)
    crops = edit_crops(host + 50, host, host, 0)
    assert crops.sample.shape == (PIECES, 3, SIDE, SIDE)
    assert (crops.sample == 50).all()


def test_marked_samples_look_edited_to_networks_that_did_not_see_them():
    marked = set(range(0, 90, 2))
    own = candidates(90, marked)
    scores = criticize(lambda: own, len(own), 0)
    values = [
        np.mean([scores.samples[f"edit-{n}"] for n in range(90) if (n in marked) == kind])
        for kind in (True, False)
    ]
    assert values[0] < 0.1 < 0.25 < values[1]
    # Half of them bear the mark, the others another shade at most.
    assert 0.6 < scores.auc().value < 0.95


def test_pieces_are_read_from_a_file_as_they_were_written(tmp_path):
    own = candidates(5, {1})
    file = CropsFile(tmp_path / "crops.bin", iter(own))
    for _ in range(2):
        found = list(file.read())
        assert [(c.edit_id, c.host_id) for c in found] == [(c.edit_id, c.host_id) for c in own]
        for before, after in zip(own, found, strict=True):
            assert all(map(np.array_equal, before.crops, after.crops))
    assert [c.edit_id for c in file.read({"edit-3", "edit-0"})] == ["edit-0", "edit-3"]


def test_few_samples_have_no_critic():
    assert criticize(list, FEWEST - 1, 0) is None


def test_the_best_of_each_slot_are_kept(tmp_path, monkeypatch):
    from heml.recombination.critic import choose
    from heml.recombination.critic.critic import Scores
    from heml.storage.sharded_parquet import ShardedTable, ShardWriter

    rows = []
    for number in range(6):
        row = dict.fromkeys(RECOMBINED_SAMPLES.column_names)
        row |= {"edit_id": f"edit-{number}", "label": "a", "attributes": ["x"]}
        row |= {"direction": "swap_attribute", "operator": "recolor", "nodes": ["hair"]}
        row |= {"recolored_nodes": [], "host_id": f"h{number}", "donor_id": "d", "seed": 0}
        row |= {"accepted": False, "reason": "seam_hidden" if number == 0 else ""}
        row |= {"refused_by": [], "image": {"bytes": b"", "path": ""}, "masks": [], "origins": []}
        rows.append(row | {"code_fingerprint": "", "width": 1, "height": 1})
    with ShardWriter(tmp_path / "candidates", RECOMBINED_SAMPLES) as writer:
        for row in rows:
            writer.write([row], 1)
    scores = Scores({f"edit-{n}": n / 10 for n in range(6)}, ["h"] * 2, [True, False], [0, 1])
    monkeypatch.setattr(choose, "criticize", lambda *_: scores)
    monkeypatch.setattr(choose, "_read_crops", lambda *_: iter(()))
    wanted = Counter({("balancing", ("a", "x")): 2})
    found = choose.choose_samples(tmp_path / "candidates", tmp_path / "out", wanted, None, 0)
    assert (found["accepted"], found["spares"]) == (2, 3)
    table = ShardedTable(tmp_path / "out", RECOMBINED_SAMPLES)
    columns = ["edit_id", "accepted", "reason", "critic"]
    written = [row for batch in table.batches(columns, 9) for row in batch.to_pylist()]
    assert [row["edit_id"] for row in written if row["accepted"]] == ["edit-4", "edit-5"]
    assert [row["reason"] for row in written] == ["seam_hidden", *["spare"] * 3, "", ""]
