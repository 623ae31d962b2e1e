"""All operations of a SavedModel are checked before any of them runs."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tensorflow.core.framework import (
    node_def_pb2,
    op_def_pb2,
    types_pb2,
    variable_pb2,
)
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.client import pywrap_tf_session

from helpers.support import small_classifier, small_model
from tfrobust import store
from tfrobust.classifiers.loading import LoadOptions
from tfrobust.classifiers.saved_model import operations
from tfrobust.classifiers.saved_model.classifier import SavedModelClassifier
from tfrobust.classifiers.saved_model.operations import check_saved_model
from tfrobust.errors import ClassifierError

SHAPE = (4, 4, 1)
SPEC = tf.TensorSpec((None, *SHAPE), tf.float32, name="images")


def saved(folder, serve, *, module=None, **kept):
    """Save a model that returns logits and runs `serve(mark, images)` before it does."""
    module = module or tf.Module()
    for name, value in kept.items():
        setattr(module, name, value)
    mark = str(folder.parent / "ran")

    @tf.function(input_signature=[SPEC])
    def logits(images):
        values = tf.reshape(images, (-1, 16))[:, :3]
        with tf.control_dependencies(serve(mark, images) or []):
            return {"logits": tf.identity(values)}

    module.logits = logits
    tf.saved_model.save(module, str(folder), {"serving_default": module.logits})
    return folder


def _write(mark, images=None):
    return [tf.raw_ops.WriteFile(filename=mark, contents="ran")]


def _branch(mark, images):
    tf.cond(tf.reduce_sum(images) > 1e9, lambda: [tf.io.read_file(mark)], lambda: [""])


def _loop(mark, images):
    def body(k):
        with tf.control_dependencies(_write(mark)):
            return k + 1

    tf.while_loop(lambda k: k < 1, body, [tf.constant(0)])


def _called(mark, images):
    @tf.function
    def inner():
        _write(mark)

    inner()


def _mapped(mark, images):
    tf.map_fn(lambda image: (tf.io.write_file(mark, "ran"), image)[1], images)


def _gradient(mark, images):
    @tf.custom_gradient
    def straight(x):
        return x, lambda up: (tf.io.write_file(mark, "ran"), up)[1]

    tf.gradients(straight(images), images)


def _lines(mark, images):
    tf.data.TextLineDataset(mark).reduce(tf.constant(0), lambda k, _: k + 1)


def _queue(mark, images):
    queue = tf.raw_ops.FIFOQueueV2(component_types=[tf.float32], shared_name="shared")
    tf.raw_ops.QueueSizeV2(handle=queue)


def _restored(mark, images):
    tf.raw_ops.RestoreV2(
        prefix=mark, tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.float32]
    )


def _kept(mark, images):
    return [
        tf.raw_ops.SaveV2(prefix=mark, tensor_names=["a"], shape_and_slices=[""], tensors=[images])
    ]


PLACES = {
    "a file is written": (_write, "WriteFile"),
    "a file is read": (lambda m, x: (tf.io.read_file(m), None)[1], "ReadFile"),
    "files are looked for": (lambda m, x: (tf.io.matching_files(m), None)[1], "MatchingFiles"),
    "Python": (lambda m, x: [tf.numpy_function(lambda: 0, [], tf.int64)], "PyFunc"),
    "Python, eagerly": (lambda m, x: [tf.py_function(lambda: 0, [], tf.int64)], "EagerPyFunc"),
    "Python, declared stateless": (
        lambda m, x: [tf.numpy_function(lambda: 0, [], tf.int64, stateful=False)],
        "PyFuncStateless",
    ),
    "a checkpoint elsewhere is read": (_restored, "RestoreV2"),
    "a checkpoint elsewhere is written": (_kept, "SaveV2"),
    "printed to a file": (
        lambda m, x: [tf.raw_ops.PrintV2(input="ran", output_stream=f"file://{m}")],
        "PrintV2",
    ),
    "lines of a file": (_lines, "TextLineDataset"),
    "a queue": (_queue, "FIFOQueueV2"),
    "the process is ended": (lambda m, x: [tf.raw_ops.Abort(exit_without_error=True)], "Abort"),
    "a debugger": (
        lambda m, x: (tf.raw_ops.DebugIdentity(input=x, debug_urls=[f"file://{m}"]), None)[1],
        "DebugIdentity",
    ),
    "memory from a file": (
        lambda m, x: (
            tf.raw_ops.ImmutableConst(dtype=tf.float32, shape=[1], memory_region_name=m),
            None,
        )[1],
        "ImmutableConst",
    ),
    "in a branch": (_branch, "ReadFile"),
    "in a loop": (_loop, "WriteFile"),
    "in a function": (_called, "WriteFile"),
    "in a map": (_mapped, "WriteFile"),
    "in a gradient": (_gradient, "WriteFile"),
}


@pytest.mark.parametrize("place", PLACES)
def test_an_operation_that_reaches_out_is_refused_before_it_runs(place, tmp_path):
    serve, operation = PLACES[place]
    folder = saved(tmp_path / "m", serve)
    (tmp_path / "ran").unlink(missing_ok=True)
    with pytest.raises(ClassifierError, match=rf"\b{operation}\b") as refusal:
        store.load(folder)
    assert "nothing of it was run" in str(refusal.value)
    assert "--trust" in str(refusal.value)
    assert not list(tmp_path.glob("ran*"))


class Starting(tf.Module):
    """A table that writes a file when it is created: at loading, before anything is called."""

    def __init__(self, mark):
        super().__init__()
        self.table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(tf.constant([0]), tf.constant([0.0])), 0.0
        )
        create = self.table._create_resource

        def making():
            with tf.control_dependencies([tf.io.write_file(mark, "ran")]):
                return create()

        self.table._create_resource = making


def test_an_operation_that_runs_at_loading_is_refused_unless_it_is_trusted(tmp_path):
    mark = tmp_path / "ran"
    folder = saved(tmp_path / "m", lambda m, x: None, module=Starting(str(mark)))
    mark.unlink(missing_ok=True)
    with pytest.raises(ClassifierError, match="WriteFile"):
        store.load(folder)
    assert not mark.exists()
    assert store.load(folder, options=LoadOptions(trust=True)).num_classes == 3
    assert mark.exists()  # trusted files may do so


def _rewritten(folder, change):
    """Change a SavedModel's protocol buffer."""
    path = folder / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    change(model.meta_graphs[0])
    path.write_bytes(model.SerializeToString())


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("plain") / "m", lambda m, x: None, v=tf.Variable(1.0))


@pytest.fixture
def copy(plain, tmp_path):
    return shutil.copytree(plain, tmp_path / "m")


def _loose_node(meta):
    meta.graph_def.node.add(name="loose", op="WriteFile", input=["a", "b"])


def _initialiser(meta):
    meta.graph_def.node.add(name="begin", op="WriteFile", input=["a", "b"])
    meta.collection_def["saved_model_main_op"].node_list.value.append("begin")


def _restoring(meta):
    """The operation that restores reads another file than the one that the loader names."""
    meta.graph_def.node.add(name="other", op="Const")
    meta.graph_def.node.add(name="again", op="RestoreV2", input=["other", "a", "b"])
    meta.saver_def.restore_op_name = "again"


def _saving_at_restoring(meta):
    meta.graph_def.node.add(name="keep", op="SaveV2", input=["saver_filename", "a", "b"])
    meta.graph_def.node.add(name="again", op="NoOp", input=["^keep"])
    meta.saver_def.restore_op_name = "again"


def _served_saving(meta):
    """The function that writes checkpoints, called by a signature."""
    saving = next(
        function.signature.name
        for function in meta.graph_def.library.function
        if any(node.op == "SaveV2" for node in function.node_def)
    )
    node = meta.graph_def.node.add(name="served", op="PartitionedCall")
    node.attr["f"].func.name = saving
    meta.signature_def["other"].outputs["y"].name = "served:0"


def _served_restoring(meta):
    """What the loader restores by, called by a signature: the name of the file is not given."""
    meta.signature_def["other"].outputs["y"].name = meta.saver_def.restore_op_name


def _loose_checkpoint(meta):
    meta.graph_def.node.add(name="file", op="Const")
    meta.graph_def.node.add(name="stray", op="RestoreV2", input=["file", "a", "b"])


def _served_checkpoint(meta):
    _loose_checkpoint(meta)
    meta.signature_def["other"].outputs["y"].name = "stray:0"


def _sparse_checkpoint(meta):
    _loose_checkpoint(meta)
    meta.signature_def["other"].outputs["y"].coo_sparse.values_tensor_name = "stray:0"


def _composite_checkpoint(meta):
    _loose_checkpoint(meta)
    meta.signature_def["other"].outputs["y"].composite_tensor.components.add(name="stray:0")


def _initialising_checkpoint(meta):
    """A local variable: TensorFlow runs its initialiser when it loads the graph."""
    _loose_checkpoint(meta)
    variable = variable_pb2.VariableDef(variable_name="v:0", initializer_name="stray")
    meta.collection_def["local_variables"].bytes_list.value.append(variable.SerializeToString())


def _waited_for_checkpoint(meta):
    _loose_checkpoint(meta)
    meta.graph_def.node.add(name="begin", op="NoOp", input=["^stray"])
    meta.collection_def["saved_model_main_op"].node_list.value.append("begin")


def _in_a_function(meta, op, attribute, value=None):
    node = meta.graph_def.library.function[0].node_def.add(name="n", op=op)
    if value is None:  # what the caller fills in
        node.attr[attribute].placeholder = "given"
    else:
        node.attr[attribute].s = value


def _described_elsewhere(meta):
    _in_a_function(meta, "DecodeProtoV2", "descriptor_source", b"/etc/passwd")


def _described_by_the_caller(meta):
    _in_a_function(meta, "DecodeProtoV2", "descriptor_source")


def _described_for_writing(meta):
    _in_a_function(meta, "EncodeProto", "descriptor_source", b"/etc/passwd")


def _printed_by_the_caller(meta):
    _in_a_function(meta, "PrintV2", "output_stream")


def _unknown(meta):
    meta.graph_def.node.add(name="own", op="OpOfALibrary")


def _disguised(meta):
    """A function that has the name of an operation."""
    meta.graph_def.library.function.add().signature.name = "Relu"
    meta.graph_def.node.add(name="x", op="Relu")


def _asset(meta):
    meta.asset_file_def.add(filename="../../../etc/passwd").tensor_info.name = "a:0"


GRAPHS = {
    _loose_node: "WriteFile",
    _initialiser: "WriteFile",
    _restoring: "RestoreV2",
    _saving_at_restoring: "SaveV2",
    _served_saving: "SaveV2",
    _served_restoring: "RestoreV2",
    _served_checkpoint: "RestoreV2",
    _sparse_checkpoint: "RestoreV2",
    _composite_checkpoint: "RestoreV2",
    _initialising_checkpoint: "RestoreV2",
    _waited_for_checkpoint: "RestoreV2",
    _described_elsewhere: "DecodeProtoV2",
    _described_by_the_caller: "DecodeProtoV2",
    _described_for_writing: "EncodeProto",
    _printed_by_the_caller: "PrintV2",
    _unknown: "OpOfALibrary",
    _disguised: "Relu",
    _asset: "the asset ../../../etc/passwd",
}


@pytest.mark.parametrize("change", GRAPHS)
def test_a_handwritten_graph_is_checked_like_others(change, copy):
    check_saved_model(copy)
    _rewritten(copy, change)
    with pytest.raises(ClassifierError, match=GRAPHS[change]):
        check_saved_model(copy)
    check_saved_model(copy, trust=True)


@pytest.mark.parametrize("source", [b"", b"local://"])
@pytest.mark.parametrize("op", ["DecodeProtoV2", "EncodeProto"])
def test_protocol_buffers_that_the_process_itself_knows_may_be_read_and_written(op, source, copy):
    _rewritten(copy, lambda meta: _in_a_function(meta, op, "descriptor_source", source))
    check_saved_model(copy)


def test_operations_that_take_texts_have_been_reviewed():
    """An operation that takes a text may take the name of a file.

    A new TensorFlow may have new ones. Look at what they do with it: refuse those that reach out
    in `saved_model_ops`, and add the others to the list.
    """
    reviewed = set((Path(__file__).parent / "reviewed_operations.txt").read_text().split())
    known = op_def_pb2.OpList.FromString(
        pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList())
    )
    plain = {"container", "shared_name", "data_format", "padding", "device", "mode", "_class"}
    new = [
        op.name
        for op in known.op
        if operations._is_allowed(node_def_pb2.NodeDef(op=op.name), {})
        and (
            any(argument.type == types_pb2.DT_STRING for argument in op.input_arg)
            or any("string" in option.type and option.name not in plain for option in op.attr)
        )
        and op.name not in reviewed
    ]
    assert new == []


@pytest.mark.parametrize("name", ["saved_model.pbtxt", "saved_model.cpb"])
def test_a_second_graph_beside_the_first_is_refused(name, copy):
    (copy / name).write_bytes(b"")
    with pytest.raises(ClassifierError, match=f"{name} stands beside saved_model.pb"):
        check_saved_model(copy)


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"\xff" * 1000])
def test_a_damaged_graph_costs_one_line(content, copy):
    (copy / "saved_model.pb").write_bytes(content)
    with pytest.raises(ClassifierError, match="not a readable SavedModel") as refusal:
        store.load(copy)
    assert "\n" not in str(refusal.value)


def _v1(folder, *, saver=False):
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        images = v1.placeholder(tf.float32, (None, *SHAPE), name="images")
        weights = v1.get_variable("w", (16, 3))
        logits = tf.matmul(tf.reshape(images, (-1, 16)), weights)
        session.run(v1.global_variables_initializer())
        if saver:
            v1.train.Saver(max_to_keep=1).save(session, str(folder.parent / "kept" / "model"))
        builder = v1.saved_model.Builder(str(folder))
        signature = v1.saved_model.predict_signature_def({"images": images}, {"logits": logits})
        builder.add_meta_graph_and_variables(
            session, ["serve"], {"serving_default": signature}, main_op=v1.tables_initializer()
        )
        builder.save()


def _v1_with_two_savers(folder):
    """Save as scripts of TensorFlow 1 do that keep checkpoints of their own."""
    _v1(folder, saver=True)


def _trained(folder):
    model = small_model(SHAPE, kind=tf_keras, dropout=0.5)
    model.compile("adam", "mse")
    model.fit(np.zeros((4, *SHAPE)), np.zeros((4, 3)), verbose=0)
    model.save(folder, save_format="tf")


class Rich(tf.Module):
    """Holds what a classifier may hold: tables in memory, random numbers, loops, prints."""

    def __init__(self):
        super().__init__()
        keys, values = tf.constant([0, 1]), tf.constant([0.0, 1.0])
        self.table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(keys, values), 0.0
        )
        self.generator = tf.random.Generator.from_seed(1)


def _rich(folder):
    module = Rich()

    def serve(mark, images):
        x = module.table.lookup(tf.constant([1])) + module.generator.normal(())
        x += tf.random.uniform(()) + tf.random.stateless_normal((), (1, 2))
        x = tf.map_fn(lambda value: value * 2, x)
        x = tf.cond(tf.reduce_sum(x) > 0, lambda: x, lambda: -x)
        tf.debugging.assert_all_finite(x, "finite")
        return [tf.raw_ops.PrintV2(input="printed", output_stream="log(info)")]

    saved(folder, serve, module=module)


HONEST = {
    "ours": lambda folder: store.export(small_classifier(SHAPE), folder),
    "Keras's export": lambda folder: small_model(SHAPE).export(str(folder), verbose=False),
    "tf_keras's export": lambda folder: small_model(SHAPE, kind=tf_keras).export(str(folder)),
    "tf_keras's save after training": _trained,
    "TensorFlow 1's": _v1,
    "TensorFlow 1's, by a script with a saver of its own": _v1_with_two_savers,
    "tables, random numbers and loops": _rich,
}


@pytest.mark.parametrize("kind", HONEST)
def test_models_that_common_tools_write_are_accepted(kind, tmp_path):
    HONEST[kind](tmp_path / "m")
    check_saved_model(tmp_path / "m")
    assert SavedModelClassifier(tmp_path / "m").num_classes == 3
