"""A store in an object store: a folder of this machine works, the bucket keeps.

A stage's files are uploaded first and its manifest last, and the manifest of what they replace is
removed before: a stage whose manifest is there is whole. Credentials are the file system library's
business, which takes them from the environment.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from heml.storage.atomic_write import write_aside
from heml.storage.locks import locked
from heml.storage.manifest import DamagedManifest, manifest_path, read_manifest
from heml.storage.verification import file_hash, remember_verified

log = logging.getLogger(__name__)

#: File systems that can be written to and give nothing but bytes.
PROTOCOLS = ("abfs", "abfss", "az", "file", "gcs", "gs", "memory", "oci", "r2", "s3", "s3a")

_SYNCED, _LOCK = ".synced", ".lock"


class StoreError(ValueError):
    """A store that cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Remote:
    """Where the finished stages of one recipe are kept.

    Parameters
    ----------
    url : str
        Such as `s3://bucket/prefix/faces`, without credentials.

    Raises
    ------
    StoreError
        If it is no URL that can be written to.
    """

    url: str

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.username or parts.password or "@" in parts.netloc or parts.query:
            # The text is not repeated: it may hold a secret.
            raise StoreError(
                "HEML_STORE: credentials do not belong in the URL; put them into the environment, "
                "such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        if parts.scheme not in PROTOCOLS or "::" in self.url:
            raise StoreError(
                f"HEML_STORE: '{parts.scheme}' is no store that can be written to; use a folder or "
                f"one of {', '.join(PROTOCOLS)}"
            )

    def push(self, root: Path, stage: str) -> None:
        """Uploads a stage that is finished in `root`, unless the same is there.

        Raises
        ------
        StoreError
            If the object store cannot be written to.
        """
        local = json.loads(manifest_path(root, stage).read_text(encoding="utf-8"))
        with locked(root / _LOCK), self._talking() as (files, base):
            there = self._remote_manifest(files, base, stage)
            if _revocations(local) < self._least(files, base, stage):
                _remove_stage(root, stage)
                raise StoreError(
                    f"{stage}: images were revoked on another machine since this stage began; run "
                    "it again"
                )
            if there is not None and there == local:
                self._remember(root, stage, _dumped(there))
                return
            hashes = local["sha256"]
            kept = there["sha256"] if there is not None else {}
            manifest = f"{base}/manifests/{stage}.json"
            if there is not None:
                files.rm_file(manifest)
            for name, digest in hashes.items():
                if kept.get(name) != digest:
                    files.put_file(str(root / name), f"{base}/{name}")
            for name in _replaced(stage, kept, hashes):
                files.rm_file(f"{base}/{name}")
            data = _dumped(local)
            files.pipe_file(manifest, data)
            self._remember(root, stage, data)

    def pull(self, root: Path) -> list[str]:
        """Downloads every finished stage that is not in `root` as it is there.

        A stage that was finished in `root` and not yet uploaded stays. A stage whose files are not
        those of its manifest is left out, with a warning: it counts as not finished.

        Returns
        -------
        list of str
            Stages that were downloaded.

        Raises
        ------
        StoreError
            If the object store cannot be read.
        """
        with locked(root / _LOCK), self._talking() as (files, base):
            folder = f"{base}/manifests"
            stages = [
                PurePosixPath(path).relative_to(folder).with_suffix("").as_posix()
                for path in files.find(folder)
            ]
            return [stage for stage in sorted(stages) if self._pull(files, base, root, stage)]

    def withdraw(self, root: Path, stage: str, revocations: int) -> None:
        """Removes a stage's manifest and files.

        Parameters
        ----------
        root : pathlib.Path
        stage : str
        revocations : int
            Results that were made before so many revocations are removed on every machine and are
            never uploaded again; a tombstone in the manifest's place says so. 0: no tombstone.
        """
        (root / _SYNCED / f"{stage}.json").unlink(missing_ok=True)
        with self._talking() as (files, base):
            there = self._remote_manifest(files, base, stage)
            manifest = f"{base}/manifests/{stage}.json"
            # Before the files: from now on nobody takes them for a result.
            if revocations:
                tombstone = {"withdrawn": True, "revocations": revocations}
                files.pipe_file(manifest, _dumped(tombstone))
            elif there is not None:
                files.rm_file(manifest)
            for name in there["files"] if there is not None else ():
                if files.exists(f"{base}/{name}"):
                    files.rm_file(f"{base}/{name}")

    def _pull(self, files: Any, base: str, root: Path, stage: str) -> bool:
        there = self._remote_manifest(files, base, stage)
        synced, local = root / _SYNCED / f"{stage}.json", manifest_path(root, stage)
        here = _local(root, stage)
        if here is not None and _revocations(here) < self._least(files, base, stage):
            _remove_stage(root, stage)
            here = None
        if there is None:
            return False
        before = synced.read_bytes() if synced.exists() else None
        if here is not None and (
            before == _dumped(there)
            # Finished here since the two were last the same: it will be uploaded.
            or before is None
            or json.loads(before) != here
        ):
            return False
        aside = root / f".pull.{os.getpid()}.tmp"
        shutil.rmtree(aside, ignore_errors=True)
        try:
            for name, size in there["files"].items():
                target = aside / name
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    files.get_file(f"{base}/{name}", str(target))
                except FileNotFoundError:
                    target = aside / "missing"
                if not target.is_file() or target.stat().st_size != size or (
                    file_hash(target) != there["sha256"].get(name)
                ):  # fmt: skip
                    log.warning(
                        "%s/%s is not what the manifest of %s says: the stage counts as not "
                        "finished", self.url, name, stage,
                    )  # fmt: skip
                    return False
            local.unlink(missing_ok=True)
            gone = json.loads(before)["files"] if before else {}
            for name in _replaced(stage, gone, there["files"]):
                (root / name).unlink(missing_ok=True)
            for name in there["files"]:
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                os.replace(aside / name, root / name)
            with write_aside(local) as path:
                path.write_bytes(_dumped(there))
            remember_verified(root, stage, there["sha256"])
            self._remember(root, stage, _dumped(there))
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return True

    def _remote_manifest(self, files: Any, base: str, stage: str) -> dict[str, Any] | None:
        """A stage's manifest; None if there is none that can be used."""
        try:
            content = dict(json.loads(files.cat_file(f"{base}/manifests/{stage}.json")))
            if content.get("withdrawn"):
                return None
            names = [PurePosixPath(name) for name in content["files"]]
            if any(name.is_absolute() or ".." in name.parts for name in names):
                raise ValueError("a name leaves the store")
            _ = content["sha256"], content["summary"], content["fingerprint"], content["checksum"]
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            log.warning("%s/manifests/%s.json cannot be used: %s", self.url, stage, error)
            return None
        return content

    def _least(self, files: Any, base: str, stage: str) -> int:
        """How many revocations a result must know of to stay beside what is there."""
        try:
            content = json.loads(files.cat_file(f"{base}/manifests/{stage}.json"))
        except (FileNotFoundError, ValueError):
            return 0
        return _revocations(content) if isinstance(content, dict) else 0

    def _remember(self, root: Path, stage: str, data: bytes) -> None:
        with write_aside(root / _SYNCED / f"{stage}.json") as path:
            path.write_bytes(data)

    @contextmanager
    def _talking(self) -> Iterator[tuple[Any, str]]:
        try:
            from fsspec.core import url_to_fs

            # A folder must be made before its files; object stores have none.
            local = {"auto_mkdir": True} if self.url.startswith("file:") else {}
            files, base = url_to_fs(self.url, **local)
            files.invalidate_cache()
            yield files, base.rstrip("/")
        except ImportError as error:
            raise StoreError(
                f"{self.url} needs a library: {error} (for s3: pip install 'heml[s3]')"
            ) from error
        except OSError as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise StoreError(
                f"{self.url} cannot be used: {reason}; check the bucket, the network and the "
                "credentials in the environment. What is finished is kept on this machine"
            ) from error


def _revocations(manifest: dict[str, Any]) -> int:
    return int(manifest.get("revocations", 0))


def _local(root: Path, stage: str) -> dict[str, Any] | None:
    """A stage's manifest on this machine, as written; None if there is none that is whole."""
    try:
        read_manifest(root, stage)
    except (FileNotFoundError, DamagedManifest):
        return None
    return dict(json.loads(manifest_path(root, stage).read_text(encoding="utf-8")))


def _remove_stage(root: Path, stage: str) -> None:
    """Removes what a machine has of a stage."""
    local = manifest_path(root, stage)
    names = json.loads(local.read_text(encoding="utf-8"))["files"]
    local.unlink()
    (root / _SYNCED / f"{stage}.json").unlink(missing_ok=True)
    for name in names:
        path = root / name
        path.unlink(missing_ok=True)
        while path.parent != root and path.parent.is_dir() and not any(path.parent.iterdir()):
            path = path.parent
            path.rmdir()


def _dumped(manifest: dict[str, Any]) -> bytes:
    return json.dumps(manifest, indent=1, sort_keys=True).encode()


def _replaced(stage: str, before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Files of the earlier result that are none of this one's.

    Nodes keep theirs: recipes go back to them.
    """
    return [] if stage.startswith("metric/") else sorted(set(before) - set(now))
