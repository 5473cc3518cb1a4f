"""Where everything of one recipe is kept: the paths, and which stages are finished.

A stage whose manifest carries the wanted fingerprint is finished and is not computed again.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heml.storage.atomic_write import is_abandoned
from heml.storage.fingerprint import fingerprint
from heml.storage.manifest import (
    REVOKED,
    DamagedManifest,
    Manifest,
    manifest_path,
    read_manifest,
    revocations,
    write_manifest,
)
from heml.storage.remote import Remote
from heml.storage.verification import damaged_files


class DamagedStage(FileNotFoundError):
    """A stage whose files are not what it wrote: it counts as not finished."""


class RevokedMeanwhile(ValueError):
    """A stage's result may show images that were revoked while it ran."""


@dataclass(frozen=True)
class Store:
    """Paths of one recipe's results.

    Parameters
    ----------
    root : pathlib.Path
        Usually `$HEML_STORE/<recipe name>`.
    remote : Remote, optional
        Object store that finished stages are uploaded to; `root` is this machine's copy then.
    """

    root: Path
    remote: Remote | None = None

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def quarantine(self) -> Path:
        return self.root / "quarantine.parquet"

    @property
    def segments(self) -> Path:
        return self.root / "segments"

    @property
    def segment_stability(self) -> Path:
        """Where a segmenter finds segments; a sample of the images."""
        return self.root / "segment_stability.parquet"

    @property
    def segmenter(self) -> Path:
        """Folder of fitted segmenters by fingerprint."""
        return self.root / "segmenter"

    def node(self, name: str) -> Path:
        return self.root / "metric" / name

    @property
    def node_views(self) -> Path:
        """Folder of what networks see of the images, while they are trained."""
        return self.root / "node_views"

    @property
    def metric_tree(self) -> Path:
        return self.root / "metric_tree"

    @property
    def bias_scores(self) -> Path:
        return self.root / "bias_scores.parquet"

    @property
    def coverage(self) -> Path:
        return self.root / "coverage.parquet"

    @property
    def association(self) -> Path:
        return self.root / "association.parquet"

    @property
    def bias_measures(self) -> Path:
        return self.root / "bias_measures.parquet"

    @property
    def bias_history(self) -> Path:
        return self.root / "bias_history.parquet"

    @property
    def discovered_groups(self) -> Path:
        return self.root / "discovered_groups.parquet"

    @property
    def discovered_nodes(self) -> Path:
        return self.root / "discovered_nodes.parquet"

    @property
    def rebalance_plan(self) -> Path:
        return self.root / "rebalance_plan.parquet"

    @property
    def planned_groups(self) -> Path:
        return self.root / "planned_groups.parquet"

    @property
    def recombined_samples(self) -> Path:
        return self.root / "recombined_samples"

    @property
    def rebalanced_dataset(self) -> Path:
        return self.root / "rebalanced_dataset"

    @property
    def exports(self) -> Path:
        return self.root / "exports"

    @property
    def revoked(self) -> Path:
        return self.root / REVOKED

    @property
    def debias_effect(self) -> Path:
        return self.root / "debias_effect.parquet"

    @property
    def report(self) -> Path:
        return self.root / "report.html"

    def lock(self, stage: str) -> Path:
        """What the process holds that works on a stage."""
        return self.root / ".locks" / stage.replace("/", "-")

    def fingerprint(self, stage: str) -> str:
        """Fingerprint under which a stage was last finished.

        Raises
        ------
        FileNotFoundError
            If it never was, or its files are not what it wrote.
        """
        return self._manifest(stage).fingerprint

    def summary(self, stage: str) -> dict[str, Any]:
        """What the finished stage counted and measured.

        Raises
        ------
        FileNotFoundError
            If it never finished, or its files are not what it wrote.
        """
        return self._manifest(stage).summary

    def finished(self, stage: str, fingerprint: str) -> dict[str, Any] | None:
        """Summary of the stage if it is finished under this fingerprint and its files are whole."""
        try:
            manifest = self._manifest(stage)
        except FileNotFoundError:
            return None
        if manifest.fingerprint != fingerprint:
            return None
        if self.remote is not None:
            # An upload may have been interrupted.
            self.remote.push(self.root, stage)
        return manifest.summary

    def damaged(self, stage: str, *, reread: bool = False) -> list[str]:
        """Files of a finished stage that are missing or are not what it wrote.

        Parameters
        ----------
        reread : bool
            Reads every file, also those that have not changed by what the file system says.

        Returns
        -------
        list of str
            Paths relative to the store.

        Raises
        ------
        FileNotFoundError
            If the stage never finished.
        DamagedManifest
            If it cannot be told what the stage wrote.
        """
        hashes = read_manifest(self.root, stage).sha256
        return damaged_files(self.root, stage, hashes, reread=reread)

    def _manifest(self, stage: str) -> Manifest:
        try:
            manifest = read_manifest(self.root, stage)
        except DamagedManifest as error:
            raise DamagedStage(f"stage '{stage}': {error}") from error
        if damaged := damaged_files(self.root, stage, manifest.sha256):
            more = f" and {len(damaged) - 1} more files" if len(damaged) > 1 else ""
            raise DamagedStage(
                f"stage '{stage}': {self.root / damaged[0]}{more} is not what the stage wrote: run "
                "the stage again"
            )
        return manifest

    def pull(self) -> None:
        """Brings finished stages from the object store; nothing to do without one.

        Raises
        ------
        StoreError
            If the object store cannot be read.
        """
        if self.remote is not None:
            self.remote.pull(self.root)

    def stages(self) -> list[str]:
        """Names of the stages that are finished, or were, here."""
        folder = self.root / "manifests"
        return [p.relative_to(folder).with_suffix("").as_posix() for p in folder.rglob("*.json")]

    @property
    def revocations(self) -> int:
        """How often images were revoked."""
        return revocations(self.root)

    def withdraw(self, stage: str, output: Path) -> None:
        """Removes a stage's file or folder and its manifest, here and in the object store.

        What a machine made of it before images were revoked, its next `pull` removes there too.
        """
        for path in (output, *filter(is_abandoned, output.parent.glob(f".{output.name}.*"))):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        manifest_path(self.root, stage).unlink(missing_ok=True)
        if self.remote is not None:
            self.remote.withdraw(self.root, stage, self.revocations)

    def forget(self, stage: str) -> None:
        """Removes a stage's manifest, here and in the object store: it counts as not finished.

        What the stage wrote stays here until it is replaced.
        """
        manifest_path(self.root, stage).unlink(missing_ok=True)
        if self.remote is not None:
            self.remote.withdraw(self.root, stage, self.revocations)

    def finish(
        self,
        stage: str,
        fingerprint: str,
        summary: dict[str, Any],
        outputs: list[Path],
        revocations: int | None = None,
    ) -> None:
        """Marks a stage finished: its fingerprint, its summary, its files with their sizes.

        Parameters
        ----------
        revocations : int, optional
            How often images had been revoked when the stage began; default: as often as now.

        Raises
        ------
        RevokedMeanwhile
            If images were revoked since: the outputs are removed, since they may show them.
        """
        if revocations is not None and revocations != self.revocations:
            for output in outputs:
                self.withdraw(stage, output)
            raise RevokedMeanwhile(
                f"{stage}: images were revoked while this stage ran; run it again"
            )
        write_manifest(self.root, stage, fingerprint, summary, outputs)
        if self.remote is not None:
            self.remote.push(self.root, stage)


def store_root(given: str | Path | None = None) -> str:
    """Where stores are: an absolute folder, or a URL.

    Parameters
    ----------
    given : str or path, optional
        Default: `$HEML_STORE`, or `./store`.
    """
    text = str(given or os.environ.get("HEML_STORE") or "store")
    return text.rstrip("/") if "://" in text else str(Path(text).expanduser().absolute())


def open_store(name: str, root: str | Path | None = None) -> Store:
    """The store of one recipe.

    Parameters
    ----------
    name : str
        The recipe's.
    root : str or path, optional
        See `store_root`. Results of a URL are worked on below `$HEML_CACHE`, by default
        `~/.cache/heml`.

    Raises
    ------
    StoreError
        If the URL is none of an object store, or holds credentials.
    """
    where = store_root(root)
    if "://" not in where:
        return Store(Path(where) / name)
    remote = Remote(f"{where}/{name}")
    cache = Path(os.environ.get("HEML_CACHE") or "~/.cache/heml").expanduser().absolute()
    return Store(cache / fingerprint(where) / name, remote)
