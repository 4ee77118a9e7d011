"""ContrastiveLoss and TripletLoss against loops over pairs and triplets, and finite differences."""

import keras
import numpy as np
import pytest
from calling import as_array
from gradients import input_gradients

import keras_blocks

LABELS = np.array([0, 0, 0, 1, 1, 2, 2, 2, 3])  # the last has no positive


def contrastive(labels, distances, margin):
    """Hadsell et al. 2006, equation 4, pair by pair."""
    return [d**2 / 2 if same else max(margin - d, 0) ** 2 / 2 for same, d in zip(labels, distances)]


def triplet(labels, x, margin, mining, squared):
    """Schroff et al. 2015, section 3.2; Hermans et al. 2017, equation 5: triplet by triplet."""
    power = 1.0 if squared else 0.5
    distance = lambda i, j: np.square(x[i] - x[j]).sum() ** power  # noqa: E731
    losses = []
    for anchor in range(len(x)):
        positives = [i for i in range(len(x)) if labels[i] == labels[anchor] and i != anchor]
        negatives = [distance(anchor, i) for i in range(len(x)) if labels[i] != labels[anchor]]
        if not positives or not negatives:
            continue
        if mining == "hard":
            losses.append(max(max(distance(anchor, i) for i in positives) - min(negatives) + margin, 0))
            continue
        for positive in positives:
            near = distance(anchor, positive)
            further = [far for far in negatives if far > near]
            losses.append(max(near - (min(further) if further else max(negatives)) + margin, 0))
    return np.mean(losses) if losses else 0.0


def slopes(function, x, step=1e-5):
    found = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        move = np.zeros(x.shape)
        move[place] = step
        found[place] = (function(x + move) - function(x - move)) / (2 * step)
    return found


@pytest.fixture
def embeddings(rng):
    return rng.normal(size=(len(LABELS), 4)).astype("float32")


@pytest.mark.parametrize("shape", [(6,), (6, 1)])
def test_contrastive_loss_is_the_papers(shape, rng):
    labels, distances = np.array([1, 1, 1, 0, 0, 0]), np.array([0.0, 0.5, 3.0, 0.0, 0.5, 3.0], "float32")
    loss = keras_blocks.ContrastiveLoss(margin=1.5, reduction=None)
    found = as_array(loss(labels.reshape(shape), distances.reshape(shape)))
    np.testing.assert_allclose(found, contrastive(labels, distances, 1.5), rtol=1e-6)


def test_contrastive_loss_of_one_shape_and_another():
    """(batch,) and (batch, 1) would broadcast to (batch, batch)."""
    loss = keras_blocks.ContrastiveLoss(reduction=None)
    assert as_array(loss(np.array([1.0, 0.0]), np.array([[0.5], [0.25]]))).tolist() == [0.125, 0.28125]


@pytest.mark.parametrize("mining", ["semi-hard", "hard"])
@pytest.mark.parametrize(("distance", "margin"), [("squared_l2", 0.2), ("l2", 2.0)])
def test_triplet_loss_is_the_one_of_loops(mining, distance, margin, embeddings):
    loss = keras_blocks.TripletLoss(margin, mining, distance)
    expected = triplet(LABELS, embeddings.astype("float64"), margin, mining, distance == "squared_l2")
    assert expected > 0
    assert float(loss(LABELS, embeddings)) == pytest.approx(expected, rel=1e-4)
    assert float(loss(LABELS[:, None], embeddings)) == pytest.approx(expected, rel=1e-4)
    assert as_array(keras_blocks.TripletLoss(margin, mining, distance, reduction=None)(LABELS, embeddings)).shape == (
        9,
    )


@pytest.mark.parametrize("distance", ["squared_l2", "l2"])
def test_without_mining_three_rows_are_a_triplet(distance, embeddings):
    loss = keras_blocks.TripletLoss(1.0, None, distance, reduction=None)
    power = 1.0 if distance == "squared_l2" else 0.5
    expected = [
        max(np.square(a - p).sum() ** power - np.square(a - n).sum() ** power + 1.0, 0)
        for a, p, n in embeddings.astype("float64").reshape(3, 3, 4)
    ]
    np.testing.assert_allclose(as_array(loss(LABELS, embeddings)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mining", ["semi-hard", "hard"])
def test_triplet_gradients_are_the_finite_differences(mining, embeddings):
    loss = keras_blocks.TripletLoss(0.5, mining)
    found = input_gradients(lambda x: keras.ops.sqrt(loss(LABELS, x)), embeddings)  # which are squared there
    expected = slopes(lambda x: triplet(LABELS, x, 0.5, mining, True), embeddings.astype("float64"))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("mining", ["semi-hard", "hard", None])
def test_triplet_gradients_are_finite_where_all_embeddings_are_equal(mining):
    """As they are where a training has collapsed."""
    loss = keras_blocks.TripletLoss(0.2, mining, "l2")
    same = np.ones((9, 4), "float32")
    assert float(loss(LABELS, same)) == pytest.approx(0.2, rel=1e-4)
    assert np.isfinite(input_gradients(lambda x: loss(LABELS, x), same)).all()


@pytest.mark.parametrize("mining", ["semi-hard", "hard"])
@pytest.mark.parametrize("labels", [np.zeros(4), np.arange(4)], ids=["one class", "all alone"])
def test_a_batch_without_triplets_costs_nothing(mining, labels, rng):
    x = rng.normal(size=(4, 3)).astype("float32")
    loss = keras_blocks.TripletLoss(0.2, mining)
    assert float(loss(labels, x)) == 0.0
    assert np.all(input_gradients(lambda x: loss(labels, x), x) == 0)


@pytest.mark.parametrize(
    ("loss", "config"),
    [
        (keras_blocks.ContrastiveLoss(2.0, reduction="sum", name="it"), {"margin": 2.0}),
        (
            keras_blocks.TripletLoss(0.5, "hard", "l2", reduction="sum", name="it"),
            {"margin": 0.5, "mining": "hard", "distance": "l2"},
        ),
    ],
    ids=["contrastive", "triplet"],
)
def test_configs(loss, config):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert again.get_config() == loss.get_config()
    assert again.get_config().items() >= {**config, "reduction": "sum", "name": "it"}.items()


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="labels and distances"):
        keras_blocks.ContrastiveLoss()(np.zeros((2, 3)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="embeddings"):
        keras_blocks.TripletLoss()(np.zeros(2), np.zeros(2))
    with pytest.raises(ValueError, match="three rows"):
        keras_blocks.TripletLoss(mining=None)(np.zeros(4), np.zeros((4, 2)))
