"""`.pth` files written byte by byte: what `torch.save` writes, without PyTorch.

Opcodes are spelled out, so that the reader under test meets the format and not another reader's
idea of it.
"""

import io
import struct
import zipfile

import numpy as np

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
STORAGES = {"f4": "FloatStorage", "f8": "DoubleStorage", "f2": "HalfStorage", "i8": "LongStorage"}
START, STOP = b"\x80\x02", b"."


def text(value):
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def old_text(value):
    """A `str` of Python 2."""
    return b"U" + bytes([len(value)]) + value.encode()


def integer(value):
    data = value.to_bytes((value.bit_length() // 8) + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def sequence(*items):
    return b"(" + b"".join(items) + b"t"


def called(module, name, *arguments):
    return b"c" + f"{module}\n{name}\n".encode() + sequence(*arguments) + b"R"


def mapping(pairs, *, spell=text):
    return b"}(" + b"".join(spell(name) + value for name, value in pairs) + b"u"


def ordered(pairs, *, spell=text):
    empty = called("collections", "OrderedDict")
    return empty + b"(" + b"".join(spell(name) + value for name, value in pairs) + b"u"


def tensor(array, key, *, legacy=False, python2=False, **lies):
    """A tensor over the whole of storage `key`; `lies` replace true values."""
    spell = old_text if python2 else text
    module = "torch.cuda" if python2 else "torch"
    kind = lies.get("kind", STORAGES[array.dtype.str[1:]])
    count = lies.get("count", array.size)
    known = [spell("storage"), f"c{module}\n{kind}\n".encode(), spell(str(key))]
    known += [spell("cuda:0" if python2 else "cpu"), integer(count)]
    storage = sequence(*known, *([b"N"] if legacy else [])) + b"Q"
    strides = [step // array.itemsize for step in array.strides]
    window = [
        integer(lies.get("offset", 0)),
        sequence(*map(integer, lies.get("shape", array.shape))),
        sequence(*map(integer, lies.get("strides", strides))),
    ]
    if python2:
        return called("torch._utils", "_rebuild_tensor", storage, *window)
    hooks = called("collections", "OrderedDict")
    return called("torch._utils", "_rebuild_tensor_v2", storage, *window, b"\x89", hooks)


def zipped(path, state, *, pickled=None, members=None):
    """Write what `torch.save` has written since 1.6; `pickled` replaces the state dict's."""
    if pickled is None:
        pickled = ordered((name, tensor(array, k)) for k, (name, array) in enumerate(state.items()))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net/data.pkl", START + pickled + STOP)
        archive.writestr("net/byteorder", "little")
        for key, array in enumerate(state.values()):
            archive.writestr(f"net/data/{key}", array.tobytes(order="A"))
        for name, data in (members or {}).items():
            archive.writestr(name, data)
        archive.writestr("net/version", "3\n")
    return path


def legacy(path, state, *, pickled=None):
    """Write what `torch.save` wrote before 1.6: pickles, then the storages."""
    if pickled is None:
        pickled = ordered(
            (name, tensor(array, k, legacy=True)) for k, (name, array) in enumerate(state.items())
        )
    return _legacy(path, state, pickled, text)


def checkpoint_of_python_2(path, state):
    """Write a training's checkpoint as the Places365 networks are published."""
    tensors = (
        (f"module.{name}", tensor(array, k, legacy=True, python2=True))
        for k, (name, array) in enumerate(state.items())
    )
    pickled = mapping(
        [
            ("epoch", integer(90)),
            ("arch", old_text("resnet18")),
            ("best_prec1", b"G" + struct.pack(">d", 54.5)),
            ("state_dict", ordered(tensors, spell=old_text)),
        ],
        spell=old_text,
    )
    return _legacy(path, state, pickled, old_text)


def _legacy(path, state, pickled, spell):
    out = io.BytesIO()
    for value in (integer(MAGIC), integer(PROTOCOL), mapping([("little_endian", b"\x88")])):
        out.write(START + value + STOP)
    keys = b"](" + b"".join(spell(str(key)) for key in range(len(state))) + b"e"
    out.write(START + pickled + STOP + START + keys + STOP)
    for array in state.values():
        out.write(struct.pack("<q", array.size) + array.tobytes(order="A"))
    path.write_bytes(out.getvalue())
    return path


def safetensors(path, state):
    """Write the published format: the header's length, the header, the numbers."""
    import json

    header, data = {}, b""
    for name, array in state.items():
        start = len(data)
        data += np.ascontiguousarray(array).tobytes()
        header[name] = {
            "dtype": {"f4": "F32", "f2": "F16", "i8": "I64", "u2": "BF16"}[array.dtype.str[1:]],
            "shape": list(array.shape),
            "data_offsets": [start, len(data)],
        }
    head = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + data)
    return path
