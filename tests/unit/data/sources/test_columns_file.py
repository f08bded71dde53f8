"""A CSV file beside a folder of images gives every image further values."""

from pathlib import Path

import numpy as np
import pytest

from peerkd.data.packed import read_packed, write_packed
from peerkd.data.sources import read_source
from peerkd.data.sources.columns_file import OTHER_ROWS, read_columns
from peerkd.data.sources.pixel_rules import PixelRules
from peerkd.data.streamed import index_image_folder, open_dataset, write_index
from peerkd.errors import DataSourceError

PATHS = ["cat/1.png", "cat/2.png", "dog/3.png"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "patients.csv"


def test_whole_numbers_become_numbers_and_all_else_stays_text(file: Path) -> None:
    file.write_text(
        'hospital,file_name,scanner,code\nnorth,dog/3.png,3,007\n"south, east",./cat/1.png,-1,7\nNORTH,cat/2.png,12,7\n'
    )
    columns, remarks, skipped = read_columns(file, PATHS)
    assert {name: column.tolist() for name, column in columns.items()} == {
        "hospital": ["south, east", "NORTH", "north"],
        "scanner": [-1, 12, 3],
        "code": ["7", "7", "007"],
    }
    assert remarks == skipped == ()


def test_a_file_of_a_spreadsheet_is_read(file: Path) -> None:
    file.write_bytes("\ufefffile_name,site\r\ncat/1.png,Zürich\r\ncat/2.png,Genf\r\ndog/3.png,Bern\r\n\r\n".encode())
    assert read_columns(file, PATHS).columns["site"].tolist() == ["Zürich", "Genf", "Bern"]


def test_images_without_a_row_and_rows_without_an_image_are_counted(file: Path) -> None:
    file.write_text("file_name,site\ncat/1.png,4\ncat/9.png,5\n")
    columns, remarks, skipped = read_columns(file, PATHS)
    assert columns["site"].tolist() == ["4", "", ""]
    assert remarks == ("2 images without a row in data.columns_path: cat/2.png, dog/3.png",)
    assert [(entry.kind, entry.num, entry.examples) for entry in skipped] == [(OTHER_ROWS, 1, ("cat/9.png",))]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must begin with a line of different column names, among them file_name, got an empty line"),
        ("image,site\na,b\n", "among them file_name, got image, site; rename the column image to file_name"),
        ("file_name;site\na;b\n", "got file_name;site; separate the columns by commas"),
        ("file_name\ncat/1.png\n", "got file_name"),
        ("file_name,site,site\n", "got file_name, site, site"),
        ("file_name,my site\n", "letters, digits and underscores, got 'my site'; rename the column"),
        ("file_name,site\ncat/1.png,a,b\n", "must have 2 values in every row, got 3 in row 2"),
        (
            "file_name,site\ncat/1.png,a\n./cat/1.png,b\n",
            "must describe every image once, got cat/1.png again in row 3",
        ),
        ("file_name,site\ncat/1.png,a\0\n", "must not contain a NUL character, got one in row 2"),
        ('file_name,site\ncat/1.png,"a\n', "must be a CSV file with commas: unexpected end of data"),
        ("file_name,site\n1.png,a\n", r"as in cat/1.png, and describes 1.png"),
        ("file_name,site\n", "as in cat/1.png, and describes nothing"),
    ],
)
def test_a_file_that_describes_no_images_is_refused(file: Path, text: str, message: str) -> None:
    file.write_text(text)
    with pytest.raises(DataSourceError) as refusal:
        read_columns(file, PATHS)
    assert str(refusal.value).startswith(f"data.columns_path: {file} ")
    assert message in str(refusal.value)


def test_a_file_that_cannot_be_read_is_refused(file: Path) -> None:
    with pytest.raises(DataSourceError, match="must be a file that exists"):
        read_columns(file, PATHS)
    file.write_bytes(b"file_name,site\ncat/1.png,\xff\n")
    with pytest.raises(DataSourceError, match="must be text in UTF-8, got other bytes at position 25"):
        read_columns(file, PATHS)


def test_columns_follow_the_images_packed_and_streamed(file: Path, tmp_path: Path, write_images) -> None:
    root = tmp_path / "images"
    write_images(root, dict.fromkeys(PATHS, (6, 4)))
    (root / PATHS[1]).write_bytes(b"damaged")
    file.write_text("file_name,site\n" + "".join(f"{path},{10 + index}\n" for index, path in enumerate(PATHS)))
    raw = read_source("image_folder", path=str(root), skip_damaged=True, columns_path=file)
    streamed = index_image_folder(root, PixelRules(4), skip_damaged=True, columns_path=file)
    assert raw.columns["site"].tolist() == streamed.columns["site"].tolist() == [10, 12]

    write_packed(tmp_path / "packed", raw)
    write_index(tmp_path / "streamed", streamed)
    assert read_packed(tmp_path / "packed").columns["site"].tolist() == [10, 12]
    assert open_dataset(tmp_path / "streamed").columns["site"].tolist() == [10, 12]
    plain = index_image_folder(root, PixelRules(4), skip_damaged=True)
    assert plain.fingerprint != streamed.fingerprint
    np.testing.assert_array_equal(plain.labels_N, streamed.labels_N)


def test_a_wrong_header_or_row_says_what_to_change(tmp_path):
    file = tmp_path / "owners.csv"
    file.write_text("file,camera\na.png,hall\n")
    with pytest.raises(DataSourceError, match=r"got file, camera; rename the column file to file_name\.$"):
        read_columns(file, ["a.png"])
    file.write_text("file_name,camera\na.png,hall\nb.png,hall,x\n")
    with pytest.raises(DataSourceError, match=r"got 3 in row 3, of b\.png\.$"):
        read_columns(file, ["a.png", "b.png"])
    with pytest.raises(DataSourceError, match="must be a file that exists; check the path"):
        read_columns(tmp_path / "none.csv", ["a.png"])
