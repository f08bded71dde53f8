import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from peerkd.training.stacked.normalization import (
    centre,
    inverse_deviation,
    normalize,
    normalize_backward,
    output_moments,
    update_running,
    variance_of,
)


def noise(*shape, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def statistics_of(norm, num_students):
    stacked = {name: torch.stack([buffer.clone()] * num_students) for name, buffer in norm.named_buffers()}
    return {f"layer.{name}": tensor for name, tensor in stacked.items()}


@given(num_students=st.integers(1, 4), num_columns=st.integers(2, 40), spread=st.floats(0.01, 100))
def test_each_students_maps_are_normalised_as_torch_does(num_students, num_columns, spread):
    maps_GMR = (spread * noise(num_students, 3, num_columns) + 5).requires_grad_()
    normal_GMR, mean_GM1, inverse_GM1 = normalize(maps_GMR.detach())
    statistics = statistics_of(nn.BatchNorm1d(3).double(), num_students)
    update_running(statistics, "layer", mean_GM1, variance_of(inverse_GM1), num_columns=num_columns)
    grad_GMR = noise(num_students, 3, num_columns) ** 3
    got_GMR = normalize_backward(grad_GMR, maps_GMR.detach(), mean_GM1, inverse_GM1)
    for place in range(num_students):
        norm = nn.BatchNorm1d(3).double()
        wanted = norm(maps_GMR[place].unsqueeze(0))[0]
        torch.testing.assert_close(normal_GMR[place], wanted.detach())
        wanted.backward(grad_GMR[place])
        torch.testing.assert_close(got_GMR[place], maps_GMR.grad[place], rtol=1e-6, atol=1e-8)
        for name, buffer in norm.named_buffers():
            torch.testing.assert_close(statistics[f"layer.{name}"][place], buffer)


@given(num_students=st.integers(1, 4), num_inputs=st.integers(1, 12))
def test_the_moments_of_outputs_follow_from_those_of_inputs(num_students, num_inputs):
    columns_DR, weights_GMD = noise(num_inputs, 50) + 2, noise(num_students, 3, num_inputs)
    centred_DR, of_inputs = centre(columns_DR)
    torch.testing.assert_close(centred_DR, columns_DR - columns_DR.mean(1, keepdim=True))
    moments = output_moments(weights_GMD, of_inputs)
    outputs_GMR = weights_GMD @ columns_DR
    torch.testing.assert_close(moments.mean_GM1, outputs_GMR.mean(2, keepdim=True))
    torch.testing.assert_close(moments.variance_GM1, outputs_GMR.var(2, keepdim=True, unbiased=False))
    torch.testing.assert_close(moments.covariance_GMD, outputs_GMR @ centred_DR.t() / 50)


def test_a_variance_that_is_a_small_difference_of_large_terms_is_right_in_32_bits():
    # Neighbouring pixels are similar, and an edge detector responds only to their difference.
    common_R, own_DR = noise(5000, dtype=torch.float32), 0.001 * noise(2, 5000, dtype=torch.float32)
    columns_DR, weights_GMD = 10 * common_R + own_DR, torch.tensor([[[1.0, -1.0]]])
    exact = (columns_DR[0] - columns_DR[1]).double().var(unbiased=False).item()
    got = output_moments(weights_GMD, centre(columns_DR)[1]).variance_GM1.item()
    assert abs(got / exact - 1) < 1e-6


def test_a_map_that_is_constant_has_variance_0_and_a_finite_inverse_deviation():
    normal_GMR, _, inverse_GM1 = normalize(torch.full((1, 1, 8), 3.0))
    assert normal_GMR.abs().max() == 0
    assert 0 <= variance_of(inverse_GM1).item() < 1e-9
    assert torch.isfinite(inverse_deviation(torch.zeros(1))).all()
