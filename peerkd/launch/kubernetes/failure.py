"""A job's failure in words: the first worker that failed, why, and what it said last."""

from collections.abc import Sequence

from peerkd.errors import PeerKDError
from peerkd.launch.kubernetes import names
from peerkd.launch.kubernetes.client import Cluster
from peerkd.launch.kubernetes.history import History
from peerkd.launch.kubernetes.jobs import name_of, uid_of
from peerkd.launch.kubernetes.printing import Printer
from peerkd.launch.kubernetes.verdict import Verdict

_NUM_LINES = 20


def explain(stage: str, job: str, verdict: Verdict, lines: Sequence[str]) -> str:
    """Return the message of a failure.

    Args:
        stage: Whose job it is.
        job: Its name.
        verdict: How it ended.
        lines: The last that the first failing worker printed.
    """
    last_word = verdict.ending.message if verdict.ending else ""
    if "\n" in last_word:
        # The cluster has put the end of the log in place of a word that the worker did not leave.
        lines, last_word = lines or last_word.splitlines(), ""
    reason = f"{verdict.text}: {last_word}" if last_word else verdict.text
    message = f"{stage} failed in job {job}: {reason.rstrip('.')}."
    if lines:
        message += "\nIts last lines were:\n" + "\n".join(lines[-_NUM_LINES:])
    return message


def last_lines(verdict: Verdict, *, cluster: Cluster, history: History, printer: Printer) -> Sequence[str]:
    """Return what the first failing worker printed last, from the cluster if its pod is there, else from memory."""
    if verdict.ending is None:
        return ()
    pod = history.pods.get(verdict.ending.worker)
    if pod is not None and uid_of(pod) == verdict.ending.uid:
        try:
            return list(cluster.logs(name_of(pod), container=names.CONTAINER, tail_lines=_NUM_LINES))
        except PeerKDError:
            pass
    return printer.last_lines(verdict.ending.worker)
