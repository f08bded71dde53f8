from typing import get_args

import pytest

from peerkd.config.cluster import ClusterConfig
from peerkd.errors import ClusterUnavailableError
from peerkd.launch.kubernetes.kinds import JOB_KINDS, PYTORCHJOB, TRAINJOB
from peerkd.launch.kubernetes.kinds.choice import choose_kind, find_kind
from peerkd.launch.kubernetes.kinds.kind import JobKind
from tests.unit.launch.doctor.conftest import Answering

PYTORCHJOBS = {"/apis/kubeflow.org/v1": {"resources": [{"name": "pytorchjobs"}]}}
TRAINJOBS = {"/apis/trainer.kubeflow.org/v1alpha1": {"resources": [{"name": "trainjobs"}]}}


def test_the_settings_can_name_each_kind() -> None:
    named = get_args(ClusterConfig.model_fields["job_kind"].annotation)
    assert named == ("auto", *(kind.name.lower() for kind in JOB_KINDS))
    assert [find_kind(name) for name in named] == [None, *JOB_KINDS]


@pytest.mark.parametrize(
    ("served", "kind"),
    [
        (PYTORCHJOBS, PYTORCHJOB),
        (TRAINJOBS, TRAINJOB),
        (PYTORCHJOBS | TRAINJOBS, PYTORCHJOB),
        ({"/apis/kubeflow.org/v1": {"resources": [{"name": "notebooks"}]}, **TRAINJOBS}, TRAINJOB),
    ],
)
def test_auto_is_the_first_kind_that_the_cluster_has(served: dict[str, object], kind: JobKind) -> None:
    cluster = Answering()
    cluster.answers.update(served)
    assert choose_kind("auto", cluster) is kind


def test_a_cluster_that_serves_no_kind_may_serve_one_later() -> None:
    cluster = Answering()
    with pytest.raises(ClusterUnavailableError, match="must serve PyTorchJobs or TrainJobs"):
        choose_kind("auto", cluster)


def test_a_kind_that_is_named_needs_no_request() -> None:
    cluster = Answering()
    assert choose_kind("trainjob", cluster) is TRAINJOB
    assert cluster.asked == []
