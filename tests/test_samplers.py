"""Pairs and triplets: of which classes they are, how often, and that a seed gives the same ones."""

import numpy as np
import pytest
from calling import EAGERLY, JIT

import keras_blocks
from keras_blocks import PairSampler, PKSampler, TripletSampler

pytestmark = pytest.mark.once

LABELS = np.repeat(["a", "b", "c", "d"], [2, 3, 4, 20])


def pk_sampler(images, labels, batch_size, **options):
    return PKSampler(images, labels, classes=2, per_class=batch_size // 2, **options)


@pytest.fixture
def images():
    """Each holds its number, so that a drawn one is known again."""
    return np.broadcast_to(np.arange(len(LABELS), dtype="float32")[:, None, None, None], (len(LABELS), 2, 2, 1))


def numbers(images):
    return images[:, 0, 0, 0].astype(int)


def test_half_of_the_pairs_are_of_one_class(images):
    sampler = PairSampler(images, LABELS, batch_size=8, batches=50, seed=1)
    drawn = []
    for i in range(len(sampler)):
        (left, right), same = sampler[i]
        assert left.shape == right.shape == (8, 2, 2, 1) and same.shape == (8, 1) and same.dtype == "float32"
        assert same.sum() == 4
        left, right = numbers(left), numbers(right)
        np.testing.assert_array_equal(LABELS[left] == LABELS[right], same[:, 0] == 1)
        assert np.all(left != right)
        drawn.extend(LABELS[left])
    counts = [drawn.count(name) for name in "abcd"]
    assert min(counts) > 60  # a hundred each, as classes are drawn, not images


def test_the_share_of_positives_can_be_chosen(images):
    sampler = PairSampler(images, LABELS, batch_size=10, positives=0.2, seed=1)
    assert sampler[0][1].sum() == 2 and len(sampler) == 3
    orders = {tuple(sampler[i][1][:, 0]) for i in range(3)}
    assert len(orders) > 1, "the positives stand in the same places in every batch"


def test_triplets_stand_row_by_row(images):
    sampler = TripletSampler(images, LABELS, batch_size=8, batches=20, seed=1)
    seen = set()
    for i in range(len(sampler)):
        drawn, classes = sampler[i]
        assert drawn.shape == (24, 2, 2, 1) and classes.shape == (24,)
        drawn = numbers(drawn)
        np.testing.assert_array_equal(np.array(list("abcd"))[classes], LABELS[drawn])
        anchors, positives, negatives = (classes[k::3] for k in range(3))
        assert np.all(anchors == positives) and np.all(anchors != negatives)
        assert np.all(drawn[0::3] != drawn[1::3])
        seen |= set(anchors)
    assert seen == {0, 1, 2, 3}


def test_as_many_images_of_as_many_classes(images):
    sampler = PKSampler(images, LABELS, classes=3, per_class=3, batches=20, seed=1)
    for i in range(len(sampler)):
        drawn, classes = sampler[i]
        assert drawn.shape == (9, 2, 2, 1) and [list(classes).count(one) for one in set(classes)] == [3, 3, 3]
        drawn = numbers(drawn)
        np.testing.assert_array_equal(np.array(list("abcd"))[classes], LABELS[drawn])
        # Class "a" has two images, so one is there again; no other class repeats one.
        assert len(set(drawn)) == (8 if "a" in LABELS[drawn] else 9)
    with pytest.raises(ValueError, match=r"classes.*4.*5"):
        PKSampler(images, LABELS, classes=5)
    with pytest.raises(ValueError, match=r"per_class.*1"):
        PKSampler(images, LABELS, 2, per_class=1)


@pytest.mark.parametrize("cls", [PairSampler, TripletSampler, pk_sampler])
def test_a_seed_gives_the_same_batches_in_any_order(cls, images):
    def add_noise(images, rng):
        return images + rng.normal(size=images.shape)

    def flat(batch):
        inputs, labels = batch
        return np.concatenate([np.ravel(part) for part in (*np.atleast_1d(inputs), labels)])

    def make(seed):
        return cls(images, LABELS, batch_size=4, batches=3, seed=seed, augment=add_noise)

    one, other = make(0), make(0)
    first = [flat(one[i]) for i in range(3)]
    for i in (2, 0, 1):
        np.testing.assert_array_equal(flat(other[i]), first[i])
    assert np.any(first[0] != first[1])
    one.on_epoch_end(), other.on_epoch_end()
    assert np.any(flat(one[0]) != first[0]), "every epoch is the same"
    np.testing.assert_array_equal(flat(one[0]), flat(other[0]))
    assert np.any(flat(make(1)[0]) != first[0])
    np.random.seed(3)
    unseeded = flat(make(None)[0])
    np.random.seed(3)
    np.testing.assert_array_equal(flat(make(None)[0]), unseeded)


def test_all_of_an_epoch_is_as_long_as_the_images(images):
    assert len(PairSampler(images, LABELS, 8)) == len(TripletSampler(images, LABELS, 8)) == 4
    with pytest.raises(IndexError, match="4 batches"):
        PairSampler(images, LABELS, 8)[4]


BAD = [
    ({"labels": np.repeat([0, 1, 2], [14, 14, 1])}, ValueError, r"labels.*two images.*\[2\]"),
    ({"labels": np.zeros(29)}, ValueError, "labels.*two classes"),
    ({"labels": LABELS[:-1]}, ValueError, "labels.*one for each.*28"),
    ({"images": np.zeros((29, 4))}, ValueError, "images.*29, 4"),
    ({"batch_size": 1}, ValueError, "batch_size.*1"),
    ({"batches": 0}, ValueError, "batches.*0"),
    ({"seed": -1}, ValueError, "seed.*-1"),
    ({"seed": 0.5}, TypeError, "seed.*0.5"),
    ({"augment": "flip"}, TypeError, "augment.*flip"),
]


@pytest.mark.parametrize("cls", [PairSampler, TripletSampler])
@pytest.mark.parametrize(("options", "error", "message"), BAD)
def test_bad_input_is_refused(cls, options, error, message, images):
    with pytest.raises(error, match=message):
        cls(**{"images": images, "labels": LABELS, **options})


def test_bad_shares_and_augmentations_are_refused(images):
    with pytest.raises(ValueError, match=r"positives.*1\.5"):
        PairSampler(images, LABELS, positives=1.5)
    sampler = PairSampler(images, LABELS, augment=lambda images, rng: images[:3])
    with pytest.raises(ValueError, match=r"augment.*3"):
        sampler[0]


def test_pairs_of_the_samplers_train_a_siamese(images):
    from catalog import small_siamese

    model = small_siamese(include_top=True, distance="l1", input_shape=(2, 2, 1))
    model.compile("sgd", "binary_crossentropy", jit_compile=JIT, run_eagerly=EAGERLY)
    history = model.fit(PairSampler(images, LABELS, 4, batches=2), epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    model.embedding.compile("sgd", keras_blocks.TripletLoss(mining=None), jit_compile=JIT, run_eagerly=EAGERLY)
    history = model.embedding.fit(TripletSampler(images, LABELS, 4, batches=2), epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    model.embedding.compile("sgd", keras_blocks.TripletLoss(), jit_compile=JIT, run_eagerly=EAGERLY)
    history = model.embedding.fit(PKSampler(images, LABELS, 2, 3, batches=2), epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
