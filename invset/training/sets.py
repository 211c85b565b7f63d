"""Two sets of pictures, to learn from and to measure on: what has to be alike."""

from __future__ import annotations

from invset.errors import InvsetError
from invset.files.images import ImageSet


def check_classes(train: ImageSet, val: ImageSet) -> None:
    """Raise `InvsetError` for sets whose classes are not the same, or are one alone."""
    if len(train.classes) < 2:
        raise InvsetError(
            "data.train has one class, so that a network could learn nothing and its accuracy would"
            " measure nothing; give a folder of folders, one a class"
        )
    for name, some, others in (("val", val, train), ("train", train, val)):
        more = [one for one in some.classes if one not in others.classes]
        if more:
            raise InvsetError(
                f"data.{name} has the class {more[0]}, which the other set has not"
                f" ({len(more)} such); labels are folders' names, so give both sets the same"
                " folders"
            )
    if train.classes != val.classes:
        raise InvsetError(
            "both sets have the same classes in another order, and labels are numbers in it; give"
            " them one order"
        )


def check_sizes(train: ImageSet, val: ImageSet, size: int | None = None) -> None:
    """Raise `InvsetError` for pictures of other sides than `size`, or than those of the other
    set.
    """
    for name, some in (("val", val), ("train", train)):
        wanted = tuple(train.images.shape[2:]) if size is None else (size, size)
        found = tuple(some.images.shape[2:])
        if found != wanted:
            raise InvsetError(
                f"the pictures of {name} are {found[0]}x{found[1]} pixels, not"
                f" {wanted[0]}x{wanted[1]}; bring both sets to one size"
            )
