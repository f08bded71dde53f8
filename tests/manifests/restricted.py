"""Violations of the Pod Security level "restricted", and of our additional rules, by the spec of a pod."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any, Final

_VOLUMES: Final = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
}

Spec = Mapping[str, Any]


def containers_of(spec: Spec) -> list[Mapping[str, Any]]:
    """Return all containers, including init containers."""
    kinds = ("initContainers", "containers", "ephemeralContainers")
    return [container for kind in kinds for container in spec.get(kind) or []]


def breaches(spec: Spec) -> Iterator[str]:
    """Yield the violations of the level "restricted" by a pod."""
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            yield f"{field} is set"
    for volume in spec.get("volumes") or []:
        if forbidden := set(volume) - {"name"} - _VOLUMES:
            yield f"volume {volume['name']} is of kind {', '.join(forbidden)}"
    pod = spec.get("securityContext") or {}
    if pod.get("sysctls"):
        yield "sysctls are set"
    for container in containers_of(spec):
        yield from (f"container {container['name']}: {each}" for each in _breaches_of(container, pod))


def _breaches_of(container: Mapping[str, Any], pod: Mapping[str, Any]) -> Iterator[str]:
    own = container.get("securityContext") or {}
    if own.get("privileged"):
        yield "is privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    if own.get("runAsNonRoot", pod.get("runAsNonRoot")) is not True:
        yield "runAsNonRoot is not true"
    if own.get("runAsUser", pod.get("runAsUser")) == 0:
        yield "runs as root"
    if own.get("seccompProfile", pod.get("seccompProfile") or {}).get("type") not in ("RuntimeDefault", "Localhost"):
        yield "has no seccomp profile"
    capabilities = own.get("capabilities") or {}
    if "ALL" not in capabilities.get("drop", []):
        yield "keeps capabilities"
    if set(capabilities.get("add") or []) - {"NET_BIND_SERVICE"}:
        yield "adds capabilities"
    if own.get("procMount", "Default") != "Default":
        yield "has a proc mount of its own"
    if any(port.get("hostPort") for port in container.get("ports") or []):
        yield "takes a port of its node"


def shortcomings(spec: Spec) -> Iterator[str]:
    """Yield the violations of our additional rules, which a reviewer of manifests would require."""
    pod = spec.get("securityContext") or {}
    if "automountServiceAccountToken" not in spec:
        yield "does not say whether it needs a token"
    if spec.get("enableServiceLinks") is not False:
        yield "gets the addresses of all services into its environment"
    for container in containers_of(spec):
        name, own = container["name"], container.get("securityContext") or {}
        if not isinstance(own.get("runAsUser", pod.get("runAsUser")), int):
            yield f"container {name} has no numeric user"
        if own.get("readOnlyRootFilesystem") is not True:
            yield f"container {name} can write to its root"
        resources = container.get("resources") or {}
        for kind, resource in product(("requests", "limits"), ("cpu", "memory")):
            if resource not in resources.get(kind, {}):
                yield f"container {name} has no {resource} among its {kind}"
        repository, _, tag = container["image"].rpartition(":")
        if not repository or tag == "latest" or "/" in tag or repository.count("/") < 2:
            yield f"container {name} has an image without registry or tag: {container['image']}"
