"""Workers that share rounds, under the control of a test. Their tasks write small files and train nothing."""

from contextlib import contextmanager

from peerkd.config.collaborate import CollaborateConfig
from peerkd.launch.worker import Worker
from peerkd.stages.checkpoints import live_checkpoint
from peerkd.stages.shard_queue import open_shard_queue
from peerkd.stages.work.collaborating.in_parts import RoundsInParts
from peerkd.training.inputs import RoundsInputs
from peerkd.training.round_parts import PartDone
from tests.unit.stages.counting import write_checkpoint

PEERS = (0, 1, 2, 3)


class Sharing:
    """A worker with its queue."""

    def __init__(self, inputs, rounds, queue):
        self.inputs, self.rounds, self.queue = inputs, rounds, queue
        self._tasks = queue.tasks()

    def do(self, num=99):
        """Do up to ``num`` tasks and return their names. Stop if no task is available at the moment."""
        names = []
        while len(names) < num and (claimed := self.claim()):
            names.append(claimed[1].name)
            self.finish(*claimed)
        self.queue.save(everything=True)
        return names

    def claim(self):
        """Claim the next task; return None if no task is available at the moment."""
        return next(self._tasks, None)

    def finish(self, claimed, task):
        """Do a task whose round has one phase."""
        inputs, num_rounds = self.inputs, self.inputs.config.rounds.num_rounds
        peers = inputs.parts[task.part]
        write_checkpoint(inputs.rounds_folder / task.state_name, repr((task.number, peers)).encode())
        record = {**task._asdict(), "round": task.number, "is_last": True, "accuracies": [peer / 4 for peer in peers]}
        if task.number == num_rounds:
            record["history"] = [
                {"round": number, "peer": peer, "test_global_accuracy": 0.5}
                for number in range(num_rounds + 1)
                for peer in peers
            ]
        self.rounds.record(self.queue, claimed, PartDone(record, (task.state_name,), (), 1))

    def rows(self):
        """Return the round and the peer of each row of the first method."""
        (first, *_) = self.rounds.records(self.queue).values()
        return [(row["round"], row["peer"]) for row in first["history"]]


@contextmanager
def sharing(workspace, index=0, num_workers=1, *, num_parts=2, num_rounds=8, methods=("predictions",)):
    """Open the rounds of one worker."""
    config = CollaborateConfig.from_mapping(
        {
            "partition": {"num_peers": len(PEERS), "public_fraction": 0.1},
            "compute": {"num_round_parts": num_parts},
            "rounds": {"num_rounds": num_rounds, "methods": list(methods)},
        }
    )
    inputs = RoundsInputs(
        config=config,
        dataset_folder=workspace.folder,
        partition_folder=workspace.folder,
        peers_folder=workspace.folder,
        finite_peers=PEERS,
        networks_folder=workspace.folder,
        checkpoints_folder=live_checkpoint(workspace, "").parent,
        device="cpu",
    )
    me = Worker(index=index, num_workers=num_workers)
    rounds = RoundsInParts(inputs, workspace, me)
    with open_shard_queue(workspace, rounds.stage_work, me, is_published=lambda: False) as queue:
        yield Sharing(inputs, rounds, queue)
