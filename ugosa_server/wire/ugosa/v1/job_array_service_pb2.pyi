import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from ugosa_server.wire.ugosa.v1 import job_pb2 as _job_pb2
from ugosa_server.wire.ugosa.v1 import marks_pb2 as _marks_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JobArrayItem(_message.Message):
    __slots__ = ("upload_id", "marks", "options")
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    MARKS_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    upload_id: str
    marks: _marks_pb2.Marks
    options: _job_pb2.JobOptions
    def __init__(self, upload_id: _Optional[str] = ..., marks: _Optional[_Union[_marks_pb2.Marks, _Mapping]] = ..., options: _Optional[_Union[_job_pb2.JobOptions, _Mapping]] = ...) -> None: ...

class JobArray(_message.Message):
    __slots__ = ("array_id", "request_id", "job_ids", "last_seq", "create_time", "counts")
    ARRAY_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    JOB_IDS_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQ_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    array_id: str
    request_id: str
    job_ids: _containers.RepeatedScalarFieldContainer[str]
    last_seq: int
    create_time: _timestamp_pb2.Timestamp
    counts: _containers.RepeatedCompositeFieldContainer[JobStateCount]
    def __init__(self, array_id: _Optional[str] = ..., request_id: _Optional[str] = ..., job_ids: _Optional[_Iterable[str]] = ..., last_seq: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., counts: _Optional[_Iterable[_Union[JobStateCount, _Mapping]]] = ...) -> None: ...

class JobStateCount(_message.Message):
    __slots__ = ("state", "jobs")
    STATE_FIELD_NUMBER: _ClassVar[int]
    JOBS_FIELD_NUMBER: _ClassVar[int]
    state: _job_pb2.JobState
    jobs: int
    def __init__(self, state: _Optional[_Union[_job_pb2.JobState, str]] = ..., jobs: _Optional[int] = ...) -> None: ...

class CreateJobArrayRequest(_message.Message):
    __slots__ = ("request_id", "items", "options")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    items: _containers.RepeatedCompositeFieldContainer[JobArrayItem]
    options: _job_pb2.JobOptions
    def __init__(self, request_id: _Optional[str] = ..., items: _Optional[_Iterable[_Union[JobArrayItem, _Mapping]]] = ..., options: _Optional[_Union[_job_pb2.JobOptions, _Mapping]] = ...) -> None: ...

class CreateJobArrayResponse(_message.Message):
    __slots__ = ("array",)
    ARRAY_FIELD_NUMBER: _ClassVar[int]
    array: JobArray
    def __init__(self, array: _Optional[_Union[JobArray, _Mapping]] = ...) -> None: ...

class GetJobArrayRequest(_message.Message):
    __slots__ = ("array_id",)
    ARRAY_ID_FIELD_NUMBER: _ClassVar[int]
    array_id: str
    def __init__(self, array_id: _Optional[str] = ...) -> None: ...

class GetJobArrayResponse(_message.Message):
    __slots__ = ("array",)
    ARRAY_FIELD_NUMBER: _ClassVar[int]
    array: JobArray
    def __init__(self, array: _Optional[_Union[JobArray, _Mapping]] = ...) -> None: ...

class WatchJobArrayRequest(_message.Message):
    __slots__ = ("array_id", "after_seq")
    ARRAY_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQ_FIELD_NUMBER: _ClassVar[int]
    array_id: str
    after_seq: int
    def __init__(self, array_id: _Optional[str] = ..., after_seq: _Optional[int] = ...) -> None: ...

class WatchJobArrayResponse(_message.Message):
    __slots__ = ("array_seq", "event")
    ARRAY_SEQ_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    array_seq: int
    event: _job_pb2.JobEvent
    def __init__(self, array_seq: _Optional[int] = ..., event: _Optional[_Union[_job_pb2.JobEvent, _Mapping]] = ...) -> None: ...

class CancelJobArrayRequest(_message.Message):
    __slots__ = ("array_id",)
    ARRAY_ID_FIELD_NUMBER: _ClassVar[int]
    array_id: str
    def __init__(self, array_id: _Optional[str] = ...) -> None: ...

class CancelJobArrayResponse(_message.Message):
    __slots__ = ("array",)
    ARRAY_FIELD_NUMBER: _ClassVar[int]
    array: JobArray
    def __init__(self, array: _Optional[_Union[JobArray, _Mapping]] = ...) -> None: ...
