"""The errors that stop a benchmark."""


class BenchmarkError(Exception):
    """The benchmark can't go on; the message says why."""


class BaselineError(BenchmarkError):
    """The baseline's commit can't be measured."""


class StartFailed(BenchmarkError):
    """A service did not start."""


class LoadFailed(BenchmarkError):
    """A request failed or had the wrong effect, so the numbers would mean nothing."""
