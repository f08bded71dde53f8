"""The properties of a run in words, for terminals, pages and notebooks."""

from typing import Final

from peerkd.results.cost import Cost
from peerkd.stages.stored_runs import StoredRun
from peerkd.wording import format_duration

UNKNOWN: Final = "-"


def title_of(run: StoredRun) -> str:
    """Return the pipeline and the strategy, such as ``jointkd tune``."""
    return " ".join(filter(None, (run.pipeline, run.strategy)))


def result_of(run: StoredRun) -> str:
    """Return the result of a finished run, or the stages that are left."""
    return run.headline or f"left: {', '.join(run.stages_left)}"


def minute(time: str | None) -> str:
    """Return an ISO 8601 time as date, hour and minute, such as ``2026-01-31 12:30``."""
    return time[:16].replace("T", " ") if time else UNKNOWN


def cost_in_words(cost: Cost | None) -> str:
    """Return a cost in words: the workers' time, the GPUs' time if there were any, and the price if it is known."""
    if cost is None:
        return UNKNOWN
    parts = [format_duration(cost.worker_seconds)]
    if cost.gpu_seconds:
        parts.append(f"{format_duration(cost.gpu_seconds)} of GPUs")
    if cost.money is not None:
        parts.append(f"{cost.money:,.2f}")
    return ", ".join(parts)
