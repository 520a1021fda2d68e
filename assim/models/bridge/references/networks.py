"""Networks that a drift is made of."""


def require_network(kind: str, hidden: tuple[int, ...], scale: float) -> None:
    """Refuse a network that cannot be built.

    Args:
        kind: whose it is, for the message.
        hidden: widths of its hidden layers.
        scale: of its prior.

    Raises:
        ValueError: a width or a scale that is not positive.
    """
    if not all(width >= 1 for width in hidden) or not scale > 0:
        raise ValueError(
            f"{kind} with hidden={hidden} and scale={scale} cannot be: give positive widths, as hidden=(32,), and "
            "a positive scale."
        )
