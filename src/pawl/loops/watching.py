"""`with pawl.watch(model, optimizer) as w:` around any training loop."""

from __future__ import annotations

import math
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from pawl.diagnosing import Finding, Training, rules
from pawl.diagnosing.facts import DataFacts
from pawl.diagnosing.record import Reading
from pawl.errors import TaskError
from pawl.loops import hooks
from pawl.loops import losses as backward_calls
from pawl.loops.mistakes import Mistakes
from pawl.loops.reader import Batch, Reader, rows_of
from pawl.loops.slopes import updated
from pawl.loops.steps import Clock, Curve

SHARE = 0.03
_SPACING = 1.25
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
        self._curve, self._clock = Curve(), Clock()
        self._batch: Batch | None = None
        self._valid, self._status, self._step = math.nan, "running", 0
        self._tried = self._due = 0
        self._reading = self._open = self._follows = False
        self._begun, self._trouble = 0.0, ""
        self._threads: tuple[int, ...] = ()
        self._tensors: list[Tensor] = []
        self._held = -1

    def __enter__(self) -> Watch:
        model, optimizer = self._model, self._optimizer
        # Functions, not methods: a copy of the model would copy all that a method is of.
        self._handles = [
            model.register_forward_pre_hook(hooks.quiet(self, hooks.called), with_kwargs=True),
            model.register_forward_hook(hooks.quiet(self, hooks.answered)),
            optimizer.register_step_pre_hook(hooks.quiet(self, hooks.before_step)),
            optimizer.register_step_post_hook(hooks.quiet(self, hooks.after_step)),
        ]
        self._heard = hooks.quiet(self, hooks.heard)
        backward_calls.listen(self._heard)
        self._open, self._begun = True, time.perf_counter()
        self._threads = (threading.get_ident(),)
        self._clock.skip()
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
        if self._step:
            hooks.quiet(self, Watch._read)()
        self._open = False
        self._status = "completed" if kind is None else "failed"

    def loss(self, value: Tensor | float) -> None:
        """Hands over a training loss, in place of the one that `backward` is called on.

        For losses that are scaled before (mixed precision), or parts of a batch; before the step that
        takes their gradients. The mean of several counts.
        """
        self._curve.handed(torch.as_tensor(value).detach())

    def valid(self, value: Tensor | float) -> None:
        """Hands over a loss of rows that do not train; without any nothing is said of overfitting."""
        self._valid = float(value)

    @property
    def trouble(self) -> str:
        """Why readings are missing, or parts of them; empty if none are."""
        return self._trouble or self._reader.trouble

    @property
    def training(self) -> Training:
        """What was seen so far, as the rules take it."""
        name = type(self._optimizer).__name__.lower()
        batch = rows_of(self._batch) or 1
        whole = self._rows or _ROWS_UNKNOWN
        return Training(
            techniques=(name,), optimizer=name, rows=whole, batch=batch, total=self._step,
            status=self._status, parameters=self._reader.parameters,
            kept=self._step, losses=tuple(self._curve.points), readings=tuple(self._readings),
            times=self._clock.times(self._step),
        )  # fmt: skip

    @property
    def findings(self) -> list[Finding]:
        """What the rules find in what was seen so far, the gravest first."""
        known = DataFacts(kind="regression", rows=0, test_rows=0, looked=0)  # of data nothing
        run = self.training
        return rules.settled([*self._mistakes.findings(run), *rules.of_training(run, known)])

    def page(self) -> str:
        """Returns findings, curves and layers as one HTML page that loads nothing."""
        from pawl.loops.page import page  # noqa: PLC0415

        name = type(self._reader.model).__name__
        return page(self.training, self.findings, name, self.trouble)

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
        missing = [f"not everything could be read: {self.trouble}"] if self.trouble else []
        return "\n".join([head, *(told or ["nothing found that is wrong"]), *missing])

    def _read(self) -> None:
        """Takes a reading now, and lets the next come when it fits the share."""
        started = time.perf_counter()
        self._reading = True
        try:
            self._held = -1  # layers may have been replaced
            loss = self._curve.flush()
            known = self._readings[-1].train_loss if self._readings else math.nan
            pair = (known if math.isnan(loss) else loss), self._valid
            self._readings.append(self._reader.read(self._step, pair, self._batch))
        finally:
            self._reading = False
            self._tried += 1
            self.seconds += time.perf_counter() - started
            self._due = max(self._step + 1, int(_SPACING * self._step))

    @property
    def _updated(self) -> list[Tensor]:
        """The tensors that train, sought anew where the optimizer has got others."""
        held = sum(len(group["params"]) for group in self._optimizer.param_groups)
        if held != self._held:
            self._held, self._tensors = held, updated(self._model, self._optimizer)
        return self._tensors

    def _is_due(self) -> bool:
        if not self._tried:
            return True
        each = self.seconds / self._tried
        elapsed = time.perf_counter() - self._begun
        return self._step >= self._due and self.seconds + each <= self.share * elapsed


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

    Losses are those whose `backward` reaches what the optimizer updates, of each step their sum;
    gradients those that the optimizer gets. `w.loss` and `w.valid` hand over what these do not tell.
    `w` shows itself in a notebook; `w.save("watch.html")` writes the page. Times of a step are those of
    the process; nobody waits for what a GPU still does.

    Args:
        model: What trains; a compiled one, too.
        optimizer: Which updates its weights.
        rows: Rows that train, if known: some rules count them.
        share: Of the loop's time, that readings may take; the first is taken in any case.

    Raises:
        TaskError: They are none.
    """
    return Watch(model, optimizer, rows=rows, share=share)
