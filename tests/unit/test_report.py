"""The report and its figures: complete, self-contained, true to the tables, safe, repeatable."""

from __future__ import annotations

import io
import re
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image
from report_store import CLASSES, EVIL, RECIPE, TAXONOMY, Page, ReportStore, leave_out_figures
from statsmodels.stats.proportion import proportion_confint

from data_contracts import (
    BIAS_SCORES,
    DEBIAS_EFFECT,
    RECOMBINED_SAMPLES,
    SEGMENT_STABILITY,
    SEGMENTS,
)
from heml.bias.history import remember_scores
from heml.dataset import revocation
from heml.dataset.revocation import revoke
from heml.effect.summary import arm_effects
from heml.parts.wording import chance, decimal, percent
from heml.report import report_stage
from heml.report.content.findings import findings
from heml.report.content.found_segments import found_segments
from heml.report.content.report_facts import gather
from heml.report.content.revoked_images import RevokedImagesError
from heml.report.drawing.encoding import SMALL
from heml.report.drawing.style import ink_on
from heml.report.drawing.thumbnails import leaf_colors, outlined
from heml.report.drawing.tree_drawing import places
from heml.report.figures import by_name
from heml.report.figures.examples import contrasting_pairs, sample_examples, spread
from heml.report.figures.store_images import StoreImages
from heml.report.report_stage import SECTIONS, render_report
from heml.segmentation.segment_rows import segment_rows
from heml.storage.sharded_parquet import ShardWriter
from heml.storage.store import Store
from heml.tree.metric_tree import MetricTree

pytestmark = pytest.mark.xdist_group("report")


@pytest.fixture(scope="module")
def made(rendered_report: ReportStore) -> ReportStore:
    return rendered_report


@pytest.fixture(scope="module")
def page(made: ReportStore) -> Page:
    return Page(made.store.report.read_text())


@pytest.fixture
def own(tmp_path: Path) -> ReportStore:
    """A store that a test may change."""
    return ReportStore(tmp_path / "store")


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages whose words alone matter: charts are blank, pairs are left out."""
    leave_out_figures(monkeypatch)


FIGURES = {
    "images": lambda m: by_name.images_figure(m.store, m.label, m.attributes),
    "segments": lambda m: by_name.segments_figure(m.store, TAXONOMY),
    "segments_alone": lambda m: by_name.segments_alone_figure(m.store, TAXONOMY),
    "node": lambda m: by_name.node_figure(m.store, "shape", TAXONOMY),
    "node_without_views": lambda m: by_name.node_figure(m.store, "shape"),
    "untrained_node": lambda m: by_name.node_figure(m.store, "hat", TAXONOMY),
    "tree": lambda m: by_name.tree_figure(m.store, TAXONOMY, m.attributes[0]),
    "bias": lambda m: by_name.bias_figure(m.store, m.attributes[0]),
    "coverage": lambda m: by_name.coverage_figure(m.store),
    "plan": lambda m: by_name.plan_figure(m.store),
    "plan_accepted": lambda m: by_name.plan_figure(m.store, accepted=True),
    "samples": lambda m: by_name.samples_figure(m.store),
    "rejected": lambda m: by_name.rejected_figure(m.store),
    "effect": lambda m: by_name.effect_figure(m.store),
    "pair": lambda m: by_name.pair_figure(m.store, TAXONOMY, "image-00", "image-01"),
    "strip": lambda m: by_name.segment_strip_figure(m.store, TAXONOMY, "image-00", "image-01"),
    "shares": lambda m: by_name.contribution_figure(m.store, TAXONOMY, "image-00", "image-09"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_a_small_png(made: ReportStore, name: str) -> None:
    data = FIGURES[name](made)
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert pixels.shape[1] <= 900
    assert len(data) <= SMALL
    assert pixels.std() > 1, "the image is not blank"


def test_images_are_shown_before_they_are_segmented(own: ReportStore) -> None:
    (own.store.root / "manifests" / "segments.json").unlink()
    shutil.rmtree(own.store.segments)
    assert FIGURES["images"](own)


@pytest.mark.parametrize("name", ["samples", "pair", "tree", "bias", "segments"])
def test_same_figure_same_bytes(made: ReportStore, name: str) -> None:
    assert FIGURES[name](made) == FIGURES[name](made)


def test_report_has_every_section_and_the_contents_lead_there(page: Page) -> None:
    sections = [tag["id"] for tag in page.named("section")]
    assert sections == [name for name, _ in SECTIONS]
    links = [str(tag["href"]) for tag in page.named("a")]
    assert links[0] == "#main", "the skip link comes first"
    ids = {tag.get("id") for _, tag in page.tags}
    assert {link.removeprefix("#") for link in links} <= ids
    assert set(sections) <= {link.removeprefix("#") for link in links}
    assert not page.open_tags
    assert page.named("html")[0]["lang"] == "en"


def test_report_needs_nothing_else(page: Page, made: ReportStore) -> None:
    sources = [v for _, tag in page.tags for k, v in tag.items() if k in ("src", "href", "srcset")]
    assert sources
    assert all(str(s).startswith(("data:image/", "#")) for s in sources)
    assert not page.named("script")
    assert not page.named("link")
    assert not re.search(r"url\(|@import", made.store.report.read_text())
    assert not re.search(r"\son\w+=", re.sub(r'"[^"]*"', '""', made.store.report.read_text()))


def test_every_image_decodes_and_has_alt_text(page: Page) -> None:
    from base64 import b64decode

    images = page.named("img")
    assert len(images) > 20
    for image in images:
        data = b64decode(str(image["src"]).split(",", 1)[1])
        with Image.open(io.BytesIO(data)) as decoded:
            decoded.load()
            ratio = decoded.width / decoded.height
        assert len(str(image["alt"])) > 5
        assert int(str(image["width"])) / int(str(image["height"])) == pytest.approx(ratio, 0.1)


def test_headings_skip_no_level_and_table_columns_are_named(page: Page, made: ReportStore) -> None:
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert not re.search(r"<th[^>]*>\s*</th>", made.store.report.read_text())


def test_charts_have_images_that_fit_a_phone(page: Page) -> None:
    sources = [s for s in page.named("source") if "max-width" in str(s["media"])]
    # Segments twice, coverage, scores, plan twice, effect, and two of every pair; some dark too.
    assert len([s for s in sources if "dark" not in str(s["media"])]) >= 9
    assert {int(str(s["width"])) for s in sources} == {360}
    assert all(str(s["media"]).startswith("screen and ") for s in page.named("source"))


def test_pairs_and_segments_have_images_for_dark_pages(page: Page) -> None:
    from base64 import b64decode

    sources = [s for s in page.named("source") if "dark" in str(s["media"])]
    assert len(sources) >= 4
    for source in sources:
        data = b64decode(str(source["srcset"]).split(",", 1)[1])
        with Image.open(io.BytesIO(data)) as image:
            assert image.convert("L").getpixel((2, image.height - 3)) < 40


def test_numbers_are_those_of_the_tables(page: Page) -> None:
    assert "30 records were read: 26 accepted, 1 quarantined, 3 excluded" in page.text
    assert "Cramér’s V 0.77 (95% interval 0.61 to 0.89" in page.text
    assert "Of 3 segments, shape has the highest bias score for tone" in page.text
    assert "correct for 94% of the aligned images and 6% of the conflicting" in page.text
    assert "frame of the host, where not exchanged, take the colors" in page.text
    assert "The colors of hat are kept because they predict outline" in page.text
    assert "0.82 to 0.96; 0 is none, 1 the highest; 18 images, 2 of them" in page.text
    assert "6 images were recombined" in page.text
    assert "6 candidates were rejected" in page.text
    assert "correct for 71% of its worst group, trained on the data as it is for 13%" in page.text
    low, high = proportion_confint(0.71 * 60, 60)
    assert f"{low:.0%}–{high:.0%}" in page.text
    assert "37% [27%, 47%]" in page.text, "plain similarity on test"
    assert "outline=round · tone=dark: 8 images (44.4% of train, ratio 1.78)" in page.text


def test_few_conflicting_records_and_missing_samples_get_caveats(page: Page) -> None:
    assert "2 conflicting images are few" in page.text
    assert "8 of 14 planned samples are missing" in page.text


@pytest.mark.usefixtures("undrawn")
def test_values_that_look_like_markup_stay_text(tmp_path: Path) -> None:
    hostile = ReportStore(tmp_path / "s", ("round", EVIL), ("dark", '"><b>'), "tone<i>")
    page = Page(hostile.render(name=EVIL))
    assert not page.named("script")
    assert page.text.count(EVIL) >= 5, "name, label, recipe, quarantine: shown, not run"
    assert not page.open_tags


@pytest.mark.usefixtures("undrawn")
def test_every_attribute_has_its_figures_and_its_table(tmp_path: Path) -> None:
    page = Page(ReportStore(tmp_path / "s", more=["camera"]).render())
    for attribute in ("tone", "camera"):
        assert f"All nodes for {attribute}, most biased first" in page.text
        assert any(f"bias score for {attribute}" in str(tag["alt"]) for tag in page.named("img"))
    assert "Also measured: camera (V 0.39)" in page.text


@pytest.mark.usefixtures("undrawn")
def test_same_input_gives_the_same_bytes_in_another_folder(
    own: ReportStore, tmp_path: Path
) -> None:
    assert own.render() == ReportStore(tmp_path / "elsewhere").render()


@pytest.mark.usefixtures("undrawn")
def test_an_unchanged_report_is_kept_and_a_changed_recipe_renders_again(own: ReportStore) -> None:
    arguments = (own.run, "test", own.label)
    first = render_report(*arguments, RECIPE)
    assert not first.reused
    assert set(first.summary) >= {"bytes", "images", "sections", "words"}
    assert first.summary["bytes"] == own.store.report.stat().st_size < 15e6
    assert render_report(*arguments, RECIPE).reused
    assert not render_report(*arguments, RECIPE + "# more").reused


@pytest.mark.parametrize("how", ["never measured", "left out"])
@pytest.mark.usefixtures("undrawn")
def test_without_an_effect_the_report_says_so(own: ReportStore, how: str) -> None:
    if how == "never measured":
        own.store.debias_effect.unlink()
    text = Page(own.render(effect=how != "left out")).text
    assert "The effect on a held-out test split was not measured." in text
    assert "71%" not in text


def test_a_stage_that_is_missing_is_named(own: ReportStore) -> None:
    (own.store.root / "manifests" / "recombined_samples.json").unlink()
    with pytest.raises(FileNotFoundError, match="recombined_samples"):
        own.render()


@pytest.mark.usefixtures("undrawn")
def test_no_samples_at_all_is_no_error(own: ReportStore) -> None:
    path = own.store.recombined_samples / "part-00000.parquet"
    pq.write_table(RECOMBINED_SAMPLES.schema().empty_table(), path)
    summary = {"wanted": 14, "tried": 0, "accepted": 0, "refused": 0, "refused_by_reason": {}}
    own.store.finish("recombined_samples", "none", summary, [])
    text = Page(own.render()).text
    assert "0 images were recombined" in text
    assert "No sample was rejected." in text
    for name in ("samples", "rejected"):
        assert FIGURES[name](own)


def caveats(made: ReportStore) -> list[str]:
    facts = gather(made.store, made.label, made.attributes, effect=True)
    return [caveat for finding in findings(facts) for caveat in finding.caveats]


def test_a_score_whose_interval_includes_0_gets_a_caveat(own: ReportStore) -> None:
    assert not any("includes 0" in caveat for caveat in caveats(own))
    own.scores(score_low=0.0)
    assert any("includes 0" in caveat for caveat in caveats(own))


def test_segments_with_overlapping_intervals_are_named(own: ReportStore) -> None:
    own.scores(score_low=0.2)
    assert any("overlaps that of background" in caveat for caveat in caveats(own))


def test_no_biased_segment_is_reported_as_such(own: ReportStore) -> None:
    scores = pd.read_parquet(own.store.bias_scores).assign(score=0.0, score_low=0.0)
    pq.write_table(BIAS_SCORES.table(scores), own.store.bias_scores)
    facts = gather(own.store, own.label, own.attributes, effect=True)
    assert "No segment was found" in findings(facts)[1].text


@pytest.mark.parametrize(
    ("after", "n", "expected"),
    [
        ((0.71, 0.69, 0.73), 60, None),
        ((0.30, 0.31, 0.32), 20, "intervals overlap"),
        ((0.10, 0.09, 0.11), 60, "did not improve"),
        ((0.70,), 60, "one seed"),
        ((0.41, 0.40, 0.42), 400, "still below chance, 50%"),
        ((0.15, 0.16, 0.17), 4000, "barely predicts the label"),
    ],
)
def test_an_effect_gets_the_caveats_that_it_deserves(
    own: ReportStore, after: tuple[float, ...], n: int, expected: str | None
) -> None:
    before = (0.11, 0.15, 0.13)[: len(after)]
    own.effect({"erm": before, "rebalanced": after}, n)
    found = [c for c in caveats(own) if "planned" not in c and "few" not in c]
    assert (expected is None) == (not found)
    assert expected is None or any(expected in caveat for caveat in found)


@pytest.mark.usefixtures("undrawn")
def test_arms_are_read_in_the_contracts_order(own: ReportStore) -> None:
    own.effect({"rebalanced": (0.7,), "cutmix": (0.2,), "erm": (0.1,)}, 60, "no test image of x")
    arms = arm_effects(pd.read_parquet(own.store.debias_effect))
    assert [arm.arm for arm in arms] == ["erm", "cutmix", "rebalanced"]
    assert arms[2].n_worst == 60
    assert arms[2].worst.low == proportion_confint(42, 60)[0]
    text = Page(own.render()).text
    assert "CutMix" in text
    assert "no test image of x: that part is not evaluated" in text


@pytest.mark.usefixtures("undrawn")
def test_the_report_says_why_the_effect_was_not_measured(own: ReportStore) -> None:
    pq.write_table(DEBIAS_EFFECT.schema().empty_table(), own.store.debias_effect)
    own.store.finish("debias_effect", "none", {"not_measured": "no image is in split 'test'"}, [])
    text = Page(own.render()).text
    assert text.count("no image is in split 'test'") == 2, "in the findings and in the section"
    assert by_name.effect_figure(own.store) is None


def test_pairs_share_the_label_or_the_attribute_but_not_both(made: ReportStore) -> None:
    tree = MetricTree.load(made.store.metric_tree)
    pairs = contrasting_pairs(tree, made.attributes)
    assert [pair.same_label for pair in pairs] == [True, False]
    known = made.train.set_index("image_id")
    for pair in pairs:
        first, second = known.loc[pair.first], known.loc[pair.second]
        assert (first["label"] == second["label"]) == pair.same_label
        assert (first["tone"] == second["tone"]) != pair.same_label


def test_examples_of_samples_cover_every_kind(made: ReportStore) -> None:
    accepted = sample_examples(made.store, accepted=True)
    kinds = list(zip(accepted["direction"], accepted["operator"], strict=True))
    assert len(set(kinds)) == len(kinds) == 4
    assert kinds[0][0] == "swap_attribute", "within-group samples come last"
    refused = sample_examples(made.store, accepted=False, per_kind=2)
    assert sorted(refused["reason"]) == ["in_distribution"] * 2 + ["label_kept"] * 2


def test_tree_places_leaves_on_lines_of_their_own_and_branches_amid_children() -> None:
    where = places(TAXONOMY)
    assert sorted(where[leaf][1] for leaf in TAXONOMY.leaves) == [0, 1, 2]
    assert where["thing"] == (1, pytest.approx((where["shape"][1] + where["hat"][1]) / 2))
    assert where["image"][0] == 0


def test_spread_keeps_both_ends() -> None:
    assert spread(3, 5) == [0, 1, 2]
    assert spread(100, 3) == [0, 50, 99]
    assert spread(0, 3) == []


def test_numbers_in_words() -> None:
    assert (percent(0.876), percent(None), percent(float("nan"))) == ("88%", "–", "–")
    assert (decimal(0.126), decimal(None)) == ("0.13", "–")
    assert (chance(0.0004), chance(0.04), chance(None)) == ("< 0.001", "0.040", "–")


def test_text_contrasts_with_its_background() -> None:
    assert ink_on("#ffffff") != "#ffffff"
    assert ink_on("#c04a00") == "#ffffff"


def luminance(color: str) -> float:
    """Relative luminance of #rgb or #rrggbb (WCAG 2.2)."""
    digits = color.removeprefix("#")
    digits = "".join(d * 2 for d in digits) if len(digits) == 3 else digits
    channels = np.array([int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_text_contrasts_with_the_page_in_light_dark_and_print():
    css = (Path(report_stage.__file__).parent / "templates" / "report.css").read_text()
    schemes = [dict(re.findall(r"--([\w-]+): (#\w+)", root)) for root in css.split(":root {")[1:]]
    assert len(schemes) == 3
    for scheme in schemes:
        for ground in ("paper", "soft", "caveat"):
            for ink in ("ink", "muted", "accent", "caveat-line"):
                if ground == "caveat" and ink != "ink":
                    continue
                light, dark = sorted(map(luminance, (scheme[ink], scheme[ground])), reverse=True)
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, ground, scheme[ink])


@pytest.mark.usefixtures("undrawn")
def test_scores_over_time_are_shown_once_there_are_some(own: ReportStore) -> None:
    assert "Bias scores over time" not in Page(own.render()).text
    scores = pd.read_parquet(own.store.bias_scores)
    for times, images in ((0.5, "a"), (1.0, "b")):
        earlier = scores.assign(score=scores["score"] * times)
        remember_scores(own.store, earlier, own.label, images, images)
    (own.store.root / "manifests" / "report.json").unlink()
    page = Page(own.render())
    assert "Bias scores over time" in page.text
    assert "NodeAttribute#1#2" in page.text
    assert not page.open_tags


@pytest.mark.usefixtures("undrawn")
def test_surrogates_in_text_are_escaped(own: ReportStore) -> None:
    summary = own.store.summary("rebalance_plan") | {"remarks": ["group \udcff is empty"]}
    own.store.finish("rebalance_plan", "surrogates", summary, [])
    page = Page(own.render(recipe_text="name: test  # \udce9"))
    assert "group \\udcff is empty" in page.text
    assert "# \\udce9" in page.text


def test_a_revoked_report_is_not_written_before_the_recipe_runs_again(own: ReportStore) -> None:
    image_id = own.train["image_id"].iloc[0]
    revoke(own.store, [image_id])
    with pytest.raises(FileNotFoundError, match="rebalanced_dataset"):
        own.render()
    assert not own.store.report.exists()


@pytest.mark.parametrize("of_a_sample", [True, False])
def test_revoked_images_are_not_shown_where_revoking_was_interrupted(
    own: ReportStore, monkeypatch: pytest.MonkeyPatch, of_a_sample: bool
) -> None:
    samples = pd.read_parquet(own.store.recombined_samples, columns=["host_id", "donor_id"])
    used = {*samples["host_id"], *samples["donor_id"]}
    image_id = next(i for i in own.index["image_id"] if (i in used) == of_a_sample)

    def interrupted(store: Store) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(revocation, "_withdraw", interrupted)
    with pytest.raises(KeyboardInterrupt):
        revoke(own.store, [image_id])
    expected = "images and recombined_samples" if of_a_sample else "images"
    with pytest.raises(RevokedImagesError, match=f"^{expected} still hold revoked images"):
        own.render()
    assert not own.store.report.exists()


def found_by_a_segmenter(own: ReportStore, measured: bool = True) -> None:
    """The store's segments as if a network had found them: the later an image, the surer."""
    ids = list(own.masks)
    with ShardWriter(own.store.segments, SEGMENTS) as writer:
        for place, image_id in enumerate(ids):
            sure = dict.fromkeys(CLASSES, 0.5 + place / 100)
            writer.write(
                segment_rows(image_id, own.masks[image_id], CLASSES, sure, EVIL, None), 100
            )
    rows = [
        {
            "image_id": image_id,
            "class_name": leaf,
            "stability": 0.9 - place / 100,
            "mirror": 0.9 - place / 100,
            "shift": None,
            "zoom": None,
            "word_agreement": None,
            "made_from": bytes(32),
        }
        for place, image_id in enumerate(ids)
        for leaf in ("background", "shape")
    ]
    stability = [
        {"leaf": "background", "mean": 0.81, "low": 0.72, "high": 0.89, "images": 26},
        {"leaf": "shape", "mean": 0.61, "low": 0.52, "high": 0.69, "images": 25},
    ]
    told = {"stability": stability, "stability_images": 26} if measured else {}
    words = {"word_agreement": [{"leaf": "shape", "mean": 0.37}]} if measured else {}
    if measured:
        pq.write_table(SEGMENT_STABILITY.table(rows), own.store.segment_stability)
    summary = own.store.summary("segments") | {
        "segmenter": EVIL,
        "images": len(ids),
        "dropped": 1,
        "mean_confidence": {"background": 0.66, "shape": 0.64},
        **told,
        **words,
    }
    own.store.finish("segments", "found", summary, [])


@pytest.mark.usefixtures("undrawn")
def test_found_segments_are_shown_with_the_doubtful_images_first(own: ReportStore) -> None:
    found_by_a_segmenter(own)
    text = Page(own.render()).text
    assert "1 doubted segment was left out" in text
    assert "background100%0.660.81 [0.72, 0.89]26–" in text
    assert "shape100%0.640.61 [0.52, 0.69]250.37" in text
    assert "hat25%––0–" in text
    found = found_segments(own.store, StoreImages(own.store), TAXONOMY)
    assert found is not None
    of_least = [f"confidence 0.{50 + n}, stability 0.{90 - n}" for n in range(6)]
    assert [image.caption for image in found.least_sure] == of_least
    of_least = [f"confidence 0.{75 - n}, stability 0.{65 + n}" for n in range(6)]
    assert [image.caption for image in found.least_stable] == of_least
    assert len({image.caption for image in found.random} - set(of_least)) == 6
    for caption in (i.caption for i in (*found.least_sure, *found.least_stable, *found.random)):
        assert text.count(caption) == 1


@pytest.mark.usefixtures("undrawn")
def test_without_stability_found_segments_are_shown_by_confidence(own: ReportStore) -> None:
    found_by_a_segmenter(own, measured=False)
    text = Page(own.render()).text
    assert "Found segments" in text
    assert "confidence 0.50" in text
    assert "tability" not in text


def test_annotated_segments_are_not_called_found(page: Page) -> None:
    assert "Found segments" not in page.text


def test_outlines_follow_the_inner_edge_but_not_the_images_border() -> None:
    image = np.zeros((60, 100, 3), np.uint8)
    shape = np.zeros((60, 100), bool)
    shape[:, :50] = True
    shown = outlined(image, {"shape": shape, "background": ~shape}, TAXONOMY, 100)
    color = [int(leaf_colors(TAXONOMY)["shape"][i : i + 2], 16) for i in (1, 3, 5)]
    assert (shown[:, 47:50] == color).all()
    assert (shown[:, 50] == 255).all()
    assert not shown[:, :47].any()
    assert not shown[:, 51:].any()
    assert outlined(image, {}, TAXONOMY, 50).shape == (30, 50, 3)
