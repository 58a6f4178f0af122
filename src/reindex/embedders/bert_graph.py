"""A BERT encoder as an ONNX graph, written straight from a model's weights.

torch's own exporter takes a minute of CPU and half a gigabyte of imports for the same graph; this takes two
seconds and neither. Only plain BERT is known here (MiniLM, bge, e5, gte, LaBSE and most others): whoever
builds a graph compares its vectors with those of sentence-transformers before trusting it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from reindex.errors import ModelError

OPSET = 20  # the first with Gelu
IR_VERSION = 10  # the newest that every onnxruntime which knows that opset reads
_MASKED = np.float32(-1e9)  # added to the score of padding, which softmax then makes 0

Weights = Mapping[str, NDArray[Any]]


def bert_graph(config: Mapping[str, Any], weights: Weights) -> ModelProto:
    """The graph `(input_ids, attention_mask) -> states`: int64 of shape (texts, tokens) twice, and float32 of
    shape (texts, tokens, hidden size).

    `config` and `weights` are those of a Hugging Face model. Raises ModelError for any but plain BERT.
    """
    _check(config)
    try:
        return _Builder(config, weights).model()
    except KeyError as error:
        raise ModelError(f"its weights lack {error.args[0]}") from error


def _check(config: Mapping[str, Any]) -> None:
    """Raises ModelError for what the graph below would compute otherwise."""
    expected: dict[str, set[object]] = {
        "model_type": {"bert"},
        "hidden_act": {"gelu"},
        "position_embedding_type": {"absolute", None},
        "is_decoder": {False, None},
        "quantization_config": {None},
    }
    for name, known in expected.items():
        if config.get(name) not in known:
            raise ModelError(f"its {name} is {config.get(name)!r}")


class _Builder:
    """Collects nodes and weights. Each node's output is named after its place in the model."""

    def __init__(self, config: Mapping[str, Any], weights: Weights) -> None:
        self._config = config
        self._weights = weights
        self._prefix = "bert." if "bert.embeddings.word_embeddings.weight" in weights else ""
        self._nodes: list[NodeProto] = []
        self._constants: dict[str, TensorProto] = {}

    def model(self) -> ModelProto:
        hidden, heads = int(self._config["hidden_size"]), int(self._config["num_attention_heads"])
        self._constant("by_head", np.array([0, 0, heads, hidden // heads]))
        self._constant("joined", np.array([0, 0, hidden]))
        self._constant("scale", np.float32((hidden // heads) ** -0.5))
        self._mask()
        states = self._embeddings()
        for layer in range(int(self._config["num_hidden_layers"])):
            states = self._layer(f"encoder.layer.{layer}.", states)
        self._nodes.append(helper.make_node("Identity", [states], ["states"]))
        inputs = [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["texts", "tokens"])
            for name in ("input_ids", "attention_mask")
        ]
        output = helper.make_tensor_value_info("states", TensorProto.FLOAT, ["texts", "tokens", hidden])
        graph = helper.make_graph(self._nodes, "bert", inputs, [output], list(self._constants.values()))
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)

    def _mask(self) -> None:
        """0 for a token and a large negative number for padding, to be added to scores of attention."""
        present = self._node("Cast", "present", "attention_mask", to=TensorProto.FLOAT)
        absent = self._node("Sub", "absent", self._constant("one", np.float32(1)), present)
        large = self._node("Mul", "large", absent, self._constant("masked", _MASKED))
        self._node("Unsqueeze", "mask", large, self._constant("axes", np.array([1, 2])))

    def _embeddings(self) -> str:
        """Word + position + type: in a single text the type of every token is 0, and is added beforehand."""
        table = self._weight("embeddings.position_embeddings.weight")
        table = table + self._weight("embeddings.token_type_embeddings.weight")[0]
        words = self._constant("words", self._weight("embeddings.word_embeddings.weight"))
        found = self._node("Gather", "word", words, "input_ids")
        length = self._node("Shape", "length", "input_ids", start=1, end=2)
        first = self._constant("first", np.array([0]))
        positions = self._node("Slice", "position", self._constant("positions", table), first, length, first)
        return self._norm("embeddings.LayerNorm", self._node("Add", "embedding", found, positions))

    def _layer(self, layer: str, states: str) -> str:
        attended = self._dense(layer + "attention.output.dense", self._attention(layer, states))
        after = self._node("Add", layer + "attended", attended, states)
        states = self._norm(layer + "attention.output.LayerNorm", after)
        wide = self._dense(layer + "intermediate.dense", states)
        narrow = self._dense(layer + "output.dense", self._node("Gelu", layer + "gelu", wide))
        return self._norm(layer + "output.LayerNorm", self._node("Add", layer + "out", narrow, states))

    def _attention(self, layer: str, states: str) -> str:
        """Softmax of the scaled products of queries and keys, by head, times the values."""
        names = [f"{layer}attention.self.{part}" for part in ("query", "key", "value")]
        matrix = np.concatenate([self._weight(name + ".weight").T for name in names], axis=1)
        bias = np.concatenate([self._weight(name + ".bias") for name in names])
        parts = [layer + part for part in ("query", "key", "value")]
        product = self._product(layer + "qkv", states, matrix, bias)  # one product is quicker than three
        self._nodes.append(helper.make_node("Split", [product], parts, axis=-1, num_outputs=3))
        query, key, value = (
            self._by_head(part, order)
            for part, order in zip(parts, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]), strict=True)
        )
        scores = self._node("Mul", layer + "scaled", self._node("MatMul", layer + "qk", query, key), "scale")
        masked = self._node("Add", layer + "scores", scores, "mask")
        shares = self._node("Softmax", layer + "shares", masked, axis=-1)
        context = self._node("MatMul", layer + "context", shares, value)
        context = self._node("Transpose", layer + "context_back", context, perm=[0, 2, 1, 3])
        return self._node("Reshape", layer + "context_joined", context, "joined")

    def _by_head(self, part: str, order: list[int]) -> str:
        return self._node(
            "Transpose", part + "_t", self._node("Reshape", part + "_r", part, "by_head"), perm=order
        )

    def _dense(self, name: str, states: str) -> str:
        return self._product(name, states, self._weight(name + ".weight").T, self._weight(name + ".bias"))

    def _product(self, name: str, states: str, matrix: NDArray[Any], bias: NDArray[Any]) -> str:
        product = self._node("MatMul", name, states, self._constant(name + ".matrix", matrix))
        return self._node("Add", name + "_plus", product, self._constant(name + ".bias", bias))

    def _norm(self, name: str, states: str) -> str:
        weight = self._constant(name + ".weight", self._weight(name + ".weight"))
        bias = self._constant(name + ".bias", self._weight(name + ".bias"))
        epsilon = float(self._config["layer_norm_eps"])
        return self._node("LayerNormalization", name, states, weight, bias, axis=-1, epsilon=epsilon)

    def _weight(self, name: str) -> NDArray[np.float32]:
        return self._weights[self._prefix + name].astype(np.float32)

    def _constant(self, name: str, value: Any) -> str:
        self._constants[name] = numpy_helper.from_array(
            np.ascontiguousarray(value).reshape(np.shape(value)), name
        )
        return name

    def _node(self, operator: str, output: str, *inputs: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output
