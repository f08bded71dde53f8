"""The model card of a network that its user has brought: it describes the network without its adapter."""

from peerkd.config.given_peers import PeerNetwork
from peerkd.stages.work.improving.cards import interface
from tests.trainings import make_dataset


def test_a_network_of_peerkd_has_the_interface_of_the_data_set():
    dataset = make_dataset()
    assert interface(PeerNetwork("mlp"), dataset) == ((1, 8, 8), tuple("abcd"), (0.5,), (0.25,))


def test_a_network_behind_an_adapter_has_its_own_interface():
    network = PeerNetwork("mine:factory", 32, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), ("d", "a"))
    assert interface(network, make_dataset()) == ((3, 32, 32), ("d", "a"), (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))


def test_each_part_of_an_adapter_may_be_missing():
    assert interface(PeerNetwork("mlp", image_size_pixels=16), make_dataset()).image_shape == (1, 16, 16)
    assert interface(PeerNetwork("mlp", classes=("b",)), make_dataset()).class_names == ("b",)
