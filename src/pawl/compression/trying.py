"""What a candidate gains, which is measured, and what it loses, which is tested."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from pawl.compression.candidate import Candidate
from pawl.compression.judging import Errors, Judge
from pawl.compression.result import StepRecord
from pawl.compression.tree import Tried
from pawl.compression.work import LEAST_GAIN, Work
from pawl.data.types import Examples
from pawl.deployment.export import predict

_SAME = 1e-5


@dataclass(frozen=True, eq=False)
class Trial:
    """Tries candidates.

    Attributes:
        work: What steps get.
        judge: Judges candidates on rows that had no part in making them.
        rows: The rows that judge.
        errors: What tests may still err.
    """

    work: Work
    judge: Judge
    rows: Examples
    errors: Errors = field(default_factory=Errors)

    def tried(
        self, candidate: Candidate, current: Candidate, lost: float | None, order: str = ""
    ) -> Tried:
        """Measures first: what gains nothing needs no test.

        Args:
            candidate: What is tried.
            current: What there is.
            lost: What that may lose.
            order: Of the steps, as it is on record.
        """
        gain = self.work.gain(candidate.graph, current.graph)
        record = StepRecord(
            candidate.step, candidate.detail, accepted=False, reason="", speed=gain.speed,
            speed_interval=gain.interval, shrinkage=gain.size, facts=candidate.facts, order=order,
        )  # fmt: skip
        worth = gain.is_worth(self.work.goals)
        if candidate.is_lossless:
            return self._compared(
                candidate, current, replace(record, loss_at_most=lost), worth=worth
            )
        if not worth:
            return Tried(replace(record, reason=_no_gain(record, self.work)), candidate)
        error = self.errors.next
        judged = self.judge(predict(candidate.graph, self.rows), error)
        record = replace(
            record, value=judged.value, loss=judged.loss, loss_at_most=judged.at_most,
            level=1.0 - error, accepted=judged.passed,
        )  # fmt: skip
        if not judged.passed:
            self.errors.failed()
        if judged.passed and judged.at_most < 0:
            reason = f"gains at least {-judged.at_most:.3g}"
        elif judged.passed:
            reason = f"loses less than {judged.allowed:.3g}: at most {judged.at_most:.3g}"
        else:
            reason = (
                f"may lose {judged.at_most:.3g} (it lost {judged.loss:.3g}), where "
                f"{judged.allowed:.3g} is allowed"
            )
        return Tried(replace(record, reason=reason), candidate, judged.passed)

    def _compared(
        self, candidate: Candidate, current: Candidate, record: StepRecord, *, worth: bool
    ) -> Tried:
        """Holds a candidate that computes the same to it; such a one needs no test."""
        predicted = predict(candidate.graph, self.rows)
        before = predict(current.graph, self.rows)
        apart = float(np.abs(predicted - before).max() / max(1.0, float(np.abs(before).max())))
        record = replace(record, value=self.judge(predicted).value)
        if not apart <= _SAME:
            reason = f"predicts otherwise (by {apart:.2g})"
            return Tried(replace(record, reason=reason, loss_at_most=None), candidate)
        if not worth:
            return Tried(
                replace(record, reason=_no_gain(record, self.work)), candidate, passed=True
            )
        told = f"predicts the same (within {_SAME:g})"
        return Tried(replace(record, reason=told, accepted=True), candidate, passed=True)


def _no_gain(record: StepRecord, work: Work) -> str:
    """Says why a candidate is not worth it, and of integers what they had to do with it."""
    assert record.speed is not None
    assert record.speed_interval is not None
    assert record.shrinkage is not None
    low, high = record.speed_interval
    told = f"{record.speed:.3g} times as fast (95% {low:.3g} to {high:.3g})"
    told += f" and {record.shrinkage:.3g} times as small"
    wanted = [name for name in ("latency", "size") if getattr(work.goals, name)]
    told += f", where {LEAST_GAIN} in {' or '.join(wanted)}"
    told += " is needed" + (", without a loss in the other" if len(wanted) > 1 else "")
    if "conversions" in record.facts:
        told += (
            f"; {record.facts['integer_nodes']} operations compute with integers, and "
            f"{record.facts['conversions']} convert to and from them"
        )
    return told
