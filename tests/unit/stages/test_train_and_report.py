"""The stages of a route run one after another; jobs and reports are replaced by recorders."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from peerkd.artifacts import references
from peerkd.artifacts.open import open_store
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.config.cluster import CLUSTER_FILE_VARIABLE
from peerkd.config.collaborate import CollaborateConfig
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.launch import LaunchConfig
from peerkd.config.pcl import PclConfig
from peerkd.config.strict import StrictConfig
from peerkd.errors import StageFailedError
from peerkd.launch.order import StageOrder
from peerkd.stages import launched_stage, train_and_report
from peerkd.stages.command import find_stage
from peerkd.stages.run_record import ROUTES, Route
from tests.unit.stages.backends import Backend

CONFIGS: Mapping[str, StrictConfig] = {
    "jointkd": ExperimentConfig(),
    "pcl": PclConfig(),
    "collaborate": CollaborateConfig(),
}
SWEEP = ROUTES[0]


class Report:
    """A stage that records what it reports on."""

    def __init__(self) -> None:
        self.sources: list[Manifest] = []

    def make_all(self, config: StrictConfig, sources: Sequence[Manifest], store: ArtifactStore) -> Manifest:
        self.sources = list(sources)
        return Manifest(key="report/1", files={}, metadata={})

    def copy(
        self,
        manifest: Manifest,
        store: ArtifactStore,
        *,
        report_path: str,
        table_path: str,
        describe_table: Callable[[Mapping[str, str]], None],
        log_metric: Callable[[str, float], None],
    ) -> None:
        Path(report_path).write_text(manifest.key)
        Path(table_path).touch()
        describe_table({"display_name": "pairs.csv"})
        log_metric("pairs", 1.0)


class Task:
    """The task of one route, with the outputs of its last run."""

    def __init__(self, folder: Path, route: Route) -> None:
        self.folder, self.route = folder, route
        self.store = open_store(str(folder / "store"))
        self.config = CONFIGS[route.pipeline]
        self.report, self.metadata, self.metrics = Report(), dict[str, str](), dict[str, float]()
        self.divide("a")

    def divide(self, *names: str) -> list[Manifest]:
        """Publish a division of the data for each name, as the first task does."""
        keys = [f"{self.route.stages[0]}/{name}" for name in names]
        for key in keys:
            if self.store.find(key) is None:
                with self.store.open_workspace(key):
                    self.store.publish(key, metadata={})
        made = list(map(self.published, keys))
        references.write(str(self.folder / "division"), *made)
        return made

    def published(self, key: str) -> Manifest:
        manifest = self.store.find(key)
        assert manifest is not None
        return manifest

    def run(self, **options: Any) -> str:
        return train_and_report.run(
            pipeline=self.route.pipeline,
            strategy=self.route.strategy or "",
            config_json=self.config.to_json(),
            store=str(self.folder / "store"),
            launch=LaunchConfig(backend="kubernetes", num_workers=2).to_json(),
            run_id="r",
            division_path=str(self.folder / "division"),
            report_path=str(self.folder / "report"),
            table_path=str(self.folder / "table"),
            describe_table=self.metadata.update,
            log_metric=self.metrics.__setitem__,
            **options,
        )

    def lose(self, *stages: str) -> None:
        """Delete the artifacts of stages from the store."""
        for stage in stages:
            shutil.rmtree(self.folder / "store" / stage)


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CLUSTER_FILE_VARIABLE, raising=False)
    monkeypatch.delenv("PEERKD_ERROR_FILE", raising=False)


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Route], tuple[Task, Backend]]:
    def begin(route: Route) -> tuple[Task, Backend]:
        task = Task(tmp_path, route)
        backend = Backend(task.store)
        modules = {f"peerkd.stages.{route.stages[-1]}": SimpleNamespace(STAGE=task.report)}
        monkeypatch.setattr(train_and_report, "import_module", modules.__getitem__)
        monkeypatch.setattr(launched_stage, "open_backend", backend.open)
        return task, backend

    return begin


each_route = pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.title)


@each_route
def test_the_stages_of_a_route_run_in_order_and_the_last_result_is_reported(
    route: Route, begin: Callable[[Route], tuple[Task, Backend]]
) -> None:
    task, backend = begin(route)
    assert task.run() == "report/1"
    assert tuple(order.stage for order in backend.orders) == route.stages[1:-1]
    (last,) = task.divide("a")
    for order in backend.orders:
        (source,) = order.inputs.values()
        assert source == references.reference(last)
        assert order.key == find_stage(order.stage).key(task.config, last)
        last = task.published(order.key)
    assert task.report.sources == [last]
    assert backend.opened["run_id"] == "r"
    assert (task.folder / "report").read_text() == "report/1"
    assert (task.metadata, task.metrics) == ({"display_name": "pairs.csv"}, {"pairs": 1.0})


@each_route
def test_a_second_run_orders_nothing_and_a_store_that_lost_its_results_makes_them_again(
    route: Route, begin: Callable[[Route], tuple[Task, Backend]], capsys: pytest.CaptureFixture[str]
) -> None:
    """The division, which the first task publishes, is there; Kubeflow Pipelines may have answered for that task."""
    task, backend = begin(route)
    task.run()
    backend.orders.clear()
    capsys.readouterr()
    assert task.run() == "report/1"
    assert backend.orders == []
    assert capsys.readouterr().out.count(": already done: ") == len(route.stages) - 2
    task.lose(*route.stages[1:-1])
    task.run()
    assert tuple(order.stage for order in backend.orders) == route.stages[1:-1]


def test_each_study_of_several_seeds_is_ordered_with_the_config_of_its_seed(
    begin: Callable[[Route], tuple[Task, Backend]],
) -> None:
    task, backend = begin(SWEEP)
    task.config = ExperimentConfig(seed=7, num_seeds=2)
    divisions = task.divide("a", "b")
    task.run()
    studies = [ExperimentConfig(seed=seed) for seed in (7, 8)]
    ordered = [order for order in backend.orders if order.stage == "pretrain_peers"]
    assert [order.config_json for order in ordered] == [study.to_json() for study in studies]
    assert [order.inputs["partition"] for order in ordered] == list(map(references.reference, divisions))
    assert len(task.report.sources) == 2
    assert [order.stage for order in backend.orders] == [name for name in SWEEP.stages[1:-1] for _ in studies]


def test_a_division_that_the_store_has_lost_is_reported(
    begin: Callable[[Route], tuple[Task, Backend]], capsys: pytest.CaptureFixture[str]
) -> None:
    """The first task was answered from the cache of Kubeflow Pipelines, which does not know the store."""
    task, backend = begin(SWEEP)
    task.lose("partition_data")
    with pytest.raises(SystemExit, match="1"):
        task.run()
    assert "train_and_report: error: The store no longer has partition_data/a: " in capsys.readouterr().out
    assert backend.orders == []


def test_an_error_is_reported_under_the_name_of_its_stage(
    begin: Callable[[Route], tuple[Task, Backend]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    task, backend = begin(SWEEP)
    done = backend.run

    def rain(order: StageOrder) -> Any:
        if order.stage == "distill_pairs":
            raise StageFailedError("It rained.")
        return done(order)

    monkeypatch.setattr(backend, "run", rain)
    with pytest.raises(SystemExit, match="1"):
        task.run()
    assert "distill_pairs: error: It rained." in capsys.readouterr().out


def test_what_a_task_passes_on_reaches_the_settings_of_the_jobs(
    begin: Callable[[Route], tuple[Task, Backend]],
) -> None:
    task, backend = begin(SWEEP)
    task.run(task_config={"resources": {"limits": {"cpu": "3"}}})
    assert backend.opened["cluster"].cpu_per_worker == "3"
    assert backend.opened["cluster"].num_workers == 2
