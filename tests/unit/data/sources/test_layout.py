import os
from pathlib import Path

import pytest

from peerkd.data.sources.image_folder import list_image_files, read_image_folder
from peerkd.data.sources.layout import (
    EMPTY_CLASSES,
    HIDDEN,
    OTHER_FILES,
    OUTSIDE_CLASSES,
    OUTSIDE_SPLITS,
    SPECIAL_FILES,
)
from peerkd.data.sources.pixel_rules import PixelRules
from peerkd.errors import DataSourceError

SPLIT_TREE = {
    "train/dog/b.png": (6, 4),
    "train/dog/a.PNG": (6, 4),
    "train/cat/z.bmp": (6, 4),
    "test/cat/1.png": (6, 4),
    "test/dog/0.webp": (6, 4),
}


def test_files_are_sorted_by_split_class_and_name(tmp_path, write_images) -> None:
    write_images(tmp_path, SPLIT_TREE)
    files = list_image_files(tmp_path)
    assert files.relative_paths == (
        "train/cat/z.bmp",
        "train/dog/a.PNG",
        "train/dog/b.png",
        "test/cat/1.png",
        "test/dog/0.webp",
    )
    assert files.labels_N.tolist() == [0, 1, 1, 0, 1]
    assert files.num_train == 3
    assert files.class_names == ("cat", "dog")


@pytest.mark.parametrize("prefix", ["", "train/"])
def test_without_a_test_folder_all_samples_are_for_training(tmp_path, write_images, prefix: str) -> None:
    write_images(tmp_path, {f"{prefix}cat/0.png": (4, 4), f"{prefix}dog/0.png": (4, 4)})
    raw = read_image_folder(tmp_path, PixelRules())
    assert raw.num_train == len(raw.labels_N) == 2


@pytest.mark.parametrize(
    "names",
    [
        ("train", "val", "test"),
        ("Training", "VALIDATION", "Testing"),
        ("training_set", "valid", "test_set"),
        ("Train", "dev", "TEST"),
    ],
)
def test_three_splits_are_found_by_their_names_in_any_case(tmp_path, write_images, names: tuple[str, ...]) -> None:
    train, validation, test = names
    write_images(tmp_path, {f"{train}/cat/0.png": (4, 4), f"{train}/cat/1.png": (4, 4)})
    write_images(tmp_path, {f"{validation}/cat/0.png": (4, 4), f"{test}/cat/0.png": (4, 4)})
    files = list_image_files(tmp_path)
    assert files.relative_paths == tuple(f"{name}/cat/{n}.png" for name, n in zip((train, *names), "0100", strict=True))
    assert (files.num_train, files.num_validation, len(files.labels_N)) == (2, 1, 4)
    assert files.remarks == (f"the folder {validation} is the validation split, on which every choice is made",)


@pytest.mark.parametrize("name", ["val", "valid", "Validation", "dev"])
def test_a_validation_split_without_a_test_split_is_the_test_split(tmp_path, write_images, name: str) -> None:
    write_images(tmp_path, {"train/cat/0.png": (4, 4), f"{name}/cat/0.png": (4, 4)})
    files = list_image_files(tmp_path)
    assert files.relative_paths == ("train/cat/0.png", f"{name}/cat/0.png")
    assert (files.num_train, files.num_validation) == (1, 0)
    assert files.remarks == (f"the folder {name} is the test split, because the data set has no other",)


def test_a_class_may_have_the_name_of_a_split(tmp_path, write_images) -> None:
    write_images(tmp_path, {f"{name}/0.png": (4, 4) for name in ("car", "train", "test")})
    files = list_image_files(tmp_path)
    assert files.class_names == ("car", "test", "train")
    assert files.remarks == ("folders that are classes and not splits, because they contain no folders: test, train",)
    write_images(
        tmp_path / "b", {f"{split}/{name}/0.png": (4, 4) for split in ("train", "test") for name in ("train", "car")}
    )
    assert list_image_files(tmp_path / "b").class_names == ("car", "train")


def test_images_in_subfolders_of_a_class_belong_to_it(tmp_path, write_images) -> None:
    write_images(tmp_path, {"cat/b.png": (4, 4), "cat/a/x/0.png": (4, 4), "cat/c/0.png": (4, 4), "dog/0.png": (4, 4)})
    files = list_image_files(tmp_path)
    assert files.relative_paths == ("cat/a/x/0.png", "cat/b.png", "cat/c/0.png", "dog/0.png")
    assert files.labels_N.tolist() == [0, 0, 0, 1]
    assert files.remarks == ("images in folders inside class folders (cat), which belong to these classes: 2",)


HOSPITALS = [f"{peer}/{name}/0.png" for peer in ("north", "south") for name in ("mole", "naevus")]


def test_folders_of_peers_in_place_of_classes_are_a_warning(tmp_path, write_images) -> None:
    write_images(tmp_path, dict.fromkeys([*HOSPITALS, "south/mole/more/1.png"], (4, 4)))
    files = list_image_files(tmp_path)
    assert files.class_names == ("north", "south")
    (warning,) = files.remarks
    assert warning == (
        "warning: Each of the classes north, south has the folders mole, naevus and no image of its own. If mole, "
        "naevus are the classes, and north is a peer such as a hospital, set data.source=peers, and name the folder of "
        "each peer as its data in peers.given."
    )
    write_images(tmp_path / "split", {f"train/{name}": (4, 4) for name in HOSPITALS})
    assert list_image_files(tmp_path / "split").remarks == (warning,)


@pytest.mark.parametrize(
    "changed",
    [[*HOSPITALS, "south/0.png"], [*HOSPITALS, "south/other/0.png"], HOSPITALS[:-1], HOSPITALS[::2], HOSPITALS[:2]],
    ids=["an image of its own", "a further folder", "a folder less", "one folder", "one class"],
)
def test_other_folders_in_classes_are_no_warning(tmp_path, write_images, changed: list[str]) -> None:
    write_images(tmp_path, {f"train/{name}": (4, 4) for name in changed})
    (remark,) = list_image_files(tmp_path).remarks
    assert remark.startswith("images in folders inside class folders (")


def test_every_skipped_entry_is_counted(tmp_path, write_images) -> None:
    write_images(
        tmp_path,
        {
            "train/cat/0.png": (4, 4),
            "train/cat/._0.png": (4, 4),
            "train/cat/.ipynb_checkpoints/0.png": (4, 4),
            "train/1.png": (4, 4),
            "train/2.png": (4, 4),
            "2.png": (4, 4),
            "test/cat/0.png": (4, 4),
            "unlabelled/a/3.png": (4, 4),
            "__MACOSX/train/cat/0.png": (4, 4),
        },
    )
    for name in ("train/cat/notes.txt", "README", "train/cat/Thumbs.db", "test/.DS_Store", "unlabelled/list.csv"):
        (tmp_path / name).write_text("no image")
    (tmp_path / "train/empty").mkdir()
    os.mkfifo(tmp_path / "train/cat/pipe")
    (tmp_path / "train/cat/link").symlink_to("nowhere")
    (tmp_path / "train/cat/round").symlink_to(tmp_path)
    files = list_image_files(tmp_path)
    assert files.relative_paths == ("train/cat/0.png", "test/cat/0.png")
    found = {each.kind: (each.num, set(each.examples)) for each in files.skipped}
    assert found.pop(HIDDEN)[0] == 5
    assert found == {
        OTHER_FILES: (3, {"train/cat/notes.txt", "README", "unlabelled/list.csv"}),
        SPECIAL_FILES: (3, {"train/cat/pipe", "train/cat/link", "train/cat/round"}),
        OUTSIDE_CLASSES: (3, {"train/1.png", "train/2.png", "2.png"}),
        OUTSIDE_SPLITS: (1, {"unlabelled/a/3.png"}),
        EMPTY_CLASSES: (1, {"train/empty"}),
    }


def test_splits_classes_and_images_may_be_links(tmp_path, write_images) -> None:
    real, view = tmp_path / "real", tmp_path / "view"
    write_images(real, {f"{name}/0.png": (4, 4) for name in ("a/cat", "b/cat", "dogs-a", "dogs-b", "elsewhere")})
    view.mkdir()
    for split, name in (("train", "a"), ("test", "b")):
        (view / split).symlink_to(real / name)
        (real / name / "dog").symlink_to(real / f"dogs-{name}")
    (real / "a/cat/1.png").symlink_to(real / "elsewhere/0.png")
    assert list_image_files(view).relative_paths == (
        "train/cat/0.png",
        "train/cat/1.png",
        "train/dog/0.png",
        "test/cat/0.png",
        "test/dog/0.png",
    )


@pytest.mark.parametrize(
    ("link", "target", "named"),
    [
        ("test", "train", "train/cat, test/cat"),
        ("train/dog", "train/cat", "train/cat, train/dog"),
    ],
)
def test_one_folder_in_two_splits_or_classes_is_refused(tmp_path, write_images, link, target, named: str) -> None:
    write_images(tmp_path, {"train/cat/0.png": (4, 4)})
    (tmp_path / link).symlink_to(tmp_path / target)
    with pytest.raises(
        DataSourceError, match=rf"{named} below .* must be different folders, but are links to the same one"
    ):
        list_image_files(tmp_path)


@pytest.mark.parametrize("name", ["test", "train/owl"])
def test_a_split_or_a_class_that_is_a_broken_link_is_refused(tmp_path, write_images, name: str) -> None:
    write_images(tmp_path, {"train/cat/0.png": (4, 4)})
    (tmp_path / name).symlink_to("nowhere")
    with pytest.raises(DataSourceError, match=rf"{name} must be a folder or a file, it is a broken link"):
        list_image_files(tmp_path)


def test_classes_that_differ_only_in_case_are_distinct_and_remarked(tmp_path, write_images) -> None:
    write_images(tmp_path, {"A/0.png": (4, 4), "a/0.png": (4, 4)})
    files = list_image_files(tmp_path)
    assert files.class_names == ("A", "a")
    assert files.remarks == ("A and a are different classes, although their names differ only in case",)


def test_a_file_name_in_another_encoding_is_read_and_a_class_name_is_refused(tmp_path, write_images) -> None:
    write_images(tmp_path, {"cat/0.png": (4, 4), "dog/0.png": (4, 4)})
    (tmp_path / "cat/0.png").rename(tmp_path / "cat" / os.fsdecode(b"caf\xe9.png"))
    assert len(read_image_folder(tmp_path, PixelRules()).labels_N) == 2
    (tmp_path / "dog").rename(tmp_path / os.fsdecode(b"d\xf6g"))
    with pytest.raises(DataSourceError, match=r"the name of a class must be printable text in UTF-8, got d\\xf6g;"):
        list_image_files(tmp_path)


def test_hundreds_of_classes_and_long_names_are_listed(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"{number:04}").mkdir()
        (tmp_path / f"{number:04}/{'x' * 200}.png").touch()
    assert list_image_files(tmp_path).labels_N.tolist() == list(range(300))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "must contain one folder per class, it contains none"),
        ({"0.png": (4, 4)}, "must contain one folder per class, it contains none"),
        (
            {"train/cat/0.png": (4, 4), "test/0.png": (4, 4)},
            "test must contain one folder per class, it contains none; images without a class folder have no label",
        ),
        (
            {"train/cat/0.png": (4, 4), "test/cat/0.png": (4, 4), "test/dog/0.png": (4, 4), "test/owl/0.png": (4, 4)},
            "splits must have images of the same classes, but .*/train has none of dog, owl",
        ),
        (
            {"train/Cat/0.png": (4, 4), "val/cat/0.png": (4, 4)},
            r"train has none of cat \(cat and Cat differ only in case\)",
        ),
        (
            {"train/cat/0.png": (4, 4), "val/cat/0.png": (4, 4), "Valid/cat/0.png": (4, 4)},
            "must contain one folder for the validation split, it contains Valid, val; move all but one of them",
        ),
        (
            {"test/cat/0.png": (4, 4), "val/cat/0.png": (4, 4)},
            "contains test, val, which is the name of a split, but no",
        ),
        ({"train/0.png": (4, 4), "test/0.png": (4, 4)}, "test, train, each of which must contain one folder per class"),
        ({"pets/cat/0.png": (4, 4), "pets/dog/0.png": (4, 4)}, r"contains only .*/pets; .* set data\.path=.*/pets"),
        (
            {"cat/train/0.png": (4, 4), "cat/test/0.png": (4, 4), "dog/train/0.png": (4, 4)},
            "cat is the folder of a class and contains the splits test, train; splits must contain classes",
        ),
    ],
)
def test_another_layout_is_refused(tmp_path, write_images, files: dict[str, tuple[int, int]], message: str) -> None:
    write_images(tmp_path, files)
    with pytest.raises(DataSourceError, match=message):
        list_image_files(tmp_path)


def test_classes_without_any_image_are_refused_with_their_contents(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "scan.dcm").touch()
    with pytest.raises(
        DataSourceError, match=r"cat, dog contain no file .*; found .*: 2 \(cat/scan\.dcm, dog/scan\.dcm\);"
    ):
        list_image_files(tmp_path)


def test_a_root_that_is_not_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataSourceError, match=r"^data\.path: .*nowhere does not exist; check the path\.$"):
        list_image_files(tmp_path / "nowhere")
    with pytest.raises(DataSourceError, match=r"does not exist; check the path, which begins at /"):
        list_image_files(Path("nowhere"))
    (tmp_path / "images.zip").touch()
    with pytest.raises(DataSourceError, match=r"images\.zip must be a folder, got a file; unpack an archive first, "):
        list_image_files(tmp_path / "images.zip")
