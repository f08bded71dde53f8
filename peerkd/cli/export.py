"""``peerkd export``: the network of one student, in a file for other programs."""

from pathlib import Path

import typer

from peerkd.artifacts.open import check_address
from peerkd.stages.export_student import ExportRequest, export_student


def export(
    store: str,
    *,
    student: int,
    to: Path,
    export_format: str,
    is_best: bool,
    teacher: int | None,
    setting: str | None,
    study: str | None,
) -> None:
    """Write the network of one student, and print what it is and how the file was checked.

    Args:
        store: The address of the store of a finished run.
        student: The student.
        to: The file.
        export_format: The name of the format.
        is_best: Whether ``--best`` is given, which asks for the published network, as is the default.
        teacher: The teacher of the training, if it is not the published one.
        setting: The setting of the training, if it is not the published one.
        study: The key of the better peers, if the store has several studies.

    Raises:
        ValueError: If an option does not fit the others, the store or the network.
        PeerKDError: If the file gives other logits than the network, or the store fails.
    """
    check_address(store)
    if is_best and (teacher is not None or setting is not None):
        other = "teacher" if setting is None else "setting"
        raise ValueError(f"best must not be given together with {other}, which names another network.")
    request = ExportRequest(
        student=student, format_name=export_format, file=to, teacher=teacher, setting=setting, study=study
    )
    for line in export_student(store, request):
        typer.echo(line)
