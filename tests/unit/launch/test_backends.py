import pytest

from peerkd.config.cluster import ClusterConfig
from peerkd.launch.backends import open_backend
from peerkd.launch.kubernetes.run import PyTorchJobs


@pytest.mark.parametrize(
    ("name", "environment", "kind"),
    [
        ("kubernetes", {}, "PyTorchJobs"),
        ("auto", {"KFP_POD_NAME": "step"}, "PyTorchJobs"),
        ("local", {"KFP_POD_NAME": "step"}, "LocalWorkers"),
        ("auto", {}, "LocalWorkers"),
    ],
)
def test_a_name_becomes_a_backend(name: str, environment: dict[str, str], kind: str) -> None:
    backend = open_backend(name, cluster=ClusterConfig(), run_id="r", task_id="t", environment=environment)
    assert type(backend).__name__ == kind


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="backend must be one of auto, local, kubernetes, got slurm"):
        open_backend("slurm", cluster=ClusterConfig())


def test_no_cluster_is_looked_for_before_there_is_an_order() -> None:
    assert isinstance(open_backend("kubernetes", cluster=ClusterConfig()), PyTorchJobs)
