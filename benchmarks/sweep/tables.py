"""The measurements as Markdown."""

from collections.abc import Mapping, Sequence
from statistics import median

from benchmarks.markdown import quotients, spread, table, three_digits
from benchmarks.sweep.agreement import Agreement
from benchmarks.sweep.arithmetic import SampleFlops, lap_flops
from benchmarks.sweep.contestants import ENGINE
from benchmarks.sweep.rounds import Measured


def rate_table(all_measured: Sequence[Measured], flops: SampleFlops, *, epochs: int, num_judged: int) -> str:
    """Return one row for each contestant, with median, minimum and maximum over the rounds."""
    rows = [
        [
            measured.contestant.name,
            "; ".join([measured.choice.text, *measured.laps[-1].ways_taken]),
            measured.contestant.precision,
            spread(trials_per_second(measured)),
            f"{median(_samples_per_second(measured, epochs=epochs)):,.0f}",
            *_arithmetic_cells(measured, flops, epochs=epochs, num_judged=num_judged),
            f"{max(measured.peak_bytes) / 2**20:,.0f}",
            f"{len(measured.laps[0].outcomes)}",
        ]
        for measured in all_measured
    ]
    header = [
        "Program",
        "Run as",
        "Precision",
        "Trials/s",
        "Training samples/s",
        "GFLOP/s",
        "Of matrix products",
        "Peak memory, MiB",
        "Trials in a round",
    ]
    return table(header, rows)


def quotient_table(all_measured: Sequence[Measured]) -> str:
    """Return one row for each other program: peerkd's trials per second divided by those of the program."""
    engines = [measured for measured in all_measured if measured.contestant.name == ENGINE]
    others = [measured for measured in all_measured if measured.contestant.name != ENGINE]
    rows = [
        [
            other.contestant.name,
            *(spread(quotients(trials_per_second(engine), trials_per_second(other))) for engine in engines),
        ]
        for other in others
    ]
    return table(["peerkd's trials/s over those of", *(engine.contestant.precision for engine in engines)], rows)


def agreement_table(agreements: Mapping[tuple[str, str], Agreement]) -> str:
    """Return one row for each program except the reference, with accuracies in percentage points."""
    rows = [
        [
            name,
            precision,
            str(agreement.num_trials),
            f"{100 * agreement.mean_difference:+.2f} (±{100 * agreement.allowed_mean:.2f})",
            f"{100 * agreement.largest_difference:.2f} ({_limit(agreement.allowed_largest)})",
            "yes" if agreement.holds else "NO",
        ]
        for (name, precision), agreement in agreements.items()
    ]
    return table(["Program", "Precision", "Trials", "Mean (allowed)", "Largest (allowed)", "Agrees"], rows)


def trials_per_second(measured: Measured) -> list[float]:
    """Return the trials per second of a contestant by round."""
    return [len(lap.outcomes) / lap.seconds for lap in measured.laps]


def _samples_per_second(measured: Measured, *, epochs: int) -> list[float]:
    """Return the samples per second on which students were trained, by round."""
    return [epochs * sum(outcome.num_samples for outcome in lap.outcomes) / lap.seconds for lap in measured.laps]


def _arithmetic_cells(measured: Measured, flops: SampleFlops, *, epochs: int, num_judged: int) -> list[str]:
    rates = [lap_flops(lap, flops, epochs=epochs, num_judged=num_judged) / lap.seconds for lap in measured.laps]
    shares = quotients(rates, measured.matrix_flops)
    return [
        three_digits(median(rates) / 1e9),
        f"{100 * median(shares):.1f} % of {median(measured.matrix_flops) / 1e9:,.0f}",
    ]


def _limit(allowed: float | None) -> str:
    return "any" if allowed is None else f"{100 * allowed:.2f}"
