"""Images by class: layouts, archives, sizes, modes, and what is refused."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pawl.data import archives, load, read_like, resolve_task
from pawl.errors import DataError, TaskError
from pawl.task import Task

PETS = {"cat": 14, "dog": 12}


def pack(folder: Path, name: str, *, top: str = "") -> Path:
    """Packs a folder's content, below `top`, in an order that is not sorted."""
    path = folder.parent / name
    files = sorted((file for file in folder.rglob("*") if file.is_file()), reverse=True)
    inside = [(file, f"{top}{file.relative_to(folder).as_posix()}") for file in files]
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            for file, member in inside:
                archive.write(file, member)
    else:
        mode = {"gz": "w:gz", "xz": "w:xz", "bz2": "w:bz2"}.get(name.rpartition(".")[2], "w")
        with tarfile.open(path, mode) as archive:
            for file, member in inside:
                archive.add(file, member)
    return path


def test_a_folder_of_classes(make_images):
    data = load(Task(data=make_images(PETS)))
    schema = data.schema
    assert (schema.source, schema.kind, schema.target) == ("images", "binary", "class")
    assert (schema.classes, schema.image_mode) == (("cat", "dog"), "RGB")
    assert schema.inputs[0].shape == (3, 4, 6)
    assert data.development.inputs["image"].dtype == torch.uint8
    assert data.development.inputs["image"].shape == (21, 3, 4, 6)
    assert (len(data.test), data.name, data.notes) == (5, "pictures", ())


@pytest.mark.parametrize("name", ["p.zip", "p.tar", "p.tar.gz", "p.tar.xz", "p.tar.bz2", "p.tgz"])
@pytest.mark.parametrize("top", ["", "wrapped/", "./"])
def test_archives_give_what_the_folder_gives(make_images, name, top):
    folder = make_images(PETS)
    data = load(Task(data=pack(folder, name, top=top)))
    assert data.name == "p"
    assert data.fingerprint == load(Task(data=folder)).fingerprint


@pytest.mark.parametrize("top", ["", "wrapped/"])
def test_train_and_test_at_the_top(make_images, top):
    folder = make_images({"train/cat": 14, "train/dog": 12, "test/cat": 3, "test/dog": 4})
    data = load(Task(data=pack(folder, "pets.zip", top=top)))
    assert (len(data.development), len(data.test)) == (26, 7)
    assert data.test.targets.tolist() == [0] * 3 + [1] * 4
    assert data.fingerprint == load(Task(data=folder)).fingerprint


def test_train_alone_and_classes_that_are_called_like_parts(make_images):
    data = load(Task(data=make_images({"train/cat": 14, "train/dog": 12}, root="one")))
    assert (data.schema.classes, len(data.test)) == (("cat", "dog"), 5)
    data = load(Task(data=make_images({"train": 14, "bus": 12}, root="two")))
    assert data.schema.classes == ("bus", "train")


def test_a_validation_folder_joins_the_development_rows(make_images):
    folder = make_images({"train/a": 12, "train/b": 12, "val/a": 3, "test/b": 4})
    data = load(Task(data=folder))
    assert (len(data.development), len(data.test)) == (27, 4)
    assert any("3 images of the validation folder" in note for note in data.notes)


def test_given_test_images(make_images):
    train = make_images(PETS, root="train_here")
    test = make_images({"cat": 2, "dog": 3}, root="test_here", size=(9, 9))
    data = load(Task(data=train, test=test))
    assert (len(data.development), len(data.test)) == (26, 5)
    assert data.test.inputs["image"].shape == (5, 3, 4, 6)
    both = make_images({"train/cat": 14, "train/dog": 12, "test/dog": 3}, root="both")
    data = load(Task(data=both, test=test))
    assert len(data.test) == 5
    assert any("3 images in test/ were left out" in note for note in data.notes)


def test_a_class_only_in_test(make_images):
    three = make_images({"train/a": 9, "train/b": 9, "train/c": 9, "test/d": 2}, root="three")
    data = load(Task(data=three))
    assert data.schema.classes == ("a", "b", "c", "d")
    two = make_images({"train/a": 14, "train/b": 9, "test/d": 2}, root="two")
    with pytest.raises(DataError, match=r"class\(es\) 'd', which the data lacks"):
        load(Task(data=two))


def test_classes_that_are_numbers_are_sorted_as_numbers(make_images):
    data = load(Task(data=make_images({"10": 8, "2": 8, "1": 8})))
    assert data.schema.classes == ("1", "2", "10")


def test_pixels_are_kept(make_images, tmp_path):
    folder = make_images(PETS)
    image = np.arange(72, dtype=np.uint8).reshape(4, 6, 3)
    Image.fromarray(image).save(folder / "cat" / "000.png")
    data = load(Task(data=folder, test=folder))
    assert torch.equal(
        data.development.inputs["image"][0], torch.from_numpy(image).permute(2, 0, 1)
    )


@pytest.mark.parametrize(
    ("mode", "kept"),
    [("L", "L"), ("1", "L"), ("RGB", "RGB"), ("RGBA", "RGB"), ("P", "RGB"), ("I;16", "RGB")],
)
def test_modes(make_images, mode, kept):
    folder = make_images(PETS, mode=mode)
    schema = load(Task(data=folder)).schema
    assert (schema.image_mode, schema.inputs[0].shape[0]) == (kept, 1 if kept == "L" else 3)


def test_one_color_image_makes_all_rgb(make_images):
    folder = make_images({"cat": 14}, mode="L")
    make_images({"dog": 12}, mode="RGB")
    assert load(Task(data=folder)).schema.image_mode == "RGB"


def test_sixteen_bits_keep_their_high_byte(make_images):
    folder = make_images(PETS, mode="I;16")
    Image.fromarray(np.full((4, 6), 40_000, dtype=np.uint16)).save(folder / "cat" / "000.png")
    data = load(Task(data=folder, test=folder))
    assert data.development.inputs["image"][0].unique().tolist() == [40_000 // 256]


def test_several_sizes_take_the_most_common(make_images):
    folder = make_images({"cat": 20}, size=(6, 4))
    make_images({"dog": 12}, size=(10, 10))
    data = load(Task(data=folder, test=folder))
    assert data.schema.inputs[0].shape == (3, 4, 6)
    assert "images have 2 sizes: 12 of 32 were resized to the most common, 6x4" in data.notes


def test_large_images_are_shrunk_in_proportion(make_images):
    data = load(Task(data=make_images(PETS, size=(512, 256))))
    assert data.schema.inputs[0].shape == (3, 64, 128)
    assert data.notes == ("images were shrunk from 512x256 to 128x64",)


def test_digits():
    data = load(Task(data="digits"))
    schema = data.schema
    assert (schema.source, schema.kind, schema.image_mode) == ("images", "multiclass", "L")
    assert schema.classes == tuple("0123456789")
    images = torch.cat([data.development.inputs["image"], data.test.inputs["image"]])
    assert images.shape == (1797, 1, 8, 8)
    assert (images.dtype, images.max(), images.unique().numel()) == (torch.uint8, 255, 17)
    assert read_like(schema, "digits", with_targets=True).targets.tolist()[:3] == [0, 1, 2]


# Prediction


def test_read_like_a_flat_folder_one_image_and_classes(make_images):
    folder = make_images(PETS)
    data = load(Task(data=folder, test=folder))
    flat = read_like(data.schema, folder / "dog")
    assert flat.targets is None
    assert torch.equal(flat.inputs["image"], data.development.inputs["image"][14:])
    assert len(read_like(data.schema, folder / "cat" / "000.png")) == 1
    again = read_like(data.schema, pack(folder, "p.zip"), with_targets=True)
    assert again.targets.tolist() == [0] * 14 + [1] * 12


def test_read_like_uses_the_schemas_size_and_mode(make_images):
    schema = load(Task(data=make_images(PETS, mode="L"))).schema
    others = make_images({".": 3}, root="others", mode="RGB", size=(30, 30))
    assert read_like(schema, others).inputs["image"].shape == (3, 1, 4, 6)


def test_read_like_needs_class_folders_for_targets(make_images):
    schema = load(Task(data=make_images(PETS))).schema
    with pytest.raises(DataError, match="in no class folder"):
        read_like(schema, make_images({".": 3}, root="flat"), with_targets=True)
    with pytest.raises(DataError, match=r"unknown class 'catt' .did you mean 'cat'"):
        read_like(schema, make_images({"catt": 3, "dog": 1}, root="odd"), with_targets=True)
    with pytest.raises(DataError, match=r"got images of shape \(1, 8, 8\)"):
        read_like(schema, "digits")


# Refused


def test_layouts_without_classes(make_images, tmp_path):
    with pytest.raises(DataError, match=r"flat has 25 image\(s\) and no class folders; allowed"):
        load(Task(data=make_images({".": 25}, root="flat")))
    with pytest.raises(DataError, match="is always 'cat'; at least two"):
        load(Task(data=make_images({"cat": 25}, root="single")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty has no images; allowed are files ending in \.png"):
        load(Task(data=tmp_path / "empty"))


def test_images_outside_class_folders_and_hidden_files_are_left_out(make_images):
    folder = make_images({**PETS, ".": 2, ".hidden": 3, "__MACOSX/cat": 2})
    (folder / "cat" / "notes.txt").write_text("no image")
    data = load(Task(data=folder))
    assert len(data.development) + len(data.test) == 26
    assert data.notes == ("2 image(s) outside class folders were left out",)


def test_too_few_images(make_images):
    with pytest.raises(DataError, match=r"got 15 row\(s\)"):
        load(Task(data=make_images({"cat": 8, "dog": 7}, root="few")))
    with pytest.raises(DataError, match="class 'dog' of the target 'class' has 3 development"):
        load(Task(data=make_images({"cat": 30, "dog": 4}, root="rare")))


@pytest.mark.parametrize("content", [b"", b"no image at all"])
def test_a_broken_image_is_named(make_images, content):
    folder = make_images(PETS)
    (folder / "dog" / "003.png").write_bytes(content)
    with pytest.raises(DataError, match=r"'dog/003\.png' cannot be read .*replace or remove"):
        load(Task(data=folder))


def test_a_cut_image_is_named(make_images):
    folder = make_images(PETS, size=(60, 60))
    path = folder / "dog" / "003.png"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"'dog/003\.png' cannot be read"):
        load(Task(data=folder))


@pytest.mark.parametrize("allowed", [20, 4_000])
def test_an_image_with_too_many_pixels_is_refused(make_images, monkeypatch, allowed):
    folder = make_images(PETS)
    make_images({"dog": 1}, size=(80, 60))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", allowed)
    with pytest.raises(DataError, match=f"too many pixels .allowed are {allowed:,}"):
        load(Task(data=folder))


@pytest.mark.parametrize("name", ["../out.png", "/etc/out.png", "a/../../out.png", "C:\\out.png"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_paths_that_lead_out_are_refused(tmp_path, name, kind):
    path = tmp_path / f"evil.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(zipfile.ZipInfo(name), b"x")
    else:
        with tarfile.open(path, "w") as archive:
            archive.addfile(tarfile.TarInfo(name), io.BytesIO(b""))
    with pytest.raises(DataError, match="leads out of the archive"):
        load(Task(data=path))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_tars_are_refused(tmp_path, kind):
    member = tarfile.TarInfo("cat/a.png")
    member.type, member.linkname = kind, "/etc/passwd"
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        archive.addfile(member)
    with pytest.raises(DataError, match=r"a link or device at 'cat/a\.png'"):
        load(Task(data=tmp_path / "evil.tar"))


def test_links_in_zips_are_refused(tmp_path):
    member = zipfile.ZipInfo("cat/a.png")
    member.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr(member, "/etc/passwd")
    with pytest.raises(DataError, match=r"a link or device at 'cat/a\.png'"):
        load(Task(data=tmp_path / "evil.zip"))


@pytest.mark.parametrize("limit", ["bytes", "files"])
@pytest.mark.parametrize("name", ["p.zip", "p.tar.xz"])
def test_archives_that_unpack_to_too_much_are_refused(make_images, monkeypatch, limit, name):
    path = pack(make_images(PETS), name)
    if limit == "bytes":
        monkeypatch.setenv("PAWL_MEMORY", "1KB")
    else:
        monkeypatch.setattr(archives, "MAX_ARCHIVE_FILES", 10)
    with pytest.raises(DataError, match="unpacks to more than is allowed"):
        load(Task(data=path))


def test_a_huge_member_is_refused_by_its_header(tmp_path, monkeypatch):
    monkeypatch.setenv("PAWL_MEMORY", "8GB")
    member = tarfile.TarInfo("cat/a.png")
    member.size = 9 * 2**30
    (tmp_path / "bomb.tar").write_bytes(member.tobuf())
    with pytest.raises(DataError, match="unpacks to more than is allowed"):
        load(Task(data=tmp_path / "bomb.tar"))


@pytest.mark.parametrize("name", ["p.zip", "p.tar", "p.tar.xz", "p.tar.gz", "p.tar.bz2"])
@pytest.mark.parametrize("kept", [0.3, 0.5, 0.7])
def test_cut_archives(make_images, name, kept):
    path = pack(make_images(PETS, size=(100, 100)), name)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(DataError, match="cannot be read as an archive"):
        load(Task(data=path))


def test_settings_that_images_do_not_take(make_images):
    folder = make_images(PETS)
    with pytest.raises(DataError, match="a target column is for tables and this is images"):
        load(Task(data=folder, target="species"))
    with pytest.raises(TaskError, match="got the kind regression"):
        load(Task(data=folder, kind="regression"))


def of_cifar10(path: Path, share: int) -> None:
    """Holds that CIFAR-10, or a part of it, is read with its own test images."""
    data = load(Task(data=path))
    assert (len(data.development), len(data.test)) == (50_000 // share, 10_000 // share)
    assert data.schema.inputs[0].shape == (3, 32, 32)
    assert data.schema.classes[:2] == ("airplane", "automobile")
    assert data.development.targets.bincount().tolist() == [5000 // share] * 10


def test_a_tenth_of_cifar10(shared, tmp_path):
    tenth, seen = tmp_path / "cifar10.tar", Counter()
    with tarfile.open(shared("cifar10.tar.xz")) as whole, tarfile.open(tenth, "w") as part:
        for member in whole:
            folder = os.path.dirname(member.name)
            if member.isfile() and seen[folder] % 10 == 0:
                part.addfile(member, whole.extractfile(member))
            seen[folder] += member.isfile()
    of_cifar10(tenth, 10)


@pytest.mark.slow
def test_cifar10(shared):
    of_cifar10(shared("cifar10.tar.xz"), 1)


def test_no_program_is_started_for_an_image(make_images, tmp_path, monkeypatch):
    """PIL hands drawings to Ghostscript, whatever the file is called."""
    folder = make_images(PETS)
    drawing = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 6 4\n%%EndComments\nshowpage\n%%EOF\n"
    (folder / "dog" / "003.png").write_bytes(drawing)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path / 'started'}\n")
    (tmp_path / "bin" / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    with pytest.raises(DataError, match=r"'dog/003\.png' cannot be read .it is none of PNG, JPEG"):
        load(Task(data=folder))
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "webp", "tif", "ppm"])
def test_the_formats_that_are_listed(make_images, suffix):
    folder = make_images(PETS)
    with Image.open(folder / "cat" / "000.png") as image:
        image.save(folder / "cat" / f"more.{suffix}")
    assert len(read_like(load(Task(data=folder)).schema, folder)) == 27


def test_links_in_folders_are_followed_inside_only(make_images, tmp_path):
    folder = make_images(PETS)
    (folder / "cat" / "again.png").symlink_to("000.png")
    data = load(Task(data=folder))
    assert len(data.development) + len(data.test) == 27
    other = make_images({"x": 1}, root="other")
    for name, target in (("cat/out.png", other / "x" / "000.png"), ("bird", other / "x")):
        (folder / name).symlink_to(target)
        with pytest.raises(DataError, match=rf"a link at '{name}' that leads out of it"):
            load(Task(data=folder))
        (folder / name).unlink()


def test_a_pipe_among_images_is_not_waited_for(make_images):
    folder = make_images(PETS)
    os.mkfifo(folder / "cat" / "pipe.png")
    with pytest.raises(DataError, match=r"a pipe or device at 'cat/pipe\.png'"):
        load(Task(data=folder))


def test_read_like_names_the_files(make_images):
    folder = make_images(PETS)
    schema = load(Task(data=folder)).schema
    names = (*(f"cat/{n:03}.png" for n in range(14)), *(f"dog/{n:03}.png" for n in range(12)))
    for source in (folder, pack(folder, "p.tar")):
        assert read_like(schema, source).files == names
    assert read_like(schema, folder / "cat" / "007.png").files == ("007.png",)


def patients(make_images, **options) -> Path:
    """Forty images of ten patients, each of both classes."""
    folder = make_images({"cat": 20, "dog": 20}, **options)
    for place, file in enumerate(sorted(folder.rglob("*.png"))):
        file.rename(file.with_name(f"patient{place % 10}_{place}.png"))
    return folder


def test_images_of_a_group_by_a_pattern_stay_together(make_images):
    task = resolve_task(patients(make_images), group_pattern=r"(patient\d+)_")
    data = load(task)
    blocks, held = data.development.blocks, data.test.blocks
    assert (blocks.by, blocks.column) == ("group", r"(patient\d+)_")
    assert len(torch.unique(torch.cat([blocks.keys, held.keys]))) == 10
    assert not set(blocks.keys.tolist()) & set(held.keys.tolist())
    assert len(blocks.keys) + len(held.keys) == 40
    assert len(data.test) == len(held.keys) == data.test.inputs["image"].shape[0]
    assert any("stay together (10 of them)" in note for note in data.notes)
    assert data.fingerprint != load(resolve_task(task.data)).fingerprint


@pytest.mark.parametrize("alone", [False, True])
def test_images_of_a_group_by_a_table_stay_together(make_images, tmp_path, alone):
    folder = patients(make_images)
    files = sorted(folder.rglob("*.png"))
    lines = [
        f"{file.name if alone else file.relative_to(folder)},7,p{place % 9}"
        for place, file in enumerate(files)
    ]
    table = tmp_path / "groups.csv"
    table.write_text("\n".join(["File,age,group", *lines]))
    data = load(resolve_task(folder, group=str(table)))
    assert data.development.blocks.column == "group"
    assert len(torch.unique(data.development.blocks.keys)) < 9
    table.write_text("\n".join(["File,age,group", *lines[:-2]]))
    with pytest.raises(DataError, match=r"2 of 40 image.* have no group in groups\.csv"):
        load(resolve_task(folder, group=str(table)))


def test_test_images_of_groups_that_the_data_has_are_counted(make_images):
    folder = make_images({"train/cat": 20, "train/dog": 20, "test/cat": 4, "test/dog": 4})
    for place, file in enumerate(sorted(folder.rglob("*.png"))):
        file.rename(file.with_name(f"p{place % 8}-{place}.png"))
    notes = load(resolve_task(folder, group_pattern=r"p\d+")).notes
    assert any("8 test row(s) are of a" in note for note in notes)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"group_pattern": r"(person\d+)"}, "40 of 40 image.* have no group by"),
        ({"group_pattern": "(patient"}, "no regular expression"),
        ({"group_pattern": "cat|dog"}, "has 2 different value"),
        ({"group": "patient"}, "a table of paths and groups"),
        ({"group": "x.csv", "group_pattern": "x"}, "give one of them"),
    ],
)
def test_groups_of_images_that_cannot_be_told_are_refused(make_images, options, words):
    with pytest.raises((DataError, TaskError), match=words):
        load(resolve_task(patients(make_images), **options))


def test_images_without_files_have_no_groups():
    with pytest.raises(DataError, match="told by the files"):
        load(resolve_task("digits", group_pattern="x"))
