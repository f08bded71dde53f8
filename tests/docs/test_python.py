"""The Python examples run as shown, in the calling process."""

import contextlib
import io
import json
import re
import shutil
from pathlib import Path

import pytest

import peerkd
from peerkd.results.table import read_table
from peerkd.stages.peer_data import read_data
from tests.debugger import Debugger, no_processes
from tests.docs.pages import ROOT, blocks

SMALL = {
    "partition.num_peers": 2,
    "data.max_train_samples": 150,
    "data.max_test_samples": 50,
    "pretrain.epochs": 1,
    "distill.epochs": 1,
    "sweep.temperatures": [1],
    "sweep.alphas": [0.5],
    "sweep.transfer_sets": ["student"],
    # The debugger stops where a ResNet distils.
    "peers.architectures": ["resnet20"],
}


def smaller(code: str) -> str:
    """Return an example with the overrides of a small experiment."""
    small = re.sub(r"overrides=\{[^}]*\}", f"overrides={SMALL}", code)
    assert small != code
    return small


def examples() -> list[str]:
    return [block.body for block in blocks() if block.page == "docs/python.md" and block.language == "python"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the example of the page has run."""
    folder = tmp_path_factory.mktemp("python")
    example = examples()[0]
    debugger = Debugger.at("peerkd.training.distill", "distill")
    said = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(said), no_processes():
        debugger.run(smaller(example), {})
    assert debugger.stops
    assert all(stop.is_here for stop in debugger.stops)
    assert "test_global_gain" in said.getvalue()
    return folder


def test_the_example_fills_a_store_with_the_trials(folder: Path) -> None:
    (table,) = folder.glob("runs/distill_pairs/*/trials.parquet")
    assert read_table(table).num_rows == len(peerkd.open_run(store=folder / "runs").table()) > 2


def test_the_notebook_of_a_first_study_runs_from_its_first_cell_to_its_last(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    notebook = ROOT / "docs" / "notebooks" / "first_study.ipynb"
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    assert all(cell.get("outputs", []) == [] for cell in cells)
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    said, names = io.StringIO(), {}
    with contextlib.redirect_stdout(said), no_processes():
        exec(smaller(code), names)
    assert "Mean over pairs by temperature" in names["surface"]._repr_html_()
    assert "report.html" in said.getvalue()
    assert len(peerkd.list_runs(folder / "runs")) == 1


def test_the_other_examples_run_one_after_another(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = shutil.copytree(folder, folder.with_name("examples"))
    monkeypatch.chdir(store)
    in_progress, partial, charts, compared = examples()[1:]
    said, names = io.StringIO(), {"peerkd": peerkd, "config": peerkd.load(overrides={**SMALL, "sweep.alphas": [0.9]})}
    with contextlib.redirect_stdout(said), no_processes():
        for code in (in_progress, partial, charts):
            exec(code, names)
        one, other = (run.name for run in peerkd.list_runs("runs"))
        exec(re.sub(r"compare\(\[.*?\]", f"compare({[one, other]}", compared), names)
    assert "100%" in said.getvalue()
    assert {path.name for path in store.iterdir()} >= {"surface.csv", "surface.html", "compared.html"}


def test_a_run_gives_its_config_its_tables_and_its_networks(folder: Path) -> None:
    run = peerkd.open_run(store=folder / "runs")
    assert run.is_finished
    assert run.config == peerkd.load(overrides=SMALL)
    assert run.summary.startswith("digits: 2 ordered pairs")
    assert {"trials", "pairs", "cost"} <= set(run.tables)
    assert {"intervals", "bars", "surface", "matrix"} <= {figure.kind for figure in run.figures}
    assert all(figure.title and figure.data for figure in run.figures)
    assert run.table("pairs", form="polars").shape == run.table("pairs").shape
    so_far = run.partial_table()
    assert (len(so_far), so_far.is_partial.any()) == (len(run.table("trials")), False)
    exported = run.export(0, folder / "student.safetensors")
    assert (exported["check"]["largest_difference"], Path(exported["file"]).is_file()) == (0, True)
    before, after = run.network(1, stage="pretrain_peers"), run.network(1)
    assert not after.training
    assert before.state_dict().keys() == after.state_dict().keys()
    for call, message in (
        (lambda: run.table("trails"), "name must be one of trials, "),
        (lambda: run.network(2), "peer must be from 0 to 1, got 2."),
        (lambda: run.network(), "peer must be from 0 to 1, got None."),
        (lambda: run.network(0, method="pcl"), "method, architecture, seed and is_ensemble must not be given"),
        (lambda: run.network(0, stage="collaborate_peers"), "stage must be one of pretrain_peers, improve_peers, got"),
        (lambda: run.folder("tune_pairs"), "stage must be one of "),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            call()


def test_a_function_follows_a_run_and_interrupts_it(folder: Path) -> None:
    config, store = peerkd.load(overrides=SMALL), folder / "runs"

    def stop(progress: peerkd.RunProgress) -> None:
        raise RuntimeError(progress.stage)

    with pytest.raises(RuntimeError, match=r"^partition_data$"):
        peerkd.run(config, store=store, on_progress=stop)
    seen: list[peerkd.RunProgress] = []
    again = peerkd.run(config, store=store, on_progress=seen.append)
    assert again.name in (store / "index.html").read_text(encoding="utf-8")
    assert again.name == peerkd.open_run(store=store).name
    assert tuple(dict.fromkeys(progress.stage for progress in seen)) == seen[0].stages


def test_the_arrays_of_the_page_about_own_data_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (example,) = (block.body for block in blocks() if block.page == "docs/own-data.md" and block.language == "python")
    exec(example, {})
    changes = {"data": {"source": "npz", "path": "arrays.npz"}, "peers": {"architectures": ["resnet20"]}}
    dataset = read_data("plan", peerkd.load(config=changes), store=None)
    assert dataset.class_names == ("cat", "dog", "owl")
    assert dataset.image_shape == (3, 32, 32)


def test_the_module_of_the_page_about_own_code_is_the_one_that_is_tested() -> None:
    shown = [block.body for block in blocks() if block.page == "docs/own-code.md" and block.language == "python"]
    assert shown == [(ROOT / "docs" / "examples" / "my_study.py").read_text(encoding="utf-8")]


def test_the_page_names_everything_that_is_public() -> None:
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    assert [name for name in peerkd.__all__ if name != "__version__" and f"`peerkd.{name}" not in page] == []
