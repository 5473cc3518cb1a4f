"""`python -m heml.dataset`: verify a dataset folder, export it, say where a row came from."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

import heml
from data_contracts import ContractError
from heml.dataset.export import KINDS, export_dataset
from heml.dataset_folder.manifest_file import DatasetError, verify


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0 done, 1 the dataset cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m heml.dataset", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("verify", help="compare every file with manifest.json")
    export = commands.add_parser("export", help="write another format")
    export.add_argument("--kind", required=True, choices=KINDS)
    export.add_argument("--to", required=True, metavar="FOLDER")
    where = commands.add_parser("provenance", help="where a row came from")
    where.add_argument("image_id")
    for command in (check, export, where):
        command.add_argument(
            "folder", metavar="DATASET", help="such as store/demo/rebalanced_dataset"
        )
    options = parser.parse_args(arguments)
    try:
        if options.command == "verify":
            manifest = verify(options.folder)
            print(f"{len(manifest['files'])} files, {manifest['rows']} rows: as they were written")
        elif options.command == "export":
            count = export_dataset(options.folder, options.kind, options.to)
            print(f"{count} rows as {options.kind} in {options.to}")
        else:
            found = heml.open_dataset(options.folder).provenance(options.image_id)
            print(json.dumps(found.to_dict(), indent=1, ensure_ascii=False))
    except (DatasetError, ContractError, KeyError) as error:
        print(f"error: {error.args[0]}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
