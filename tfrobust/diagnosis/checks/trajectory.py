"""Did the attack do all it can? Images that it dropped, steps and restarts that break more."""

from __future__ import annotations

import numpy as np

from tfrobust.attack import Attack
from tfrobust.diagnosis.bench import Bench
from tfrobust.diagnosis.checks.check import Call, Check, Result, fine, not_applicable, percent
from tfrobust.diagnosis.victims import Recorder
from tfrobust.options import has_option
from tfrobust.registry import name_of, signature
from tfrobust.results.findings import Verdict

_DROPPED = 0.01  # of the images
_RISING = 0.05  # of the whole rise, in the last tenth of the calls
_LONGER = 4  # times the steps
_RESTARTS = 5


def _silent(bench: Bench) -> Result:
    if bench.classifier.stochastic:
        return not_applicable("answers are random: what one draw misclassifies is not broken")
    if bench.classifier.batch_dependent:
        return not_applicable("answers depend on the batch, and the attack moves all its images")
    recorder, returned = bench.recording
    passed = recorder.best.numpy() > 0
    dropped = float((passed & ~returned).mean())
    if dropped < _DROPPED:
        return fine("whatever the attack found, it returned", dropped, _DROPPED)
    return Result(
        verdict=Verdict.MASKED,
        cause="the attack drops what it finds",
        says=f"at {percent(dropped)} of the images the attack came past an adversarial image in "
        "the ball and returned another one",
        figure=dropped,
        threshold=_DROPPED,
        calls=_best_known(bench),
    )


def _best_known(bench: Bench) -> tuple[Call, ...]:
    name = "pgd" if bench.has_gradients else "square"
    return (Call(bench.in_ball(name)),)


def _converged(bench: Bench) -> Result:
    if not has_option(bench.attack, "steps"):
        return _against_pgd(bench)
    recorder, returned = bench.recording
    rising = _still_rising(recorder, ~returned)
    steps = _LONGER * bench.attack.steps  # type: ignore[attr-defined]
    longer = bench.in_ball(name_of(bench.attack), **(_options(bench) | {"steps": steps}))
    outcome = bench.run(longer, bench.unbroken)
    pair = bench.compare(outcome.broken, bench.control.broken)
    if pair.is_certain:
        return Result(
            verdict=Verdict.MASKED if pair.gain >= 0.25 else Verdict.SUSPECT,
            cause="too few steps",
            says=f"{steps} steps break {pair.more} of {pair.images} images that the attack left; "
            f"the loss {_rise(rising)} in the last tenth of its steps",
            figure=pair.gain,
            threshold=0.0,
            calls=(Call(longer),),
        )
    if rising is not None and rising > _RISING:
        return Result(
            verdict=Verdict.SUSPECT,
            cause="the loss still rises",
            says=f"the loss {_rise(rising)} in the last tenth of the steps, which may be too short",
            figure=rising,
            threshold=_RISING,
            calls=_best_known(bench),
        )
    return fine(
        f"{_LONGER} times the steps break {pair.more} of {pair.images} images that the attack "
        f"left, the attack again {pair.less} others; the loss {_rise(rising)} in the last tenth of "
        "the steps",
        rising,
        _RISING,
    )


def _rise(rising: float | None) -> str:
    if rising is None:
        return "was not followed"
    return f"rises by {percent(rising)} of its whole rise"


def _against_pgd(bench: Bench) -> Result:
    """Compare an attack that takes no steps with one that does."""
    if not bench.has_gradients:
        return not_applicable("the attack has no option steps")
    pgd = bench.in_ball("pgd")
    outcome = bench.run(pgd, bench.unbroken)
    pair = bench.compare(outcome.broken, bench.control.broken)
    if not pair.is_certain:
        return fine(
            f"PGD with 40 steps breaks {pair.more} of {pair.images} images that the attack left, "
            f"and the attack again {pair.less} others",
            pair.gain,
            0.0,
        )
    return Result(
        verdict=Verdict.MASKED if pair.gain >= 0.25 else Verdict.SUSPECT,
        cause="too weak an attack",
        says=f"PGD with 40 steps breaks {pair.more} of {pair.images} images that the attack left",
        figure=pair.gain,
        threshold=0.0,
        calls=(Call(pgd),),
    )


def _restarted(bench: Bench) -> Result:
    again = bench.control.broken
    pair = bench.compare(again, np.zeros(len(again), bool))
    says = f"from another seed the attack breaks {pair.more} of {pair.images} images that it left"
    if not pair.is_certain:
        return fine(says, pair.gain, 0.0)
    return Result(
        verdict=Verdict.SUSPECT,
        cause="too few restarts",
        says=says,
        figure=pair.gain,
        threshold=0.0,
        calls=(Call(_with_restarts(bench)),),
    )


def _with_restarts(bench: Bench) -> Attack:
    """Return the attack with restarts; if it has none, the best there is."""
    if has_option(bench.attack, "restarts"):
        own = int(bench.attack.restarts)  # type: ignore[attr-defined]
        options = _options(bench) | {"restarts": _RESTARTS * max(own, 1)}
        if has_option(bench.attack, "random_start"):
            options["random_start"] = True
        return bench.in_ball(name_of(bench.attack), **options)
    if bench.has_gradients:
        return bench.in_ball("pgd", restarts=_RESTARTS)
    return bench.in_ball("square")


def _still_rising(recorder: Recorder, left: np.ndarray) -> float | None:
    """Return the share of the rise that comes in the last tenth of the calls; the median."""
    calls = min(int(recorder.calls.numpy()), recorder.history.shape[0])
    if calls < 10 or not left.any():
        return None
    history = recorder.history.numpy()[:calls, left].astype(np.float64)
    first, late, last = history[0], history[int(0.9 * calls)], history[-1]
    known = np.isfinite(first) & (last > first)
    if not known.any():
        return None
    rise = (last - late)[known] / (last - first)[known]
    return float(np.median(rise))


def _options(bench: Bench) -> dict[str, object]:
    params = dict(signature(bench.attack)["params"])
    return {name: value for name, value in params.items() if name not in ("eps", "norm")}


SILENT_SUCCESS = Check(name="silent success", source="Pintor et al. 2022", make=_silent)
CONVERGENCE = Check(
    name="convergence", source="Pintor et al. 2022; Carlini et al. 2019", make=_converged
)
RESTARTS = Check(name="restarts", source="Carlini et al. 2019", make=_restarted)
