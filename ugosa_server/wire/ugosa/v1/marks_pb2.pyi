from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MarkState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MARK_STATE_UNSPECIFIED: _ClassVar[MarkState]
    MARK_STATE_ACTIVE: _ClassVar[MarkState]
    MARK_STATE_SILENT: _ClassVar[MarkState]
MARK_STATE_UNSPECIFIED: MarkState
MARK_STATE_ACTIVE: MarkState
MARK_STATE_SILENT: MarkState

class Mark(_message.Message):
    __slots__ = ("source", "state", "start_frame", "end_frame")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    START_FRAME_FIELD_NUMBER: _ClassVar[int]
    END_FRAME_FIELD_NUMBER: _ClassVar[int]
    source: str
    state: MarkState
    start_frame: int
    end_frame: int
    def __init__(self, source: _Optional[str] = ..., state: _Optional[_Union[MarkState, str]] = ..., start_frame: _Optional[int] = ..., end_frame: _Optional[int] = ...) -> None: ...

class Marks(_message.Message):
    __slots__ = ("marks",)
    MARKS_FIELD_NUMBER: _ClassVar[int]
    marks: _containers.RepeatedCompositeFieldContainer[Mark]
    def __init__(self, marks: _Optional[_Iterable[_Union[Mark, _Mapping]]] = ...) -> None: ...
