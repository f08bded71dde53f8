"""The tasks of a compiled pipeline as the pods that KFP would run, with the same image, command, arguments and inputs.

The drivers, caching and retries of KFP are omitted. The log of a pod replaces the upload of artifacts.
"""

import json
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from peerkd.launch.package import read_package
from tests.e2e.kind import SETTING
from tests.e2e.kubectl import PATIENCE, apply, get, kubectl, wait_until
from tests.e2e.studies import NAMESPACE, Site

_PIPELINES: Final = Path(__file__).parents[2] / "pipelines"

COMPILED: Final = _PIPELINES / "jointkd.yaml"
"""The compiled pipeline that most of these tests run."""

COLLABORATE: Final = _PIPELINES / "collaborate.yaml"
"""The compiled pipeline of rounds."""

_SCRATCH: Final = "/minio"
"""The folder of KFP's launcher for inputs and outputs: ``minio://a/b`` is the file ``/minio/a/b``."""

_OUTPUT_NAME: Final = "executor_output.json"
"""The file into which KFP's executor writes the return value of a component."""

_MARK: Final = "=== written by the task: "
TASK_CONFIG_OF_NOTHING: Final[Mapping[str, Any]] = {"affinity": None, "env": [], "nodeSelector": None, "resources": {}}
"""The task config that KFP 2.17.0 passes to a component whose task sets no fields, with the keys that the SDK reads."""


def environment(site: Site) -> list[dict[str, Any]]:
    """Return the settings that an administrator gives to all tasks: the address of the store, and its keys."""
    return [
        {"name": "PEERKD_S3_ENDPOINT", "value": site.endpoint},
        {"name": "PEERKD_TRAINER_IMAGE", "value": site.trainer_image},
        *(
            {"name": variable, "valueFrom": {"secretKeyRef": {"name": "peerkd-store", "key": key}}}
            for variable, key in (("PEERKD_S3_ACCESS_KEY", "access-key"), ("PEERKD_S3_SECRET_KEY", "secret-key"))
        ),
    ]


def run_as_pods(
    site: Site,
    arguments: Mapping[str, str],
    *,
    compiled: Path = COMPILED,
    claim: tuple[str, str] | None = None,
    env: list[dict[str, Any]] | None = None,
) -> dict[str, str]:
    """Run a pipeline with two workers as the pods that KFP would run, and return the log of each task.

    If the arguments name no store, the run has a store of its own in S3.

    Args:
        site: The installation.
        arguments: The arguments of the pipeline.
        compiled: The compiled pipeline.
        claim: A claim and the folder at which all pods mount it, as in ``peerkd submit --claim``.
        env: The settings that an administrator gives to all tasks. None: those of the site, with its store in S3.
    """
    run_id = secrets.token_hex(4)
    usual = {"store": f"s3://peerkd/kfp-{run_id}", "num_workers": "2", "cluster": SETTING}
    pipeline = Pipeline.load(compiled, {**usual, **arguments}, run_id=run_id, claim=claim)
    return {
        task: pipeline.run(
            task,
            namespace=NAMESPACE,
            pod=f"task-{task}-{run_id}",
            image=site.control_image,
            service_account="peerkd-launcher",
            env=environment(site) if env is None else env,
        )
        for task in pipeline.tasks()
    }


@dataclass
class Pipeline:
    """A running pipeline, with the outputs of its tasks so far."""

    spec: Mapping[str, Any]
    settings: Mapping[str, Any]
    """The settings for Kubernetes by executor."""

    arguments: Mapping[str, Any]
    run_id: str
    parameters: dict[tuple[str, str], Any] = field(default_factory=dict)
    artifacts: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    """Address and content by task and output."""

    @property
    def _tasks(self) -> Mapping[str, Mapping[str, Any]]:
        tasks: Mapping[str, Mapping[str, Any]] = self.spec["root"]["dag"]["tasks"]
        return tasks

    @classmethod
    def load(
        cls, path: Path, arguments: Mapping[str, Any], *, run_id: str, claim: tuple[str, str] | None = None
    ) -> "Pipeline":
        """Load a compiled pipeline, let its tasks mount a claim, and apply the defaults of its parameters."""
        package = read_package(path)
        spec, settings = (package.with_claim(*claim) if claim else package).documents
        inputs = spec["root"]["inputDefinitions"]["parameters"]
        defaults = {name: each["defaultValue"] for name, each in inputs.items() if "defaultValue" in each}
        executors = settings["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        return cls(spec, executors, {**defaults, **arguments}, run_id)

    def tasks(self) -> Iterator[str]:
        """Yield the names of the tasks, each after all of its dependencies."""
        tasks = self._tasks
        done: list[str] = []
        while len(done) < len(tasks):
            for name, task in tasks.items():
                if name not in done and set(task.get("dependentTasks", [])) <= set(done):
                    done.append(name)
                    yield name

    def run(self, task: str, *, namespace: str, pod: str, seconds: float = 600, **pod_changes: Any) -> str:
        """Run one task to its end as a pod, keep its outputs, and return its log."""
        self.start(task, namespace=namespace, pod=pod, **pod_changes)
        ended = wait_until(
            lambda: (
                (found := get("pod", pod, namespace=namespace))
                and found["status"]["phase"] in ("Succeeded", "Failed")
                and found
            ),
            seconds=PATIENCE * seconds,
            what=f"end of {pod}",
        )
        log = kubectl("logs", pod, "-n", namespace)
        assert ended["status"]["phase"] == "Succeeded", log
        for text in log.split(_MARK)[1:]:
            path, _, content = text.partition("\n")
            self._keep(task, path, content.rstrip("\n"))
        return log

    def start(self, task: str, *, namespace: str, pod: str, **pod_changes: Any) -> None:
        """Create the pod of a task."""
        apply(self._pod(task, namespace=namespace, pod=pod, **pod_changes))

    def _keep(self, task: str, path: str, content: str) -> None:
        name = Path(path).name
        if name == _OUTPUT_NAME:
            values = json.loads(content).get("parameterValues", {})
            self.parameters |= {(task, parameter): value for parameter, value in values.items()}
        else:
            self.artifacts[task, name] = (path.replace(_SCRATCH + "/", "minio://", 1), content)

    def _pod(
        self,
        task: str,
        *,
        namespace: str,
        pod: str,
        image: str,
        service_account: str,
        env: list[dict[str, Any]],
        owner: Any = None,
    ) -> dict[str, Any]:
        component = self.spec["components"][self._task(task)["componentRef"]["name"]]
        container = self.spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
        executor_input, given = self._executor_input(task, component)
        volumes, mounts = self._claims(component)
        outputs = [executor_input["outputs"]["outputFile"]]
        addresses = [each["artifacts"][0]["uri"] for each in executor_input["outputs"].get("artifacts", {}).values()]
        outputs += [address.replace("minio://", _SCRATCH + "/", 1) for address in addresses]
        lines = [f"mkdir -p $(dirname {path}) && printf %s '{content}' > {path}" for path, content in given.items()]
        lines += [f"mkdir -p $(dirname {path})" for path in outputs]
        lines.append('"$@"')
        # Metrics are in the file of the executor, because a page is too long for a log.
        shown = [path for path in outputs if not path.endswith(("/metrics", "/report"))]
        lines += [f"echo; echo '{_MARK}{path}'; cat {path}" for path in shown]
        arguments = [
            json.dumps(executor_input) if each == "{{$}}" else self._filled(each, task) for each in container["args"]
        ]
        metadata: dict[str, Any] = {
            "name": pod,
            "namespace": namespace,
            "labels": {"workflows.argoproj.io/workflow": "e2e"},
        }
        if owner:
            metadata["ownerReferences"] = [owner]
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": {
                "restartPolicy": "Never",
                "serviceAccountName": service_account,
                "securityContext": {
                    "runAsNonRoot": True,
                    "fsGroup": 10001,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "volumes": [{"name": "scratch", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}, *volumes],
                "containers": [
                    {
                        "name": "main",
                        "image": image,
                        "imagePullPolicy": "IfNotPresent",
                        "command": ["sh", "-ec", "\n".join(lines), "sh", *container["command"]],
                        "args": arguments,
                        "env": [
                            {"name": "KFP_POD_NAME", "value": pod},
                            *container.get("env", []),
                            *env,
                        ],
                        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
                        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                        "volumeMounts": [
                            {"name": "scratch", "mountPath": _SCRATCH},
                            {"name": "tmp", "mountPath": "/tmp"},
                            *mounts,
                        ],
                    }
                ],
            },
        }

    def _claims(self, component: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return the volumes and the mounts of the claims of a task, in the form in which KFP passes them on."""
        claims = self.settings.get(component["executorLabel"], {}).get("pvcMount", [])
        volumes = [
            {"name": each["constant"], "persistentVolumeClaim": {"claimName": each["constant"]}} for each in claims
        ]
        return volumes, [{"name": each["constant"], "mountPath": each["mountPath"]} for each in claims]

    def _task(self, task: str) -> Mapping[str, Any]:
        return self._tasks[task]

    def _executor_input(self, task: str, component: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        inputs = self._task(task).get("inputs", {})
        values = {name: self._value(each, task) for name, each in inputs.get("parameters", {}).items()}
        for name, each in component.get("inputDefinitions", {}).get("parameters", {}).items():
            if each["parameterType"] == "TASK_CONFIG":
                volumes, mounts = self._claims(component)
                values[name] = {**TASK_CONFIG_OF_NOTHING, "volumes": volumes or None, "volumeMounts": mounts or None}
            elif name not in values and "defaultValue" in each:
                values[name] = each["defaultValue"]
        artifacts, given = {}, {}
        for name, each in inputs.get("artifacts", {}).items():
            source = each["taskOutputArtifact"]
            address, content = self.artifacts[source["producerTask"], source["outputArtifactKey"]]
            artifacts[name] = {"artifacts": [{"name": name, "uri": address, "metadata": {}}]}
            given[address.replace("minio://", _SCRATCH + "/", 1)] = content
        outputs = component.get("outputDefinitions", {})
        folder = f"peerkd/{self.run_id}/{task}"
        executor_input = {
            "inputs": {"parameterValues": values, "artifacts": artifacts},
            "outputs": {
                "parameters": {
                    name: {"outputFile": f"{_SCRATCH}/{folder}/parameters/{name}"}
                    for name in outputs.get("parameters", {})
                },
                "artifacts": {
                    name: {
                        "artifacts": [
                            {
                                "name": name,
                                "type": {"schemaTitle": each["artifactType"]["schemaTitle"]},
                                "uri": f"minio://{folder}/{name}",
                                "metadata": {},
                            }
                        ]
                    }
                    for name, each in outputs.get("artifacts", {}).items()
                },
                "outputFile": f"{_SCRATCH}/{folder}/{_OUTPUT_NAME}",
            },
        }
        return executor_input, given

    def _value(self, source: Mapping[str, Any], task: str) -> Any:
        if "componentInputParameter" in source:
            return self.arguments[source["componentInputParameter"]]
        if "taskOutputParameter" in source:
            output = source["taskOutputParameter"]
            return self.parameters[output["producerTask"], output["outputParameterKey"]]
        constant = source["runtimeValue"]["constant"]
        return self._filled(constant, task) if isinstance(constant, str) else constant

    def _filled(self, text: str, task: str) -> str:
        values = {"pipeline_job_uuid": self.run_id, "pipeline_task_name": task, "pipeline_task_uuid": "1"}
        return re.sub(r"\{\{\$\.(\w+)\}\}", lambda match: values.get(match[1], match[0]), text)
