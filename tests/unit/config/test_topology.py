import pytest

from peerkd.config.cluster import ClusterConfig, resolve_cluster
from peerkd.config.launch import LaunchConfig
from peerkd.config.topology import TopologyConfig


def typed(text: str) -> ClusterConfig:
    return resolve_cluster(LaunchConfig(cluster=text))


@pytest.mark.parametrize(
    ("text", "topology"),
    [
        ("queue=a", None),
        ("queue=a topology.level=peerkd.io/rack", TopologyConfig(level="peerkd.io/rack")),
        ("queue=a topology.level=rack topology.required=true", TopologyConfig(level="rack", required=True)),
        ("queue=a 'topology={level: a.b/C_d.e-f, required: false}'", TopologyConfig(level="a.b/C_d.e-f")),
    ],
)
def test_a_run_can_name_a_level(text: str, topology: TopologyConfig | None) -> None:
    assert typed(text).topology == topology


def test_a_run_can_do_without_the_topology_of_the_operator() -> None:
    settings = {"PEERKD_CLUSTER": "queue: a\ntopology: {level: peerkd.io/rack}"}
    assert resolve_cluster(environment=settings).topology == TopologyConfig(level="peerkd.io/rack")
    assert resolve_cluster(LaunchConfig(cluster="topology=null"), environment=settings).topology is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("topology.level=rack", "topology must be null unless queue is set, got the level rack."),
        ("queue=a topology.required=true", "topology.level is required."),
        ("queue=a topology.level=a//b", "topology.level must be the name of a node's label, such as "),
        ("queue=a topology.level=Upper.io/rack", "topology.level must be the name of a node's label, such as "),
        ("queue=a topology.level=" + "r" * 64, "topology.level must be the name of a node's label, such as "),
    ],
)
def test_an_invalid_topology_is_refused_in_a_sentence(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        typed(text)
