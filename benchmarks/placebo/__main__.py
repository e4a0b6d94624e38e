"""Error rates and power of the whole protocol, measured on real data.

    python benchmarks/placebo --records runs/placebo.jsonl > benchmarks/results/placebo.json

Campaigns run in worker processes of one thread each, and each appends its record when it is done; a run
that was stopped goes on where it was. `--tally` only prints what the records say. Nothing depends on the
clock: a campaign's length is given in trials.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from tally import tally
from work import jobs, prepare, work

from pawl.environment import hardware, versions


def read(path: Path) -> list[dict[str, Any]]:
    """Returns the records so far; a last line that was cut off is left out."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return records


def main() -> None:
    """Runs what is missing, then prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=Path, required=True, help="JSONL file to append to")
    parser.add_argument("--jobs", type=int, default=2, help="worker processes")
    parser.add_argument("--campaigns", type=int, help="at most so many of each case")
    parser.add_argument(
        "--parts", default="", help="only these, such as placebo,noise; all if none"
    )
    parser.add_argument("--tally", action="store_true", help="run nothing")
    arguments = parser.parse_args()
    path: Path = arguments.records
    done = {tuple(record["job"]) for record in read(path)}
    most, parts = arguments.campaigns, {part for part in arguments.parts.split(",") if part}
    wanted = [
        job
        for job in jobs()
        if job not in done and (most is None or job[2] < most) and (not parts or job[0] in parts)
    ]
    if wanted and not arguments.tally:
        path.parent.mkdir(parents=True, exist_ok=True)
        context = multiprocessing.get_context("spawn")
        with (
            ProcessPoolExecutor(arguments.jobs, context, prepare) as pool,
            path.open("a", encoding="utf-8") as file,
        ):
            if path.stat().st_size and not path.read_bytes().endswith(b"\n"):
                file.write("\n")
            for future in as_completed([pool.submit(work, job) for job in wanted]):
                file.write(json.dumps(future.result()) + "\n")
                file.flush()
                print(f"{path}: {len(read(path))} records", file=sys.stderr)
    result = tally(read(path)) | {"hardware": hardware(), "versions": versions()}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
