"""The command line: `forwardpass demo`, info, bench, selftest, inspect, summary, convert, run.

Nothing else imports this file.

A command is a function from parsed options to an exit status, registered in _parser(); it imports
what it needs itself, so that `forwardpass --help` stays quick.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from forwardpass import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. 0 done, 1 failed, 2 bad usage, 130 interrupted, 141 the reader went away."""
    try:
        try:
            return _run(argv)
        finally:  # also after --help, which leaves by SystemExit
            if sys.stdout is not None:
                sys.stdout.flush()  # here, where a closed pipe or a full disk can be dealt with
    except KeyboardInterrupt:
        return 130  # 128 + SIGINT, as a shell reports it
    except BrokenPipeError:
        _drop_stdout()
        return 141  # 128 + SIGPIPE: `forwardpass demo | head` is not an error worth a message
    except OSError as error:
        _drop_stdout()
        return fail(str(error))


def fail(message: str) -> int:
    """Say on stderr what went wrong, and give the exit status of a failure."""
    print(f"forwardpass: error: {message}", file=sys.stderr)
    return 1


def _run(argv: Sequence[str] | None) -> int:
    parser = _parser()
    options = parser.parse_args(argv)
    if options.command is None:
        parser.print_help()
        return 0
    status: int = options.run(options)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="forwardpass", description="The forward pass of neural networks on NumPy arrays."
    )
    parser.add_argument("--version", action="version", version=f"forwardpass {__version__}")
    commands = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND")

    demo = commands.add_parser("demo", help="a small network reads handwritten digits")
    demo.add_argument(
        "--images", type=_count, default=5, metavar="N", help="pictures to show (default 5)"
    )
    demo.add_argument("--no-timing", action="store_true", help="leave out the comparison of speed")
    demo.add_argument("--data", metavar="FILE", help="another file from examples/digits/train.py")
    demo.set_defaults(run=_demo)

    info = commands.add_parser("info", help="versions, instruction set, threads, build")
    info.add_argument("--json", action="store_true", help="for programs")
    info.set_defaults(run=_info)

    bench = commands.add_parser("bench", help="how fast is it here? about a minute")
    bench.add_argument(
        "--threads", type=_positive, default=1, metavar="N", help="threads of everyone (default 1)"
    )
    bench.add_argument(
        "--seconds", type=float, default=45.0, metavar="S", help="timing, all in all (default 45)"
    )
    bench.set_defaults(run=_bench)

    selftest = commands.add_parser("selftest", help="are the results here those of all machines?")
    selftest.set_defaults(run=_selftest)

    inspect = commands.add_parser("inspect", help="the tensors of a weight file")
    inspect.add_argument("file", metavar="FILE", help=".safetensors, its index.json, or a folder")
    inspect.set_defaults(run=_inspect)

    summary = commands.add_parser("summary", help="settings and parameters of a model's folder")
    summary.add_argument("folder", metavar="FOLDER", help="with config.json and safetensors")
    summary.set_defaults(run=_summary)

    convert = commands.add_parser("convert", help="a torch checkpoint to safetensors; needs torch")
    convert.add_argument("model", metavar="FILE", help="a state_dict, as torch.save wrote it")
    convert.add_argument("out", metavar="OUT", help="the .safetensors file to write")
    convert.add_argument("--key", help="the entry of the checkpoint that is the state_dict")
    convert.set_defaults(run=_convert)

    _add_run(commands)
    return parser


def _add_run(commands: Any) -> None:
    run = commands.add_parser("run", help="a model from its files: text to text, or to a vector")
    run.add_argument("model", metavar="FOLDER", help="with config.json and safetensors; or a .gguf")
    given = run.add_mutually_exclusive_group(required=True)
    given.add_argument("--text", help="what it gets")
    given.add_argument("--file", metavar="FILE", help="a text a line, - for stdin; gives JSON")
    run.add_argument("--json", action="store_true", help="for programs")
    run.add_argument(
        "--tokens", type=_positive, default=128, metavar="N", help="at most so many (default 128)"
    )
    run.add_argument("--chat", action="store_true", help="the text is a message to an assistant")
    run.add_argument("--temperature", type=float, default=0.0, metavar="T", help="0: no draw")
    run.add_argument("--top-k", type=_positive, metavar="K", help="from the K likeliest")
    run.add_argument("--top-p", type=float, default=1.0, metavar="P", help="from so much of it")
    run.add_argument("--seed", type=_count, metavar="N", help="to draw the same again")
    run.add_argument("--threads", type=_positive, metavar="N", help="threads")
    run.set_defaults(run=_run_model)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 up, got {text!r}")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 up, got {text!r}")
    return int(text)


def _demo(options: argparse.Namespace) -> int:
    from forwardpass import demo

    try:
        return demo.run(options.data, images=options.images, timing=not options.no_timing)
    except demo.DataError as error:
        return fail(str(error))


def _info(options: argparse.Namespace) -> int:
    from forwardpass import info

    return info.run(as_json=options.json)


def _bench(options: argparse.Namespace) -> int:
    from forwardpass import bench

    return bench.run(options.threads, options.seconds)


def _selftest(options: argparse.Namespace) -> int:
    from forwardpass import selftest

    return selftest.run()


def _inspect(options: argparse.Namespace) -> int:
    from forwardpass.view import files, inspect_file

    try:
        return inspect_file.run(options.file)
    except files.FilesError as error:
        return fail(str(error))


def _summary(options: argparse.Namespace) -> int:
    from forwardpass.view import files, folder

    try:
        return folder.run(options.folder)
    except files.FilesError as error:
        return fail(str(error))


def _convert(options: argparse.Namespace) -> int:
    from forwardpass import convert

    try:
        return convert.run(options.model, options.out, options.key)
    except (convert.ConvertError, TypeError) as error:
        return fail(str(error))


def _run_model(options: argparse.Namespace) -> int:
    from forwardpass.models import run

    try:
        return run.run(options)
    except (ImportError, NotImplementedError, RuntimeError, ValueError) as error:
        return fail(str(error))


def _drop_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's own flush at exit stays silent."""
    try:
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, sys.stdout.fileno())
        os.close(sink)
    except (AttributeError, OSError, ValueError):
        pass  # stdout is not a file (a test's capture, a GUI): nothing to silence
