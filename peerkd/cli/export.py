"""``peerkd export``: the network of one student, in a file for other programs."""

import json
from pathlib import Path

import typer

from peerkd.artifacts.open import S3_SCHEME, check_address
from peerkd.cli.options import StorePlace
from peerkd.cli.wrapping import say
from peerkd.excerpt import plain
from peerkd.metrics.progress import taking_lines
from peerkd.stages.export_student import ExportRequest, export_network


def export(
    place: StorePlace,
    run: str,
    *,
    student: str,
    to: Path,
    export_format: str | None,
    teacher: str | None,
    setting: str | None,
    study: str | None,
    as_json: bool,
) -> None:
    """Write the network of one student to a file. Print which network it is, and how the file was checked.

    Args:
        place: The options that name the store.
        run: The run, as for ``peerkd show``. If no option names the store, it may also be the address of a store.
        student: The name or number of the student.
        to: The path of the file.
        export_format: The name of the format: ``safetensors``, ``torch`` or ``onnx``. None: the ending of the file's
            name selects the format.
        teacher: The name or number of the teacher of the training whose network is written; None if the user names no
            teacher.
        setting: The setting of this training, as ``NAME=VALUE,...``; None if the user names no setting.
        study: The run, if ``run`` is the address of a store. None: the only run of this store.
        as_json: Print the result as JSON instead of text.

    Raises:
        ValueError: If an option does not fit the others, the store or the network.
        PeerKDError: If the file gives other logits than the network, or the store fails.
    """
    store, study = _store_and_study(place, run, study)
    request = ExportRequest(
        student=student, format_name=export_format, file=to, teacher=teacher, setting=setting, study=study
    )
    if not as_json:
        for line in export_network(store, request).lines():
            say(line)
        return
    # The progress of a network that is trained once more belongs on stderr, because stdout is for the JSON text.
    with taking_lines(lambda stage, text: typer.echo(f"{stage}: {text}", err=True)):
        exported = export_network(store, request)
    typer.echo(json.dumps(exported.to_json(), indent=2, allow_nan=False))


def _store_and_study(place: StorePlace, run: str, study: str | None) -> tuple[str, str | None]:
    """Return the address of the store, and the text that names a study in it; None for the only study."""
    if place == StorePlace() and (run.startswith(S3_SCHEME) or Path(run).is_dir()):
        check_address(run)
        return run, study
    if study is not None:
        raise ValueError(f"--study must not be given together with a run, got {plain(study)} and {plain(run)}.")
    return place.address, run
