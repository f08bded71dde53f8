"""Requests that a job may not make: changes to the spec of a pod, and the message with which each is refused."""

from collections.abc import Callable
from typing import Any, NamedTuple

Spec = dict[str, Any]


class Forbidden(NamedTuple):
    name: str
    change: Callable[[Spec], object]
    sentence: str
    of_tasks: bool = True
    """Whether the policy refuses the change for tasks of pipelines, too."""


def _main(spec: Spec) -> Spec:
    container: Spec = spec["containers"][0]
    return container


def _context(spec: Spec) -> Spec:
    context: Spec = _main(spec)["securityContext"]
    return context


def _volume(**source: Any) -> Callable[[Spec], object]:
    return lambda spec: spec["volumes"].append({"name": "more", **source})


def _variable(**source: Any) -> Callable[[Spec], object]:
    return lambda spec: _main(spec).setdefault("env", []).append({"name": "MORE", "valueFrom": source})


def _projected(**source: Any) -> Callable[[Spec], object]:
    return _volume(projected={"sources": [source]})


def _container(kind: str) -> Callable[[Spec], object]:
    """Add an init container that reads a secret."""

    def change(spec: Spec) -> None:
        secret = {"secretKeyRef": {"name": "root", "key": "k"}}
        more = {**_main(spec), "name": "more", "env": [{"name": "MORE", "valueFrom": secret}]}
        spec.setdefault(kind, []).append(more)

    return change


RESTRICTED = "Every container of a worker must keep to the Pod Security level restricted"
NODE = "must not use the network, the ports, the processes or the IPC of its node"
PROJECTED = "must contain ConfigMaps, the downward API"

CLONE = {
    "accessModes": ["ReadWriteOnce"],
    "resources": {"requests": {"storage": "1Gi"}},
    "dataSource": {"kind": "PersistentVolumeClaim", "name": "minio"},
}

FORBIDDEN = [
    Forbidden("another account", lambda s: s.update(serviceAccountName="admin"), "-service-accounts"),
    Forbidden("the default account", lambda s: s.pop("serviceAccountName"), "got default"),
    Forbidden(
        "an account in the old field",
        lambda s: (s.pop("serviceAccountName"), s.update(serviceAccount="admin")),
        "-service-accounts",
    ),
    Forbidden(
        "a token", lambda s: s.update(automountServiceAccountToken=True), "must set automountServiceAccountToken", False
    ),
    Forbidden(
        "a token unsaid",
        lambda s: s.pop("automountServiceAccountToken"),
        "must set automountServiceAccountToken",
        False,
    ),
    Forbidden("hostNetwork", lambda s: s.update(hostNetwork=True), NODE),
    Forbidden("hostPID", lambda s: s.update(hostPID=True), NODE),
    Forbidden("hostIPC", lambda s: s.update(hostIPC=True), NODE),
    Forbidden("hostPort", lambda s: _main(s).update(ports=[{"containerPort": 9090, "hostPort": 9090}]), NODE),
    Forbidden(
        "a probe of another host",
        lambda s: _main(s).update(livenessProbe={"httpGet": {"host": "169.254.169.254", "port": 80}}),
        "must name no host",
    ),
    Forbidden(
        "a hook of another host",
        lambda s: _main(s).update(lifecycle={"postStart": {"tcpSocket": {"host": "10.0.0.1", "port": 443}}}),
        "must name no host",
    ),
    Forbidden("nodeName", lambda s: s.update(nodeName="node-1"), "must leave its node to the scheduler, got nodeName"),
    Forbidden("hostPath", _volume(hostPath={"path": "/"}), "downwardAPI or projected volume, got more"),
    Forbidden("nfs", _volume(nfs={"server": "s", "path": "/"}), "or projected volume, got more"),
    Forbidden("csi", _volume(csi={"driver": "d.example"}), "or projected volume, got more"),
    Forbidden(
        "a copy of a claim",
        _volume(ephemeral={"volumeClaimTemplate": {"spec": CLONE}}),
        "or projected volume, got more",
    ),
    Forbidden("a claim", _volume(persistentVolumeClaim={"claimName": "minio"}), "must be listed under claims"),
    Forbidden("a secret as a volume", _volume(secret={"secretName": "root"}), "A secret in a volume of a"),
    Forbidden("a projected secret", _projected(secret={"name": "root"}), PROJECTED),
    Forbidden(
        "a projected token", _projected(serviceAccountToken={"path": "t", "audience": "vault"}), PROJECTED, False
    ),
    Forbidden("a secret as a variable", _variable(secretKeyRef={"name": "root", "key": "k"}), "A secret in a variable"),
    Forbidden(
        "a secret as all variables",
        lambda s: _main(s).update(envFrom=[{"secretRef": {"name": "root"}}]),
        "A secret in a variable of a",
    ),
    Forbidden("a secret of another container", _container("initContainers"), "A secret in a variable of a"),
    Forbidden("a pull secret", lambda s: s.update(imagePullSecrets=[{"name": "root"}]), "A pull secret of a"),
    Forbidden("privileged", lambda s: _context(s).update(privileged=True), RESTRICTED, False),
    Forbidden("escalation", lambda s: _context(s).pop("allowPrivilegeEscalation"), RESTRICTED, False),
    Forbidden("capabilities", lambda s: _context(s).pop("capabilities"), RESTRICTED, False),
    Forbidden(
        "more capabilities",
        lambda s: _context(s).update(capabilities={"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
        RESTRICTED,
        False,
    ),
    Forbidden("root", lambda s: s["securityContext"].update(runAsUser=0), RESTRICTED, False),
    Forbidden("root in a container", lambda s: _context(s).update(runAsUser=0), RESTRICTED, False),
    Forbidden("maybe root", lambda s: s["securityContext"].pop("runAsNonRoot"), RESTRICTED, False),
    Forbidden("no seccomp", lambda s: s["securityContext"].pop("seccompProfile"), RESTRICTED, False),
    Forbidden("no context", lambda s: (s.pop("securityContext"), _main(s).pop("securityContext")), RESTRICTED, False),
    Forbidden(
        "another SELinux type",
        lambda s: s["securityContext"].update(seLinuxOptions={"type": "spc_t"}),
        RESTRICTED,
        False,
    ),
    Forbidden(
        "another SELinux type in a container",
        lambda s: _context(s).update(seLinuxOptions={"type": "spc_t"}),
        RESTRICTED,
        False,
    ),
    Forbidden(
        "sysctls",
        lambda s: s["securityContext"].update(sysctls=[{"name": "kernel.msgmax", "value": "1"}]),
        RESTRICTED,
        False,
    ),
]
"""Forbidden changes to a valid pod, one at a time."""
