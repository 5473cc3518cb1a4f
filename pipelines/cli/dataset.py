"""`heml dataset`: verify a dataset folder, export it, show samples, trace a row."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.cli.exit_codes import FAILED, refusing

app = typer.Typer(no_args_is_help=True, help="Verify, export, show and trace a dataset folder.")

Folder = Annotated[
    Path, typer.Argument(metavar="DATASET", help="Such as store/demo/rebalanced_dataset.")
]


def _opened(folder: Path) -> Any:
    import heml

    return heml.open_dataset(folder)


@app.command()
def verify(folder: Folder) -> None:
    """Compare every file with manifest.json."""
    from heml.dataset_folder.manifest_file import DatasetError
    from heml.dataset_folder.manifest_file import verify as verify_files

    with refusing(DatasetError, code=FAILED):
        manifest = verify_files(folder)
    print(f"{len(manifest['files'])} files, {manifest['rows']} rows: all match the manifest")


def _known_format(name: str) -> str:
    from heml.dataset.export_format import EXPORTS
    from heml.taxonomy import nearest

    if name not in EXPORTS:
        raise typer.BadParameter(f"no format '{name}'; {nearest(name, EXPORTS.names())}")
    return name


@app.command()
def export(
    folder: Folder,
    kind: Annotated[
        str,
        typer.Option(
            metavar="FORMAT", help="imagefolder, webdataset, coco, ...", callback=_known_format
        ),
    ],
    to: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder to write; must not exist.")],
) -> None:
    """Write the dataset in another format."""
    from data_contracts import ContractError
    from heml.dataset.export import export_dataset
    from heml.dataset_folder.manifest_file import DatasetError

    with refusing(DatasetError, ContractError, code=FAILED):
        count = export_dataset(folder, kind, to)
    print(f"{count} rows as {kind} in {to}")


@app.command()
def provenance(
    folder: Folder, image_id: Annotated[str, typer.Argument(metavar="IMAGE_ID")]
) -> None:
    """Print where a row came from: host, donors, segments, operator, gates, license."""
    from data_contracts import ContractError
    from heml.dataset_folder.manifest_file import DatasetError

    with refusing(DatasetError, ContractError, KeyError, code=FAILED):
        found = _opened(folder).provenance(image_id)
    print(json.dumps(found.to_dict(), indent=1, ensure_ascii=False))


@app.command()
def show(
    folder: Folder,
    image_id: Annotated[
        str | None, typer.Argument(metavar="[IMAGE_ID]", help="Default: a recombined row.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="PNG", help="File to write.")] = Path("sample.png"),
) -> None:
    """Draw a row beside its host and its donors, as a PNG."""
    from data_contracts import ContractError
    from heml.dataset_folder.manifest_file import DatasetError

    with refusing(DatasetError, ContractError, KeyError, code=FAILED):
        dataset = _opened(folder)
        chosen = image_id or next(dataset.recombined(), None)
        if chosen is None:
            raise DatasetError(f"{folder} has no recombined rows; name an IMAGE_ID")
        image = dataset.show(chosen)
    with refusing(OSError, ValueError):
        image.save(out)
    print(f"wrote {out}")
