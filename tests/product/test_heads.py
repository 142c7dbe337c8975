"""Against a plain torch network, votes counted one by one, and made embeddings with known answers."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from whosings.classifier import Head, HeadData, Tracks, _Sampler, train_heads, vote
from whosings.config import HeadConfig
from whosings.errors import EvaluationError

SMALL = HeadConfig(hidden=(32, 16), iterations_per_epoch=8, max_epochs=6, precision="float32")


def made(singers=6, tracks=5, segments=7, dimensions=12, spread=0.3, seed=0):
    """Clouds around singers: vectors, and the tracks in order: (singer, number) -> rows."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(singers, 1, 1, dimensions))
    vectors = centres + spread * rng.normal(size=(singers, tracks, segments, dimensions))
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    start = np.arange(singers * tracks).reshape(singers, tracks) * segments
    return torch.from_numpy(vectors.reshape(-1, dimensions).astype(np.float32)), start


def some(start, columns, segments=7):
    chosen = start[:, columns]
    label = np.repeat(np.arange(len(start)), chosen.shape[1])
    return Tracks(label, chosen.reshape(-1), np.full(chosen.size, segments))


def head_data(start, seed=0):
    return HeadData(some(start, slice(2, None)), some(start, slice(1, 2)), len(start), seed)


def plain(vectors, task, config):
    """The paper's head as anybody would write it, with the same draws: (network, validation losses)."""
    sampler = _Sampler(task, config, torch.device("cpu"))
    sizes = [vectors.shape[1], *(config.hidden if config.kind == "projector" else ()), task.classes]
    layers = []
    for number, (wide, narrow) in enumerate(pairwise(sizes)):
        layer = nn.Linear(wide, narrow)
        layer.weight.data = sampler.uniform((wide, narrow), wide**-0.5).T.to(vectors.dtype)
        layer.bias.data = sampler.uniform((narrow,), wide**-0.5).to(vectors.dtype)
        layers += [layer] if number == len(sizes) - 2 else [layer, nn.BatchNorm1d(narrow), nn.ReLU()]
    if not config.last_bias:
        layers[-1].bias = None
    network = nn.Sequential(*layers).to(vectors.dtype)
    optimiser = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser, factor=config.plateau_factor, patience=config.plateau_epochs - 1, threshold=0.0
    )
    losses = []

    def loss_of(rows, labels):
        logits = network(vectors[rows])
        return F.cross_entropy(F.normalize(logits, dim=1) if config.normalise_outputs else logits, labels)

    for _ in range(config.max_epochs):
        network.train()
        for rows, labels in zip(*sampler.epoch(), strict=True):
            optimiser.zero_grad()
            loss_of(rows, labels).backward()
            optimiser.step()
        network.eval()
        with torch.no_grad():
            losses.append(float(loss_of(sampler.validation, sampler.validation_labels)))
        plateau.step(losses[-1])
        if len(losses) - 1 - int(np.argmin(losses)) >= config.stop_epochs:
            break
    return network, losses


@pytest.fixture(params=[False, True], ids=["one by one", "stacked"])
def stacked(request, monkeypatch):
    """Heads are trained as on a CPU, or together as on a GPU."""
    monkeypatch.setattr("whosings.classifier.stacks", lambda device: request.param)


@pytest.mark.usefixtures("stacked")
@pytest.mark.parametrize("changes", [{}, {"kind": "linear"}, {"normalise_outputs": True}, {"last_bias": False}])
def test_a_head_learns_what_a_plain_network_learns(changes):
    config = SMALL.model_copy(update=changes)
    vectors, start = made()
    vectors = vectors.double()  # in which no rounding grows to a difference
    head = train_heads(vectors, [head_data(start, 2), head_data(start, 3)], config)[1]
    network, losses = plain(vectors, head_data(start, 3), config)
    assert head.loss == pytest.approx(min(losses), rel=1e-9)
    assert head.epochs == int(np.argmin(losses)) + 1
    if head.epochs == len(losses):  # the network is still the best one
        with torch.no_grad():
            logits = network(vectors)
        logits = F.normalize(logits, dim=1) if config.normalise_outputs else logits
        torch.testing.assert_close(head(vectors), logits.softmax(dim=1), atol=1e-9, rtol=0)


def test_rates_fall_and_training_stops_as_with_the_plain_network():
    """Random labels: the loss soon rises, so that plateaus and the stop come early, and at the same epochs."""
    config = SMALL.model_copy(update={"max_epochs": 40, "plateau_epochs": 2, "stop_epochs": 5, "learning_rate": 0.003})
    vectors, start = made(spread=30.0)
    seen = []
    heads = train_heads(vectors.double(), [head_data(start, 1)], config, seen.append)
    _, losses = plain(vectors.double(), head_data(start, 1), config)
    assert len(losses) < 40 and len(seen) == len(losses) and seen[-1] == 0
    assert heads[0].epochs == int(np.argmin(losses)) + 1
    assert heads[0].loss == pytest.approx(min(losses), rel=1e-9)


def test_a_fallen_rate_changes_what_is_learned_after_it():
    """The best epoch comes after a plateau: a rate that falls an epoch later or earlier leads to another loss."""
    common = {"kind": "linear", "iterations_per_epoch": 8, "batch": 4, "learning_rate": 0.1}
    config = SMALL.model_copy(update={**common, "max_epochs": 40, "stop_epochs": 14})
    vectors, start = made(spread=0.5)
    least = []
    for patience in (1, 2, 3):
        patient = config.model_copy(update={"plateau_epochs": patience})
        head = train_heads(vectors.double(), [head_data(start, 2)], patient)[0]
        least.append(min(plain(vectors.double(), head_data(start, 2), patient)[1]))
        assert head.loss == pytest.approx(least[-1], rel=1e-9)
    assert min(abs(np.diff(least))) > 0.01


@pytest.mark.usefixtures("stacked")
@pytest.mark.parametrize("kind", ["projector", "linear", "prototype"])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_run_does_not_depend_on_the_runs_beside_it(kind, precision):
    """Bit for bit, also where the others stop earlier or later."""
    config = SMALL.model_copy(
        update={"kind": kind, "precision": precision, "max_epochs": 60, "plateau_epochs": 1, "stop_epochs": 2}
    )
    vectors, start = made(spread=6.0)
    together = train_heads(
        vectors, [head_data(start[order], seed) for seed, order in enumerate(_orders(start))], config
    )
    assert len({head.epochs for head in together}) > 1 or kind == "prototype"
    for seed, order in enumerate(_orders(start)):
        alone = train_heads(vectors, [head_data(start[order], seed)], config)[0]
        assert alone.epochs == together[seed].epochs
        for name, value in alone.weights.items():
            assert torch.equal(value, together[seed].weights[name]), name


@pytest.fixture(params=[1, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_heads_in_threads_of_their_own_are_the_same(threads):
    vectors, start = made(spread=6.0)
    seen = []
    config = SMALL.model_copy(update={"max_epochs": 60, "stop_epochs": 3})
    heads = train_heads(vectors, [head_data(start, seed) for seed in range(4)], config, seen.append)
    alone = [train_heads(vectors, [head_data(start, seed)], config)[0] for seed in range(4)]
    assert [head.loss for head in heads] == [head.loss for head in alone]
    assert seen == sorted(seen, reverse=True) and seen[-1] == 0 and set(seen) == {0, 1, 2, 3, 4}
    assert torch.get_num_threads() == threads


def test_an_interruption_does_not_wait_for_whole_trainings(threads):
    """An error in whichever head; Ctrl-C itself is ignored by programs that a shell runs in the background."""
    vectors, start = made(spread=6.0)
    seen = []

    def interrupt(left):
        seen.append(left)
        if len(seen) == 5:
            raise OSError("disk")

    config = SMALL.model_copy(update={"max_epochs": 2000, "stop_epochs": 2000})
    with pytest.raises(OSError, match="disk"):
        train_heads(vectors, [head_data(start, seed) for seed in range(2)], config, interrupt)
    assert len(seen) < 1000 and torch.get_num_threads() == threads


def _orders(start):
    return [np.random.default_rng(seed).permutation(len(start))[:4] for seed in range(4)]


@pytest.mark.parametrize("kind", ["projector", "linear", "prototype"])
def test_separable_embeddings_are_told_apart_and_random_ones_at_chance(kind):
    config = HeadConfig(kind=kind, hidden=(64, 32), max_epochs=30, iterations_per_epoch=16)
    for spread, low, high in ((0.2, 1.0, 1.0), (1e6, 0.0, 0.2)):
        vectors, start = made(singers=20, spread=spread, dimensions=16)
        head = train_heads(vectors, [head_data(start)], config)[0]
        votes = vote(head, vectors, some(start, slice(0, 1)))
        for scores in (votes.counts, votes.means):
            assert low <= np.mean(scores.argmax(axis=1) == np.arange(20)) <= high


def test_votes_are_counted_as_one_would():
    vectors, start = made()
    head = train_heads(vectors, [head_data(start)], SMALL)[0]
    tracks = Tracks(np.array([0, 1, 2, 3]), np.array([0, 30, 7, 20]), np.array([5, 0, 9, 1]))
    votes = vote(head, vectors, tracks)
    answers = head(vectors)
    for number, (first, length) in enumerate(zip(tracks.start, tracks.length, strict=True)):
        own = answers[first : first + length].numpy()
        np.testing.assert_allclose(votes.counts[number], np.bincount(own.argmax(axis=1), minlength=6) if length else 0)
        np.testing.assert_allclose(votes.means[number], own.mean(axis=0) if length else 0, atol=1e-6)


def test_the_size_of_blocks_changes_nothing(monkeypatch):
    vectors, start = made()
    vectors, tracks = vectors.double(), some(start, slice(0, 3))
    heads = []
    for rows in (8192, 10):  # a block then ends within a track
        monkeypatch.setattr("whosings.classifier._ROWS", rows)
        head = train_heads(vectors, [head_data(start)], SMALL)[0]
        heads.append((head.loss, head.epochs, *vote(head, vectors, tracks).means.ravel()))
    np.testing.assert_allclose(*heads, rtol=1e-9)
    assert vote(head, vectors, Tracks(*np.zeros((3, 0), np.int64))).counts.shape == (0, 6)
    assert head(vectors[:0]).shape == (0, 6)


def test_a_segment_between_two_equal_prototypes_votes_half_for_each():
    vectors = torch.eye(2).repeat(2, 1)
    tracks = Tracks(np.array([0, 1]), np.array([0, 0]), np.array([1, 1]))
    head = train_heads(vectors, [HeadData(tracks, tracks, 2, 0)], HeadConfig(kind="prototype"))[0]
    np.testing.assert_allclose(vote(head, vectors, Tracks(*np.array([[0], [0], [1]]))).counts, [[0.5, 0.5]])


def test_prototypes_weigh_tracks_alike():
    vectors = F.normalize(torch.randn(10, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    tracks = Tracks(np.array([0, 0, 1]), np.array([0, 1, 5]), np.array([1, 4, 5]))
    head = train_heads(vectors, [HeadData(tracks, tracks, 2, 0)], HeadConfig(kind="prototype"))[0]
    wanted = F.normalize((vectors[0] + vectors[1:5].mean(dim=0)) / 2, dim=0)
    torch.testing.assert_close(head.weights["out.weight"][:, 0], wanted)


def test_prototypes_are_means_of_unit_embeddings_whatever_their_lengths():
    """Long segments weigh no more than short ones, in training or as a probe; probabilities are those of cosines."""
    generator = torch.Generator().manual_seed(1)
    vectors = torch.randn(9, 4, generator=generator) * torch.logspace(-1, 2, 9)[:, None]
    tracks = Tracks(np.array([0, 0, 1]), np.array([0, 2, 5]), np.array([2, 3, 4]))
    head = train_heads(vectors, [HeadData(tracks, tracks, 2, 0)], HeadConfig(kind="prototype"))[0]
    unit = [vector / np.linalg.norm(vector) for vector in vectors.numpy()]
    first = np.mean([np.mean(unit[:2], axis=0), np.mean(unit[2:5], axis=0)], axis=0)
    voices = [first / np.linalg.norm(first), np.mean(unit[5:], axis=0) / np.linalg.norm(np.mean(unit[5:], axis=0))]
    np.testing.assert_allclose(head.weights["out.weight"].numpy().T, voices, atol=1e-6)
    odds = np.exp(20 * np.array(unit) @ np.transpose(voices))
    np.testing.assert_allclose(head(vectors), odds / odds.sum(axis=1, keepdims=True), atol=1e-5)


def test_draws_are_uniform_over_singers_then_tracks_then_segments():
    """Singer 0 has one track of one segment, singer 1 two tracks of one and nine."""
    tracks = Tracks(np.array([0, 1, 1]), np.array([0, 1, 2]), np.array([1, 1, 9]))
    config = SMALL.model_copy(update={"iterations_per_epoch": 100, "batch": 500})
    rows, labels = _Sampler(HeadData(tracks, tracks, 2, 0), config, torch.device("cpu")).epoch()
    counts = np.bincount(rows.flatten().numpy(), minlength=11) / rows.numel()
    np.testing.assert_allclose(counts, [0.5, 0.25, *[0.25 / 9] * 9], atol=0.01)
    assert torch.equal(labels == 0, rows == 0)


def test_weights_begin_anywhere_within_their_bound():
    tracks = Tracks(*np.array([[0], [0], [1]]))
    values = _Sampler(HeadData(tracks, tracks, 1, 0), SMALL, torch.device("cpu")).uniform((200, 100), 0.25)
    assert values.shape == (200, 100)
    deciles = np.quantile(values, np.linspace(0, 1, 11))
    np.testing.assert_allclose(deciles, np.linspace(-0.25, 0.25, 11), atol=0.01)


def test_four_different_validation_segments_of_each_track():
    tracks = Tracks(np.array([0, 1]), np.array([0, 10]), np.array([10, 4]))
    for seed in range(20):
        sampler = _Sampler(HeadData(tracks, tracks, 2, seed), SMALL, torch.device("cpu"))
        first, second = sampler.validation.reshape(2, 4).tolist()
        assert len(set(first)) == 4 and set(first) <= set(range(10))
        assert second == [10, 11, 12, 13]


@pytest.mark.parametrize(
    ("kind", "precision", "able", "rounded"),
    [
        ("linear", "float32", True, False),
        ("linear", "bf16", False, True),
        ("linear", "auto", True, True),
        ("linear", "auto", False, False),
        ("prototype", "bf16", True, False),  # ties matter
    ],
)
def test_half_precision_is_used_where_it_is_wanted(monkeypatch, kind, precision, able, rounded):
    monkeypatch.setattr("whosings.classifier.has_bf16", lambda device: able)
    rng = np.random.default_rng(0)
    vectors, weight = rng.normal(size=(50, 64)), rng.normal(size=(64, 5))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    state = {"out.weight": weight / 10 if kind == "prototype" else weight, "out.bias": np.zeros(5)}
    logits = 20 * vectors @ state["out.weight"] if kind == "prototype" else vectors @ weight
    wanted = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    weights = {name: torch.from_numpy(value.astype(np.float32)) for name, value in state.items()}
    head = Head(SMALL.model_copy(update={"kind": kind, "precision": precision}), weights)
    error = np.abs(head(torch.from_numpy(vectors.astype(np.float32))).numpy() - wanted).max()
    assert 1e-4 < error < 0.02 if rounded else error < 1e-5


def test_heads_survive_bytes():
    vectors, start = made()
    head = train_heads(vectors, [head_data(start)], SMALL)[0]
    assert torch.equal(Head.from_bytes(head.to_bytes(), SMALL)(vectors), head(vectors))


def test_lessons_that_cannot_be_learned():
    vectors, start = made()
    with pytest.raises(EvaluationError) as caught:
        train_heads(vectors, [head_data(start), head_data(start[:3])], SMALL)
    assert str(caught.value) == "the runs: have different numbers of classes; train them in groups."
    task = head_data(start)
    empty = replace(task.train, length=task.train.length * (task.train.start > 20))
    for name, parts in (
        ("validation", (task.train, some(start[:3], slice(1, 2)), 6)),
        ("training", (some(start[:3], slice(1, 2)), task.validation, 6)),
        ("training", (task.train, task.validation, 7)),  # nobody is the seventh
        ("training", (task.train, task.validation, 5)),  # the sixth is nobody
        ("training", (empty, task.validation, 6)),
    ):
        with pytest.raises(EvaluationError) as caught:
            train_heads(vectors, [HeadData(*parts, 0)], SMALL)
        assert str(caught.value) == f"a run: has a class without {name} track or segments; leave it out."
