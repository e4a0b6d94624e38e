"""Trains a population to the end: evaluations, curves, best weights, stops and divergence.

Members may be of different ages: a search releases some and admits others between two segments.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from pawl.data.types import Examples
from pawl.recipe import Recipe
from pawl.training.instruments import SHARE, Instruments, LayerReadings
from pawl.training.metrics import score
from pawl.training.population import Member, Population
from pawl.training.program import Namespace
from pawl.training.state import Buffers

Status = Literal["completed", "stopped", "pruned", "diverged", "failed", "infeasible"]
_MIN_STEPS_BETWEEN_EVALUATIONS = 10
_STEPS_BETWEEN_BEATS = 16


@dataclass(frozen=True)
class Point:
    """One evaluation: steps taken, mean training loss since the last one, validation score.

    The score is NaN where there are no rows to validate on.
    """

    step: int
    train_loss: float
    valid_score: float


@dataclass(frozen=True, eq=False)
class Outcome:
    """How a member's training ended.

    Attributes:
        member: The member.
        status: `completed` (all steps taken), `stopped` (early, by a technique), `pruned` (by the
            search), `diverged` (loss or predictions not finite), `failed` (an exception) or `infeasible`
            (not trained: it is over a limit).
        score: Validation score of the weights kept; `None` if there are none, or no rows for it.
        steps: Steps taken.
        curve: Its evaluations.
        seconds: Its share of the population's time.
        predicting: Seconds that predictions of a row took, where they were timed.
        reason: What went wrong, one line.
        weights: `[P]`; `None` unless usable.
        buffers: By name; for the weights.
        layers: What the instruments read of its layers.
    """

    member: Member
    status: Status
    score: float | None
    steps: int
    curve: tuple[Point, ...]
    seconds: float
    predicting: float = 0.0
    reason: str = ""
    weights: Tensor | None = None
    buffers: Buffers = field(default_factory=dict)
    layers: LayerReadings = field(default_factory=LayerReadings)


class Run:
    """Advances a population segment by segment, from one evaluation to the next.

    The score that counts for a member is its best evaluation if its recipe has a stop technique
    (whose weights are then kept), else its last.

    A member is evaluated after the same steps whether it trains alone or with others: every
    `interval` steps of its own (whole passes over its rows), and at its end. Without rows to validate
    on there are no scores, and its last weights count.

    Args:
        population: The population; the run owns it.
        instruments: Share of the time of steps that instruments may take; 0 for none.
    """

    def __init__(self, population: Population, *, instruments: float = SHARE) -> None:
        self.population = population
        self.instruments = Instruments(population, instruments)
        self.tracks_best = bool(population.program.stop)
        self.scored = len(population.members[0].valid) > 0
        self.curves: list[list[Point]] = []
        self.seconds: list[float] = []
        self._losses = torch.empty(0)
        self.best = torch.empty(0)
        self.best_weights: Tensor | None = None
        self.best_buffers: Buffers = {}
        self._grow()

    @property
    def interval(self) -> Tensor:
        """Steps between two evaluations of each member, `[N]`."""
        each = self.population.steps_per_epoch
        return each * torch.ceil(_MIN_STEPS_BETWEEN_EVALUATIONS / each).long()

    def _grow(self) -> None:
        """Makes room for members that have joined."""
        old, new = len(self.curves), len(self.population)
        self.curves += [[] for _ in range(new - old)]
        self.instruments.grow(new)
        self.seconds += [0.0] * (new - old)
        self._losses = torch.cat([self._losses, torch.zeros(new - old)])
        self.best = torch.cat([self.best, torch.full((new - old,), -math.inf)])
        if self.tracks_best:
            weights, buffers = self.population.evaluated()
            if self.best_weights is None:
                self.best_weights = weights.clone()
                self.best_buffers = {k: v.clone() for k, v in buffers.items()}
            elif new > old:
                self.best_weights = torch.cat([self.best_weights, weights[old:]])
                self.best_buffers = {
                    k: torch.cat([v, buffers[k][old:]]) for k, v in self.best_buffers.items()
                }

    def segment(self, heartbeat: Callable[[], None] = lambda: None) -> list[int]:
        """Takes the steps up to the next evaluation of any member, and evaluates who is due.

        Args:
            heartbeat: Called every few steps; what it raises leaves the segment unevaluated.

        Returns:
            The members that were evaluated.
        """
        started = time.perf_counter()
        population = self.population
        steps = max(1, int(self.until_due().min()))
        for taken in range(0, steps, _STEPS_BETWEEN_BEATS):
            heartbeat()
            few = min(_STEPS_BETWEEN_BEATS, steps - taken)
            self._losses += few * self.instruments.advance(population, few)
        ended = population.step >= population.ends
        due = ((population.step % self.interval == 0) | ended).nonzero().flatten().tolist()
        scores = torch.full((len(population),), -math.inf)
        scores[due] = self.validate(due)
        # Ties go to the later one: a metric that cannot rise further says nothing, more steps do.
        improved = (scores >= self.best) & scores.isfinite()
        self.best = torch.where(improved, scores, self.best)
        if self.tracks_best and bool(improved.any()):
            self._keep_best(improved)
        spent = (time.perf_counter() - started) / len(population)
        sign = population.problem.objective.sign
        self.seconds = [seconds + spent for seconds in self.seconds]
        for i in due:
            curve, step = self.curves[i], int(population.step[i])
            loss = float(self._losses[i]) / (step - (curve[-1].step if curve else 0))
            curve.append(Point(step, loss, sign * float(scores[i])))
            population.watch(i, [sign * point.valid_score for point in curve])
        self._losses[due] = 0.0
        return due

    def until_due(self) -> Tensor:
        """Returns each member's steps to its next evaluation, `[N]`."""
        population = self.population
        left = population.ends - population.step
        return torch.minimum(self.interval - population.step % self.interval, left)

    def validate(self, members: Sequence[int] | None = None) -> Tensor:
        """Returns validation scores of some members (all by default), larger is better.

        NaN stands for what is not finite, and for all without rows to validate on.
        """
        population, problem = self.population, self.population.problem
        chosen = range(len(population)) if members is None else members
        if not self.scored:
            return torch.full((len(chosen),), math.nan)
        scores = torch.full((len(chosen),), math.nan)
        valid = [population.members[i].valid for i in chosen]
        for size in {len(rows) for rows in valid}:
            group = [place for place, rows in enumerate(valid) if len(rows) == size]
            scores[group] = self._score([chosen[i] for i in group], [valid[i] for i in group])
        return problem.objective.sign * scores

    def _score(self, members: Sequence[int], valid: Sequence[Tensor]) -> Tensor:
        """Returns scores of members on as many rows each."""
        population, problem = self.population, self.population.problem
        shared = all(rows is valid[0] for rows in valid)
        rows = valid[0] if shared else torch.stack(list(valid))
        predictions = population.predict(problem.examples, rows, members=members)
        targets = problem.targets[rows.to(population.device)]
        if shared:
            targets = targets.expand(len(members), *targets.shape)
        return score(problem.objective, predictions, targets).float().cpu()

    def _keep_best(self, improved: Tensor) -> None:
        weights, buffers = self.population.evaluated()
        index = improved.nonzero().flatten().to(weights.device)
        assert self.best_weights is not None
        self.best_weights[index] = weights[index]
        for name, kept in self.best_buffers.items():
            kept[index] = buffers[name][index]

    def scores(self) -> list[float]:
        """Returns the score that counts for each member so far, larger is better."""
        sign = self.population.problem.objective.sign
        if self.tracks_best:
            return [float(best) for best in self.best]
        return [sign * curve[-1].valid_score if curve else -math.inf for curve in self.curves]

    def finished(self) -> dict[int, Status]:
        """Returns which members are done, and how: stopped, completed or diverged."""
        population, done = self.population, {}
        stop = self._stopped()
        for i, curve in enumerate(self.curves):
            point = curve[-1] if curve else None
            if point and not self._finite(point):
                done[i] = "diverged"
            elif int(population.step[i]) >= int(population.ends[i]):
                done[i] = "completed"
            elif bool(stop[i]):
                done[i] = "stopped"
        return done  # type: ignore[return-value]

    def _finite(self, point: Point) -> bool:
        return math.isfinite(point.train_loss) and (
            not self.scored or math.isfinite(point.valid_score)
        )

    def _stopped(self) -> Tensor:
        population = self.population
        stop = torch.zeros(len(population), dtype=torch.bool)
        counts = [len(curve) for curve in self.curves]
        sign = population.problem.objective.sign
        since = []
        for curve in self.curves:
            values = [sign * point.valid_score for point in curve]
            since.append(values[::-1].index(max(values)) if values else 0)
        device = population.device
        stale = torch.tensor(since, dtype=torch.float32, device=device)
        evaluations = torch.tensor(counts, dtype=torch.float32, device=device)
        for call in population.program.stop:
            settings = Namespace(population.values[call.name])
            stop |= call.technique.apply(stale, evaluations, settings).cpu()
        return stop

    def kept(self) -> tuple[Tensor, Buffers]:
        """Returns the weights and buffers that count for each member."""
        if self.tracks_best and self.best_weights is not None:
            return self.best_weights, self.best_buffers
        return self.population.evaluated()

    def predict(
        self, examples: Examples, rows: Tensor, members: Sequence[int] | None = None
    ) -> Tensor:
        """Returns predictions by the weights that count; see `Population.predict`."""
        return self.population.predict(examples, rows, self.kept(), members)

    def release(
        self, which: dict[int, Status], *, with_weights: Collection[int] = ()
    ) -> list[Outcome]:
        """Takes members out of the population and returns how they ended, in order of position.

        Args:
            which: Their positions, and how they ended.
            with_weights: Positions of those whose weights are wanted.
        """
        weights, buffers = self.kept()
        scores = self.scores()
        sign = self.population.problem.objective.sign
        outcomes = []
        for i in sorted(which):
            usable = which[i] != "diverged" and (not self.scored or math.isfinite(scores[i]))
            outcomes.append(
                Outcome(
                    member=self.population.members[i],
                    status=which[i] if usable else "diverged",
                    score=sign * scores[i] if usable and self.scored else None,
                    steps=int(self.population.step[i]),
                    curve=tuple(self.curves[i]),
                    seconds=self.seconds[i],
                    reason="" if usable else "loss, predictions or metric are not finite",
                    weights=weights[i].clone() if i in with_weights and usable else None,
                    buffers={k: v[i].clone() for k, v in buffers.items()}
                    if i in with_weights and usable
                    else {},
                    layers=self.instruments.of(i),
                )
            )
        self.keep([i for i in range(len(self.population)) if i not in which])
        return outcomes

    def keep(self, indices: Sequence[int]) -> None:
        """Keeps these members, in this order."""
        index = torch.tensor(list(indices), dtype=torch.int64)
        self.population.keep(indices)
        self.instruments.keep(indices)
        self.curves = [self.curves[i] for i in indices]
        self.seconds = [self.seconds[i] for i in indices]
        self.best, self._losses = self.best[index], self._losses[index]
        if self.best_weights is not None:
            on_device = index.to(self.best_weights.device)
            self.best_weights = self.best_weights[on_device]
            self.best_buffers = {k: v[on_device] for k, v in self.best_buffers.items()}

    def inherit(self, source: int, target: int, recipe: Recipe) -> None:
        """Makes a member a copy of another, its curve included, that goes on by another recipe."""
        self.population.inherit(source, target, recipe)
        self.instruments.inherit(source, target)
        self.curves[target] = list(self.curves[source])
        self.best[target], self._losses[target] = self.best[source], self._losses[source]
        if self.best_weights is not None:
            for tensor in (self.best_weights, *self.best_buffers.values()):
                tensor[target] = tensor[source]

    def admit(self, members: Sequence[Member]) -> None:
        """Adds fresh members of the same structure."""
        self.population.admit(members)
        self._grow()
