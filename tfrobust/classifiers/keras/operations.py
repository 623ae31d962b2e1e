"""The operations of TensorFlow that a file of Keras 2 may name (`TFOpLambda`).

They are arithmetic; none touches a file or takes a function.
"""

from __future__ import annotations

_ARITHMETIC = ("math.", "nn.", "linalg.", "__operators__.", "bitwise.", "dtypes.", "signal.")
_OPERATIONS = {
    "abs", "add", "argmax", "argmin", "broadcast_to", "cast", "clip_by_norm", "clip_by_value",
    "concat", "constant", "convert_to_tensor", "cos", "divide", "einsum", "equal", "exp",
    "expand_dims", "eye", "fill", "floor", "gather", "greater", "greater_equal", "identity",
    "image.adjust_brightness", "image.adjust_contrast", "image.per_image_standardization",
    "image.resize", "image.rgb_to_grayscale", "image.grayscale_to_rgb", "less", "less_equal",
    "logical_and", "logical_not", "logical_or", "matmul", "maximum", "minimum", "multiply",
    "negative", "norm", "not_equal", "one_hot", "ones", "ones_like", "pad", "pow", "range", "rank",
    "realdiv", "reduce_all", "reduce_any", "reduce_logsumexp", "reduce_max", "reduce_mean",
    "reduce_min", "reduce_prod", "reduce_sum", "repeat", "reshape", "reverse", "roll", "round",
    "shape", "sigmoid", "sign", "sin", "size", "slice", "sort", "split", "sqrt", "square",
    "squeeze", "stack", "stop_gradient", "strided_slice", "subtract", "tanh", "tensordot", "tile",
    "transpose", "truediv", "unstack", "where", "zeros", "zeros_like",
    "compat.v1.nn.conv2d", "compat.v1.transpose", "compat.v1.gather", "compat.v1.squeeze",
    "compat.v1.shape", "compat.v1.space_to_depth",
}  # fmt: skip


def is_operation(name: str) -> bool:
    """Tell whether a file of Keras 2 may name an operation.

    Example:
        >>> is_operation("nn.relu"), is_operation("io.write_file")
        (True, False)
    """
    return name in _OPERATIONS or (
        name.startswith(_ARITHMETIC) and all(part.isidentifier() for part in name.split("."))
    )
