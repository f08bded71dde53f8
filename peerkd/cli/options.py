"""The options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

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
    int | None, typer.Option(help="Pods of each job, or processes of each stage on this machine.", show_default=False)
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
