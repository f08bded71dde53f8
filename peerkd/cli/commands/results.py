"""The commands that show, watch and use the runs of a store."""

from pathlib import Path
from typing import Annotated

import typer

from peerkd.cli import completion
from peerkd.cli.command import StrictTyper
from peerkd.cli.options import (
    AnyRunName,
    AsJson,
    Namespace,
    OptionalRunName,
    RunName,
    Server,
    StartedFrom,
    StorePlace,
    Watching,
)

results_app = StrictTyper(rich_markup_mode=None)


@results_app.command("watch")
def watch(
    run: AnyRunName,
    server: Server,
    watching: Watching,
    output: StartedFrom = None,
    page: Annotated[
        bool,
        typer.Option("--page", help="Show the run on a page for the browser of this machine, until Ctrl-C."),
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="With --page: the port of the page.", show_default="a free one"),
    ] = None,
) -> None:
    """Show the progress of a run.

    A run on this machine can be watched from any terminal of the machine. The view shows the progress of each stage and
    what each worker does. The page of --page also shows how the best result so far grew.

    Exit codes: 0 the run finished, 1 it failed, 2 the command has an error that you can fix, 3 the run was cancelled,
    4 the run did not end before the timeout, 5 the command was interrupted or the server no longer answered, and the
    run may continue.

    Example: peerkd watch latest
    """
    from peerkd.cli.idle_options import is_pipeline_run
    from peerkd.cli.watch import started_from, watch_here, watch_on_page

    if is_pipeline_run(run):
        from peerkd.cli.submit import watch_run

        raise typer.Exit(watch_run(run, server=server, watching=watching))
    if page:
        raise typer.Exit(watch_on_page(started_from(output), run, port=port or 0, timeout_seconds=watching.timeout))
    raise typer.Exit(watch_here(started_from(output), run, timeout_seconds=watching.timeout))


@results_app.command("stop")
def stop(run: AnyRunName, server: Server, place: StorePlace, namespace: Namespace = None) -> None:
    """End a run in progress.

    A run on this machine ends as by Ctrl-C. A run on Kubeflow Pipelines is terminated. If another machine launched the
    run on a cluster, the command deletes its job. Results are kept, and the command says how to continue the run.

    Example: peerkd stop latest
    """
    from peerkd.cli.idle_options import is_pipeline_run

    if is_pipeline_run(run):
        from peerkd.cli.submit import stop_run

        stop_run(run, server=server)
    else:
        from peerkd.cli.stop import stop as end

        end(place, run, namespace=namespace)


@results_app.command("logs")
def logs(
    run: RunName,
    output: StartedFrom = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for further lines until the run ends.")] = False,
    tail: Annotated[
        int | None, typer.Option("--tail", "-n", metavar="N", min=1, help="Print only the last N lines.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print what a run has printed.

    Each line begins with the time at which it was printed. If the run was started several times, the output of each
    start is printed, the oldest first.

    Example: peerkd logs latest --follow
    """
    from peerkd.cli.watch import show_logs, started_from

    show_logs(started_from(output), run, follow=follow, tail=tail, as_json=as_json)


@results_app.command("runs")
def runs(
    place: StorePlace,
    state: Annotated[
        str | None, typer.Option("--state", metavar="STATE", help="List only runs in this state, such as interrupted.")
    ] = None,
    pipeline: Annotated[
        str | None,
        typer.Option(
            "--pipeline",
            metavar="NAME",
            help="List only runs of this pipeline.",
            autocompletion=completion.pipelines,
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, help="List at most N runs, the latest ones.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the runs of a store.

    The latest run comes first. The list has the state, result, cost and size of each run.

    Example: peerkd runs --store s3://peerkd/runs
    """
    from peerkd.cli.runs import show_runs

    show_runs(place, as_json=as_json, state=state, pipeline=pipeline, limit=limit)


@results_app.command("show")
def show(run: RunName, place: StorePlace, as_json: AsJson = False) -> None:
    """Print the summary and the paths of a run.

    Example: peerkd show latest
    """
    from peerkd.cli.runs import show_run

    show_run(place, run, as_json=as_json)


@results_app.command("note")
def note(
    run: RunName,
    place: StorePlace,
    text: Annotated[
        str | None, typer.Argument(metavar="TEXT", help="Note in one line. It replaces an earlier note.")
    ] = None,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete the note. Its text stays in the store until 'peerkd clean'.")
    ] = False,
) -> None:
    """Write a note on a run.

    The last note on a run is shown by 'peerkd runs', 'peerkd show' and the page of all runs. A note changes no result.

    Example: peerkd note latest "the first run with the new scanner"
    """
    from peerkd.cli.note import note as write

    write(place, run, text, is_deleted=delete)


@results_app.command("open")
def open_in_browser(place: StorePlace, run: OptionalRunName = None) -> None:
    """Open the report of a run in the browser.

    The path of the report is printed. Without RUN, the command writes and opens a page that lists all runs and links
    their reports.

    Example: peerkd open latest
    """
    from peerkd.cli.runs import open_report

    open_report(place, run)


@results_app.command("compare")
def compare(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN RUN...", help="Names of two or more runs, as 'peerkd runs' lists them."),
    ],
    place: StorePlace,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the comparison as CSV.")] = False,
    page_file: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="File to which the comparison is written as an HTML page."),
    ] = None,
) -> None:
    """Compare finished runs.

    Runs that differ in their seed alone form a group. Every other group is compared with the group of the first run.

    Example: peerkd compare digits-dirichlet0.1-a1b2 digits-dirichlet0.5-c3d4 --html compared.html
    """
    from peerkd.cli.compare import compare as show

    show(place, runs, as_json=as_json, as_csv=as_csv, page_file=page_file)


@results_app.command("export")
def export(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="Run, given as for 'peerkd show', or the address of a store: a folder or s3://bucket/prefix. If the "
            "store has several runs, add --study.",
            autocompletion=completion.runs,
        ),
    ],
    place: StorePlace,
    student: Annotated[
        str, typer.Option(metavar="PEER", help="Name or number of the student whose network is written.")
    ],
    to: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="File to write. Its suffix selects the format: .safetensors (the tensors), .pt2 (a program of "
            "torch.export) or .onnx (needs the extra onnx).",
        ),
    ],
    export_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="Format of the file: safetensors, torch or onnx. Default: the format that the suffix selects.",
            show_default=False,
        ),
    ] = None,
    is_best: Annotated[
        bool,
        typer.Option("--best", help="Write the published network, which the study has chosen. This is the default."),
    ] = False,
    teacher: Annotated[
        str | None,
        typer.Option(
            metavar="PEER",
            help="Write the network that learned from this peer, under the setting that is best on validation data.",
        ),
    ] = None,
    setting: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=VALUE,...",
            help="Write the network of any trial, such as transfer_set=both,temperature=2,alpha=0.5.",
        ),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="If RUN is a store with several runs: the run in this store whose network is written.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the network of one student to a file.

    The file can be used without peerkd. The command loads the file, and keeps it only if it predicts the same logits as
    the student. If the network is not in the store, the student is trained once more, and the model card says
    whether this training has reproduced the recorded trial exactly.

    Example: peerkd export latest --student 3 --to student.safetensors
    """
    from peerkd.cli.export import export as write

    write(
        place,
        run,
        student=student,
        to=to,
        export_format=export_format,
        teacher=teacher,
        setting=setting,
        study=study,
        as_json=as_json,
    )


@results_app.command("clean")
def clean(
    place: StorePlace,
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN]...", help="Names of the runs to delete.", autocompletion=completion.runs),
    ] = None,
    unfinished: Annotated[
        bool,
        typer.Option("--unfinished", help="Also delete all unfinished runs and the files of unfinished stages."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete given runs and all that no run needs.

    The command first prints what it would delete, with the size, and asks. It deletes nothing that a remaining run
    needs, and nothing at all while a run of this machine is in progress in the store.

    Example: peerkd clean digits-dirichlet0.3-a1b2 --unfinished
    """
    from peerkd.cli.clean import clean as delete

    delete(place, runs or [], has_unfinished=unfinished, is_confirmed=yes, as_json=as_json)
