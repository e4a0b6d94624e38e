"""Which edits of networks in other people's styles succeed, of those that an expert would make by hand.

    python benchmarks/surgery.py --out runs/surgery.jsonl > benchmarks/results/surgery.json
    python benchmarks/surgery.py --out runs/surgery.jsonl --only gpt,llama
    python benchmarks/surgery.py --out runs/new.jsonl --before runs/surgery.jsonl

Small networks (`tests/user_nets*.py`) times the techniques that change an architecture. Of each pair
`surgery_table.py` says whether an expert would make the edit. Pawl refuses it with a reason, or makes
it; what is made must then train, all members at once as one by one, export with equal predictions,
load again, and be whole: no activation or normalization of the kind that was to go may run (counted
below PyTorch's functions, independently of what pawl sees). Where an edit claims to keep what was
learned, a network with weights must predict the same behind it. Last, what a step costs with calls
exchanged, and a linear probe with features kept (`surgery_costs.py`).
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import running
import torch
from surgery_costs import hooks, probes
from surgery_table import NOT_BY_HAND, STYLES, not_by_hand
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

KEEPING = ("blocks", "residual", "width", "layer_scale", "stochastic_depth")
"""Techniques that keep what a network has learned."""
STARTING = ("squeeze_excite", "self_attention", "parametric_activation", "dropout")
"""Techniques that keep any network's function at the start."""
WANTED = 0.9
_ACTIVATIONS = {
    "relu", "relu_", "gelu", "silu", "silu_", "leaky_relu", "leaky_relu_", "elu", "elu_", "hardtanh",
    "hardtanh_", "hardswish",
}  # fmt: skip
_OLD = {
    "activation": _ACTIVATIONS,
    "batch_norm": {"native_layer_norm", "native_group_norm", "_fused_rms_norm"},
    "layer_norm": {"native_batch_norm", "cudnn_batch_norm", "_fused_rms_norm"},
    "group_norm": {"native_batch_norm", "native_layer_norm", "_fused_rms_norm"},
    "instance_norm": {"native_batch_norm", "native_layer_norm", "_fused_rms_norm"},
    "rms_norm": {"native_batch_norm", "native_layer_norm", "native_group_norm"},
}
"""What may not run any more behind a technique."""
_SETTINGS: dict[str, dict[str, Any]] = {"activation": {"function": "mish"}}


class Counted(TorchDispatchMode):
    """Counts what runs on rows, by names of PyTorch's operators.

    What has a first axis of one and as many numbers as a weight is a weight, which some networks
    standardize by the same operators.

    Args:
        module: What runs.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.ran: Counter[str] = Counter()
        self._sizes = {weight.numel() for weight in module.parameters()}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Counts, and does."""
        first = args[0] if args else None
        shape = first.shape if isinstance(first, torch.Tensor) else torch.Size()
        if tuple(shape[:1]) != (1,) or shape.numel() not in self._sizes:
            self.ran[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


def nets() -> dict[str, type[nn.Module]]:
    """Returns the networks by name."""
    import user_nets
    import user_nets_of_images
    import user_nets_of_sequences as sequences

    return {
        **user_nets.NETS, **user_nets_of_images.NETS, **sequences.ROWS, **sequences.TOKENS,
        **sequences.TABLES,
    }  # fmt: skip


@functools.cache
def problem_of(net: str, *, learned: bool) -> Any:
    """Returns a network's task; `learned`: with weights that are far from those at the start."""
    import problems
    import user_nets_of_sequences as sequences

    from pawl.task import Task

    data: Any = problems.images()
    if net in sequences.TOKENS:
        data = problems.words()
    if net in sequences.TABLES:
        data = problems.frame()
    model: Any = nets()[net]
    if learned:
        spec = problems.problem_of(Task(data=data, model=model)).spec
        torch.manual_seed(3)
        given = model(spec)
        with torch.no_grad():
            for tensor in [*given.parameters(), *given.buffers()]:
                if tensor.is_floating_point() and tensor.requires_grad:
                    tensor.add_(0.1 * torch.rand_like(tensor))
        from pawl.models import duplicate

        model = lambda: duplicate(given)  # noqa: E731
    return problems.problem_of(Task(data=data, model=model))


@functools.cache
def facts_of(net: str) -> Any:
    """Returns what techniques may know of a network that starts at random."""
    return problem_of(net, learned=False).facts()


def tried(
    net: str,
    name: str,
    *,
    problem: Any = None,
    facts: Any = None,
    by_hand: Callable[[str, str], str | None] = not_by_hand,
    quick: bool = False,
) -> running.Record:
    """Makes one edit, and tries what it made.

    Args:
        net: The network's name.
        name: The technique's.
        problem: The network's task; the one of `nets()` with that name by default.
        facts: What techniques may know of the network; alike.
        by_hand: Says why an expert would not make the edit.
        quick: Whether to leave out what costs most: training fused, exports, weights that are loaded
            again, and networks with weights.
    """
    import user_nets_of_sequences as sequences
    from problems import plain

    from pawl.errors import PawlError
    from pawl.techniques import refusal, technique

    expert = by_hand(net, name)
    record: running.Record = {"net": net, "technique": name, "expert": expert is None}
    if expert is not None:
        record["by_hand"] = expert
    given = problem or problem_of(net, learned=False)
    record["refused"] = refusal(technique(name), facts or facts_of(net))
    if record["refused"] is not None:
        return record
    recipe = plain().with_(name, **_SETTINGS.get(name, {}))
    if problem is not None or net in sequences.TOKENS:
        recipe = recipe.without("standardize")
    try:
        record |= _checked(given, recipe, name, quick=quick)
        if name in KEEPING and problem is None:
            record["kept"] = _kept(net, recipe, name)
    except (PawlError, RuntimeError, ValueError, TypeError, AttributeError, IndexError) as error:
        record["broken"] = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200]}"
    return record


def _checked(problem: Any, recipe: Any, name: str, *, quick: bool) -> running.Record:
    """Returns what became of an edited network."""
    from problems import ALL_ROWS, member

    from pawl.deployment import check_parity
    from pawl.models import assign
    from pawl.training.fused import FusedStepper
    from pawl.training.population import Population
    from pawl.training.serial import SerialStepper
    from pawl.training.trained import untrained

    record: running.Record = {"left": _left(problem, recipe, name)}
    if name in STARTING:
        record["kept"] = _same(problem, recipe, recipe.without(name))
    members = [member(recipe, seed) for seed in (0, 1)]
    serial = Population(problem, members, SerialStepper())
    alone = serial.advance(1 if quick else 3)
    record["finite"] = bool(alone.isfinite().all())
    if quick:
        return record
    try:
        together = Population(problem, members, FusedStepper()).advance(3)
        record["fused"] = bool(torch.allclose(alone, together, rtol=1e-3, atol=1e-4))
    except (RuntimeError, NotImplementedError) as error:
        record["not_fused"] = str(error).strip().splitlines()[0][:120]
    trained = untrained(problem, recipe, 0, ALL_ROWS)
    rows = problem.examples.take(ALL_ROWS)
    record["parity"] = float(check_parity(trained, trained.graph(rows.take(ALL_ROWS[:4])), rows))
    again = untrained(problem, recipe, 5, ALL_ROWS)
    assign(again.model, trained.tensors())
    cpu = torch.device("cpu")
    record["loaded"] = bool(torch.equal(again.predict(rows, cpu), trained.predict(rows, cpu)))
    return record


def _left(problem: Any, recipe: Any, name: str) -> int:
    """Returns how many operations still run that were to go."""
    from problems import ALL_ROWS

    front, body, _ = problem.build(recipe, 0, ALL_ROWS)
    with torch.no_grad(), Counted(body) as counted:
        body.eval()(front(problem.examples.take(ALL_ROWS[:4]).inputs))
    return sum(counted.ran[old] for old in _OLD.get(name, ()))


def _same(problem: Any, recipe: Any, without: Any) -> bool:
    """Tells whether a network predicts the same with an edit as without, in double precision."""
    from problems import ALL_ROWS

    from pawl.models import predicting

    found = []
    for each in (recipe, without):
        front, body, _ = problem.build(each, 0, ALL_ROWS)
        with torch.no_grad():
            given = front(problem.examples.take(ALL_ROWS[:8]).inputs)
            given = {n: x.double() if x.is_floating_point() else x for n, x in given.items()}
            raw = body.double().eval()(given)
        found.append(predicting(raw))
    scale = float(found[1].abs().max())
    return bool(torch.allclose(*found, rtol=1e-5, atol=1e-5 * scale))


def _kept(net: str, recipe: Any, name: str) -> bool | str:
    """Tells whether a network with weights predicts the same behind an edit that was made of it."""
    from problems import ALL_ROWS

    problem, without = problem_of(net, learned=True), recipe.without(name)
    after, before = (str(problem.build(each, 0, ALL_ROWS)[1]) for each in (recipe, without))
    return "not made" if after == before else _same(problem, recipe, without)


def succeeded(record: running.Record) -> bool:
    """Tells whether an edit was made and all that was tried of it went well."""
    return (
        record["refused"] is None
        and "broken" not in record
        and record["left"] == 0
        and record["finite"]
        and record.get("fused", True)
        and record.get("parity", 0.0) < 1e-4
        and record.get("loaded", True)
        and record.get("kept", True) is True
    )


def wilson(wins: int, count: int) -> list[float]:
    """Returns Wilson's 95% interval of a share.

    >>> [round(x, 3) for x in wilson(9, 10)]
    [0.596, 0.982]
    """
    z, share = 1.959964, wins / count
    center = share + z * z / (2 * count)
    spread = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return [(center + way * spread) / (1 + z * z / count) for way in (-1, 1)]


def shares(records: list[running.Record]) -> dict[str, Any]:
    """Returns the share of edits that an expert would make which succeed."""
    wanted = [each for each in records if each["expert"]]
    wins = sum(map(succeeded, wanted))
    if not wanted:
        return {"pairs": 0}
    low, high = wilson(wins, len(wanted))
    return {
        "pairs": len(wanted), "succeeded": wins, "share": round(wins / len(wanted), 4),
        "interval": [round(low, 4), round(high, 4)],
    }  # fmt: skip


def summary(
    records: list[running.Record],
    techniques: Iterable[str] = NOT_BY_HAND,
    styles: Mapping[str, str] = STYLES,
) -> dict[str, Any]:
    """Returns what all pairs come to, by technique and style."""
    made = [each for each in records if each["refused"] is None]
    return {
        "networks": len({each["net"] for each in records}),
        "techniques": len({each["technique"] for each in records}),
        "pairs": len(records),
        "wanted_share": WANTED,
        "of_an_earlier_run": sum(each.get("earlier", False) for each in records),
        "of_those_an_expert_would_make": shares(records),
        "made": len(made),
        "made_beyond": sum(not each["expert"] for each in made),
        "made_beyond_and_whole": sum(not each["expert"] and succeeded(each) for each in made),
        "refused_as_an_expert_would": sum(
            each["refused"] is not None and not each["expert"] for each in records
        ),
        "partial": sum(each.get("left", 0) > 0 for each in made),
        "broken": sum("broken" in each for each in made),
        "trained_fused": sum("fused" in each for each in made),
        "fused_unlike_serial": sum(each.get("fused") is False for each in made),
        "not_fused": dict(Counter(e["not_fused"] for e in made if "not_fused" in e)),
        "kept_of": sum(isinstance(each.get("kept"), bool) for each in made),
        "kept": sum(each.get("kept") is True for each in made),
        "largest_difference_of_the_export": max(
            (each.get("parity", 0.0) for each in made), default=0.0
        ),
        "by_technique": {
            name: shares([each for each in records if each["technique"] == name])
            for name in techniques
        },
        "by_style": {
            style: shares([each for each in records if each["net"] in members.split()])
            for style, members in styles.items()
        },
        "not_made": [
            {
                "net": each["net"], "technique": each["technique"],
                "why": each["refused"] or each.get("broken") or "it is not whole, or not the same",
            }
            for each in records
            if each["expert"] and not succeeded(each)
        ],
    }  # fmt: skip


def _pairs(only: list[str] | None, techniques: list[str] | None) -> Iterator[tuple[str, str]]:
    for net in only or nets():
        for name in techniques or NOT_BY_HAND:
            yield net, name


def main() -> None:
    """Runs what isn't in the file of records yet, and prints what all come to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="JSONL of pairs that are done; goes on from it")
    parser.add_argument(
        "--before", type=Path, help="JSONL of an earlier run, for pairs that are not to be run anew"
    )
    parser.add_argument("--only", help="networks, with commas")
    parser.add_argument("--techniques", help="techniques, with commas")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    only, names = (None if x is None else x.split(",") for x in (given.only, given.techniques))
    earlier = {tuple(each.pop("key")): each for each in running.read(given.before or Path())}
    done = {tuple(each["key"]) for each in running.read(given.out or Path())}
    records = []
    for net, name in _pairs(only, names):
        if (net, name) in earlier and (net, name) not in done:
            records.append({**earlier[net, name], "earlier": True})
            continue
        record = running.computed(given.out, (net, name), lambda n=net, t=name: tried(n, t))
        records.append(record)
        verdict = "refused" if record["refused"] else "whole" if succeeded(record) else "NOT WHOLE"
        print(f"{net:15} {name:22} {verdict}", file=sys.stderr, flush=True)
    from pawl.environment import hardware, versions

    found: dict[str, Any] = {
        "hardware": hardware(torch.device("cpu")), "versions": versions(), **summary(records),
    }  # fmt: skip
    if given.only is None and given.techniques is None:
        for what, key, compute in (
            ("cost_of_a_step", "hooks", hooks),
            ("linear_probe", "probes", probes),
        ):
            known = earlier.get((key,))
            found[what] = known or running.computed(given.out, (key,), compute)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
