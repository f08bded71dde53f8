"""The recipes of CONTRIBUTING, each applied with an example.

Each name that a recipe adds contains the word ``example``, which the names of real additions do not. An anchor is the
line that begins a declaration, or an entry on a line of its own: neither changes when somebody adds an entry.
"""

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
_TARGETS = "peerkd/losses/targets/__init__.py"
_TARGETS_TEST = "tests/unit/losses/targets/test_targets.py"
_TRANSFER_SETS = "peerkd/study/transfer_sets.py"
_KINDS = "peerkd/launch/kubernetes/kinds/__init__.py"
_REPORT = "peerkd/reporting/html.py"
_FINDINGS = "peerkd/reporting/findings.py"
_PRESETS = "peerkd/config/presets.py"

_EXAMPLE_GAINS = '''\
def example_gains(findings: SweepFindings, *, num: int = 5) -> list[tuple[int, int]]:
    """Return the pairs (student, teacher) with the largest gains of the chosen setting, the largest first."""
    gains_PP = findings.gains["chosen"]
    order = np.argsort(-gains_PP, axis=None, kind="stable")[: min(num, int(np.isfinite(gains_PP).sum()))]
    students, teachers = np.unravel_index(order, gains_PP.shape)
    return list(zip(students.tolist(), teachers.tolist(), strict=True))


'''

_PRESET = '''\
def example_preset() -> ExperimentConfig:
    """Five peers on digits with few classes each, 20 ordered pairs, a small grid: a quarter of a minute on two cores.

    Command: ``peerkd run jointkd --preset example_preset``. Needs no download and no path.
    """
    return ExperimentConfig(
        name="example-preset",
        data=DataConfig(source="digits", test_fraction=0.25, validation_fraction=0.2),
        partition=PartitionConfig(num_peers=5, label_skew=DirichletLabels(concentration=0.1)),
        peers=PeersConfig(architectures=("small_cnn",)),
        pretrain=PretrainConfig(epochs=10, batch_size=32, learning_rate=0.05),
        distill=DistillConfig(epochs=2, batch_size=32, learning_rate=0.02),
        sweep=SweepConfig(temperatures=(1.0, 4.0), alphas=(0.5, 0.9)),
    )


'''

_RESNET44_SIZE = """\
  "example_resnet": {
    "always": 663616,
    "per_channel": 144,
    "per_value": 0,
    "per_class": 65,
    "num_tensors": 272
  },
"""

_READ_IDX = "from peerkd.data.sources.example_idx import read_example_idx\n"

_EXAMPLE_BLOCKS = '''\
class ExampleBlocks(StrictConfig):
    """Peers that have consecutive blocks of the samples, sorted by class."""

    kind: Literal["example_blocks"] = "example_blocks"


'''

_CODISTILLATION = """\
    "example_codistillation": MethodFacts(
        title="Example: codistillation",
        source="Anil et al. 2018, arXiv:1804.03235",
        has_branches=True,
        shares_trunk=False,
        ensemble="average",
    ),
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

_TRANSFER_SET = """\
    "example_set": TransferSetFacts(
        labelled_sources=frozenset({"teacher", "public"}),
        meaning="the teacher's training set and the public set together",
    ),
"""

_EXAMPLE_IN_VIEW = '        "example_gains": example_gains(findings),\n'

RECIPES: Final = {
    "architecture": Recipe(
        "An architecture:",
        (
            Edit(
                _MODELS,
                "ARCHITECTURES: Final[",
                below='    "example_resnet": _function("resnet", "cifar_resnet", depth=44),\n',
            ),
            Edit(_ARCHITECTURES, "Architecture = Literal[", below='    "example_resnet",\n'),
            Edit(_ARCHITECTURES, "ARCHITECTURE_FACTS: Final[", below='    "example_resnet": _CIFAR,\n'),
            Edit("peerkd/training/network_sizes.json", '  "mlp": {', above=_RESNET44_SIZE),
            Edit(
                "tests/unit/models/test_build.py",
                '("mlp", 8_970,',
                above='        ("example_resnet", 661_050, 661_338),\n',
            ),
        ),
        tests=(
            "tests/unit/models/test_build.py",
            "tests/unit/config/test_architectures.py",
            "tests/unit/training/test_file_sizes.py",
        ),
        selected="(example_resnet and (pinned or up_to_date)) or unknown_architecture",
    ),
    "transfer_set": Recipe(
        "A kind of transfer set:",
        (
            Edit(_TRANSFER_SETS, "TransferSet = Literal[", below='    "example_set",\n'),
            Edit(_TRANSFER_SETS, "TRANSFER_SETS: Final[", below=_TRANSFER_SET),
            Edit(
                "tests/unit/study/test_transfer_sets.py",
                '("student", True, (7,), 1, None),',
                above='        ("example_set", True, (PUBLIC, 3), 110, None),\n',
            ),
        ),
        tests=("tests/unit/study",),
        selected="example_set or (test_transfer_sets and entry)",
    ),
    "partitioner": Recipe(
        "A partitioner:",
        (
            Edit(_DATA, "class NaturalIds(", above=_EXAMPLE_BLOCKS),
            Edit(_DATA, "LabelSkew = Annotated[", instead="LabelSkew = Annotated[ExampleBlocks |"),
            Edit(_DIVISION, "from peerkd.config.data import (", below="    ExampleBlocks,\n"),
            Edit(
                _DIVISION,
                "from peerkd.data.partition.checks import",
                above="from peerkd.data.partition.example_blocks import partition_example_blocks\n",
            ),
            Edit(_DIVISION, "_SkewByLabels: TypeAlias = ", instead="_SkewByLabels: TypeAlias = ExampleBlocks | "),
            Edit(
                _DIVISION,
                "case IidLabels():",
                above="            case ExampleBlocks():\n"
                "                return partition_example_blocks(labels, sizes=sizes, rng=rng)\n",
            ),
        ),
        tests=("tests/unit/data/partition/test_example_blocks.py",),
        selected="test_example_blocks",
    ),
    "data_source": Recipe(
        "A data source:",
        (
            Edit(_SOURCES, "from peerkd.data.sources.npz import", above=_READ_IDX),
            Edit(_SOURCES, "readers: dict[", below='        "example_idx": read_example_idx,\n'),
            Edit(_DATA, "    source: Literal[", instead='    source: Literal["example_idx", '),
            Edit(
                "docs/data.md",
                "| `cifar10`, `cifar100` |",
                above="| `example_idx` | a folder with the files of MNIST |\n",
            ),
        ),
        tests=("tests/unit/data/sources/test_example_idx.py",),
        selected="test_example_idx",
    ),
    "method": Recipe(
        "A method of online distillation:",
        (
            Edit(_METHODS, "Method = Literal[", below='    "example_codistillation",\n'),
            Edit(_METHODS, "METHODS: Final[", below=_CODISTILLATION),
            Edit(
                _OBJECTIVES,
                "from peerkd.losses.online.collaborative import",
                above="from peerkd.losses.online.example_codistillation import example_codistillation_loss\n",
            ),
            Edit(
                _OBJECTIVES,
                'case "cl_ilr":',
                above='        case "example_codistillation":\n'
                "            return example_codistillation_loss(logits_MBK, labels_B, temperature=temperature)\n",
            ),
            Edit(
                "tests/unit/training/online/test_objectives.py",
                "EXPECTED: dict[",
                below='    "example_codistillation": '
                '(4, 1, False, {"cross_entropy_branches", "average_to_branches"}),\n',
            ),
            Edit(
                "docs/methods.md",
                "| `cl_ilr` |",
                above="| `example_codistillation` | none shared | 1 | sum_j CE(z_j, y) + "
                "w sum_j T^2 KL(mean_{l != j} p(z_l) \\|\\| p(z_j)) | network 1 |\n",
            ),
        ),
        tests=(
            "tests/unit/losses/online/test_example_codistillation.py",
            "tests/unit/training/online/test_objectives.py",
        ),
        selected="test_example_codistillation or every_method_is_expected or (example_codistillation and made_of)",
    ),
    "pair_loss": Recipe(
        "A pair loss, with which a student distils from its teacher:",
        (
            Edit(
                _LOSSES,
                "from peerkd.losses.pairs.own import",
                above="from peerkd.losses.pairs import example_distance\n",
            ),
            Edit(_LOSSES, "dts.LOSS,", below="        example_distance.LOSS,\n"),
        ),
        tests=("tests/unit/losses/pairs", "tests/unit/config/test_losses.py"),
        selected="example_distance",
    ),
    "target": Recipe(
        "A target, which a student imitates:",
        (
            Edit(
                _TARGETS,
                "from peerkd.losses.targets.target import",
                above="from peerkd.losses.targets import example_caution\n",
            ),
            Edit(_TARGETS, "        masks.TARGET,", below="        example_caution.TARGET,\n"),
            Edit(
                _TARGETS_TEST,
                "    student.TARGET.name:",
                above="    example_caution.TARGET.name: lambda p_t, p_s, n_t, n_s: "
                "(1.0, 0.0) if max(p_t) < max(p_s) else (0.0, 1.0),\n",
            ),
            Edit(
                _TARGETS_TEST,
                "from peerkd.losses.targets.target import",
                above="from peerkd.losses.targets import example_caution\n",
            ),
        ),
        tests=("tests/unit/losses/targets",),
        selected="example_caution",
    ),
    "tuner": Recipe(
        "A tuner:",
        (
            Edit(
                "benchmarks/tuning/tuners.py",
                "TUNERS: Final[",
                below='    "example_order": '
                'TunerEntry("benchmarks.tuning.rivals.example_order:build", is_random=False),\n',
            ),
        ),
        max_package_files=0,
        tests=("tests/benchmarks/tuning/rivals/test_example_order.py", "tests/benchmarks/tuning/test_tuners.py"),
        selected="test_example_order or every_rival",
    ),
    "job_kind": Recipe(
        "A kind of job on a cluster:",
        (
            Edit(
                _KINDS,
                "kinds.kind import JobKind",
                below="from peerkd.launch.kubernetes.kinds.samplejob import SAMPLEJOB\n",
            ),
            Edit(_KINDS, "JobKind, ...]] = (", instead="JobKind, ...]] = (SAMPLEJOB, "),
            Edit(
                "peerkd/config/cluster.py",
                'job_kind: Literal["auto", ',
                instead='job_kind: Literal["auto", "samplejob", ',
            ),
            Edit("manifests/base/launcher-role.yaml", "rules:", below=_LAUNCHER_RULES),
            Edit("manifests/base/reaper-role.yaml", "rules:", below=_REAPER_RULES),
        ),
        copies={"peerkd/launch/kubernetes/kinds/samplejob.py": "tests/fake_kubernetes/samplejob.py"},
        word="sample",
        max_package_files=3,
        tests=(
            "tests/unit/launch/kubernetes/kinds/test_samplejob.py",
            "tests/unit/launch/kubernetes/kinds/test_choice.py",
        ),
        selected="test_samplejob or name_each_kind",
    ),
    "report_section": Recipe(
        "A section of a report:",
        (
            Edit(_REPORT, "SECTIONS: Final[", below='    "example_gains": "Example of large gains",\n'),
            Edit(_REPORT, '        "findings": findings,', below=_EXAMPLE_IN_VIEW),
            Edit(
                _REPORT,
                "from peerkd.reporting.findings import ",
                above="from peerkd.reporting.findings import example_gains\n",
            ),
            Edit(_FINDINGS, "def compute_findings(", above=_EXAMPLE_GAINS),
        ),
        tests=("tests/unit/reporting/test_example_gains.py",),
        selected="test_example_gains",
    ),
    "preset": Recipe(
        "A preset:",
        (
            Edit(_PRESETS, "PRESETS: Mapping[", above=_PRESET, below='    "example_preset": example_preset,\n'),
            Edit(
                "pipelines/jointkd/pipeline.py",
                "Name of a preset: ",
                instead="Name of a preset: example_preset, ",
            ),
            Edit(
                "tests/unit/config/test_presets.py",
                '        "digits": None,',
                above='        "example_preset": None,\n',
            ),
        ),
        tests=("tests/unit/config/test_presets.py",),
        selected="example_preset or name_one",
    ),
}
