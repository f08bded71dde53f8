"""The options that several commands have, each written once, and the groups in which commands take them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

if TYPE_CHECKING:
    from peerkd.config.launch import LaunchConfig
    from peerkd.config.pipelines import Pipeline
    from peerkd.config.resolve import Config

PipelineName = Annotated[str, typer.Option("--pipeline", metavar="NAME", help="jointkd or pcl.")]
Preset = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Named experiment to start from; see 'peerkd config presets'.", show_default="digits"
    ),
]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="YAML or JSON file, in place of a preset.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set any field, as in seed=3. Repeatable.")
]
Output = Annotated[Path, typer.Option(help="Folder of the artifact store; with --store, of the report alone.")]

Strategy = Annotated[
    str,
    typer.Option(metavar="NAME", help="How settings are found: sweep, which tries all, or tune, for a share of that."),
]
RunBackend = Annotated[
    str, typer.Option(metavar="NAME", help="Where peers are trained: local, or kubernetes for jobs on a cluster.")
]
Workers = Annotated[
    int | None,
    typer.Option(
        help="Pods of each job, or processes of each stage on this machine; 0 runs all stages in this very process.",
        show_default=False,
    ),
]
Gpus = Annotated[int | None, typer.Option(help="GPUs of each pod, with --backend kubernetes.", show_default=False)]
ClusterSettings = Annotated[
    str,
    typer.Option(
        metavar="'KEY=VALUE ...'",
        help="Settings of the jobs, with --backend kubernetes: 'memory_per_worker=16Gi queue=research'.",
    ),
]
Store = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Artifact store in place of --output: s3://bucket/prefix.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the jobs that --backend kubernetes would make.")]

Namespace = Annotated[
    str | None, typer.Option(help="Namespace of the jobs. Without it, the kubeconfig's or the pod's own.")
]
Endpoint = Annotated[
    str,
    typer.Option(
        metavar="URL",
        envvar=["KFP_ENDPOINT", "KF_PIPELINES_ENDPOINT"],
        help="Address of the Kubeflow Pipelines server.",
    ),
]
Token = Annotated[
    str, typer.Option(envvar="KFP_EXISTING_TOKEN", help="Bearer token for the server.", show_default=False)
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        envvar="KF_PIPELINES_SA_TOKEN_PATH",
        help="File with the token, read before each request, so that it may be renewed. --token wins.",
        show_default=False,
    ),
]
WatchTimeout = Annotated[float | None, typer.Option(min=0, help="Seconds to wait at most; the run goes on.")]
WatchPatience = Annotated[
    float | None,
    typer.Option(min=0, help="Seconds that the server may be away before the watch ends.", show_default="600"),
]


class Experiment(NamedTuple):
    """The options that describe an experiment."""

    preset: Preset = None
    config: ConfigFile = None
    override: Overrides = None

    def load(self, pipeline: "Pipeline[Config]") -> "Config":
        """Return the experiment; see ``peerkd.config.resolve.load``."""
        # Imported here, so that the help of the program is shown without loading the configs.
        from peerkd.config.resolve import load

        return load(pipeline, preset=self.preset, config_file=self.config, overrides=self.override or [])


class Jobs(NamedTuple):
    """The options of the jobs that do a run's work, and of the store that they share."""

    workers: Workers = None
    gpus: Gpus = None
    cluster: ClusterSettings = ""
    store: Store = None

    def launch(self, backend: str) -> "LaunchConfig":
        """Return the launch description.

        Raises:
            ValueError: If an option breaks a rule.
        """
        from peerkd.config.launch import LaunchConfig

        return LaunchConfig.from_mapping(
            {"backend": backend, "num_workers": self.workers, "gpus": self.gpus, "cluster": self.cluster}
        )


class Server(NamedTuple):
    """The options that name a server of Kubeflow Pipelines."""

    endpoint: Endpoint = ""
    token: Token = ""
    token_file: TokenFile = None


class Watching(NamedTuple):
    """The options of waiting for a run."""

    timeout: WatchTimeout = None
    patience: WatchPatience = None
