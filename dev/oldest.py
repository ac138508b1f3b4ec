"""stub"""


def is_installed() -> bool:
    return False


def can_install() -> bool:
    return False
