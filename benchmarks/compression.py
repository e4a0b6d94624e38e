"""Accuracy, latency and size of pawl's chain beside what is usual alone.

    python benchmarks/compression.py --records runs/press.jsonl > benchmarks/results/compression.json
    python benchmarks/compression.py --records runs/press.jsonl --cases adult   # a part of it
    python benchmarks/compression_picture.py benchmarks/results/compression.json docs/compression.svg

Per case one network is trained as a recipe is (`pawl.train`; the plain one, or one of `RECIPES`), on
development rows; of the test rows those judge that pawl's chain does not choose by, all models alike.
Beside it stand: the same in PyTorch, eager; ONNX Runtime's quantizers alone (dynamic, and static by
min-max, as their documentation has it); NNCF's post-training quantization (`pip install 'pawl[bench]'`);
torch-pruning alone in six rounds, each with the fine-tuning that pawl's step has; a smaller dense
network (half the width) trained for as many steps;
pawl's chain with half a point allowed (3% where there are 1,000 rows): asked for the latency of as many
rows as models are compared by (`--batch 64`), for that of one row, and with a limit of a quarter of the
size.
All graphs are timed together, turn by turn, one thread; eager PyTorch in a process of its own, in
turns with ONNX Runtime (`pawl.compression.runtimes`). Where others use the machine only ratios tell
something; what it took is in seconds of the processor. Losses are those of the very models on these
rows against the original, with the one-sided 95% bound of `pawl.compression.Judge`, not corrected for
choices. Others have none made: of several models of theirs a person could keep one only by other rows,
so that this favors them. Pawl's chain makes its own by tests on these rows; `proved` has the bounds that
hold for it, at the levels of tests that share an error of 5%. `ahead` holds the chain to each of the
others: how many times as fast (64 rows) and as small it is, and whether the other one loses less than is
allowed, by the bound that is not corrected.
`absent` has who could not take part, and why.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pandas as pd
import running

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
ARCHIVE, IMAGES = running.FILES / "cifar10.tar.xz", ("--train", "5000", "--test", "10000")
CASES = ("adult", "movie-reviews", "cifar10", "cifar10-residual")
ALLOWED = {"movie-reviews": "3%"}
"""What may be lost, where that is not half a point: 1,000 rows cannot show so little."""
RECIPES: dict[str, tuple[dict[str, dict[str, float]], int]] = {
    "cifar10-residual": (
        {
            "batch_size": {"size": 64}, "standardize": {}, "residual": {}, "batch_norm": {}, "flip": {},
            "random_crop": {}, "one_cycle": {}, "adamw": {"learning_rate": 5e-3},
        },
        25,
    ),
}  # fmt: skip
"""What is trained, and for how many passes, where that is not the plain recipe of the data."""
SIZE_LIMIT, ROUNDS, BATCH = 0.25, 40, 64
OURS = "pawl"


class Spent:
    """A listener that has the processor's seconds of each phase, the longest first."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._name, self._at = "", time.process_time()

    def phase(self, name: str, detail: str) -> None:
        """Ends the phase before."""
        now = time.process_time()
        self._seconds[self._name] = self._seconds.get(self._name, 0.0) + now - self._at
        self._name, self._at = f"{name}: {detail}", now

    def progress(self, **_: Any) -> None:
        """Does nothing."""

    def ended(self) -> dict[str, float]:
        """Returns them."""
        self.phase("", "")
        return {n: round(s, 1) for n, s in sorted(self._seconds.items(), key=lambda x: -x[1]) if n}


def data_of(name: str, folder: Path) -> tuple[Any, Any, dict[str, Any]]:
    """Returns development rows, test rows, and how they are read."""
    if name == "adult":
        train, test = (
            pd.read_csv(running.FILES / f"adult-{part}.csv") for part in ("train", "test")
        )
        return train, test, {"target": "income", "metric": "accuracy"}
    if name == "movie-reviews":
        rows = pd.read_csv(running.FILES / "movie-reviews.csv")
        rows = rows.sample(frac=1.0, random_state=0).reset_index(drop=True)
        cut = len(rows) // 2  # to have as many as can be that judge
        return rows[:cut], rows[cut:], {"target": rows.columns[-1], "metric": "accuracy"}
    path = folder / "images.tar"
    script = EXAMPLES / "extract_images.py"
    subprocess.run([sys.executable, script, ARCHIVE, path, *IMAGES], check=True)
    return path, None, {"metric": "accuracy"}


def quantized(graph: bytes, rows: Any, absent: dict[str, str]) -> Iterator[tuple[str, bytes]]:
    """Yields what ONNX Runtime's quantizers alone make of a graph; `absent` gets those that fail."""
    from onnxruntime.quantization import QuantFormat, quantize_dynamic, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    from pawl.compression.graphs import quietly
    from pawl.compression.quantizing import _Reader

    for how in ("dynamic", "static"):
        with quietly() as folder:
            source, target = folder / "float.onnx", folder / "int8.onnx"
            try:
                onnx.save(onnx.load_from_string(graph), folder / "given.onnx")
                try:
                    quant_pre_process(folder / "given.onnx", source)
                except TypeError:  # an operator whose symbolic shape it does not know
                    quant_pre_process(folder / "given.onnx", source, skip_symbolic_shape=True)
                names = [item.name for item in onnx.load(source).graph.input]
                if how == "dynamic":
                    quantize_dynamic(source, target)
                else:
                    sample = _Reader(rows, names)
                    quantize_static(source, target, sample, quant_format=QuantFormat.QDQ)
                made = target.read_bytes()
            except Exception as error:
                _left_out(absent, f"onnxruntime int8, {how}", error)
                continue
        yield f"onnxruntime int8, {how}", made


def by_nncf(graph: bytes, rows: Any, absent: dict[str, str]) -> Iterator[tuple[str, bytes]]:
    """Yields what NNCF's post-training quantization alone makes of a graph, or puts down why not."""
    from pawl.compression.graphs import quietly

    os.environ.setdefault("NNCF_CI", "1")  # it sends nothing to anyone
    try:
        import nncf
    except ImportError as error:
        _left_out(absent, "nncf int8", error)
        return
    model = onnx.load_from_string(graph)
    names = [item.name for item in model.graph.input]
    starts = range(0, len(rows), BATCH)  # single rows would have their ranges' mean cut off most
    sample = [{n: rows.inputs[n][at : at + BATCH].numpy() for n in names} for at in starts]
    try:
        with quietly():
            made = nncf.quantize(model, nncf.Dataset(sample), subset_size=len(sample))
    except Exception as error:
        _left_out(absent, "nncf int8", error)
        return
    yield "nncf int8", made.SerializeToString()


def pruned(
    bundle: Any, rows: Any, objective: Any, absent: dict[str, str]
) -> Iterator[tuple[str, bytes]]:
    """Yields the network after each round of torch-pruning alone, fine-tuned as pawl does."""
    import torch

    from pawl.compression import pruning
    from pawl.compression.candidate import Candidate, Weights
    from pawl.compression.judging import Judge
    from pawl.compression.work import Work
    from pawl.deployment.export import predict
    from pawl.options.amounts import MaxLoss

    graph = (bundle.folder / "model.onnx").read_bytes()
    weights = Weights.read(bundle.folder / "model.safetensors")
    judge = Judge(objective, rows, predict(graph, rows), MaxLoss(1.0, relative=True))
    work = Work(
        schema=bundle.schema, objective=objective, rows=rows, choices=rows, judge=judge,
        original=weights, teacher=lambda examples: predict(graph, examples),
    )  # fmt: skip
    try:
        alone = Candidate("", "", graph, weights)
        for each in pruning.rounds_of(work, alone, ranking=False, ways=(pruning.PLAIN,)):
            yield (
                f"torch-pruning, {each.share:.0%} of the weights",
                each.trained.graph(rows.take(torch.arange(4))),
            )
    except Exception as error:
        _left_out(absent, "torch-pruning", error)


def _left_out(absent: dict[str, str], name: str, error: Exception) -> None:
    """Puts down, and says, why a rival is not there."""
    absent[name] = f"{type(error).__name__}: {str(error)[:300]}"
    print(f"  {name} is left out: {absent[name]}", file=sys.stderr)


def measured(name: str, seed: int, scratch: Path) -> dict[str, Any]:  # noqa: PLR0915
    """Returns all models of a case with metric, loss, latency and size."""
    import pawl
    from pawl.compression import runtimes
    from pawl.compression.judging import Judge
    from pawl.compression.rows import GivenRows
    from pawl.data import load, resolve_task
    from pawl.deployment import latencies
    from pawl.deployment.export import predict
    from pawl.environment import cpu_features, hardware, versions
    from pawl.errors import LimitError, PawlError
    from pawl.options.amounts import max_loss
    from pawl.recipe import Recipe
    from pawl.search import baseline
    from pawl.training.metrics import make_objective
    from pawl.training.problem import Problem

    began, allowed = time.process_time(), ALLOWED.get(name, "0.005")
    train, test, options = data_of(name, scratch)
    options = {**options, **({} if test is None else {"test": test}), "seed": seed}
    task = resolve_task(train, **{k: v for k, v in options.items() if k != "seed"})
    data = load(task, seed=seed)
    recipe, length = baseline(Problem.of(task, data).facts()), dict[str, Any]()
    if name in RECIPES:
        tables, epochs = RECIPES[name]
        recipe, length = Recipe.from_dict(tables), {"epochs": epochs}
    pawl.train(train, recipe, out=scratch / "original", **options, **length)
    bundle = pawl.Bundle.open(scratch / "original")
    graph = (bundle.folder / "model.onnx").read_bytes()
    objective = make_objective("accuracy", None, bundle.schema.kind)
    graphs, steps, absent = {"onnxruntime fp32": graph}, dict[str, Any](), dict[str, str]()
    proved: dict[str, Any] = {}
    spent: dict[str, Any] = {"training": round(time.process_time() - began, 1)}
    for factor in (0.5,):
        out = scratch / f"dense-{factor}"
        try:
            narrow = Recipe.from_dict({**recipe.to_dict(), "width": {"factor": factor}})
            pawl.train(train, narrow, out=out, **options, **length)
            graphs[f"dense, {factor:g} of the width"] = (out / "bundle" / "model.onnx").read_bytes()
        except PawlError as error:
            _left_out(absent, f"dense, {factor:g} of the width", error)
    sample = data.development.take(_first(256, data.development))
    graphs |= dict(quantized(graph, sample, absent))
    graphs |= dict(by_nncf(graph, sample, absent))
    graphs |= dict(pruned(bundle, data.development, objective, absent))
    chains: dict[str, dict[str, int]] = {
        OURS: {"batch": BATCH}, "pawl, for one row": {},
        "pawl, a quarter of the size": {"max_size": int(SIZE_LIMIT * len(graph))},
    }  # fmt: skip
    for chain, limits in chains.items():
        out, listener = scratch / chain.replace(" ", "-"), Spent()
        try:
            pawl.compress(
                bundle, task, max_loss=allowed, metric="accuracy", seed=seed, out=out,
                listener=listener, **limits,
            )  # fmt: skip
        except (LimitError, PawlError) as error:
            print(f"  {chain}: {error}", file=sys.stderr)
        spent[chain] = listener.ended()
        if (out / "compress.json").is_file():
            graphs[chain] = (out / "bundle" / "model.onnx").read_bytes()
            found = json.loads((out / "compress.json").read_text())
            proved[chain] = [
                (s["loss_at_most"], s["level"]) for s in found["steps"] if s["accepted"]
            ][-1:]
            steps[chain] = [{k: s[k] for k in ("step", "detail", "order", "accepted", "reason")}
                            for s in found["steps"]]  # fmt: skip
    rows = GivenRows.of_campaign(data, scratch).judge
    expected = predict(graph, rows)
    judge = Judge(objective, rows, expected, max_loss("max_loss", allowed))
    one = latencies(graphs, rows, rounds=ROUNDS)
    several = latencies(graphs, rows, batch=BATCH, rounds=ROUNDS)
    models = []
    for each, made in graphs.items():
        judged = judge(predict(made, rows))
        models.append({
            "model": each, "accuracy": judged.value, "loss": judged.loss,
            "loss_at_most": judged.at_most, "bytes": len(made),
            "ms": one[each].median, "ms_interval": one[each].interval,
            "ms_batch": several[each].median, "ms_batch_interval": several[each].interval,
            "speed": one[each].gain_over(one["onnxruntime fp32"]),
            "speed_batch": several[each].gain_over(several["onnxruntime fp32"]),
        })  # fmt: skip
    ahead = [
        {
            "other": each["model"], "keeps": each["loss_at_most"] < judge.margin,
            "speed_batch": several[OURS].gain_over(several[each["model"]]),
            "smaller": each["bytes"] / len(graphs[OURS]),
        }
        for each in models if OURS in graphs and not each["model"].startswith(OURS)
    ]  # fmt: skip
    eager = {}
    runtimes._COMPILED = (False,)
    for batch in (1, BATCH):
        found = runtimes.bake_off(graph, rows, batch=batch, threads=1, module=bundle.module())
        eager[str(batch)] = found.record()["timed"]
    spent["all"] = round(time.process_time() - began, 1)
    return {
        "case": name, "seed": seed, "allowed": allowed, "development": len(data.development),
        "test": len(rows), "batch": BATCH, "models": models, "ahead": ahead, "proved": proved,
        "runtimes": eager, "steps": steps, "absent": absent,
        "cpu_seconds": spent, "load": os.getloadavg()[0],
        "hardware": hardware(), "cpu_features": list(cpu_features()), "versions": versions(),
    }  # fmt: skip


def _first(count: int, rows: Any) -> Any:
    import torch

    return torch.arange(min(count, len(rows)))


def main() -> None:
    """Runs cases that are not on record, and prints all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=Path, default=None)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--seeds", type=running.numbers, default=[0])
    given = parser.parse_args()
    running.stop_on_sigterm()
    records = []
    for name in given.cases.split(","):
        for seed in given.seeds:

            def work(name: str = name, seed: int = seed) -> dict[str, Any]:
                print(f"{name}, seed {seed}", file=sys.stderr)
                with tempfile.TemporaryDirectory() as scratch:
                    return measured(name, seed, Path(scratch))

            records.append(running.computed(given.records, (name, seed), work))
    print(json.dumps(records, indent=1, default=running.plain))


if __name__ == "__main__":
    main()
