"""Rounds in parts, which several processes share, against rounds in one process."""

from pathlib import Path

import pytest

from peerkd.config.collaborate import CollaborateConfig
from peerkd.rounds import ROUND_METHODS
from peerkd.training.checkpoints import save_tensors
from peerkd.training.inputs import RoundsInputs
from peerkd.training.peers import weights_name
from peerkd.training.round_parts import PartTask
from peerkd.training.rounds import parts
from peerkd.training.rounds.round import TrainingRound
from peerkd.training.rounds.round_of_part import IncompleteWeights, OtherPartsNeededError, RoundOfPart
from peerkd.training.rounds.run import start
from tests.unit.training.rounds.conftest import PEERS, Line, line_config

NUM_PHASES = {
    **dict.fromkeys(("predictions", "alone", "pairwise", "fedmd"), 1),
    **dict.fromkeys(("fedavg", "fedprox", "ds_fl", "pooled"), 2),
    **dict.fromkeys(("feddf", "def_kt", "idkd", "dfml"), 3),
}
"""The number of phases of a round."""


def inputs_of(tiny, line: Line, folder: Path, method: str, *, num_parts: int = 1, **rounds: object) -> RoundsInputs:
    """Return the inputs for peers of one architecture, which the folder contains."""
    peers = folder / "peers"
    (folder / "rounds").mkdir(parents=True)
    peers.mkdir()
    for peer in PEERS:
        save_tensors(peers / weights_name(peer), line.weights[peer])
    config = line_config(**{"num_rounds": 2, "methods": [method], **rounds}).model_dump(mode="json")
    config["compute"]["num_round_parts"] = num_parts
    return RoundsInputs(
        config=CollaborateConfig.from_mapping(config),
        dataset_folder=tiny.dataset,
        partition_folder=tiny.partition,
        peers_folder=peers,
        finite_peers=PEERS,
        networks_folder=folder,
        checkpoints_folder=folder,
        device="cpu",
    )


def do_in_two_processes(inputs: RoundsInputs, method: str) -> tuple[list[dict], list[int]]:
    """Do all rounds in two processes, which share the parts; return the measurements and the phases of each round."""
    processes = [parts.start(inputs, process_index=index) for index in range(2)]
    num_phases, number, phase, rows = [], 1, 0, []
    while number <= inputs.config.rounds.num_rounds:
        done = []
        # The second process begins with the last part, so that no process does the parts in their order.
        for part in reversed(range(len(inputs.parts))):
            (news,) = processes[(part + number) % 2](PartTask(method, number, phase, part, len(inputs.parts)))
            assert all((inputs.rounds_folder / name).exists() for name in news.file_names)
            done.append(news.record)
        assert len({record["is_last"] for record in done}) == 1
        phase += 1
        if done[0]["is_last"]:
            num_phases.append(phase)
            number, phase = number + 1, 0
            rows = [row for record in done for row in record.get("history", ())]
    return rows, num_phases


@pytest.mark.parametrize("method", ROUND_METHODS)
def test_processes_that_share_the_peers_give_the_bits_of_one_process(tiny, tmp_path, line: Line, method: str) -> None:
    whole = inputs_of(tiny, line, tmp_path / "whole", method)
    *_, expected = start(whole, process_index=0)(method)
    shared = inputs_of(tiny, line, tmp_path / "shared", method, num_parts=2)
    rows, num_phases = do_in_two_processes(shared, method)
    in_order = {"key": lambda row: (row["round"], row["peer"])}
    assert sorted(rows, **in_order) == sorted(expected.record["history"], **in_order)
    assert num_phases == [NUM_PHASES[method]] * 2
    for peer in PEERS:
        assert whole.network(peer).read_bytes() == shared.network(peer).read_bytes()


def test_settings_that_peers_choose_do_not_depend_on_the_parts(tiny, tmp_path, line: Line) -> None:
    tune = {"enabled": True, "portfolio": [{}, {"learning_rate": 0.2, "num_left_out": 1}, {"alpha": 0.7}]}
    settings = {"tune": tune, "num_rounds": 3, "topology": {"kind": "complete"}}
    whole = inputs_of(tiny, line, tmp_path / "whole", "predictions", **settings)
    *_, expected = start(whole, process_index=0)("predictions")
    shared = inputs_of(tiny, line, tmp_path / "shared", "predictions", num_parts=2, **settings)
    rows, num_phases = do_in_two_processes(shared, "predictions")
    in_order = {"key": lambda row: (row["round"], row["peer"])}
    assert sorted(rows, **in_order) == sorted(expected.record["history"], **in_order)
    assert num_phases == [1] * 3
    assert len({row["setting"] for row in rows if "setting" in row}) > 1


def test_absent_peers_and_rejections_do_not_depend_on_the_parts(tiny, tmp_path, line: Line) -> None:
    settings = {"max_own_drop": 0.0, "unreliable": [{"kind": "absent", "peer": 1, "first_round": 2}]}
    whole = inputs_of(tiny, line, tmp_path / "whole", "predictions", **settings)
    *_, expected = start(whole, process_index=0)("predictions")
    shared = inputs_of(tiny, line, tmp_path / "shared", "predictions", num_parts=3, **settings)
    rows, _ = do_in_two_processes(shared, "predictions")
    assert sorted(rows, key=lambda row: (row["round"], row["peer"])) == sorted(
        expected.record["history"], key=lambda row: (row["round"], row["peer"])
    )


def test_any_look_at_an_incomplete_result_stops_the_method(line: Line) -> None:
    incomplete = IncompleteWeights(line.weights)
    for look in (
        lambda: incomplete[0],
        lambda: {**incomplete},
        lambda: list(incomplete.values()),
        lambda: 0 in incomplete,
    ):
        with pytest.raises(OtherPartsNeededError):
            look()


def test_a_training_that_needs_incomplete_results_stops_even_a_part_that_trains_nothing(line: Line) -> None:
    round = TrainingRound(line.config, line.data, number=1, peers=PEERS)
    incomplete = IncompleteWeights({})
    for train in (
        lambda mine: mine.train_mutually(incomplete, {0: line.weights[0]}),
        lambda mine: mine.train_in_groups({0: incomplete}, distillation_weight=0.5),
    ):
        mine = RoundOfPart(round, part=(1,), done={}, predictions=[])
        with pytest.raises(OtherPartsNeededError):
            train(mine)
        assert not mine.trained, "the part must not seem to have ended a phase"
