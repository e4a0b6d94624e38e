"""Bad input through the public face: one clear line, exit code 2 (3: a budget too short), nothing lost.

One row per case. Commands run in this process, as a process each would take minutes for imports.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import pickle
import re
import shutil
import sqlite3
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from campaigns import StopAt, StoppedError
from PIL import Image
from terminal import run_here as run

import pawl
from pawl import api
from pawl.data import archives
from pawl.deployment.bundle import FILES, MANIFEST, manifest_of
from pawl.errors import LedgerError, PawlError, TaskError
from pawl.ledger import Ledger

PHASE = r"^ +\d+:\d\d  [a-z ]+: "
ROWS = "".join(f"{row},{row % 3},{row % 2}\n" for row in range(60))
RECIPE = "[adamw]\nlearning_rate = 0.01\n[standardize]\n[batch_size]\nsize = 32\n"
MODULE = """
import numpy as np, pawl, torch
from torch import nn
generator = np.random.default_rng(0)
x = generator.normal(size=(80, 4)).astype("float32")
y = (x[:, 0] > 0).astype("int64")
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)
    def forward(self, x):
        return self.change(self.layer(x))
    def change(self, out):
        return out
codes = generator.integers(0, 12, (80, 3))
class Codes(nn.Module):
    def __init__(self):
        super().__init__()
        self.known, self.layer = nn.Embedding(12, 4), nn.Linear(4, 2)
    def forward(self, x, x_mask=None):
        if x_mask is None:
            return self.layer(self.known(x).mean(1))
        there = x_mask[..., None].float()
        return self.layer((there * self.known(x)).sum(1) / there.sum(1))
"""
MODULES = {
    "raises": "1 / 0",
    "no_task": "",
    "leaves": "raise SystemExit(0)",
    "other_shape": "task = pawl.Task(data=(x, y), model=lambda: nn.Linear(4, 3))",
    "fewer_rows": "Model.change = lambda _, out: out[:1]\ntask = pawl.Task(data=(x, y), model=Model)",
    "not_finite": "Model.change = lambda _, out: out / 0\ntask = pawl.Task(data=(x, y), model=Model)",
    "whole": "Model.change = lambda _, out: out.long()\ntask = pawl.Task(data=(x, y), model=Model)",
    "detached": "Model.change = lambda _, out: out.detach()\n"
    "task = pawl.Task(data=(x, y), model=Model)",
    "moody": "def change(self, out):\n    if self.training: raise ValueError('one\\ntwo')\n"
    "    return out\nModel.change = change\ntask = pawl.Task(data=(x, y), model=Model)",
    "instance": "task = pawl.Task(data=(x, y), model=Model())",
    "lazy": "task = pawl.Task(data=(x, y), model=lambda: nn.LazyLinear(2))",
    "loss_detached": "def loss(out, t): return nn.functional.cross_entropy(out.detach(), t)\n"
    "task = pawl.Task(data=(x, y), loss=loss)",
    "loss_nan": "def loss(out, t): return out.sum() * float('nan')\n"
    "task = pawl.Task(data=(x, y), loss=loss)",
    "metric_nan": "def metric(t, p): return float('nan')\n"
    "task = pawl.Task(data=(x, y), metric=metric, direction='maximize')",
    "metric_raises": "def metric(t, p): raise ValueError('one\\ntwo')\n"
    "task = pawl.Task(data=(x, y), metric=metric, direction='maximize')",
    "metric_number": "task = pawl.Task(data=(x, y), metric=3)",
    "no_direction": "task = pawl.Task(data=(x, y), metric=max)",
    "no_features": "task = pawl.Task(data=(x[:, :0], y))",
    "layers": "task = pawl.Task(data=(x, y), model=lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), "
    "nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)))",
    "other_in_training": "Model.change = lambda self, out: out[:, :1].repeat(1, 3) if self.training "
    "else out\ntask = pawl.Task(data=(x, y), model=Model)",
    "branches": "def change(self, out):\n    return out if out.mean() > 0 else -out\n"
    "Model.change = change\ntask = pawl.Task(data=(x, y), model=Model)",
    "codes": "task = pawl.Task(data=(codes, y), model=Codes)",
    "late_code": "codes[77, 2] = 12\ntask = pawl.Task(data=(codes, y), model=Codes)",
    "negative_code": "codes[3, 2] = -1\ntask = pawl.Task(data=(codes, y), model=Codes)",
    "no_steps": "rows = [row[: place % 4] for place, row in enumerate(codes)]\n"
    "task = pawl.Task(data=(rows, y), model=Codes)",
    "late_no_steps": "rows = [row[: 2 + place % 2] for place, row in enumerate(codes)]\n"
    "rows[70] = rows[70][:0]\ntask = pawl.Task(data=(rows, y), model=Codes)",
    "only_no_steps": "task = pawl.Task(data=([row[:0] for row in codes], y))",
}


DRAWING = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 6 4\n%%EndComments\nshowpage\n%%EOF\n"


class Code:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch pwned",)


def images(root: Path, count: int = 12) -> Path:
    for place, name in enumerate(("cat", "dog")):
        (root / name).mkdir(parents=True)
        for number in range(count):
            color = (120 * place + number,) * 3
            Image.new("RGB", (6, 4), color).save(root / name / f"{number}.png")
    return root


def huge_png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def write_archives() -> None:
    with zipfile.ZipFile("climbs.zip", "w") as packed:
        packed.writestr(zipfile.ZipInfo("../../out.png"), b"x")
    with tarfile.open("climbs.tar", "w") as packed:
        packed.addfile(tarfile.TarInfo("/etc/out.png"), io.BytesIO(b""))
    with zipfile.ZipFile("bomb.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        packed.writestr("cat/a.png", bytes(2_000_000))
    member = tarfile.TarInfo("cat/a.png")
    member.size = 9 * 2**30
    with gzip.open("bomb.tar.gz", "wb") as file:
        file.write(member.tobuf())
    name = tarfile.TarInfo("long")  # a header whose own data is the bomb
    name.type, name.size = tarfile.GNUTYPE_LONGNAME, 2**40
    with gzip.open("bomb.name.tar.gz", "wb", compresslevel=1) as file:
        file.write(name.tobuf(tarfile.GNU_FORMAT) + bytes(4_000_000))
    with gzip.open("bomb.csv.gz", "wb", compresslevel=1) as file:
        file.write(b"a,b,target\n" + b"1,2,3\n" * 500_000)
    texts = pd.Series(["x" * 9_000]).repeat(500)
    pd.DataFrame({"a": texts, "target": range(500)}).to_parquet("bomb.parquet", index=False)
    Path("junk.tar").write_bytes(b"junk" * 300)


def write_images() -> None:
    images(Path("broken"))
    Path("broken/cat/3.png").write_bytes(b"no image")
    images(Path("cut"))
    Path("cut/dog/3.png").write_bytes(Path("cut/dog/3.png").read_bytes()[:50])
    images(Path("pixels"))
    Path("pixels/cat/99.png").write_bytes(huge_png())
    shutil.rmtree(images(Path("alone")) / "dog")
    images(Path("few"), 2)
    images(Path("drawing"))
    Path("drawing/cat/3.png").write_bytes(DRAWING)
    Path("links/cat").mkdir(parents=True)
    Path("links/cat/out.png").symlink_to(Path("few/cat/1.png").resolve())
    images(Path("linked"))
    Path("linked/bird").symlink_to(Path("few/cat").resolve())


def write_all() -> None:
    texts = {
        "good.csv": f"a,b,target\n{ROWS}",
        "empty.csv": "",
        "header.csv": "a,b,target\n",
        "one.csv": "a,b,target\n" + "1,2,5\n3,4,5\n" * 30,
        "gone.csv": "a,b,target\n" + ",,\n" * 30,
        "useless.csv": "a,b,target\n" + ",7,0\n,7,1\n" * 30,
        "ragged.csv": f"a,b,target\n{ROWS}1,2\n",
        "double.csv": f"a,a,target\n{ROWS}",
        "single.csv": "a,target\n" + "1,x\n2,y\n" * 20 + "3,z\n",
        "three.csv": "a,target\n" + "1,x\n2,y\n3,z\n" * 20,
        "other-columns.csv": "q,r\n1,2\n",
        "other-class.csv": "a,b,target\n1,2,7\n",
        "one-class.csv": "a,b,target\n1,2,1\n3,4,1\n",
        "excel.xlsx": "x",
        "line.csv": "a" * 50_000,
        "columns.csv": "a," * 1_000 + "target\n" + "1," * 1_000 + "0\n",
        "r.toml": RECIPE,
        "unknown.toml": "[adamw]\n[dropot]\n",
        "setting.toml": "[adamw]\nlerning_rate = 0.1\n",
        "range.toml": "[adamw]\nlearning_rate = 100\n",
        "type.toml": "[adamw]\nlearning_rate = 'a'\n",
        "two.toml": "[adamw]\n[sgd]\n",
        "clash.toml": "[adamw]\n[balanced_sampling]\n[class_weights]\n",
        "absent.toml": "[adamw]\n[class_weights.weights]\nmaybe = 3\n",
        "idle.toml": "[adamw]\n[trivial_augment]\noperations = []\n",
        "none.toml": "",
        "cut.toml": "[adamw\n",
        "unfit.toml": "[adamw]\n[flip]\n",
        "blend.toml": "[[member]]\nshare = 0.5\n[[member]]\nshare = 0.5\n",
        "both.toml": "[adamw]\n[lightgbm]\n",
        "trees.toml": "[extra_trees]\n",
        **{f"{name}.py": MODULE + body + "\n" for name, body in MODULES.items()},
    }
    for name, text in texts.items():
        Path(name).write_text(text, encoding="utf-8")
    Path("latin.csv").write_bytes("a,b,target\n1,\xe9\0,3\n".encode("latin-1"))
    Path("latin.toml").write_bytes(b"\xff[adamw]")
    Path("model.pt").write_bytes(pickle.dumps(Code()))
    torch.save({"weights": Code()}, "weights.pt")
    layers = {0: (8, 4), 2: (8, 8), 4: (2, 8)}
    whole = {f"{n}.{each}": torch.ones(shape[:size]) for n, shape in layers.items()
             for each, size in (("weight", 2), ("bias", 1))}  # fmt: skip
    torch.save({"state_dict": whole, "epoch": Code()}, "code.pt")
    torch.save({name: x[:1] for name, x in whole.items()}, "shape.pt")
    torch.save({name: x for name, x in whole.items() if name.startswith("4.")}, "head.pt")
    torch.save({name: x / 0 for name, x in whole.items()}, "diverged.pt")
    shutil.copy("weights.pt", "weights.zip")
    shutil.copy("model.pt", "model.parquet")
    Path("taken").mkdir()
    Path("taken/notes.txt").write_text("mine")
    os.mkfifo("pipe.csv")
    write_archives()
    write_images()


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with every bad file there is; tests run in it, and must leave it as it is."""
    before = Path.cwd()
    folder = tmp_path_factory.mktemp("bad")
    os.chdir(folder)
    write_all()
    yield folder
    os.chdir(before)


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An archive bomb need not be large to be one; and no case is to trip over another's folder."""
    monkeypatch.setenv("PAWL_MEMORY", "1MB")
    monkeypatch.setattr(archives, "_SLACK", 0)
    monkeypatch.setattr("pawl.pacing.sizes._STEPS", 20)
    yield
    shutil.rmtree("out", ignore_errors=True)


def state() -> dict[str, tuple[int, int]]:
    """All files with size and time of change."""
    files = [path for path in Path().rglob("*") if path.is_file()]
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in files
        if path.name != ".lock" and "__pycache__" not in path.parts
    }


def check_refused(
    capfd: pytest.CaptureFixture[str],
    arguments: tuple[object, ...],
    words: tuple[str, ...],
    code: int,
) -> None:
    before = state()
    got, out, error = run(capfd, *arguments)
    assert "Traceback" not in out + error
    lines = [line for line in error.splitlines() if not re.match(PHASE, line)]
    assert (got, len(lines), out) == (code, 1, ""), error
    assert lines[0].startswith("pawl: ")
    for word in words:
        assert word in lines[0]
    assert state() == before
    assert not Path("pwned").exists()


def optimize(source: str, *more: object) -> tuple[object, ...]:
    return ("optimize", source, "--trials", 1, "--out", "out", *more)


def train(source: str, recipe: str = "r.toml") -> tuple[object, ...]:
    return ("train", source, "--recipe", recipe, "--out", "out")


def start(source: str, weights: str) -> tuple[object, ...]:
    return (*train(source), "--weights", weights)


def compare(source: str, *more: object) -> tuple[object, ...]:
    return ("compare", source, "r.toml", "r.toml", *more)


CASES: dict[str, tuple[tuple[object, ...], tuple[str, ...]]] = {
    # Files and tables.
    "missing file": (optimize("goood.csv"), ("no file", "did you mean 'good.csv'")),
    "empty path": (optimize(""), ("empty path", ".csv")),
    "empty file": (optimize("empty.csv"), ("empty.csv is empty", "a header and rows")),
    "header only": (optimize("header.csv"), ("no rows", "add rows")),
    "pipe": (optimize("pipe.csv"), ("pipe",)),
    "unknown extension": (optimize("excel.xlsx"), ("'.xlsx'", "allowed are a table (.csv")),
    "unknown target": (optimize("good.csv", "--target", "targt"), ("did you mean 'target'",)),
    "one class": (optimize("one.csv"), ("always '5'", "two different values")),
    "all rows missing": (optimize("gone.csv"), ("no row has a target",)),
    "no column left": (optimize("useless.csv"), ("no feature column is left", "add columns")),
    "not UTF-8": (optimize("latin.csv"), ("latin.csv", "not UTF-8 at byte 13", "iconv")),
    "not of the encoding": (
        optimize("good.csv", "--encoding", "utf-16"),
        ("good.csv", "not UTF-16", "name its encoding"),
    ),
    "another separator": (optimize("good.csv", "--separator", ";;"), ("';;'", "one character")),
    "separator and decimal mark": (
        optimize("good.csv", "--separator", ";", "--decimal", ";"),
        ("';'", "decimal"),
    ),
    "column to ignore": (optimize("good.csv", "--ignore", "bb"), ("'bb'", "it has a, b, target")),
    "type of a column": (
        optimize("good.csv", "--types", "a=number"),
        ("'number'", "numeric, boolean, date, categorical"),
    ),
    "positive class": (optimize("good.csv", "--positive", "2"), ("'2'", "'0', '1'")),
    "options of tables for images": (optimize("digits", "--decimal", ","), ("for tables",)),
    "more coverage than rows": (
        optimize("good.csv", "--coverage", "0.99"),
        ("--coverage", "at least 99"),
    ),
    "ragged rows": (optimize("ragged.csv"), ("line 62", "got 2", "3 are allowed")),
    "double names": (optimize("double.csv"), ("several columns called 'a'", "rename")),
    "a class with one row": (
        optimize("single.csv"),
        ("'z'", "1 development row", "at least 5", "rare"),
    ),
    "test lacks the target": (
        optimize("good.csv", "--test", "other-columns.csv"),
        ("test rows", "no target 'target'"),
    ),
    "test has another class": (
        optimize("good.csv", "--test", "other-class.csv"),
        ("'7'", "'0', '1'"),
    ),
    "test of one class": (
        optimize("good.csv", "--test", "one-class.csv"),
        ("roc_auc", "2 test rows", "all of class '1'"),
    ),
    "table bomb": (optimize("bomb.csv.gz"), ("bomb.csv.gz needs", "of memory", "PAWL_MEMORY")),
    # Images and archives.
    "broken image": (optimize("broken"), ("'cat/3.png'", "replace or remove")),
    "cut image": (optimize("cut"), ("'dog/3.png'", "replace or remove")),
    "too many pixels": (optimize("pixels"), ("'cat/99.png'", "too many pixels")),
    "one class of images": (optimize("alone"), ("always 'cat'",)),
    "few images": (optimize("few"), ("got 4 row(s)", "at least 20")),
    "zip that climbs": (optimize("climbs.zip"), ("'../../out.png'", "leads out")),
    "tar that climbs": (optimize("climbs.tar"), ("'/etc/out.png'", "leads out")),
    "zip bomb": (optimize("bomb.zip"), ("bomb.zip unpacks to more",)),
    "tar bomb": (optimize("bomb.tar.gz"), ("bomb.tar.gz unpacks to more",)),
    "bomb in a header": (optimize("bomb.name.tar.gz"), ("unpacks to more",)),
    "no archive": (optimize("junk.tar"), ("junk.tar cannot be read as an archive",)),
    # Settings.
    "unknown metric": (optimize("good.csv", "--metric", "roc_auk"), ("did you mean 'roc_auc'",)),
    "metric of another kind": (optimize("good.csv", "--metric", "rmse"), ("rmse", "accuracy")),
    "names come before data": (optimize("empty.csv", "--metric", "auk"), ("unknown metric",)),
    "device comes before data": (
        optimize("empty.csv", "--device", "tpu"),
        ("--device tpu", "'cpu'"),
    ),
    "out comes before data": (
        ("optimize", "empty.csv", "--trials", 1, "--out", "taken"),
        ("'taken' is not empty", "notes.txt"),
    ),
    "unknown kind": (optimize("good.csv", "--kind", "binry"), ("did you mean 'binary'",)),
    "kind that does not fit": (optimize("three.csv", "--kind", "binary"), ("3 classes",)),
    "no time": (("optimize", "good.csv", "--budget", "soon"), ("'soon'", "90s, 10m or 1h30m")),
    "negative time": (("optimize", "good.csv", "--budget", "-5s"), ("'-5s'", "90s")),
    "seed too large": (optimize("good.csv", "--seed", 2**64), ("2**63",)),
    "negative seed": (optimize("good.csv", "--seed", -1), ("seed -1", "from 0")),
    "out is a file": (
        ("optimize", "good.csv", "--trials", 1, "--out", "good.csv"),
        ("cannot write to 'good.csv'", "--out"),
    ),
    "unknown family": (
        optimize("good.csv", "--families", "nets,forests"),
        ("'forests'", "nets, boosting, linear, neighbors, trees"),
    ),
    "families that leave nothing": (
        optimize("digits", "--families", "trees"),
        ("none of them fits", "they take tables", "give nets as well"),
    ),
    "unknown ensemble": (
        optimize("good.csv", "--ensemble", "stack"),
        ("--ensemble stack", "'greedy'", "'none'"),
    ),
    # Usage.
    "unknown command": (("optimise",), ("optimise", "optimize", "-h")),
    "unknown option": (optimize("good.csv", "--metrc", "f1"), ("--metrc", "--metric")),
    "number of trials": (("optimize", "good.csv", "--trials", "many"), ("--trials", "'many'")),
    "no recipe": (("train", "good.csv"), ("--recipe", "pawl train -h")),
    "too few pairs": (compare("good.csv", "--pairs", 3), ("got --pairs 3", "from 5 to 20")),
    "compare nothing": (compare("nowhere.csv"), ("no file",)),
    # Recipes.
    "unknown technique": (train("good.csv", "unknown.toml"), ("did you mean 'dropout'",)),
    "unknown setting": (train("good.csv", "setting.toml"), ("did you mean 'learning_rate'",)),
    "setting out of range": (train("good.csv", "range.toml"), ("got 100", "0.05")),
    "setting of another type": (train("good.csv", "type.toml"), ("got 'a'", "number")),
    "two optimizers": (train("good.csv", "two.toml"), ("at most one optimizer", "keep one")),
    "two that balance": (train("good.csv", "clash.toml"), ("balanced_sampling", "keep one")),
    "weight of a class that is not there": (
        train("good.csv", "absent.toml"),
        ("got a weight of class 'maybe'", "classes are 0, 1"),
    ),
    "policy of no operations": (
        train("good.csv", "idle.toml"),
        ("got []", "at least one operation", "rotate"),
    ),
    "grid of too many points": (
        optimize("good.csv", "--search", "grid", "--only", "adamw,dropout,ema,width,depth,noise"),
        ("points", "at most 10,000 are allowed"),
    ),
    "no optimizer": (train("good.csv", "none.toml"), ("exactly one optimizer",)),
    "recipe that is cut": (train("good.csv", "cut.toml"), ("not TOML", "line 1")),
    "recipe not UTF-8": (train("good.csv", "latin.toml"), ("not UTF-8",)),
    "recipe is not there": (train("good.csv", "no.toml"), ("'no.toml'", "No such file")),
    "recipe of a blend": (train("good.csv", "blend.toml"), ("the 2 recipes of a blend",)),
    "learner with an optimizer": (train("good.csv", "both.toml"), ("'lightgbm'", "keep one")),
    "learner that does not fit": (train("digits", "trees.toml"), ("extra_trees", "axes")),
    "recipe that does not fit": (train("good.csv", "unfit.toml"), ("flip", "does not fit")),
    # Modules.
    "module raises": (optimize("raises.py"), ("raises.py, line", "ZeroDivisionError")),
    "module without task": (optimize("no_task.py"), ("no 'task'",)),
    "module leaves": (optimize("leaves.py"), ("SystemExit",)),
    "module is not there": (optimize("nowhere.py"), ("no file", "nowhere.py")),
    "output of another shape": (optimize("other_shape.py"), ("[4, 3]", "[B, 2]")),
    "output with fewer rows": (optimize("fewer_rows.py"), ("1 row(s) for 4",)),
    "output not finite": (optimize("not_finite.py"), ("not finite", "initialization")),
    "output of whole numbers": (optimize("whole.py"), ("torch.int64", "float32")),
    "output detached": (optimize("detached.py"), ("nothing could be learned",)),
    "model raises in training": (optimize("moody.py"), ("ValueError", ": one", "training mode")),
    "model is an instance": (optimize("instance.py"), ("is a Model", "builds a fresh one")),
    "lazy layers": (optimize("lazy.py"), ("lazy layers", "model(spec)")),
    "loss detached": (optimize("loss_detached.py"), ("the loss loss", "nothing could be learned")),
    "loss not finite": (optimize("loss_nan.py"), ("the loss loss is nan",)),
    "metric not a number": (optimize("metric_nan.py"), ("'metric' is nan", "16 test rows")),
    "metric raises": (optimize("metric_raises.py"), ("metric metric raised ValueError: one;",)),
    "metric is no function": (optimize("metric_number.py"), ("metric 3", "roc_auc")),
    "metric without direction": (optimize("no_direction.py"), ("direction='maximize'",)),
    "arrays without features": (optimize("no_features.py"), ("hold no value",)),
    # Pickles, which are never read.
    "pickle as data": (optimize("model.pt"), ("'.pt'", "allowed are a table")),
    "checkpoint as archive": (optimize("weights.zip"), ("no images",)),
    "pickle as Parquet": (optimize("model.parquet"), ("cannot be read as Parquet",)),
    "pickle as bundle": (
        ("predict", "weights.pt", "good.csv", "--out", "p.csv"),
        ("not a bundle",),
    ),
    # Weights to start from.
    "weights of another shape": (
        start("layers.py", "shape.pt"),
        ("0.weight ([1, 4], not [8, 4])",),
    ),
    "weights of the head alone": (start("layers.py", "head.pt"), ("only its last layer is known",)),
    "weights with code": (start("layers.py", "code.pt"), ("nothing of it was run", "system")),
    "pickle as weights": (start("layers.py", "model.pt"), ("nothing of it was run",)),
    "weights not finite": (start("layers.py", "diverged.pt"), ("not finite in '0.weight'",)),
    "weights that are not there": (start("layers.py", "no.pt"), ("no weights at 'no.pt'",)),
    "weights without a model": (start("good.csv", "shape.pt"), ("without a model", "module.py")),
    # Steps, codes, and what forward goes by.
    "code that no embedding knows": (train("late_code.py"), ("code 12", "0 to 11", "more rows")),
    "negative code": (train("negative_code.py"), ("code -1", "0 to 11")),
    "rows without steps": (train("no_steps.py"), ("are empty", "clamp(min=1)")),
    "one row without steps": (train("late_no_steps.py"), ("are empty", "clamp(min=1)")),
    "no row with steps": (train("only_no_steps.py"), ("hold no value",)),
    "other outputs in training": (train("other_in_training.py"), ("[32, 3]", "[B, 2]")),
    "forward that goes by values": (
        train("branches.py"),
        ("depends on the values of its data", "branches.py, line", "no branches on values"),
    ),
    # Folders of campaigns.
    "no campaign to resume": (("optimize", "--resume", "few"), ("'few' holds no campaign",)),
    "no campaign to report": (("report", "few"), ("no finished campaign",)),
    "EPS in a PNG's name": (optimize("drawing"), ("'cat/3.png'", "none of PNG, JPEG")),
    "link out of a folder of images": (optimize("links"), ("'cat/out.png'", "leads out")),
    "linked class": (optimize("linked"), ("'bird'", "leads out")),
    "table of one line": (optimize("line.csv"), ("line.csv is a single line of 50,000 bytes",)),
    "table of too many columns": (optimize("columns.csv"), ("columns.csv needs", "PAWL_MEMORY")),
    "Parquet bomb": (optimize("bomb.parquet"), ("bomb.parquet needs", "PAWL_MEMORY")),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_one_line_and_loses_nothing(
    case: str, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments, words = CASES[case]
    check_refused(capfd, arguments, words, 2)


def test_a_budget_too_short_to_train_once_ends_with_three_and_leaves_the_folder_free(
    capfd: pytest.CaptureFixture[str],
) -> None:
    short = ("optimize", "good.csv", "--budget", "0.5s", "--out", "out")
    for _ in range(2):  # the folder may be used again
        check_refused(capfd, short, ("too short", "--budget"), 3)


@pytest.fixture(scope="module")
def started(place: Path) -> Path:
    """The folder of a campaign that was stopped after its search."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pawl.pacing.sizes._STEPS", 20)
        with pytest.raises(StoppedError):
            api.optimize("good.csv", trials=2, seed=3, out="started", listener=StopAt("screen"))
    return Path("started")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"trials": 5}, ("with the trials 2", "got 5")),
        ({"budget": "10m"}, ("without a budget", "got 600")),
        ({"seed": 4}, ("with the seed 3", "got 4")),
        ({"device": "cuda"}, ("with the device 'auto'", "got 'cuda'")),
        ({"metric": "accuracy"}, ("without a metric", "got 'accuracy'")),
        ({"target": "b"}, ("without a target", "got 'b'")),
        ({"kind": "binary"}, ("without a kind", "got 'binary'")),
        ({"out": "elsewhere"}, ("with the out", "elsewhere")),
        ({"source": "three.csv"}, ("data is not what the campaign",)),
    ],
)
def test_what_is_given_beside_a_resumed_campaign_must_be_the_same(
    started: Path, given: dict[str, Any], words: tuple[str, ...]
) -> None:
    before = state()
    with pytest.raises(LedgerError) as caught:
        api.optimize(given.pop("source", None), resume=started, **given)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)
    assert state() == before


def test_the_same_settings_beside_a_resumed_campaign_are_accepted(started: Path) -> None:
    with pytest.raises(StoppedError):
        api.optimize(
            "good.csv", resume=started, trials=2, seed=3, device="auto", out=started,
            listener=StopAt("screen"),
        )  # fmt: skip


def test_a_folder_with_another_campaign_is_left_alone(
    started: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ("holds a campaign already", "--resume", "another --out")
    check_refused(capfd, ("optimize", "three.csv", "--trials", 1, "--out", started), words, 2)


def drop(path: str) -> str:
    return f"json_remove(record, '$.{path}')"


@pytest.mark.parametrize(
    "change",
    [
        f"UPDATE trials SET record = {drop('role')}",
        "UPDATE trials SET record = json_set(record, '$.more', 1)",
        "UPDATE trials SET record = 'x'",
        "UPDATE units SET payload = '{'",
        "DELETE FROM campaign",
        "DROP TABLE decisions",
        "ALTER TABLE units RENAME COLUMN seconds TO spent",
        "UPDATE campaign SET value = json_remove(value, '$.fingerprint')",
        "PRAGMA user_version = 7",
    ],
)
def test_a_ledger_of_another_shape_is_told(
    started: Path, tmp_path: Path, change: str, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(started, tmp_path / "older"))
    db = sqlite3.connect(folder / "ledger.sqlite")
    db.execute(change)
    db.commit()
    db.close()
    check_refused(capfd, ("optimize", "--resume", folder), ("another version of pawl",), 2)


def test_a_damaged_ledger_is_told(
    started: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(started, tmp_path / "damaged"))
    content = bytearray((folder / "ledger.sqlite").read_bytes())
    content[4096:] = np.random.default_rng(0).bytes(len(content) - 4096)
    (folder / "ledger.sqlite").write_bytes(content)
    check_refused(capfd, ("optimize", "--resume", folder), ("damaged",), 2)


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[]", b'{"schema": 1}'])
def test_a_damaged_summary_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "summary.json").write_bytes(content)
    with pytest.raises(LedgerError, match="damaged or of another version") as caught:
        pawl.load(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"trials": 1.5}, "trials=1.5"),
        ({"trials": "3"}, "trials='3'"),
        ({"budget": [3]}, r"budget \[3\]"),
        ({"budget": float("nan")}, "budget nan"),
        ({"seed": "a"}, "seed='a'"),
        ({"seed": 1.5}, "seed=1.5"),
        ({"metric": 3}, "metric 3"),
        ({"target": 2}, "no target '2'"),
        ({"kind": 3}, "kind=3"),
        ({"average": 0}, "average=0"),
        ({"average": 11}, "average=11.* a whole number from 1 to 10"),
        ({"coverage": 1.0}, "coverage=1.0; give a number from 0.5 to 0.999"),
        ({"coverage": "most"}, "coverage='most'; give a number from 0.5 to 0.999"),
        ({"deliver": "best"}, "deliver='best'"),
    ],
)
def test_settings_of_other_types_are_told(given: dict[str, Any], words: str) -> None:
    before = state()
    settings = {"out": "out"} | ({"trials": 1} if "budget" not in given else {}) | given
    with pytest.raises(PawlError, match=words):
        api.optimize("good.csv", **settings)
    assert state() == before


@pytest.mark.parametrize("error", ["RuntimeError('too many\\nrows')", "MemoryError()"])
def test_trials_that_raise_or_run_out_of_memory_are_outcomes_with_reasons(
    error: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Batches of 64 rows or more raise, which the check at the start does not see."""
    body = f"""
    if self.training and len(out) >= 64: raise {error}
    return out
Model.change = change
task = pawl.Task(data=(x.repeat(16, 0), y.repeat(16)), model=Model)
"""
    (tmp_path / "picky.py").write_text(f"{MODULE}def change(self, out):{body}")
    out = tmp_path / "out"
    code, _, told = run(capfd, "optimize", tmp_path / "picky.py", "--trials", 2, "--out", out)
    reason = "out of memory" if "Memory" in error else "RuntimeError: too many"
    last = told.splitlines()[-1]
    assert code == 2, told
    assert last.startswith(f"pawl: no final model could be trained ({reason})")
    assert "Traceback" not in told
    with Ledger.open(out) as ledger:
        trials = ledger.trials("search")
    assert len(trials) == 2
    assert {(trial.status, trial.reason) for trial in trials} == {("failed", reason)}


def test_what_a_module_prints_does_not_end_up_in_the_result(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "loud.py").write_text(
        MODULE + "print('hello')\nModel.change = lambda _, out: print('step') or out\n"
        "task = pawl.Task(data=(x, y), model=Model)\n"
    )
    loud = ("compare", tmp_path / "loud.py", "r.toml", "r.toml", "--pairs", 5, "--json")
    code, out, error = run(capfd, *loud)
    assert code == 0, error
    assert json.loads(out)["n"] == 5
    assert {"hello", "step"} <= set(error.splitlines())


@pytest.fixture(scope="module")
def bundle(place: Path) -> Path:
    """Trained on a table with 5,000 categories, a constant, infinite values and an empty column."""
    rows = 10_200
    generator = np.random.default_rng(0)
    x = generator.normal(size=rows)
    table = pd.DataFrame(
        {
            "x": np.where(np.arange(rows) % 100 == 7, np.inf, x),
            "city": [f"c{row % 5000}" for row in range(rows)],
            "same": 1,
            "nothing": "",
            "color": generator.choice(["red", "green", "blue"], rows),
            "target": np.where(x > 0, "yes", "no"),
        }
    )
    table.to_csv("odd.csv", index=False)
    Path("wide.toml").write_text(RECIPE.replace("32", "512"))
    from pawl.recipe import Recipe

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pawl.pacing.sizes._STEPS", 20)
        result = pawl.train("odd.csv", Recipe.read("wide.toml"), out="odd")
    assert result.value > 0.8
    return Path("odd/bundle")


def predictions(
    capfd: pytest.CaptureFixture[str], bundle: Path, rows: str, out: Path
) -> tuple[pd.DataFrame, str]:
    (out / "rows.csv").write_text(rows)
    code, said, error = run(capfd, "predict", bundle, out / "rows.csv", "--out", out / "p.csv")
    assert (code, error) == (0, "")
    return pd.read_csv(out / "p.csv"), said


def test_odd_tables_train_and_what_no_model_can_take_is_named_and_counts_as_missing(
    bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    got, said = predictions(
        capfd,
        bundle,
        "x,city,color,same\n1,c3,red,5\n1,nowhere,pink,\n1,,,\n-inf,c3,red,1\ntall,,,\n",
        tmp_path,
    )
    assert list(got.columns) == ["prediction", "p_no", "p_yes"]
    assert got[["p_no", "p_yes"]].sum(axis=1).tolist() == pytest.approx([1] * 5, abs=1e-5)
    assert got.loc[1].equals(got.loc[2])
    notes = said.splitlines()[1:]
    assert notes == [
        "note: column 'x': 2 of 5 cells are no finite number and count as missing; the first is "
        "'-inf' in row 4",
        "note: column 'color': 1 of 5 cells are no category of the model and count as unknown; the "
        "first is 'pink' in row 2",
    ]


def test_a_prediction_file_that_lacks_a_column_or_would_be_overwritten(
    bundle: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    check_refused(
        capfd, ("predict", bundle, "good.csv", "--out", "p.csv"), ("no column 'x'", "a, b"), 2
    )
    for out, word in (("odd.csv", "is the data itself"), ("no/p.csv", "no folder 'no'")):
        check_refused(capfd, ("predict", bundle, "odd.csv", "--out", out), (word,), 2)
    check_refused(capfd, ("predict", bundle, "few", "--out", "p.csv"), ("images", "table"), 2)


def damaged(bundle: Path, folder: Path, change: Callable[[Path], None]) -> Path:
    copy = Path(shutil.copytree(bundle, folder / "copy"))
    change(copy)
    return copy


def flip(copy: Path) -> None:
    content = bytearray((copy / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (copy / "model.onnx").write_bytes(content)


def put_pickle(copy: Path) -> None:
    """A pickle in place of the weights, under a digest that fits."""
    shutil.copy("weights.pt", copy / "model.safetensors")
    content = {name: (copy / name).read_bytes() for name in FILES}
    (copy / MANIFEST).write_bytes(manifest_of(content))
    digest = hashlib.sha256(content["model.safetensors"]).hexdigest()
    assert digest in (copy / MANIFEST).read_text()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (flip, ("model.onnx", "has changed")),
        (put_pickle, ("model.safetensors", "no plain weights", "nothing of it was run")),
        (lambda copy: (copy / "task.json").unlink(), ("lacks task.json",)),
    ],
)
def test_a_bundle_that_is_not_as_it_was_written_is_refused(
    bundle: Path,
    tmp_path: Path,
    change: Callable[[Path], None],
    words: tuple[str, ...],
    capfd: pytest.CaptureFixture[str],
) -> None:
    copy = damaged(bundle, tmp_path, change)
    check_refused(capfd, ("predict", copy, "odd.csv", "--out", "p.csv"), words, 2)


def test_rows_that_a_model_cannot_predict_are_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out, rows, file = tmp_path / "out", tmp_path / "rows.npz", tmp_path / "p.csv"
    (tmp_path / "bare.toml").write_text(RECIPE.replace("[standardize]\n", ""))
    more = ("--recipe", tmp_path / "bare.toml", "--epochs", 1, "--out")
    assert run(capfd, "train", "codes.py", *more, out)[0] == 0
    for codes, words in (
        ([[1, 12, 3]], ("code 12", "0 to 11")),
        ([[1, 2, -1]], ("code -1", "0 to 11")),  # a graph would take it for the last one
        (np.zeros((0, 3), int), ("got no rows",)),
    ):
        np.savez(rows, np.asarray(codes))
        check_refused(capfd, ("predict", out, rows, "--out", file), words, 2)
    assert run(capfd, "train", "layers.py", *more, tmp_path / "floats")[0] == 0
    np.savez(rows, np.full((3, 4), [[1.0], [np.nan], [2.0]], np.float32))
    code, told, _ = run(capfd, "predict", tmp_path / "floats", rows, "--out", file)
    assert code == 0
    assert "note: 1 of 3 predictions are not finite" in " ".join(told.split())


def test_images_of_several_sizes_and_modes_train_and_predict(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = images(tmp_path / "pets", 12)
    odd = [((9, 9), "L", 40), ((3, 20), "RGBA", (9, 9, 9, 9)), ((50, 5), "1", 1), ((6, 4), "P", 3)]
    for place, (size, mode, color) in enumerate(odd):
        Image.new(mode, size, color).save(root / "cat" / f"odd{place}.png")
    from pawl.recipe import Recipe

    result = pawl.train(root, Recipe.read("r.toml"), out=tmp_path / "out")
    code, _, error = run(
        capfd, "predict", result.folder, root, "--out", tmp_path / "predictions.csv"
    )
    assert (code, error) == (0, "")
    got = pd.read_csv(tmp_path / "predictions.csv")
    assert list(got.columns) == ["file", "prediction", "p_cat", "p_dog"]
    assert sorted(got["file"]) == sorted(
        path.relative_to(root).as_posix() for path in root.rglob("*.png")
    )


def test_a_metric_that_never_is_a_number_is_told_from_python() -> None:
    def metric(targets: np.ndarray, predicted: np.ndarray) -> float:
        return float("nan")

    data = np.arange(80.0)[:, None], np.arange(80) % 2
    with pytest.raises(TaskError, match="'metric' is nan"):
        api.optimize(pawl.Task(data=data, metric=metric, direction="minimize"), trials=1, out="out")
