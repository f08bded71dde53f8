from pathlib import Path

import pytest

from peerkd.config.collaborate import CollaborateConfig
from peerkd.errors import ArtifactCorruptError
from peerkd.rounds import ROUND_METHODS
from peerkd.training.checkpoints import load_tensors
from peerkd.training.inputs import MethodDone, RoundDone, RoundsInputs
from peerkd.training.rounds.run import before_rounds, do_round, load_rounds, start
from tests.plain_device import NoFloat64, plain
from tests.unit.training.rounds.conftest import PEERS, Line, line_config, open_data

__all__ = ["plain"]


def inputs_of(tiny, folder: Path, **rounds: object) -> RoundsInputs:
    """Return the inputs for the pre-trained peers of three architectures."""
    config = line_config(**{"num_rounds": 3, "methods": ["predictions", "alone"], **rounds}).model_dump(mode="json")
    config["peers"]["architectures"] = list(tiny.config.architectures)
    folder.mkdir(exist_ok=True)
    return RoundsInputs(
        config=CollaborateConfig.from_mapping(config),
        dataset_folder=tiny.dataset,
        partition_folder=tiny.partition,
        peers_folder=tiny.peers,
        finite_peers=PEERS,
        networks_folder=folder,
        checkpoints_folder=folder,
        device="cpu",
    )


def test_rounds_that_were_interrupted_end_in_the_same_numbers_and_networks(tiny, tmp_path) -> None:
    whole = inputs_of(tiny, tmp_path / "whole")
    *rounds, done = start(whole, process_index=0)("predictions")
    assert [each.num_rounds for each in rounds if isinstance(each, RoundDone)] == [1, 2, 3]
    assert isinstance(done, MethodDone)
    interrupted = inputs_of(tiny, tmp_path / "interrupted")
    for news in start(interrupted, process_index=0)("predictions"):
        if news.num_rounds == 2:
            break
    *rounds, done_later = start(interrupted, process_index=0)("predictions")
    assert [each.num_rounds for each in rounds] == [3]
    assert done_later.record == done.record
    for peer in PEERS:
        assert whole.network(peer).read_bytes() == interrupted.network(peer).read_bytes()


def test_a_checkpoint_of_other_networks_is_refused(tiny, tmp_path, line: Line) -> None:
    inputs = inputs_of(tiny, tmp_path / "rounds")
    next(iter(start(inputs, process_index=0)("alone")))
    with pytest.raises(ArtifactCorruptError, match=r"alone\.safetensors"):
        load_rounds(inputs.checkpoint("alone"), like=line.weights)


def test_the_networks_of_the_first_method_are_published(tiny, tmp_path) -> None:
    inputs = inputs_of(tiny, tmp_path / "rounds", num_rounds=1)
    list(start(inputs, process_index=0)("alone"))
    assert not inputs.network(0).exists()
    list(start(inputs, process_index=0)("predictions"))
    assert all(load_tensors(inputs.network(peer))[0] for peer in PEERS)


def test_a_peer_that_would_lose_too_much_at_home_stays_as_it_is(line: Line, tiny) -> None:
    # With this learning rate, every network is useless after a round.
    config = line_config(max_own_drop=0.0, learning_rate=1e6)
    data = open_data(config, tiny)
    history = before_rounds(config, data, line.weights)
    after, rows = do_round(config, data, ROUND_METHODS["alone"], line.weights, history, number=1)
    for row, before in zip(rows, history, strict=True):
        if row["is_accepted"]:
            assert row["validation_own_accuracy"] >= before["validation_own_accuracy"]
        else:
            assert after[row["peer"]] is line.weights[row["peer"]]
            assert row["test_global_accuracy"] == before["test_global_accuracy"]
    assert not all(row["is_accepted"] for row in rows)


def test_all_methods_train_on_the_same_own_samples(line: Line) -> None:
    history = before_rounds(line.config, line.data, line.weights)
    num = {}
    for name in ("alone", "predictions", "fedavg", "pairwise", "pooled"):
        _, rows = do_round(line.config, line.data, ROUND_METHODS[name], line.weights, history, number=1)
        num[name] = [row["num_own_samples"] for row in rows]
        assert any(row["num_public_samples"] for row in rows) == (name == "predictions")
    assert num["alone"] == num["predictions"] == num["fedavg"] == num["pairwise"]
    # The set that all peers share has batches of other sizes, of which the last one of a pass may be smaller.
    assert sum(num["pooled"]) == pytest.approx(sum(num["alone"]), rel=0.1)


def test_no_peer_rejects_the_upper_bound(line: Line, tiny) -> None:
    config = line_config(max_own_drop=0.0)
    data = open_data(config, tiny)
    # No network is as accurate at home as these peers were before the first round.
    history = [row | {"validation_own_accuracy": 1.1} for row in before_rounds(config, data, line.weights)]
    for name, accepts in (("alone", False), ("pooled", True)):
        _, rows = do_round(config, data, ROUND_METHODS[name], line.weights, history, number=1)
        assert [row["is_accepted"] for row in rows] == [accepts] * 3


@pytest.mark.usefixtures("plain")
def test_no_method_needs_float64(line: Line, tiny) -> None:
    data = open_data(line.config, tiny)
    with NoFloat64():
        history = before_rounds(line.config, data, line.weights)
        for method in ROUND_METHODS.values():
            do_round(line.config, data, method, line.weights, history, number=1)


def test_a_peer_without_partners_trains_only_with_methods_that_need_none(line: Line, tiny) -> None:
    # Without peer 1, the peers at the ends of the line have no partner.
    config = line_config(unreliable=[{"kind": "absent", "peer": 1}], confidence_threshold=0.5)
    data = open_data(config, tiny)
    history = before_rounds(config, data, line.weights)
    for name, trains in (("def_kt", False), ("pairwise", False), ("dfml", False), ("fedavg", True), ("idkd", True)):
        after, rows = do_round(config, data, ROUND_METHODS[name], line.weights, history, number=1)
        for peer in (0, 2):
            assert bool(rows[peer]["num_own_samples"]) == trains, name
            assert (after[peer] is line.weights[peer]) == (not trains), name
            assert rows[peer]["sent_bytes"] == rows[peer]["received_bytes"] == 0, name
            assert rows[peer]["teachers"] is None, name
