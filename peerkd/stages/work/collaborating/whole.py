"""The rounds of an experiment, if one worker does all rounds of a method. A shard is a method."""

from typing import Final

from peerkd.config.architectures import network_modules
from peerkd.metrics import recorder
from peerkd.metrics.progress import Progress, print_line
from peerkd.rounds import ROUND_METHODS
from peerkd.stages.collaborate_peers import NAME
from peerkd.stages.journals import Record
from peerkd.stages.shard_queue import ShardQueue, StageWork
from peerkd.stages.shards import Shard
from peerkd.stages.training_progress import TrainingProgress
from peerkd.stages.work.collaborating.histories import mean_accuracy
from peerkd.training.inputs import RoundDone, RoundsInputs
from peerkd.training.process_pool import run_in_processes

_START: Final = "peerkd.training.rounds.run:start"


class WholeRounds:
    """The rounds of all methods, each of which is the work of one process."""

    def __init__(self, inputs: RoundsInputs) -> None:
        self._inputs = inputs
        methods, num_rounds = inputs.config.rounds.methods, inputs.config.rounds.num_rounds
        self._progress = TrainingProgress(
            Progress(NAME, unit="rounds", total=len(methods) * num_rounds), num_steps=num_rounds
        )
        self.stage_work = StageWork(
            stage=NAME,
            shards=[Shard(name=method, tasks=(method,), num_records=1) for method in methods],
            identity=lambda record: record["method"],
            on_recovered=self._progress.recover,
            on_done_elsewhere=self._progress.follow,
        )

    def collaborate(self, queue: ShardQueue, *, num_processes: int) -> None:
        """Do the rounds of this worker's methods."""
        config, progress = self._inputs.config, self._progress
        for claimed, news in run_in_processes(
            _START,
            (self._inputs,),
            queue.tasks(),
            num_processes=min(num_processes, len(config.rounds.methods)),
            preload=network_modules(config.architectures),
        ):
            if isinstance(news, RoundDone):
                progress.advance(
                    news.method, num_done=news.num_rounds, num_samples=news.num_samples, gpu_bytes=news.gpu_bytes
                )
                recorder.accuracy("validation", news.accuracy, method=news.method)
                continue
            method = news.record["method"]
            progress.end(method)
            is_published = method == config.rounds.methods[0]
            networks = [self._inputs.network(peer).name for peer in self._inputs.finite_peers] if is_published else []
            queue.add_record(claimed, news.record, *networks)
            reached = mean_accuracy(news.record["history"], config.rounds.num_rounds)
            print_line(NAME, f"{ROUND_METHODS[method].title}: mean test accuracy {reached:.1%}")

    def records(self, queue: ShardQueue) -> dict[str, Record]:
        """Return the record of each method. All shards must be done."""
        return {record["method"]: record for record in queue.records()}
