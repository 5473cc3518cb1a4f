"""`python -m benchmarks.draw_tasks ROOT LABEL ATTRIBUTE --out FOLDER`: biased tasks of a set.

Each task is a table with a biased training set, a balanced test set, and an unbiased training set
(split `oracle`) of the size of the biased one where there are images enough. Test images are in no
training set. Of label and attribute the two most frequent values count, unless they are named.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

#: Share of the rarest group's images that are tested on, and most images of a test group.
TESTED, MOST_TESTED = 0.35, 60
#: Conflicting training images of each label, and most aligned ones.
CONFLICTING, MOST_ALIGNED = 6, 250


def draw_task(
    frame: pd.DataFrame, label: str, attribute: str, values: Sequence[Sequence[str]], seed: int
) -> pd.DataFrame:
    """One task.

    Parameters
    ----------
    frame : DataFrame
        Columns file_name, label and attribute, perhaps mask_name.
    values : two sequences of two str
        Of the label, and of the attribute: the first of one goes with the first of the other.
    seed : int

    Raises
    ------
    ValueError
        If a group has too few images.
    """
    rng = np.random.default_rng(seed)
    groups = {
        (y, a): rng.permutation(np.flatnonzero((frame[label] == y) & (frame[attribute] == a)))
        for y in values[0]
        for a in values[1]
    }
    fewest = min(len(rows) for rows in groups.values())
    tested = min(int(TESTED * fewest), MOST_TESTED)
    if tested < 5 or fewest - tested < CONFLICTING:
        raise ValueError(
            f"the rarest group of {label} and {attribute} has {fewest} images: 21 are needed"
        )
    parts = []
    left = {group: rows[tested:] for group, rows in groups.items()}
    for (y, a), rows in groups.items():
        aligned = values[0].index(y) == values[1].index(a)
        parts.append(("test", rows[:tested]))
        parts.append(("train", left[y, a][: MOST_ALIGNED if aligned else CONFLICTING]))
    size = sum(len(rows) for split, rows in parts if split == "train")
    parts += [("oracle", rows[: size // 4]) for rows in left.values()]
    columns = [c for c in ("file_name", "mask_name") if c in frame]
    return pd.concat(
        [
            frame.iloc[rows][columns + [label, attribute]].assign(split=split)
            for split, rows in parts
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.draw_tasks", description=__doc__)
    parser.add_argument("root", type=Path, help="folder with metadata.csv")
    parser.add_argument("label")
    parser.add_argument("attribute")
    parser.add_argument("--label-values", nargs=2)
    parser.add_argument("--attribute-values", nargs=2)
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    frame = pd.read_csv(options.root / "metadata.csv", dtype=str, keep_default_na=False)
    values = [
        named or sorted(frame.loc[frame[column] != "", column].value_counts().index[:2])
        for named, column in (
            (options.label_values, options.label),
            (options.attribute_values, options.attribute),
        )
    ]
    options.out.mkdir(parents=True, exist_ok=True)
    for split in range(options.splits):
        table = draw_task(frame, options.label, options.attribute, values, split)
        path = options.out / f"{options.label}-{options.attribute}-{split}.csv"
        table.to_csv(path, index=False)
        print(path, table.groupby(["split", options.label, options.attribute]).size().to_dict())


if __name__ == "__main__":
    main()
