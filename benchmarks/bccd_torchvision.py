"""torchvision's Faster R-CNN for benchmarks/bccd.py: reads arrays from a folder, trains, writes detections there."""

import pathlib
import sys
import time

import numpy as np
import torch
import torchvision
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.models.detection.rpn import AnchorGenerator

folder, classes, seed = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
given, weights = np.load(folder / "given.npz"), np.load(folder / "weights.npz")
torch.manual_seed(seed)
body = torchvision.models.squeezenet1_1(weights=None)
body.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
backbone = body.features
backbone.out_channels = 512
height, width = given["images"].shape[1:3]
model = FasterRCNN(
    backbone,
    min_size=height,
    max_size=width,
    # As the weights want images: 0 to 255 without Caffe's means.
    image_mean=[123.0 / 255, 117.0 / 255, 104.0 / 255],
    image_std=[1 / 255] * 3,
    rpn_anchor_generator=AnchorGenerator((tuple(int(size) for size in given["anchors"]),), ((0.5, 1.0, 2.0),)),
    box_roi_pool=torchvision.ops.MultiScaleRoIAlign(["0"], 7, 2),
    box_head=TwoMLPHead(512 * 49, 256),
    box_batch_size_per_image=128,
    rpn_post_nms_top_n_train=1000,
    rpn_post_nms_top_n_test=300,
    box_predictor=torchvision.models.detection.faster_rcnn.FastRCNNPredictor(256, classes + 1),
)


def tensors(images):
    return [torch.tensor(image).permute(2, 0, 1) / 255 for image in images]


optimizer = torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.9, weight_decay=5e-4)
model.train()
images, boxes, labels = given["images"], given["boxes"], given["labels"]
begun = time.monotonic()
for step, (index, flips, rate) in enumerate(zip(given["order"], given["mirrored"], given["rates"])):
    x, truth = [], []
    for i, flip in zip(index, flips):
        there = labels[i] >= 0
        image, b = images[i], boxes[i][there]
        if flip:
            image, b = image[:, ::-1].copy(), b[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + [width, 0, width, 0]
        x.append(image)
        truth.append({"boxes": torch.tensor(b).float(), "labels": torch.tensor(labels[i][there]).long() + 1})
    for group in optimizer.param_groups:
        group["lr"] = rate
    losses = model(tensors(x), truth)
    optimizer.zero_grad()
    sum(losses.values()).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
    optimizer.step()
    if step % 50 == 0:
        text = " ".join(f"{name} {loss.item():.3f}" for name, loss in losses.items())
        print(f"step {step} of {len(given['order'])}: {text}", flush=True)
trained = time.monotonic() - begun
model.eval()
most = model.roi_heads.detections_per_img
test = given["test"]
found = {
    "boxes": np.full((len(test), most, 4), -1.0, "float32"),
    "scores": np.full((len(test), most), -1.0, "float32"),
    "labels": np.full((len(test), most), -1),
    "num_detections": np.zeros(len(test), int),
}
begun = time.monotonic()
with torch.no_grad():
    for start in range(0, len(test), 2):
        for i, one in enumerate(model(tensors(test[start : start + 2])), start=start):
            count = len(one["boxes"])
            found["boxes"][i, :count] = one["boxes"]
            found["scores"][i, :count] = one["scores"]
            found["labels"][i, :count] = one["labels"] - 1
            found["num_detections"][i] = count
seconds = (time.monotonic() - begun) / len(test)
np.savez(folder / "found.npz", trained=trained, seconds=seconds, **found)
