"""Networks as people write them, changed by a recipe: trained, bundled, predicting, loaded again.

By the real command line, for each architecture technique; what a network refuses is refused in one line.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from problems import frame, images, plain, problem_of, words
from terminal import run_here as run
from user_nets import NETS
from user_nets_of_images import NETS as MORE_NETS
from user_nets_of_sequences import ROWS, TABLES, TOKENS

from pawl import load_safetensors
from pawl.deployment import Bundle
from pawl.task import Task
from pawl.techniques import Facts, ModelTechnique, refusal, technique, techniques

EVERY = {**NETS, **MORE_NETS, **ROWS, **TOKENS, **TABLES}
SHOWN = ("vgg", "lambda_resnet", "own_norms", "stock_vit", "tcn", "gru_attention", "gpt", "tabular")
OFTEN = {("lambda_resnet", "squeeze_excite"), ("gpt", "blocks")}
"""Tried each time; all others by `-m slow`."""
TECHNIQUES = [
    each.name
    for each in techniques()
    if isinstance(each, ModelTechnique) and each.family != "transfer"
]
SETTINGS = {"activation": {"function": "mish"}}
PAIRS = [
    pytest.param(net, name, marks=[] if (net, name) in OFTEN else pytest.mark.slow)
    for net in SHOWN
    for name in TECHNIQUES
]
MODULE = """
import pawl
import user_nets, user_nets_of_images, user_nets_of_sequences as sequences
from problems import frame, images, words
every = {{**user_nets.NETS, **user_nets_of_images.NETS, **sequences.ROWS, **sequences.TOKENS,
         **sequences.TABLES}}
task = pawl.Task(data={data}(), model=every[{net!r}])
"""


def data_of(net: str) -> Any:
    return words() if net in TOKENS else frame() if net in TABLES else images()


@functools.cache
def facts_of(net: str) -> Facts:
    return problem_of(Task(data=data_of(net), model=EVERY[net])).facts()


def files_of(net: str, name: str, folder: Path) -> tuple[Path, Path, Path]:
    """Writes the module with the task, the recipe, and rows without targets."""
    module, recipe = folder / "module.py", folder / "recipe.toml"
    data = "words" if net in TOKENS else "frame" if net in TABLES else "images"
    module.write_text(MODULE.format(data=data, net=net))
    made = plain().without("standardize") if net in TOKENS else plain()
    recipe.write_text(made.with_(name, **SETTINGS.get(name, {})).to_toml())
    if net in TABLES:
        rows = folder / "rows.csv"
        frame().drop(columns="target").to_csv(rows, index=False)
    else:
        rows = folder / "rows.npz"
        np.savez(rows, data_of(net)[0])
    return module, recipe, rows


@pytest.mark.filterwarnings("ignore")  # as the command line does
@pytest.mark.parametrize(("net", "name"), PAIRS)
def test_an_edited_network_goes_the_whole_way(
    net: str, name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    reason = refusal(technique(name), facts_of(net))
    module, recipe, rows = files_of(net, name, tmp_path)
    out, file, exported = (tmp_path / each for each in ("out", "predictions.csv", "exported"))
    given = ("train", module, "--recipe", recipe, "--epochs", 1, "--out", out, "--json")
    code, told, said = run(capfd, *given)
    if reason is not None:
        (line,) = [each for each in said.splitlines() if each.startswith("pawl: ")]
        assert (code, told) == (2, "")
        assert f"{name!r} does not fit this task: {reason}" in line
        assert not out.exists()
        return
    assert code == 0, said
    assert np.isfinite(json.loads(told)["value"])

    code, _, said = run(capfd, "predict", out, rows, "--out", file)
    assert code == 0, said
    predicted = pd.read_csv(file).filter(regex="^p_").to_numpy()
    assert len(predicted) == len(data_of(net)[0] if net not in TABLES else frame())
    np.testing.assert_allclose(predicted.sum(1), 1.0, atol=1e-5)
    assert predicted.std(0).max() > 0.0

    given = ("export", out, "--to", "safetensors", "--model", module, "--out", exported)
    code, _, said = run(capfd, *given)
    assert code == 0, said
    loaded, examples = load_safetensors(exported, EVERY[net]), Bundle.open(out).read(str(rows))
    with torch.no_grad():
        again = loaded(*(examples.inputs[each] for each in loaded.names))
    if again.shape[1:] == predicted.shape[1:]:
        np.testing.assert_allclose(again.numpy(), predicted, atol=1e-4)
    again = problem_of(Task(data=data_of(net), model=EVERY[net], weights=out))
    assert "100.0% of the body loaded" in again.notes[0]
