"""Differences the cross-check accepts. Each has a row in docs/compatibility.md."""


def accepted(java, zoetrope):
    """Is this difference between two replies one of the documented ones?"""
    return False
