"""A recorder that keeps the values it receives."""

from peerkd.metrics.names import Metric


class Recorded:
    """The values by name and labels. Counters are summed."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}
        self.architectures: list[str] = []
        self.last_step: int | None = None

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        assert metric.kind == "gauge"
        assert set(metric.extra_labels) <= set(labels) <= {*metric.extra_labels, *metric.tracked_labels}
        self.values[_key(metric, labels)] = value

    def add(self, metric: Metric, amount: float, **labels: str) -> None:
        assert metric.kind == "counter"
        assert set(labels) == set(metric.extra_labels)
        key = _key(metric, labels)
        self.values[key] = self.values.get(key, 0) + amount

    def step(self, num_done: int) -> None:
        self.last_step = num_done

    def describe(self, architecture: str) -> None:
        self.architectures.append(architecture)


def _key(metric: Metric, labels: dict[str, str]) -> str:
    return " ".join([metric.name.removeprefix("peerkd_"), *labels.values()])
