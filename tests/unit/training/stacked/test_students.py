import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from peerkd.config.losses import loss_section
from peerkd.config.training import ConventionsConfig, DistillConfig
from peerkd.models.build import build_network
from peerkd.training.distill import distill
from peerkd.training.stacked.students import STACKABLE, Students, should_stack
from tests.pair_losses import EVERY_LOSS

ARCHITECTURES = sorted(STACKABLE)

A_SHAPE = st.sampled_from([(1, 8, 8), (1, 8, 8), (3, 4, 4), (2, 7, 5), (1, 9, 6)])
SOME_SIZES = st.lists(st.sampled_from([3, 4, 16, 17, 27, 32, 33]), min_size=1, max_size=3)
TEMPERATURE = st.sampled_from([0.5, 1.0, 2.0, 4.0, 20.0])
WEIGHT = st.sampled_from([0.1, 0.5, 0.9, 1.0])
RATE = st.sampled_from([None, None, 0.003, 0.05])


@st.composite
def lessons(draw, *, min_size=1, max_size=17):
    """Draw each student's seed, weight, temperature, rate and teacher, with some controls and some without labels."""
    taught = st.tuples(st.integers(0, 5), WEIGHT, TEMPERATURE, RATE, st.integers(0, 1))
    control = st.tuples(st.integers(0, 5), st.just(0.0), st.none(), RATE, st.none())
    return draw(st.lists(taught | taught | control, min_size=min_size, max_size=max_size))


@st.composite
def recipes(draw):
    momentum = draw(st.sampled_from([0.0, 0.9]))
    recipe = DistillConfig(
        epochs=draw(st.integers(1, 2)),
        learning_rate=draw(st.sampled_from([0.005, 0.02])),
        momentum=momentum,
        nesterov=momentum > 0 and draw(st.booleans()),
        weight_decay=draw(st.sampled_from([0.0, 5e-4])),
        schedule=draw(st.sampled_from(["constant", "cosine", "multistep"])),
        conventions=ConventionsConfig(
            reduction=draw(st.sampled_from(["batchmean", "mean"])),
            scale_by_temperature_squared=draw(st.booleans()),
        ),
    )
    # A copy, because a config refuses a loss that is not registered.
    return recipe.model_copy(update={"loss": loss_section(draw(st.sampled_from(EVERY_LOSS))).model_validate({})})


def enrol(made, architecture, group, momenta=None):
    states = [made.network(architecture, seed).state_dict() for seed, *_ in group]
    shape = {"image_shape_CHW": made.shape_CHW, "num_classes": made.num_classes}
    return Students(architecture, states, **shape, momenta=momenta)


def teach(students, made, group, recipe, epochs):
    teachers = {number: made.teacher(number) for *_, number in group if number is not None}
    students.train(
        made,
        teacher_logits=[teachers.get(number) for *_, number in group],
        distillation_weights=[weight for _, weight, _, _, _ in group],
        temperatures=[temperature for _, _, temperature, _, _ in group],
        learning_rates=[rate for _, _, _, rate, _ in group],
        recipe=recipe,
        epochs=epochs,
    )
    return students


def trained(made, architecture, group, recipe):
    return teach(enrol(made, architecture, group), made, group, recipe, range(recipe.epochs))


def differences(one, place, other, other_place):
    """Return the names of the tensors of two students that are not equal to the last bit."""
    pairs = [(one.state(place), other.state(other_place)), (one.momentum(place), other.momentum(other_place))]
    return [name for first, second in pairs for name in first if not torch.equal(first[name], second[name])]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@given(
    data=st.data(),
    shape_CHW=A_SHAPE,
    num_classes=st.sampled_from([2, 3, 10, 16, 17]),
    batch_sizes=SOME_SIZES,
    group=lessons(),
    recipe=recipes(),
)
@settings(max_examples=12)
def test_a_student_does_not_depend_on_the_others_to_the_last_bit(
    architecture, made_batches, data, shape_CHW, num_classes, batch_sizes, group, recipe
):
    made = made_batches(shape_CHW, num_classes, batch_sizes=batch_sizes)
    together = trained(made, architecture, group, recipe)
    images_NCHW = torch.cat([batch.images_NCHW for batch in made.batches(9)])
    logits_GNK = together.logits(images_NCHW)
    others = data.draw(st.permutations(range(len(group))))[: data.draw(st.integers(1, len(group)))]
    for places in ([data.draw(st.sampled_from(range(len(group))))], others):
        again = trained(made, architecture, [group[place] for place in places], recipe)
        logits_again_GNK = again.logits(images_NCHW)
        for other_place, place in enumerate(places):
            assert differences(together, place, again, other_place) == []
            assert torch.equal(logits_GNK[place], logits_again_GNK[other_place])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@given(shape_CHW=A_SHAPE, batch_sizes=SOME_SIZES, group=lessons(max_size=3), recipe=recipes())
@settings(max_examples=8)
def test_a_student_ends_where_the_plain_loop_ends(architecture, made_batches, shape_CHW, batch_sizes, group, recipe):
    # The comparison is in float64. In float32 a rounding may move an activation across a kink, and two trainings then
    # differ by more than a tolerance that would detect a mistake.
    made = made_batches(shape_CHW, 10, batch_sizes=batch_sizes, dtype=torch.float64)
    students = trained(made, architecture, group, recipe)
    images_NCHW = torch.cat([batch.images_NCHW for batch in made.batches(9)])
    logits_GNK = students.logits(images_NCHW)
    for place, (seed, weight, temperature, rate, number) in enumerate(group):
        plain = made.network(architecture, seed)
        distill(
            plain,
            made,
            teacher=None if number is None else made.teacher(number),
            distillation_weight=weight,
            temperature=temperature,
            recipe=recipe,
            learning_rate=rate,
        )
        state, got = plain.state_dict(), students.state(place)
        assert got.keys() == state.keys()
        for name, tensor in state.items():
            torch.testing.assert_close(got[name], tensor, rtol=1e-9, atol=1e-9, msg=lambda m, n=name: f"{n}: {m}")
        plain.eval()
        with torch.no_grad():
            torch.testing.assert_close(logits_GNK[place], plain(images_NCHW), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@given(group=lessons(min_size=2, max_size=5), batch_sizes=SOME_SIZES, nesterov=st.booleans(), data=st.data())
@settings(max_examples=6)
def test_single_epochs_in_other_groups_end_as_one_call_does(
    architecture, made_batches, group, batch_sizes, nesterov, data
):
    made = made_batches((1, 8, 8), 10, batch_sizes=batch_sizes)
    recipe = DistillConfig(epochs=3, nesterov=nesterov)
    at_once = trained(made, architecture, group, recipe)
    in_ranges = enrol(made, architecture, group)
    teach(in_ranges, made, group, recipe, range(1))
    places = data.draw(st.permutations(range(len(group))))[: data.draw(st.integers(1, len(group)))]
    elsewhere = Students(
        architecture,
        [in_ranges.state(place) for place in places],
        momenta=[in_ranges.momentum(place) for place in places],
        image_shape_CHW=made.shape_CHW,
        num_classes=made.num_classes,
    )
    teach(in_ranges, made, group, recipe, range(1, 3))
    teach(elsewhere, made, [group[place] for place in places], recipe, range(1, 3))
    for place in range(len(group)):
        assert differences(at_once, place, in_ranges, place) == []
    for other_place, place in enumerate(places):
        assert differences(at_once, place, elsewhere, other_place) == []


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@given(group=lessons(max_size=5), recipe=recipes())
@settings(max_examples=6)
def test_the_recipes_rate_may_be_given_explicitly(architecture, made_batches, group, recipe):
    made = made_batches((1, 8, 8), 10, batch_sizes=[8, 7])
    written = [(*lesson[:3], lesson[3] or recipe.learning_rate, lesson[4]) for lesson in group]
    one, other = (trained(made, architecture, each, recipe) for each in (group, written))
    for place in range(len(group)):
        assert differences(one, place, other, place) == []


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_state_is_a_copy_that_a_plain_network_takes(architecture, made_batches):
    made = made_batches((1, 8, 8), 10, batch_sizes=[8])
    group = [(0, 0.5, 2.0, None, 0)]
    students = enrol(made, architecture, group)
    begun = made.network(architecture, 0).state_dict()
    assert all(torch.equal(tensor, begun[name]) for name, tensor in students.state(0).items())
    assert all(momentum.count_nonzero() == 0 for momentum in students.momentum(0).values())
    kept = students.state(0)
    teach(students, made, group, DistillConfig(epochs=1), range(1))
    assert all(torch.equal(tensor, begun[name]) for name, tensor in kept.items())
    plain = build_network(architecture, image_shape_CHW=made.shape_CHW, num_classes=10, seed=1)
    plain.load_state_dict(students.state(0))
    assert students.momentum(0).keys() == dict(plain.named_parameters()).keys()
    assert any(momentum.count_nonzero() > 0 for momentum in students.momentum(0).values())


def test_many_images_are_evaluated_as_few_are(made_batches):
    made = made_batches((1, 8, 8), 10, batch_sizes=[230])
    students = enrol(made, "small_cnn", [(0, 0.5, 2.0, None, 0), (1, 0.5, 2.0, None, 0)])
    (batch,) = made.batches(0)
    logits_GNK = students.logits(batch.images_NCHW)
    assert logits_GNK.shape == (2, 230, 10)
    torch.testing.assert_close(logits_GNK[:, 117:119], students.logits(batch.images_NCHW[117:119]))


def test_other_architectures_and_arguments_are_refused(made_batches):
    made, lesson = made_batches((1, 8, 8), 10, batch_sizes=[8]), (0, 0.5, 2.0, None, 0)
    with pytest.raises(ValueError, match="architecture must be one of mlp, small_cnn, got resnet20"):
        enrol(made, "resnet20", [])
    with pytest.raises(ValueError, match="at least 1 student"):
        enrol(made, "mlp", [])
    with pytest.raises(ValueError, match=r"distillation_weights must have one value for each student \(2\), got 1"):
        teach(enrol(made, "mlp", [lesson] * 2), made, [lesson], DistillConfig(), range(1))
    with pytest.raises(ValueError, match=r"learning_rates must have one value for each student \(1\), got 2"):
        enrol(made, "mlp", [lesson]).train(
            made,
            teacher_logits=[None],
            distillation_weights=[0.0],
            temperatures=[None],
            learning_rates=[0.1, 0.2],
            recipe=DistillConfig(),
            epochs=range(1),
        )


@pytest.mark.parametrize(
    ("architecture", "image_shape_CHW", "expected"),
    [
        ("mlp", (3, 224, 224), True),
        ("small_cnn", (1, 32, 32), True),
        ("small_cnn", (3, 32, 32), False),
        ("resnet20", (1, 8, 8), False),
    ],
)
def test_it_pays_for_tiny_networks_and_images(
    architecture: str, image_shape_CHW: tuple[int, int, int], expected: bool
) -> None:
    assert should_stack(architecture, image_shape_CHW=image_shape_CHW) is expected


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_student_that_diverges_affects_no_other_to_the_last_bit(architecture, place, made_batches):
    made = made_batches((1, 8, 8), 10, batch_sizes=(17, 16))
    recipe = DistillConfig(epochs=2)
    group = [(seed, 0.5, 2.0, None, seed % 2) for seed in range(4)]
    calm = trained(made, architecture, group, recipe)
    group[place] = (*group[place][:3], 1e20, group[place][4])
    stormy = trained(made, architecture, group, recipe)
    assert calm.are_finite() == [True] * 4
    assert stormy.are_finite() == [other != place for other in range(4)]
    images_NCHW = torch.cat([batch.images_NCHW for batch in made.batches(9)])
    logits, logits_before = stormy.logits(images_NCHW), calm.logits(images_NCHW)
    for other in set(range(4)) - {place}:
        assert differences(stormy, other, calm, other) == []
        assert torch.equal(logits[other], logits_before[other])


@pytest.mark.parametrize("part", ["weights", "momenta", "statistics"])
def test_one_number_that_is_not_finite_makes_a_student_not_finite(part, made_batches):
    made = made_batches((1, 8, 8), 10, batch_sizes=(16,))
    group = [(seed, 0.0, None, None, None) for seed in range(3)]
    students = trained(made, "small_cnn", group, DistillConfig(epochs=1))
    states, momenta = ([take(place) for place in range(3)] for take in (students.state, students.momentum))
    broken, name = {
        "weights": (states, "classifier.bias"),
        "momenta": (momenta, "classifier.weight"),
        "statistics": (states, next(name for name in states[1] if name.endswith("running_var"))),
    }[part]
    broken[1][name].view(-1)[0] = torch.inf
    again = Students("small_cnn", states, momenta=momenta, image_shape_CHW=(1, 8, 8), num_classes=10)
    assert again.are_finite() == [True, False, True]
