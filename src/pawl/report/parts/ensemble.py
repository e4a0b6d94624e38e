"""Who is in a blend, with which weight, and what each adds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pawl.report import charts
from pawl.report.figures import Figure, Table, drawable, effect_cells, effect_row
from pawl.report.parts.part import Content, Part, Section
from pawl.report.summary import Effect, Summary, effect_of
from pawl.report.text import clean, humanize, metric_name, percent

if TYPE_CHECKING:
    from pawl.evidence import CampaignOutcome
    from pawl.execution import Session
    from pawl.recipe import Recipe


class MemberSummary(Content):
    """A recipe of a blend: its share, and the blend with it against the blend without it."""

    name: str
    recipe: str
    share: float
    effect: Effect | None


class Ensemble(Content):
    """A blend that was compared, largest shares first; `delivered` says whether the bundle holds it.

    Its probabilities are tempered by `temperature`, 1 for not at all; the second class is predicted from
    the probability `threshold` on; `trees` correct the mean; `calibration` is it against itself without
    any of these.
    """

    delivered: bool
    members: list[MemberSummary]
    temperature: float = 1.0
    threshold: float = 0.5
    trees: int = 0
    calibration: Effect | None = None


def gather(_: Session, outcome: CampaignOutcome) -> Ensemble | None:
    """Returns the candidate's recipes; `None` where it is one recipe."""
    from pawl.evidence import Blend, Stacked  # noqa: PLC0415  (imports torch)
    from pawl.models import threshold_of  # noqa: PLC0415

    confirmation = outcome.confirmation
    blend = confirmation.candidate
    if not isinstance(blend, Blend | Stacked):
        return None
    added = {recipe.id: comparison for recipe, comparison in confirmation.members}
    members = []
    for recipe, share in zip(blend.recipes, blend.shares, strict=True):
        found = added.get(recipe.id)
        effect = effect_of(found) if found is not None and found.n else None
        described = recipe.describe(outcome.baseline)
        name = _name(recipe)
        members.append(MemberSummary(name=name, recipe=described, share=share, effect=effect))
    members.sort(key=lambda member: -member.share)
    worth = confirmation.calibration
    return Ensemble(
        delivered=confirmation.delivered == blend,
        members=members,
        temperature=1.0 if isinstance(blend, Stacked) else blend.temperature,
        threshold=0.5 if isinstance(blend, Stacked) else threshold_of(blend.shift),
        trees=len(blend.corrected.trees.roots) if isinstance(blend, Stacked) else 0,
        calibration=effect_of(worth) if worth is not None and worth.n else None,
    )


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


def _name(recipe: Recipe) -> str:
    """Returns a member's short name: its learner, or that it is a network and which."""
    return recipe.learner.name if recipe.learner else f"network {recipe.id[:4]}"


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
    rows = [(humanize(clean(m.name)), percent(m.share), clean(m.recipe)) for m in content.members]
    count = len(content.members)
    what = f"a blend of {count} recipes: the weighted mean of what they predict. "
    if count == 1:
        what = "one recipe, whose probabilities are adjusted. "
    return Section(
        title="Many models as one" if count > 1 else "Calibration",
        lead=f"{held} {what}Weights were chosen by out-of-fold predictions of rows that the claim does "
        f"not rest on.{_adjusted(content, summary.task.classes, metric)}",
        figures=figures,
        tables=[Table(heads=("Member", "Share", "Recipe, against the baseline"), rows=rows)],
    )


PART = Part(name="ensemble", version=1, content=Ensemble, gather=gather, section=section, place=10)
