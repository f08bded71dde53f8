"""The adapter of TensorBoard, which writes event files and needs no torch. No other module imports its library."""

import time
from collections.abc import Mapping

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from peerkd.metrics.tracking.sinks import TrackedRun


class TensorBoardSink:
    """Event files of one stage in the folder of the run."""

    def __init__(self, run: TrackedRun) -> None:
        assert run.folder is not None, "check_sinks refuses a run without a folder"
        self._writer = EventFileWriter(str(run.folder / "tensorboard" / run.name))
        rows = "\n".join(f"| {name} | `{value}` |" for name, value in run.config.items())
        self._add(text_pb("config", f"| field | value |\n|---|---|\n{rows}"), step=0)

    def log_scalar(self, name: str, value: float, *, step: int) -> None:
        """Add a point to a curve."""
        self._add(Summary(value=[Summary.Value(tag=name, simple_value=value)]), step=step)

    def log_summary(self, values: Mapping[str, float]) -> None:
        """Record headline numbers as curves of one point."""
        for name, value in values.items():
            self.log_scalar(f"summary/{name}", value, step=0)

    def close(self) -> None:
        """Write all events to the file."""
        self._writer.close()

    def _add(self, summary: Summary, *, step: int) -> None:
        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))


def open_run(run: TrackedRun) -> TensorBoardSink:
    """Return the sink of a stage."""
    return TensorBoardSink(run)
