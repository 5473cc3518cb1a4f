"""The summary's sentences, derived from measured facts, with their caveats.

Every claim states its interval and the number of images that it rests on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from heml.effect.summary import ArmEffect
from heml.parts.wording import decimal, listed, percent, plural
from heml.recombination.operator import OPERATORS
from heml.report.content.report_facts import Facts

#: Fewer conflicting records than this get a caveat.
FEW = 30
#: An average accuracy that beats chance by less than this gets a caveat.
BARELY = 0.1
#: An interval that starts below this includes 0.
INCLUDES_ZERO = 0.005


@dataclass(frozen=True)
class Finding:
    """One statement of the summary.

    Parameters
    ----------
    key : str
        The headline number.
    title : str
        What the number measures.
    text : Markup
        The sentence.
    caveats : list of str
        Reasons to be careful with it; may be empty.
    """

    key: str
    title: str
    text: Markup
    caveats: list[str]


def findings(facts: Facts) -> list[Finding]:
    """The association, the segment that encodes it, what was added, and the effect."""
    attribute = leading_attribute(facts)
    return [
        _association(facts, attribute),
        _segment(facts, attribute),
        _added(facts),
        _effect(facts),
    ]


def leading_attribute(facts: Facts) -> str:
    """The attribute whose best leaf has the highest score."""
    return max(
        facts.attributes, key=lambda attribute: float(facts.leaves(attribute)["score"].max())
    )


def _association(facts: Facts, attribute: str) -> Finding:
    link = facts.association.set_index("attribute").loc[attribute].to_dict()
    leaves = facts.leaves(attribute)
    n, conflicting = int(leaves["n"].max()), int(leaves["n_conflicting"].max())
    text = Markup(
        "In {n} train images, <b>{label}</b> and <b>{attribute}</b> are associated with Cramér’s V "
        "{v} (95% interval {low} to {high}; 0 is independence, 1 is a perfect association). {few} "
        "against it: they are called bias-conflicting, all others bias-aligned."
    ).format(
        n=n,
        label=facts.label,
        attribute=attribute,
        v=decimal(link["cramers_v"]),
        low=decimal(link["cramers_v_low"]),
        high=decimal(link["cramers_v_high"]),
        few=plural(conflicting, "image goes", "images go"),
    )
    caveats = []
    if link["cramers_v_low"] < INCLUDES_ZERO:
        caveats.append("The interval includes 0: the two may not be associated at all.")
    others = [g for g in facts.attributes if g != attribute]
    if others:
        values = facts.association.set_index("attribute")["cramers_v"].to_dict()
        text += Markup(" Also measured: {}.").format(
            ", ".join(f"{g} (V {decimal(values[g])})" for g in others)
        )
    title = f"association of {facts.label} with {attribute}"
    return Finding(decimal(link["cramers_v"]), title, text, caveats)


def _segment(facts: Facts, attribute: str) -> Finding:
    leaves = facts.leaves(attribute)
    first = leaves.iloc[0].to_dict()
    n = f"{first['n']} images, {first['n_conflicting']} of them conflicting"
    if not first["score"] > 0:
        text = Markup(
            "No segment was found that both encodes <b>{attribute}</b> and relies on it ({n})."
        ).format(attribute=attribute, n=n)
        return Finding("0", "highest bias score", text, ["This does not prove that there is none: "
                       "see the intervals."])  # fmt: skip
    text = Markup(
        "Of {count} segments, <b>{leaf}</b> has the highest bias score for {attribute}. Predicting "
        "{label} from it alone is correct for {aligned} of the aligned images and {conflicting} of "
        "the conflicting ones, so it relies on {attribute}: bias score {score} (95% interval {low} "
        "to {high}; 0 is none, 1 the highest; {n})."
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
    return Finding(decimal(first["score"]), title, text, _score_caveats(leaves.to_dict("records")))


def _score_caveats(leaves: list[dict[Any, Any]]) -> list[str]:
    first, caveats = leaves[0], []
    if first["score_low"] < INCLUDES_ZERO:
        caveats.append("The interval includes 0: this can be chance.")
    if first["attribute_auc_q"] is not None and first["attribute_auc_q"] > 0.05:
        caveats.append("The attribute AUC of the segment is not significant.")
    rivals = [row["node"] for row in leaves[1:] if row["score_high"] >= first["score_low"]]
    if rivals and first["score_low"] >= INCLUDES_ZERO:
        some = ", ".join(rivals[:3]) + (" and more" if len(rivals) > 3 else "")
        caveats.append(f"Its interval overlaps that of {some}: their order is uncertain.")
    if first["n_conflicting"] < FEW:
        few = plural(int(first["n_conflicting"]), "conflicting image is", "conflicting images are")
        caveats.append(f"{few} few: the accuracy on them is imprecise.")
    return caveats


def _added(facts: Facts) -> Finding:
    samples, dataset = facts.samples, facts.dataset
    accepted, refused = samples["accepted"], samples["refused"]
    spares = samples.get("spares", 0)
    how = listed([OPERATORS[o].words for o in samples.get("accepted_by_operator", {})])
    text = Markup(
        "{made} recombined from segments of real train images{how} and added; {refused} "
        "rejected{left}. No real image was changed. The dataset has {rows} rows; their weights "
        "balance the groups of the train split as planned."
    ).format(
        made=plural(accepted, "image was", "images were"),
        how=f" (by {how})" if how else "",
        refused=plural(refused, "candidate was", "candidates were"),
        left=f", {spares} left out because others look less edited" if spares else "",
        rows=dataset["rows"],
    )
    caveats = []
    if accepted < samples["wanted"]:
        caveats.append(
            f"{samples['wanted'] - accepted} of {samples['wanted']} planned samples are missing."
        )
    if critic := samples.get("critic", {}).get("kept"):
        caveats.append(
            "A network that looks at the surroundings of an edit tells an added image from a real "
            f"one with an AUC of {critic['auc']:.2f} ({critic['low']:.2f} to "
            f"{critic['high']:.2f}, n = {critic['n']}); chance is 0.50."
        )
    return Finding(f"+{accepted}", "recombined images", text, caveats)


def _effect(facts: Facts) -> Finding:
    before, after = facts.arm("erm"), facts.arm("rebalanced")
    if before is None or after is None:
        text = Markup("The effect on a held-out test split was not measured{why}.").format(
            why=f": {facts.not_measured}" if facts.not_measured else ""
        )
        caveats = ["This run does not show whether a model trained on the rebalanced dataset "
                  "is fairer."]  # fmt: skip
        return Finding("–", "worst-group accuracy", text, caveats)
    text = Markup(
        "A small network trained on the rebalanced dataset is correct for {after} of its worst "
        "group, trained on the data as it is for {before} (means of {seeds}; 95% intervals over "
        "seeds and the {n} test images of that group {after_low}–{after_high} and "
        "{before_low}–{before_high}). The average over all groups went from {average_before} to "
        "{average_after}."
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
    return Finding(key, "worst-group accuracy", text, effect_caveats(before, after, facts.labels))


def effect_caveats(before: ArmEffect, after: ArmEffect, labels: int) -> list[str]:
    """Reasons to be careful with the difference between two arms.

    Parameters
    ----------
    before, after : ArmEffect
    labels : int
        Number of label values: chance accuracy is one over it.
    """
    caveats = []
    if after.worst.mean <= before.worst.mean:
        caveats.append("Worst-group accuracy did not improve.")
    elif before.worst.overlaps(after.worst):
        caveats.append("The intervals overlap: the improvement is uncertain.")
    if after.seeds < 2:
        caveats.append("Only one seed: the variation between runs is unknown.")
    if after.average.mean < before.average.mean:
        caveats.append("The average over all groups decreased.")
    if after.note:
        caveats.append(f"The test split has {after.note}: that part is not evaluated.")
    chance = 1 / labels
    if after.average.mean < chance + BARELY:
        caveats.append(
            f"With an average of {percent(after.average.mean)} the network barely predicts the "
            f"label (chance is {percent(chance)}): it relies less on the attribute, but it is not "
            "a good model."
        )
    elif after.worst.mean < chance:
        caveats.append(f"Worst-group accuracy is still below chance, {percent(chance)}.")
    return caveats
