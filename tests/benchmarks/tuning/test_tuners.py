import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.tuning import tuners
from benchmarks.tuning.replay import Replay
from benchmarks.tuning.tuners import TUNERS, build

RIVALS = Path(tuners.__file__).parent / "rivals"


def test_every_rival_has_the_name_of_its_file() -> None:
    with_build = {path.stem for path in RIVALS.glob("*.py") if "def build(" in path.read_text(encoding="utf-8")}
    assert with_build == {
        name for name, entry in TUNERS.items() if entry.builder == f"benchmarks.tuning.rivals.{name}:build"
    }


def test_listing_the_tuners_imports_none_of_them() -> None:
    script = "import sys; import benchmarks.tuning.tuners; print({'optuna', 'scipy', 'torch'} & sys.modules.keys())"
    ended = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert ended.stdout == "set()\n"


def test_a_package_that_is_not_installed_is_named(replay: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "benchmarks.tuning.rivals.tpe", raising=False)
    with pytest.raises(ValueError, match=r"tuner tpe must have optuna installed, which peerkd\[bench\] brings"):
        build("tpe", replay.space, seed=0, earlier=())
