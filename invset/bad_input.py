"""Bad input in one sentence, whoever raised it: invset, Hydra, PyTorch or the system."""

from __future__ import annotations

import errno

from invset.errors import InvsetError, first_lines, is_out_of_memory

#: Errors for which a person's disk is to blame, or the name of a folder.
_OF_THE_PERSON = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.ENAMETOOLONG)

#: What takes less memory, by command.
_SMALLER = {
    "probe": "smaller codes= and starts=, or device=cpu",
    "train network": "a smaller settings.batch_size= and another out=, or device=cpu",
    "train generator": "a smaller settings.batch_size= and another out=, or device=cpu",
    "train autoencoder": "a smaller settings.batch_size= and another out=, or device=cpu",
    "fit prior": "a smaller limit=, or device=cpu",
    "fit reference": "a smaller limit=, or device=cpu",
    "fit spectrum": "a smaller limit=",
}


def bad_input(error: BaseException, command: str) -> str | None:
    """What to tell a person, or None for a defect of ours."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from invset.config.mistakes import one_sentence

    cause: BaseException | None = error
    while cause is not None:  # Hydra wraps what a constructor raises
        if isinstance(cause, InvsetError):
            return str(cause)
        cause = cause.__cause__
    if isinstance(error, (HydraException, OmegaConfBaseException)):
        return one_sentence(error, command)
    if isinstance(error, OSError) and error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
        return f"can't look at {error.filename} ({error.strerror})"
    if is_out_of_memory(error):
        smaller = _SMALLER.get(command, "smaller K= and n=, or device=cpu")
        why = first_lines(error, 100) or type(error).__name__
        return f"there is not enough memory for that; type {smaller} ({why})"
    return None


def unwritable(error: OSError, begun: bool) -> str | None:
    """What to tell a person of a folder that can't be written, or of a cluster that isn't there;
    None for an error of a standard stream, or a defect of ours.

    Args:
        error: of the system.
        begun: whether a job has begun, which writes to more than its folder.
    """
    if isinstance(error, ConnectionError) and error.errno is None:  # Ray's
        return f"{first_lines(error)} Type: ray start --head"
    if error.filename is None or (begun and error.errno not in _OF_THE_PERSON):
        return None
    way = "hydra.run.dir=/a/folder/of/yours"
    if error.errno == errno.ENAMETOOLONG:
        way = "a shorter name, or for jobs of a sweep hydra.sweep.subdir='${hydra.job.num}'"
    return f"can't write to {error.filename} ({error.strerror}); type {way}"
