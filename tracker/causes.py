"""The chain of causes behind an error."""


def describe(error: BaseException) -> str:
    """Return an error and its causes as one line for the log."""
    parts = [f"{type(error).__name__}: {error}"]
    while error := error.__cause__:  # type: ignore[assignment]
        parts.append(f"{type(error).__name__}: {error}")
    return " <- ".join(parts)
