"""Stores torchvision's outputs and gradients for seeded weights in tests/fixtures/torchvision.

Run by hand where torchvision is installed, such as with Debian's python3-torchvision:

    /usr/bin/python3 tests/make_torchvision_goldens.py [name ...]
"""

import itertools
import sys

import golden_weights
import torch
import torchvision

VGGS = [f"vgg{depth}{suffix}" for depth in (11, 13, 16, 19) for suffix in ("", "_bn")]
OTHERS = ["resnet18", "resnet34", "resnet50", "resnext50_32x4d", "wide_resnet50_2", "densenet121", "densenet161"]
GRADIENTS = ["resnet50", "densenet121"]

BETA = 3.0
MARGIN = 2e-5
"""How far from 0 each input of a ReLU is: 20 times float32's error there. One that float32 puts on the other side
changes the gradients of all layers before it by up to 1e-1, which is no error of either."""

# name of the golden: (function, arguments, pixels). VGG's adaptive pooling is the identity at 224 only. 97 is odd at
# every level, where the kinds of padding differ. Inception v3's auxiliary classifier needs its full 299.
NETWORKS = {
    **{name: (name, {}, 224) for name in VGGS},
    **{name: (name, {}, 97) for name in OTHERS},
    "googlenet": ("googlenet", {"aux_logits": False, "transform_input": False}, 97),
    "googlenet_aux": ("googlenet", {"aux_logits": True, "transform_input": False}, 97),
    "inception_v3_aux": ("inception_v3", {"aux_logits": True, "transform_input": False}, 299),
}

# auxiliary classifier: the part whose output it reads, which torchvision's forward calls in training only
AUXILIARY = {
    "googlenet_aux": {"aux1": "inception4a", "aux2": "inception4d"},
    "inception_v3_aux": {"AuxLogits": "Mixed_6e"},
}


def build(name, beta=0.0):
    """The network with 10 classes and seeded weights, and the shapes of these."""
    function, options, pixels = NETWORKS[name]
    if not name.startswith(("resn", "wide", "densenet")):
        options = {**options, "init_weights": False}
    model = getattr(torchvision.models, function)(num_classes=10, **options)
    shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
    arrays = golden_weights.weights(shapes, beta)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    return model, shapes, pixels


def as_tensor(images):
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy())


def store_outputs(name):
    model, shapes, pixels = build(name)
    outputs = {}
    for auxiliary, part in AUXILIARY.get(name, {}).items():

        def read(_, inputs, output, auxiliary=auxiliary):
            outputs[auxiliary] = getattr(model, auxiliary)(output)

        getattr(model, part).register_forward_hook(read)
    shape = [2, pixels, pixels, 3]
    with torch.no_grad():
        outputs["logits"] = model.eval()(as_tensor(golden_weights.images(shape)))
    golden_weights.save(
        golden_weights.FIXTURES / "torchvision" / f"{name}.json.gz",
        {
            "source": f"torchvision {torchvision.__version__}, torch {torch.__version__}",
            "images": shape,
            "shapes": shapes,
            "outputs": {key: golden_weights.rounded(value.numpy()) for key, value in outputs.items()},
        },
    )
    print(name, {key: value.std(0).mean().item() for key, value in outputs.items()})


def store_gradients(name):
    """Of the mean of squares of the logits, in training, in float64: each parameter's gradient, as its projection on a
    seeded direction and its norm. For the first images that leave no ReLU's input near a kink: see `MARGIN`."""
    model, shapes, _ = build(name, beta=BETA)
    model.train().double()
    distances = []

    def measure(_, inputs):
        distances.append(inputs[0].abs().min().item())

    for part in model.modules():
        if isinstance(part, torch.nn.ReLU):
            part.register_forward_pre_hook(measure)
    shape = [4, 64, 64, 3]
    for number in itertools.count():
        distances.clear()
        logits = model(as_tensor(golden_weights.images(shape, number)).double())
        if min(distances) > MARGIN:
            break
    print(name, "images", number, "distance", min(distances))
    logits.square().mean().backward()
    gradients = {}
    for key, parameter in model.named_parameters():
        along = torch.from_numpy(golden_weights.direction(key, tuple(parameter.shape)))
        gradients[key] = golden_weights.rounded([(parameter.grad * along).sum(), parameter.grad.norm()])
    golden_weights.save(
        golden_weights.FIXTURES / "torchvision" / f"{name}_gradients.json.gz",
        {
            "source": f"torchvision {torchvision.__version__}, torch {torch.__version__}, float64",
            "images": shape,
            "number": number,
            "beta": BETA,
            "shapes": shapes,
            "outputs": {"logits": golden_weights.rounded(logits.detach().numpy())},
            "gradients": gradients,
        },
    )


if __name__ == "__main__":
    torch.manual_seed(0)
    for chosen in sys.argv[1:] or NETWORKS:
        store_outputs(chosen)
        if chosen in GRADIENTS:
            store_gradients(chosen)
