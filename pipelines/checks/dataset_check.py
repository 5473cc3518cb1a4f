"""The written dataset against its manifest and what was revoked. Knows nothing of Dagster."""

import hashlib

from data_contracts import ContractError
from heml.dataset_folder.manifest_file import DatasetError, verify
from heml.dataset_folder.reader import read_rows, splits_of
from heml.images.revoked import read_revoked
from heml.storage.store import Store


def check_dataset_is_whole(store: Store) -> dict[str, int]:
    """Compares every byte of the dataset with its manifest.

    Raises
    ------
    ContractError
    """
    try:
        manifest = verify(store.rebalanced_dataset)
    except DatasetError as error:
        raise ContractError(str(error)) from error
    return {"files": len(manifest["files"]), "rows": manifest["rows"]}


def check_nothing_revoked(store: Store) -> dict[str, int]:
    """Looks at every row: neither a revoked image, by id or by bytes, nor made of one.

    Raises
    ------
    ContractError
        With an example id.
    """
    revoked = read_revoked(store)
    rows = 0
    if not revoked:
        return {"revoked": 0, "rows": rows}
    hashes = set(revoked.images.values())
    columns = ["image_id", "host_id", "donor_ids", "image"]
    for split in splits_of(store.rebalanced_dataset):
        for row in read_rows(store.rebalanced_dataset, split, columns):
            rows += 1
            for image_id in (row["image_id"], row["host_id"], *row["donor_ids"]):
                if image_id in revoked:
                    raise ContractError(
                        f"the row '{row['image_id']}' is there although '{image_id}' is revoked"
                    )
            if hashlib.sha256(row["image"]["bytes"]).hexdigest() in hashes:
                raise ContractError(f"the row '{row['image_id']}' has the bytes of a revoked image")
    return {"revoked": len(revoked), "rows": rows}
