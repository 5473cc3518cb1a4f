"""Revoking images of a recipe: in its store and in Dagster's event log."""

from collections.abc import Sequence

import dagster as dg

from heml.storage.store import Store
from pipelines.runtime.preview_redaction import redact_previews


def revoke_everywhere(
    instance: dg.DagsterInstance, recipe_name: str, store: Store, image_ids: Sequence[str]
) -> list[str]:
    """The one call behind the command and the job.

    Returns
    -------
    list of str
        The ids that were not revoked before.

    Raises
    ------
    RevokeError, FileNotFoundError
        See `heml.dataset.revocation.revoke`; nothing is revoked then.
    """
    from heml.dataset.revocation import revoke

    gone = revoke(store, image_ids)
    redact_previews(instance, recipe_name)
    return gone
