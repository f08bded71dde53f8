"""The table of rounds: the measurements of every peer before the first round and after each round, by method."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from peerkd.results import arrow

IDENTITY_COLUMNS: Final = ("method", "round", "peer")

MAX_TEACHERS: Final = 100
"""The largest number of teachers that a row lists. They are the peer itself and the other teachers with the largest
shares."""

LATER_COLUMNS: Final = (
    *("test_class_accuracies", "teachers", "teacher_shares"),
    *("setting", "epochs", "estimated_gain"),
)
"""The columns that tables of earlier versions lack."""

ROUNDS_SCHEMA: Final = pa.schema(
    [
        arrow.field("method", pa.string(), "Method, as in rounds.methods", nullable=False),
        arrow.field("round", pa.int32(), "Number of finished rounds; 0 before the first one", nullable=False),
        arrow.field("peer", pa.int32(), "Peer, counted from 0", nullable=False),
        *(
            arrow.field(
                f"{split}_{scope}_accuracy",
                pa.float64(),
                f"Accuracy of the peer's network on {what} {split} samples",
                nullable=False,
            )
            for split in ("validation", "test")
            for scope, what in (("global", "the common"), ("own", "its own"))
        ),
        arrow.field(
            "sent_bytes",
            pa.int64(),
            "Bytes that left the peer in this round; a message counts once, however many partners read it",
            nullable=False,
        ),
        arrow.field(
            "received_bytes", pa.int64(), "Bytes of the messages that the peer read in this round", nullable=False
        ),
        arrow.field(
            "num_own_samples",
            pa.int64(),
            "Own samples in the peer's trainings of this round, each as often as it was used; with dfml, those of the "
            "peer on whose samples the group trains count too",
            nullable=False,
        ),
        arrow.field(
            "num_public_samples",
            pa.int64(),
            "Public samples in the peer's trainings of this round, each as often as it was used",
            nullable=False,
        ),
        arrow.field(
            "is_accepted",
            pa.bool_(),
            "Whether the peer accepted what the round proposed; otherwise it stayed as it was; true if nothing was "
            "proposed, which is the case if the peer trained on no samples",
            nullable=False,
        ),
        arrow.field(
            "test_class_accuracies",
            pa.list_(pa.float64()),
            "Accuracy of the peer's network on the common test samples of each class; null for a class without samples",
        ),
        arrow.field(
            "teachers",
            pa.list_(pa.int32()),
            "Peers whose knowledge the round proposed to the peer, the largest share first, at most "
            f"{MAX_TEACHERS}: itself, if it has a share, and the others with the largest shares; null if it learned "
            "from itself alone",
        ),
        arrow.field(
            "teacher_shares",
            pa.list_(pa.float64()),
            "Share of each of these peers in what the peer imitates or averages",
        ),
        arrow.field(
            "setting",
            pa.int32(),
            "Place in rounds.tune.portfolio of the setting that the peer tried in this round, counted from 0; null "
            "without tuning, and if the peer omitted the round",
        ),
        arrow.field("epochs", pa.int32(), "Number of epochs of this training; null like setting"),
        arrow.field(
            "estimated_gain",
            pa.float64(),
            "Gain of this training in the accuracy that the peer estimates; if it is negative, the peer kept its "
            "network; null like setting",
        ),
    ]
)
"""Every column with its type and, as metadata, its meaning. The first three columns identify a row."""

_KIND: Final = arrow.TableKind("table of rounds", "ROUNDS_SCHEMA", ROUNDS_SCHEMA, later_columns=LATER_COLUMNS)


def has_proposal(row: Mapping[str, Any]) -> bool:
    """Return whether the round of a row proposed a network to the peer of the row.

    With every method, a round proposes a network to exactly those peers that have trained in the round, so the columns
    with numbers of samples decide. A peer without a proposal stays as it is, which counts as accepted.
    """
    return bool(row["num_own_samples"] + row["num_public_samples"])


def credited_gain(estimated_gain: float, *, is_accepted: bool) -> float:
    """Return the gain with which a training counts when settings are compared.

    A network that the peer rejected, for example because of ``rounds.max_own_drop``, has gained nothing, whatever the
    peer estimated.
    """
    return estimated_gain if is_accepted else min(estimated_gain, 0.0)


def assemble(rows: Iterable[Mapping[str, Any]], *, methods: Iterable[str]) -> pa.Table:
    """Return the table of rounds, sorted by method, round and peer.

    Args:
        rows: One mapping for each row, with the columns of ``ROUNDS_SCHEMA``. A row may lack any of ``LATER_COLUMNS``.
        methods: The methods in the order of the table.

    Raises:
        ValueError: If a row has other columns, or two rows have the same identity.
    """
    places = {method: place for place, method in enumerate(methods)}
    ordered = sorted(rows, key=lambda row: (places[row["method"]], row["round"], row["peer"]))
    for row in ordered:
        different = (row.keys() | set(LATER_COLUMNS)) ^ set(ROUNDS_SCHEMA.names)
        if different:
            named = ", ".join(sorted(different))
            raise ValueError(f"A row must have the columns of ROUNDS_SCHEMA, got a difference in {named}.")
    identities = [tuple(row[name] for name in IDENTITY_COLUMNS) for row in ordered]
    if len(set(identities)) != len(identities):
        repeated = next(each for index, each in enumerate(identities) if each in identities[:index])
        raise ValueError(
            f"Each row must appear once, got two of method {repeated[0]}, round {repeated[1]}, peer {repeated[2]}."
        )
    table = pa.table(
        {each.name: pa.array([row.get(each.name) for row in ordered], each.type) for each in ROUNDS_SCHEMA}
    )
    return arrow.checked(table, _KIND)


def fingerprint(table: pa.Table) -> str:
    """Return the SHA-256 of all columns in hexadecimal. Later columns that have only nulls do not count."""
    return arrow.fingerprint(table, later_columns=LATER_COLUMNS)


def write_rounds(table: pa.Table, path: Path) -> None:
    """Check the table of rounds, and write it as Parquet."""
    arrow.write(table, path, _KIND)


def read_rounds(path: Path) -> pa.Table:
    """Read a table that ``write_rounds`` wrote, and check it."""
    return arrow.read(path, _KIND)
