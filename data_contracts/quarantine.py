"""`quarantine`: one row per refused input, with the reason."""

import pyarrow as pa

from data_contracts.contract import Column, Contract

REASONS = {
    "malformed_row": "the row of the metadata cannot be read",
    "missing_file": "the image file does not exist",
    "unreadable_file": "the file exists but cannot be read",
    "unsafe_path": "the path leaves the source's root",
    "not_an_image": "the file cannot be decoded as an image",
    "truncated": "the image data ends early or is damaged",
    "too_large": "more pixels than the limit allows",
    "empty_image": "the image has no area",
    "animated": "the file holds more than one frame",
    "missing_mask": "no mask although segments are annotated",
    "mask_unreadable": "the mask cannot be decoded",
    "mask_size": "image and mask differ in size",
    "unknown_class": "the mask holds class ids that the class list does not name",
    "duplicate_id": "an accepted row before it has the same image id",
    "duplicate_content": "an accepted row before it has the same image bytes",
    "near_duplicate": "an accepted row of another split looks the same",
    "split_subject": "an accepted row of the same subject is in another split",
    "missing_label": "the label column is empty",
    "unknown_label": "the label is none of the declared values",
}

QUARANTINE = Contract(
    name="quarantine",
    version=(1, 1),
    description="Every input row that was refused, and why. "
    "read = accepted + quarantined + excluded.",
    columns=(
        Column("row", pa.int64(), "Position in the source, from 0.", at_least=0),
        Column("file_name", pa.string(), "File name as the source gives it."),
        Column("reason", pa.string(), "Short reason.", among=tuple(REASONS)),
        Column("detail", pa.string(), "What exactly was found."),
    ),
)
