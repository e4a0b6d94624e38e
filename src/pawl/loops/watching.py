"""`with pawl.watch(model, optimizer) as w:` around any training loop."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from pawl.diagnosing import Finding, Training, rules
from pawl.diagnosing.facts import DataFacts
from pawl.diagnosing.record import Reading, Times
from pawl.errors import TaskError
from pawl.loops import losses as backward_calls
from pawl.loops.mistakes import Mistakes
from pawl.loops.reader import Batch, Reader, mean_losses, rows_of

SHARE = 0.03
_SPACING, _CHUNK = 1.25, 16
_ROWS_UNKNOWN = 1 << 40
"""Where nobody said how many rows there are, no rule that counts them may tell of anything."""


class Watch:
    """What `watch` returns: readings while its block runs, findings at any time.

    Attributes:
        share: Of the time of the loop, that readings may take.
        seconds: What they have taken.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        rows: int | None = None,
        share: float = SHARE,
    ) -> None:
        if not isinstance(model, nn.Module) or not isinstance(optimizer, torch.optim.Optimizer):
            got = f"{type(model).__name__} and {type(optimizer).__name__}"
            raise TaskError(f"got {got}; give a torch.nn.Module and its torch.optim.Optimizer")
        if isinstance(model, torch.jit.ScriptModule):
            raise TaskError("got a scripted module, which takes no hooks; watch it unscripted")
        held = {id(each) for group in optimizer.param_groups for each in group["params"]}
        own = list(model.parameters())
        if own and not any(id(each) in held for each in own):
            raise TaskError(
                f"the optimizer has none of the model's {len(own)} parameter tensors and cannot train "
                "it; give the optimizer that was made of model.parameters()"
            )
        self.share, self.seconds = share, 0.0
        self._model, self._optimizer, self._rows = model, optimizer, rows
        self._reader = Reader(model, optimizer)
        self._mistakes = Mistakes(self._reader.model, optimizer)
        self._handles: list[Any] = []
        self._readings: list[Reading] = []
        self._losses: list[tuple[int, float]] = []
        self._waiting: list[Tensor] = []
        self._batch: Batch | None = None
        self._valid, self._status, self._step, self._due = math.nan, "running", 0, 0
        self._reading = self._open = self._follows = False
        self._begun = self._mark = 0.0
        self._spent = dict.fromkeys(("data", "forward", "backward", "update"), 0.0)

    def __enter__(self) -> Watch:
        model, optimizer = self._model, self._optimizer
        # Functions, not methods: a copy of the model would copy all that a method is of.
        self._handles = [
            model.register_forward_pre_hook(_quiet(self, _called), with_kwargs=True),
            model.register_forward_hook(_quiet(self, _answered)),
            optimizer.register_step_pre_hook(_quiet(self, _before_step)),
            optimizer.register_step_post_hook(_quiet(self, _after_step)),
        ]
        self._heard = _quiet(self, _heard)
        backward_calls.listen(self._heard)
        self._open, self._begun = True, time.perf_counter()
        self._mark = self._begun
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for handle in self._handles:
            handle.remove()
        backward_calls.leave(self._heard)
        self._open = False
        if self._step:
            self._read()
        self._status = "completed" if kind is None else "failed"

    def loss(self, value: Tensor | float) -> None:
        """Hands over a training loss, in place of the one that `backward` is called on.

        For losses that are scaled before (mixed precision), or parts of a batch.
        """
        self._waiting = [*self._waiting[:-1], torch.as_tensor(value).detach()]

    def valid(self, value: Tensor | float) -> None:
        """Hands over a loss of rows that do not train; without any nothing is said of overfitting."""
        self._valid = float(value)

    @property
    def training(self) -> Training:
        """What was seen so far, as the rules take it."""
        name = type(self._optimizer).__name__.lower()
        batch = rows_of(self._batch) or 1
        whole = self._rows or _ROWS_UNKNOWN
        return Training(
            techniques=(name,), optimizer=name, rows=whole, batch=batch, total=self._step,
            status=self._status, parameters=self._reader.parameters,
            kept=self._step, losses=tuple(self._losses), readings=tuple(self._readings),
            times=self._times(),
        )  # fmt: skip

    @property
    def findings(self) -> list[Finding]:
        """What the rules find in what was seen so far, the gravest first."""
        known = DataFacts(kind="regression", rows=0, test_rows=0, looked=0)  # of data nothing
        found = rules.of_training(self.training, known)
        return rules.settled([*self._mistakes.findings(), *found])

    def page(self) -> str:
        """Returns findings, curves and layers as one HTML page that loads nothing."""
        from pawl.loops.page import page  # noqa: PLC0415

        return page(self.training, self.findings, type(self._reader.model).__name__)

    def save(self, path: str | Path) -> Path:
        """Writes the page to a file; returns its path."""
        found = Path(path)
        found.write_text(self.page(), encoding="utf-8")
        return found

    def _repr_html_(self) -> str:
        from pawl.loops.page import embedded  # noqa: PLC0415

        return embedded(self.page())

    def __repr__(self) -> str:
        told = [f"{each.severity}: {each.evidence}" for each in self.findings]
        head = f"{self._step:,} steps, {len(self._readings)} readings ({self._status})"
        return "\n".join([head, *(told or ["nothing found that is wrong"])])

    def _times(self) -> Times | None:
        if not self._step:
            return None
        data, forward, backward, update = (x / self._step for x in self._spent.values())
        return Times(steps=self._step, data=data, forward=forward, backward=backward, update=update)

    def _read(self, ahead: int = 0) -> None:
        """Takes a reading now, and lets the next come when it fits the share.

        Args:
            ahead: Steps whose losses are there and that are not taken yet.
        """
        started = time.perf_counter()
        self._reading = True
        try:
            loss = self._flush(self._step + ahead)
            known = self._readings[-1].train_loss if self._readings else math.nan
            pair = (known if math.isnan(loss) else loss), self._valid
            self._readings.append(self._reader.read(self._step, pair, self._batch))
        finally:
            self._reading = False
        self.seconds += time.perf_counter() - started
        self._due = max(self._step + 1, int(_SPACING * self._step))

    def _flush(self, end: int) -> float:
        """Keeps the losses up to a step as means of a few; returns the mean of them all."""
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), _CHUNK):
            part = waiting[start : start + _CHUNK]
            step = max(1, end - len(waiting) + start + len(part))
            self._losses.append((step, mean_losses(part)))
        return mean_losses(waiting)

    def _is_due(self) -> bool:
        if not self._readings:
            return True
        each = self.seconds / len(self._readings)
        elapsed = time.perf_counter() - self._begun
        return self._step >= self._due and self.seconds + each <= self.share * elapsed

    def _timed(self, part: str) -> None:
        """Counts the time since the last mark as that of a part of a step."""
        now = time.perf_counter()
        self._spent[part] += now - self._mark
        self._mark = now


def _quiet(watch: Watch, act: Callable[..., None]) -> Callable[..., None]:
    """Returns a hook that does nothing while a reading runs the model, or after the block."""

    def hook(*given: Any) -> None:
        if watch._open and not watch._reading:
            act(watch, *given)

    return hook


def _called(watch: Watch, model: nn.Module, args: tuple[Any, ...], options: dict[str, Any]) -> None:
    watch._mistakes.called(model.training)
    if model.training:
        watch._timed("data")
        watch._batch = args, options
    else:  # what validation takes is no wait for data
        watch._mark = time.perf_counter()


def _answered(watch: Watch, model: nn.Module, *_: Any) -> None:
    if model.training:
        watch._timed("forward")
    else:
        watch._mark = time.perf_counter()


def _heard(watch: Watch, loss: Tensor) -> None:
    watch._mistakes.backward()
    watch._waiting.append(loss)


def _before_step(watch: Watch, *_: Any) -> None:
    watch._timed("backward")
    if watch._follows:
        noise, signal = watch._reader.noise(rows_of(watch._batch))
        last = watch._readings[-1]
        watch._readings[-1] = dataclasses.replace(last, noise=noise, signal=signal)
        watch._follows = False
    if watch._is_due():
        watch._read(ahead=1)
        watch._follows = True
    watch._mark = time.perf_counter()  # what readings take is no part of a step


def _after_step(watch: Watch, *_: Any) -> None:
    watch._timed("update")
    watch._mistakes.stepped()
    watch._step += 1
    if watch._follows:
        last = watch._readings[-1]
        weights = tuple(
            dataclasses.replace(each, moved=far)
            for each, far in zip(last.weights, watch._reader.moved(), strict=True)
        )
        watch._readings[-1] = dataclasses.replace(last, weights=weights)
    watch._mark = time.perf_counter()


def watch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    rows: int | None = None,
    share: float = SHARE,
) -> Watch:
    """Watches a training loop: three lines around any loop, the same findings as `pawl diagnose`.

        >>> net = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 1))
        >>> descent = torch.optim.SGD(net.parameters(), lr=0.1)
        >>> with watch(net, descent) as w:
        ...     for _ in range(20):
        ...         x = torch.randn(32, 3)
        ...         loss = (net(x) - x.sum(1, keepdim=True)).square().mean()
        ...         descent.zero_grad()
        ...         loss.backward()
        ...         descent.step()
        >>> w.training.last.step, w.training.status
        (20, 'completed')

    Losses are those that `backward` is called on, gradients those that the optimizer gets; `w.loss` and
    `w.valid` hand over what these do not tell. `w` shows itself in a notebook; `w.save("watch.html")`
    writes the page. Times of a step are those of the process; nobody waits for what a GPU still does.

    Args:
        model: What trains; a compiled one, too.
        optimizer: Which updates its weights.
        rows: Rows that train, if known: some rules count them.
        share: Of the loop's time, that readings may take; the first is taken in any case.

    Raises:
        TaskError: They are none.
    """
    return Watch(model, optimizer, rows=rows, share=share)
