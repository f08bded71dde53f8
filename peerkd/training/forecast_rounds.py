"""The forecast of an experiment with rounds: samples, bytes and, from measured rates, time. It needs no torch."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from peerkd.config.collaborate import CollaborateConfig, RoundsConfig
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.given_peers import PeerNetwork
from peerkd.config.round_partners import EdgesTopology, RandomTopology, RingTopology, SmallWorldTopology
from peerkd.config.sweep import SweepConfig
from peerkd.config.training import DistillConfig
from peerkd.rounds.method import RoundMethod
from peerkd.rounds.predictions import METHOD as PREDICTIONS
from peerkd.study.moved_bytes import logits_bytes
from peerkd.training.forecast import PartitionSizes, Rates, dataset_bytes, peer_bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundsForecast:
    """The work of an experiment with rounds. A sample counts once for each time that it passes through a network."""

    num_peers: int
    num_rounds: int
    num_partners: float
    """The mean number of partners of a peer in a round."""

    samples: PartitionSizes
    num_pretraining_samples: int
    num_training_samples: Mapping[str, int]
    """The approximate number of samples on which the peers train in all rounds, by method."""

    num_predicted_samples: Mapping[str, int]
    """The approximate number of samples that the peers predict in all rounds for one another, and to judge the settings
    that they try, by method."""

    num_evaluation_samples: int
    """The number of samples on which all peers are evaluated, before the first round and after each, by all methods."""

    dataset_bytes: int
    weights_bytes: int
    """The size of the weights of all peers."""

    sent_bytes: Mapping[str, int]
    """The bytes that leave all peers in all rounds, by method. A message that several partners read leaves once."""

    received_bytes: Mapping[str, int]
    """The bytes that all peers receive in all rounds, by method."""


def forecast_rounds(
    config: CollaborateConfig, samples: PartitionSizes, *, given_bytes: Sequence[int | None] = ()
) -> RoundsForecast:
    """Return the work of an experiment with rounds on a partitioned data set.

    Args:
        config: The experiment.
        samples: The sizes of the parts of the data set.
        given_bytes: For each peer, the size of the file with the weights that the user provides, or None if the user
            provides none. Empty means that the user provides no weights.
    """
    num_peers, rounds = config.partition.num_peers, config.rounds
    num_partners = mean_num_partners(config)
    bytes_P = peer_bytes(config, samples, given_bytes=given_bytes)
    message_bytes = {
        method.name: _message_bytes(method, samples, mean_weights_bytes=sum(bytes_P) / num_peers)
        * (1 if method.sends == "samples" else rounds.num_rounds)
        for method in rounds.round_methods
    }
    num_public = samples.public * num_peers
    num_evaluated = samples.validation + samples.test + samples.own
    num_sent = {method.name: _num_messages(method, num_peers, num_partners) for method in rounds.round_methods}
    return RoundsForecast(
        num_peers=num_peers,
        num_rounds=rounds.num_rounds,
        num_partners=num_partners,
        samples=samples,
        num_pretraining_samples=samples.training * config.num_trained_peers // num_peers * config.pretrain.epochs,
        num_training_samples={
            method.name: rounds.num_rounds * rounds.epochs * _num_in_epoch(method, samples, rounds.batch_size)
            for method in rounds.round_methods
        },
        num_predicted_samples={
            method.name: rounds.num_rounds * _num_predicted(method, samples, num_public=num_public, rounds=rounds)
            for method in rounds.round_methods
        },
        num_evaluation_samples=num_evaluated * num_peers * (1 + rounds.num_rounds * len(rounds.methods)),
        dataset_bytes=dataset_bytes(config, samples),
        weights_bytes=sum(bytes_P),
        sent_bytes={name: round(size * num_sent[name][0]) for name, size in message_bytes.items()},
        received_bytes={name: round(size * num_sent[name][1]) for name, size in message_bytes.items()},
    )


def mean_num_partners(config: CollaborateConfig) -> float:
    """Return the mean number of partners of a peer in a round."""
    num_peers = config.partition.num_peers
    match config.rounds.topology:
        case RingTopology():
            return min(2, num_peers - 1)
        case RandomTopology(num_partners=num) | SmallWorldTopology(num_partners=num):
            return num
        case EdgesTopology(edges=edges):
            return 2 * len(edges) / num_peers
    return num_peers - 1


def rounds_seconds(expected: RoundsForecast, rates: Mapping[PeerNetwork, Rates], config: CollaborateConfig) -> float:
    """Return the seconds that all trainings and evaluations take in one process.

    Args:
        expected: The work.
        rates: The rates of each network of the experiment, measured with ``recipe_to_measure``.
        config: The experiment.
    """
    seconds = 0.0
    for network, num in Counter(config.networks).items():
        share, rate = num / expected.num_peers, rates[network]
        seconds += share * expected.num_pretraining_samples * rate.pretraining
        seconds += share * sum(expected.num_training_samples.values()) * rate.distillation
        seconds += share * sum(expected.num_predicted_samples.values()) * rate.teacher
        seconds += share * expected.num_evaluation_samples * rate.evaluation
    return seconds


def recipe_to_measure(config: CollaborateConfig) -> ExperimentConfig:
    """Return an experiment on pairs in which a sample takes as long as in the trainings of rounds.

    ``peerkd plan`` measures the rates of this experiment. Its pairs train with the recipe and the loss in the section
    ``rounds``, and so does a round.
    """
    recipe = {name: getattr(config.rounds, name) for name in DistillConfig.model_fields if name != "target"}
    shared = {name: getattr(config, name) for name in type(config).model_fields if name != "rounds"}
    sweep = SweepConfig(
        temperatures=(config.rounds.temperature,), alphas=(config.rounds.alpha,), transfer_sets=("student",)
    )
    return ExperimentConfig(**shared, distill=DistillConfig(**recipe), sweep=sweep)


def _num_in_epoch(method: RoundMethod, samples: PartitionSizes, batch_size: int) -> int:
    """Return the maximum number of samples on which all peers together train in an epoch of a method.

    If there is a public set, an epoch on a peer's own samples has as many batches as the public set or as the own
    samples, whichever have more. An own sample may then be used several times in an epoch. This is the same for every
    method, whether or not the method uses the public samples.
    """
    num_public_batches = math.ceil(samples.public / batch_size)
    total = largest = 0.0
    for num_own in samples.training_by_peer:
        num_own_batches = math.ceil(num_own / batch_size)
        num_batches = max(num_own_batches, num_public_batches)
        num_seen = num_own * num_batches / num_own_batches
        total, largest = total + num_seen, max(largest, num_seen)
        if method.joins_samples:
            total += samples.public * num_batches / num_public_batches
        elif method.needs_public_set:
            total += samples.public
    if method.sends_along == "groups":
        # All networks of a group also train on the samples of one of its peers.
        total += largest * len(samples.training_by_peer)
    return round(total)


def _num_messages(method: RoundMethod, num_peers: int, num_partners: float) -> tuple[float, float]:
    """Return how many messages leave all peers in a round, and how many are read, approximately."""
    match method.sends_along:
        case "pairs":
            return num_peers // 2, num_peers // 2
        case "groups":
            # Of a peer and its partners, about one is an aggregator. Each other network goes to it and back.
            num = 2 * num_peers * num_partners / (num_partners + 1)
            return num, num
        case "teachers":
            # A peer is the teacher of nobody if each of its partners draws another one.
            share = 1 - (1 - 1 / num_partners) ** num_partners if num_partners else 0
            return share * num_peers, num_peers if num_partners else 0
        case "everyone":
            return num_peers, num_peers * (num_peers - 1)
    return num_peers if num_partners else 0, num_peers * num_partners


def _num_predicted(method: RoundMethod, samples: PartitionSizes, *, num_public: int, rounds: RoundsConfig) -> int:
    """Return the number of samples that the peers predict in a round for one another, and to judge settings.

    A peer that tries a setting judges its network before and after the training. It has far fewer own validation
    samples than public ones, so they are not counted.
    """
    if method.needs_public_set:
        return num_public * (3 if rounds.tune.enabled and method.name == PREDICTIONS.name else 1)
    return samples.training * rounds.epochs if method.sends_along == "teachers" else 0


def _message_bytes(method: RoundMethod, samples: PartitionSizes, *, mean_weights_bytes: float) -> float:
    match method.sends:
        case "predictions":
            return logits_bytes(samples.public, samples.num_classes)
        case "weights":
            return math.ceil(mean_weights_bytes)
        case "samples":
            return samples.training / len(samples.training_by_peer) * math.prod(samples.image_shape_CHW)
    return 0
