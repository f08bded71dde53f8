import pytest

from peerkd.config.cluster import ClusterConfig
from peerkd.errors import ClusterUnavailableError
from peerkd.launch.doctor import api
from peerkd.launch.kubernetes.kinds import PYTORCHJOB, TRAINJOB
from tests.unit.launch.doctor.conftest import Answering

OPERATOR = "/apis/apps/v1/deployments"


@pytest.mark.parametrize(("version", "ok"), [("v1.26.3", False), ("v1.27.0", True), ("v1.34.1+k3s1", True)])
def test_an_old_cluster_is_reported(cluster: Answering, version: str, ok: bool) -> None:
    cluster.answers["/version"] = {"gitVersion": version}
    result = api.check_reachable(cluster)
    assert (result.ok, version in result.sentence) == (ok, True)


def test_a_cluster_that_does_not_answer_raises_its_error(cluster: Answering) -> None:
    cluster.answers["/version"] = ClusterUnavailableError("The cluster's API cannot be reached.")
    with pytest.raises(ClusterUnavailableError):
        api.check_reachable(cluster)


@pytest.mark.parametrize(
    ("check", "path", "plural", "lacking"),
    [
        (lambda cluster: api.check_kind(cluster, PYTORCHJOB), "/apis/kubeflow.org/v1", "pytorchjobs", False),
        # Kubeflow Pipelines is one of three ways to run a pipeline.
        (api.check_workflows, "/apis/argoproj.io/v1alpha1", "workflows", None),
    ],
)
def test_a_kind_counts_only_if_its_api_lists_it(cluster: Answering, check, path, plural, lacking) -> None:
    assert check(cluster).ok is lacking
    cluster.answers[path] = {"resources": [{"name": "others"}]}
    assert check(cluster).ok is lacking
    cluster.answers[path]["resources"].append({"name": plural})
    assert check(cluster).ok is True


def test_a_kind_needs_what_its_controller_creates(cluster: Answering) -> None:
    cluster.answers["/apis/trainer.kubeflow.org/v1alpha1"] = {"resources": [{"name": "trainjobs"}]}
    result = api.check_kind(cluster, TRAINJOB)
    assert result.ok is False
    assert result.sentence == (
        "The cluster has TrainJobs, and no jobsets.jobset.x-k8s.io, with which the Trainer creates pods."
    )
    cluster.answers["/apis/jobset.x-k8s.io/v1alpha2"] = {"resources": [{"name": "jobsets"}]}
    assert api.check_kind(cluster, TRAINJOB).ok is True


def operator(*, num_ready: int, image: str) -> dict[str, object]:
    return {
        "metadata": {"namespace": "kubeflow"},
        "spec": {"template": {"spec": {"containers": [{"image": image}]}}},
        "status": {"readyReplicas": num_ready} if num_ready else {},
    }


@pytest.mark.parametrize(
    ("items", "ok", "words"),
    [
        ([], False, "The training operator is not installed"),
        ([operator(num_ready=0, image="x:v1.9.3")], False, "is not ready"),
        ([operator(num_ready=1, image="x:v1.8.1")], False, "is 1.8.1"),
        ([operator(num_ready=1, image="x:v1.9.3")], True, "kubeflow/training-operator is ready (1.9.3)."),
        ([operator(num_ready=1, image="x:v1-93c5489")], True, "kubeflow/training-operator is ready."),
    ],
)
def test_the_operator_must_exist_be_ready_and_be_new_enough(cluster: Answering, items, ok, words) -> None:
    cluster.answers[OPERATOR] = {"items": items}
    result = api.check_controller(cluster, PYTORCHJOB)
    assert (result.ok, words in result.sentence) == (ok, True)
    assert bool(result.fix) is not ok


def test_an_operator_that_cannot_be_seen_is_unknown(cluster: Answering) -> None:
    cluster.forbid(OPERATOR)
    assert api.check_controller(cluster, PYTORCHJOB).ok is None


@pytest.mark.parametrize(("version", "ok"), [("v1beta2", True), ("v1beta1", False), (None, False)])
def test_kueue_is_checked_if_a_queue_is_set(cluster: Answering, version: str | None, ok: bool) -> None:
    if version:
        cluster.answers[f"/apis/kueue.x-k8s.io/{version}"] = {"resources": [{"name": "localqueues"}]}
    assert api.check_kueue(cluster, ClusterConfig()) is None
    result = api.check_kueue(cluster, ClusterConfig(queue="research"))
    assert result is not None
    assert result.ok is ok
