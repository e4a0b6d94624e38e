"""What surgery costs a step, and what kept features save a probe; see `surgery.py`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import running
import torch
from torch import Tensor, nn


def hooks(rounds: int = 15, steps: int = 20) -> running.Record:
    """Measures what a training step costs, by how activations are called.

    The same residual network: as it is written (functions), with each call handed to a module (what
    surgery does), with modules as attributes (what an edit by hand makes), and those with a hook each.
    Processor time of one thread, so that what else runs does not count; ways take turns.
    """
    from problems import problem_of as ready
    from user_nets import BasicBlock, ResNet

    from pawl.models import revealed
    from pawl.task import Task

    class Modular(ResNet):
        """With modules as attributes."""

        def __init__(self, spec: Any) -> None:
            super().__init__(spec)
            self.relu = nn.ReLU()
            for block in self.modules():
                if isinstance(block, BasicBlock):
                    block.relu1, block.relu2 = nn.ReLU(), nn.ReLU()
                    block.forward = _by_attribute(block)  # type: ignore[method-assign]

        def forward(self, x: Tensor) -> Tensor:
            out = self.layer2(self.layer1(self.relu(self.bn1(self.conv1(x)))))
            out = nn.functional.avg_pool2d(out, 4)
            return self.linear(out.view(out.size(0), -1))  # type: ignore[no-any-return]

    import problems

    found: dict[str, list[float]] = {}
    functional, modular = (
        ready(Task(data=problems.images(), model=net)) for net in (ResNet, Modular)
    )
    sample = functional.facts().sample
    bodies = {
        "functions, as written": functional.builder(0),
        "functions handed to modules": revealed(functional.builder(0), sample, []),
        "modules as attributes": modular.builder(0),
        "modules with a hook each": modular.builder(0),
    }
    for each in bodies["modules with a hook each"].modules():
        if isinstance(each, nn.ReLU):
            each.register_forward_hook(lambda _, args, output: output)
    inputs = {"x": torch.rand(32, 1, 8, 8)}
    name = next(iter(sample))
    for _ in range(rounds + 2):
        for way, body in bodies.items():
            body.train()
            start = time.process_time()
            for _ in range(steps):
                body({name: inputs["x"]}).square().mean().backward()
            found.setdefault(way, []).append((time.process_time() - start) / steps * 1e3)
    plain = sorted(found["functions, as written"][2:])[rounds // 2]
    return {
        "network": "residual, 9 activations a pass, batch of 32 images of 8 by 8",
        "rounds": rounds,
        "steps_a_round": steps,
        "ways": {
            way: {
                "ms": round(sorted(each[2:])[rounds // 2], 4),
                "middle_half": [round(sorted(each[2:])[rounds * q // 4], 4) for q in (1, 3)],
                "against_as_written": round(sorted(each[2:])[rounds // 2] / plain, 4),
            }
            for way, each in found.items()
        },
    }


def _by_attribute(block: Any) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        out = block.relu1(block.bn1(block.conv1(x)))
        out = block.bn2(block.conv2(out))
        out += block.shortcut(x)
        return block.relu2(out)  # type: ignore[no-any-return]

    return forward


def probes(rows: int = 400, rounds: int = 5) -> running.Record:
    """Measures passes over the rows of a linear probe, with features kept and without.

    Processor time of one thread; a residual network with weights, on colored noise of 3 by 32 by 32.
    """
    from unittest import mock

    import problems
    from user_nets import ResNet

    from pawl.models import duplicate
    from pawl.task import Task
    from pawl.training.features import Features
    from pawl.training.population import Population
    from pawl.training.serial import SerialStepper

    torch.manual_seed(0)

    class Large(ResNet):
        """Of more channels, for larger images in color."""

        def __init__(self, spec: Any) -> None:
            super().__init__(spec)
            self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            out = self.layer2(self.layer1(torch.relu(self.bn1(self.conv1(x)))))
            return self.linear(out.mean((2, 3)))  # type: ignore[no-any-return]

    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (rows, 3, 32, 32), generator=generator, dtype=torch.uint8)
    targets = torch.randint(0, 3, (rows,), generator=generator)
    task = Task(data=(pixels.numpy(), targets.numpy()), model=Large)
    given = Large(problems.problem_of(task).spec)
    problem = problems.problem_of(
        Task(data=(pixels.numpy(), targets.numpy()), model=lambda: duplicate(given))
    )
    recipe = problems.plain().with_("linear_probe")
    member = problems.member(recipe, epochs=40)
    seconds: dict[str, list[float]] = {"kept": [], "anew": []}
    losses: dict[str, Any] = {}
    for _ in range(rounds):
        for way, taken in seconds.items():
            none = mock.patch.object(Features, "of", return_value=None)
            start = time.process_time()
            if way == "anew":
                with none:
                    population = Population(problem, [member], SerialStepper())
            else:
                population = Population(problem, [member], SerialStepper())
            steps = int(population.total[0])
            losses[way] = population.advance(steps)
            population.predict(problem.examples, member.valid)
            taken.append(time.process_time() - start)
    middle = {way: sorted(each)[rounds // 2] for way, each in seconds.items()}
    return {
        "rows": len(member.train), "passes": 40, "rounds": rounds,
        "seconds": {way: round(each, 4) for way, each in middle.items()},
        "times_as_fast": round(middle["anew"] / middle["kept"], 2),
        "loss_differs_by": float((losses["kept"] - losses["anew"]).abs().max()),
    }  # fmt: skip
