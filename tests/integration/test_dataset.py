"""The written dataset: every reader gives the same rows, documents agree, nothing half is whole."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import tarfile
import time
from pathlib import Path

import dataset_store
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

import heml
from benchmarks.write import make_store, write
from data_contracts import DEBIAS_EFFECT, ContractError
from data_contracts.common import PIXEL_ORIGIN
from heml.compute.progress import silent
from heml.dataset import dataset_stage, documents
from heml.dataset.dataset_audit import check_no_test_leakage, check_nothing_revoked
from heml.dataset.dataset_settings import DatasetSettings
from heml.dataset.documents import complete_documents
from heml.dataset.export import export_dataset, write_exports
from heml.dataset.export_format import EXPORTS
from heml.dataset.revocation import RevokeError, revoke
from heml.dataset_folder import split_writer
from heml.dataset_folder.features import output_names
from heml.dataset_folder.manifest_file import DatasetError, read_manifest, verify
from heml.images.images_table import ImageReader, image_index
from heml.images.revoked import read_revoked
from heml.report.figures.provenance_figure import family_figure
from heml.sources.ingest import ingest
from heml.storage.shard_files import Limit, ShardFiles
from heml.storage.stage import Outcome
from heml.storage.store import Store
from pipelines.cli.app import main

#: Columns that every reader gives in a form that compares.
PLAIN = [
    "image_id",
    "origin",
    "host_id",
    "mouth",
    "hair_tone",
    "weight",
    "seed",
    "group",
    "licence",
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with its dataset, for tests that only read."""
    store = dataset_store.make_store(tmp_path_factory.mktemp("made") / "store")
    # Small shards, so that there are several.
    dataset_store.write(store, DatasetSettings(shard_mb=1))
    return store


@pytest.fixture
def store(made: Store, tmp_path: Path) -> Store:
    """A copy that a test may change."""
    shutil.copytree(made.root, tmp_path / "store")
    return Store(tmp_path / "store")


def files(store: Store, split: str = "train") -> list[str]:
    return [str(p) for p in sorted((store.rebalanced_dataset / "data").glob(f"{split}-*"))]


def rows(frame: pd.DataFrame) -> list[tuple[object, ...]]:
    """Plain columns as Python values."""
    values = frame[PLAIN].astype(object).where(frame[PLAIN].notna(), None)
    return [tuple(row) for row in values.itertuples(index=False)]


@pytest.fixture(scope="module")
def expected(made: Store) -> dict[str, list[tuple[object, ...]]]:
    return {s: rows(pd.concat(map(pd.read_parquet, files(made, s)))) for s in ("train", "test")}


@pytest.fixture(scope="module")
def loaded(made: Store, tmp_path_factory: pytest.TempPathFactory):
    from datasets import load_dataset

    cache = str(tmp_path_factory.mktemp("cache"))
    return load_dataset(str(made.rebalanced_dataset), cache_dir=cache)


def test_datasets_gives_the_same_rows_with_features(loaded, expected):
    assert set(loaded) == set(expected)
    for split in expected:
        frame = loaded[split].select_columns(PLAIN).to_pandas()
        assert rows(frame) == expected[split]
    row = loaded["train"][0]
    assert isinstance(row["image"], Image.Image)
    assert row["image"].size == (32, 32)
    assert loaded["train"].features["mouth"].names == ["serious", "smiling"]
    assert loaded["train"].features["hair_tone"].int2str(0) == "dark"


def test_other_readers_give_the_same_rows(made, expected):
    import duckdb
    import polars

    for split, wanted in expected.items():
        pattern = str(made.rebalanced_dataset / "data" / f"{split}-*.parquet")
        assert rows(ds.dataset(files(made, split)).to_table().to_pandas()) == wanted
        found = duckdb.sql(f"select * from read_parquet('{pattern}') order by file_row_number")
        assert sorted(rows(found.df())) == sorted(wanted)
        assert [tuple(r) for r in polars.read_parquet(pattern)[PLAIN].rows()] == wanted


def test_schema_metadata_and_card_agree(made, loaded):
    from datasets import Features, load_dataset_builder

    stored = Features.from_arrow_schema(pq.read_schema(files(made)[0]))
    assert stored == load_dataset_builder(str(made.rebalanced_dataset)).info.features
    assert stored == loaded["train"].features
    text = (made.rebalanced_dataset / "README.md").read_text()
    card = yaml.safe_load(text.split("---\n")[1])
    counts = {s["name"]: s["num_examples"] for s in card["dataset_info"]["splits"]}
    assert counts == {split: loaded[split].num_rows for split in loaded}
    assert card["license_name"] == "CC0-1.0"


def test_card_says_what_was_measured(made):
    text = (made.rebalanced_dataset / "README.md").read_text()
    assert "hair is the segment that encodes hair_tone most: bias score 0.90 (95% interv" in text
    assert "Cramér's V 0.80" in text
    assert "Not measured for this version" in text
    assert "mouth=smiling · hair_tone=dark has 3 real train images" in text


def test_card_says_what_the_weights_do(made, store):
    text = (made.rebalanced_dataset / "README.md").read_text()
    assert (
        "every group (label and attributes together) of the train split then counts the same"
        in text
    )
    dataset_store.targets(store, lambda label, attributes: 10 if label == "smiling" else 40)
    # A plan is a stage before the samples, which say that they are new.
    store.finish("recombined_samples", "new", store.summary("recombined_samples"), [])
    dataset_store.write(store)
    text = (store.rebalanced_dataset / "README.md").read_text()
    assert "counts the same" not in text
    assert "mouth=serious · hair_tone=dark 40%" in text
    assert "mouth=smiling · hair_tone=light 10%" in text
    frame = pd.concat(map(pd.read_parquet, files(store)))
    masses = frame.groupby("group")["weight"].sum() / frame["weight"].sum()
    assert masses["mouth=serious · hair_tone=dark"] == pytest.approx(0.4)


def test_real_rows_keep_the_inputs_bytes(made):
    reader = ImageReader(made)
    for split in ("train", "test"):
        for row in ds.dataset(files(made, split)).to_table().to_pylist():
            if row["origin"] == "real":
                (original,) = reader.rows([row["image_id"]], ["image"])
                assert row["image"] == original["image"]


def test_weights_make_groups_equal(made):
    frame = pd.concat(map(pd.read_parquet, files(made)))
    masses = frame.groupby(["mouth", "hair_tone"])["weight"].sum()
    np.testing.assert_allclose(masses, masses.iloc[0])
    assert frame["weight"].mean() == pytest.approx(1)


def test_the_inputs_own_split_column_says_train_of_recombined_rows(made):
    opened = heml.open_dataset(made.rebalanced_dataset)
    for split in opened.splits:
        assert set(opened.table(split)["split"]) == {split}
    other = opened.table("train", ["origin", "path"]).set_index("origin")["path"]
    assert other["recombined"].isna().all()


def test_files_are_cut_by_size(made, tmp_path):
    from heml.dataset_folder.split_writer import SplitShards

    pictures = [{"image": {"bytes": bytes(400_000), "path": None}} for _ in range(7)]
    from data_contracts import Column, Contract
    from data_contracts.common import IMAGE

    contract = Contract("x", "", (Column("image", IMAGE, ""),))
    with SplitShards(tmp_path / "data", contract, contract.schema(), 1_000_000) as shards:
        for number, row in enumerate(pictures * 20):
            shards.write("train", row)
            if number == 100:
                assert not list((tmp_path / "data").glob("*.parquet")), "no name before the end"
    written = sorted((tmp_path / "data").iterdir())
    assert [p.name for p in written] == [f"train-0000{n}-of-00002.parquet" for n in range(2)]
    for path in written:
        footer = pq.read_metadata(path)
        for attribute in range(footer.num_row_groups):
            assert footer.row_group(attribute).total_byte_size < 100_000_000


def test_surplus_rows_are_left_out_if_the_recipe_says_so(store):
    summary = dataset_store.write(store, DatasetSettings(surplus="drop")).summary
    frame = pd.concat(map(pd.read_parquet, files(store)))
    assert set(frame.groupby(["mouth", "hair_tone"]).size()) == {6}
    assert (frame["weight"] == 1).all()
    assert summary["surplus"] == 72 - len(frame)
    train = image_index(store, ["hair_tone"]).query("split == 'train'")
    assert summary["surplus"] == len(train) - (frame["origin"] == "real").sum()
    # Also of rows none of whose parents is left.
    assert set(frame["segmenter"]) == {"annotated"}
    made = frame[frame["origin"] == "recombined"]
    assert any(not {r.host_id, *r.donor_ids} & {*frame["image_id"]} for r in made.itertuples())
    assert (
        f"{summary['surplus']} real train images were left out"
        in (store.rebalanced_dataset / "README.md").read_text()
    )


def test_same_recipe_and_input_give_the_same_bytes_in_another_folder(made, tmp_path):
    other = dataset_store.make_store(tmp_path / "elsewhere" / "store")
    dataset_store.write(other, DatasetSettings(shard_mb=1))
    assert digests(other.rebalanced_dataset) == digests(made.rebalanced_dataset)


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_manifest_lists_every_file(made):
    manifest = verify(made.rebalanced_dataset)
    listed = {name: entry["sha256"] for name, entry in manifest["files"].items()}
    found = digests(made.rebalanced_dataset)
    found.pop("manifest.json")
    assert listed == found


def change(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: (d / "manifest.json").unlink(), "no manifest.json"),
        (lambda d: (d / "manifest.json").write_text("{"), "damaged"),
        (lambda d: (d / "manifest.json").write_text('{"files": 3}'), "damaged"),
        (lambda d: (d / "croissant.json").unlink(), "croissant.json is missing"),
        (lambda d: change(next((d / "data").iterdir())), "is changed: SHA-256"),
        (lambda d: (d / "README.md").write_text("x"), r"README.md has 1 bytes, not \d+"),
        (
            lambda d: shutil.copy(
                next((d / "data").iterdir()), d / "data" / "train-00009-of-00009.parquet"
            ),
            "train-00009-of-00009.parquet does not belong",
        ),
    ],
)
def test_a_dataset_that_is_not_whole_is_refused(store, damage, message):
    damage(store.rebalanced_dataset)
    with pytest.raises(DatasetError, match=message):
        verify(store.rebalanced_dataset)


def write_and_hang(root, point, there):
    """Writes the dataset of a store, and stops at a point until it is killed."""

    def hang(*args, **kwargs):
        there.set()
        time.sleep(60)

    if point == "rows":
        flush, calls = ShardFiles.flush, []
        split_writer.ROW_GROUP = Limit(10)

        def few(self):
            # A file for every ten rows: when it hangs, all that are there are whole.
            self._file_limit = Limit(1)
            flush(self)
            calls.append(1)
            if len(calls) == 5:
                hang()

        ShardFiles.flush = few
    elif point == "documents":
        dataset_stage.write_documents = hang
    else:
        documents.write_manifest = hang
    dataset_store.write(Store(root))


def any_rows(folder: Path) -> dict[str, int]:
    """Rows that readers find in a dataset folder, for those that find any."""
    import datasets
    import duckdb
    import polars

    readers = {
        "datasets": lambda: sum(datasets.load_dataset(str(folder)).num_rows.values()),
        "pandas": lambda: len(pd.read_parquet(folder / "data")),
        "pyarrow": lambda: ds.dataset(folder / "data").count_rows(),
        "duckdb": lambda: len(duckdb.sql(f"from '{folder}/data/*.parquet'").fetchall()),
        "polars": lambda: len(polars.read_parquet(folder / "data")),
    }
    found = {}
    for name, read in readers.items():
        try:
            found[name] = read()
        except (OSError, ValueError, duckdb.Error, polars.exceptions.PolarsError):
            found[name] = 0
    return {name: rows for name, rows in found.items() if rows}


def test_readers_of_the_kill_test_do_read(made, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    names = ["datasets", "pandas", "pyarrow", "duckdb", "polars"]
    assert any_rows(made.rebalanced_dataset) == dict.fromkeys(names, 96)


@pytest.mark.parametrize("point", ["rows", "documents", "manifest"])
def test_a_killed_writer_leaves_nothing_that_is_taken_for_a_dataset(store, point, forkserver):
    shutil.rmtree(store.rebalanced_dataset)
    there = forkserver.Event()
    writer = forkserver.Process(target=write_and_hang, args=(store.root, point, there))
    writer.start()
    assert there.wait(100)
    writer.kill()
    writer.join()

    assert not store.rebalanced_dataset.exists()
    left = [p for p in store.root.iterdir() if p.name.startswith(".rebalanced_dataset")]
    assert left, "the writer was in the middle of it"
    assert list(left[0].rglob("*.part")) if point == "rows" else left[0].joinpath("data").exists()
    for folder in (store.rebalanced_dataset, *left):
        with pytest.raises(DatasetError):
            heml.open_dataset(folder)
    assert not any_rows(store.rebalanced_dataset)
    if point == "rows":
        # Even for who looks into the hidden folder.
        assert not any_rows(left[0])
    assert not dataset_store.write(store).reused
    verify(store.rebalanced_dataset)
    hidden = {p.name for p in store.root.iterdir() if p.name.startswith(".")}
    assert hidden == {".locks", ".verified"}


def test_croissant_validates_and_gives_the_rows(made, expected):
    import mlcroissant

    dataset = mlcroissant.Dataset(str(made.rebalanced_dataset / "croissant.json"))
    issues = dataset.metadata.ctx.issues
    assert not issues.errors
    # A date of publishing would make two runs differ.
    assert all("datePublished" in warning for warning in issues.warnings)
    for split, wanted in expected.items():
        records = list(dataset.records(split))
        assert [r[f"{split}/image_id"].decode() for r in records] == [row[0] for row in wanted]
        assert [r[f"{split}/mouth"] for r in records] == [row[3] for row in wanted]
        assert records[0][f"{split}/image"].size == (32, 32)
    numbers = [
        (row["classes-mouth/number"], row["classes-mouth/name"])
        for row in dataset.records("classes-mouth")
    ]
    assert numbers == [(0, "serious"), (1, "smiling")]
    content = json.loads((made.rebalanced_dataset / "croissant.json").read_text())
    assert any("bias score 0.90" in line for line in content["rai:dataBiases"])
    hashes = {d["@id"]: d["sha256"] for d in content["distribution"] if "sha256" in d}
    listed = read_manifest(made.rebalanced_dataset)["files"]
    assert hashes == {n: e["sha256"] for n, e in listed.items() if n.startswith("data/")}


def put_effect(store: Store, dataset: str) -> None:
    """An effect that was measured on a version of the dataset."""
    accuracy = {"erm": 0.1, "group_balanced": 0.4, "rebalanced": 0.9}
    effect = [
        {
            "arm": arm,
            "seed": seed,
            "worst_group_accuracy": accuracy[arm],
            "average_accuracy": 0.9,
            "worst_group": "mouth=smiling · hair_tone=dark",
            "n_worst_group": 50,
            "n_test": 200,
            "n_train": 56,
            "worst_group_low": accuracy[arm] - 0.08,
            "worst_group_high": accuracy[arm] + 0.06,
            "average_low": 0.85,
            "average_high": 0.95,
            "note": "",
        }
        for arm in accuracy
        for seed in range(2)
    ]
    pq.write_table(DEBIAS_EFFECT.table(effect), store.debias_effect)
    store.finish("debias_effect", f"of {dataset}", {"dataset": dataset}, [])


def complete(store: Store) -> Outcome:
    return complete_documents(dataset_store.run_of(store), dataset_store.ABOUT)


def test_card_learns_of_the_effect_and_the_data_stay_as_they_are(store):
    before = digests(store.rebalanced_dataset / "data")
    inodes = {p.stat().st_ino for p in (store.rebalanced_dataset / "data").iterdir()}
    put_effect(store, store.fingerprint("rebalanced_dataset"))
    assert complete(store).summary["effect"]
    verify(store.rebalanced_dataset)
    assert digests(store.rebalanced_dataset / "data") == before
    assert {p.stat().st_ino for p in (store.rebalanced_dataset / "data").iterdir()} == inodes
    text = (store.rebalanced_dataset / "README.md").read_text()
    assert "worst-group accuracy of 90% (95% interval 82% to 96%, 50 images)" in text
    assert "against 10%" in text
    croissant = json.loads((store.rebalanced_dataset / "croissant.json").read_text())
    assert "worst-group accuracy of 90%" in croissant["rai:dataUseCases"][0]
    # And neither stage has anything left to do.
    assert complete(store).reused
    assert dataset_store.write(store, DatasetSettings(shard_mb=1)).reused


def test_effect_of_another_version_is_not_in_the_card(store):
    put_effect(store, "an earlier dataset")
    assert not complete(store).summary["effect"]
    assert "Not measured for this version" in (store.rebalanced_dataset / "README.md").read_text()


def test_columns_of_the_input_keep_their_names_unless_they_are_ours():
    names = output_names(["mouth", "weight", "input_weight"])
    assert names["mouth"] == "mouth"
    assert names["input_weight"] == "input_weight"
    assert names["weight"] == "input_input_weight"


def test_the_write_benchmark_writes(tmp_path):
    make_store(tmp_path, count=40, side=16)
    assert write(tmp_path)["rows"] == 60
    assert verify(tmp_path / "rebalanced_dataset")["rows_by_split"] == {"train": 50, "test": 10}


# Revoking


def test_revoked_images_and_what_descends_from_them_are_gone(store):
    before = heml.open_dataset(store.rebalanced_dataset)
    train = before.table("train", ["image_id", "origin", "host_id", "donor_ids"])
    made = train[train["origin"] == "recombined"]
    made_of = {i for row in made.itertuples() for i in (row.host_id, *row.donor_ids)}
    gone = [*sorted(made_of)[:20], before.table("test")["image_id"].iloc[0]]
    descendants = {d for image_id in gone for d in before.descendants(image_id)}
    assert len(gone) == 21
    assert descendants

    assert revoke(store, gone) == sorted(gone)
    summary = dataset_store.write(store, DatasetSettings(shard_mb=1)).summary
    after = heml.open_dataset(store.rebalanced_dataset)
    left = pd.concat([after.table(split) for split in after.splits])
    assert not set(gone) & set(left["image_id"])
    assert not set(gone) & set(left["host_id"].dropna())
    assert not set(gone) & {d for donors in left["donor_ids"] for d in donors}
    assert len(left) == len(before) - len(gone) - len(descendants)
    assert summary["descendants"] == len(descendants)
    assert after.manifest["version"] == "1.1.0"
    assert after.manifest["revoked"] == 21
    assert "21 images were revoked" in (store.rebalanced_dataset / "README.md").read_text()
    folder = store.rebalanced_dataset
    assert check_nothing_revoked(store, folder) == {"revoked": 21, "rows": len(left)}
    assert check_no_test_leakage(store, store.rebalanced_dataset)["test"] == 23
    weights = after.table("train").groupby(["mouth", "hair_tone"])["weight"].sum()
    np.testing.assert_allclose(weights, weights.iloc[0])


def test_a_row_that_should_be_gone_is_found(store, tmp_path):
    donor = heml.open_dataset(store.rebalanced_dataset).table("train")["donor_ids"].iloc[-1][0]
    kept = shutil.copytree(store.rebalanced_dataset, tmp_path / "kept")
    revoke(store, [donor])
    with pytest.raises(ContractError, match=f"'{donor}' is revoked"):
        check_nothing_revoked(store, kept)


def test_revoked_images_stay_out_when_the_source_is_read_again(dataset, store, taxonomy, tmp_path):
    own = Store(tmp_path / "own")
    dataset.good(16)
    # The picture of the first row once more, under another name: refused as a duplicate for now.
    dataset.row(image=(dataset.root / "images/0000.png").read_bytes())
    dataset.write()
    first = ingest(own, dataset.settings(), tmp_path, taxonomy, True, silent).summary
    assert (first["accepted"], first["quarantined"], first["excluded"]) == (16, 1, 0)
    with pytest.raises(RevokeError, match=r"'images/0016\.png' was refused as a copy, same as"):
        revoke(own, ["images/0016"])
    revoke(own, [image_index(own, [])["image_id"].iloc[0]])
    again = ingest(own, dataset.settings(), tmp_path, taxonomy, True, silent).summary
    assert (again["accepted"], again["quarantined"], again["excluded"]) == (15, 0, 2)
    assert again["revoked"] == 2
    assert again["read"] == again["accepted"] + again["quarantined"] + again["excluded"]
    # And the id, which is not stored any more, can be revoked again without harm.
    assert revoke(own, [*read_revoked(own).images]) == []


def test_unknown_ids_revoke_nothing(store):
    known = image_index(store, [])["image_id"].iloc[0]
    with pytest.raises(RevokeError, match=r"1 of 2 ids .* 'nobody'.*Nothing was revoked"):
        revoke(store, [known, "nobody"])
    with pytest.raises(RevokeError, match="name that one"):
        revoke(store, ["recombined-000001"])
    assert len(read_revoked(store)) == 0


# Publishing


def test_a_dataset_that_fails_its_audit_is_not_published(store):
    write_exports(dataset_store.run_of(store), ["coco"])
    before = digests(store.rebalanced_dataset), digests(store.exports)
    index = image_index(store, [])
    held_out = index.loc[index["split"] == "test", "image_id"].iloc[0]
    table = pq.read_table(store.recombined_samples)
    hosts = pa.array([held_out, *table["host_id"].to_pylist()[1:]])
    table = table.set_column(table.column_names.index("host_id"), table.field("host_id"), hosts)
    summary = store.summary("recombined_samples")
    for path in store.recombined_samples.iterdir():
        path.unlink()
    pq.write_table(table, store.recombined_samples / "part-00000.parquet")
    store.finish("recombined_samples", "wrong", summary, [store.recombined_samples])

    with pytest.raises(ContractError, match=f"'no_test_leakage'.*'{held_out}', which is test"):
        dataset_store.write(store)
    verify(store.rebalanced_dataset)
    assert (digests(store.rebalanced_dataset), digests(store.exports)) == before
    assert not [p for p in store.root.iterdir() if p.name.startswith(".rebalanced")]


# Exports


@pytest.fixture(scope="module")
def exported(made: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports")
    for kind in EXPORTS.names():
        assert export_dataset(made.rebalanced_dataset, kind, folder / kind) == 96
    return folder


def test_imagefolder_loads_with_types_and_names(made, exported, loaded, tmp_path):
    from datasets import load_dataset

    folder = exported / "imagefolder"
    again = load_dataset("imagefolder", data_dir=str(folder), cache_dir=str(tmp_path))
    assert set(again) == {"train", "test"}
    for split in again:
        assert again[split]["image_id"] == loaded[split]["image_id"]
        assert again[split]["seed"] == loaded[split]["seed"]
        assert again[split].features["mouth"] == loaded[split].features["mouth"]
    np.testing.assert_array_equal(
        np.asarray(again["train"][60]["image"]), np.asarray(loaded["train"][60]["image"])
    )
    table = pd.read_csv(folder / "table.csv")
    assert len(table) == 96
    assert set(table["mouth"]) == {"serious", "smiling"}
    assert (folder / table["file_name"].iloc[0]).is_file()


def test_webdataset_reads_back(made, exported, expected):
    import webdataset

    paths = [str(p) for p in sorted((exported / "webdataset").glob("train-*.tar"))]
    samples = list(webdataset.WebDataset(paths, shardshuffle=False).decode("pil"))
    assert [s["json"]["image_id"] for s in samples] == [row[0] for row in expected["train"]]
    assert [s["cls"] for s in samples] == [row[3] for row in expected["train"]]
    assert samples[0]["png"].size == (32, 32)
    with tarfile.open(paths[0]) as tar:
        assert {member.mtime for member in tar} == {0}


def test_coco_masks_are_those_of_the_dataset(made, exported, capsys):
    from pycocotools.coco import COCO

    folder = exported / "coco" / "train"
    coco = COCO(str(folder / "labels.json"))
    opened = heml.open_dataset(made.rebalanced_dataset)
    assert len(coco.imgs) == 72
    names = {c["id"]: c["name"] for c in coco.loadCats(coco.getCatIds())}
    for image in (coco.imgs[1], coco.imgs[72]):
        data = (folder / "data" / image["file_name"]).read_bytes()
        assert Image.open(io.BytesIO(data)).size == (image["width"], image["height"])
        found = {names[a["category_id"]]: a for a in coco.imgToAnns[image["id"]]}
        masks = opened.masks(image["row"]["image_id"])
        assert set(found) == set(masks)
        for name, mask in masks.items():
            np.testing.assert_array_equal(coco.annToMask(found[name]).astype(bool), mask)
            assert found[name]["area"] == mask.sum()
            left, top, width, height = found[name]["bbox"]
            assert mask[top : top + height, left : left + width].sum() == mask.sum()


def test_exports_of_a_recipe_follow_it(store):
    run = dataset_store.run_of(store)
    assert write_exports(run, ["coco", "webdataset"]) == {"coco": 96, "webdataset": 96}
    stamp = (store.exports / "coco" / "train" / "labels.json").stat().st_mtime_ns
    write_exports(run, ["coco"])
    assert [p.name for p in store.exports.iterdir()] == ["coco"]
    assert (store.exports / "coco" / "train" / "labels.json").stat().st_mtime_ns == stamp


def test_export_refuses_what_it_would_destroy(store, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(DatasetError, match="is no export"):
        export_dataset(store.rebalanced_dataset, "coco", tmp_path / "mine")
    with pytest.raises(DatasetError, match="in the dataset itself"):
        export_dataset(store.rebalanced_dataset, "coco", store.rebalanced_dataset / "coco")


# From Python


def test_where_a_row_came_from(made):
    opened = heml.open_dataset(made.rebalanced_dataset)
    train = opened.table("train")
    assert len(opened) == 96
    last = train.iloc[-1]
    origin = opened.provenance(last["image_id"])
    assert (origin.origin, origin.operator, origin.nodes) == ("recombined", "transplant", ["hair"])
    assert origin.recolored_nodes == ["mouth"]
    assert origin.host_id == last["host_id"]
    assert origin.gates["gate_label"] == 0.5
    # The input has columns split, path and weight as well: none is taken for ours.
    assert (origin.split, origin.path) == ("train", "edit-000022.png")
    assert origin.weight == last["weight"] != last["input_weight"]
    assert last["image_id"] in opened.descendants(origin.host_id)
    assert last["image_id"] in opened.descendants(origin.donor_ids[0])
    first = opened.provenance(train["image_id"].iloc[0])
    assert (first.origin, first.host_id, first.donor_ids) == ("real", None, [])
    assert opened.row(first.image_id)["path"] == "a shelf"
    assert first.path == opened.row(first.image_id)["image"]["path"]
    assert hashlib.sha256(opened.row(first.image_id)["image"]["bytes"]).hexdigest() == first.sha256
    with pytest.raises(KeyError, match="no row 'nobody' among 96"):
        opened.provenance("nobody")
    with pytest.raises(DatasetError, match="name the store with"):
        _ = opened.tree


def test_a_sample_is_shown_beside_its_parents(made):
    opened = heml.open_dataset(made.rebalanced_dataset)
    sample = opened.table("train")["image_id"].iloc[-1]
    origin = opened.provenance(sample)
    shown = opened.show(sample)
    assert shown.size == (900, 360)
    # Three pictures of as much width: the noise of the result is on the right third only.
    edges = np.abs(np.diff(np.asarray(shown.convert("L"), float), axis=1))
    left, middle, right = (part.mean() for part in np.array_split(edges[90:], 3, axis=1))
    assert right > 2 * max(left, middle)
    assert min(left, middle) > 0.5, "host and donor are there"
    assert opened.show(origin.host_id).size == (900, 360)
    parents = [("host nobody", None), (f"donor images/{'0' * 40}/9", None)]
    figure = family_figure(origin, np.zeros((4, 4, 3), np.uint8), parents)
    titles = [axes.get_title() for axes in figure.axes]
    assert (titles[0], titles[2]) == ("host nobody", sample)
    assert re.fullmatch("donor imag.*…0+/9", titles[1]), "long ids are cut, not drawn over others"
    assert len(titles[1]) == 32
    assert figure.axes[0].texts[0].get_text() == "not in this dataset"


def test_command_line(made, tmp_path, capsys):
    folder = str(made.rebalanced_dataset)
    assert main(["dataset", "verify", folder]) == 0
    assert "96 rows: all match the manifest" in capsys.readouterr().out
    assert main(["dataset", "provenance", folder, "recombined-000000"]) == 0
    assert json.loads(capsys.readouterr().out)["operator"] == "transplant"
    assert main(["dataset", "export", folder, "--kind=coco", f"--to={tmp_path / 'coco'}"]) == 0
    assert main(["dataset", "verify", str(tmp_path)]) == 1
    assert "no manifest.json" in capsys.readouterr().err


def test_rows_say_what_drew_them_and_with_which_code(store):
    """A sample that a diffusion model finished, and one that no model did."""
    table = pq.read_table(store.recombined_samples)
    names = ("origins", "generator", "generator_revision", "generator_licence", "code_fingerprint")
    table = table.drop_columns([name for name in names if name in table.column_names])
    metadata = table.schema.metadata
    rest = [None] * (len(table) - 1)
    origins = [{"origin": "host", "rle": "0P1"}, {"origin": "generated", "rle": "1O"}]
    added = {
        "origins": pa.array([origins, *[[]] * len(rest)], pa.list_(PIXEL_ORIGIN)),
        "generator": pa.array(["a/model", *rest], pa.string()),
        "generator_revision": pa.array(["abc", *rest], pa.string()),
        "generator_licence": pa.array(["openrail", *rest], pa.string()),
        "code_fingerprint": pa.array(["older code"] * len(table)),
    }
    for name, values in added.items():
        table = table.append_column(name, values)
    summary = store.summary("recombined_samples")
    for path in store.recombined_samples.iterdir():
        path.unlink()
    path = store.recombined_samples / "part-00000.parquet"
    pq.write_table(table.replace_schema_metadata(metadata), path)
    store.finish("recombined_samples", "drawn", summary, [path])
    dataset_store.write(store)
    opened = heml.open_dataset(store.rebalanced_dataset)
    drawn, other = (opened.provenance(f"recombined-00000{number}") for number in (0, 1))
    assert (drawn.generator, drawn.generator_revision, drawn.generator_licence) == (
        "a/model", "abc", "openrail",
    )  # fmt: skip
    assert drawn.origins == {"host": "0P1", "generated": "1O"}
    assert (other.generator, other.origins) == (None, {})
    assert drawn.code_fingerprint == other.code_fingerprint == "older code"
    real = opened.provenance(drawn.host_id)
    assert real.code_fingerprint not in ("older code", "")
    sentence = "Of 1 of them a part was drawn by a/model, revision abc (license: openrail)"
    assert sentence in (store.rebalanced_dataset / "README.md").read_text()
    assert sentence in (store.rebalanced_dataset / "croissant.json").read_text()
