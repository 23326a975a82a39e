"""OpenVINO: a compiled model with the latency hint, in float32 whatever the processor offers."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino

from cases import Arguments, Case
from contenders import Contender
from onnx_graphs import graphs


class OpenVino:
    """Fresh outputs: the compiled model called, which copies its result, or a new array bound
    before each inference; whichever is quicker. Reused ones: input and output bound once.
    """

    name = "openvino"
    version = openvino.__version__.split("-")[0]

    def __init__(self) -> None:
        self._core = openvino.Core()
        self._threads = 1

    def use_threads(self, n: int) -> None:
        self._threads = n

    def contenders(self, case: Case, arguments: Arguments, reuse: bool) -> list[Contender]:
        graph = graphs(case, arguments)[0]
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": self._threads,
            "INFERENCE_PRECISION_HINT": "f32",
        }
        model = self._core.compile_model(self._core.read_model(graph.model()), "CPU", settings)
        request = model.create_infer_request()
        for index, array in enumerate(graph.inputs.values()):
            request.set_input_tensor(index, openvino.Tensor(array, shared_memory=True))
        out = graph.out
        request.set_output_tensor(openvino.Tensor(out, shared_memory=True))
        names: dict[str, Any] = {"start": request.start_async, "wait": request.wait}
        if reuse:
            bound = Contender("(start(), wait())", {**names, "keep": graph}, lambda _: out, "bound")
            return [bound]
        inputs = list(graph.inputs.values())
        x: Any = inputs[0] if len(inputs) == 1 else inputs
        called = Contender("f(x)", {"f": model, "x": x}, lambda r: r[0], "compiled model called")
        infer = _fresh(request, out.shape)
        bound = Contender("f()", {"f": infer, "keep": graph}, np.asarray, "new output bound")
        return [called, bound]


def _fresh(request: Any, shape: tuple[int, ...]) -> Any:
    empty, tensor, bind = np.empty, openvino.Tensor, request.set_output_tensor
    start, wait, float32 = request.start_async, request.wait, np.float32

    def infer() -> np.ndarray:
        y = empty(shape, float32)
        bind(tensor(y, shared_memory=True))
        start()
        wait()
        return y

    return infer
