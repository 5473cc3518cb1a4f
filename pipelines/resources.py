"""Resources of the code location: where results are kept."""

import dagster as dg
from pydantic import Field

from heml.storage.store import Store, open_store


class StoreResource(dg.ConfigurableResource):
    """The folder or object store of all recipes' results, opened where a step runs."""

    root: str = Field(
        description="Folder, or URL such as s3://bucket/prefix. Credentials come from the "
        "environment, never from here."
    )

    def open(self, name: str) -> Store:
        """The store of one recipe.

        Parameters
        ----------
        name : str
            The recipe's.

        Raises
        ------
        StoreError
            If the root is a URL that cannot be used.
        """
        return open_store(name, self.root)
