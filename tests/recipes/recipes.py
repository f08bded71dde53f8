"""The recipes of CONTRIBUTING, each applied once."""

from typing import Final

from tests.recipes.tree import Edit, Recipe

_MODELS = "peerkd/models/build.py"
_ARCHITECTURES = "peerkd/config/architectures.py"
_METHODS = "peerkd/config/methods.py"
_OBJECTIVES = "peerkd/training/online/objectives.py"
_DATA = "peerkd/config/data.py"
_DIVISION = "peerkd/stages/division.py"
_SOURCES = "peerkd/data/sources/__init__.py"
_LOSSES = "peerkd/losses/pairs/__init__.py"
_TRANSFER_SETS = "peerkd/study/transfer_sets.py"
_KINDS = "peerkd/launch/kubernetes/kinds/__init__.py"
_BACKENDS = "peerkd/launch/backends.py"
_REPORT = "peerkd/reporting/html.py"
_FINDINGS = "peerkd/reporting/findings.py"
_PRESETS = "peerkd/config/presets.py"

_LARGEST_GAINS = '''\
def largest_gains(findings: SweepFindings, *, num: int = 5) -> list[tuple[int, int]]:
    """Return the pairs (student, teacher) with the largest gains of the chosen setting, the largest first."""
    gains_PP = findings.gains["chosen"]
    order = np.argsort(-gains_PP, axis=None, kind="stable")[: min(num, int(np.isfinite(gains_PP).sum()))]
    students, teachers = np.unravel_index(order, gains_PP.shape)
    return list(zip(students.tolist(), teachers.tolist(), strict=True))


'''

_PRESET = '''\
def digits_blocks() -> ExperimentConfig:
    """Five peers on digits with few classes each, 20 ordered pairs, a small grid: a quarter of a minute on two cores.

    Command: ``peerkd run jointkd --preset digits_blocks``. Needs no download and no path.
    """
    return ExperimentConfig(
        name="digits-blocks",
        data=DataConfig(source="digits", test_fraction=0.25, validation_fraction=0.2),
        partition=PartitionConfig(num_peers=5, label_skew=DirichletLabels(concentration=0.1)),
        peers=PeersConfig(architectures=("small_cnn",)),
        pretrain=PretrainConfig(epochs=10, batch_size=32, learning_rate=0.05),
        distill=DistillConfig(epochs=2, batch_size=32, learning_rate=0.02),
        sweep=SweepConfig(temperatures=(1.0, 4.0), alphas=(0.5, 0.9)),
    )


'''

_RESNET44_SIZE = """\
  "resnet44": {
    "always": 663616,
    "per_channel": 144,
    "per_value": 0,
    "per_class": 65,
    "num_tensors": 272
  },
"""

_READ_IDX = "from peerkd.data.sources.idx import read_idx\n"

_CLASS_BLOCKS = '''\
class ClassBlocks(StrictConfig):
    """Peers that have consecutive blocks of the samples, sorted by class."""

    kind: Literal["blocks"] = "blocks"


'''

_CODISTILLATION = """\
    "codistillation": MethodFacts(
        title="Codistillation",
        source="Anil et al. 2018, arXiv:1804.03235",
        has_branches=True,
        shares_trunk=False,
        ensemble="average",
    ),
"""

_SAMPLEJOB_BACKEND = """\
        case "samplejob":
            from peerkd.launch.kubernetes.kinds.samplejob import SAMPLEJOB
            from peerkd.launch.kubernetes.run import KubernetesJobs

            return KubernetesJobs(cluster, kind=SAMPLEJOB, run_id=run_id)
"""

_LAUNCHER_RULES = """\
  - apiGroups: [sample.example]
    resources: [samplejobs]
    verbs: [create, get]
  - apiGroups: [""]
    resources: [configmaps]
    verbs: [create, patch]
"""

_REAPER_RULES = """\
  - apiGroups: [sample.example]
    resources: [samplejobs]
    verbs: [list, delete]
"""

_LARGEST_IN_VIEW = '        "largest_gains": largest_gains(findings),\n'
_IMPORT_LARGEST = "from peerkd.reporting.findings import largest_gains, "

RECIPES: Final = {
    "architecture": Recipe(
        "An architecture:",
        (
            Edit(
                _MODELS,
                '"resnet32": _function(',
                below='    "resnet44": _function("resnet", "cifar_resnet", depth=44),\n',
            ),
            Edit(_ARCHITECTURES, '    "resnet32",', below='    "resnet44",\n'),
            Edit(_ARCHITECTURES, '    "resnet32": _CIFAR', below='    "resnet44": _CIFAR,\n'),
            Edit("peerkd/training/network_sizes.json", '  "resnet56": {', above=_RESNET44_SIZE),
            Edit(
                "tests/unit/models/test_build.py",
                '("resnet32", 466_618',
                below='        ("resnet44", 661_050, 661_338),\n',
            ),
        ),
        tests=(
            "tests/unit/models/test_build.py",
            "tests/unit/config/test_architectures.py",
            "tests/unit/training/test_file_sizes.py",
        ),
        selected="(resnet44 and (pinned or up_to_date)) or unknown_architecture",
    ),
    "transfer_set": Recipe(
        "A kind of transfer set:",
        (
            Edit(
                _TRANSFER_SETS,
                '"public", "public_unlabelled"]',
                instead='"public", "teacher_and_public", "public_unlabelled"]',
            ),
            Edit(
                _TRANSFER_SETS,
                '"public_unlabelled": TransferSetFacts(',
                above='    "teacher_and_public": TransferSetFacts(\n'
                '        sources=frozenset({"teacher", "public"}),\n'
                '        meaning="the teacher\'s training set and the public set together",\n'
                "    ),\n",
            ),
            Edit(
                "tests/unit/study/test_transfer_sets.py",
                '[("student", (7,), 1),',
                instead='[("teacher_and_public", (PUBLIC, 3), 110),\n    ("student", (7,), 1),',
            ),
        ),
        tests=("tests/unit/study",),
        selected="teacher_and_public or (test_transfer_sets and entry)",
    ),
    "partitioner": Recipe(
        "A partitioner:",
        (
            Edit(
                _DATA,
                "class NaturalIds(",
                above=_CLASS_BLOCKS,
            ),
            Edit(_DATA, "ShardsPerPeer | NaturalIds", instead="ShardsPerPeer | ClassBlocks | NaturalIds"),
            Edit(_DIVISION, "    ClassesPerPeer,", above="    ClassBlocks,\n"),
            Edit(
                _DIVISION,
                "from peerkd.data.partition.checks import",
                above="from peerkd.data.partition.blocks import partition_blocks\n",
            ),
            Edit(_DIVISION, "TypeAlias = IidLabels | ", instead="TypeAlias = IidLabels | ClassBlocks | "),
            Edit(
                _DIVISION,
                "case IidLabels():",
                above="            case ClassBlocks():\n"
                "                return partition_blocks(labels, sizes=sizes, rng=rng)\n",
            ),
        ),
        tests=("tests/unit/data/partition/test_blocks.py",),
        selected="test_blocks",
    ),
    "data_source": Recipe(
        "A data source:",
        (
            Edit(_SOURCES, "from peerkd.data.sources.image_folder import", above=_READ_IDX),
            Edit(_SOURCES, '"npz": lambda file', above='        "idx": read_idx,\n'),
            Edit(_DATA, '"npz"] = "digits"', instead='"npz", "idx"] = "digits"'),
            Edit("docs/data.md", "| `cifar10`, `cifar100` |", above="| `idx` | a folder with the files of MNIST |\n"),
        ),
        tests=("tests/unit/data/sources/test_idx.py",),
        selected="test_idx",
    ),
    "method": Recipe(
        "A method of online distillation:",
        (
            Edit(_METHODS, '    "dml",', below='    "codistillation",\n'),
            Edit(_METHODS, '"cl_ilr": MethodFacts(', above=_CODISTILLATION),
            Edit(
                _OBJECTIVES,
                "from peerkd.losses.online.collaborative import",
                above="from peerkd.losses.online.codistillation import codistillation_loss\n",
            ),
            Edit(
                _OBJECTIVES,
                'case "cl_ilr":',
                above='        case "codistillation":\n'
                "            return codistillation_loss(logits_MBK, labels_B, temperature=temperature)\n",
            ),
            Edit(
                "tests/unit/training/online/test_objectives.py",
                '"dml": (4, 1, False,',
                below='    "codistillation": (4, 1, False, {"cross_entropy_branches", "average_to_branches"}),\n',
            ),
            Edit(
                "docs/methods.md",
                "| `cl_ilr` |",
                above="| `codistillation` | none shared | 1 | sum_j CE(z_j, y) + w sum_j T^2 KL(mean_{l != j} p(z_l) "
                "\\|\\| p(z_j)) | network 1 |\n",
            ),
        ),
        tests=(
            "tests/unit/losses/online/test_codistillation.py",
            "tests/unit/training/online/test_objectives.py",
        ),
        selected="test_codistillation or every_method_is_expected or (codistillation and made_of)",
    ),
    "pair_loss": Recipe(
        "A pair loss, by which a student distils from its teacher:",
        (
            Edit(_LOSSES, "from peerkd.losses.pairs import ", instead="from peerkd.losses.pairs import dkd, "),
            Edit(_LOSSES, "kl.LOSS, ", instead="kl.LOSS, dkd.LOSS, "),
        ),
        tests=("tests/unit/losses/pairs", "tests/unit/config/test_losses.py"),
        selected="dkd",
    ),
    "tuner": Recipe(
        "A tuner:",
        (
            Edit(
                "benchmarks/tuning/tuners.py",
                '"tpe": TunerEntry(',
                above='    "in_order": TunerEntry("benchmarks.tuning.rivals.in_order:build", is_random=False),\n',
            ),
        ),
        max_package_files=0,
        tests=("tests/benchmarks/tuning/rivals/test_in_order.py", "tests/benchmarks/tuning/test_tuners.py"),
        selected="test_in_order or every_rival",
    ),
    "job_kind": Recipe(
        "A kind of job on a cluster:",
        (
            Edit(
                _KINDS,
                "import PYTORCHJOB",
                below="from peerkd.launch.kubernetes.kinds.samplejob import SAMPLEJOB\n",
            ),
            Edit(_KINDS, "= (PYTORCHJOB,)", instead="= (PYTORCHJOB, SAMPLEJOB)"),
            Edit("peerkd/config/launch.py", '"local", "kubernetes")', instead='"local", "kubernetes", "samplejob")'),
            Edit(_BACKENDS, 'case "kubernetes":', above=_SAMPLEJOB_BACKEND),
            Edit("manifests/base/launcher-role.yaml", "  - apiGroups: [kubeflow.org]", above=_LAUNCHER_RULES),
            Edit("manifests/base/reaper-role.yaml", "  - apiGroups: [kubeflow.org]", above=_REAPER_RULES),
        ),
        copies={"peerkd/launch/kubernetes/kinds/samplejob.py": "tests/fake_kubernetes/samplejob.py"},
        max_package_files=4,
        tests=("tests/unit/launch/kubernetes/kinds/test_samplejob.py",),
        selected="test_samplejob",
    ),
    "report_section": Recipe(
        "A section of a report:",
        (
            Edit(_REPORT, '    "parts": "', above='    "largest": "Largest gains",\n'),
            Edit(_REPORT, '        "findings": findings,', below=_LARGEST_IN_VIEW),
            Edit(_REPORT, "from peerkd.reporting.findings import ", instead=_IMPORT_LARGEST),
            Edit(_FINDINGS, "def compute_findings(", above=_LARGEST_GAINS),
        ),
        tests=("tests/unit/reporting/test_largest.py",),
        selected="test_largest",
    ),
    "preset": Recipe(
        "A preset:",
        (
            Edit(_PRESETS, "PRESETS: Mapping[", above=_PRESET),
            Edit(_PRESETS, '    "digits": digits,', below='    "digits_blocks": digits_blocks,\n'),
            Edit(
                "pipelines/jointkd/pipeline.py",
                "Name of a preset: digits, ",
                instead="Name of a preset: digits, digits_blocks, ",
            ),
            Edit(
                "tests/unit/config/test_presets.py",
                '        "digits": None,',
                below='        "digits_blocks": None,\n',
            ),
        ),
        tests=("tests/unit/config/test_presets.py",),
        selected="digits_blocks or name_one",
    ),
}
