"""Checks of stored tables: what keeps its contract passes, anything else is named."""

import hashlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts import BIAS_SCORES, DEBIAS_EFFECT, IMAGES, REBALANCED_DATASET, ContractError
from data_contracts.common import INPUT_PREFIX, input_columns
from heml.dataset.dataset_audit import check_no_test_leakage
from heml.effect.arm import ARMS  # noqa: F401 - tables name the arms
from heml.recombination.gate import GATES  # noqa: F401 - tables have a column per gate
from heml.storage.store import Store
from heml.storage.table_check import check_table, parquet_files

EFFECT = {
    "arm": "erm",
    "seed": 0,
    "worst_group_accuracy": 0.3,
    "average_accuracy": 0.6,
    "worst_group": "open, light",
    "n_worst_group": 40,
    "n_test": 160,
    "n_train": 300,
    "worst_group_low": 0.4,
    "worst_group_high": 0.6,
    "average_low": 0.6,
    "average_high": 0.8,
    "note": "",
}


def image(number, split):
    return {
        "image_id": f"i{number}",
        "image": {"bytes": b"png", "path": f"i{number}.png"},
        "mask": None,
        "width": 8,
        "height": 8,
        "split": split,
        "label": "open",
        "sha256": hashlib.sha256(b"png").hexdigest(),
        "source_sha256": hashlib.sha256(b"png").hexdigest(),
    }


def dataset_row(image_id, host_id=None, donor_ids=()):
    values = dict.fromkeys(REBALANCED_DATASET.column_names)
    return values | {
        "image_id": image_id,
        "image": {"bytes": b"png", "path": None},
        "origin": "recombined" if host_id else "real",
        "host_id": host_id,
        "donor_ids": list(donor_ids),
        "nodes": [],
        "recolored_nodes": [],
        "origins": [],
        "weight": 1.0,
        "group": "label=open",
        "recipe_fingerprint": "f",
        "code_fingerprint": "c",
        "segmenter": "annotated",
        "masks": [],
        "width": 8,
        "height": 8,
    }


def write(table, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


@pytest.fixture
def effect(tmp_path):
    """Writes rows of `debias_effect` and gives the file."""

    def to_file(*changes, schema=None):
        rows = [EFFECT | change for change in changes]
        table = pa.Table.from_pylist(rows, schema=schema or DEBIAS_EFFECT.schema())
        return [write(table, tmp_path / "effect.parquet")]

    return to_file


def test_table_that_keeps_its_contract(effect):
    assert check_table(effect({}, {"seed": 1}), DEBIAS_EFFECT) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([{"average_accuracy": 1.2}], "average_accuracy: less_than_or_equal_to"),
        ([{"arm": "as_was"}], "arm: isin"),
        ([{}, {}], "arm: multiple_fields_uniqueness"),
    ],
)
def test_broken_rule_is_named(effect, changes, message):
    with pytest.raises(ContractError, match=message):
        check_table(effect(*changes), DEBIAS_EFFECT)


def test_equal_keys_in_different_files_are_found(tmp_path):
    table = DEBIAS_EFFECT.table([EFFECT])
    files = [write(table, tmp_path / f"{n}.parquet") for n in range(2)]
    with pytest.raises(ContractError, match="arm, seed: not unique"):
        check_table(files, DEBIAS_EFFECT)


def test_missing_values_are_counted(effect):
    schema = DEBIAS_EFFECT.schema()
    schema = schema.set(0, schema.field("arm").with_nullable(True))
    with pytest.raises(ContractError, match="'arm': 1 missing values"):
        check_table(effect({}, {"arm": None}, schema=schema), DEBIAS_EFFECT)


def test_other_type_is_named(effect):
    schema = DEBIAS_EFFECT.schema()
    schema = schema.set(1, schema.field("seed").with_type(pa.int32()))
    with pytest.raises(ContractError, match="'seed' is int32, not int64"):
        check_table(effect({}, schema=schema), DEBIAS_EFFECT)


def test_missing_column_is_named(tmp_path):
    table = DEBIAS_EFFECT.table([EFFECT]).drop_columns(["n_test"])
    with pytest.raises(ContractError, match="missing column 'n_test'"):
        check_table([write(table, tmp_path / "effect.parquet")], DEBIAS_EFFECT)


def test_table_of_another_contract_is_refused(effect):
    with pytest.raises(ContractError, match="expected table 'bias_scores'"):
        check_table(effect({}), BIAS_SCORES)


def test_input_columns_are_allowed_where_the_contract_says_so(tmp_path):
    contract = IMAGES.with_columns(input_columns(["tone"]))
    rows = [image(0, "train") | {INPUT_PREFIX + "tone": "dark"}]
    files = [write(contract.table(rows), tmp_path / "images.parquet")]
    assert check_table(files, IMAGES, INPUT_PREFIX) == 1
    with pytest.raises(ContractError, match=r"unknown column 'input\.tone'"):
        check_table(files, IMAGES)


def test_missing_table_is_named(tmp_path):
    with pytest.raises(ContractError, match=r"no table at .*: run the asset again"):
        parquet_files(tmp_path / "images")


def leakage(store):
    return check_no_test_leakage(store, store.rebalanced_dataset)


@pytest.fixture
def stored(tmp_path):
    """A store with two train, one validation and two test images; writes a dataset into it."""
    store = Store(tmp_path / "faces")
    splits = ["train", "train", "validation", "test", "test"]
    rows = [image(number, split) for number, split in enumerate(splits)]
    write(IMAGES.table(rows), store.images / "part-0.parquet")

    def dataset(train, validation=("i2",), test=("i3", "i4")):
        held_out = {"validation": validation, "test": test}
        for split, ids in held_out.items():
            table = REBALANCED_DATASET.table([dataset_row(i) for i in ids])
            path = store.rebalanced_dataset / "data" / f"{split}-00000-of-00001.parquet"
            write(table, path)
        table = REBALANCED_DATASET.table([dataset_row("i0"), dataset_row("i1"), *train])
        write(table, store.rebalanced_dataset / "data" / "train-00000-of-00001.parquet")
        return store

    return dataset


def test_descendants_of_train_images_pass(stored):
    counts = leakage(stored([dataset_row("r0", "i0", ["i1"])]))
    assert counts == {"recombined": 1, "validation": 1, "test": 2}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (dataset_row("r0", "i3", ["i0"]), "'r0' descends from 'i3', which is test"),
        (dataset_row("r0", "i0", ["i1", "i2"]), "'r0' descends from 'i2', which is validation"),
        (dataset_row("r0", "i9", ["i0"]), "'r0' descends from 'i9', which is no image"),
    ],
)
def test_descendant_of_a_held_out_image_is_refused(stored, row, message):
    with pytest.raises(ContractError, match=message):
        leakage(stored([row]))


def test_changed_test_split_is_found(stored):
    with pytest.raises(ContractError, match=r"test split differs .* by 1 images, .* 'i4'"):
        leakage(stored([], test=["i3"]))


def test_changed_image_of_a_held_out_row_is_found(stored):
    store = stored([])
    path = store.rebalanced_dataset / "data" / "test-00000-of-00001.parquet"
    changed = dataset_row("i4") | {"image": {"bytes": b"gnp", "path": None}}
    write(REBALANCED_DATASET.table([dataset_row("i3"), changed]), path)
    with pytest.raises(ContractError, match="image of the held-out row 'i4' was changed"):
        leakage(store)
