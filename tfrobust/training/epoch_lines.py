"""What an epoch came to, in one line."""

from __future__ import annotations

from collections.abc import Mapping

from tfrobust.environment.durations import duration


def epoch_line(
    logs: Mapping[str, float], *, epoch: int, epochs: int, seconds: float, perturbed: bool
) -> str:
    """Return a line with what an epoch of training came to.

    Args:
        logs: as `Trainer.fit` returns them for an epoch.
        epoch: its number, from 1.
        epochs: how many there are at most.
        seconds: how long it took, validation included.
        perturbed: whether the validation images were perturbed, by an attack for example.

    Example:
        >>> epoch_line({"loss": 0.5, "accuracy": 0.75}, epoch=1, epochs=3, seconds=4.0,
        ...            perturbed=False)
        'epoch 1/3: loss 0.5, accuracy 75.0%; 4.0 s, at most 8.0 s left'
    """
    parts = [f"loss {logs['loss']:.4g}", f"accuracy {logs['accuracy']:.1%}"]
    if "val_accuracy" in logs:
        images = "perturbed validation images" if perturbed else "validation images"
        parts.append(f"{logs['val_accuracy']:.1%} on {images}")
    left = (epochs - epoch) * seconds
    remaining = f", at most {duration(left)} left" if left else ""
    return f"epoch {epoch}/{epochs}: {', '.join(parts)}; {seconds:.1f} s{remaining}"
