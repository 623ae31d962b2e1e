"""Options of plugins: a frozen, keyword-only, validated dataclass *is* the configuration.

Pydantic does the checking. The same fields make the command line's options, the record in
`results.json` and the `repr`, so that none of the three can drift from the others.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import UnionType
from typing import Any, Generic, Literal, TypeVar, dataclass_transform, overload

import pydantic
from pydantic.dataclasses import dataclass as pydantic_dataclass

from tfrobust.errors import PluginError, UsageError, did_you_mean, one_line

T = TypeVar("T")
TraceRole = Literal["constant", "input", "unused"]
_LARGEST = 2**31 - 1
_TRACE = "trace"  # under which pydantic keeps an option's role


def option(
    help: str,  # noqa: A002 (argparse's word)
    *,
    default: Any,
    trace: TraceRole = "constant",
    **bounds: Any,
) -> Any:
    """Declare an option of a plugin.

    Args:
        help: one line: what it is, in which unit.
        default: the value when nothing is given.
        trace: what the option is to the traced function of an attack. `constant`: a part of it,
            so that another value costs another trace. `input`: a number that does not shape the
            graph; `__call__` sees a float32 or int32 scalar tensor in its place, and does no
            arithmetic in Python with it (see `derived`). `unused`: `__call__` does not read it,
            and raises a PluginError in the trace if it does.
        **bounds: pydantic's `gt`, `ge`, `lt`, `le`, `min_length`, …

    Example:
        >>> @plugin
        ... class Dim:
        ...     factor: float = option("share of brightness that stays", default=0.5, ge=0, le=1)
        >>> Dim(factor=0.25)
        Dim(factor=0.25)
    """
    role: dict[str, Any] = {} if trace == "constant" else {"json_schema_extra": {_TRACE: trace}}
    return pydantic.Field(default=default, description=help, kw_only=True, **bounds, **role)


class derived(Generic[T]):  # noqa: N801 (a decorator, like property)
    """A property whose number is computed in Python and is an input of an attack's trace.

    Python computes in float64 and rounds once; the same formula over float32 tensors rounds at
    every step. What an attack derives from options with `trace="input"` is computed outside of the
    trace, and its `__call__` sees a scalar tensor.

    Example:
        >>> @plugin
        ... class Steps:
        ...     eps: float = option("radius", default=0.1, ge=0, trace="input")
        ...     @derived
        ...     def length(self) -> float:
        ...         return 2.5 * self.eps
        >>> Steps(eps=0.2).length
        0.5
    """

    def __init__(self, function: Callable[[Any], T]) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> derived[T]: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object | None, owner: type) -> derived[T] | T:
        """Compute the number; not called where `with_values` has set one."""
        return self if instance is None else self._function(instance)


def option_fields(cls: type) -> Mapping[str, Any]:
    """Return the options of a class; one that is not decorated with `plugin` has none."""
    fields: Mapping[str, Any] = getattr(cls, "__pydantic_fields__", {})
    return fields


def option_names(cls: type) -> list[str]:
    """Return the names of a plugin's options."""
    return list(option_fields(cls))


def trace_roles(cls: type) -> dict[str, TraceRole]:
    """Return the options of a plugin that are no constants of its trace; see `option`."""
    extras = {name: field.json_schema_extra or {} for name, field in option_fields(cls).items()}
    return {name: extra[_TRACE] for name, extra in extras.items() if _TRACE in extra}


def derived_names(cls: type) -> list[str]:
    """Return the names of a class's `derived` numbers."""
    names = dict.fromkeys(name for base in cls.__mro__ for name in vars(base))
    return [name for name in names if isinstance(getattr(cls, name, None), derived)]


def with_values(instance: T, values: Mapping[str, Any]) -> T:
    """Return a copy with other values of options and `derived` numbers, which are not checked.

    Example:
        >>> with_values(Steps(eps=0.2), {"length": tf.constant(0.5)}).length
        <tf.Tensor: shape=(), dtype=float32, numpy=0.5>
    """
    if not values:
        return instance
    changed = copy.copy(instance)
    vars(changed).update(values)  # past the frozen dataclass, and before a `derived` is looked up
    return changed


def without_options(instance: T, names: Iterable[str]) -> T:
    """Return a copy of a plugin that raises a PluginError where one of these options is read.

    Example:
        >>> without_options(Steps(eps=0.2), ["eps"]).eps
        Traceback (most recent call last):
        ...
        tfrobust.errors.PluginError: option eps is read while the attack is traced, but declared …
    """
    hidden = {name: property(functools.partial(_refuse, name)) for name in names}
    if not hidden:
        return instance
    cls: Any = type(instance)
    same = {name: getattr(cls, name) for name in ("__module__", "__qualname__")}
    # autograph looks plugins up by their hash, which a dataclass would compute from every option.
    identity = {"__eq__": object.__eq__, "__hash__": object.__hash__}
    changed = copy.copy(instance)
    # Past the frozen dataclass. No value could stand in for an option: `is` would not notice it.
    object.__setattr__(
        changed, "__class__", type(cls)(cls.__name__, (cls,), same | identity | hidden)
    )
    return changed


def _refuse(name: str, _: object) -> Any:
    raise PluginError(
        f'option {name} is read while the attack is traced, but declared with trace="unused"; '
        'declare it with trace="constant"'
    )


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(option,))
def plugin(cls: type[T]) -> type[T]:
    """Make `cls` a frozen, keyword-only dataclass whose fields are checked when it is built."""
    for name, value in vars(cls).items():
        if isinstance(value, pydantic.fields.FieldInfo) and name not in cls.__annotations__:
            raise TypeError(f"{cls.__name__}.{name}: an option needs a type: `{name}: float = …`")
    config = pydantic.ConfigDict(extra="forbid", allow_inf_nan=False)
    decorated: Any = pydantic_dataclass(cls, frozen=True, kw_only=True, config=config)
    return decorated


def build(cls: type[T], name: str, values: Mapping[str, Any], *, beside: Sequence[str] = ()) -> T:
    """Build plugin `cls` from options, which may still be strings.

    Args:
        cls: a class decorated with `plugin`.
        name: what the user calls it, for messages.
        values: option → value.
        beside: options that the user may give too and that go elsewhere, for messages.

    Raises:
        UsageError: an unknown option (the nearest is named) or a value out of range.
    """
    known = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            every = [*known, *beside]
            has = f"it has: {', '.join(every)}" if every else "it has none"
            raise UsageError(f"{name} has no option {key!r}{did_you_mean(key, every)} ({has})")
    try:
        built = cls(**{key: _plain(value) for key, value in values.items()})
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "options"
        message = first["msg"].removeprefix("Value error, ")  # pydantic's, of a ValueError
        complaint = one_line(message)
        received = first["input"] if first["loc"] else dict(values)  # none: all of them together
        if isinstance(received, str) and received.startswith(("{", "[")):
            complaint += ", as JSON spells it: '{\"eps\": 0.1}'"
        raise UsageError(f"{name}: {where}: {complaint}; received: {received!r}") from error
    for key in known:
        _check_size(name, key, getattr(built, key))
    return built


def _check_size(name: str, key: str, value: Any) -> None:
    """Refuse integers that no tensor of int32 holds: TensorFlow says so late and in its own words.

    Raises:
        UsageError: names the option.
    """
    for number in value if isinstance(value, tuple | list) else (value,):
        if isinstance(number, int) and abs(number) > _LARGEST:
            raise UsageError(
                f"{name}: {key}: expected at most {_LARGEST} and at least -{_LARGEST}; "
                f"received: {number}"
            )


def _plain(value: Any) -> Any:
    """Read what a command line can only spell: `none`, and JSON lists and objects."""
    if not isinstance(value, str):
        return value
    if value.lower() == "none":
        return None
    if value.startswith(("{", "[")):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value  # the field's own check says what is wrong with it
    return value


def record(instance: Any) -> dict[str, Any]:
    """Return the options of a built plugin as plain JSON values."""
    adapter = pydantic.TypeAdapter(dict[str, Any])
    fields = dataclasses.fields(instance)
    return adapter.dump_python({f.name: getattr(instance, f.name) for f in fields}, mode="json")


def has_option(instance: Any, name: str) -> bool:
    """Tell whether a built plugin has an option of this name.

    Example:
        >>> has_option(create("attacks", "deepfool"), "eps_iter")
        False
    """
    return name in option_names(type(instance))


def refuse_former_names(
    cls: type, kind: str, now: Mapping[str, str], written_as: type | UnionType = int | property
) -> None:
    """Refuse a class that still declares what an earlier release called otherwise.

    Without this the old name would be ignored. An option of the same name stays allowed.

    Args:
        cls: the class of a plugin, as it is defined.
        kind: what it is, for the message: `an attack`.
        now: old name → what to write instead.
        written_as: how the old names were declared; by default as flags or properties.

    Raises:
        PluginError: says what to write instead.

    Example:
        >>> refuse_former_names(cls, "an attack", {"helps": "`corrective = True`"})
    """
    for name, instead in now.items():
        if isinstance(vars(cls).get(name), written_as):
            raise PluginError(
                f"{cls.__name__}: {name}: {kind} has no such attribute any more; write {instead}"
            )
