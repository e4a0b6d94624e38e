"""A step as one compiled graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from pawl.errors import TrialError

# The gradients' concatenation is written once and then read in long rows, in place of branches on
# where each weight comes from.
# Random numbers are hashes that read each intermediate value twice: where long expressions are not
# stored, the compiler expands them anew for each reading, for minutes.
_OPTIONS: dict[str, str | int | bool | Callable[..., Any]] = {
    "max_pointwise_cat_inputs": 0,
    "realize_opcount_threshold": 16,
    "size_asserts": False,  # they take a twentieth of a small step; `bind` looks once for many
}


class CompiledStep:
    """A function of nested dicts of tensors that is traced and compiled at its first call.

    The gradients are inside the trace, so that the compiler sees forward, backward and update as
    one graph and writes each intermediate result once. Shapes are fixed by the first call; the
    graph serves every later call with the same shapes.

    Args:
        function: What to compile: `(fixed, changing)`; it may change the tensors in place.
        backend: `inductor`, or `eager` to run the traced graph operation by operation.
    """

    def __init__(self, function: Callable[[Any, Any], None], backend: str) -> None:
        self._function = function
        self._backend = backend
        self._compiled: Callable[..., object] | None = None
        self._layout: list[tuple[Any, ...]] = []

    @property
    def ready(self) -> bool:
        """Whether it has been compiled."""
        return self._compiled is not None

    def bind(self, fixed: Any, ahead: Any) -> Callable[[int], None]:
        """Returns what takes a step, given its number below `K`.

        Args:
            fixed: Tensors that stay the same objects over many steps.
            ahead: What each step has of its own, `[K, ...]`.

        Raises:
            TrialError: At the first call, if the function draws random numbers other than by keys.
        """
        leaves, spec = pytree.tree_flatten(fixed)
        stacked, other = pytree.tree_flatten(ahead)
        changing = list(zip(*(x.unbind() for x in stacked), strict=True))
        layout = [(x.shape, x.stride(), x.dtype) for x in (*leaves, *changing[0])]
        assert layout == self._layout or self._compiled is None

        def run(k: int) -> None:
            if self._compiled is None:
                self._compiled = self._compile(leaves, spec, list(changing[k]), other)
                self._layout = layout
            self._compiled(*leaves, *changing[k])

        return run

    def _compile(
        self,
        leaves: list[Tensor],
        spec: pytree.TreeSpec,
        more: list[Tensor],
        other: pytree.TreeSpec,
    ) -> Callable[..., object]:
        def flat(*given: Tensor) -> tuple[()]:
            fixed = pytree.tree_unflatten(list(given[: len(leaves)]), spec)
            self._function(fixed, pytree.tree_unflatten(list(given[len(leaves) :]), other))
            return ()

        arguments: list[Any] = [*leaves, *more]
        # Fake tensors: tracing computes nothing, and code that depends on values raises.
        graph = make_fx(flat, tracing_mode="fake", _allow_non_fake_inputs=True)(*arguments)
        if any(_draws(node) for node in graph.graph.nodes):
            # They would come out differently when compiled.
            raise TrialError("the model draws random numbers of its own and cannot be compiled")
        _transpose_products(graph)
        _call_kernels(graph)
        if self._backend == "eager":
            return graph
        # Without `torch.compile` around it: its guards would be checked at every step.
        compiled: Callable[..., object] = torch._inductor.compile(
            graph, arguments, options=_OPTIONS
        )
        return compiled


def _draws(node: fx.Node) -> bool:
    """Tells whether a call draws random numbers; attention is marked as if it always did."""
    target = node.target
    if not isinstance(target, torch._ops.OpOverload):
        return False
    if torch.Tag.nondeterministic_seeded not in target.tags:
        return False
    names = [argument.name for argument in target._schema.arguments]
    given = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
    return bool(given.get("dropout_p", 0.0) if "dropout_p" in names else True)


def _transpose_products(graph: fx.GraphModule) -> None:
    """Turns `(a @ b)^T` into `b^T @ a^T`, which needs no copy where the transposed one is stored.

    Gradients of linear layers arrive transposed when a batched product replaces them.
    """
    aten = torch.ops.aten
    for node in list(graph.graph.nodes):
        if node.target is not aten.transpose.int or set(node.args[1:]) not in ({1, 2}, {-1, -2}):
            continue
        product = node.args[0]
        while product.target in _VIEWS and _shape(product) == _shape(product.args[0]):
            product = product.args[0]
        if product.target is not aten.bmm.default:
            continue
        with graph.graph.inserting_before(node):
            swapped = [
                graph.graph.call_function(aten.transpose.int, (factor, 1, 2))
                for factor in reversed(product.args)
            ]
            node.replace_all_uses_with(
                graph.graph.call_function(aten.bmm.default, (swapped[0], swapped[1]))
            )
    graph.graph.eliminate_dead_code()
    graph.recompile()


def _call_kernels(graph: fx.GraphModule) -> None:
    """Replaces what the compiler's code is slow at: rows of embedding tables, and `isnan`.

    It would work out the place of each number of a row anew, and test the numbers one by one.
    """
    aten = torch.ops.aten
    for node in graph.graph.nodes:
        if node.target is aten.isnan.default:
            node.target, node.args = aten.ne.Tensor, (node.args[0], node.args[0])
        elif node.target is aten.embedding.default and not node.meta["val"].is_cuda:
            table, index = node.args[:2]
            # The kernel copies a table that lies in a wider matrix faster, too.
            while table.target in (*_VIEWS, aten.clone.default) and (
                _shape(table)[-1] == _shape(table.args[0])[-1]
                and _shape(table).numel() == _shape(table.args[0]).numel()
            ):
                table = table.args[0]
            node.target, node.args = torch.ops.pawl.embedding.default, (table, index)
            node.kwargs = {}
    graph.graph.eliminate_dead_code()
    graph.recompile()


def _embedding(table: Tensor, index: Tensor) -> Tensor:
    """Returns rows of a table `[..., D]`, whose leading axes count as one."""
    return torch.embedding(table.reshape(-1, table.shape[-1]), index)


# What the compiler does not know it calls as it is.
torch.library.define("pawl::embedding", "(Tensor table, Tensor index) -> Tensor")
torch.library.impl("pawl::embedding", "default", _embedding)
torch.library.register_fake("pawl::embedding", _embedding)

_VIEWS = (torch.ops.aten.view.default, torch.ops.aten._unsafe_view.default)


def _shape(node: fx.Node) -> torch.Size:
    shape: torch.Size = node.meta["val"].shape
    return shape
