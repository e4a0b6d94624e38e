"""Tasks in the user's own modules."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pawl.data import load_module_task, resolve_task
from pawl.errors import TaskError
from pawl.task import Task

HEADER = "from pawl.task import Task\n"


def test_a_task_and_a_function_that_returns_one(write):
    path = write(
        HEADER + "task = Task(data='digits', name='mine')\ndef other():\n    return task\n",
        "my.py",
    )
    assert load_module_task(str(path)).name == "mine"
    assert load_module_task(f"{path}:other").name == "mine"
    assert load_module_task(f"{path}:").name == "mine"


def test_the_modules_folder_is_importable_while_it_is_imported(write, tmp_path):
    write("NAME = 'helped'\n", "a_helper_of_mine.py")
    path = write(
        HEADER + "from a_helper_of_mine import NAME\ntask = Task(data='digits', name=NAME)\n",
        "my.py",
    )
    try:
        assert load_module_task(str(path)).name == "helped"
    finally:
        sys.modules.pop("a_helper_of_mine", None)
    assert str(tmp_path) not in sys.path
    assert "my" not in sys.modules


def test_a_module_in_a_package_imports_from_it(tmp_path):
    inner = tmp_path / "outer_of_mine" / "inner"
    inner.mkdir(parents=True)
    for folder in (inner, inner.parent):
        (folder / "__init__.py").write_text("")
    (inner.parent / "names.py").write_text("FIRST = 'first'\n")
    (inner / "names.py").write_text("from ..names import FIRST\nNAME = FIRST + ' and second'\n")
    text = HEADER + "from .names import NAME\ndef task():\n    from ..names import FIRST\n"
    (inner / "my.py").write_text(text + "    return Task(data='digits', name=f'{NAME}, {FIRST}')\n")
    before = list(sys.path)
    try:
        for _ in range(2):
            assert load_module_task(str(inner / "my.py")).name == "first and second, first"
    finally:
        for name in [name for name in sys.modules if name.startswith("outer_of_mine")]:
            del sys.modules[name]
    assert sys.path == before


def test_relative_paths_are_the_modules(write, tmp_path):
    text = (
        HEADER + "from pathlib import Path\n"
        "task = Task(data='x.csv', test=Path('sub/y.csv'))\n"
        "sample = Task(data='digits')\nabsolute = Task(data='/x.csv')\n"
    )
    path = write(text, "my.py")
    task = load_module_task(str(path))
    assert task.data == str(tmp_path / "x.csv")
    assert task.test == tmp_path / "sub" / "y.csv"
    assert load_module_task(f"{path}:sample").data == "digits"
    assert Path(load_module_task(f"{path}:absolute").data) == Path("/x.csv")


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("tusk = 1\n", "task", "my.py has no 'task' (did you mean 'tusk'?)"),
        ("task = {}\n", "task", "'task' in my.py is of type dict; allowed is a pawl.Task"),
        ("def task():\n    return 3\n", "task", "'task' in my.py is of type int"),
        ("x = 1\nimport nowhere_to_be_found\n", "task", "my.py, line 2: ModuleNotFoundError: No"),
        ("x = 1\n\ndef f():\n    1 / 0\nf()\n", "task", "my.py, line 4: ZeroDivisionError"),
        ("x = (\n", "task", "my.py, line 1: SyntaxError"),
        ("raise SystemExit(3)\n", "task", "my.py, line 1: SystemExit: 3"),
        ("raise ValueError('a\\nb')\n", "task", "my.py, line 1: ValueError: a b; correct"),
        ("def task():\n    1 / 0\n", "task", "line 2: ZeroDivisionError: division by zero, when"),
        ("def task(a):\n    return a\n", "task", "TypeError"),
    ],
)
def test_bad_modules(write, text, name, message):
    path = write(text, "my.py")
    with pytest.raises(TaskError) as caught:
        load_module_task(f"{path}:{name}")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_module(tmp_path):
    with pytest.raises(TaskError, match=r"there is no file .*absent\.py"):
        load_module_task(str(tmp_path / "absent.py"))
    with pytest.raises(TaskError, match=r"allowed is module\.py or module\.py:name"):
        load_module_task("table.csv")


def test_resolve_task(write):
    path = write(HEADER + "task = Task(data='digits', name='mine', kind='binary')\n", "my.py")
    task = resolve_task(str(path), name="other", kind=None)
    assert (task.name, task.kind) == ("other", "binary")
    assert resolve_task(path).name == "mine"
    assert resolve_task(f"{path}:task", target="t").target == "t"
    assert resolve_task(task, name=None) == task
    assert resolve_task("x.csv", target="t", metric=None) == Task(data="x.csv", target="t")
    frame = object()
    assert resolve_task(frame).data is frame
    with pytest.raises(TaskError, match=r"'targt' \(did you mean 'target'\?\)"):
        resolve_task("x.csv", targt="t")


def test_a_tasks_direction_goes_with_its_own_metric():
    task = Task(data="digits", metric=len, direction="minimize")
    assert resolve_task(task).direction == "minimize"
    assert resolve_task(task, metric="accuracy").direction is None
    assert resolve_task(task, metric=max, direction="maximize").direction == "maximize"
    assert (
        resolve_task(Task(data="digits", direction="minimize"), metric=max).direction == "minimize"
    )
