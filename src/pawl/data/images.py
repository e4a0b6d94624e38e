"""Images by class: the folders' layout, setting the test rows aside, and reading by a schema."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from pawl.data import memory
from pawl.data.archives import ImageFile, ImageFiles
from pawl.data.block_columns import check_classes, read_blocks
from pawl.data.image_groups import grouped
from pawl.data.kinds import check_rows
from pawl.data.labels import Labels
from pawl.data.pixels import Look, Mode, choose_format, decode, look
from pawl.data.rare import settle_rows
from pawl.data.samples import Pixels
from pawl.data.several import check_targets
from pawl.data.sources import Parts, Source, refuse_target, require_form
from pawl.data.splits import split_rows
from pawl.data.targets import Targets, encode_targets
from pawl.data.types import Examples, InputSpec, Schema
from pawl.errors import DataError
from pawl.options import ReadOptions
from pawl.task import Task

_TARGET = "class"
_PARTS = {
    "train": "train", "training": "train", "val": "validation", "valid": "validation",
    "validation": "validation", "test": "test", "testing": "test",
}  # fmt: skip
_MIN_CLASSES = 2
_PER_PIXEL = 2  # bytes: once as decoded, once more while rows are split
_LAYOUT = "one folder of images per class, with or without train/ and test/ at the top"


@dataclass(frozen=True)
class _Files:
    """Files that were looked at and not decoded: where they are, and the paths of some inside."""

    source: ImageFiles
    names: list[str]
    looks: dict[str, Look | DataError]

    def take(self, rows: list[int]) -> _Files:
        return _Files(self.source, [self.names[row] for row in rows], self.looks)

    def format(self) -> tuple[Mode, tuple[int, int], list[str]]:
        looks = []
        for name in self.names:
            found = self.looks[name]
            if isinstance(found, DataError):
                raise found
            looks.append(found)
        return choose_format(looks)


@dataclass(frozen=True)
class _Images:
    """Images with what their folders say of them.

    Attributes:
        pixels: Files by their paths, or `[R, channels, height, width]` uint8.
        classes: Each image's class; `None` outside class folders.
        parts: Each image's part: `train`, `validation`, `test`, or nothing.
        groups: What each image belongs to, if that was said.
    """

    pixels: _Files | Tensor
    classes: list[str | None]
    parts: list[str]
    groups: list[str] | None = None

    def where(self, wanted: Sequence[bool]) -> _Images:
        return self.take([row for row, use in enumerate(wanted) if use])

    def take(self, rows: list[int]) -> _Images:
        pixels = self.pixels
        return _Images(
            pixels[rows] if isinstance(pixels, Tensor) else pixels.take(rows),
            [self.classes[row] for row in rows],
            [self.parts[row] for row in rows],
            None if self.groups is None else [self.groups[row] for row in rows],
        )

    def frame(self, name: str) -> pd.DataFrame:
        """Returns the groups as a column."""
        return pd.DataFrame({} if self.groups is None else {name: self.groups})

    def targets(self) -> Targets:
        return Targets((Labels(_TARGET, texts=np.array(self.classes, dtype=object)),))

    def __len__(self) -> int:
        return len(self.classes)


def load_images(
    task: Task, source: Source, test: Source | None, *, seed: int, test_share: float
) -> Parts:
    """Reads images by class; their size and mode are inferred from the development rows.

    Raises:
        TaskError: If the classes cannot be of the kind that the task asks for.
        DataError: If the images cannot be used.
    """
    refuse_target(task.target, _TARGET, "images")
    everything, notes = _with_class(_open(source), source.name)
    everything, by = _in_groups(everything, task.read)
    is_test = [part == "test" for part in everything.parts]
    development = everything.where([not own for own in is_test])
    own_test = everything.where(is_test)
    if "validation" in development.parts:
        count = development.parts.count("validation")
        notes.append(f"the {count} images of the validation folder joined the development rows")
    held: _Images | None = own_test if len(own_test) else None
    if test is not None:
        require_form(test, "images", "the test data")
        if held is not None:
            notes.append(f"{len(own_test)} images in test/ were left out: test data was given")
        held, more = _test_images(test)
        held, _ = _in_groups(held, task.read)
        notes += more
    if len(set(development.classes)) >= _MIN_CLASSES:
        check_rows(len(development))
    settled = settle_rows(
        development.targets(), task, form="images",
        test=None if held is None else held.targets(),
        test_share=test_share,
    )  # fmt: skip
    kind, predicted = settled.kind, settled.columns
    notes += settled.notes
    if settled.keep is not None:
        development = development.where(settled.keep.tolist())
    if held is not None and settled.test_keep is not None:
        held = held.where(settled.test_keep.tolist())
    targets = encode_targets(settled.targets, kind, predicted)
    named = ReadOptions(group=by)
    test_frame = None if held is None else held.frame(by or "")
    blocks, test_blocks, more = read_blocks(development.frame(by or ""), test_frame, named)
    check_classes(blocks, targets if kind == "binary" else None, predicted[0].classes)
    notes += more
    if held is None:
        rest, share = split_rows(targets, kind, test_share, seed, blocks=blocks)
        if blocks is not None:
            blocks, test_blocks = blocks.take(rest), blocks.take(share)
        held, development = development.take(share.tolist()), development.take(rest.tolist())
        targets, test_targets = targets[rest], targets[share]
    else:
        assert settled.test is not None
        test_targets = encode_targets(settled.test, kind, predicted)
    notes += check_targets(targets, kind, predicted)
    mode, shape, more = _format(development)
    schema = Schema(
        source="images",
        kind=kind,
        targets=predicted,
        inputs=(InputSpec(name="image", shape=shape, dtype="uint8"),),
        image_mode=mode,
    )
    pixels, test_pixels = _decode((development, held), schema)
    return Parts(
        schema,
        Examples({"image": pixels}, targets, blocks=blocks),
        Examples({"image": test_pixels}, test_targets, blocks=test_blocks),
        notes + more,
    )


def read_images(schema: Schema, source: Source, *, with_targets: bool) -> Examples:
    """Reads images sorted by path; class folders are needed only for the targets.

    Raises:
        DataError: They cannot be read, or lie in no class folder where targets are wanted.
    """
    require_form(source, "images", "the source")
    images = _open(source, looks=False)
    targets = None
    if with_targets:
        loose = images.classes.count(None)
        if loose:
            raise DataError(
                f"{loose} image(s) of {source.name} are in no class folder; allowed is {_LAYOUT}"
            )
        targets = encode_targets(images.targets(), schema.kind, schema.targets)
    (pixels,) = _decode((images,), schema)
    files = () if isinstance(images.pixels, Tensor) else tuple(images.pixels.names)
    return Examples({"image": pixels}, targets, files)


def read_image_files(schema: Schema, files: Sequence[ImageFile]) -> Examples:
    """Reads images that are at hand, in the order given."""
    channels, height, width = schema.inputs[0].shape
    pixels = np.empty((len(files), channels, height, width), dtype=np.uint8)
    for row, file in zip(pixels, files, strict=True):
        row[:] = decode(file, schema.image_mode, (height, width))
    return Examples({"image": torch.from_numpy(pixels)}, None, tuple(file.name for file in files))


def _open(source: Source, *, looks: bool = True) -> _Images:
    """Lists a source's images, sorted by their path, and looks at them where that is wanted."""
    value: Any = source.value
    if isinstance(value, Pixels):
        return _Images(value.images, list(value.classes), [""] * len(value.classes))
    assert isinstance(value, Path)
    files = ImageFiles.at(value)
    found = {file.name: _looked_at(file) if looks else None for file in files}
    names = sorted(found)
    seen = {name: each for name, each in found.items() if each is not None}
    places = _places(names)
    classes, parts = [label for _, label in places], [part for part, _ in places]
    return _Images(_Files(files, names, seen), classes, parts)


def _in_groups(images: _Images, options: ReadOptions) -> tuple[_Images, str | None]:
    """Returns images with their groups, and what these are called; `None` if none were asked for."""
    if options.group is None and options.group_pattern is None:
        return images, None
    if isinstance(images.pixels, Tensor):
        raise DataError(
            "groups are told by the files of images, and these are in none; leave them out"
        )
    name, groups = grouped(images.pixels.names, options)
    return replace(images, groups=groups), name


def _looked_at(file: ImageFile) -> Look | DataError:
    try:
        return look(file)
    except DataError as error:  # it may be one of those that are left out
        return error


def _places(names: Sequence[str]) -> list[tuple[str, str | None]]:
    """Each image's part and class by its path."""
    folders = [name.split("/")[:-1] for name in names]
    nested = [folder for folder in folders if folder]
    # A folder around everything says nothing, as long as class folders are left inside it.
    skip = 0
    while (
        nested
        and all(len(folder) > skip + 1 for folder in nested)
        and (len({folder[skip] for folder in nested}) == 1)
    ):
        skip += 1
    tops = {folder[skip].lower() for folder in nested}
    has_parts = tops <= _PARTS.keys() and any(_PARTS[top] == "train" for top in tops)
    places: list[tuple[str, str | None]] = []
    for folder in folders:
        inner = folder[skip:]
        part = _PARTS[inner.pop(0).lower()] if has_parts and inner else ""
        places.append((part, inner[0] if inner else None))
    return places


def _with_class(images: _Images, name: str) -> tuple[_Images, list[str]]:
    loose = images.classes.count(None)
    if loose == len(images):
        raise DataError(f"{name} has {loose} image(s) and no class folders; allowed is {_LAYOUT}")
    if not loose:
        return images, []
    note = f"{loose} image(s) outside class folders were left out"
    return images.where([label is not None for label in images.classes]), [note]


def _test_images(test: Source) -> tuple[_Images, list[str]]:
    """All of the test source, or its own `test/` if it has one."""
    images, notes = _with_class(_open(test), test.name)
    own = images.where([part == "test" for part in images.parts])
    return (own if len(own) else images), notes


def _format(images: _Images) -> tuple[Mode, tuple[int, ...], list[str]]:
    if isinstance(images.pixels, Tensor):
        shape = tuple(images.pixels.shape[1:])
        return ("L" if shape[0] == 1 else "RGB"), shape, []
    mode, size, notes = images.pixels.format()
    return mode, (1 if mode == "L" else 3, *size), notes


def _decode(parts: Sequence[_Images], schema: Schema) -> list[Tensor]:
    """Decodes images that lie together in one go: `[R, channels, height, width]` for each part."""
    shape = schema.inputs[0].shape
    limit, needed = memory.allowed(), 0
    wanted: dict[Path, tuple[ImageFiles, dict[str, list[NDArray[np.uint8]]]]] = {}
    tensors = []
    for images in parts:
        pixels = images.pixels
        if isinstance(pixels, Tensor):
            if tuple(pixels.shape[1:]) != shape:
                raise DataError(
                    f"got images of shape {tuple(pixels.shape[1:])}; {shape} is needed, as in the "
                    f"data that the schema comes from"
                )
            tensors.append(pixels)
            continue
        needed += _PER_PIXEL * len(images) * math.prod(shape)
        memory.refuse_more(needed, limit, pixels.source.path.name, "give fewer images")
        decoded = np.empty((len(images), *shape), dtype=np.uint8)
        tensors.append(torch.from_numpy(decoded))
        _, rows = wanted.setdefault(pixels.source.path, (pixels.source, {}))
        for name, row in zip(pixels.names, decoded, strict=True):
            rows.setdefault(name, []).append(row)
    for source, rows in wanted.values():
        for file in source:
            for row in rows.get(file.name, ()):
                row[:] = decode(file, schema.image_mode, (shape[1], shape[2]))
    return tensors
