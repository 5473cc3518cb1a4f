"""The report's plain sentences, made from measured facts, with their doubts.

Every sentence that claims something names its interval and how many images it rests on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from heml.effect.summary import ArmEffect
from heml.parts.wording import decimal, listed, percent, plural
from heml.recombination.operator import OPERATORS
from heml.report.content.report_facts import Facts

#: Fewer conflicting records than this are called few.
FEW = 30
#: An average accuracy that beats guessing by less than this is called out.
HARDLY = 0.1
#: Scores whose interval starts below this are said to touch 0.
TOUCHES_ZERO = 0.005


@dataclass(frozen=True)
class Finding:
    """One statement of the summary.

    Parameters
    ----------
    key : str
        The number it is about, large.
    title : str
        What the number is.
    text : Markup
        The sentence.
    doubts : list of str
        What speaks against taking it for certain; may be empty.
    """

    key: str
    title: str
    text: Markup
    doubts: list[str]


def findings(facts: Facts) -> list[Finding]:
    """What the dataset leans on, where it sits, what was done, what changed."""
    attribute = leading_attribute(facts)
    return [_leans(facts, attribute), _sits(facts, attribute), _done(facts), _changed(facts)]


def leading_attribute(facts: Facts) -> str:
    """The attribute whose best leaf has the highest score."""
    return max(
        facts.attributes, key=lambda attribute: float(facts.leaves(attribute)["score"].max())
    )


def _leans(facts: Facts, attribute: str) -> Finding:
    link = facts.association.set_index("attribute").loc[attribute].to_dict()
    leaves = facts.leaves(attribute)
    n, conflicting = int(leaves["n"].max()), int(leaves["n_conflicting"].max())
    text = Markup(
        "In {n} train images, <b>{label}</b> and <b>{attribute}</b> go together with Cramér’s V "
        "{v} (95% interval {low} to {high}; 0 is no more than by chance, 1 is always). {few} "
        "against this habit: those are called conflicting, the others aligned."
    ).format(
        n=n,
        label=facts.label,
        attribute=attribute,
        v=decimal(link["cramers_v"]),
        low=decimal(link["cramers_v_low"]),
        high=decimal(link["cramers_v_high"]),
        few=plural(conflicting, "image goes", "images go"),
    )
    doubts = []
    if link["cramers_v_low"] < TOUCHES_ZERO:
        doubts.append("The interval touches 0: the two may not be associated at all.")
    others = [g for g in facts.attributes if g != attribute]
    if others:
        values = facts.association.set_index("attribute")["cramers_v"].to_dict()
        text += Markup(" Also measured: {}.").format(
            ", ".join(f"{g} (V {decimal(values[g])})" for g in others)
        )
    title = f"association of {facts.label} with {attribute}"
    return Finding(decimal(link["cramers_v"]), title, text, doubts)


def _sits(facts: Facts, attribute: str) -> Finding:
    leaves = facts.leaves(attribute)
    first = leaves.iloc[0].to_dict()
    n = f"{first['n']} images, {first['n_conflicting']} of them conflicting"
    if not first["score"] > 0:
        text = Markup(
            "No segment was found that both carries <b>{attribute}</b> and is fooled by it ({n})."
        ).format(attribute=attribute, n=n)
        return Finding("0", "highest bias score", text, ["That none was found does not prove "
                       "that there is none: see the intervals."])  # fmt: skip
    text = Markup(
        "Of {count} segments of the images, <b>{leaf}</b> carries the attribute {attribute} "
        "most. Judging "
        "{label} by it alone is right on {aligned} of the aligned images and on {conflicting} of "
        "the conflicting ones, so it goes by {attribute}: bias score {score} (95% interval "
        "{low} to "
        "{high}; 0 is harmless, 1 the worst; {n})."
    ).format(
        count=len(leaves),
        leaf=first["node"],
        attribute=attribute,
        label=facts.label,
        aligned=percent(first["accuracy_aligned"]),
        conflicting=percent(first["accuracy_conflicting"]),
        score=decimal(first["score"]),
        low=decimal(first["score_low"]),
        high=decimal(first["score_high"]),
        n=n,
    )
    title = f"bias score of {first['node']}"
    return Finding(decimal(first["score"]), title, text, _score_doubts(leaves.to_dict("records")))


def _score_doubts(leaves: list[dict[Any, Any]]) -> list[str]:
    first, doubts = leaves[0], []
    if first["score_low"] < TOUCHES_ZERO:
        doubts.append("The interval touches 0: this can be chance.")
    if first["attribute_auc_q"] is not None and first["attribute_auc_q"] > 0.05:
        doubts.append("That the segment shows the attribute at all is not significant.")
    rivals = [row["node"] for row in leaves[1:] if row["score_high"] >= first["score_low"]]
    if rivals and first["score_low"] >= TOUCHES_ZERO:
        some = ", ".join(rivals[:3]) + (" and others" if len(rivals) > 3 else "")
        doubts.append(f"Its interval overlaps that of {some}: the order is not certain.")
    if first["n_conflicting"] < FEW:
        few = plural(int(first["n_conflicting"]), "conflicting image is", "conflicting images are")
        doubts.append(f"{few} few: the accuracy on them is known only roughly.")
    return doubts


def _done(facts: Facts) -> Finding:
    samples, dataset = facts.samples, facts.dataset
    accepted, refused = samples["accepted"], samples["refused"]
    how = listed([OPERATORS[o].words for o in samples.get("accepted_by_operator", {})])
    text = Markup(
        "{made} recombined from segments of real train images{how} and added; {refused} refused. "
        "No real image was changed. The dataset now has {rows} rows; weights make the groups of "
        "the train split count as the plan aims."
    ).format(
        made=plural(accepted, "image was", "images were"),
        how=f" (by {how})" if how else "",
        refused=plural(refused, "try was", "tries were"),
        rows=dataset["rows"],
    )
    doubts = []
    if accepted < samples["wanted"]:
        doubts.append(
            f"{samples['wanted'] - accepted} of {samples['wanted']} wanted samples could not be "
            "made."
        )
    return Finding(f"+{accepted}", "recombined images", text, doubts)


def _changed(facts: Facts) -> Finding:
    before, after = facts.arm("erm"), facts.arm("rebalanced")
    if before is None or after is None:
        text = Markup("The effect on a held-out test split was not measured{why}.").format(
            why=f": {facts.not_measured}" if facts.not_measured else ""
        )
        doubts = ["Whether a model trained on the rebalanced data is fairer is not known from "
                  "this run."]  # fmt: skip
        return Finding("–", "worst-group accuracy", text, doubts)
    text = Markup(
        "A small network trained on the rebalanced dataset is right on {after} of its worst group, "
        "trained on the data as it is on {before} (means of {seeds}; 95% intervals over seeds and "
        "the {n} test images of that attribute {after_low}–{after_high} and "
        "{before_low}–{before_high}). The "
        "average over all attributes went from {average_before} to {average_after}."
    ).format(
        after=percent(after.worst.mean),
        before=percent(before.worst.mean),
        seeds=plural(after.seeds, "seed", "seeds"),
        n=after.n_worst,
        after_low=percent(after.worst.low),
        after_high=percent(after.worst.high),
        before_low=percent(before.worst.low),
        before_high=percent(before.worst.high),
        average_before=percent(before.average.mean),
        average_after=percent(after.average.mean),
    )
    key = f"{percent(before.worst.mean)} → {percent(after.worst.mean)}"
    return Finding(key, "worst-group accuracy", text, effect_doubts(before, after, facts.labels))


def effect_doubts(before: ArmEffect, after: ArmEffect, labels: int) -> list[str]:
    """What speaks against taking the difference of two arms for certain.

    Parameters
    ----------
    before, after : ArmEffect
    labels : int
        Number of label values: guessing is right on one in so many.
    """
    doubts = []
    if after.worst.mean <= before.worst.mean:
        doubts.append("The worst group did not gain.")
    elif before.worst.overlaps(after.worst):
        doubts.append("The intervals overlap: the gain is not certain.")
    if after.seeds < 2:
        doubts.append("One seed: how much trainings differ by chance is not known.")
    if after.average.mean < before.average.mean:
        doubts.append("The average over all attributes fell.")
    if after.note:
        doubts.append(f"The test split has {after.note}: that part is not judged.")
    guess = 1 / labels
    if after.average.mean < guess + HARDLY:
        doubts.append(
            f"With an average of {percent(after.average.mean)} the network hardly tells the label: "
            f"guessing gets {percent(guess)}. It leans less on the attribute, but is no good model."
        )
    elif after.worst.mean < guess:
        doubts.append(f"The worst group is still below guessing, {percent(guess)}.")
    return doubts
