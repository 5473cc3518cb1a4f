"""The SNR distance against its definition, its closed form and the library's own class."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pytorch_metric_learning.distances import SNRDistance as LibrarySNRDistance

from heml.metrics.distance import DISTANCES
from heml.metrics.library_distances import (
    BoundedLibraryDistance,
    LibraryDistance,
    LibrarySimilarity,
)

SNR = DISTANCES["snr"]


def by_definition(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    difference = a[:, None, :] - b[None, :, :]
    return difference.var(axis=2) / a.var(axis=1)[:, None]


@pytest.fixture
def embeddings():
    rng = np.random.default_rng(0)
    return rng.normal(size=(7, 16)), rng.normal(size=(5, 16)) * 3 + 1


def test_equals_the_definition(embeddings):
    a, b = embeddings
    measured = SNR.pairwise(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    np.testing.assert_allclose(measured, by_definition(a, b), rtol=1e-10)


def test_equals_the_library_without_normalization(embeddings):
    a, b = (torch.from_numpy(x) for x in embeddings)
    library = LibrarySNRDistance(normalize_embeddings=False)(a, b)
    torch.testing.assert_close(LibraryDistance(SNR)(a, b), library)


@pytest.mark.parametrize("distance", [LibraryDistance, BoundedLibraryDistance, LibrarySimilarity])
def test_pairwise_is_the_diagonal_of_the_matrix(embeddings, distance):
    a = torch.from_numpy(embeddings[0])
    b = 2 * a.flip(0) + 1
    own = distance(SNR)
    torch.testing.assert_close(own.pairwise_distance(a, b), own(a, b).diagonal())


def test_single_precision_is_within_rounding_of_the_definition():
    rng = np.random.default_rng(1)
    # A mean far from zero and nearly equal rows: where subtracting large numbers would show.
    a = rng.normal(size=(64, 128)) + 30
    b = np.concatenate([a[:32] + 1e-3 * rng.normal(size=(32, 128)), rng.normal(size=(32, 128))])
    single = [torch.from_numpy(x.astype(np.float32)) for x in (a, b)]
    exact = by_definition(*(x.double().numpy() for x in single))
    np.testing.assert_allclose(SNR.pairwise(*single).numpy(), exact, atol=2e-5, rtol=1e-5)


def test_gradient_is_the_library_s(embeddings):
    gradients = []
    for distance in (LibraryDistance(SNR), LibrarySNRDistance(normalize_embeddings=False)):
        a = torch.from_numpy(embeddings[0]).requires_grad_()
        b = torch.from_numpy(embeddings[1]).requires_grad_()
        distance(a, b).square().sum().backward()
        gradients.append((a.grad, b.grad))
    torch.testing.assert_close(*gradients)


def test_closed_form():
    # r = 2 and rho = 1 give 1 + 4 - 4 = 1; in the other direction (1/2 - 1)^2 = 1/4.
    a = torch.tensor([[1.0, -1.0, 1.0, -1.0]])
    assert SNR.pairwise(a, 2 * a).item() == pytest.approx(1.0)
    assert SNR.pairwise(2 * a, a).item() == pytest.approx(0.25)
    assert SNR.bounded_pairwise(a, 2 * a).item() == pytest.approx(1 / 9)
    assert SNR.bounded_pairwise(a, -a).item() == pytest.approx(1.0)


def test_constant_embedding_gives_finite_numbers_and_gradients():
    a = torch.ones(3, 8, requires_grad=True)
    b = torch.randn(3, 8)
    for function in (SNR.pairwise, SNR.bounded_pairwise):
        distances = function(a, b)
        distances.sum().backward()
        assert torch.isfinite(distances).all()
        assert torch.isfinite(a.grad).all()


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(2, 4\)"):
        SNR.pairwise(torch.zeros(2, 3), torch.zeros(2, 4))


finite = st.floats(-100, 100, width=32)


@settings(max_examples=50, deadline=None)
@given(arrays(np.float32, (4, 6), elements=finite), arrays(np.float32, (3, 6), elements=finite))
def test_bounded_form_is_symmetric_and_in_range(a, b):
    ab = SNR.bounded_pairwise(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    ba = SNR.bounded_pairwise(torch.from_numpy(b), torch.from_numpy(a)).numpy()
    assert ((ab >= 0) & (ab <= 1)).all()
    np.testing.assert_allclose(ab, ba.T, atol=1e-4)


@settings(max_examples=50, deadline=None)
@given(arrays(np.float32, (4, 6), elements=finite))
def test_self_distance_is_zero(a):
    own = BoundedLibraryDistance(SNR)(torch.from_numpy(a), torch.from_numpy(a)).diagonal()
    torch.testing.assert_close(own, torch.zeros(4), atol=1e-4, rtol=0)
