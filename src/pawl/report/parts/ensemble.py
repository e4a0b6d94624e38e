"""Who is in a blend, with which weight, and what each adds."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pawl.report import charts
from pawl.report.figures import Figure, Table, drawable, effect_cells, effect_row
from pawl.report.parts.part import Content, Part, Section
from pawl.report.summary import Effect, Summary, effect_of, name_of
from pawl.report.text import DASH, clean, humanize, metric_name, number, percent

if TYPE_CHECKING:
    from pawl.evidence import CampaignOutcome
    from pawl.execution import Session
    from pawl.recipe import Recipe

_CHOSEN = {
    "greedy": "Models were added as long as the blend's score rose, each as often as it helped",
    "mean": "As many of the best as score best together have equal weights",
    "linear": "Weights are those of least loss",
    "auto": "Of equal weights, those of least loss, and those of models that were added as long as the "
    "score rose, the best were taken",
    "stacked": "Weights are those of least loss",
    "snapshots": "Models of one training, at the ends of its rate's cycles, were added as long as the "
    "blend's score rose",
}
"""How weights come about, by `--ensemble`."""


class MemberSummary(Content):
    """A recipe of a blend: its share, and the blend with it against the blend without it.

    `raced` is its mean score by itself in the race; `over` the blend against it by itself.
    """

    name: str
    recipe: str
    share: float
    effect: Effect | None
    raced: float | None = None
    over: Effect | None = None


class Ensemble(Content):
    """A blend that was compared, largest shares first; `delivered` says whether the bundle holds it.

    Its probabilities are tempered by `temperature`, 1 for not at all; the second class is predicted from
    the probability `threshold` on; `trees` correct the mean; `calibration` is it against itself without
    any of these. `combiner` is how weights were to be chosen, by its name in `--ensemble`.
    """

    delivered: bool
    members: list[MemberSummary]
    temperature: float = 1.0
    threshold: float = 0.5
    trees: int = 0
    calibration: Effect | None = None
    combiner: str = ""


def gather(session: Session, outcome: CampaignOutcome) -> Ensemble | None:
    """Returns the candidate's recipes; `None` where it is one recipe."""
    from pawl.evidence import Blend, Stacked  # noqa: PLC0415  (imports torch)
    from pawl.models import threshold_of  # noqa: PLC0415

    confirmation = outcome.confirmation
    blend = confirmation.candidate
    if not isinstance(blend, Blend | Stacked):
        return None
    known = {part.recipe.id: part for part in confirmation.members}
    times = Counter(map(name_of, blend.recipes))
    members = []
    for recipe, share in zip(blend.recipes, blend.shares, strict=True):
        part = known.get(recipe.id)
        there = part is not None and part.adds.n > 0
        members.append(
            MemberSummary(
                name=_told(recipe, times),
                recipe=recipe.describe(outcome.baseline),
                share=share,
                effect=effect_of(part.adds) if part and there else None,
                raced=part.raced if part else None,
                over=effect_of(part.over) if part and there else None,
            )
        )
    members.sort(key=lambda member: -member.share)
    worth = confirmation.calibration
    return Ensemble(
        delivered=confirmation.delivered == blend,
        members=members,
        temperature=1.0 if isinstance(blend, Stacked) else blend.temperature,
        threshold=0.5 if isinstance(blend, Stacked) else threshold_of(blend.shift),
        trees=len(blend.corrected.trees.roots) if isinstance(blend, Stacked) else 0,
        calibration=effect_of(worth) if worth is not None and worth.n else None,
        combiner=str(session.ledger.identity.get("options", {}).get("ensemble") or ""),
    )


def _told(recipe: Recipe, times: Counter[str]) -> str:
    """Returns a member's name, with a part of its id where others have the same."""
    name = name_of(recipe)
    return f"{name} {recipe.id[:4]}" if times[name] > 1 else name


def _adjusted(content: Ensemble, classes: list[str], metric: str) -> str:
    """Returns what is said of trees, temperature or threshold, if there are any."""
    if content.trees:
        said = f" So were the {content.trees} small trees that correct the mean"
    elif content.threshold != 0.5:
        said = (
            f" So was the probability {content.threshold:.3g}, from which on {clean(classes[-1])!r} is "
            "predicted"
        )
    elif content.temperature != 1.0:
        less = "less" if content.temperature > 1.0 else "more"
        said = (
            f" So was the temperature {content.temperature:.3g} of its probabilities, which are {less} "
            "sure by it"
        )
    else:
        return ""
    if content.calibration is None:
        return f"{said}."
    effect, interval, *_ = effect_cells(content.calibration)
    return f"{said} ({metric} {effect}, 95% interval {interval}, against itself without)."


def section(content: Ensemble, summary: Summary) -> Section:
    """Returns the members' table, and what each adds."""
    held = (
        "The bundle holds" if content.delivered else "What was compared, and is not delivered, was"
    )
    drawn = [
        effect_row(humanize(member.name), member.effect, "unproven")
        for member in content.members
        if member.effect and drawable(member.effect.value, member.effect.interval)
    ]
    metric = metric_name(summary.metric)
    figures = []
    if drawn:
        listed = [
            (humanize(clean(m.name)), *effect_cells(m.effect)) for m in content.members if m.effect
        ]
        figures.append(
            Figure(
                title=f"What each member adds, in {metric}, right of zero is better",
                caption="The blend against the blend of the others, on the pairs of the confirmation. "
                "The intervals describe; they are not corrected for their number, and claim nothing.",
                drawing=charts.intervals(
                    drawn,
                    label="What each member adds: "
                    + "; ".join(f"{row.label} {row.note}" for row in drawn),
                    axis=f"effect on {metric}",
                    zero=True,
                ),
                table=Table(heads=("Member", "Effect", "95% interval", "p", "Pairs"), rows=listed),
            )
        )
    count = len(content.members)
    what = f"a blend of {count} recipes: the weighted mean of what they predict. "
    if count == 1:
        what = "one recipe, whose probabilities are adjusted. "
    how = _CHOSEN.get(content.combiner, "Weights were chosen")
    return Section(
        title="Many models as one" if count > 1 else "Calibration",
        lead=f"{held} {what}{how}, by out-of-fold predictions of rows that the claim does "
        f"not rest on.{_adjusted(content, summary.task.classes, metric)}",
        figures=figures,
        tables=[_members(content, metric)],
    )


def _members(content: Ensemble, metric: str) -> Table:
    """Returns who is in it: share, score by itself, what the blend has over it, recipe."""
    rows = [
        (
            humanize(clean(m.name)),
            percent(m.share),
            number(m.raced, 4),
            "{} ({})".format(*effect_cells(m.over)) if m.over else DASH,
            clean(m.recipe) or "as it is",
        )
        for m in content.members
    ]
    return Table(
        heads=(
            "Member", "Share", f"{metric} by itself", "Blend over it, fresh pairs (95%)",
            "Recipe, against the baseline",
        ),
        rows=rows,
        note="By itself: one model, on the rows that weights were chosen by. A member that is worse by "
        "itself can add as much as a better one where it errs elsewhere.",
    )  # fmt: skip


PART = Part(name="ensemble", version=1, content=Ensemble, gather=gather, section=section, place=10)
