"""Google's protobuf with a schema made here, of field numbers: no .proto files, no compiler."""

from __future__ import annotations

from collections.abc import Mapping

import pytest


def message_class(name: str, schema: Mapping[str, Mapping[str, tuple[int, str]]]) -> type:
    """A class of protobuf's, or a skipped test without protobuf.

    Args:
        name: of the message.
        schema: message -> field -> its number and type: "float", "repeated float" or "packed
            float", or another message's name.
    """
    pytest.importorskip("google.protobuf")
    from google.protobuf import descriptor_pool, message_factory
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

    file = FileDescriptorProto(name="test.proto", package="test", syntax="proto2")
    for title, fields in schema.items():
        message = file.message_type.add(name=title)
        for label, (number, kind) in fields.items():
            rule, _, kind = kind.rpartition(" ")
            field = message.field.add(name=label, number=number)
            field.label = (
                FieldDescriptorProto.LABEL_REPEATED if rule else FieldDescriptorProto.LABEL_OPTIONAL
            )
            field.options.packed = rule == "packed"
            if kind in schema:
                field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".test.{kind}"
            else:
                field.type = getattr(FieldDescriptorProto, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"test.{name}"))
