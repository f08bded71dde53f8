"""Objects of users' modules: what identifies their code, and what is refused."""

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from peerkd import own_code
from peerkd.own_code import find_object


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder from which modules are imported, each of them forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for path in tmp_path.glob("*.py"):
        sys.modules.pop(path.stem, None)
    own_code._digest.cache_clear()


def test_the_path_ends_in_the_digest_of_the_file(folder: Path) -> None:
    (folder / "mine_a.py").write_text("value = 7\n")
    found = find_object("mine_a:value", field="function", noun="function")
    assert tuple(found) == (f"mine_a:value@{hashlib.sha256(b'value = 7' + bytes([10])).hexdigest()[:8]}", 7)
    assert find_object(found.path, field="function", noun="function") == found


def test_changed_code_is_refused_by_its_old_path_and_has_another_one(folder: Path) -> None:
    (folder / "mine_b.py").write_text("value = 7\n")
    old = find_object("mine_b:value", field="function", noun="function").path
    # A new process, which reads the changed file.
    sys.modules.pop("mine_b")
    own_code._digest.cache_clear()
    (folder / "mine_b.py").write_text("value = 'longer'\n")
    new = find_object("mine_b:value", field="function", noun="function")
    assert new.value == "longer"
    assert new.path != old
    with pytest.raises(ValueError, match=rf"^kind must name code that has not changed, got {old}, and .*leave out @"):
        find_object(old, field="kind", noun="PairLoss")


def test_the_path_stays_that_of_the_code_that_was_imported(folder: Path) -> None:
    (folder / "mine_c.py").write_text("value = 7\n")
    old = find_object("mine_c:value", field="function", noun="function")
    (folder / "mine_c.py").write_text("value = 8\n")
    assert find_object("mine_c:value", field="function", noun="function") == old


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (
            "no colon",
            "must be module:name, the dotted name of a module and the name of a function in it, got no colon.",
        ),
        ("a:b:c", "must be module:name"),
        ("../a:b", "must be module:name"),
        ("a:b@zz", "must be module:name"),
        (
            "no_such_module:f",
            "must name a module that this environment can import, and no_such_module raised ModuleNotFoundError: "
            "No module named 'no_such_module' (install the package, or start the command with PYTHONPATH set to the "
            "folder that contains the module).",
        ),
        (
            "tests.own_functions:by_party",
            "must name a function of the module tests.own_functions (did you mean by_parity?), got by_party.",
        ),
    ],
)
def test_a_path_that_leads_nowhere_is_refused_in_a_sentence(path: str, expected: str) -> None:
    with pytest.raises(ValueError, match=r"^function must ") as caught:
        find_object(path, field="function", noun="function")
    assert expected in str(caught.value)
