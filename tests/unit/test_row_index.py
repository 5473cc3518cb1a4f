"""Finding an image's rows in a sharded table."""

from pathlib import Path

import hypothesis.strategies as st
import pyarrow as pa
from hypothesis import given, settings

from data_contracts import SEGMENTS
from heml.segmentation.masks import RowsByImage
from heml.storage.row_index import RowIndex
from heml.storage.sharded_parquet import ShardedTable, ShardWriter

IDS = st.lists(
    st.tuples(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.integers(1, 3)),
    unique_by=lambda pair: pair[0],
    max_size=12,
)


def _row(image_id: str, number: int) -> dict[str, object]:
    defaults: dict[pa.DataType, object] = {pa.string(): "", pa.bool_(): False}
    row = {
        field.name: [] if pa.types.is_list(field.type) else defaults.get(field.type, 0)
        for field in SEGMENTS.schema()
    }
    return {**row, "image_id": image_id, "class_name": str(number)}


@settings(deadline=None, max_examples=30)
@given(IDS, st.integers(1, 4))
def test_every_image_is_found_with_all_its_rows_whatever_its_id(tmp_path_factory, images, units):
    folder: Path = tmp_path_factory.mktemp("index") / "table"
    with ShardWriter(folder, SEGMENTS, units_per_group=units, units_per_file=5) as writer:
        for image_id, count in images:
            writer.write([_row(image_id, number) for number in range(count)], 1)
    table = ShardedTable(folder, SEGMENTS)
    index, by_image = RowIndex(table), RowsByImage(table, ["image_id", "class_name"])

    assert len(index) == len(images)
    for image_id, count in images:
        found = index.find(image_id)
        assert found is not None
        assert found.stop - found.start == count
        wanted = [{"image_id": image_id, "class_name": str(n)} for n in range(count)]
        assert by_image.rows(image_id) == wanted
    known = {image_id for image_id, _ in images}
    for other in ("", "a", "zz", "\U0001f600"):
        assert (index.find(other) is None) == (other not in known)
