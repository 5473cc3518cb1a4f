"""What a table contract is: columns, types, meaning and rules, stated once.

Everything else follows from a `Contract`: the Arrow schema that is written, the pandera model that
is validated, the descriptions that the UI shows. The tables themselves live in one module each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, overload

import pyarrow as pa

from data_contracts.vocabulary import Vocabulary

if TYPE_CHECKING:
    import pandas as pd
    import pandera.pandas as pa_model

_VERSION_KEY = b"heml.contract_version"
_NAME_KEY = b"heml.contract"


class ContractError(ValueError):
    """A table does not keep its contract; the message names table, column and rule."""


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Parameters
    ----------
    name : str
    type : pyarrow.DataType
    description : str
        One sentence, with the unit or range where there is one.
    nullable : bool, default False
    unique : bool, default False
    at_least, at_most : float, optional
        Inclusive bounds of numeric columns.
    among : sequence of str or Vocabulary, optional
        The allowed values of text columns.
    """

    name: str
    type: pa.DataType
    description: str
    nullable: bool = False
    unique: bool = False
    at_least: float | None = None
    at_most: float | None = None
    among: Sequence[str] | Vocabulary | None = None

    def checks(self) -> list[pa_model.Check]:
        """The value rules as pandera checks."""
        import pandera.pandas as pa_model

        checks = []
        if self.at_least is not None:
            checks.append(pa_model.Check.ge(self.at_least))
        if self.at_most is not None:
            checks.append(pa_model.Check.le(self.at_most))
        if (words := self.words()) is not None:
            checks.append(pa_model.Check.isin(list(words)))
        return checks

    def words(self) -> Sequence[str] | None:
        """The allowed values, as far as they are known."""
        return self.among.words() if isinstance(self.among, Vocabulary) else self.among


class OpenColumns(Sequence[Column]):
    """Columns that the code above provides when it is imported, such as those of gates.

    Parameters
    ----------
    kind : str
        What they are, in the plural: "gate columns".
    provider : str
        The module that provides them, for the error where it was not imported.
    """

    def __init__(self, kind: str, provider: str) -> None:
        self._kind = kind
        self._provider = provider
        self._provide: Callable[[], Iterable[Column]] | None = None

    def provided_by(self, provide: Callable[[], Iterable[Column]]) -> None:
        """Says who knows the columns; asked every time, because parts may be added later."""
        self._provide = provide

    def _all(self) -> tuple[Column, ...]:
        if self._provide is None:
            raise ContractError(f"{self._kind} are not known: import {self._provider} first")
        return tuple(self._provide())

    @overload
    def __getitem__(self, place: int) -> Column: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[Column, ...]: ...

    def __getitem__(self, place: int | slice) -> Column | tuple[Column, ...]:
        return self._all()[place]

    def __len__(self) -> int:
        return len(self._all())

    def __iter__(self) -> Iterator[Column]:
        return iter(self._all())


class Columns(OpenColumns):
    """Columns of a contract, some of them open.

    Parameters
    ----------
    parts : Column or OpenColumns
        In their order.
    """

    def __init__(self, *parts: Column | OpenColumns) -> None:
        self._parts = parts

    def _all(self) -> tuple[Column, ...]:
        return tuple(
            column
            for part in self._parts
            for column in (part if isinstance(part, OpenColumns) else (part,))
        )


@dataclass(frozen=True)
class Contract:
    """One table: its name, version, meaning and columns.

    A reader accepts every table of the same major version: a change that only adds columns raises
    the minor version, any other change the major one.
    """

    name: str
    description: str
    columns: Sequence[Column]
    version: tuple[int, int] = (1, 0)
    unique_together: tuple[str, ...] = field(default=())

    def with_columns(self, extra: Iterable[Column]) -> Contract:
        """The same contract with the columns that only a recipe knows (the input's own)."""
        return replace(self, columns=(*self.columns, *extra))

    @property
    def column_names(self) -> list[str]:
        return [column.name for column in self.columns]

    def schema(self) -> pa.Schema:
        """The Arrow schema, with name and version of the contract in its metadata."""
        fields = [
            pa.field(
                column.name,
                column.type,
                nullable=column.nullable,
                metadata={b"description": column.description.encode()},
            )
            for column in self.columns
        ]
        version = ".".join(map(str, self.version)).encode()
        return pa.schema(fields, metadata={_NAME_KEY: self.name.encode(), _VERSION_KEY: version})

    def model(self, columns: Sequence[str] | None = None) -> pa_model.DataFrameSchema:
        """The pandera model of a pandas frame holding all or some of the columns.

        Nested and binary columns are checked for presence and nulls only: their inner types are
        Arrow's to keep.
        """
        import pandera.pandas as pa_model

        chosen = [c for c in self.columns if columns is None or c.name in columns]
        return pa_model.DataFrameSchema(
            {
                c.name: pa_model.Column(
                    dtype=_pandas_dtype(c.type) if not c.nullable else None,
                    checks=c.checks(),
                    nullable=c.nullable,
                    unique=c.unique,
                    description=c.description,
                    coerce=False,
                )
                for c in chosen
            },
            unique=list(self.unique_together) or None,
            name=self.name,
        )

    def validate(self, frame: pd.DataFrame, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Checks a frame against the rules.

        Raises
        ------
        ContractError
            With the table, and each failed column and rule with an example value.
        """
        from pandera.errors import SchemaErrors

        try:
            return self.model(columns).validate(frame, lazy=True)
        except SchemaErrors as error:
            cases = error.failure_cases.drop_duplicates(subset=["column", "check"]).head(5)
            lines = [
                f"{row.column or self.name}: {row.check} (for example {row.failure_case!r})"
                for row in cases.itertuples()
            ]
            raise ContractError(f"table '{self.name}': " + "; ".join(lines)) from error

    def table(self, rows: pd.DataFrame | Sequence[dict[str, object]]) -> pa.Table:
        """Rows as an Arrow table with exactly this contract's columns and types.

        Raises
        ------
        ContractError
            If a column is missing, has nulls where none may be, or does not convert.
        """
        if not isinstance(rows, Sequence):
            missing = set(self.column_names) - set(rows.columns)
            if missing:
                raise ContractError(f"table '{self.name}': missing columns {sorted(missing)}")
            arrays = {name: rows[name].tolist() for name in self.column_names}
        else:
            try:
                arrays = {name: [row[name] for row in rows] for name in self.column_names}
            except KeyError as error:
                raise ContractError(f"table '{self.name}': missing column {error}") from error
        built = []
        for column in self.columns:
            try:
                array = pa.array(arrays[column.name], type=column.type, from_pandas=True)
            except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
                raise ContractError(f"table '{self.name}', '{column.name}': {error}") from error
            if array.null_count and not column.nullable:
                raise ContractError(
                    f"table '{self.name}', '{column.name}': {array.null_count} missing values"
                )
            built.append(array)
        return pa.Table.from_arrays(built, schema=self.schema())

    def check_version(self, schema: pa.Schema) -> None:
        """Refuses a stored table of another contract or another major version.

        Raises
        ------
        ContractError
        """
        metadata = schema.metadata or {}
        name = metadata.get(_NAME_KEY, b"").decode()
        version = metadata.get(_VERSION_KEY, b"").decode()
        if name != self.name or version.split(".")[0] != str(self.version[0]):
            raise ContractError(
                f"expected table '{self.name}' version {self.version[0]}.x, found "
                f"'{name or 'no contract'}' {version or ''}: remove it from the store and run again"
            )


def _pandas_dtype(arrow_type: pa.DataType) -> type | str | None:
    if pa.types.is_integer(arrow_type):
        return str(arrow_type)
    if pa.types.is_floating(arrow_type):
        return {"float": "float32", "double": "float64"}.get(str(arrow_type), str(arrow_type))
    if pa.types.is_boolean(arrow_type):
        return "bool"
    return None
