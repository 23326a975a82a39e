"""A picture through a convolutional network that a package carries, beside its own runtime.

Needs onnx, onnxruntime and the wheel of rapidocr-onnxruntime (`pip install --no-deps
rapidocr-onnxruntime==1.4.4`), of which only the file with the weights is read.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import forwardpass.nn as nn
import forwardpass.nn.functional as F
from forwardpass import load_file

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
if importlib.util.find_spec("rapidocr_onnxruntime") is None:
    pytest.skip("rapidocr-onnxruntime is not installed", allow_module_level=True)

from interop.models.text_direction import TextDirection, renamed  # noqa: E402

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def file():
    (folder,) = importlib.util.find_spec("rapidocr_onnxruntime").submodule_search_locations
    return Path(folder) / "models" / "ch_ppocr_mobile_v2.0_cls_infer.onnx"


def picture():
    """The photograph of the chapter, three widths of it, as the classifier takes a line of text."""
    grey = load_file(ROOT / "examples" / "chapter" / "pagoda.safetensors")["picture"]
    x = (grey.astype(np.float32) / 127.5 - 1)[None, None].repeat(3, axis=1)
    return {width: F.interpolate(x, (48, width), mode="bilinear") for width in (192, 100, 37)}


def network(file):
    arrays = {}
    for node in onnx.load(file).graph.node:  # this exporter keeps its weights in Constant nodes
        if node.op_type == "Constant":
            (value,) = (a.t for a in node.attribute if a.name == "value")
            arrays[node.output[0]] = onnx.numpy_helper.to_array(value)
    net = TextDirection()
    assert str(net.load_state_dict(renamed(arrays))) == "<All keys matched successfully>"
    return net


def test_a_picture_is_seen_as_its_own_runtime_sees_it(file):
    net = network(file)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    for x in picture().values():
        (expected,) = session.run(None, {"x": x})
        found = net(x)
        assert found.shape == expected.shape == (1, 2)
        assert np.abs(found - expected).max() < 5e-5
        fused = nn.utils.fuse(net, x)
        assert not any(isinstance(m, nn.BatchNorm2d) for m in fused.modules())
        assert np.abs(fused(x) - expected).max() < 5e-5
