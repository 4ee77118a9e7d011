"""Small datasets of images with boxes, in files of both formats."""

import json

import numpy as np
from PIL import Image

SIZE = 40, 60
"""Height and width of the images."""


def save_image(path, size=SIZE, boxes=()):
    """A grey image with a white rectangle for each box."""
    pixels = np.full((*size, 3), 60, "uint8")
    for x1, y1, x2, y2 in boxes:
        pixels[int(y1) : int(y2), int(x1) : int(x2)] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def xml_object(box, name="cat", **more):
    sides = "".join(f"<{key}>{side}</{key}>" for key, side in zip(("xmin", "ymin", "xmax", "ymax"), box))
    flags = "".join(f"<{key}>{value}</{key}>" for key, value in more.items())
    return f"<object><name>{name}</name>{flags}<bndbox>{sides}</bndbox></object>"


def xml(*objects, size=SIZE):
    height, width = size
    return f"<annotation><size><width>{width}</width><height>{height}</height></size>{''.join(objects)}</annotation>"


def write_voc(folder, texts, splits=None):
    """A folder of VOC: name -> XML, and name of a split -> its text."""
    (folder / "Annotations").mkdir(parents=True)
    for name, text in texts.items():
        save_image(folder / "JPEGImages" / f"{name}.png")
        data = text if isinstance(text, bytes) else text.encode()
        (folder / "Annotations" / f"{name}.xml").write_bytes(data)
    sets = folder / "ImageSets" / "Main"
    sets.mkdir(parents=True)
    for name, text in (splits or {"train": "\n".join(texts)}).items():
        (sets / f"{name}.txt").write_text(text)
    return folder


def coco_contents(boxes_of_image=(((10, 8, 20, 16),),), **more):
    """What a COCO file holds, for tuples of (x, y, width, height) of each image; its ids have gaps and no order."""
    images = [
        {"id": 100 - 3 * i, "file_name": f"{i}.png", "height": SIZE[0], "width": SIZE[1]}
        for i in range(len(boxes_of_image))
    ]
    annotations = [
        {
            "id": 7 * i + j + 1,  # pycocotools takes 0 for "not found"
            "image_id": image["id"],
            "category_id": (9, 4)[j % 2],
            "bbox": list(box),
            "iscrowd": 0,
            "area": 50.0,
        }
        for i, (image, boxes) in enumerate(zip(images, boxes_of_image))
        for j, box in enumerate(boxes)
    ]
    categories = [{"id": 9, "name": "dog"}, {"id": 4, "name": "cat"}]
    return {"images": images, "annotations": annotations, "categories": categories, **more}


def write_coco(folder, contents):
    """(path of the JSON, folder of images)."""
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    for image in contents.get("images", []) if isinstance(contents, dict) else []:
        name = image.get("file_name") if isinstance(image, dict) else None
        if isinstance(name, str) and name.endswith(".png") and not set(name) & {"/", "\0"}:
            save_image(images / name)
    path = folder / "instances.json"
    path.write_text(contents if isinstance(contents, str) else json.dumps(contents))
    return path, images
