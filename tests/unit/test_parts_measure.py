"""A toy bias measure in a single file: measured, tested, and named in the report."""

import textwrap

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from toy_parts import install_toy

from data_contracts import BIAS_MEASURES, ContractError
from heml.bias.association import association
from heml.bias.attributes import measured_attributes
from heml.bias.measure import MEASURES
from heml.images.groups import MISSING
from heml.report.content.bias_facts import measures_by_attribute

TOY = """
import numpy as np

from heml.bias.measure import Measure


def largest_share(tables):
    return tables.max((-2, -1)) / np.maximum(tables.sum((-2, -1)), 1)


largest_group = Measure(
    name="largest_group",
    rank=25,
    words="Share of the largest group",
    description="share of the largest group, 0 to 1",
    statistic=largest_share,
)
"""


@pytest.fixture(params=["registered", "installed"])
def toy(request, tmp_path, monkeypatch):
    """The toy's name, known in both ways."""
    if request.param == "installed":
        install_toy(tmp_path, monkeypatch, "heml.measures", "largest_group", textwrap.dedent(TOY))
    else:
        names: dict[str, object] = {}
        exec(TOY, names)
        MEASURES.register(names["largest_group"])
    yield "largest_group"
    MEASURES.unregister("largest_group")


def measured():
    labels = np.repeat(["smile", "serious"], 100)
    tones = np.concatenate([np.repeat(["light", "dark"], [80, 20]), np.repeat(["dark"], 100)])
    train = pd.DataFrame({"label": labels, "tone": tones})
    return association(train, measured_attributes(["tone"]), 200, 199, seed=0)[1]


def test_the_toy_is_measured_and_tested(toy):
    row = measured().set_index("measure").loc[toy]
    # 100 of 200 records are serious with dark hair; as many smile, but 20 of them have dark hair.
    assert row["value"] == 0.5
    assert 0.4 < row["low"] < 0.5 < row["high"] < 0.6
    assert row["p"] == 1 / 200


def test_the_report_names_it_in_the_order_of_ranks(toy, store):
    with_toy = measured()
    store.root.mkdir(parents=True)
    pq.write_table(BIAS_MEASURES.table(with_toy), store.bias_measures)
    names = [row.name for row in measures_by_attribute(store)["tone"]]
    assert names[3] == "Share of the largest group"
    assert names[0].startswith("Cramér")


def test_a_table_of_it_is_refused_where_it_is_not_known(toy):
    with_toy = measured()
    MEASURES.unregister(toy)
    if toy not in MEASURES:
        with pytest.raises(ContractError, match="largest_group"):
            BIAS_MEASURES.validate(with_toy)


def test_measures_of_a_label_that_has_no_known_attribute_value():
    tones = ["x", "y", "x", "y", "x", *[MISSING] * 5]
    train = pd.DataFrame({"label": ["a"] * 5 + ["b"] * 5, "tone": tones})
    links, measures = association(train, measured_attributes(["tone"]), 50, 49, seed=0)
    assert (links["n"].tolist(), links["p_value"].tolist()) == ([5], [1.0])
    assert measures["p"].dropna().between(0, 1).all()
