"""Lets threadpoolctl see forwardpass's threads and limit them."""

from __future__ import annotations

from functools import cache


@cache  # the second call does nothing
def threadpoolctl_register() -> None:
    """Tell threadpoolctl about forwardpass, so that `threadpool_limits` limits its threads too.

    After this `threadpool_info()` has an entry whose `user_api` is "forwardpass", and
    `threadpool_limits(n)` limits forwardpass with the rest, or alone with `user_api="forwardpass"`.
    A limit holds for the calling thread and for both thread backends; of `threads(n)` and limits
    the innermost wins. A number below 1 counts as 1, as in libgomp. To limit the calls of all
    threads use `set_num_threads`. `user_api="openmp"` changes nothing here: forwardpass never asks
    OpenMP how many threads to use.

    `import forwardpass` does this itself where threadpoolctl is already imported. Call it where
    threadpoolctl comes later, before making a `ThreadpoolController`, which lists libraries once.
    Raises ImportError where threadpoolctl is missing or older than 3.3.

    >>> import forwardpass as fp, threadpoolctl
    >>> fp.threadpoolctl_register()
    >>> with threadpoolctl.threadpool_limits(1):
    ...     fp.get_num_threads()
    1
    """
    from threadpoolctl import LibController, OpenMPController, register

    if not hasattr(OpenMPController, "check_symbols"):
        raise ImportError("forwardpass needs threadpoolctl 3.3 or newer")

    class ForwardpassController(LibController):
        user_api = "forwardpass"
        internal_api = "forwardpass"
        filename_prefixes = ("_core",)
        # Many projects call their extension _core: only ours has these symbols.
        check_symbols = ("forwardpass_get_num_threads", "forwardpass_limit_num_threads")

        def get_num_threads(self) -> int:
            return int(self.dynlib.forwardpass_get_num_threads())

        def set_num_threads(self, num_threads: int) -> None:
            self.dynlib.forwardpass_limit_num_threads(num_threads)

        def get_version(self) -> str:
            from forwardpass import __version__

            return __version__

    register(ForwardpassController)
