"""The runs of a store from Python: their properties, tables, reports and networks."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final, Literal, overload

from peerkd.artifacts.open import open_store
from peerkd.artifacts.store import ArtifactStore
from peerkd.config.pcl import PclConfig
from peerkd.config.peer_experiment import PeerExperimentConfig
from peerkd.config.pipelines import find_pipeline
from peerkd.stages.report_stage import METRICS_NAME
from peerkd.stages.run_record import EXPERIMENT_NAME, KIND
from peerkd.stages.stored_runs import StoredRun, find_run, list_runs
from peerkd.training.inputs import peer_name, student_name

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from torch import nn

    from peerkd.api.figures import Figure
    from peerkd.config.strict import StrictConfig
    from peerkd.results.cost import Cost

_MAIN_TABLES: Final = ("choices", "trials", "rounds", "curves")
"""The names of the tables with a run's results. ``Run.table`` returns the first one that the run has."""

_STAGES_OF_NETWORKS: Final = ("pretrain_peers", "improve_peers", "collaborate_peers")
"""The stages that publish a network for each peer, in their order."""

_TABLE_SUFFIXES: Final = (".parquet", ".csv")


@dataclass(frozen=True, slots=True)
class Run:
    """A run in a store, finished or not. Files of a remote store are fetched when they are first needed."""

    stored: StoredRun
    """The properties of the run: ``name``, ``key``, ``pipeline``, ``strategy``, ``headline``, ``cost``, ``stages_left``
    and others."""

    store: ArtifactStore

    @property
    def name(self) -> str:
        """The name of the run, such as ``digits-dirichlet0.3-a1b2``."""
        return self.stored.name

    def __repr__(self) -> str:
        """Return the name, the pipeline and the state of the run in one line."""
        pipeline = " ".join(filter(None, (self.stored.pipeline, self.stored.strategy)))
        return f"<Run {self.name}: {pipeline}, {self.stored.state}>"

    @property
    def is_finished(self) -> bool:
        """Whether the run has its report."""
        return self.stored.is_finished

    @property
    def headline(self) -> str:
        """The result in a phrase. Empty for an unfinished run."""
        return self.stored.headline

    @property
    def config(self) -> "StrictConfig":
        """The whole config with which the run was started.

        Raises:
            ValueError: If an earlier version started the run and did not record the config, or this version refuses it.
        """
        record = self.stored.find(KIND)
        if record is None:
            raise ValueError(f"run must be one whose config was recorded, got {self.name}.")
        text = (self.store.fetch(record.key) / EXPERIMENT_NAME).read_text(encoding="utf-8")
        return find_pipeline(self.stored.pipeline).config.from_json(text)

    @property
    def summary(self) -> str:
        """The summary that ``peerkd run`` prints at the end.

        Raises:
            ValueError: If the run is unfinished.
        """
        return (self._report_folder() / "summary.txt").read_text(encoding="utf-8")

    @property
    def metrics(self) -> dict[str, float]:
        """The headline numbers by name. The names contain the units.

        Raises:
            ValueError: If the run is unfinished.
        """
        values = json.loads((self._report_folder() / METRICS_NAME).read_text(encoding="utf-8"))
        return {name: float(value) for name, value in values.items() if isinstance(value, int | float)}

    @property
    def cost(self) -> "Cost | None":
        """The time of workers and GPUs, and the price, if they are known."""
        return self.stored.cost

    @property
    def report(self) -> Path:
        """The path of the report, a page of HTML.

        Raises:
            ValueError: If the run is unfinished.
        """
        return self._report_folder() / "report.html"

    @property
    def figures(self) -> "tuple[Figure, ...]":
        """The charts of the report as data, in the order of the page. Reports of earlier versions have none.

        Raises:
            ValueError: If the run is unfinished.
        """
        from peerkd.api.figures import read_figures

        return tuple(read_figures(self.report.read_text(encoding="utf-8")))

    def folder(self, stage: str) -> Path:
        """Return the folder with the files of the artifact of a stage, such as ``distill_pairs`` or ``improve_peers``.

        Raises:
            ValueError: If the run has no artifact of this stage.
        """
        found = self.stored.find(stage)
        if found is None:
            stages = dict.fromkeys(key.partition("/")[0] for key in self.stored.artifacts)
            raise ValueError(f"stage must be one of {', '.join(stages)}, got {stage}.")
        return self.store.fetch(found.key)

    @property
    def tables(self) -> tuple[str, ...]:
        """The names of all tables of the run, such as ``trials`` and ``pairs``."""
        return tuple(dict.fromkeys(name for name, _, _ in self._table_files()))

    @overload
    def table(self, name: str | None = ..., *, form: Literal["pandas"] = ...) -> "pd.DataFrame": ...

    @overload
    def table(self, name: str | None = ..., *, form: Literal["polars"]) -> "pl.DataFrame": ...

    @overload
    def table(self, name: str | None = ..., *, form: Literal["arrow"]) -> "pa.Table": ...

    def table(self, name: str | None = None, *, form: Literal["pandas", "polars", "arrow"] = "pandas") -> Any:
        """Return a table of the run.

        Args:
            name: The name of the table, one of ``tables``. None: the choices of a tuned study, the trials of a sweep,
                the rounds of ``collaborate``, or the curves of ``pcl``.
            form: ``pandas``, ``polars`` or ``arrow``. The first two need the package of this name, which the extra
                ``tables`` installs.

        Raises:
            ValueError: If the run has no such table, or the package is not installed.
        """
        files = {found: (key, file) for found, key, file in self._table_files()}
        chosen = next((each for each in _MAIN_TABLES if each in files), "") if name is None else name
        if name is None and not chosen:
            left = ", ".join(self.stored.stages_left)
            raise ValueError(f"run must be one that has a table, got {self.name}, which lacks {left or 'its results'}.")
        if chosen not in files:
            raise ValueError(f"name must be one of {', '.join(files) or 'the tables of the run'}, got {chosen!r}.")
        key, file = files[chosen]
        return _in_form(_read(self.store.fetch(key) / file), form)

    def network(
        self,
        peer: int | None = None,
        *,
        stage: str | None = None,
        method: str | None = None,
        architecture: str | None = None,
        seed: int | None = None,
        is_ensemble: bool = False,
    ) -> "nn.Module":
        """Return a trained network, on the CPU and in evaluation mode.

        The network of a peer is named by ``peer`` and ``stage``. A network of ``pcl`` is named by the other arguments.

        Args:
            peer: The number of the peer.
            stage: The stage that published the network: ``pretrain_peers`` for the peer before any distillation,
                ``improve_peers`` for its better network, or ``collaborate_peers`` for its network after the rounds.
                None: the last of these stages.
            method: The method, such as ``pcl``. It can be omitted if the study has only one.
            architecture: The architecture. It can be omitted if the study has only one.
            seed: The seed. None: the first seed of the study.
            is_ensemble: Whether to return the ensemble that the method has trained, in place of the network that it
                deploys.

        Raises:
            ValueError: If the run has no such network, or the arguments do not name a network.
        """
        from peerkd.api import networks

        config = self.config
        if isinstance(config, PclConfig):
            if (peer, stage) != (None, None):
                raise ValueError(
                    "peer and stage must not be given for a run of pcl, whose networks are named by method, "
                    "architecture and seed."
                )
            run = networks.find_run(config, method=method, architecture=architecture, seed=seed)
            return networks.network_of_method(run, self.folder("train_pcl"), is_ensemble=is_ensemble)
        if (method, architecture, seed, is_ensemble) != (None, None, None, False):
            raise ValueError(
                "method, architecture, seed and is_ensemble must not be given for a run with peers, whose networks are "
                "named by peer and stage."
            )
        published = [name for name in _STAGES_OF_NETWORKS if self.stored.find(name)]
        if not published or not isinstance(config, PeerExperimentConfig):
            raise ValueError(f"run must be one that has published peers, got {self.name}.")
        if stage is not None and stage not in published:
            raise ValueError(f"stage must be one of {', '.join(published)}, got {stage}.")
        if peer is None or not 0 <= peer < config.partition.num_peers:
            raise ValueError(f"peer must be from 0 to {config.partition.num_peers - 1}, got {peer}.")
        chosen = stage or published[-1]
        name = peer_name(peer) if chosen == "pretrain_peers" else student_name(peer)
        weights = self.folder(chosen) / f"{name}.safetensors"
        if not weights.is_file():
            raise ValueError(f"peer must be one whose training did not diverge, got {peer}.")
        return networks.network_of_peer(config.networks[peer], weights, dataset_folder=self.folder("dataset"))

    def _report_folder(self) -> Path:
        if self.stored.report is None:
            raise ValueError(
                f"run must be finished, got {self.name}, which lacks {', '.join(self.stored.stages_left)}."
            )
        return self.store.fetch(self.stored.report.key)

    def _table_files(self) -> Iterator[tuple[str, str, str]]:
        """Yield the name of each table, the key of its artifact, and the name of its file."""
        for key, manifest in self.stored.artifacts.items():
            for file in manifest.files:
                path = PurePosixPath(file)
                if path.suffix in _TABLE_SUFFIXES:
                    yield path.stem, key, file

    def _repr_html_(self) -> str:
        from markupsafe import escape

        return f"<b>{escape(self.name)}</b>: {escape(self.headline or 'unfinished')}"


def list_stored_runs(store: str | Path = "runs") -> list[Run]:
    """Return the runs of a store, the latest first.

    Raises:
        ValueError: If the address is not the address of a store.
        StoreUnavailableError: If the store does not answer.
    """
    opened = open_store(str(store))
    return [Run(found, opened) for found in list_runs(opened, notify=_ignore)]


def open_run(run: str = "latest", *, store: str | Path = "runs") -> Run:
    """Return a run of a store.

    Args:
        run: ``latest``, or the name, a key or a fingerprint of a run. The first characters of a name, key or
            fingerprint are enough if only one run matches.
        store: The folder of the artifact store, or its address such as ``s3://bucket/prefix``.

    Raises:
        ValueError: If no run or several runs match, or the address is not the address of a store.
        StoreUnavailableError: If the store does not answer.
    """
    opened = open_store(str(store))
    return Run(find_run(list_runs(opened, notify=_ignore), run), opened)


def _ignore(message: str) -> None:
    """Ignore a message about a damaged artifact, which then counts as missing."""


def _read(path: Path) -> "pa.Table":
    if path.suffix == ".csv":
        return import_module("pyarrow.csv").read_csv(path)
    return import_module("pyarrow.parquet").read_table(path)


def _in_form(table: "pa.Table", form: str) -> Any:
    converters: Mapping[str, Any] = {
        "arrow": lambda: table,
        "pandas": table.to_pandas,
        "polars": lambda: _polars(table),
    }
    if form not in converters:
        raise ValueError(f"form must be one of {', '.join(converters)}, got {form!r}.")
    try:
        return converters[form]()
    except ImportError as error:
        raise ValueError(
            f"form must be arrow if {form} is not installed, got {form!r}; install it with pip install "
            "'peerkd[tables]'."
        ) from error


def _polars(table: "pa.Table") -> "pl.DataFrame":
    frame: pl.DataFrame = import_module("polars").from_arrow(table)
    return frame
