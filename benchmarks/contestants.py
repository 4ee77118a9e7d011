"""A network of ours and those of keras.applications and torchvision that are the same: what each is timed by.

Of each architecture there is one at least; where the others have none that is the same, ours is measured alone. Each
is a `Contestant`: a training step of a batch, and inference as a program that serves it would call it: a graph on
TensorFlow, a compiled function on JAX, calls without gradients on PyTorch.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from network_inputs import class_of, inputs_of, options_of, truth_of

import keras_blocks

NETWORKS = {
    "resnet50": ("resnet50", None),
    "resnet50_v1": (None, "ResNet50"),
    "resnet50_v2": (None, "ResNet50V2"),
    "resnext50_32x4d": ("resnext50_32x4d", None),
    "seresnet50": (None, None),
    "senet154": (None, None),
    "regnety_004": ("regnet_y_400mf", None),
    "densenet121": ("densenet121", "DenseNet121"),
    "inception_v3": (None, "InceptionV3"),
    "inception_v3_torchvision": ("inception_v3", None),
    "inception_v4": (None, None),
    "inception_resnet_v2": (None, "InceptionResNetV2"),
    "googlenet_torchvision": ("googlenet", None),
    "inception_v2": (None, None),
    "vgg16": ("vgg16", "VGG16"),
    "squeezenet_1.1": ("squeezenet1_1", None),
    "autoencoder_cifar": (None, None),
    "siamese_koch2015": (None, None),
    "rcnn_vgg16": (None, None),
    "fast_rcnn_squeezenet": (None, None),
    "faster_rcnn_resnet50_fpn": ("fasterrcnn_resnet50_fpn", None),
}
"""Our name -> torchvision's and keras.applications'. They have convolutions where the other has others (ResNet-50 v1.5
and v1): ours are as each."""

OURS, TORCHVISION, APPLICATIONS = "ours", "torchvision", "keras.applications"


class Contestant(NamedTuple):
    """What is timed."""

    train: Callable[[], Any]
    """A training step of the batch."""
    predict: Callable[[Any], Any]
    """The outputs for inputs, see network_inputs.py."""
    model: Any = None
    """Keras'."""


def installed(module: str) -> bool:
    """Whether it can be imported: torchvision's libraries may not fit the PyTorch that is there."""
    try:
        __import__(module)
    except (ImportError, OSError, RuntimeError):
        return False
    return True


def contestants(name: str, size: int, batch: int, theirs: bool = True, alike: bool = False) -> dict[str, Callable]:
    """Who -> a function that makes a contestant; of others where they are installed, and have the network.

    Args:
        name: one of ours.
        size: of the images, in pixels.
        batch: images of a training step.
        theirs: whether others' are wanted.
        alike: whether ours begins from weights drawn as keras.applications' are, whose distribution is quicker to draw.
    """
    inputs, (torchvision, applications) = inputs_of(name, batch, size), NETWORKS.get(name, (None, None))
    truth, loss = truth_of(name, inputs)
    options = options_of(name, size)
    if alike and applications:
        options["kernel_initializer"] = "glorot_uniform"
    made = {OURS: lambda: of_keras(keras_blocks.create_model(name, **options), inputs, truth, loss)}
    if theirs and applications:
        cls, same = getattr(keras.applications, applications), {"weights": None, "input_shape": (size, size, 3)}
        made[APPLICATIONS] = lambda: of_keras(cls(**same), inputs, truth, loss)
    if theirs and torchvision and installed("torchvision"):
        if class_of(name) == "FasterRCNN":
            made[TORCHVISION] = lambda: of_torchvision_detector(torchvision, inputs, truth, options)
        else:
            made[TORCHVISION] = lambda: of_torchvision(torchvision, inputs, truth)
    return made


def of_keras(model, inputs, truth, loss) -> Contestant:
    model.compile(keras.optimizers.SGD(0.01), loss)
    return Contestant(lambda: model.train_on_batch(inputs, truth), served(model), model)


def step(optimizer, loss_of) -> float:
    """A step of PyTorch's own training."""
    optimizer.zero_grad(set_to_none=True)
    loss = loss_of()
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def of_torchvision(name, images, labels) -> Contestant:
    """On the device that PyTorch has; without auxiliary classifiers, as ours."""
    import torch
    import torchvision

    device = "cuda" if torch.cuda.is_available() else "cpu"
    auxiliary = {"aux_logits": False, "init_weights": False} if name in ("inception_v3", "googlenet") else {}
    network = torchvision.models.get_model(name, weights=None, **auxiliary)
    network = network.to(device, memory_format=torch.channels_last)
    optimizer, loss_of = torch.optim.SGD(network.parameters(), 0.01), torch.nn.CrossEntropyLoss()
    given, labels = torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(labels).to(device)
    assert given.is_contiguous(memory_format=torch.channels_last)

    def train():
        network.train()
        return step(optimizer, lambda: loss_of(network(given.to(device)), labels))

    def predict(x):
        network.eval()
        with torch.inference_mode():
            return network(torch.from_numpy(x).permute(0, 3, 1, 2).to(device)).cpu()

    return Contestant(train, predict)


def of_torchvision_detector(name, images, truth, options) -> Contestant:
    """With ours' canvas and numbers of regions; its normalization learns, too, as it does without weights."""
    import torch
    import torchvision

    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = torchvision.models.get_model(
        name,
        weights=None,
        weights_backbone=None,
        min_size=min(options["image_size"]),
        max_size=max(options["image_size"]),
        box_batch_size_per_image=options["head_samples"],
        rpn_pre_nms_top_n_train=options["pre_nms_top_n"][0],
        rpn_pre_nms_top_n_test=options["pre_nms_top_n"][1],
        rpn_post_nms_top_n_train=options["post_nms_top_n"][0],
        rpn_post_nms_top_n_test=options["post_nms_top_n"][1],
    ).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), 0.01)
    boxes, labels = torch.from_numpy(truth["boxes"]).to(device), torch.from_numpy(truth["labels"] + 1).to(device)
    targets = [{"boxes": some, "labels": classes} for some, classes in zip(boxes, labels)]

    def tensors(x):
        return list((torch.from_numpy(x).permute(0, 3, 1, 2) / 255).to(device))

    def train():
        network.train()
        return step(optimizer, lambda: sum(network(tensors(images), targets).values()))

    def predict(x):
        network.eval()
        with torch.inference_mode():
            return [found["boxes"].cpu() for found in network(tensors(x))]

    return Contestant(train, predict)


def served(model) -> Callable[[Any], Any]:
    """A function of its inputs that runs a Keras model as a program that serves it would, and waits for the outputs."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        run = tf.function(lambda x: model(x, training=False))
        tensors = lambda x: keras.tree.map_structure(tf.convert_to_tensor, x)  # noqa: E731
        return lambda x: keras.tree.map_structure(lambda y: y.numpy(), run(tensors(x)))
    if backend == "jax":
        import jax

        trained, others = model.trainable_variables, model.non_trainable_variables
        run = jax.jit(lambda a, b, x: model.stateless_call(a, b, x, training=False)[0])
        values = lambda variables: [variable.value for variable in variables]  # noqa: E731
        return lambda x: jax.block_until_ready(run(values(trained), values(others), x))
    import torch

    def call(x):
        with torch.inference_mode():
            outputs = model(keras.tree.map_structure(keras.ops.convert_to_tensor, x), training=False)
            return keras.tree.map_structure(lambda y: y.cpu(), outputs)

    return call
