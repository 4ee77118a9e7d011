"""A page for each paper, or for papers that tell one thing: figures, variants with counts, sources, deviations."""

import ast
import dataclasses
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from catalog import ROWS
from test_ledger import LEDGER

import keras_blocks
from generator import figures
from generator.api import described
from generator.docstrings import escaped, first_sentence, listed, running, sections
from generator.names import file_of, linked
from keras_blocks.models.registry import architecture_of

ROOT = Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Paper:
    """What a page tells of."""

    title: str
    network: str | None = None
    """Name of the architecture's class."""
    blocks: tuple[str, ...] = ()
    errata: str = ""
    """The file of tests, and the heading in it, with what is easily got wrong."""


INCEPTIONS = ("InceptionBlock", "InceptionA", "InceptionB", "InceptionC", "GridReductionA", "GridReductionB")
REGIONS = "test_errata_detection.py"

PAPERS = {
    "vgg": Paper("VGG", "VGG", ("VGGGroup", "ClassifierHead"), "test_errata.py#VGG"),
    "inception": Paper(
        "GoogLeNet, BN-Inception, Inception v3",
        "Inception",
        (*INCEPTIONS, "PassThroughReduction", "AuxiliaryClassifier", "LocalResponseNormalization"),
        "test_errata_inception.py",
    ),
    "inception_v4": Paper("Inception v4, Inception-ResNet", "InceptionV4", ("InceptionModule",)),
    "resnet": Paper("ResNet", "ResNet", ("ResidualBlock", "ResNetStem", "ChannelPadding"), "test_errata.py#ResNet"),
    "densenet": Paper(
        "DenseNet", "DenseNet", ("DenseLayer", "DenseBlock", "TransitionBlock"), "test_errata.py#DenseNet"
    ),
    "squeezenet": Paper("SqueezeNet", "SqueezeNet", ("FireBlock", "CeilMaxPooling2D"), "test_errata.py#SqueezeNet"),
    "resnext": Paper("ResNeXt", "ResNeXt", ("ResNeXtBlock", "GroupedConv2D")),
    "senet": Paper("Squeeze-and-Excitation", "SENet", ("SqueezeExciteBlock",)),
    "attention": Paper(
        "ECA, CBAM, SK",
        None,
        ("EfficientChannelAttention", "ConvolutionalBlockAttention", "SelectiveKernelBlock"),
    ),
    "regnet": Paper("RegNet", "RegNet", ("RegNetBlock",)),
    "mobile": Paper("MobileNetV2 and V3, Xception", None, ("InvertedResidualBlock", "XceptionBlock")),
    "autoencoders": Paper("Autoencoders", "AutoEncoder", ("EncoderBlock", "DecoderBlock", "VariationalBottleneck")),
    "siamese": Paper("Siamese networks", "Siamese", ("PairwiseDistance",)),
    "rcnn": Paper("R-CNN", "RCNN", ("WarpRegions",), REGIONS),
    "fast_rcnn": Paper("Fast R-CNN", "FastRCNN", ("RoIPool", "RoIAlign", "BoxHead"), REGIONS),
    "faster_rcnn": Paper(
        "Faster R-CNN, feature pyramids",
        "FasterRCNN",
        ("FeaturePyramid", "AnchorGenerator", "RegionProposalNetwork", "DetectionDecoder"),
        REGIONS,
    ),
}
"""File of the page -> what it tells of, in about the order of the papers."""


def page(paper: Paper) -> str:
    """The page's Markdown."""
    parts = [f"# {paper.title}"]
    cls = getattr(keras_blocks, paper.network) if paper.network else None
    if cls is not None:
        parts += [reference(cls), _figure(paper.network), "## Variants", _variants(cls)]
        parts += ["## Metaparameters", _metaparameters(cls)]
    parts.append("## Blocks")
    parts += [_block(name) for name in paper.blocks]
    if cls is not None:
        parts += ["## Where it differs from its source", _deviations(cls)]
    if paper.errata:
        parts += [
            "## What is easily got wrong",
            "Each has a test, as one version or another of these is in circulation:",
        ]
        parts.append("\n".join(f"- {line}" for line in errata(paper.errata)))
    return linked("\n\n".join(part for part in parts if part), "..") + "\n"


def reference(thing: Any) -> str:
    """The section of the docstring that names the papers."""
    text = dict(sections(thing.__doc__)).get("Reference", "")
    return "> " + running(text).replace("\n", "\n> ") if text else ""


def _figure(name: str) -> str:
    if name not in figures.drawn():
        return ""
    return f"[![{name}](../figures/{name}.svg)](../figures/{name}.svg)\n\n{figures.alone(name)}, drawn by `draw`."


def _block(name: str) -> str:
    thing = getattr(keras_blocks, name)
    row = next((row for row in ROWS if row.name == name), None)
    parts = [f"### {name}", first_sentence(thing.__doc__), _figure(name)]
    if row is not None:
        given = ", ".join(f"{key}={value!r}" for key, value in row.counted.items())
        parts.append(
            f"On images of {row.input_shape}, `{name}({given})` gives {row.output_shape}, with "
            f"{row.trainable:,} parameters that are trained and {row.other:,} others: {escaped(row.source)}."
        )
    return "\n\n".join([*parts, reference(thing)])


def _variants(cls: Any) -> str:
    lines = [
        "| variant | parameters | multiply-adds | images | published count | source |",
        "|---|---|---|---|---|---|",
    ]
    for name, metaparameters in cls.variants.items():
        counted = _counted(name)
        size = " x ".join(map(str, metaparameters.get("input_shape", cls.default_input_shape)))
        source = cls.sources[name].replace("|", "\\|")
        lines.append(
            f"| `{name}` | {counted.params:,} | {counted.macs / 1e6:,.1f} M | {size} | {_published(name)} | {source} |"
        )
    below = "Counted by `cost`, with nothing built; the tests hold each count to its source."
    return "\n".join(lines) + f"\n\n{below}"


@functools.cache
def _counted(name: str) -> keras_blocks.Cost:
    return keras_blocks.cost(name)


def _published(name: str) -> str:
    trained, total, giga = LEDGER.get(name, (None, None, None))
    parts = [f"{trained:,} trained" if trained else "", f"{total:,} in all" if total else ""]
    parts.append(f"{giga}e9 multiply-adds" if giga else "")
    return ", ".join(part for part in parts if part)


def _metaparameters(cls: Any) -> str:
    text = dict(sections(cls.__doc__)).get("Args", "")
    given = [f"- `{name}`: `{_shown(values)}`" for name, values in cls.variants.items()]
    return "\n\n".join(
        [
            listed(text, functools.partial(described, cls)),
            f"All of it: `{cls.__name__}`. The variants':",
            "\n".join(given),
        ]
    )


def _shown(values: Any) -> str:
    text = ", ".join(f"{key}={value!r}" for key, value in values.items())
    return text.replace("`", "'") if text else "the defaults"


def _deviations(cls: Any) -> str:
    rows = [line for line in _deviation_lines() if set(_named(line.split("|")[1])) & set(cls.variants)]
    table = ["| variants | source | where they differ from it, or it from the paper |", "|---|---|---|", *rows]
    return "\n".join(table) + "\n\nWhat is so of all networks: [deviations](../../deviations.md)."


def _named(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@functools.cache
def _deviation_lines() -> list[str]:
    page = (ROOT / "docs" / "deviations.md").read_text().partition("## Each variant")[2]
    return [line for line in page.splitlines() if line.startswith("| `")]


def errata(where: str) -> list[str]:
    """Names of tests as sentences, of a file of tests or of what stands below a heading in it."""
    name, _, heading = where.partition("#")
    text = (ROOT / "tests" / name).read_text()
    if heading:
        text = re.split(r"^# -- ", text.partition(f"# -- {heading} ")[2], flags=re.MULTILINE)[0]
        text = "#" + text
    found = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    return [node.name.removeprefix("test_").replace("_", " ") for node in found if node.name.startswith("test_")]


def index() -> str:
    """All papers, and all variants by name."""
    lines = ["# Papers", "", "What each network is here: drawn, counted, and where it differs from its paper.", ""]
    lines += ["| | blocks | networks by name |", "|---|---|---|"]
    pages = dict[str, str]()
    for slug, paper in PAPERS.items():
        cls = getattr(keras_blocks, paper.network) if paper.network else None
        pages |= dict.fromkeys(cls.variants if cls else (), f"{slug}.md")
        blocks = ", ".join(f"[`{name}`](../api/{file_of(name)})" for name in paper.blocks)
        networks = ", ".join(f"`{name}`" for name in cls.variants) if cls else ""
        lines.append(f"| [{paper.title}]({slug}.md) | {blocks} | {networks} |")
    lines += ["", "## All variants", "", "| variant | class | parameters | multiply-adds |", "|---|---|---|---|"]
    for name in keras_blocks.list_models():
        counted, cls = _counted(name), architecture_of(name)
        lines.append(
            f"| [`{name}`]({pages[name]}) | [`{cls.__name__}`](../api/{file_of(cls.__name__)}) | {counted.params:,} | "
            f"{counted.macs / 1e6:,.1f} M |"
        )
    return "\n".join(lines) + "\n"


def written() -> Iterator[tuple[str, str]]:
    """(file, Markdown) of each page."""
    yield "index.md", index()
    for slug, paper in PAPERS.items():
        yield f"{slug}.md", page(paper)
