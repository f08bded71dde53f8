"""The launch description: where the stages of a run do their work, and with how many processes."""

import re
from collections.abc import Mapping
from typing import Final, Self

from pydantic import Field, model_validator

from peerkd.config.strict import StrictConfig
from peerkd.excerpt import plain
from peerkd.suggestions import check_choice

BACKENDS: Final = ("auto", "local", "kubernetes")


class LaunchConfig(StrictConfig):
    """The place where the stages of a run do their work. It changes no result, so it is not part of an experiment.

    A pipeline passes it from task to task as one JSON text.
    """

    backend: str = "auto"
    """local: processes on this machine. kubernetes: jobs on a cluster. auto: jobs if the stage runs in a Kubeflow
    pipeline on a cluster, otherwise processes."""

    num_workers: int | None = Field(default=None, ge=0)
    """The number of workers of each stage: pods of a job, or processes on this machine. 0: the stage runs in the
    calling process. Null: the number in the operator's settings."""

    gpus: int | None = Field(default=None, ge=0)
    """The number of GPUs of each pod. Null: the number that the pipeline requests for its task. If the pipeline
    requests none, it is the number in the operator's settings."""

    cluster: str = ""
    """The settings of the jobs as pairs separated by spaces, such as ``queue=research memory_per_worker=8Gi``."""

    @property
    def is_in_process(self) -> bool:
        """Whether stages run in the calling process."""
        return self.num_workers == 0

    @classmethod
    def from_parameters(cls, *, backend: str, num_workers: str, gpus: str, cluster: str) -> Self:
        """Read the parameters of a pipeline, all of which are strings. An empty string leaves a parameter unset.

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
        """Check that ``num_workers`` is possible with a backend.

        Args:
            backend: The backend that is used, after ``auto`` has been resolved.

        Raises:
            ValueError: If the number is 0 and the backend is a cluster, whose jobs need at least one pod.
        """
        if self.is_in_process and backend == "kubernetes":
            raise ValueError(
                "num_workers must be at least 1 with the backend kubernetes, got 0, which runs stages in the calling "
                "process."
            )

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_choice("backend", self.backend, BACKENDS)
        self.check_num_workers(self.backend)
        if "{{$" in self.cluster:
            raise ValueError(
                f"cluster must not contain {{{{$, which Kubeflow Pipelines would replace, got {plain(self.cluster)}."
            )
        if self.backend == "local" and self.gpus:
            raise ValueError(
                f"gpus must not be set unless the backend is kubernetes, got {self.gpus} with local: on one machine, "
                "compute.device chooses whether GPUs are used."
            )
        if self.backend == "local" and self.cluster.strip():
            raise ValueError(
                f"cluster must not be set unless the backend is kubernetes, got {plain(self.cluster)} with local, "
                "which creates no jobs."
            )
        return self


def _whole_number(parameter: str, text: str) -> int | None:
    """Return the whole number in a string, or None if the string is empty. Refuse any other string by a ``ValueError``.

    Numbers arrive as strings, because Kubeflow Pipelines drops a number of GPUs that is not a string.
    """
    if not text:
        return None
    # str.isdecimal accepts digits of other scripts; the bound keeps the number within a message.
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise ValueError(f"{parameter} must be a whole number, got {plain(text)}.")
    return int(text)
