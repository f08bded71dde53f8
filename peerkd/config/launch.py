"""The launch description: where, and how widely, the work of a run's stages is done."""

import re
from collections.abc import Mapping
from typing import Final, Self

from pydantic import Field, model_validator

from peerkd.config.strict import StrictConfig
from peerkd.excerpt import plain

BACKENDS: Final = ("auto", "local", "kubernetes")


class LaunchConfig(StrictConfig):
    """Where the work of a run's stages is done. It changes no result, so it is no part of an experiment.

    A pipeline hands it from task to task as one JSON text.
    """

    backend: str = "auto"
    """``local`` for processes on this machine, ``kubernetes`` for jobs on a cluster, ``auto`` for jobs inside of a
    Kubeflow pipeline and processes elsewhere."""

    num_workers: int | None = Field(default=None, ge=0)
    """Pods of each job, or processes of each stage on this machine. 0: no process but the one that is running. Null:
    the number in the operator's settings."""

    gpus: int | None = Field(default=None, ge=0)
    """GPUs of each pod. Null: those that the task's author or the operator's settings name."""

    cluster: str = ""
    """Settings of the jobs as a person types them, such as ``queue=research memory_per_worker=8Gi``."""

    @property
    def is_in_process(self) -> bool:
        """Whether the calling process does the work itself."""
        return self.num_workers == 0

    @classmethod
    def from_parameters(cls, *, backend: str, num_workers: str, gpus: str, cluster: str) -> Self:
        """Read the parameters of a pipeline, all of which are text; an empty one is not set.

        Raises:
            ValueError: If a parameter breaks a rule.
        """
        return cls.from_mapping(
            {
                "backend": backend,
                "num_workers": _whole_number("num_workers", num_workers),
                "gpus": _whole_number("gpus", gpus),
                "cluster": cluster,
            }
        )

    def to_parameters(self) -> Mapping[str, str]:
        """Return the parameters of a pipeline that ``from_parameters`` reads."""
        return {name: "" if value is None else str(value) for name, value in self.model_dump().items()}

    def check_num_workers(self, backend: str) -> None:
        """Check the number of workers for a backend, since ``auto`` may turn out to be a cluster.

        Raises:
            ValueError: If the jobs of a cluster would have no pods.
        """
        if self.is_in_process and backend == "kubernetes":
            raise ValueError(
                "num_workers must be at least 1 with the backend kubernetes, got 0, which stands for no process but "
                "the one that is running."
            )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.backend not in BACKENDS:
            raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {plain(self.backend)}.")
        self.check_num_workers(self.backend)
        if "{{$" in self.cluster:
            raise ValueError(
                f"cluster must not hold {{{{$, which Kubeflow Pipelines would replace, got {plain(self.cluster)}."
            )
        if self.backend == "local" and self.gpus:
            raise ValueError(
                f"gpus must be given with the backend kubernetes, got {self.gpus} with local: on one machine "
                "compute.device says whether GPUs are used."
            )
        if self.backend == "local" and self.cluster.strip():
            raise ValueError(
                f"cluster must be given with the backend kubernetes, got {plain(self.cluster)} with local, which makes "
                "no jobs."
            )
        return self


def _whole_number(parameter: str, text: str) -> int | None:
    """Read a number from text, because Kubeflow Pipelines drops a count of GPUs that is a number."""
    if not text:
        return None
    # str.isdecimal accepts digits of other scripts; the bound keeps the number within a message.
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise ValueError(f"{parameter} must be a whole number, got {plain(text)}.")
    return int(text)
