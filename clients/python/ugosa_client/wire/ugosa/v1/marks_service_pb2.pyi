from ugosa_client.wire.ugosa.v1 import job_pb2 as _job_pb2
from ugosa_client.wire.ugosa.v1 import marks_pb2 as _marks_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FindingSeverity(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FINDING_SEVERITY_UNSPECIFIED: _ClassVar[FindingSeverity]
    FINDING_SEVERITY_INFO: _ClassVar[FindingSeverity]
    FINDING_SEVERITY_WARNING: _ClassVar[FindingSeverity]
    FINDING_SEVERITY_ERROR: _ClassVar[FindingSeverity]
FINDING_SEVERITY_UNSPECIFIED: FindingSeverity
FINDING_SEVERITY_INFO: FindingSeverity
FINDING_SEVERITY_WARNING: FindingSeverity
FINDING_SEVERITY_ERROR: FindingSeverity

class ListenRequest(_message.Message):
    __slots__ = ("request_id", "upload_id", "model")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    upload_id: str
    model: str
    def __init__(self, request_id: _Optional[str] = ..., upload_id: _Optional[str] = ..., model: _Optional[str] = ...) -> None: ...

class ListenResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: _job_pb2.Job
    def __init__(self, job: _Optional[_Union[_job_pb2.Job, _Mapping]] = ...) -> None: ...

class Finding(_message.Message):
    __slots__ = ("code", "severity", "source", "start_frame", "end_frame", "message", "fix")
    CODE_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    START_FRAME_FIELD_NUMBER: _ClassVar[int]
    END_FRAME_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FIX_FIELD_NUMBER: _ClassVar[int]
    code: str
    severity: FindingSeverity
    source: str
    start_frame: int
    end_frame: int
    message: str
    fix: str
    def __init__(self, code: _Optional[str] = ..., severity: _Optional[_Union[FindingSeverity, str]] = ..., source: _Optional[str] = ..., start_frame: _Optional[int] = ..., end_frame: _Optional[int] = ..., message: _Optional[str] = ..., fix: _Optional[str] = ...) -> None: ...

class LintMarksRequest(_message.Message):
    __slots__ = ("upload_id", "model", "marks")
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MARKS_FIELD_NUMBER: _ClassVar[int]
    upload_id: str
    model: str
    marks: _marks_pb2.Marks
    def __init__(self, upload_id: _Optional[str] = ..., model: _Optional[str] = ..., marks: _Optional[_Union[_marks_pb2.Marks, _Mapping]] = ...) -> None: ...

class LintMarksResponse(_message.Message):
    __slots__ = ("findings", "heard")
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    HEARD_FIELD_NUMBER: _ClassVar[int]
    findings: _containers.RepeatedCompositeFieldContainer[Finding]
    heard: bool
    def __init__(self, findings: _Optional[_Iterable[_Union[Finding, _Mapping]]] = ..., heard: bool = ...) -> None: ...

class SuggestMarksRequest(_message.Message):
    __slots__ = ("upload_id", "model")
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    upload_id: str
    model: str
    def __init__(self, upload_id: _Optional[str] = ..., model: _Optional[str] = ...) -> None: ...

class SuggestedMark(_message.Message):
    __slots__ = ("mark", "confidence")
    MARK_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    mark: _marks_pb2.Mark
    confidence: float
    def __init__(self, mark: _Optional[_Union[_marks_pb2.Mark, _Mapping]] = ..., confidence: _Optional[float] = ...) -> None: ...

class SuggestMarksResponse(_message.Message):
    __slots__ = ("suggestions",)
    SUGGESTIONS_FIELD_NUMBER: _ClassVar[int]
    suggestions: _containers.RepeatedCompositeFieldContainer[SuggestedMark]
    def __init__(self, suggestions: _Optional[_Iterable[_Union[SuggestedMark, _Mapping]]] = ...) -> None: ...
