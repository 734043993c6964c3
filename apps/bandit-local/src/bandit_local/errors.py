"""What may go wrong on one machine, said in one sentence to the person at the terminal."""


class LocalError(RuntimeError):
    """The job cannot go on; the message says why and what to do, and no traceback is worth showing."""


def local_error(error: BaseException) -> LocalError | None:
    """Return the first error in ``error``, which may be a group, that can be said in one sentence; None without one."""
    from bandit_sdk import BanditError  # imported here because only a failure needs it

    if isinstance(error, LocalError):
        return error
    if isinstance(error, BanditError):
        return LocalError(f"The service did not do what was asked: {error}")
    if isinstance(error, OSError) and error.filename is not None:
        return LocalError(f"{error.filename} cannot be used ({error.strerror}); --data names another folder.")
    if isinstance(error, BaseExceptionGroup):
        return next((known for inner in error.exceptions if (known := local_error(inner))), None)
    return None
