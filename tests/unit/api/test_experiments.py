"""Configs from Python, and what the package loads."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import peerkd
from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.config.pipelines import COLLABORATE, JOINTKD, PCL
from peerkd.config.resolve import override, resolve, to_yaml
from tests.unit.stages.published_runs import SWEEP, begin, experiment

ROOT = Path(__file__).parents[3]


def test_a_preset_with_overrides_is_the_config_of_the_command_line() -> None:
    pairs = ["seed=3", "sweep.alphas=[0.5,0.9]", "partition.label_skew={kind: iid}"]
    expected = override(resolve(JOINTKD), pairs)
    changes = {"seed": 3, "sweep.alphas": [0.5, 0.9], "partition.label_skew": {"kind": "iid"}}
    assert peerkd.load(overrides=changes) == peerkd.load("jointkd", preset="digits", overrides=pairs) == expected
    assert peerkd.load("pcl") == resolve(PCL)
    assert peerkd.load("collaborate", overrides={"rounds.topology.kind": "ring"}) == resolve(
        COLLABORATE, overrides="rounds.topology.kind=ring"
    )


def test_a_file_and_a_mapping_give_the_same_config(tmp_path: Path) -> None:
    expected = peerkd.load(overrides={"seed": 3})
    (tmp_path / "mine.yaml").write_text(to_yaml(expected), encoding="utf-8")
    assert peerkd.load(config=tmp_path / "mine.yaml") == expected
    assert peerkd.load(config=expected.model_dump(mode="json")) == expected


def test_mistakes_are_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^pipeline must be one of jointkd, pcl, collaborate, got jiontkd"):
        peerkd.load("jiontkd")
    with pytest.raises(
        ValueError, match=r"^The config has 2 errors:\n  name must be text.*\n  seed must be a whole number"
    ):
        peerkd.load(preset="digits", config={"seed": "x", "name": 3})
    with pytest.raises(TypeError, match=r"^overrides must be a mapping or a list"):
        peerkd.load(overrides="seed=1")
    with pytest.raises(ValueError, match=r"^strategy must be sweep or tune, got tuned \(did you mean tune\?\)\."):
        peerkd.run(peerkd.load(), store=tmp_path, strategy="tuned")
    with pytest.raises(TypeError, match=r"^config must be a config that peerkd\.load returns, got dict\."):
        peerkd.run({}, store=tmp_path)
    with pytest.raises(ValueError, match=r"^RUN must be a run of the store, which has none, got latest\."):
        peerkd.open_run(store=tmp_path)


def test_a_plan_counts_the_trials_of_a_sweep_and_the_work_of_rounds() -> None:
    changes = {"partition.num_peers": 3, "sweep.temperatures": [1, 4], "sweep.alphas": [0.5], "pretrain.epochs": 1}
    config = peerkd.load(overrides=changes)
    swept, tuned = peerkd.plan(config), peerkd.plan(config, strategy="tune")
    assert (swept.num_pairs, swept.num_settings) == (6, 6)
    assert tuned.num_distillation_samples < swept.num_distillation_samples
    rounds = peerkd.plan(peerkd.load("collaborate", overrides={"partition.num_peers": 3}))
    assert rounds.num_peers == 3
    with pytest.raises(TypeError, match=r"^config must be a config that peerkd\.load returns, got dict\."):
        peerkd.plan({})
    with pytest.raises(peerkd.PeerKDError, match=r"^data\.path: no-such\.npz: it does not exist"):
        peerkd.plan(peerkd.load(config={"data": {"source": "npz", "path": "no-such.npz"}}))


def test_a_plan_counts_the_runs_of_a_study_of_methods() -> None:
    expected = peerkd.plan(peerkd.load("pcl", overrides={"methods": ["plain", "pcl"], "num_seeds": 3}))
    assert expected.num_runs == 6
    assert expected.num_training_samples["pcl"] == 6 * expected.num_training_samples["plain"]


def test_every_public_name_is_there_and_no_other() -> None:
    assert [name for name in peerkd.__all__ if getattr(peerkd, name) is None] == []
    assert set(peerkd.__all__) == {*peerkd._PLACES, "__version__"}
    assert set(peerkd.__all__) <= set(dir(peerkd))
    with pytest.raises(AttributeError, match="has no attribute 'runn'"):
        peerkd.runn  # noqa: B018


def test_the_import_loads_no_other_package() -> None:
    script = "import sys; before = set(sys.modules); import peerkd; print(*(set(sys.modules) - before))"
    ended = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=ROOT)
    loaded = {name.partition(".")[0] for name in ended.stdout.split()} - set(sys.stdlib_module_names)
    assert loaded == {"peerkd"}


def test_the_version_is_that_of_the_package() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert peerkd.__version__ == settings["project"]["version"]


def test_an_unfinished_run_is_told_in_one_line_and_has_no_table_yet(tmp_path: Path) -> None:
    begin(FilesystemStore(tmp_path), experiment(), SWEEP)
    (run,) = peerkd.list_runs(tmp_path)
    assert repr(run) == f"<Run {run.name}: jointkd sweep, unfinished>"
    assert f"<td>{run.name}</td><td>left: pretrain_peers, " in peerkd.list_runs(tmp_path)._repr_html_()
    with pytest.raises(ValueError, match=f"^run must be one that has a table, got {run.name}, which lacks pretrain_p"):
        run.table()
