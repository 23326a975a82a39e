"""μOmni: a small model that reads text, sees, hears and speaks, after the Thinker-Talker design.

The components take the weights of their torch originals by name; each is one short file.

>>> import numpy as np
>>> from forwardpass.models.muomni import RVQ, Thinker
>>> thinker = Thinker(vocab=100, n_layers=2, d=32, heads=4, ff=64, use_gqa=True)
>>> thinker(np.array([[1, 5, 7]])).shape
(1, 3, 100)
>>> cache = thinker.new_cache()
>>> logits = thinker(np.array([[1, 5]]), cache=cache), thinker(np.array([[7]]), cache=cache)
>>> bool((np.concatenate(logits, 1) == thinker(np.array([[1, 5, 7]]))).all())
True
>>> RVQ().encode(np.zeros((2, 128), np.float32)).shape
(2, 2)
"""

from .audio_encoder import AudioEncoder
from .rvq import RVQ
from .sizes import breakdown
from .talker import Talker
from .thinker import Thinker
from .vision_encoder import VisionEncoder
from .vocoder import Vocoder
from .whole import MuOmni

__all__ = [
    "RVQ",
    "AudioEncoder",
    "MuOmni",
    "Talker",
    "Thinker",
    "VisionEncoder",
    "Vocoder",
    "breakdown",
]
