"""The terms of the loss against values worked out by hand, by NumPy, and by other functions of torch."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from whosings.training.distillation.config import TermsConfig
from whosings.training.distillation.terms import Outputs, compute, contrast, same_person, share, stay


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_share_is_cross_entropy_weighted_by_what_is_audible():
    rng = np.random.default_rng(0)
    odds, record, voice, band = (rng.normal(0, 4, (2, 1, 3, 5)) for _ in range(4))
    record[0, 0, 0] -= 30
    truth = np.exp(voice) / (np.exp(voice) + np.exp(band))
    said = 1 / (1 + np.exp(-odds))
    audible = record > record.max(axis=(1, 2, 3), keepdims=True) - math.log(10**5)
    assert 0 < audible.mean() < 1
    weight = np.where(audible, 1.0, 0.1)
    wanted = -(weight * (truth * np.log(said) + (1 - truth) * np.log(1 - said))).sum() / weight.sum()
    found = share(*(torch.from_numpy(x).float() for x in (odds, record, voice, band)))
    assert found.item() == pytest.approx(wanted, rel=1e-5)


def test_share_by_hand():
    """One bin where voice and band are equal: the best a mask can say is even odds, log 2 nats."""
    zero = torch.zeros(1, 1, 1, 1)
    assert share(zero, zero, zero, zero).item() == pytest.approx(math.log(2))
    assert share(zero, zero, zero + 40, zero).item() == pytest.approx(math.log(2))
    assert share(zero + 40, zero, zero + 40, zero).item() == pytest.approx(0, abs=1e-6)


def test_stay_is_one_minus_the_cosine():
    one, other = unit(4, 6), unit(4, 6, seed=1)
    assert stay(one, other).item() == pytest.approx(1 - F.cosine_similarity(one, other).mean().item(), abs=1e-6)
    assert stay(one, one).item() == pytest.approx(0, abs=1e-6)
    assert stay(one, -one).item() == pytest.approx(2)


def test_contrast_is_info_nce():
    student, teacher, nobody = unit(5, 8), unit(5, 8, seed=1), torch.eye(5, dtype=torch.bool)
    scores = F.cosine_similarity(student[:, None], teacher[None], dim=2) / 0.07
    wanted = F.nll_loss(scores.log_softmax(dim=1), torch.arange(5))
    assert contrast(student, teacher, nobody, 0.07).item() == pytest.approx(wanted.item(), rel=1e-5)
    assert same_person(student, teacher, nobody, 0.07).item() == pytest.approx(wanted.item(), rel=1e-5)


def test_views_of_one_person_are_no_wrong_answers():
    student, teacher = unit(4, 8), unit(4, 8, seed=1)
    alike = torch.eye(4, dtype=torch.bool)
    alike[0, 2] = alike[2, 0] = True
    wanted = []
    for row, others in ((0, [0, 1, 3]), (1, [0, 1, 2, 3]), (2, [1, 2, 3]), (3, [0, 1, 2, 3])):
        scores = np.exp([float(student[row] @ teacher[other]) / 0.1 for other in others])
        wanted.append(-np.log(scores[others.index(row)] / scores.sum()))
    assert contrast(student, teacher, alike, 0.1).item() == pytest.approx(np.mean(wanted), rel=1e-5)


def test_only_terms_with_a_weight_are_computed():
    spectrogram = torch.zeros(3, 1, 2, 2)
    whole = Outputs(
        student=unit(3, 4),
        teacher=unit(3, 4, seed=1),
        teacher_of_others=unit(3, 4, seed=2),
        log_odds=spectrogram,
        record=spectrogram,
        voice=spectrogram,
        band=spectrogram,
        alike=torch.eye(3, dtype=torch.bool),
    )
    assert list(compute(whole, TermsConfig().active, 0.07)) == ["share", "stay", "contrast", "same_person"]
    few = TermsConfig(share=0, contrast=0).active
    assert few == {"stay": 3.0, "same_person": 0.3}
    found = compute(whole, few, 0.07)
    assert found["stay"].item() == stay(whole.student, whole.teacher).item()
    wanted = same_person(whole.student, unit(3, 4, seed=2), whole.alike, 0.07)
    assert found["same_person"].item() == wanted.item() and len(found) == 2
