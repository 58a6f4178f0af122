"""The guard against mass deletion: a vanished mount must not empty the index."""

HOLD_DOCUMENTS = 100
HOLD_SHARE = 0.25


def root_hold(*, is_reachable: bool, files: int, left_out: int, recorded: int, device_changed: bool) -> str:
    """Why nothing that a source lacks may be deleted at all; "" when deletions can be believed.

    `left_out` are files and folders in it that the rules do not take.
    """
    if not recorded:
        return ""
    if not is_reachable:
        return "its folder can't be reached"
    if not files:
        return "its folder has no file that the rules take" if left_out else "its folder is empty"
    if device_changed:
        return "its folder is on another device than before"
    return ""


def mass_hold(*, deleted: int, recorded: int) -> str:
    """Why this many deletions of one source wait for consent; "" when they may go ahead."""
    if deleted > max(HOLD_DOCUMENTS, HOLD_SHARE * recorded):
        return f"{deleted} of its {recorded} documents are gone"
    return ""
