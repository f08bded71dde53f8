"""Every method of rounds against its formula, written out with autograd, ``torch.optim.SGD`` and loops over peers.

The written-out rounds share nothing with the program but the networks and the batches of the sample sets.
"""

import math
from collections.abc import Callable, Mapping
from itertools import chain, islice

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peerkd.config.given_peers import PeerNetwork
from peerkd.rounds import ROUND_METHODS
from peerkd.training.peers import build_peer, sample_set
from peerkd.training.rounds.round import TrainingRound
from tests.unit.training.rounds.conftest import PEERS, THRESHOLD, Line, line_config, open_data

NUMBER = 2
"""The round of the tests, which continues the orders of the first one."""

NEIGHBOURS = {0: (0, 1), 1: (0, 1, 2), 2: (1, 2)}

State = Mapping[str, Tensor]
Loss = Callable[[nn.Module, int], Tensor]
"""The loss of a network in a step, counted from 0."""


class WrittenOut:
    """A round by hand."""

    def __init__(self, line: Line) -> None:
        self.line, self.recipe = line, line.config.rounds
        self.num_samples = {peer: len(line.data.assignment.train[peer]) for peer in PEERS}
        self.counts = {peer: line.data.counts_PK[peer] for peer in PEERS}

    def sets(self, peer):
        options = {"batch_size": self.recipe.batch_size, "config": self.line.config, "device": torch.device("cpu")}
        assignment = self.line.data.assignment
        own = sample_set(self.line.data.dataset, assignment.train[peer], name=f"rounds {peer}", **options)
        public = sample_set(self.line.data.dataset, assignment.public, name="rounds public", **options)
        return own, public

    def own_and_public(self, peer):
        """Return the own and the public batches of the steps of this round: the set that ends first begins again."""
        own, public = self.sets(peer)
        num_steps = self.recipe.epochs * max(own.num_batches, public.num_batches)
        first = (NUMBER - 1) * num_steps
        flat = ([*chain.from_iterable(each.batches(epoch) for epoch in range(40))] for each in (own, public))
        return [[*islice(batches, first, first + num_steps)] for batches in flat]

    def public_only(self):
        _, public = self.sets(0)
        epochs = range((NUMBER - 1) * self.recipe.epochs, NUMBER * self.recipe.epochs)
        return [*chain.from_iterable(public.batches(epoch) for epoch in epochs)]

    def places(self, batches):
        """Return for each public batch the places of its samples in the set, found by comparing images."""
        images = torch.cat([*self.line.data.public_images()]).flatten(1)
        return [(batch.images_NCHW.flatten(1)[:, None] - images[None]).abs().sum(-1).argmin(1) for batch in batches]

    def network(self, state: State) -> nn.Module:
        network = build_peer(PeerNetwork("mlp"), self.line.data.dataset, seed=0)
        network.load_state_dict(state)
        return network

    def minimise(self, state: State, loss: Loss, num_steps: int) -> State:
        network, recipe = self.network(state).train(), self.recipe
        options = {"momentum": recipe.momentum, "weight_decay": recipe.weight_decay}
        optimizer = torch.optim.SGD(network.parameters(), lr=recipe.learning_rate, **options)
        for step in range(num_steps):
            optimizer.param_groups[0]["lr"] = recipe.learning_rate * (1 + math.cos(math.pi * step / num_steps)) / 2
            optimizer.zero_grad()
            loss(network, step).backward()
            optimizer.step()
        return network.state_dict()

    def minimise_together(self, states, loss, batches) -> list[State]:
        networks, recipe = [self.network(state).train() for state in states], self.recipe
        options = {"momentum": recipe.momentum, "weight_decay": recipe.weight_decay}
        optimizers = [torch.optim.SGD(each.parameters(), lr=1.0, **options) for each in networks]
        for step, batch in enumerate(batches):
            z = [network(batch.images_NCHW) for network in networks]
            for mine, optimizer in enumerate(optimizers):
                optimizer.param_groups[0]["lr"] = (
                    recipe.learning_rate * (1 + math.cos(math.pi * step / len(batches))) / 2
                )
                optimizer.zero_grad()
                loss(z[mine], [each.detach() for each in z if each is not z[mine]], batch.labels_B).backward()
                optimizer.step()
        return [network.state_dict() for network in networks]

    def train_own(self, state: State, peer: int, *, mu: float = 0.0) -> State:
        own, _ = self.own_and_public(peer)

        def loss(network: nn.Module, step: int) -> Tensor:
            distance = sum((p - state[name]).square().sum() for name, p in network.named_parameters())
            return F.cross_entropy(network(own[step].images_NCHW), own[step].labels_B) + mu / 2 * distance

        return self.minimise(state, loss, len(own))

    def train_public(self, state: State, divergence: Callable[[Tensor, Tensor], Tensor], target_SK: Tensor) -> State:
        batches = self.public_only()
        places = self.places(batches)
        return self.minimise(
            state,
            lambda network, step: divergence(network(batches[step].images_NCHW), target_SK[places[step]]),
            len(batches),
        )

    def predict(self, state: State) -> Tensor:
        with torch.no_grad():
            return torch.cat([self.network(state).eval()(images) for images in self.line.data.public_images()])

    def average(self, states: Mapping[int, State], peers) -> State:
        total = sum(self.num_samples[peer] for peer in peers)
        return {
            name: sum(self.num_samples[peer] * states[peer][name] for peer in peers) / total
            if states[peers[0]][name].is_floating_point()
            else states[peers[0]][name]
            for name in states[peers[0]]
        }


def alone(by_hand, weights):
    return {peer: by_hand.train_own(weights[peer], peer) for peer in PEERS}


def fedavg(by_hand, weights, mu=0.0):
    trained = {peer: by_hand.train_own(weights[peer], peer, mu=mu) for peer in PEERS}
    return {peer: by_hand.average(trained, NEIGHBOURS[peer]) for peer in PEERS}


def fedprox(by_hand, weights):
    return fedavg(by_hand, weights, mu=by_hand.recipe.proximal_weight)


def predictions(by_hand, weights):
    # Prior-adjusted, weighted by class counts and sharpened, at T = 2 and w = 0.3.
    adjusted = {peer: by_hand.predict(weights[peer]) - (1 + by_hand.counts[peer]).log() for peer in PEERS}
    after = {}
    for peer in PEERS:
        own, public = by_hand.own_and_public(peer)
        places = by_hand.places(public)
        counts = sum(by_hand.counts[each] for each in NEIGHBOURS[peer])
        shares = {
            each: (by_hand.counts[each] / counts).nan_to_num(1 / len(NEIGHBOURS[peer])) for each in NEIGHBOURS[peer]
        }
        mixed = sum(shares[each] * (adjusted[each] / 2).softmax(1) for each in NEIGHBOURS[peer])
        sharp = mixed ** (1 / by_hand.recipe.sharpening_temperature)
        p_SK = sharp / sharp.sum(1, keepdim=True)

        def loss(network, step, own=own, public=public, places=places, p_SK=p_SK):
            logits = network(torch.cat([own[step].images_NCHW, public[step].images_NCHW]))
            num_own = len(own[step].labels_B)
            p = p_SK[places[step]]
            kl = (p * (p.clamp(min=1e-30).log() - (logits[num_own:] / 2).log_softmax(1))).sum(1).mean()
            return 0.7 * F.cross_entropy(logits[:num_own], own[step].labels_B) + 0.3 * 2**2 * kl

        after[peer] = by_hand.minimise(weights[peer], loss, len(own))
    return after


def fedmd(by_hand, weights):
    logits = {peer: by_hand.predict(weights[peer]) for peer in PEERS}
    after = {}
    for peer in PEERS:
        consensus = torch.stack([logits[each] for each in NEIGHBOURS[peer]]).mean(0)
        digested = by_hand.train_public(weights[peer], lambda z, t: (z - t).abs().mean(), consensus)
        after[peer] = by_hand.train_own(digested, peer)
    return after


def ds_fl(by_hand, weights):
    trained = alone(by_hand, weights)
    p = {peer: by_hand.predict(trained[peer]).softmax(1) for peer in PEERS}
    after = {}
    for peer in PEERS:
        sharp = (torch.stack([p[each] for each in NEIGHBOURS[peer]]).mean(0) / 0.1).softmax(1)
        after[peer] = by_hand.train_public(trained[peer], lambda z, t: -(t * z.log_softmax(1)).sum(1).mean(), sharp)
    return after


def feddf(by_hand, weights):
    trained = alone(by_hand, weights)
    z = {peer: by_hand.predict(trained[peer]) for peer in PEERS}
    after = {}
    for peer in PEERS:
        teacher = torch.stack([z[each] for each in NEIGHBOURS[peer]]).mean(0).softmax(1)
        start = by_hand.average(trained, NEIGHBOURS[peer])
        after[peer] = by_hand.train_public(start, lambda z, t: -(t * z.log_softmax(1)).sum(1).mean(), teacher)
    return after


def def_kt(by_hand, weights, pairs):
    def loss(z, others, labels):
        return 0.5 * F.cross_entropy(z, labels) + 0.5 * mean_divergence(z, others)

    after = {}
    for sender, receiver in pairs:
        sent = by_hand.train_own(weights[sender], sender)
        own, _ = by_hand.own_and_public(receiver)
        learned, _ = by_hand.minimise_together([weights[receiver], sent], loss, own)
        after |= {sender: sent, receiver: learned}
    return after


def dfml(by_hand, weights, groups):
    # In the second of five rounds of a cycle.
    w = (1 - math.cos(math.pi / 4)) / 2
    after = {}
    for aggregator, senders in groups.items():
        peers = (aggregator, *senders)
        shares = by_hand.counts[aggregator] / by_hand.counts[aggregator].sum()

        def loss(z, others, labels, shares=shares):
            wsm = ((shares * z.exp()).sum(1).log() - z.gather(1, labels[:, None])[:, 0]).mean()
            return (1 - w) * wsm + w * mean_divergence(z, others)

        own, _ = by_hand.own_and_public(aggregator)
        trained = [by_hand.train_own(weights[peer], peer) for peer in peers]
        after |= zip(peers, by_hand.minimise_together(trained, loss, own), strict=True)
    return after


def mean_divergence(z, others):
    p = [other.softmax(1) for other in others]
    return sum((each * (each.log() - z.log_softmax(1))).sum(1).mean() for each in p) / len(p)


def pairwise(by_hand, weights, teachers):
    # At T = 2 and w = 0.2.
    after = {}
    for peer, teacher in teachers.items():
        own, _ = by_hand.own_and_public(peer)
        with torch.no_grad():
            p = [(by_hand.network(weights[teacher]).eval()(batch.images_NCHW) / 2).softmax(1) for batch in own]

        def loss(network, step, own=own, p=p):
            z = network(own[step].images_NCHW)
            kl = (p[step] * (p[step].log() - (z / 2).log_softmax(1))).sum(1).mean()
            return 0.8 * F.cross_entropy(z, own[step].labels_B) + 0.2 * 2**2 * kl

        after[peer] = by_hand.minimise(weights[peer], loss, len(own))
    return after


def pooled(by_hand, weights):
    # All peers together take as many steps as each of them alone.
    num_steps = sum(len(by_hand.own_and_public(peer)[0]) for peer in PEERS)
    data, options = by_hand.line.data, {"batch_size": by_hand.recipe.batch_size, "config": by_hand.line.config}
    indices = np.concatenate([data.assignment.train[peer] for peer in PEERS])
    everything = sample_set(data.dataset, indices, name="rounds pooled", device=torch.device("cpu"), **options)
    endless = chain.from_iterable(everything.batches(epoch) for epoch in range(40))
    batches = [*islice(endless, (NUMBER - 1) * num_steps, NUMBER * num_steps)]

    def loss(network, step):
        return F.cross_entropy(network(batches[step].images_NCHW), batches[step].labels_B)

    return dict.fromkeys(PEERS, by_hand.minimise(weights[0], loss, num_steps))


def idkd(by_hand, weights):
    p = {peer: by_hand.predict(weights[peer]).softmax(1).tolist() for peer in PEERS}
    after, num_all = {}, by_hand.line.data.num_public
    for peer in PEERS:
        own, public = by_hand.own_and_public(peer)
        places, labels = by_hand.places(public), {}
        for sample in range(num_all):
            sure = [p[each][sample] for each in NEIGHBOURS[peer] if max(p[each][sample]) > THRESHOLD]
            if sure:
                labels[sample] = torch.tensor(sure).mean(0)
        assert 0 < len(labels) < num_all, "some public samples have labels"
        num_own = by_hand.num_samples[peer]

        # The mean over own samples and labelled public ones, each estimated by a batch of its set.
        def loss(network, step, own=own, public=public, places=places, labels=labels, num_own=num_own):
            z = network(torch.cat([own[step].images_NCHW, public[step].images_NCHW]))
            y, at = own[step].labels_B, places[step].tolist()
            rows = zip(at, z[len(y) :].log_softmax(1), strict=True)
            sums = [-(labels[sample] * log_q).sum() for sample, log_q in rows if sample in labels]
            of_public = sum(sums, torch.zeros(())) * num_all / len(at)
            return (num_own * F.cross_entropy(z[: len(y)], y) + of_public) / (num_own + len(labels))

        after[peer] = by_hand.minimise(weights[peer], loss, len(own))
    return after


METHODS = (predictions, alone, fedavg, fedprox, fedmd, ds_fl, feddf, def_kt, pairwise, pooled, idkd, dfml)
BY_HAND = {each.__name__: each for each in METHODS}


def test_every_method_is_written_out() -> None:
    assert BY_HAND.keys() == ROUND_METHODS.keys()
    assert {name: method.name for name, method in ROUND_METHODS.items()} == {name: name for name in ROUND_METHODS}


@pytest.mark.parametrize("name", ROUND_METHODS)
def test_a_round_is_the_formula_written_out(line: Line, name: str) -> None:
    round = TrainingRound(line.config, line.data, number=NUMBER, peers=PEERS)
    round.groups = {1: (0, 2)}
    before = {peer: {key: tensor.clone() for key, tensor in state.items()} for peer, state in line.weights.items()}
    got = ROUND_METHODS[name].propose(round, line.weights)
    arguments = {"def_kt": (round.pairs,), "pairwise": (round.teachers,), "dfml": (round.groups,)}.get(name, ())
    expected = BY_HAND[name](WrittenOut(line), line.weights, *arguments)
    assert got.keys() == expected.keys()
    for peer, state in expected.items():
        moved = max((state[key] - before[peer][key]).abs().max() for key in state)
        assert moved > 1e-2, "the round does something"
        for key, tensor in state.items():
            torch.testing.assert_close(got[peer][key], tensor, rtol=1e-3, atol=1e-4, msg=f"{name} {peer} {key}")
    for peer, state in before.items():
        assert all(torch.equal(line.weights[peer][key], tensor) for key, tensor in state.items())


def test_without_a_confident_prediction_idkd_is_training_on_alone(line: Line, tiny) -> None:
    config = line_config(confidence_threshold=0.9)
    round = TrainingRound(config, open_data(config, tiny), number=NUMBER, peers=PEERS)
    got, expected = (ROUND_METHODS[name].propose(round, line.weights) for name in ("idkd", "alone"))
    assert all(torch.equal(got[peer][key], tensor) for peer, state in expected.items() for key, tensor in state.items())
    assert not round.shares
