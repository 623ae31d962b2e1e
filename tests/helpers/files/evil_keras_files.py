"""Keras files that try to run code, by the place that holds it; the code itself is harmless."""

import json
import zipfile

import h5py

PAYLOAD = "def run(x=None, *_, **__):\n    open({mark!r}, 'w').close()\n    return x\n\n\n"
PAYLOAD += (
    "class Evil:\n    @classmethod\n    def from_config(cls, config):\n        return run(cls())\n"
)
PAYLOAD += "\n\nrun()\n"  # importing it is running it
MODULE = "payload_of_a_file"

EVIL = {"module": MODULE, "class_name": "Evil", "config": {}, "registered_name": "Evil"}
FUNCTION = {
    "module": MODULE, "class_name": "function", "config": "run", "registered_name": "run",
}  # fmt: skip
# Keras 2 registers its optimizers under such names itself. It looks for a function under its own
# name, and for a class under the registered one, and imports the module where it finds nothing.
KNOWN = "Custom>Adam"
FUNCTIONS = {
    "of a known name": {**FUNCTION, "registered_name": KNOWN},
    "of no name": {**FUNCTION, "registered_name": None},
    "of the shell": {**FUNCTION, "config": "system", "module": "os", "registered_name": KNOWN},
    "of Python": {**FUNCTION, "config": "eval", "module": "builtins", "registered_name": KNOWN},
    "that only the module has": {**FUNCTION, "config": "relu", "registered_name": "relu"},
    "of a module of a like name": {**FUNCTION, "module": f"keras.{MODULE}"},
    "of Keras that downloads": {**FUNCTION, "config": "get_file", "module": "keras.utils"},
    "of Keras that a name hides": {
        **FUNCTION, "config": "relu", "module": "builtins", "registered_name": "deserialize",
    },
}  # fmt: skip
IMPORTS = {
    "a known name": {**EVIL, "class_name": KNOWN, "registered_name": None},
    "another known name": {**EVIL, "registered_name": KNOWN},
    "a known class of any module": {**EVIL, "class_name": "Adam", "registered_name": KNOWN},
    "a class of Keras of any module": {**EVIL, "class_name": "Zeros", "registered_name": None},
    "a tensor": {**EVIL, "class_name": "__keras_tensor__", "registered_name": None},
    "a tuple": {**EVIL, "class_name": "__tuple__", "registered_name": None},
    "a shape": {**EVIL, "class_name": "TensorShape", "registered_name": None},
    "a type": {**EVIL, "class_name": "__typespec__", "spec_name": "Evil", "registered_name": KNOWN},
    "a file by a known name": {
        "module": "keras.layers", "class_name": "TFSMLayer", "config": {}, "registered_name": KNOWN,
    },
}  # fmt: skip


def _of(name, module="keras.layers", /, **config):
    return {"module": module, "class_name": name, "config": config, "registered_name": None}


def _lambda(**config):
    known = {"name": "l", "function": FUNCTION, "function_type": "function", "module": MODULE}
    known |= {"output_shape": None, "output_shape_type": "raw", "output_shape_module": None}
    return _of("Lambda", **{**known, "arguments": {}, **config})


def _operation(name, **more):
    return _of("TFOpLambda", "keras.src.layers.core.tf_op_layer", name="o", function=name, **more)


def _node():
    node = {"name": "w", "op": "WriteFile", "input": ["a", "b"]}
    return _of("TensorFlowOpLayer", "keras.src.engine.base_layer", node_def=node, constants={})


def _sequential(*layers):
    return _of("Sequential", "keras", name="inner", layers=list(layers))


# Each takes the place of a layer.
LAYERS = {
    "a lambda that names a function of a module": _lambda(),
    "a lambda that names the shell": _lambda(module="os", function="system"),
    "a lambda of bytecode": _lambda(function=["4wE=", None, None], function_type="lambda"),
    "a lambda without a module": {"class_name": "Lambda", "config": {"function": "run"}},
    "a class of any module": EVIL,
    "a class without a module": {"class_name": "Evil", "config": {}},
    "a builtin": _of("eval", "builtins"),
    "the shell": _of("system", "os"),
    "a function of Keras that downloads": _of("get_file", "keras.utils", origin="file:///etc"),
    "a module of Keras's insides": _of("get_file", "keras.src.utils.file_utils"),
    "a class inside a class": _of("Evil.from_config", MODULE),
    "a type": {**_of("__typespec__", MODULE), "spec_name": "Evil"},
    "a python lambda": _of("__lambda__", "builtins", value="4wE="),
    "a name that is no text": {"class_name": ["Evil"], "config": {}},
    "a registered name that is none": {
        **_of("Dense", units=3),
        "registered_name": f"{MODULE}>Evil",
    },
    "a SavedModel": _of("TFSMLayer", filepath="/tmp/elsewhere"),  # noqa: S108
    "a PyTorch module": _of("TorchModuleWrapper", module="gASVAAAAAAAA"),
    "an operation that writes": _operation("io.write_file"),
    "an operation that reads": _operation("io.read_file"),
    "an operation that calls": _operation("py_function"),
    "a raw operation": _operation("raw_ops.WriteFile"),
    "a slice that reads": {
        **_operation("io.read_file"), "class_name": "SlicingOpLambda",
    },
    "a node of a graph": _node(),
    "a method of TensorFlow": _of("ClassMethod", "keras.src.layers.core.tf_op_layer"),
    "a vocabulary from a file": _of("StringLookup", vocabulary="/etc/passwd"),
    "a nested model": _sequential(_sequential(EVIL)),
    "a nested model's lambda": _sequential(_lambda()),
    "what a nested model was compiled with": {
        **_sequential(), "compile_config": {"optimizer": "adam", "loss": FUNCTION},
    },
    "a wrapper": _of("TimeDistributed", layer=EVIL),
    "a wrapper's wrapper": _of("Bidirectional", layer=_of("RNN", cell=EVIL)),
    "the other direction": _of("Bidirectional", layer=_of("LSTM", units=2), backward_layer=EVIL),
    "what a layer is built with": {**_of("Flatten"), "build_config": {"input_shape": EVIL}},
    "an argument of a call": {
        **_of("Flatten"), "inbound_nodes": [{"args": [EVIL], "kwargs": {}}],
    },
}  # fmt: skip
# Each changes an option of the convolution.
OPTIONS = {
    "an activation": {"activation": FUNCTION},
    "an activation by a dotted name": {"activation": f"{MODULE}.run"},
    "an activation of the shell": {"activation": "os.system"},
    "an activation that is a layer": {"activation": _lambda()},
    "an initialiser": {"kernel_initializer": EVIL},
    "an initialiser by a dotted name": {"bias_initializer": f"{MODULE}.run"},
    "a regulariser": {"kernel_regularizer": EVIL},
    "a regulariser's function": {"activity_regularizer": FUNCTION},
    "a constraint": {"kernel_constraint": {"class_name": "Evil", "config": {}}},
    "a type of numbers": {"dtype": EVIL},
    "a quantizer": {"input_quantizer": FUNCTION},
    **{f"an activation {name}": {"activation": evil} for name, evil in FUNCTIONS.items()},
    **{f"an initialiser {name}": {"kernel_initializer": evil} for name, evil in FUNCTIONS.items()},
    **{f"an import by {name}": {"kernel_initializer": evil} for name, evil in IMPORTS.items()},
    "an option that nobody has": {"anything": [{"deep": [EVIL]}]},
}
# Each is a compile option of a model.
COMPILED = {
    "a loss": {"loss": FUNCTION},
    "a python lambda": {"loss": _of("__lambda__", "builtins", value="4wE=")},
    "a loss's function": {"loss": _of("LossFunctionWrapper", "keras.losses", fn=FUNCTION)},
    "a loss by a dotted name": {"loss": _of("LossFunctionWrapper", "keras.losses", fn="os.system")},
    "a metric": {"metrics": ["accuracy", EVIL]},
    "a weighted metric": {"weighted_metrics": [[FUNCTION]]},
    "an optimizer": {"optimizer": EVIL},
    "a schedule": {"optimizer": _of("Adam", "keras.optimizers", learning_rate=EVIL)},
}
PLACES = {
    **{f"layer: {name}": ("layer", value) for name, value in LAYERS.items()},
    **{f"option: {name}": ("option", value) for name, value in OPTIONS.items()},
    **{
        f"compiled inside: {name}": ("layer", {**_sequential(), "compile_config": value})
        for name, value in COMPILED.items()
    },
}


def spoil(path, place):
    """Hide something in a `.keras` or `.h5` file of input, convolution, flat and dense layers."""
    kind, value = PLACES[place]

    def changed(config):
        layers = config["config"]["layers"]
        if kind == "layer":
            layers[2] = value
        else:
            layers[1]["config"] |= value

    if path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            changed(config)
            file.attrs["model_config"] = json.dumps(config)
    else:
        rewrite(path, changed)
    return path


def spoil_compiled(path, place):
    """Hide something in the compile options of the model of a file."""
    value = {"optimizer": "adam", "loss": "mse"} | COMPILED[place]
    if path.suffix == ".h5":
        config = {k: v for k, v in value.items() if k != "optimizer"}
        config |= {"optimizer_config": value["optimizer"], "optimizer": value["optimizer"]}
        with h5py.File(path, "r+") as file:
            file.attrs["training_config"] = json.dumps(config)
    else:
        rewrite(path, lambda config: config.update(compile_config=value))
    return path


def rewrite(path, change, *, member="config.json"):
    """Change a member of JSON of a `.keras` file."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(content[member])
    config.get("compile_config") or config.pop("compile_config", None)
    change(config)
    content[member] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in content.items():
            archive.writestr(name, text)
