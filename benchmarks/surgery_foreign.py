"""Which edits of networks of `transformers`, `timm` and `torchvision` succeed, of an expert's.

    python benchmarks/surgery_foreign.py --quick --out runs/foreign.jsonl \
        > benchmarks/results/surgery_foreign.json
    python benchmarks/surgery_foreign.py --out runs/foreign.jsonl --only distilbert,timm_vit \
        > benchmarks/results/surgery_foreign_whole.json

As `surgery.py`, with networks from other hands (`surgery_foreign_nets.py`, `surgery_foreign_images.py`)
and a table of their own (`surgery_foreign_table.py`). With `--quick` an edit succeeds if it is made, is
whole (nothing runs of what was to go), keeps the function at the start where it claims to, and members
take a step of training with finite losses; without, members must train all at once as one by one, and
graphs and weights predict the same, too. Needs `pip install transformers`, and for images of the others
`pip install --no-deps timm torchvision`.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import running
import surgery
import surgery_foreign_images as images
import surgery_foreign_nets as nets
import torch
from surgery_foreign_table import NOT_BY_HAND, STYLES, not_by_hand


def records_of(net: str, techniques: Sequence[str], out: Path | None, *, quick: bool) -> Any:
    """Yields the record of each technique on a network; those in the file are taken from there."""
    done = {tuple(each["key"]): each for each in running.read(out or Path())}
    missing = [name for name in techniques if (net, name, quick) not in done]
    given = _given(net) if missing else {}
    for name in techniques:
        yield running.computed(out, (net, name, quick), lambda t=name: _tried(net, t, given, quick))


NETS = {**nets.NETS, **images.NETS}


def _given(net: str) -> dict[str, Any]:
    """Returns a network's task and facts, or why there are none."""
    from problems import problem_of

    from pawl.errors import PawlError
    from pawl.task import Task

    try:
        data = nets.data_of(net)
        if net in images.NETS:
            data = data[0]["pixel_values"], data[1]
        problem = problem_of(Task(data=data, model=NETS[net]))
        return {"problem": problem, "facts": problem.facts()}
    except PawlError as error:
        return {"refused": str(error)}


def _tried(net: str, name: str, given: dict[str, Any], quick: bool) -> running.Record:
    if "refused" in given:
        expert = not_by_hand(net, name) is None
        return {"net": net, "technique": name, "expert": expert, **given}
    return surgery.tried(net, name, **given, by_hand=not_by_hand, quick=quick)


def reasons(records: list[running.Record]) -> list[dict[str, Any]]:
    """Returns why edits are refused that an expert would make, the most frequent first."""
    found = Counter(each["refused"] for each in records if each["expert"] and each["refused"])
    return [{"reason": reason, "pairs": count} for reason, count in found.most_common()]


def main() -> None:
    """Runs what isn't in the file of records yet, and prints what all come to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="JSONL of pairs that are done; goes on from it")
    parser.add_argument("--only", help="networks, with commas")
    parser.add_argument("--techniques", help="techniques, with commas")
    parser.add_argument("--quick", action="store_true", help="leave out what costs most; see above")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    nets.hf.logging.set_verbosity_error()
    names = given.techniques.split(",") if given.techniques else list(NOT_BY_HAND)
    chosen = given.only.split(",") if given.only else list(NETS)
    records = []
    for net in chosen:
        for record in records_of(net, names, given.out, quick=given.quick):
            records.append(record)
            whole = "whole" if record["refused"] is None and surgery.succeeded(record) else "NOT"
            verdict = "refused" if record["refused"] else whole
            print(f"{net:15} {record['technique']:22} {verdict}", file=sys.stderr, flush=True)
    from pawl.environment import hardware, versions

    found = {
        "hardware": hardware(torch.device("cpu")),
        "versions": {**versions(), "transformers": nets.hf.__version__, **images.VERSIONS},
        "quick": given.quick,
        "ran": chosen,
        "not_run": [net for net in NETS if net not in chosen],
        **surgery.summary(records, NOT_BY_HAND, STYLES),
        "refusals_that_an_expert_would_not_make": reasons(records),
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
