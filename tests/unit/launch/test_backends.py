import pytest

from peerkd.config.cluster import ClusterConfig
from peerkd.config.launch import LaunchConfig
from peerkd.launch.backends import check_device, check_launch, choose_backend, open_backend
from peerkd.launch.kubernetes.run import KubernetesJobs

IN_A_TASK = {"KFP_POD_NAME": "step"}


@pytest.mark.parametrize(
    ("name", "environment", "kind"),
    [
        ("kubernetes", {}, "KubernetesJobs"),
        ("auto", IN_A_TASK, "KubernetesJobs"),
        ("local", IN_A_TASK, "LocalWorkers"),
        ("auto", {}, "LocalWorkers"),
    ],
)
def test_a_name_becomes_a_backend(name: str, environment: dict[str, str], kind: str) -> None:
    launch = LaunchConfig(backend=name)
    backend = open_backend(launch, cluster=ClusterConfig(), run_id="r", environment=environment)
    assert type(backend).__name__ == kind


def test_zero_workers_mean_the_calling_process() -> None:
    for name in ("local", "auto"):
        assert choose_backend(LaunchConfig(backend=name, num_workers=0), environment={}) == "in_process"
    assert choose_backend(LaunchConfig(backend="local", num_workers=0), environment=IN_A_TASK) == "in_process"


def test_a_job_without_workers_is_refused_where_auto_is_a_cluster() -> None:
    launch = LaunchConfig(num_workers=0)
    check_launch(launch, environment={})
    with pytest.raises(ValueError, match=r"^num_workers must be at least 1 with the backend kubernetes, got 0, which "):
        check_launch(launch, environment=IN_A_TASK)


def test_no_cluster_is_searched_before_an_order_exists() -> None:
    assert isinstance(open_backend(LaunchConfig(backend="kubernetes"), cluster=ClusterConfig()), KubernetesJobs)


def test_a_cluster_has_no_apple_gpu() -> None:
    check_device(LaunchConfig(), "mps", environment={})
    check_device(LaunchConfig(), "cuda", environment=IN_A_TASK)
    with pytest.raises(ValueError, match=r"^compute.device must be auto, cpu or cuda on a cluster, .*, got mps\.$"):
        check_device(LaunchConfig(), "mps", environment=IN_A_TASK)
