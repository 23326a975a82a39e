"""ONNX Runtime: a session for each case, its weights packed when it is made."""

from __future__ import annotations

import onnxruntime

from cases import Arguments, Case
from contenders import Contender
from onnx_graphs import Graph, graphs


class OnnxRuntime:
    """Fresh outputs: session.run. Reused ones: input and output bound once (IO binding).

    All graph optimisations; spinning is left at its default, on.
    """

    name = "onnxruntime"
    version = onnxruntime.__version__

    def __init__(self) -> None:
        self._threads = 1

    def use_threads(self, n: int) -> None:
        self._threads = n

    def contenders(self, case: Case, arguments: Arguments, reuse: bool) -> list[Contender]:
        return [self._one(graph, reuse) for graph in graphs(case, arguments)]

    def _one(self, graph: Graph, reuse: bool) -> Contender:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(
            graph.model(), options, providers=["CPUExecutionProvider"]
        )
        if not reuse:
            names = {"run": session.run, "outputs": ["y"], "feed": graph.inputs}
            return Contender("run(outputs, feed)", names, lambda r: graph.read(r[0]), graph.way)
        out, binding = graph.out, session.io_binding()
        for name, array in graph.inputs.items():
            binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        binding.bind_output("y", "cpu", 0, out.dtype, out.shape, out.ctypes.data)
        names = {"run": session.run_with_iobinding, "binding": binding, "keep": graph}
        return Contender(
            "run(binding)", names, lambda _: graph.read(out), graph.way + ", IO binding"
        )
