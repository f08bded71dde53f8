"""``peerkd export``: the network of one student, in a file for other programs."""

import json
from pathlib import Path

import typer

from peerkd.artifacts.open import check_address
from peerkd.metrics.progress import taking_lines
from peerkd.stages.export_student import ExportRequest, export_network


def export(
    store: str,
    *,
    student: int,
    to: Path,
    export_format: str,
    teacher: int | None,
    setting: str | None,
    study: str | None,
    as_json: bool,
) -> None:
    """Write the network of one student to a file. Print which network it is, and how the file was checked.

    Args:
        store: The address of the store of a finished run.
        student: The number of the student.
        to: The path of the file.
        export_format: The name of the format: ``safetensors``, ``torch`` or ``onnx``.
        teacher: The number of the teacher of the training whose network is written; None if the user names no teacher.
        setting: The setting of this training, as ``NAME=VALUE,...``; None if the user names no setting.
        study: The key of the artifact with the better peers; None if the store has only one such artifact.
        as_json: Print the facts as JSON instead of text.

    Raises:
        ValueError: If an option does not fit the others, the store or the network.
        PeerKDError: If the file gives other logits than the network, or the store fails.
    """
    check_address(store)
    request = ExportRequest(
        student=student, format_name=export_format, file=to, teacher=teacher, setting=setting, study=study
    )
    if not as_json:
        for line in export_network(store, request).lines():
            typer.echo(line)
        return
    # The progress of a network that is trained once more belongs on stderr, because stdout is for the JSON text.
    with taking_lines(lambda stage, text: typer.echo(f"{stage}: {text}", err=True)):
        exported = export_network(store, request)
    typer.echo(json.dumps(exported.to_json(), indent=2, allow_nan=False))
