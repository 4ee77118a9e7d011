"""What is told of an exported file."""

import dataclasses
from typing import Literal

from keras_blocks.deploy.quantizing import QuantizedLayer
from keras_blocks.look.table import lined

Format = Literal["saved_model", "onnx", "litert", "openvino", "torch"]

Precision = Literal["float32", "int8"]


@dataclasses.dataclass(frozen=True)
class Exported:
    """An exported file, and how far its outputs are from the model's.

    Args:
        path: of the file, or of the folder of a SavedModel.
        format: which it has.
        runtime: what ran it, with its version.
        difference: the largest one of any output, as a share of that output's largest value.
        outputs: the outputs' names in the order in which the file has them; "" for one without a name.
        labels: the classes' names, where the model has them.
        in_own_precision: the difference in the precision that the runtime takes by itself, where that is another one:
            OpenVINO takes bfloat16 where the processor has it.
        precision: "float32" or "int8".
        layers: of a file in int8, the layers with weights, each with its precision, error and, but for LiteRT, time.
        drop: of a file in int8, how much lower its accuracy on `validation_data` is, as a share; `None` without.

    Example:

    >>> print(Exported("net.onnx", "onnx", "onnxruntime 1.23.2", 1.2e-07, outputs=("predictions",)))
    net.onnx: onnx, 1.2e-07 from the model's outputs in onnxruntime 1.23.2
    """

    path: str
    format: Format
    runtime: str
    difference: float
    outputs: tuple[str, ...]
    labels: tuple[str, ...] | None = None
    in_own_precision: float | None = None
    precision: Precision = "float32"
    layers: tuple[QuantizedLayer, ...] = ()
    drop: float | None = None

    def __str__(self) -> str:
        own = "" if self.in_own_precision is None else f"; {self.in_own_precision:.1e} in its own precision"
        said = f"{self.path}: {self.format}, {self.difference:.1e} from the model's outputs in {self.runtime}{own}"
        if self.precision == "int8":
            done = sum(layer.precision == "int8" for layer in self.layers)
            said += f"; int8 in {done} of {len(self.layers)} layers"
            said += "" if self.drop is None else f", accuracy lower by {100 * self.drop:.2f} points"
        return said

    def table(self) -> str:
        """The layers of a file in int8, a line for each: precision, error, and milliseconds where they are known."""
        rows = [
            (
                layer.name,
                layer.precision,
                f"{100 * layer.error:.2f} %",
                "" if layer.seconds is None else f"{1e3 * layer.seconds:.3f}",
            )
            for layer in self.layers
        ]
        known = [layer.seconds for layer in self.layers if layer.seconds is not None]
        total = ("total", "", "", f"{1e3 * sum(known):.3f}" if known else "")
        return "\n".join(lined(("layer", "precision", "error", "ms"), rows, total))
