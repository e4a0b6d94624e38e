"""Which images belong together: by a pattern in their paths, or by a table of paths and groups."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pawl.data.cells import as_texts, read_cells
from pawl.data.csvfiles import CSV_SUFFIXES, PARQUET_SUFFIXES, read_table_file
from pawl.errors import DataError, option
from pawl.options import ReadOptions

_PATHS = ("path", "file", "filename", "image", "name")
_GROUP = "group"
_COLUMNS = 2


def grouped(paths: Sequence[str], options: ReadOptions) -> tuple[str, list[str]]:
    """Returns what groups are called, and each image's.

    Args:
        paths: Of the images inside their source.
        options: Their `group_pattern`, or else their `group` is used: a table whose columns are called
            `path` (or `file`, ...) and `group`, or else its first two.

    Raises:
        DataError: An image has no group, or the table cannot be used.
    """
    if options.group_pattern is not None:
        return options.group_pattern, _by_pattern(paths, options.group_pattern)
    assert options.group is not None
    return _by_table(paths, options.group)


def _by_pattern(paths: Sequence[str], pattern: str) -> list[str]:
    found = [re.search(pattern, path) for path in paths]
    groups = [match and (match[1] if match.re.groups else match[0]) for match in found]
    if absent := [path for path, group in zip(paths, groups, strict=True) if not group]:
        raise DataError(
            f"{len(absent)} of {len(paths)} image(s) have no group by {pattern!r}, the first is "
            f"{absent[0]!r}; correct {option('group_pattern')}"
        )
    return [str(group) for group in groups]


def _by_table(paths: Sequence[str], given: str) -> tuple[str, list[str]]:
    path = Path(given).expanduser()
    suffixes = (*CSV_SUFFIXES, *PARQUET_SUFFIXES)
    if not given.lower().endswith(suffixes) or not path.is_file():
        raise DataError(
            f"got {option('group', given)}; of images it is a table of paths and groups "
            f"({', '.join(suffixes)}); {option('group_pattern')} finds groups in the paths themselves"
        )
    frame = read_table_file(path, ReadOptions()).frame
    names = [str(name) for name in frame.columns]
    if len(names) < _COLUMNS:
        raise DataError(f"{path.name} has one column; paths and groups are needed")
    lowered = {name.lower(): name for name in reversed(names)}
    by_path = next((lowered[name] for name in _PATHS if name in lowered), names[0])
    rest = [name for name in names if name != by_path]
    by_group = lowered.get(_GROUP, rest[0])
    files, groups = (
        [None if code < 0 else texts[code] for code in codes]
        for texts, codes in (as_texts(read_cells(frame[name])) for name in (by_path, by_group))
    )
    known = {
        str(Path(file)): group
        for file, group in zip(files, groups, strict=True)
        if file is not None and group is not None
    }
    # A table may have files' names alone, if they are distinct.
    counts = Counter(Path(each).name for each in paths)
    found = [
        known.get(each) or (known.get(Path(each).name) if counts[Path(each).name] == 1 else None)
        for each in paths
    ]
    if absent := [each for each, group in zip(paths, found, strict=True) if group is None]:
        raise DataError(
            f"{len(absent)} of {len(paths)} image(s) have no group in {path.name} (columns "
            f"{by_path!r} and {by_group!r}), the first is {absent[0]!r}; add them"
        )
    return by_group, [str(group) for group in found]
