"""Checks of the artifact store from this machine, and of the secret with the workers' keys."""

from base64 import b64decode
from typing import Final

from peerkd.artifacts.check import check_store
from peerkd.artifacts.s3_keys import check_key
from peerkd.launch.doctor.finding import Finding, check
from peerkd.launch.kubernetes.client import SECRETS, Cluster

_FIXES: Final = {
    "address": "Give --store an address as in s3://bucket/prefix, and set PEERKD_S3_ENDPOINT.",
    "credentials": "Set PEERKD_S3_ACCESS_KEY and PEERKD_S3_SECRET_KEY, or the variables of AWS.",
}
_FIX: Final = "Look at PEERKD_S3_ENDPOINT, at the keys and at what they may do with the bucket."
_KEYS: Final = ("access-key", "secret-key")


def check_artifacts(address: str) -> list[Finding]:
    """Check that objects can be put, read, listed and deleted in the store, in parts too, as large files are."""
    return [
        Finding(f"store: {found.name}", found.passed, found.text, "" if found.passed else _FIXES.get(found.name, _FIX))
        for found in check_store(address)
    ]


@check("store secret", asked="get secrets")
def check_secret(cluster: Cluster, name: str) -> Finding | None:
    """Check that the secret with the workers' keys to the store has both, and that they can be keys."""
    if not name:
        return None
    secret = cluster.get(SECRETS, name)
    lacking = [key for key in _KEYS if key not in ((secret or {}).get("data") or {})]
    mend = (
        "Write each key to a file without a line end (printf %s KEY > FILE), then: kubectl create secret generic "
        f"{name} --namespace {cluster.namespace} --from-file=access-key=FILE --from-file=secret-key=FILE "
        "--dry-run=client --output=yaml | kubectl apply --filename -"
    )
    if secret is None or lacking:
        return Finding(
            "store secret",
            False,
            f"The secret {name} with the keys to the store is not in {cluster.namespace}."
            if secret is None
            else f"The secret {name} must have {' and '.join(lacking)}.",
            mend,
        )
    for key in _KEYS:
        where = f"{key} of the secret {name}"
        try:
            text = b64decode(secret["data"][key], validate=True).decode("utf-8", errors="surrogateescape")
            check_key(text, where=where)
        except ValueError as error:
            return Finding("store secret", False, str(error), mend)
        if text != text.strip():
            # peerkd strips the line end, so runs would work until a server is started with the same secret.
            why = "must not end in a line end, as a file from an editor does: servers take it as part of the key"
            return Finding("store secret", False, f"{where} {why}.", mend)
    return Finding("store secret", True, f"The secret {name} has the keys to the store.")
