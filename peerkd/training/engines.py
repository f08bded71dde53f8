"""The choice of the engine that trains some students of a sweep: one at a time, side by side, or in captured steps.

The results of two engines differ at most by rounding. Which engine is chosen does not depend on measured times. The
number of students that train together is measured, but it changes only the duration. Students that train together have
the same loss.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import torch
from torch import nn

from peerkd.config.experiment import ExperimentConfig
from peerkd.config.given_peers import PeerNetwork
from peerkd.config.training import DistillConfig
from peerkd.losses.pairs import sets_temperature
from peerkd.seeds import derive_seed
from peerkd.study.transfer_sets import TRANSFER_SETS
from peerkd.study.trials import Trial
from peerkd.training.devices import kind_of
from peerkd.training.group_size import GroupSizes
from peerkd.training.inputs import EngineChoice
from peerkd.training.joined_samples import TransferSamples
from peerkd.training.peers import known_classes
from peerkd.training.samples import FirstBatches
from peerkd.training.stacked.losses import FAST_GRADIENTS
from peerkd.training.stacked.students import Students, should_stack
from peerkd.training.student_groups import SingleStudent, StackedGroup, StudentGroup
from peerkd.training.sweep_data import SweepData
from peerkd.training.trial_state import TrialState

if TYPE_CHECKING:
    from peerkd.training.captured.graphs import GraphOwner
    from peerkd.training.captured.lane_pool import LanePool

_NUM_MEASURED_BATCHES: Final = 2

_ADAPTED: Final = "one student at a time, because only plain networks train together"
_ONE_BY_ONE: Final = "one student at a time, because the network is from another package"
_PLAIN: Final = "one student at a time, without captured steps, because only CUDA can capture them"
_OWN_TEMPERATURE: Final = (
    "one student at a time, because the loss sets its temperature after each step, which a captured step cannot do"
)


class Engines:
    """Chooses the engine for each group of students of a sweep, in one process."""

    def __init__(self, config: ExperimentConfig, data: SweepData, *, device: torch.device) -> None:
        self._config, self._data, self._device = config, data, device
        self._recipes = {name: config.distill.changed(loss=name) for name in config.tried_losses}
        self._captured_losses = [name for name in self._recipes if not sets_temperature(name)]
        self._group_sizes = GroupSizes()
        self._engine = kind_of(device).engine
        self._has_lanes = self._engine == "captured"
        if self._has_lanes:
            _choose_repeatable_algorithms()
        self._graph_owner: GraphOwner | None = None
        self._lane_pools: dict[str, LanePool] = {}
        self._choices = list(self._first_choices())

    def close(self) -> None:
        """Free all lanes and their memory. Students that were returned before cannot be used any more."""
        self._lane_pools.clear()
        if self._graph_owner is not None:
            self._graph_owner.close()
            self._graph_owner = None

    def loss(self, trial: Trial) -> str:
        """Return the name of the pair loss with which a trial is trained.

        This is the loss that the trial's setting names or, if the setting names no loss, the loss of the recipe.
        Fine-tuning trains with the loss of the recipe as well, but the weight of this loss is then 0.
        """
        return trial.setting.loss or self._config.distill.loss.kind

    def take_choices(self) -> list[EngineChoice]:
        """Return, for the log, the engines and group sizes that were chosen since the last call."""
        choices, self._choices = self._choices, []
        for source in self._lane_pools.values() if self._has_lanes else (self._group_sizes,):
            choices += source.take_choices()
        return choices

    def is_stacked(self, network: PeerNetwork) -> bool:
        """Return whether students that have this network train side by side."""
        if self._engine != "side_by_side" or self._config.distill.precision != "float32":
            return False
        return network.is_plain and should_stack(network.name, image_shape_CHW=self._data.dataset.image_shape)

    def group_size(self, network: PeerNetwork, loss: str, samples: TransferSamples, *, num_trials: int) -> int:
        """Return how many students that have the same network to train together.

        The fastest number is measured when a large group is requested for the first time.

        Args:
            network: The network of the students.
            loss: The name of the students' pair loss.
            samples: The transfer set, on which the measurement is made.
            num_trials: The number of trials that could be trained together.
        """
        if self._has_lanes:
            return max(self._num_lanes(network, loss, samples), 1)
        if not self.is_stacked(network):
            return 1

        def train(num_students: int) -> None:
            start = TrialState(self._data.network(network).state_dict(), {})
            self.stack(network, [start] * num_students).train(
                FirstBatches(samples, _NUM_MEASURED_BATCHES),
                teacher_logits=[None] * num_students,
                distillation_weights=[0.0] * num_students,
                temperatures=[None] * num_students,
                recipe=self._recipes[loss],
                epochs=range(1),
            )

        kind = f"{network.name} with {loss}" if len(self._recipes) > 1 else network.name
        return self._group_sizes.best(kind, train, num_students=num_trials)

    def students(self, trials: Sequence[Trial], starts: Sequence[TrialState], samples: TransferSamples) -> StudentGroup:
        """Return the students of some trials, ready to be trained together.

        Args:
            trials: The trials, at most ``group_size``. Their students have the same network and the same loss.
            starts: The state from which each trial starts or continues.
            samples: The transfer set.
        """
        network, loss = self._config.networks[trials[0].student], self.loss(trials[0])
        recipe = self._recipes[loss]
        if self.is_stacked(network):
            return StackedGroup(self.stack(network, starts), trials, starts, recipe=recipe)
        if self._has_lanes and self._num_lanes(network, loss, samples):
            return self._lane_pool(loss).students(network.name, trials, starts)
        (trial,), (start,) = trials, starts
        return SingleStudent(
            self._data.network(network),
            trial,
            start,
            recipe=recipe,
            # All settings share their random numbers, as they share the order of the batches.
            noise_seed=None if network.is_built_in else partial(derive_seed, self._config.seed, "noise", samples.name),
            known_K=known_classes(network, self._data.dataset, device=self._device),
        )

    def stack(self, network: PeerNetwork, starts: Sequence[TrialState]) -> Students:
        """Return students that train side by side. ``is_stacked`` must be True for their network."""
        return Students(
            network.name,
            [start.weights for start in starts],
            momenta=[start.momenta for start in starts],
            image_shape_CHW=self._data.dataset.image_shape,
            num_classes=self._data.dataset.num_classes,
        )

    def _num_lanes(self, network: PeerNetwork, loss: str, samples: TransferSamples) -> int:
        """Return how many students to train at once in captured steps; 0 if steps of their network are not captured.

        Only the steps of plain networks are captured. A network that another Python package provides may do things in a
        step that cannot be captured, such as drawing random numbers. A network with an adapter may not know all
        classes, and captured steps have no masks for unknown classes. A loss that sets its temperature itself computes
        T on the host between two steps, and captured steps do not wait for the host.
        """
        is_captured = network.is_plain and loss in self._captured_losses
        return self._lane_pool(loss).number(network.name, samples) if is_captured else 0

    def _lane_pool(self, loss: str) -> "LanePool":
        """Return the lanes that train with a given loss. The pool of these lanes is created at the first call."""
        if loss not in self._lane_pools:
            num_architectures = len({network.name for network in self._config.networks if network.is_plain})
            # Pools that are opened later find only the memory that the earlier ones left.
            num_pools_left = len(self._captured_losses) - len(self._lane_pools)
            self._lane_pools[loss] = self._open_lane_pool(
                self._recipes[loss], num_architectures=num_architectures * num_pools_left
            )
        return self._lane_pools[loss]

    def _open_lane_pool(self, recipe: DistillConfig, *, num_architectures: int) -> "LanePool":
        # Only a GPU needs these modules.
        from peerkd.training.captured.graphs import GraphOwner
        from peerkd.training.captured.lane_pool import LanePool

        self._graph_owner = self._graph_owner or GraphOwner(self._device)

        has_split = any(TRANSFER_SETS[name].is_split for name in self._config.sweep.tried_transfer_sets)
        return LanePool(
            partial(_plain_network, self._data),
            num_architectures=num_architectures,
            image_shape_CHW=self._data.dataset.image_shape,
            num_classes=self._data.dataset.num_classes,
            recipe=recipe,
            device=self._device,
            max_batch_samples=recipe.batch_size * (2 if has_split else 1),
            make_steps=self._graph_owner.new_steps,
        )

    def _first_choices(self) -> tuple[EngineChoice, ...]:
        """Return lines for the log that say why a fast engine is not used, one line for each reason."""
        if self._engine == "one_by_one":
            return (EngineChoice("device", f"{self._device.type}: {_PLAIN}"),)
        others = {network.name: _ONE_BY_ONE for network in self._config.networks if not network.is_built_in}
        adapted = {
            f"{network.name} with an adapter": _ADAPTED
            for network in self._config.networks
            if network.is_built_in and not network.is_plain
        }
        not_captured = [name for name in self._recipes if self._has_lanes and name not in self._captured_losses]
        any_stacked = any(map(self.is_stacked, self._config.networks))
        return (
            *(_autograd_choice(name) for name in self._recipes if any_stacked and name not in FAST_GRADIENTS),
            *(EngineChoice(name, f"{name}: {reason}") for name, reason in (others | adapted).items()),
            *(EngineChoice(f"loss {name}", f"{name}: {_OWN_TEMPERATURE}") for name in not_captured),
        )


def _choose_repeatable_algorithms() -> None:
    # Only a GPU needs this module.
    from peerkd.training.captured.graphs import choose_repeatable_algorithms

    choose_repeatable_algorithms()


def _plain_network(data: SweepData, architecture: str) -> nn.Module:
    return data.build_network(PeerNetwork(architecture))


def _autograd_choice(loss: str) -> EngineChoice:
    """Return the line for the log that says that this loss has no hand-written gradient for students side by side."""
    text = f"{loss}: students side by side use autograd, because no gradient is written by hand for this loss"
    return EngineChoice(f"loss {loss}", text)
