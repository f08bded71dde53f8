"""The table of metrics: name, kind, unit, meaning, labels, and who writes each. Rules and dashboards know no other.

Every metric of a worker has the labels ``stage`` and ``worker``; all labels are bounded. The run is on one metric
only, ``peerkd_worker_info``, which queries join by namespace and pod: a new run makes one new series and not fifty.
What a summary says is grouped by run and stage, and deleted some time after the job.
"""

from typing import Final, Literal, NamedTuple, Protocol

WORKER_LABELS: Final = ("stage", "worker")
GROUP_LABELS: Final = ("run", "stage")

MAX_LABEL_VALUES: Final = 32
"""A label with more values than this, such as the part of a loss, has the rest under ``OTHER``."""

OTHER: Final = "other"

PORT_VARIABLE: Final = "PEERKD_METRICS_PORT"
"""The variable with the port on which a worker serves its metrics; without it there is no endpoint."""

Writer = Literal["worker", "summary"]
"""worker: the endpoint of a training pod. summary: what is pushed once, at the end of a job or of a short step."""


class Metric(NamedTuple):
    """One row of the table."""

    name: str
    kind: Literal["counter", "gauge"]
    unit: str
    help: str
    extra_labels: tuple[str, ...] = ()
    writer: Writer = "worker"

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels that the one who writes it gives it."""
        return (*WORKER_LABELS, *self.extra_labels) if self.writer == "worker" else self.extra_labels


class Recorder(Protocol):
    """Takes values of metrics."""

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        """Replace the value of a gauge."""

    def add(self, metric: Metric, amount: float, **labels: str) -> None:
        """Add to a counter."""

    def describe(self, architecture: str) -> None:
        """Name the architecture that is trained in the info metric."""


WORKER_INFO: Final = Metric(
    "peerkd_worker_info",
    "gauge",
    "1",
    "What a worker works at; the value is always 1.",
    ("run", "architecture"),
)
WORKER_START: Final = Metric(
    "peerkd_worker_start_time_seconds",
    "gauge",
    "Unix seconds",
    "When the worker's process started; it changes with every restart.",
)
WORKER_GPUS: Final = Metric("peerkd_worker_gpus", "gauge", "GPUs", "GPUs that the worker holds, busy or not.")
WORKER_WAITING: Final = Metric(
    "peerkd_worker_waiting",
    "gauge",
    "1",
    "1 while the worker has nothing to do but to wait for other workers, else 0.",
)

TRIALS_DONE: Final = Metric(
    "peerkd_trials_done",
    "gauge",
    "trials",
    "Trials of the stage that are done, by earlier attempts too, as far as this worker knows.",
)
TRIALS_LEFT: Final = Metric(
    "peerkd_trials_left", "gauge", "trials", "Trials of the stage that are not done, as far as this worker knows."
)
TRIALS: Final = Metric("peerkd_trials_total", "counter", "trials", "Trials that this process has done.")
EPOCHS_DONE: Final = Metric(
    "peerkd_epochs_done",
    "gauge",
    "epochs",
    "Epochs of the stage, over all its networks, that are done, as far as this worker knows.",
)
EPOCHS_LEFT: Final = Metric(
    "peerkd_epochs_left", "gauge", "epochs", "Epochs of the stage that are not done, as far as this worker knows."
)
EPOCHS: Final = Metric("peerkd_epochs_total", "counter", "epochs", "Epochs that this process has done.")
LAST_PROGRESS: Final = Metric(
    "peerkd_last_progress_timestamp_seconds",
    "gauge",
    "Unix seconds",
    "When the worker last got on: at its start, then at every piece of work and every count of samples.",
)

SAMPLES: Final = Metric(
    "peerkd_samples_total",
    "counter",
    "samples",
    "Training samples (images) that went through an optimiser step in this process; another view is no other sample.",
)
LOSS: Final = Metric(
    "peerkd_loss",
    "gauge",
    "1",
    "Mean loss over the epoch that ended last, whole (part loss) and in parts before they are weighted; NaN if it is "
    "no finite number.",
    ("part",),
)
ACCURACY: Final = Metric(
    "peerkd_accuracy_ratio",
    "gauge",
    "ratio",
    "Share of right predictions, 0 to 1, of the network that was evaluated last; NaN if its logits are not finite.",
    ("split",),
)
DIVERGED: Final = Metric(
    "peerkd_diverged_total",
    "counter",
    "trainings",
    "Trainings (of a peer, a trial or a run) that this process has done and that diverged: they did not end in finite "
    "numbers.",
)
CHECKPOINT: Final = Metric(
    "peerkd_checkpoint_timestamp_seconds",
    "gauge",
    "Unix seconds",
    "When the worker last saved what a restart would go on from: a checkpoint or a journal.",
)
GPU_MEMORY_USED: Final = Metric(
    "peerkd_gpu_memory_used_bytes",
    "gauge",
    "bytes",
    "GPU memory that the training's tensors took when last asked, summed over the worker's processes.",
)
GPU_MEMORY_PEAK: Final = Metric(
    "peerkd_gpu_memory_peak_bytes",
    "gauge",
    "bytes",
    "The most GPU memory that the training's tensors took, summed over the worker's processes.",
)
STORE_ERRORS: Final = Metric(
    "peerkd_store_errors_total",
    "counter",
    "errors",
    "Requests to the artifact store that failed, those that were then repeated with success included.",
)

JOB_SUCCESS: Final = Metric(
    "peerkd_job_success", "gauge", "1", "1 if the job or step ended with its result, else 0.", writer="summary"
)
JOB_END: Final = Metric(
    "peerkd_job_end_timestamp_seconds", "gauge", "Unix seconds", "When the job or step ended.", writer="summary"
)
JOB_QUEUE_SECONDS: Final = Metric(
    "peerkd_job_queue_seconds",
    "gauge",
    "seconds",
    "Time that the job was queued (suspended) or waited for a node, before and between its attempts.",
    writer="summary",
)
JOB_RUN_SECONDS: Final = Metric(
    "peerkd_job_run_seconds", "gauge", "seconds", "Time that the job or step ran, over all attempts.", writer="summary"
)
JOB_GPU_SECONDS: Final = Metric(
    "peerkd_job_gpu_seconds",
    "gauge",
    "GPU-seconds",
    "GPUs of the job times the seconds that it held them, over all attempts.",
    writer="summary",
)
JOB_COST: Final = Metric(
    "peerkd_job_cost",
    "gauge",
    "the price table's currency",
    "What the job's GPU-seconds cost by the price table; absent without one.",
    writer="summary",
)
JOB_ATTEMPTS: Final = Metric(
    "peerkd_job_attempts", "gauge", "attempts", "How often the whole job was made, once included.", writer="summary"
)
JOB_RESTARTS: Final = Metric(
    "peerkd_job_restarts", "gauge", "restarts", "How often a worker of the job was made anew.", writer="summary"
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
