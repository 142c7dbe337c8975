import math

import pytest
import torch
import torch.nn.functional as F
from torch import multiprocessing

from whosings.training.contrastive.loss import nt_xent, supcon


def naive_nt_xent(left, right, temperature):
    """The definition, one view after another."""
    views = [*left, *right]
    pairs = len(left)
    total = torch.zeros(())
    for i, anchor in enumerate(views):
        positive = views[(i + pairs) % (2 * pairs)]
        negatives = sum(torch.exp(anchor @ other / temperature) for j, other in enumerate(views) if j != i)
        total = total - torch.log(torch.exp(anchor @ positive / temperature) / negatives)
    return total / len(views)


def naive_supcon(left, right, singers, temperature):
    """Khosla et al. 2020, equation 2, one view after another."""
    views, labels = [*left, *right], [*singers, *singers]
    total = torch.zeros(())
    for i, anchor in enumerate(views):
        others = sum(torch.exp(anchor @ other / temperature) for j, other in enumerate(views) if j != i)
        positives = [j for j in range(len(views)) if j != i and labels[j] == labels[i]]
        terms = [torch.log(torch.exp(anchor @ views[j] / temperature) / others) for j in positives]
        total = total - sum(terms) / len(positives)
    return total / len(views)


SINGERS = torch.tensor([3, 1, 3, 0, 1, 3])


def _views(pairs, dimensions, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return tuple(F.normalize(torch.randn(pairs, dimensions, generator=generator), dim=-1) for _ in range(2))


@pytest.mark.parametrize("temperature", [0.05, 0.2, 1.0])
@pytest.mark.parametrize("pairs", [2, 5])
def test_equals_the_definition(pairs, temperature):
    left, right = _views(pairs, 7)
    assert nt_xent(left, right, temperature).item() == pytest.approx(
        naive_nt_xent(left, right, temperature).item(), rel=1e-5
    )


def test_gradient_equals_the_definitions():
    left, right = (v.double().requires_grad_() for v in _views(4, 6))
    ours = torch.autograd.grad(nt_xent(left, right, 0.2), (left, right))
    naive = torch.autograd.grad(naive_nt_xent(left, right, 0.2), (left, right))
    for a, b in zip(ours, naive, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-7)


def test_equals_the_reference_library():
    from pytorch_metric_learning.losses import NTXentLoss

    left, right = _views(16, 32)
    labels = torch.arange(16).repeat(2)
    reference = NTXentLoss(temperature=0.2)(torch.cat([left, right]), labels)
    assert nt_xent(left, right, 0.2).item() == pytest.approx(reference.item(), rel=1e-5)


def test_closed_forms():
    one = torch.eye(8)
    # Positives identical, all others orthogonal: exp(1/T) against it and 2B - 2 ones.
    expected = -math.log(math.exp(5) / (math.exp(5) + 14))
    assert nt_xent(one, one, 0.2).item() == pytest.approx(expected, rel=1e-5)
    # All views the same: every other view is as likely.
    same = F.normalize(torch.ones(8, 3), dim=-1)
    assert nt_xent(same, same, 0.2).item() == pytest.approx(math.log(15), rel=1e-5)


def test_default_temperature_is_the_papers():
    left, right = _views(3, 4)
    assert nt_xent(left, right).item() == nt_xent(left, right, 0.2).item()


def test_order_of_sides_and_of_pairs_does_not_matter():
    left, right = _views(6, 5)
    loss = nt_xent(left, right).item()
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    assert nt_xent(right, left).item() == pytest.approx(loss, rel=1e-6)
    assert nt_xent(left[order], right[order]).item() == pytest.approx(loss, rel=1e-6)


def test_refuses_other_shapes():
    with pytest.raises(ValueError, match="expected two"):
        nt_xent(torch.zeros(2, 3), torch.zeros(3, 3))


@pytest.mark.parametrize("temperature", [0.05, 0.2, 1.0])
def test_supervised_equals_the_definition_with_its_gradient(temperature):
    left, right = (v.double().requires_grad_() for v in _views(6, 7))
    ours, naive = supcon(left, right, SINGERS, temperature), naive_supcon(left, right, SINGERS.tolist(), temperature)
    assert ours.item() == pytest.approx(naive.item(), rel=1e-5)
    gradients = (torch.autograd.grad(loss, (left, right)) for loss in (ours, naive))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_supervised_equals_the_reference_library():
    from pytorch_metric_learning.losses import SupConLoss

    left, right = _views(6, 32)
    reference = SupConLoss(temperature=0.2)(torch.cat([left, right]), SINGERS.repeat(2))
    assert supcon(left, right, SINGERS, 0.2).item() == pytest.approx(reference.item(), rel=1e-5)


def test_supervised_is_nt_xent_where_every_singer_has_one_pair():
    left, right = _views(9, 5)
    assert supcon(left, right, torch.arange(9)).item() == pytest.approx(nt_xent(left, right).item(), rel=1e-6)
    with pytest.raises(ValueError, match="expected 9 singers"):
        supcon(left, right, torch.arange(8))


def _loss(name, left, right, singers):
    return nt_xent(left, right, 0.2) if name == "nt_xent" else supcon(left, right, singers, 0.2)


def _process(rank, world, store, queue, name):
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    torch.set_num_threads(1)
    left, right = _views(6, 5)
    weight = torch.eye(5).double().requires_grad_()
    own = slice(rank * 6 // world, (rank + 1) * 6 // world)
    sides = [F.normalize(side[own].double() @ weight, dim=-1) for side in (left, right)]
    loss = _loss(name, *sides, SINGERS[own])
    loss.backward()
    torch.distributed.all_reduce(loss.detach_())
    torch.distributed.all_reduce(weight.grad)
    queue.put((rank, loss.item() / world, (weight.grad / world).tolist()))
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("name", ["nt_xent", "supcon"])
def test_two_processes_give_the_loss_and_gradient_of_the_whole_batch(tmp_path, name):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    processes = [context.Process(target=_process, args=(rank, 2, tmp_path / "store", queue, name)) for rank in range(2)]
    for process in processes:
        process.start()
    results = [queue.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    left, right = _views(6, 5)
    weight = torch.eye(5).double().requires_grad_()
    loss = _loss(name, *(F.normalize(side.double() @ weight, dim=-1) for side in (left, right)), SINGERS)
    loss.backward()
    for _, value, gradient in results:
        assert value == pytest.approx(loss.item(), rel=1e-6)
        torch.testing.assert_close(torch.tensor(gradient).double(), weight.grad, rtol=1e-5, atol=1e-7)
