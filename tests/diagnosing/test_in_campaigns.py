"""What findings do in a campaign: they weigh edits, and say what became of what they suggested."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from problems import frame, problem

from pawl.data import load
from pawl.diagnosing import Finding, in_campaign, recorded, suggested
from pawl.evidence import Comparison, Verdict
from pawl.execution import Session
from pawl.ledger import Ledger, TrialRecord
from pawl.recipe import Change, Recipe
from pawl.report.findings import summary_of
from pawl.report.proof import fixes_of, outcome_of
from pawl.search import Space, baseline
from pawl.task import Task
from pawl.techniques.measured import PROMISING, SUGGESTED
from pawl.training.problem import Problem

BASELINE = Recipe.of(standardize={}, adamw={})
FINDING = Finding(
    rule="overfitting", severity="warning", evidence="it overfits", strength=1.5,
    suggests=("dropout", "ema"),
)  # fmt: skip


def verdict(name: str, said: str, *, in_final: bool) -> Verdict:
    recipe = BASELINE.with_(name)
    comparison = Comparison(0.02, (0.01, 0.03), 0.001, 20, 0.005, 19, 0.012)
    return Verdict(
        Change(name, "added"), recipe, said, in_final, comparison, 0.01, "made up"  # type: ignore[arg-type]
    )  # fmt: skip


def trial(recipe: Recipe) -> TrialRecord:
    return TrialRecord(
        phase="search", role="", recipe=recipe.to_dict(), recipe_id=recipe.id, seed=0, split="search",
        epochs=1, status="completed", score=0.5,
    )  # fmt: skip


def came_of(finding: Finding, verdicts: list[Verdict], trials: list[TrialRecord]) -> str:
    return outcome_of(fixes_of(finding, verdicts, trials, BASELINE))


@pytest.mark.parametrize(
    ("verdicts", "trials", "told"),
    [
        ([], [], "Nothing that it suggests was tried."),
        ([], [BASELINE.with_("ema")], "The search tried ema"),
        ([verdict("dropout", "kept", in_final=True)], [], "shown to help: dropout +0.02 (95%"),
        (
            [verdict("ema", "unproven", in_final=True)],
            [],
            "The final recipe has ema +0.02",
        ),
        ([verdict("ema", "rejected", in_final=False)], [], "compared and left out: ema +0.02"),
        ([verdict("width", "kept", in_final=True)], [BASELINE], "Nothing that it suggests"),
    ],
)
def test_a_finding_says_what_became_of_what_it_suggests(
    verdicts: list[Verdict], trials: list[Recipe], told: str
) -> None:
    assert told in came_of(FINDING, verdicts, [trial(each) for each in trials])


def test_other_settings_of_what_the_baseline_has_count_as_tried() -> None:
    finding = Finding(
        rule="rate", severity="warning", evidence="low", strength=2.0, suggests=("adamw",)
    )
    same, other = trial(BASELINE), trial(BASELINE.with_("adamw", learning_rate=0.01))
    assert came_of(finding, [], [same]) == "Nothing that it suggests was tried."
    assert "tried adamw" in came_of(finding, [], [other])
    assert [fix.trials for fix in fixes_of(finding, [], [same, other], BASELINE)] == [1]


def test_each_suggestion_has_its_standing_and_interval() -> None:
    """The removal of a technique that is suggested is no suggestion that helped."""
    removed = verdict("ema", "kept", in_final=True)
    removed = replace(removed, change=Change("ema", "removed"))
    judged = [verdict("dropout", "kept", in_final=True), removed]
    first, second = fixes_of(FINDING, judged, [trial(BASELINE.with_("dropout"))], BASELINE)
    assert (first.technique, first.standing, first.trials) == ("dropout", "proven", 1)
    assert first.effect is not None
    assert (first.effect.interval, first.effect.p_value, first.effect.n) == ((0.01, 0.03), 0.01, 20)
    assert (second.technique, second.standing, second.effect) == ("ema", "untried", None)
    told = summary_of(FINDING, [first, second])
    assert told.fixes == [first, second]
    assert "shown to help: dropout" in told.outcome


def test_what_is_suggested_comes_in_more_often() -> None:
    facts = problem("table").facts()
    start = baseline(facts)
    plain, space = Space(start, facts), Space(start, facts, favored={"dropout", "batch_norm"})
    assert space.weight("use:dropout", True) == SUGGESTED > PROMISING
    assert space.weight("choose:normalization", "batch_norm") == SUGGESTED
    assert space.weight("use:dropout", False) == 1.0
    for name in ("use:swap_noise", "use:residual"):
        assert space.weight(name, True) == plain.weight(name, True) < SUGGESTED


def test_remarks_suggest_nothing_to_the_search() -> None:
    remark = Finding(rule="r", severity="info", evidence="e", strength=1.0, suggests=("mixup",))
    assert suggested((FINDING, remark)) == {"dropout", "ema"}


def test_a_campaign_keeps_its_findings(tmp_path: Path) -> None:
    """Read again they are the same, and nothing is trained anew."""
    table = frame(300)
    table["number"] = range(300)
    task = Task(data=table, target="target")
    data = load(task)
    made, start = Problem.of(task, data), BASELINE
    with Ledger.create(tmp_path / "campaign", {}) as ledger:
        session = Session(made, ledger, 0, None, epochs=4)
        assert recorded(ledger) == ()
        once = in_campaign(session, data, start)
        assert "identifier_columns" in {each.rule for each in once}
        assert recorded(ledger) == once
        assert ledger.unit("diagnosis").payload["training"]["readings"]  # type: ignore[union-attr]
        session.problem = None  # type: ignore[assignment]
        assert in_campaign(session, data, start) == once
    assert [summary_of(each).rule for each in once] == [each.rule for each in once]


def test_a_campaign_does_not_fail_by_its_diagnosis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a rule's")

    task = Task(data=frame(), target="target")
    data = load(task)
    monkeypatch.setattr("pawl.diagnosing.diagnosis.measured", broken)
    with Ledger.create(tmp_path / "campaign", {}) as ledger:
        session = Session(Problem.of(task, data), ledger, 0, None, epochs=4)
        assert in_campaign(session, data, BASELINE) == ()
        unit = ledger.unit("diagnosis")
    assert unit is not None
    assert unit.payload["reason"] == "ZeroDivisionError: a rule's"
