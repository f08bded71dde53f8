"""The table of metrics: name, kind, unit, meaning, labels and writer.

The rules of Prometheus and the dashboards use only these metrics.

Every metric of a worker has the labels ``stage`` and ``worker``, and the number of values of each label is limited. Of
these metrics, only ``peerkd_worker_info`` has the run as a label. A query for one run joins this metric with another by
namespace and pod. A new run therefore adds one time series to Prometheus instead of fifty. When a job, or a stage
without a job, ends, its summary is pushed to a Pushgateway: a group of metrics with the labels ``run`` and ``stage``.
The reaper deletes the group later.
"""

from typing import Final, Literal, NamedTuple, Protocol

WORKER_LABELS: Final = ("stage", "worker")
GROUP_LABELS: Final = ("run", "stage")

MAX_LABEL_VALUES: Final = 32
"""The maximum number of values of one label, such as the name of a loss. Further values are reported as ``OTHER``."""

OTHER: Final = "other"

PORT_VARIABLE: Final = "PEERKD_METRICS_PORT"
"""The environment variable with the port on which a worker serves its metrics. Without it, no endpoint exists."""

Writer = Literal["worker", "summary"]
"""The source of a metric.

``worker``: a worker serves the metric over HTTP while it trains. ``summary``: the metric is pushed to a Pushgateway
when a job, or a stage without a job, has ended."""


class Metric(NamedTuple):
    """A metric: its name, its meaning, and who reports it."""

    name: str
    kind: Literal["counter", "gauge"]
    unit: str
    help: str
    extra_labels: tuple[str, ...] = ()
    writer: Writer = "worker"
    tracked_labels: tuple[str, ...] = ()
    """Labels that only experiment trackers, such as MLflow, receive. Prometheus would store a time series for each
    value."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that the writer of the metric sets."""
        return (*WORKER_LABELS, *self.extra_labels) if self.writer == "worker" else self.extra_labels


class Recorder(Protocol):
    """A receiver of the values of metrics."""

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        """Replace the value of a gauge."""

    def add(self, metric: Metric, amount: float, **labels: str) -> None:
        """Increase a counter by an amount."""

    def step(self, num_done: int) -> None:
        """Set the step of all further values: the number of units of the stage that are finished, whatever the unit.

        Only experiment trackers, such as MLflow, use steps. They draw a value over its step.
        """

    def describe(self, architecture: str) -> None:
        """Write the name of the architecture that is being trained into the metric ``peerkd_worker_info``."""


WORKER_INFO: Final = Metric(
    "peerkd_worker_info",
    "gauge",
    "1",
    "The run and the architecture that a worker is training. The value is always 1.",
    ("run", "architecture"),
)
WORKER_START: Final = Metric(
    "peerkd_worker_start_time_seconds",
    "gauge",
    "Unix seconds",
    "Time at which the worker's process started. It changes with every restart.",
)
WORKER_GPUS: Final = Metric(
    "peerkd_worker_gpus", "gauge", "GPUs", "Number of GPUs that are allocated to the worker, whether busy or idle."
)
WORKER_WAITING: Final = Metric(
    "peerkd_worker_waiting",
    "gauge",
    "1",
    "1 while the worker only waits for other workers, else 0.",
)

TRIALS_DONE: Final = Metric(
    "peerkd_trials_done",
    "gauge",
    "trials",
    "Trials of the stage that are finished, including those of earlier attempts, as far as this worker knows.",
)
TRIALS_LEFT: Final = Metric(
    "peerkd_trials_left", "gauge", "trials", "Trials of the stage that are not finished, as far as this worker knows."
)
TRIALS: Final = Metric("peerkd_trials_total", "counter", "trials", "Trials that this process has finished.")
EPOCHS_DONE: Final = Metric(
    "peerkd_epochs_done",
    "gauge",
    "epochs",
    "Epochs of the stage, over all its networks, that are finished, as far as this worker knows.",
)
EPOCHS_LEFT: Final = Metric(
    "peerkd_epochs_left", "gauge", "epochs", "Epochs of the stage that are not finished, as far as this worker knows."
)
EPOCHS: Final = Metric("peerkd_epochs_total", "counter", "epochs", "Epochs that this process has finished.")
LAST_PROGRESS: Final = Metric(
    "peerkd_last_progress_timestamp_seconds",
    "gauge",
    "Unix seconds",
    "Time of the worker's last progress: its start, a finished trial or epoch, or a count of samples.",
)

SAMPLES: Final = Metric(
    "peerkd_samples_total",
    "counter",
    "samples",
    "Training samples (images) that this process has used in optimiser steps. Several views of a sample count once.",
)
LOSS: Final = Metric(
    "peerkd_loss",
    "gauge",
    "1",
    "Mean over the last finished epoch of the whole loss (part=loss) and of each unweighted part; NaN if it is not "
    "finite.",
    ("part",),
)
ACCURACY: Final = Metric(
    "peerkd_accuracy_ratio",
    "gauge",
    "ratio",
    "Accuracy, from 0 to 1, of the network that was evaluated last; NaN if its logits are not finite.",
    ("split",),
    tracked_labels=("method",),
)
DIVERGED: Final = Metric(
    "peerkd_diverged_total",
    "counter",
    "trainings",
    "Trainings (of a peer, a trial or a run) of this process that diverged: they did not end in finite numbers.",
)
CHECKPOINT: Final = Metric(
    "peerkd_checkpoint_timestamp_seconds",
    "gauge",
    "Unix seconds",
    "Time at which the worker last saved a checkpoint or a journal, from which a restart continues.",
)
GPU_MEMORY_USED: Final = Metric(
    "peerkd_gpu_memory_used_bytes",
    "gauge",
    "bytes",
    "GPU memory that the training's tensors used at the last measurement, summed over the worker's processes.",
)
GPU_MEMORY_PEAK: Final = Metric(
    "peerkd_gpu_memory_peak_bytes",
    "gauge",
    "bytes",
    "Peak GPU memory that the training's tensors used, summed over the worker's processes.",
)
STORE_ERRORS: Final = Metric(
    "peerkd_store_errors_total",
    "counter",
    "errors",
    "Requests to the artifact store that failed, including those that succeeded when repeated.",
)

JOB_SUCCESS: Final = Metric(
    "peerkd_job_success", "gauge", "1", "1 if the job or stage ended with its result, else 0.", writer="summary"
)
JOB_END: Final = Metric(
    "peerkd_job_end_timestamp_seconds",
    "gauge",
    "Unix seconds",
    "Time at which the job or stage ended.",
    writer="summary",
)
JOB_QUEUE_SECONDS: Final = Metric(
    "peerkd_job_queue_seconds",
    "gauge",
    "seconds",
    "Time for which the job was queued (suspended) or waited for a node, before and between its attempts.",
    writer="summary",
)
JOB_RUN_SECONDS: Final = Metric(
    "peerkd_job_run_seconds",
    "gauge",
    "seconds",
    "Time for which the job or stage ran, over all attempts.",
    writer="summary",
)
JOB_GPU_SECONDS: Final = Metric(
    "peerkd_job_gpu_seconds",
    "gauge",
    "GPU-seconds",
    "Number of GPUs of the job times the seconds for which they were allocated, over all attempts.",
    writer="summary",
)
JOB_COST: Final = Metric(
    "peerkd_job_cost",
    "gauge",
    "the currency of the prices",
    "Cost of the job by the operator's prices; absent without prices.",
    writer="summary",
)
JOB_ATTEMPTS: Final = Metric(
    "peerkd_job_attempts",
    "gauge",
    "attempts",
    "Number of times that the job was created, including the first.",
    writer="summary",
)
JOB_RESTARTS: Final = Metric(
    "peerkd_job_restarts",
    "gauge",
    "restarts",
    "Number of times that a worker of the job was restarted.",
    writer="summary",
)

METRICS: Final[tuple[Metric, ...]] = (
    WORKER_INFO,
    WORKER_START,
    WORKER_GPUS,
    WORKER_WAITING,
    TRIALS_DONE,
    TRIALS_LEFT,
    TRIALS,
    EPOCHS_DONE,
    EPOCHS_LEFT,
    EPOCHS,
    LAST_PROGRESS,
    SAMPLES,
    LOSS,
    ACCURACY,
    DIVERGED,
    CHECKPOINT,
    GPU_MEMORY_USED,
    GPU_MEMORY_PEAK,
    STORE_ERRORS,
    JOB_SUCCESS,
    JOB_END,
    JOB_QUEUE_SECONDS,
    JOB_RUN_SECONDS,
    JOB_GPU_SECONDS,
    JOB_COST,
    JOB_ATTEMPTS,
    JOB_RESTARTS,
)
