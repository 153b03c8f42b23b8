from ugosa_server.wire.ugosa.v1 import audio_pb2 as _audio_pb2
from ugosa_server.wire.ugosa.v1 import job_pb2 as _job_pb2
from ugosa_server.wire.ugosa.v1 import marks_pb2 as _marks_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SeparateRequest(_message.Message):
    __slots__ = ("header", "chunk", "marks")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    MARKS_FIELD_NUMBER: _ClassVar[int]
    header: SeparateHeader
    chunk: _audio_pb2.Chunk
    marks: _marks_pb2.Marks
    def __init__(self, header: _Optional[_Union[SeparateHeader, _Mapping]] = ..., chunk: _Optional[_Union[_audio_pb2.Chunk, _Mapping]] = ..., marks: _Optional[_Union[_marks_pb2.Marks, _Mapping]] = ...) -> None: ...

class SeparateHeader(_message.Message):
    __slots__ = ("request_id", "format", "options")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    format: _audio_pb2.AudioFormat
    options: _job_pb2.JobOptions
    def __init__(self, request_id: _Optional[str] = ..., format: _Optional[_Union[_audio_pb2.AudioFormat, _Mapping]] = ..., options: _Optional[_Union[_job_pb2.JobOptions, _Mapping]] = ...) -> None: ...

class SeparateResponse(_message.Message):
    __slots__ = ("received", "accepted", "event", "stem", "done")
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    STEM_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    received: SeparateReceived
    accepted: SeparateAccepted
    event: _job_pb2.JobEvent
    stem: SeparateStemChunk
    done: SeparateDone
    def __init__(self, received: _Optional[_Union[SeparateReceived, _Mapping]] = ..., accepted: _Optional[_Union[SeparateAccepted, _Mapping]] = ..., event: _Optional[_Union[_job_pb2.JobEvent, _Mapping]] = ..., stem: _Optional[_Union[SeparateStemChunk, _Mapping]] = ..., done: _Optional[_Union[SeparateDone, _Mapping]] = ...) -> None: ...

class SeparateReceived(_message.Message):
    __slots__ = ("committed_size",)
    COMMITTED_SIZE_FIELD_NUMBER: _ClassVar[int]
    committed_size: int
    def __init__(self, committed_size: _Optional[int] = ...) -> None: ...

class SeparateAccepted(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: _job_pb2.Job
    def __init__(self, job: _Optional[_Union[_job_pb2.Job, _Mapping]] = ...) -> None: ...

class SeparateStemChunk(_message.Message):
    __slots__ = ("source", "chunk")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    source: str
    chunk: _audio_pb2.Chunk
    def __init__(self, source: _Optional[str] = ..., chunk: _Optional[_Union[_audio_pb2.Chunk, _Mapping]] = ...) -> None: ...

class SeparateDone(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: _job_pb2.Job
    def __init__(self, job: _Optional[_Union[_job_pb2.Job, _Mapping]] = ...) -> None: ...
