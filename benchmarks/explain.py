"""How fast and how right pawl's attributions are, beside `shap` and `lime`, on the same models and rows.

    python benchmarks/explain.py --records runs/explain.jsonl --out benchmarks/results/explain.json

It takes the extra `bench`, and a machine that does nothing else; one thread is used. A stopped run goes
on from `--records`. Parts:

- `small`: four columns of wine-red, where the mean over all 24 orders is written down here as it is
  defined: whether both sides' exact values are right.
- `wine-red`, `adult`: a network on 11 and 14 columns, categories as columns of 0 and 1 inside the
  model; errors are against all sets of columns.
- `encoded`: the same of adult, but `shap` explains the encoded columns, as its users do; their values
  are summed by column.
- `trees`: LightGBM on both tables; pawl's Shapley values of trees and `shap`'s, against all sets (of
  four rows). Times are of as many rows as elsewhere, and of ten times as many, which `faster` goes by.
- `image`: a convolutional net on 8 by 8 digits, half as many rows; 64 pixels, errors are against the
  mean of a long run of each side's own sampler, whose distance is given. Gradients are judged by how
  far their sums miss what they are to explain, and by rank correlation with that mean.

Every method gets the same rows, all at once, and explains them against the same background rows, through
the same function. `error` is the root mean square over columns, in deviations of the prediction over
rows, the mean over rows; `ranks` is Spearman's correlation of a row's parts with the right ones, the
median over rows. `seconds` are what this process computed for one row (CPU time, as others may be on the
machine), the smallest of rounds in which all methods take turns; `asked` are evaluations of the function
for a row. `faster` says for each method of theirs which setting of pawl has an error that is no larger
(or below 0.00001), and is the fastest of those, with the range over seeds; `by_evaluations` the same by
`asked`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import running
import torch
from numpy.typing import NDArray
from torch import nn

Floats = NDArray[np.float64]
Function = Callable[[NDArray[Any]], Floats]
Method = Callable[[NDArray[np.float32]], Floats]
"""Rows `[R, F]` to their parts, `[R, F]`."""
ROWS, BACKGROUND, REPEATS, MANY = 20, 64, 3, 10
PARTS = ("small", "wine-red", "adult", "encoded", "trees", "image")


class Counted:
    """A function that counts the rows it is asked for."""

    def __init__(self, function: Function) -> None:
        self.function, self.total = function, 0

    def __call__(self, given: NDArray[Any]) -> Floats:
        """Returns what the function does."""
        self.total += len(given)
        return self.function(given)


@dataclass(frozen=True)
class Problem:
    """A model as a function of columns, rows to explain and rows to compare with, `[*, F]`.

    Attributes:
        predict: Columns, categories as codes, to the explained output, `[n]`.
        x: All rows.
        rows: Those explained.
        background: Those compared with.
        categorical: Which columns are.
        encode: Columns to what the model takes, `[n, D]`.
        owners: Of which column each of these is, `[D]`.
        model: From encoded columns to the output.
    """

    predict: Function
    x: NDArray[np.float32]
    rows: NDArray[np.float32]
    background: NDArray[np.float32]
    categorical: tuple[int, ...] = ()
    encode: Callable[[NDArray[Any]], NDArray[np.float32]] = np.asarray
    owners: NDArray[np.int64] | None = None
    model: Function | None = None

    def asked(self) -> int:
        """Returns how many rows the model was asked for."""
        counted = self.predict if self.model is None else self.model
        assert isinstance(counted, Counted)
        return counted.total

    @property
    def scale(self) -> float:
        """The deviation of predictions over rows."""
        return float(self.predict(self.x).std())


def table(
    name: str, columns: int | None = None
) -> tuple[NDArray[np.float32], Floats, tuple[int, ...]]:
    """Returns a table's columns, categories as codes, its target, and which are categories."""
    if name == "wine-red":
        frame = pd.read_csv(running.FILES / "wine-red.csv", sep=None, engine="python")
        target = frame.pop("quality").to_numpy(np.float64)
        target = (target - target.mean()) / target.std()
    else:
        frame = pd.read_csv(running.FILES / "adult-train.csv", nrows=10_000)
        target = frame.pop("income").astype(str).str.contains(">").to_numpy(np.float64)
    frame = frame.iloc[:, :columns]
    words = tuple(i for i, c in enumerate(frame) if not pd.api.types.is_numeric_dtype(frame[c]))
    x = [pd.factorize(frame[c])[0] if i in words else frame[c] for i, c in enumerate(frame)]
    return np.stack(x, 1).astype(np.float32), target, words


def network(name: str, seed: int, columns: int | None = None) -> Problem:
    """Trains a network on a table, its own encoding in front."""
    x, target, words = table(name, columns)
    mean, std = x.mean(0), x.std(0)
    sizes = [int(x[:, i].max()) + 1 if i in words else 1 for i in range(x.shape[1])]
    owners = np.repeat(np.arange(x.shape[1]), sizes)

    def encode(given: NDArray[Any]) -> NDArray[np.float32]:
        parts = [
            np.eye(sizes[i], dtype=np.float32)[given[:, i].astype(np.int64)]
            if i in words
            else ((given[:, i : i + 1] - mean[i]) / std[i]).astype(np.float32)
            for i in range(given.shape[1])
        ]
        return np.concatenate(parts, 1)

    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Linear(len(owners), 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)
    )  # fmt: skip
    classes = name == "adult"
    loss = nn.functional.binary_cross_entropy_with_logits if classes else nn.functional.mse_loss
    _train(net, torch.from_numpy(encode(x)), torch.from_numpy(target).float()[:, None], loss, 8)

    def model(encoded: NDArray[Any]) -> Floats:
        with torch.no_grad():
            out = net(torch.as_tensor(np.asarray(encoded), dtype=torch.float32))[:, 0]
            return (torch.sigmoid(out) if classes else out).double().numpy()

    counted = Counted(model)
    return _problem(lambda given: counted(encode(given)), x, seed, words, encode, owners, counted)


def _train(net: nn.Module, x: Any, y: Any, loss: Callable[..., Any], epochs: int) -> None:
    optimizer = torch.optim.Adam(net.parameters(), 2e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            loss(net(x[batch]), y[batch]).backward()
            optimizer.step()
    net.eval()


def _problem(predict: Function, x: NDArray[np.float32], seed: int, *more: Any) -> Problem:
    from pawl.explaining.shapley import spread_rows

    rows = np.random.default_rng(seed).permutation(len(x))[:ROWS]
    background = x[spread_rows(predict(x), BACKGROUND)]
    return Problem(predict, x, x[rows], background, *more)


class Ours:
    """pawl's side of a problem: a subject without a bundle, whose columns are the problem's."""

    def __init__(self, problem: Problem) -> None:
        from pawl.data.types import Column, Examples, InputSpec, Schema, TargetColumn
        from pawl.explaining.subject import Subject

        names = tuple(f"c{i}" for i in range(problem.x.shape[1]))
        spec = InputSpec(
            name="numeric", shape=(len(names),), dtype="float32", features=names,
            missing=(False,) * len(names),
        )  # fmt: skip
        schema = Schema(
            source="table", kind="regression", inputs=(spec,), targets=(TargetColumn(name="y"),),
            columns=tuple(Column(name=name, kind="numeric") for name in names),
        )  # fmt: skip

        def predict(given: Examples) -> NDArray[np.float32]:
            return problem.predict(given.inputs["numeric"].numpy()).astype(np.float32)

        self.subject, self.problem = Subject(schema, predict), problem
        self.background = {"numeric": torch.from_numpy(problem.background)}

    def _each(self, estimates: Any) -> Floats:
        return np.stack([each.values[:, 0] for each in estimates])

    def exact(self, rows: NDArray[np.float32]) -> Floats:
        """Returns Shapley values by all sets."""
        from pawl.explaining import shapley

        sets = len(self.background["numeric"]) * 2.0 ** rows.shape[1]
        step = max(1, int(2**17 // sets))
        return np.concatenate(
            [
                self._each(shapley.exact(*self._of(rows[at : at + step]), self.background))
                for at in range(0, len(rows), step)
            ]
        )

    def sampled(self, pairs: int, rows: NDArray[np.float32], seed: int = 0) -> Floats:
        """Returns Shapley values by pairs of orders."""
        from pawl.explaining import shapley

        return self._each(shapley.sampled(*self._of(rows), self.background, pairs, seed))

    def lime(self, rows: NDArray[np.float32]) -> Floats:
        """Returns the slopes of a linear model."""
        from pawl.explaining.local import lime

        samples = max(512, 64 * rows.shape[1])
        return self._each(
            lime(*self._of(row[None]), self.background, samples, 0)[0] for row in rows
        )

    def ablated(self, rows: NDArray[np.float32]) -> Floats:
        """Returns what is lost without each column."""
        from pawl.explaining.local import ablated

        return self._each(ablated(*self._of(row[None]), self.background) for row in rows)

    def _of(self, rows: NDArray[np.float32]) -> tuple[Any, Any, dict[str, torch.Tensor]]:
        return self.subject, self.subject.features, {"numeric": torch.from_numpy(rows)}


def by_row(method: Callable[..., Any]) -> Method:
    """Returns a method of rows from one of a row."""
    return lambda rows: np.stack([np.asarray(method(row)) for row in rows])


def theirs(problem: Problem) -> dict[str, Method]:
    """Returns the methods of `shap` and `lime`."""
    import shap
    from lime.lime_tabular import LimeTabularExplainer

    kernel = shap.KernelExplainer(problem.predict, problem.background)
    masker = shap.maskers.Independent(problem.background, max_samples=len(problem.background))
    permutation = shap.PermutationExplainer(problem.predict, masker, seed=0)
    sampling = shap.SamplingExplainer(problem.predict, problem.background)
    count = problem.x.shape[1]
    lime = LimeTabularExplainer(
        problem.x, mode="regression", categorical_features=list(problem.categorical),
        random_state=0, discretize_continuous=True,
    )  # fmt: skip

    def by_lime(row: NDArray[np.float32]) -> Floats:
        found = np.zeros(count)
        # Its kernel needs numbers with a point of double precision.
        told = lime.explain_instance(row.astype(np.float64), problem.predict, num_features=count)
        for place, value in told.local_exp[1]:  # of a value; at 0 is the same negated
            found[place] = value
        return found

    def by_kernel(rows: NDArray[np.float32], **more: Any) -> Floats:
        return np.asarray(kernel.shap_values(rows, silent=True, **more))

    found = {
        "shap kernel": by_kernel,
        "shap kernel, all columns": partial(by_kernel, l1_reg=0),
        "shap kernel, 512 samples": partial(by_kernel, l1_reg=0, nsamples=512),
        "shap permutation": lambda rows: permutation(rows, silent=True).values,
        "shap sampling": lambda rows: np.asarray(sampling.shap_values(rows, silent=True)),
        "lime": by_row(by_lime),
    }
    if 2**count * BACKGROUND < 2**17:
        exact = shap.ExactExplainer(problem.predict, masker)
        found["shap exact"] = lambda rows: exact(rows, silent=True).values
    return found


def by_definition(problem: Problem, row: NDArray[np.float32]) -> Floats:
    """Returns Shapley values as they are defined: the mean over all orders of columns."""
    count = len(row)
    found = np.zeros(count)
    for order in itertools.permutations(range(count)):
        mixed = problem.background.copy()
        before = problem.predict(mixed).mean()
        for column in order:
            mixed[:, column] = row[column]
            after = problem.predict(mixed).mean()
            found[column] += after - before
            before = after
    return found / math.factorial(count)


def judged(
    methods: dict[str, Method],
    rows: NDArray[np.float32],
    right: Floats,
    scale: float,
    repeats: int,
    asked: Callable[[], int] = lambda: 0,
) -> dict[str, Any]:
    """Returns each method's seconds for a row, error, rank correlation, and evaluations."""
    from pawl.explaining.agreement import rank_correlation

    seconds: dict[str, list[float]] = {name: [] for name in methods}
    values, evaluations = {}, {}
    for method in methods.values():
        method(rows[:1])  # what is made once
    for _ in range(max(1, repeats)):
        for name, method in methods.items():
            before, begun = asked(), time.process_time()
            values[name] = method(rows)
            seconds[name].append((time.process_time() - begun) / len(rows))
            evaluations[name] = (asked() - before) / len(rows)
    found = {}
    for name in methods:
        apart = np.sqrt(((values[name] - right) ** 2).mean(1)) / scale
        ranks = [rank_correlation(a, b) for a, b in zip(values[name], right, strict=False)]
        found[name] = {
            "seconds": min(seconds[name]),
            "seconds_of_rounds": seconds[name],
            "asked": evaluations[name],
            "error": float(apart.mean()),
            "worst_error": float(apart.max()),
            "ranks": float(np.median(ranks)),
        }
    return found


def on_table(name: str, seed: int, rows: int, repeats: int) -> dict[str, Any]:
    """Compares methods on a network."""
    problem = network(name, seed)
    ours, some = Ours(problem), problem.rows[:rows]
    right = ours.exact(some)
    methods = {
        "pawl exact": ours.exact,
        **{f"pawl {n} pairs": partial(ours.sampled, n * BACKGROUND) for n in (1, 2, 4, 8, 16, 32)},
        "pawl lime": ours.lime,
        "pawl ablation": ours.ablated,
        **theirs(problem),
    }
    return judged(methods, some, right, problem.scale, repeats, problem.asked)


def small(seed: int, rows: int, repeats: int) -> dict[str, Any]:
    """Compares methods where the definition itself can be computed."""
    problem = network("wine-red", seed, 4)
    ours, some = Ours(problem), problem.rows[:rows]
    right = np.stack([by_definition(problem, row) for row in some])
    methods: dict[str, Method] = {"pawl exact": ours.exact, **theirs(problem)}
    return judged(methods, some, right, problem.scale, repeats, problem.asked)


def encoded(seed: int, rows: int, repeats: int) -> dict[str, Any]:
    """Compares with explanations of encoded columns, summed by column."""
    import shap

    problem = network("adult", seed)
    assert problem.owners is not None
    assert problem.model is not None
    ours, some, owners = Ours(problem), problem.rows[:rows], problem.owners
    kernel = shap.KernelExplainer(problem.model, problem.encode(problem.background))
    right = ours.exact(some)
    of_column = np.eye(problem.x.shape[1])[owners]

    def summed(rows: NDArray[np.float32], **more: Any) -> Floats:
        each = np.asarray(kernel.shap_values(problem.encode(rows), silent=True, **more))
        return each @ of_column

    methods = {
        "pawl exact": ours.exact,
        **{f"pawl {n} pairs": partial(ours.sampled, n * BACKGROUND) for n in (1, 4, 16)},
        "shap kernel": summed,
        "shap kernel, all columns": partial(summed, l1_reg=0),
    }
    return judged(methods, some, right, problem.scale, repeats, problem.asked)


def on_trees(name: str, seed: int, rows: int, repeats: int) -> dict[str, Any]:
    """Compares Shapley values of LightGBM's trees, in raw scores."""
    import lightgbm
    import shap

    from pawl.explaining.tree_values import shapley_values
    from pawl.models import Trees
    from pawl.techniques.trees.lightgbm import trees_of

    x, target, _ = table(name)
    objective = "binary" if name == "adult" else "regression"
    parameters = {"verbosity": -1, "num_threads": 1, "seed": seed, "objective": objective}
    booster = lightgbm.train(parameters, lightgbm.Dataset(x, target), 100)
    trees = Trees(1)
    trees.grow(trees_of(booster.model_to_string(), 1), torch.zeros(1))
    problem = _problem(lambda given: np.asarray(booster.predict(given, raw_score=True)), x, seed)
    ours, owners = Ours(problem), np.arange(x.shape[1])
    many = x[np.random.default_rng(seed).permutation(len(x))[: rows * MANY]]
    few = many[: min(rows, 4)]
    right = ours.exact(few)
    tree = shap.TreeExplainer(
        booster, problem.background, feature_perturbation="interventional", model_output="raw"
    )
    background = problem.background
    methods = {
        "pawl trees": lambda each: shapley_values(trees, owners, len(owners), each, background)[
            ..., 0
        ],
        "shap tree": lambda each: tree.shap_values(each, check_additivity=False),
        "lightgbm, by the path (another game)": lambda each: np.asarray(
            booster.predict(each, pred_contrib=True)
        )[:, :-1],
    }
    found = judged(methods, few, right, problem.scale, 1)
    for some in (many[:rows], many):
        rounds = judged(methods, some, np.zeros((1, x.shape[1])), 1.0, repeats)
        for each, own in rounds.items():
            found[each]["seconds"] = own["seconds"]
            found[each].setdefault("seconds_of_many", {})[str(len(some))] = own["seconds"]
    return found


def on_images(seed: int, rows: int, repeats: int) -> dict[str, Any]:
    """Compares methods on a small convolutional net: pixels as players, and gradients."""
    import shap
    from sklearn.datasets import load_digits

    from pawl.explaining.gradients import expected_gradients, integrated_gradients

    digits = load_digits()
    x = digits.data.astype(np.float32)
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10),
    )  # fmt: skip
    pixels = torch.from_numpy(x / 16).view(-1, 1, 8, 8)
    _train(net, pixels, torch.from_numpy(digits.target), nn.functional.cross_entropy, 6)
    digit = seed % 10

    def predict(given: NDArray[Any]) -> Floats:
        with torch.no_grad():
            shown = torch.as_tensor(np.asarray(given) / 16, dtype=torch.float32).view(-1, 1, 8, 8)
            return net(shown)[:, digit].double().numpy()

    chosen = np.flatnonzero(digits.target == digit)[: (rows + 1) // 2]
    background = x[np.random.default_rng(seed).permutation(len(x))[:BACKGROUND]]
    counted = Counted(predict)
    problem = Problem(counted, x, x[chosen], background)
    ours, some = Ours(problem), problem.rows
    masker = shap.maskers.Independent(background, max_samples=BACKGROUND)
    permutation = shap.PermutationExplainer(counted, masker, seed=0)
    kernel = shap.KernelExplainer(counted, background)
    long = np.stack(
        [ours.sampled(16 * BACKGROUND, some, seed=1),
         permutation(some, max_evals=40 * 129, silent=True).values],
        axis=1,
    )  # fmt: skip
    right, scale = long.mean(1), problem.scale
    methods = {
        **{f"pawl {n} pairs": partial(ours.sampled, n * BACKGROUND) for n in (1, 2, 4)},
        "shap permutation": lambda rows: permutation(rows, silent=True).values,
        "shap kernel": lambda rows: np.asarray(kernel.shap_values(rows, silent=True)),
        "shap kernel, all columns": lambda rows: np.asarray(
            kernel.shap_values(rows, silent=True, l1_reg=0)
        ),
    }
    found = judged(methods, some, right, scale, repeats, problem.asked)
    found["reference"] = {
        "apart": float(np.sqrt(((long[:, 0] - long[:, 1]) ** 2).mean()) / scale),
        "what": "root mean square between the two long runs whose mean is taken as right",
    }

    class Named(nn.Module):
        names = ("image",)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return net(image / 16)

    others = torch.from_numpy(background).view(-1, 1, 8, 8)
    gradient = shap.GradientExplainer(Named(), others)
    deep = shap.DeepExplainer(Named(), others)
    output = np.array([digit])

    def image(row: NDArray[np.float32]) -> torch.Tensor:
        return torch.from_numpy(row).view(1, 1, 8, 8)

    def by_pawl(row: NDArray[np.float32]) -> Floats:
        given: Any = Named()
        return expected_gradients(given, {"image": image(row)}, "image", others, output)[0].ravel()

    def from_mean(row: NDArray[np.float32]) -> Floats:
        given: Any = Named()
        mean = others.mean(0)
        return integrated_gradients(given, {"image": image(row)}, "image", mean, output)[0].ravel()

    def by_deep(row: NDArray[np.float32]) -> Floats:
        return deep.shap_values(image(row), check_additivity=False)[..., digit].ravel()

    gradients = {
        "pawl expected gradients": by_row(by_pawl),
        "pawl integrated gradients": by_row(from_mean),
        "shap gradient": by_row(lambda row: gradient.shap_values(image(row))[..., digit].ravel()),
        "shap deep": by_row(by_deep),
    }
    told = judged(gradients, some, right, scale, repeats)
    base = predict(background).mean()
    for name, method in gradients.items():
        start = predict(background.mean(0)[None])[0] if name.startswith("pawl integrated") else base
        missed = np.abs(method(some).sum(1) - (predict(some) - start)) / scale
        told[name]["missed"] = float(missed.mean())
    return {**found, "gradients": told}


def faster(of_seeds: list[dict[str, Any]], by: str = "seconds") -> dict[str, Any]:
    """Returns how much less pawl takes than each method of theirs, at the same or a lower error."""
    found = {}
    names = [n for n, r in of_seeds[0].items() if r.get(by) and not n.startswith(("pawl", "light"))]
    for name in names:
        ratios, chosen, same = [], [], []
        for record in of_seeds:
            other = record[name]
            right = {
                n: r for n, r in record.items()
                if n.startswith("pawl") and r.get("error", math.inf) <= max(other["error"], 1e-5)
            }  # fmt: skip
            if right:
                best = min(right, key=lambda n: right[n][by])
                ratios.append(other[by] / right[best][by])
                chosen.append(best)
                same.append(right[best]["error"])
        found[name] = {
            "seeds": len(ratios),
            "ratio": float(np.median(ratios)) if ratios else None,
            "range": [min(ratios), max(ratios)] if ratios else None,
            "by": sorted(set(chosen)),
            "their_error": float(np.mean([r[name]["error"] for r in of_seeds])),
            "our_error": float(np.mean(same)) if same else None,
        }
    return found


def main() -> None:
    """Runs what is missing and writes the summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=PARTS, action="append", help="only these")
    parser.add_argument("--seeds", type=running.numbers, default=[0, 1, 2, 3, 4])
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--records", type=Path)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    size = (given.rows, given.repeats)
    jobs: dict[str, list[tuple[str, Callable[..., dict[str, Any]]]]] = {
        "small": [("small", small)],
        "wine-red": [("wine-red", partial(on_table, "wine-red"))],
        "adult": [("adult", partial(on_table, "adult"))],
        "encoded": [("encoded", encoded)],
        "trees": [(f"trees, {n}", partial(on_trees, n)) for n in ("wine-red", "adult")],
        "image": [("image", on_images)],
    }
    found: dict[str, Any] = {}
    for part in given.part or PARTS:
        for name, work in jobs[part]:
            of_seeds = []
            for seed in given.seeds:
                key = (name, seed, *size)
                record = running.computed(given.records, key, partial(work, seed, *size))
                of_seeds.append({k: v for k, v in record.items() if k != "key"})
                print(name, seed, json.dumps(of_seeds[-1]), flush=True)
            told = {
                "rows": given.rows, "faster": faster(of_seeds),
                "by_evaluations": faster(of_seeds, "asked"), "seeds": of_seeds,
            }  # fmt: skip
            if "gradients" in of_seeds[0]:
                told["faster_gradients"] = faster([r["gradients"] for r in of_seeds])
            found[name] = told
    if given.out:
        from importlib.metadata import version

        import lime  # noqa: F401
        import shap

        from pawl.environment import versions

        kept = {
            "versions": {**versions(), "shap": shap.__version__, "lime": version("lime")},
            "background": BACKGROUND, "seeds": given.seeds, "parts": found,
        }  # fmt: skip
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
