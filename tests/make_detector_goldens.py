"""Stores what torchvision's Faster R-CNN gives for seeded weights in tests/fixtures/torchvision.

Run by hand where torchvision is installed, in an environment of its own:

    pip install torch==2.14.1 torchvision==0.29.1
    python tests/make_detector_goldens.py          # or `... given`, for Fast R-CNN's alone
"""

import sys

import golden_weights
import numpy as np
import torch
import torchvision
from torchvision.models.detection import FasterRCNN, roi_heads, rpn
from torchvision.models.detection._utils import overwrite_eps
from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.ops.misc import FrozenBatchNorm2d

CLASSES = 5
"""With the background."""

# name of the golden: ((backbone, normalization, its epsilon, image's height and width, canvas), gains of the weights,
# with which boxes stay in the image and scores are not all 0 or 1)
DETECTORS = {
    "faster_rcnn_resnet18_fpn_96x128": (
        ("resnet18", torch.nn.BatchNorm2d, 1e-5, (96, 128), (96, 128)),
        {".bn2.weight": 0.3, "bbox_pred": 0.1, "cls_": 0.1},
    ),
    "faster_rcnn_resnet50_fpn_100x150": (
        ("resnet50", FrozenBatchNorm2d, 0.0, (100, 150), (128, 192)),
        {".bn3.weight": 0.2, "bbox_pred": 0.1, "cls_": 0.1},
    ),
    "faster_rcnn_squeezenet_128x160": (
        ("squeezenet1_1", None, None, (128, 160), (256, 320)),
        {"bbox_pred": 0.3},
    ),
}


def network(backbone, norm, epsilon, canvas):
    options = {
        "min_size": canvas[0],
        "max_size": canvas[1],
        "box_score_thresh": 0.2,
        "rpn_pre_nms_top_n_test": 200,
        "rpn_post_nms_top_n_test": 100,
        "rpn_pre_nms_top_n_train": 200,
        "rpn_post_nms_top_n_train": 100,
        # All anchors and all regions, so that nothing is drawn at random.
        "rpn_batch_size_per_image": 10**6,
        "box_batch_size_per_image": 10**6,
    }
    make = getattr(torchvision.models, backbone)
    if norm is not None:
        body = make(weights=None, norm_layer=norm)
        model = FasterRCNN(_resnet_fpn_extractor(body, 5), CLASSES, **options)
        if epsilon != 1e-5:
            overwrite_eps(model, epsilon)
    else:
        body = make(weights=None).features
        body.out_channels = 512
        anchors = rpn.AnchorGenerator(((32, 64, 128),), ((0.5, 1.0, 2.0),))
        pool = torchvision.ops.MultiScaleRoIAlign(["0"], 7, 2)
        model = FasterRCNN(body, CLASSES, rpn_anchor_generator=anchors, box_roi_pool=pool, **options)
    return model.eval()


BOXES = [[[0.0, 25.0, 50.0, 75.0], [50.0, 25.0, 100.0, 75.0], [25.0, 50.0, 50.0, 75.0]], [[25.0, 0.0, 75.0, 75.0]]]
LABELS = [[1, 3, 4], [2]]
"""Of two images; with the background, 0. Scaled by 1.28 the sides are whole, too: which anchors overlap an object most,
several by as much, does not hang on rounding."""

GRADIENTS = (
    "backbone.body.layer4.1.conv2.weight",
    "backbone.fpn.layer_blocks.0.0.weight",
    "backbone.fpn.inner_blocks.3.0.bias",
    "rpn.head.conv.0.0.weight",
    "rpn.head.bbox_pred.weight",
    "roi_heads.box_head.fc6.weight",
    "roi_heads.box_predictor.bbox_pred.bias",
)


def slope(name, gradient):
    """A gradient along a direction, and its norm."""
    direction = torch.tensor(golden_weights.direction(name, gradient.shape))
    return [(gradient * direction).sum().item(), gradient.norm().item()]


def training(model, size):
    """The four losses, and gradients of their sum along a direction, with normalization as in inference."""
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    images = golden_weights.uniform("images to train detectors", (2, *size, 3), 0, 1)
    truth = [
        {"boxes": torch.tensor(boxes).double(), "labels": torch.tensor(labels)} for boxes, labels in zip(BOXES, LABELS)
    ]
    losses = model(list(torch.tensor(images).double().permute(0, 3, 1, 2)), truth)
    sum(losses.values()).backward()
    parameters = dict(model.named_parameters())
    slopes = {name: slope(name, parameters[name].grad) for name in GRADIENTS if name in parameters}
    return {
        "boxes": BOXES,
        "labels": LABELS,
        "slopes": slopes,
        "losses": {name: loss.item() for name, loss in losses.items()},
    }


def golden(arguments, gains):
    backbone, norm, epsilon, size, canvas = arguments
    model = network(backbone, norm, epsilon, canvas)
    shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
    arrays = golden_weights.weights(shapes, gains=gains)
    model.load_state_dict({name: torch.tensor(value) for name, value in arrays.items()})
    model.double()  # so that all differences are ours
    # From 0 to 1, as torchvision's detectors take images.
    images = golden_weights.uniform("images of detectors", (1, *size, 3), 0, 1)
    seen = {}
    model.rpn.register_forward_hook(lambda module, inputs, outputs: seen.update(proposals=outputs[0]))
    with torch.no_grad():
        found = model(list(torch.tensor(images).double().permute(0, 3, 1, 2)))
    detections = {
        "proposals": golden_weights.rounded(seen["proposals"][0].numpy()),
        **{name: golden_weights.rounded(value.numpy()) for name, value in found[0].items()},
    }
    return {
        "shapes": shapes,
        "gains": gains,
        "images": [1, *size, 3],
        "canvas": canvas,
        "training": training(model, size),
        **detections,
    }


# name of the golden: (pooling of regions, a module of features and proposals)
GIVEN = {
    "fast_rcnn_squeezenet_pool_96x128": lambda maps, boxes: torchvision.ops.roi_pool(maps, boxes, 3, 1 / 16),
    "fast_rcnn_squeezenet_align_96x128": lambda maps, boxes: torchvision.ops.roi_align(maps, boxes, 3, 1 / 16, 2),
}

PROPOSALS = 24


class GivenRegions(torch.nn.Module):
    """torchvision's `RoIHeads` on regions that are given: Fast R-CNN."""

    def __init__(self, pool):
        super().__init__()
        self.backbone = torchvision.models.squeezenet1_1(weights=None).features
        self.roi_heads = roi_heads.RoIHeads(
            lambda maps, boxes, sizes: pool(maps["0"], boxes),
            TwoMLPHead(512 * 3 * 3, 32),
            FastRCNNPredictor(32, CLASSES),
            0.5,
            0.5,
            10**6,  # all regions
            0.25,
            None,
            0.2,
            0.3,
            100,
        )

    def forward(self, images, proposals, targets=None):
        sizes = [tuple(images.shape[2:])] * len(images)
        return self.roi_heads({"0": self.backbone(images)}, proposals, sizes, targets)


def given(pool, size=(96, 128)):
    """Detections and losses of regions that are given."""
    model = GivenRegions(pool).eval()
    gains = {"bbox_pred": 0.3}
    shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
    arrays = golden_weights.weights(shapes, gains=gains)
    model.load_state_dict({name: torch.tensor(value) for name, value in arrays.items()})
    model.double()
    images = golden_weights.uniform("images of Fast R-CNN", (2, *size, 3), 0, 1)
    corners = golden_weights.uniform("corners of proposals", (2, PROPOSALS, 2), 0, 60)
    sides = golden_weights.uniform("sides of proposals", (2, PROPOSALS, 2), 8, 36)
    boxes = torch.tensor(np.concatenate([corners, corners + sides], axis=-1)).double()
    proposals = [boxes[0], boxes[1]]
    tensors = torch.tensor(images).double().permute(0, 3, 1, 2)
    with torch.no_grad():
        found, _ = model(tensors, proposals)
    truth = [
        {"boxes": torch.tensor(some).double(), "labels": torch.tensor(labels)} for some, labels in zip(BOXES, LABELS)
    ]
    model.roi_heads.train()
    with torch.no_grad():
        _, losses = model(tensors, proposals, truth)
    return {
        "shapes": shapes,
        "gains": gains,
        "images": [2, *size, 3],
        "proposals": PROPOSALS,
        "boxes": BOXES,
        "labels": LABELS,
        "losses": {name: loss.item() for name, loss in losses.items()},
        "found": [{name: golden_weights.rounded(value.numpy()) for name, value in one.items()} for one in found],
    }


if __name__ == "__main__":
    for name, pool in GIVEN.items():
        content = given(pool)
        golden_weights.save(golden_weights.FIXTURES / "torchvision" / f"{name}.json.gz", content)
        print(name, content["losses"], [len(one["scores"]) for one in content["found"]], content["found"][0])
    if sys.argv[1:] == ["given"]:
        sys.exit()
    for name, arguments in DETECTORS.items():
        content = golden(*arguments)
        golden_weights.save(golden_weights.FIXTURES / "torchvision" / f"{name}.json.gz", content)
        print(name, content["training"])
        print(name, len(content["proposals"]), "proposals", len(content["boxes"]), "detections", content["scores"][:4])
