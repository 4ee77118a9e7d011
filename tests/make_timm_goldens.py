"""Stores timm's outputs for seeded weights in tests/fixtures/timm.

Run by hand where timm is installed; with Debian's python3-torchvision, for instance:

    python3.11 -m pip install --no-deps --target /tmp/timm timm huggingface_hub safetensors pyyaml ...
    PYTHONPATH=/tmp/timm /usr/bin/python3 tests/make_timm_goldens.py [name ...]
"""

import sys

import golden_weights
import timm
import torch

# Not among timm's variants, but made of its parts.
MADE_OF = {
    "cbamresnet18": ("resnet18", {"block_args": {"attn_layer": "cbam"}}),
    "ecaresnet18d": ("resnet18d", {"block_args": {"attn_layer": "eca"}}),
}

# name: pixels. VGG's head is no convolution over several places at 224 only; 97 is odd at every level.
NETWORKS = {
    "resnetv2_18": 97,
    "resnetv2_34": 97,
    "resnetv2_50": 97,
    "vgg11": 224,
    "resnet26": 97,
    "seresnet50": 97,
    "seresnext101_64x4d": 97,
    "seresnext101_32x8d": 97,
    "legacy_senet154": 97,
    **dict.fromkeys(["resnet18d", "resnet34d", "resnet50d", "resnet101d", "resnet152d"], 97),
    **dict.fromkeys(["seresnext26d_32x4d", "resnext50d_32x4d", "ecaresnet50d", *MADE_OF], 97),
    **dict.fromkeys(["skresnet18", "skresnet34", "seresnet18", "seresnet34"], 97),
    **dict.fromkeys(["regnetx_002", "regnetx_032", "regnety_002", "regnety_004", "regnety_032"], 97),
    "inception_v4": 107,
    "inception_resnet_v2": 107,
    "legacy_seresnet50": 97,
    "legacy_seresnext26_32x4d": 97,
}

AGAIN = {97: (64, 96), 107: (139, 123)}
"""Height and width of a second size, by the pixels of the first: Inceptions take no smaller ones."""


def create(name, **options):
    base, more = MADE_OF.get(name, (name, {}))
    return timm.create_model(base, **more, **options)


def logits_of(model, shape):
    images = torch.from_numpy(golden_weights.images(shape).transpose(0, 3, 1, 2).copy())
    with torch.no_grad():
        return model.eval()(images).numpy()


def store(name):
    pixels = NETWORKS[name]
    parameters = sum(parameter.numel() for parameter in create(name).parameters())
    model = create(name, num_classes=10)
    shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
    arrays = golden_weights.weights(shapes)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    shape = [2, pixels, pixels, 3]
    again = [2, *AGAIN.get(pixels, shape[1:3]), 3]
    logits = logits_of(model, shape)
    outputs = {"logits": golden_weights.rounded(logits)}
    if pixels in AGAIN:
        outputs["again"] = golden_weights.rounded(logits_of(model, again))
    golden_weights.save(
        golden_weights.FIXTURES / "timm" / f"{name}.json.gz",
        {
            "source": f"timm {timm.__version__}, torch {torch.__version__}",
            "images": shape,
            "again": again,
            "shapes": shapes,
            "outputs": outputs,
            "trainable with 1000 classes": parameters,
        },
    )
    print(name, parameters, logits.std(0).mean().item(), abs(logits).max().item())


if __name__ == "__main__":
    for chosen in sys.argv[1:] or NETWORKS:
        store(chosen)
