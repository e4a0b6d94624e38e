"""Trees in ONNX graphs: the operator that an exporter leaves becomes `TreeEnsembleRegressor`."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from pawl.models.trees import OPERATOR

_ML, _ML_VERSION = "ai.onnx.ml", 3
_LEAF, _BRANCH = "LEAF", "BRANCH_LEQ"


def with_trees(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a graph in which trees are the operator that ONNX has for them.

    Its arrays move from constants to attributes. A graph without trees is returned as it is.
    """
    domain, name = OPERATOR.split("::")
    found = [n for n in model.graph.node if (n.domain, n.op_type) == (domain, name)]
    if not found:
        return model
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in found:
        x, *arrays = node.input
        nodes, thresholds, values, roots = (numpy_helper.to_array(constants[a]) for a in arrays)
        made = _operator(x, node.output[0], nodes, thresholds, values, roots)
        made.name = node.name
        node.CopyFrom(made)
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    others = [opset for opset in model.opset_import if opset.domain != domain]
    del model.opset_import[:]
    model.opset_import.extend([*others, helper.make_opsetid(_ML, _ML_VERSION)])
    return model


def _operator(
    x: str,
    output: str,
    nodes: np.ndarray,
    thresholds: np.ndarray,
    values: np.ndarray,
    roots: np.ndarray,
) -> onnx.NodeProto:
    """Returns the node; arrays as in `pawl.models.trees.Trees`."""
    sizes = np.diff([*roots, len(nodes)])
    tree = np.repeat(np.arange(len(roots)), sizes)
    start = np.repeat(roots, sizes)
    number = np.arange(len(nodes)) - start
    is_leaf = np.isinf(thresholds)
    left = np.where(is_leaf, 0, nodes[:, 1] - start)
    leaves = values[nodes[is_leaf, 2]]
    told = leaves != 0  # a leaf of boosted classes says something of one of them
    told[:, 0] |= ~told.any(1)
    leaf, target = told.nonzero()
    return helper.make_node(
        "TreeEnsembleRegressor",
        [x],
        [output],
        domain=_ML,
        nodes_treeids=tree.tolist(),
        nodes_nodeids=number.tolist(),
        nodes_featureids=nodes[:, 0].tolist(),
        nodes_values=np.where(is_leaf, 0.0, thresholds).tolist(),
        nodes_modes=np.where(is_leaf, _LEAF, _BRANCH).tolist(),
        nodes_truenodeids=left.tolist(),
        nodes_falsenodeids=np.where(is_leaf, 0, left + 1).tolist(),
        target_treeids=tree[is_leaf][leaf].tolist(),
        target_nodeids=number[is_leaf][leaf].tolist(),
        target_ids=target.tolist(),
        target_weights=leaves[leaf, target].tolist(),
        n_targets=values.shape[1],
    )
