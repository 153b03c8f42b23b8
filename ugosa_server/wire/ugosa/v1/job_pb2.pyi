import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from ugosa_server.wire.ugosa.v1 import audio_pb2 as _audio_pb2
from ugosa_server.wire.ugosa.v1 import marks_pb2 as _marks_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JobState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JOB_STATE_UNSPECIFIED: _ClassVar[JobState]
    JOB_STATE_QUEUED: _ClassVar[JobState]
    JOB_STATE_RUNNING: _ClassVar[JobState]
    JOB_STATE_CANCELLING: _ClassVar[JobState]
    JOB_STATE_SUCCEEDED: _ClassVar[JobState]
    JOB_STATE_FAILED: _ClassVar[JobState]
    JOB_STATE_CANCELLED: _ClassVar[JobState]

class JobKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JOB_KIND_UNSPECIFIED: _ClassVar[JobKind]
    JOB_KIND_SEPARATION: _ClassVar[JobKind]
    JOB_KIND_LISTENING: _ClassVar[JobKind]

class JobPhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JOB_PHASE_UNSPECIFIED: _ClassVar[JobPhase]
    JOB_PHASE_PREPARE: _ClassVar[JobPhase]
    JOB_PHASE_BASE_SEPARATION: _ClassVar[JobPhase]
    JOB_PHASE_ADAPTATION: _ClassVar[JobPhase]
    JOB_PHASE_SEPARATION: _ClassVar[JobPhase]
    JOB_PHASE_REPORT: _ClassVar[JobPhase]

class StemEncoding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STEM_ENCODING_UNSPECIFIED: _ClassVar[StemEncoding]
    STEM_ENCODING_WAV_FLOAT32: _ClassVar[StemEncoding]
    STEM_ENCODING_WAV_PCM24: _ClassVar[StemEncoding]
    STEM_ENCODING_FLAC_PCM24: _ClassVar[StemEncoding]

class MaskKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MASK_KIND_UNSPECIFIED: _ClassVar[MaskKind]
    MASK_KIND_SOFT: _ClassVar[MaskKind]
    MASK_KIND_HARD: _ClassVar[MaskKind]
    MASK_KIND_SHARED: _ClassVar[MaskKind]

class BaseStems(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BASE_STEMS_UNSPECIFIED: _ClassVar[BaseStems]
    BASE_STEMS_NONE: _ClassVar[BaseStems]
    BASE_STEMS_EARLY: _ClassVar[BaseStems]
    BASE_STEMS_KEPT: _ClassVar[BaseStems]

class VerdictOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERDICT_OUTCOME_UNSPECIFIED: _ClassVar[VerdictOutcome]
    VERDICT_OUTCOME_HELPED: _ClassVar[VerdictOutcome]
    VERDICT_OUTCOME_DID_NOT: _ClassVar[VerdictOutcome]
    VERDICT_OUTCOME_CANNOT_TELL: _ClassVar[VerdictOutcome]

class NoticeLevel(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NOTICE_LEVEL_UNSPECIFIED: _ClassVar[NoticeLevel]
    NOTICE_LEVEL_INFO: _ClassVar[NoticeLevel]
    NOTICE_LEVEL_WARNING: _ClassVar[NoticeLevel]
JOB_STATE_UNSPECIFIED: JobState
JOB_STATE_QUEUED: JobState
JOB_STATE_RUNNING: JobState
JOB_STATE_CANCELLING: JobState
JOB_STATE_SUCCEEDED: JobState
JOB_STATE_FAILED: JobState
JOB_STATE_CANCELLED: JobState
JOB_KIND_UNSPECIFIED: JobKind
JOB_KIND_SEPARATION: JobKind
JOB_KIND_LISTENING: JobKind
JOB_PHASE_UNSPECIFIED: JobPhase
JOB_PHASE_PREPARE: JobPhase
JOB_PHASE_BASE_SEPARATION: JobPhase
JOB_PHASE_ADAPTATION: JobPhase
JOB_PHASE_SEPARATION: JobPhase
JOB_PHASE_REPORT: JobPhase
STEM_ENCODING_UNSPECIFIED: StemEncoding
STEM_ENCODING_WAV_FLOAT32: StemEncoding
STEM_ENCODING_WAV_PCM24: StemEncoding
STEM_ENCODING_FLAC_PCM24: StemEncoding
MASK_KIND_UNSPECIFIED: MaskKind
MASK_KIND_SOFT: MaskKind
MASK_KIND_HARD: MaskKind
MASK_KIND_SHARED: MaskKind
BASE_STEMS_UNSPECIFIED: BaseStems
BASE_STEMS_NONE: BaseStems
BASE_STEMS_EARLY: BaseStems
BASE_STEMS_KEPT: BaseStems
VERDICT_OUTCOME_UNSPECIFIED: VerdictOutcome
VERDICT_OUTCOME_HELPED: VerdictOutcome
VERDICT_OUTCOME_DID_NOT: VerdictOutcome
VERDICT_OUTCOME_CANNOT_TELL: VerdictOutcome
NOTICE_LEVEL_UNSPECIFIED: NoticeLevel
NOTICE_LEVEL_INFO: NoticeLevel
NOTICE_LEVEL_WARNING: NoticeLevel

class JobOptions(_message.Message):
    __slots__ = ("model", "preset", "strategy", "silence_weight", "learning_rate", "epochs", "segment_seconds", "hop_seconds", "batch_size", "seed", "separation_segment_seconds", "separation_overlap", "separation_shifts", "stem_encoding", "pitch_shifts", "instruments", "visual_frames", "wiener_exponent", "mask_kind", "pictures", "video", "remix_weight", "marks_weight", "guard", "stems", "max_steps", "max_seconds", "base_stems", "start_from", "excerpt", "max_memory_bytes", "preview_start_frame", "preview_end_frame", "calibration")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PRESET_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    SILENCE_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    HOP_SECONDS_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    SEPARATION_SEGMENT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SEPARATION_OVERLAP_FIELD_NUMBER: _ClassVar[int]
    SEPARATION_SHIFTS_FIELD_NUMBER: _ClassVar[int]
    STEM_ENCODING_FIELD_NUMBER: _ClassVar[int]
    PITCH_SHIFTS_FIELD_NUMBER: _ClassVar[int]
    INSTRUMENTS_FIELD_NUMBER: _ClassVar[int]
    VISUAL_FRAMES_FIELD_NUMBER: _ClassVar[int]
    WIENER_EXPONENT_FIELD_NUMBER: _ClassVar[int]
    MASK_KIND_FIELD_NUMBER: _ClassVar[int]
    PICTURES_FIELD_NUMBER: _ClassVar[int]
    VIDEO_FIELD_NUMBER: _ClassVar[int]
    REMIX_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    MARKS_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    GUARD_FIELD_NUMBER: _ClassVar[int]
    STEMS_FIELD_NUMBER: _ClassVar[int]
    MAX_STEPS_FIELD_NUMBER: _ClassVar[int]
    MAX_SECONDS_FIELD_NUMBER: _ClassVar[int]
    BASE_STEMS_FIELD_NUMBER: _ClassVar[int]
    START_FROM_FIELD_NUMBER: _ClassVar[int]
    EXCERPT_FIELD_NUMBER: _ClassVar[int]
    MAX_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    PREVIEW_START_FRAME_FIELD_NUMBER: _ClassVar[int]
    PREVIEW_END_FRAME_FIELD_NUMBER: _ClassVar[int]
    CALIBRATION_FIELD_NUMBER: _ClassVar[int]
    model: str
    preset: str
    strategy: str
    silence_weight: float
    learning_rate: float
    epochs: int
    segment_seconds: float
    hop_seconds: float
    batch_size: int
    seed: int
    separation_segment_seconds: float
    separation_overlap: float
    separation_shifts: int
    stem_encoding: StemEncoding
    pitch_shifts: int
    instruments: _containers.RepeatedScalarFieldContainer[str]
    visual_frames: _containers.RepeatedCompositeFieldContainer[VisualFrame]
    wiener_exponent: float
    mask_kind: MaskKind
    pictures: _containers.RepeatedCompositeFieldContainer[PlayerPicture]
    video: VideoSource
    remix_weight: float
    marks_weight: float
    guard: bool
    stems: _containers.RepeatedScalarFieldContainer[str]
    max_steps: int
    max_seconds: float
    base_stems: BaseStems
    start_from: str
    excerpt: bool
    max_memory_bytes: int
    preview_start_frame: int
    preview_end_frame: int
    calibration: bool
    def __init__(self, model: _Optional[str] = ..., preset: _Optional[str] = ..., strategy: _Optional[str] = ..., silence_weight: _Optional[float] = ..., learning_rate: _Optional[float] = ..., epochs: _Optional[int] = ..., segment_seconds: _Optional[float] = ..., hop_seconds: _Optional[float] = ..., batch_size: _Optional[int] = ..., seed: _Optional[int] = ..., separation_segment_seconds: _Optional[float] = ..., separation_overlap: _Optional[float] = ..., separation_shifts: _Optional[int] = ..., stem_encoding: _Optional[_Union[StemEncoding, str]] = ..., pitch_shifts: _Optional[int] = ..., instruments: _Optional[_Iterable[str]] = ..., visual_frames: _Optional[_Iterable[_Union[VisualFrame, _Mapping]]] = ..., wiener_exponent: _Optional[float] = ..., mask_kind: _Optional[_Union[MaskKind, str]] = ..., pictures: _Optional[_Iterable[_Union[PlayerPicture, _Mapping]]] = ..., video: _Optional[_Union[VideoSource, _Mapping]] = ..., remix_weight: _Optional[float] = ..., marks_weight: _Optional[float] = ..., guard: bool = ..., stems: _Optional[_Iterable[str]] = ..., max_steps: _Optional[int] = ..., max_seconds: _Optional[float] = ..., base_stems: _Optional[_Union[BaseStems, str]] = ..., start_from: _Optional[str] = ..., excerpt: bool = ..., max_memory_bytes: _Optional[int] = ..., preview_start_frame: _Optional[int] = ..., preview_end_frame: _Optional[int] = ..., calibration: bool = ...) -> None: ...

class VisualFrame(_message.Message):
    __slots__ = ("player", "frame", "features")
    PLAYER_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    player: int
    frame: int
    features: bytes
    def __init__(self, player: _Optional[int] = ..., frame: _Optional[int] = ..., features: _Optional[bytes] = ...) -> None: ...

class PlayerPicture(_message.Message):
    __slots__ = ("player", "frame", "jpeg")
    PLAYER_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    JPEG_FIELD_NUMBER: _ClassVar[int]
    player: int
    frame: int
    jpeg: bytes
    def __init__(self, player: _Optional[int] = ..., frame: _Optional[int] = ..., jpeg: _Optional[bytes] = ...) -> None: ...

class PlayerBox(_message.Message):
    __slots__ = ("left", "top", "width", "height")
    LEFT_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    left: int
    top: int
    width: int
    height: int
    def __init__(self, left: _Optional[int] = ..., top: _Optional[int] = ..., width: _Optional[int] = ..., height: _Optional[int] = ...) -> None: ...

class VideoSource(_message.Message):
    __slots__ = ("upload_id", "players", "every_seconds", "start_frame")
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    PLAYERS_FIELD_NUMBER: _ClassVar[int]
    EVERY_SECONDS_FIELD_NUMBER: _ClassVar[int]
    START_FRAME_FIELD_NUMBER: _ClassVar[int]
    upload_id: str
    players: _containers.RepeatedCompositeFieldContainer[PlayerBox]
    every_seconds: float
    start_frame: int
    def __init__(self, upload_id: _Optional[str] = ..., players: _Optional[_Iterable[_Union[PlayerBox, _Mapping]]] = ..., every_seconds: _Optional[float] = ..., start_frame: _Optional[int] = ...) -> None: ...

class Stem(_message.Message):
    __slots__ = ("source", "encoding", "sample_rate_hz", "channels", "frames", "size_bytes", "sha256")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_RATE_HZ_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    source: str
    encoding: StemEncoding
    sample_rate_hz: int
    channels: int
    frames: int
    size_bytes: int
    sha256: str
    def __init__(self, source: _Optional[str] = ..., encoding: _Optional[_Union[StemEncoding, str]] = ..., sample_rate_hz: _Optional[int] = ..., channels: _Optional[int] = ..., frames: _Optional[int] = ..., size_bytes: _Optional[int] = ..., sha256: _Optional[str] = ...) -> None: ...

class JobError(_message.Message):
    __slots__ = ("reason", "message")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class Job(_message.Message):
    __slots__ = ("job_id", "request_id", "upload_id", "state", "options", "marks", "attempt", "queue_position", "fraction", "last_seq", "create_time", "start_time", "end_time", "error", "stems", "audio", "file_name", "kind", "array_id", "verdict", "base_stems", "accepted", "adapter", "starred", "song_sha256")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    MARKS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    QUEUE_POSITION_FIELD_NUMBER: _ClassVar[int]
    FRACTION_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQ_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    STEMS_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ARRAY_ID_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    BASE_STEMS_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    STARRED_FIELD_NUMBER: _ClassVar[int]
    SONG_SHA256_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    request_id: str
    upload_id: str
    state: JobState
    options: JobOptions
    marks: _marks_pb2.Marks
    attempt: int
    queue_position: int
    fraction: float
    last_seq: int
    create_time: _timestamp_pb2.Timestamp
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    error: JobError
    stems: _containers.RepeatedCompositeFieldContainer[Stem]
    audio: _audio_pb2.AudioInfo
    file_name: str
    kind: JobKind
    array_id: str
    verdict: Verdict
    base_stems: _containers.RepeatedCompositeFieldContainer[Stem]
    accepted: bool
    adapter: Adapter
    starred: bool
    song_sha256: str
    def __init__(self, job_id: _Optional[str] = ..., request_id: _Optional[str] = ..., upload_id: _Optional[str] = ..., state: _Optional[_Union[JobState, str]] = ..., options: _Optional[_Union[JobOptions, _Mapping]] = ..., marks: _Optional[_Union[_marks_pb2.Marks, _Mapping]] = ..., attempt: _Optional[int] = ..., queue_position: _Optional[int] = ..., fraction: _Optional[float] = ..., last_seq: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., error: _Optional[_Union[JobError, _Mapping]] = ..., stems: _Optional[_Iterable[_Union[Stem, _Mapping]]] = ..., audio: _Optional[_Union[_audio_pb2.AudioInfo, _Mapping]] = ..., file_name: _Optional[str] = ..., kind: _Optional[_Union[JobKind, str]] = ..., array_id: _Optional[str] = ..., verdict: _Optional[_Union[Verdict, _Mapping]] = ..., base_stems: _Optional[_Iterable[_Union[Stem, _Mapping]]] = ..., accepted: bool = ..., adapter: _Optional[_Union[Adapter, _Mapping]] = ..., starred: bool = ..., song_sha256: _Optional[str] = ...) -> None: ...

class Adapter(_message.Message):
    __slots__ = ("size_bytes", "sha256")
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    size_bytes: int
    sha256: str
    def __init__(self, size_bytes: _Optional[int] = ..., sha256: _Optional[str] = ...) -> None: ...

class Verdict(_message.Message):
    __slots__ = ("outcome", "kept_epoch", "held_back_seconds", "sources", "message", "remixes_db")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    KEPT_EPOCH_FIELD_NUMBER: _ClassVar[int]
    HELD_BACK_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REMIXES_DB_FIELD_NUMBER: _ClassVar[int]
    outcome: VerdictOutcome
    kept_epoch: int
    held_back_seconds: float
    sources: _containers.RepeatedCompositeFieldContainer[SourceVerdict]
    message: str
    remixes_db: float
    def __init__(self, outcome: _Optional[_Union[VerdictOutcome, str]] = ..., kept_epoch: _Optional[int] = ..., held_back_seconds: _Optional[float] = ..., sources: _Optional[_Iterable[_Union[SourceVerdict, _Mapping]]] = ..., message: _Optional[str] = ..., remixes_db: _Optional[float] = ...) -> None: ...

class SourceVerdict(_message.Message):
    __slots__ = ("source", "held_back_seconds", "before_dbfs", "after_dbfs")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    HELD_BACK_SECONDS_FIELD_NUMBER: _ClassVar[int]
    BEFORE_DBFS_FIELD_NUMBER: _ClassVar[int]
    AFTER_DBFS_FIELD_NUMBER: _ClassVar[int]
    source: str
    held_back_seconds: float
    before_dbfs: float
    after_dbfs: float
    def __init__(self, source: _Optional[str] = ..., held_back_seconds: _Optional[float] = ..., before_dbfs: _Optional[float] = ..., after_dbfs: _Optional[float] = ...) -> None: ...

class JobEvent(_message.Message):
    __slots__ = ("job_id", "seq", "attempt", "time", "state_changed", "progress", "notice", "base_stems", "preview")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    STATE_CHANGED_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    NOTICE_FIELD_NUMBER: _ClassVar[int]
    BASE_STEMS_FIELD_NUMBER: _ClassVar[int]
    PREVIEW_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    seq: int
    attempt: int
    time: _timestamp_pb2.Timestamp
    state_changed: JobStateChanged
    progress: JobProgress
    notice: JobNotice
    base_stems: JobBaseStems
    preview: JobPreview
    def __init__(self, job_id: _Optional[str] = ..., seq: _Optional[int] = ..., attempt: _Optional[int] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., state_changed: _Optional[_Union[JobStateChanged, _Mapping]] = ..., progress: _Optional[_Union[JobProgress, _Mapping]] = ..., notice: _Optional[_Union[JobNotice, _Mapping]] = ..., base_stems: _Optional[_Union[JobBaseStems, _Mapping]] = ..., preview: _Optional[_Union[JobPreview, _Mapping]] = ...) -> None: ...

class JobBaseStems(_message.Message):
    __slots__ = ("sources",)
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    sources: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, sources: _Optional[_Iterable[str]] = ...) -> None: ...

class JobPreview(_message.Message):
    __slots__ = ("sources", "epoch", "step", "start_frame", "end_frame")
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    START_FRAME_FIELD_NUMBER: _ClassVar[int]
    END_FRAME_FIELD_NUMBER: _ClassVar[int]
    sources: _containers.RepeatedScalarFieldContainer[str]
    epoch: int
    step: int
    start_frame: int
    end_frame: int
    def __init__(self, sources: _Optional[_Iterable[str]] = ..., epoch: _Optional[int] = ..., step: _Optional[int] = ..., start_frame: _Optional[int] = ..., end_frame: _Optional[int] = ...) -> None: ...

class JobStateChanged(_message.Message):
    __slots__ = ("state", "error")
    STATE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    state: JobState
    error: JobError
    def __init__(self, state: _Optional[_Union[JobState, str]] = ..., error: _Optional[_Union[JobError, _Mapping]] = ...) -> None: ...

class JobProgress(_message.Message):
    __slots__ = ("phase", "fraction", "eta_seconds", "step", "steps", "epoch", "epochs", "loss", "held_back_db")
    PHASE_FIELD_NUMBER: _ClassVar[int]
    FRACTION_FIELD_NUMBER: _ClassVar[int]
    ETA_SECONDS_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    HELD_BACK_DB_FIELD_NUMBER: _ClassVar[int]
    phase: JobPhase
    fraction: float
    eta_seconds: float
    step: int
    steps: int
    epoch: int
    epochs: int
    loss: LossTerms
    held_back_db: float
    def __init__(self, phase: _Optional[_Union[JobPhase, str]] = ..., fraction: _Optional[float] = ..., eta_seconds: _Optional[float] = ..., step: _Optional[int] = ..., steps: _Optional[int] = ..., epoch: _Optional[int] = ..., epochs: _Optional[int] = ..., loss: _Optional[_Union[LossTerms, _Mapping]] = ..., held_back_db: _Optional[float] = ...) -> None: ...

class LossTerms(_message.Message):
    __slots__ = ("total", "reconstruction", "silence")
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    RECONSTRUCTION_FIELD_NUMBER: _ClassVar[int]
    SILENCE_FIELD_NUMBER: _ClassVar[int]
    total: float
    reconstruction: float
    silence: float
    def __init__(self, total: _Optional[float] = ..., reconstruction: _Optional[float] = ..., silence: _Optional[float] = ...) -> None: ...

class JobNotice(_message.Message):
    __slots__ = ("level", "reason", "message")
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    level: NoticeLevel
    reason: str
    message: str
    def __init__(self, level: _Optional[_Union[NoticeLevel, str]] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...
