"""Resources of the server: uploads, jobs, stems and models, as frozen dataclasses.

Positions are integer frames at the song's own sample rate, the end exclusive, as everywhere in the API.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from fractions import Fraction


class MarkState(StrEnum):
    """State of a source in a mark; unmarked time is neither."""

    ACTIVE = "active"
    SILENT = "silent"


@dataclass(frozen=True, order=True)
class Mark:
    """One region of one source."""

    source: str
    """Name of a source of the model, for example "vocals"."""
    state: MarkState
    """State of the source in the region."""
    start_frame: int
    """First frame, at the song's rate; 0 <= start_frame < end_frame."""
    end_frame: int
    """One past the last frame, at most the number of frames of the song."""

    @staticmethod
    def silent(source: str, start_s: float, end_s: float) -> TimedMark:
        """Return the mark of a source that is silent from one time to another, in seconds."""
        return TimedMark(source, MarkState.SILENT, start_s, end_s)

    @staticmethod
    def active(source: str, start_s: float, end_s: float) -> TimedMark:
        """Return the mark of a source that plays from one time to another, in seconds."""
        return TimedMark(source, MarkState.ACTIVE, start_s, end_s)


@dataclass(frozen=True, order=True)
class TimedMark:
    """One region of one source in seconds, before the rate of the song is known."""

    source: str
    """Name of a source of the model, or an everyday name of one, for example "vox"."""
    state: MarkState
    """State of the source in the region."""
    start_s: float
    """Start, in seconds from the start of the song."""
    end_s: float
    """End, in seconds, exclusive."""

    def at_rate(self, sample_rate_hz: int) -> Mark:
        """Return the mark in frames of a song of that rate; halves round up."""
        start_frame, end_frame = (
            int(exact_time(time_s) * sample_rate_hz + Fraction(1, 2)) for time_s in (self.start_s, self.end_s)
        )
        return Mark(self.source, self.state, start_frame, end_frame)


def exact_time(time_s: float) -> Fraction:
    """Return seconds as they are, of whatever kind of number: numpy's float32 is no float of Python's."""
    try:
        return Fraction(time_s)
    except TypeError:
        return Fraction(float(time_s))


@dataclass(frozen=True)
class AudioInfo:
    """Properties of a decoded song."""

    sample_rate_hz: int
    """Frames a second."""
    channels: int
    """1 or 2."""
    frames: int
    """Samples per channel."""
    encoding: str
    """Container and sample format as found, for example "WAV PCM_24"."""
    peak: float
    """Largest absolute sample value; full scale is 1."""


@dataclass(frozen=True)
class VideoInfo:
    """Properties of an uploaded video; sizes in pixels."""

    width: int
    height: int
    encoding: str
    """The codec as found, for example "h264"."""


@dataclass(frozen=True)
class Upload:
    """A song on the server."""

    upload_id: str
    """Server-made."""
    complete: bool
    """Whether all bytes are there, verified and decoded, so that jobs can use it."""
    committed_size: int
    """Bytes that are durable on the server."""
    sha256: str
    """Hex, of all bytes; empty until complete."""
    audio: AudioInfo | None
    """None until complete, and of a video."""
    video: VideoInfo | None = None
    """None until complete, and of a song."""
    file_name: str = ""
    """Name that came with it, for display; empty of raw samples."""
    create_time: datetime | None = None
    """UTC."""
    stored_bytes: int = 0
    """Bytes on the server's disk that count against the caller's quota."""


@dataclass(frozen=True)
class Usage:
    """Storage that the caller uses at the server, and may use."""

    uploads: int
    """Songs and videos, finished or not."""
    max_uploads: int
    """The most that there may be."""
    upload_bytes: int
    """Bytes of them on disk."""
    stem_bytes: int
    """Bytes of finished stems, and the most that those of jobs that have not ended can take."""
    max_stored_bytes: int
    """The most that both may be together."""


class StemEncoding(StrEnum):
    """Encoding of the stems' files."""

    WAV_FLOAT32 = "wav-float32"
    WAV_PCM24 = "wav-pcm24"
    FLAC_PCM24 = "flac-pcm24"

    @property
    def suffix(self) -> str:
        """File suffix with its dot."""
        return ".flac" if self is StemEncoding.FLAC_PCM24 else ".wav"


class MaskKind(StrEnum):
    """Kind of the masks of a network that gives masks."""

    SOFT = "soft"
    """Shares between 0 and 1, as the network gives them."""
    HARD = "hard"
    """All or nothing in each bin."""
    SHARED = "shared"
    """Each bin shared out among the sources by the squares of their soft masks."""


class BaseStems(StrEnum):
    """Stems of the model as it is, under the marks, in a job that fine-tunes it."""

    NONE = "none"
    """They are not written."""
    EARLY = "early"
    """They are written before fine-tuning begins, and removed at the end of the job."""
    KEPT = "kept"
    """They are written as early, and kept beside the job's stems."""


@dataclass(frozen=True)
class VisualFrame:
    """Features of one player at one time, for a model that is conditioned on video."""

    player: int
    """Slot of the player, 0 to 6; the same player keeps his slot."""
    frame: int
    """Time in frames of the song at its own rate."""
    features: bytes
    """Up to 2048 float16, little-endian: what an image network makes of it."""


@dataclass(frozen=True)
class PlayerPicture:
    """A picture of one player, of which the server's encoder makes features."""

    player: int
    """The same as in VisualFrame."""
    frame: int
    """The same as in VisualFrame."""
    jpeg: bytes
    """A JPEG file of 1 MiB at most; 224 pixels a side are enough for ResNet-50."""


@dataclass(frozen=True)
class PlayerBox:
    """Place of a player in a video: pixels from the upper left corner; none is below 0, no side is 0."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class VideoSource:
    """An uploaded video of the players, of which the server takes pictures."""

    upload_id: str
    players: tuple[PlayerBox, ...] = ()
    """Slot by slot, 7 at most; empty = one player, who has the whole picture."""
    every_s: float = 0.0
    """Seconds between the pictures that are taken; 0 = what the model looks at."""
    start_frame: int = 0
    """Start of the video in the song, in frames of the song; may be negative."""


@dataclass(frozen=True)
class JobOptions:
    """Options of a job; None takes the preset's value, or the model's own default."""

    model: str | None = None
    """Name of a model of the server; None = the server's default."""
    preset: str | None = None
    """Named set of defaults: "paper", "authors-code", "film-only", "low-rate"."""
    strategy: str | None = None
    """Fine-tuned part, in the paper's names: "P-L3:D", "B-L3:D", "B0" ..., and "R-L3:D" with remixes."""
    silence_weight: float | None = None
    """lambda of Eq. 2, the weight of the silence term; >= 0."""
    learning_rate: float | None = None
    """> 0."""
    epochs: int | None = None
    """Passes over the song; >= 0."""
    segment_s: float | None = None
    """Length of an adaptation segment in seconds; > 0."""
    hop_s: float | None = None
    """Distance between starts of adaptation segments in seconds; None = segment_s."""
    batch_size: int | None = None
    """Segments a step; >= 1."""
    pitch_shifts: int | None = None
    """Pitch-shifted observations of every segment, besides the segment itself; >= 0."""
    remix_weight: float | None = None
    """Weight of remixes in a strategy "R-..."; > 0."""
    marks_weight: float | None = None
    """Weight of Eq. 2 in a strategy "R-..."; >= 0."""
    max_steps: int | None = None
    """Steps after which learning ends, within an epoch too; 0 = those of all epochs."""
    max_s: float | None = None
    """Seconds for the whole job, stems included: learning ends early for it; 0 = no limit."""
    guard: bool | None = None
    """Whether marked silence is held back, and the epoch kept that is best on it, or the model as it is."""
    calibration: bool | None = None
    """Whether "R-..." learns, too, how loud each source is to be taken in every band."""
    start_from: str | None = None
    """Start of learning: "none", the id of a job or of an uploaded adapter, or "auto" = the newest job."""
    max_memory_bytes: int | None = None
    """Memory that the worker may hold during the job; 0 = as the server has it."""
    seed: int | None = None
    """Seed of every random choice of the job."""
    separation_segment_s: float | None = None
    """Length of a separation segment in seconds; > 0."""
    overlap: float | None = None
    """Share of a separation segment that overlaps the next one; 0 <= overlap < 1."""
    shifts: int | None = None
    """Random time shifts averaged in separation; 0 = none."""
    wiener_exponent: float | None = None
    """Exponent of the generalised Wiener filter: 1 = magnitudes, 2 = powers, 0 = none."""
    mask_kind: MaskKind | None = None
    """Kind of the masks of a model that gives masks; None = the model's, else soft."""
    stem_encoding: StemEncoding | None = None
    base_stems: BaseStems | None = None
    """Whether stems of the model as it is are given too, before fine-tuning begins."""
    preview_start_frame: int | None = None
    """First frame of a stretch that is separated again and again during fine-tuning."""
    preview_end_frame: int | None = None
    """One past its last frame, at most 15 s later; None = no previews."""
    stems: tuple[str, ...] = ()
    """Stems to give, for example ("vocals",); the sum of all others is one more, "rest". Empty = all."""
    excerpt: bool | None = None
    """Whether there is a page of the report, with a few seconds of every take; None = yes."""
    instruments: tuple[str, ...] = ()
    """Instruments that play, for a model that gives stems of those alone; empty = by the marks."""
    visual_frames: tuple[VisualFrame, ...] = ()
    """Features of the players, for a model that is conditioned on video.

    The server does not send them back. At most one of these three is given.
    """
    pictures: tuple[PlayerPicture, ...] = ()
    """Pictures of the players, 3 MiB in all; the server does not send them back."""
    video: VideoSource | None = None
    """An uploaded video of the players."""


UNADAPTED = "B0"
"""The strategy that trains nothing."""

MODEL_DEFAULTS = JobOptions()
"""Everything as the model and the server have it."""

ENUM_OPTIONS: dict[str, type[StrEnum]] = {
    "mask_kind": MaskKind,
    "stem_encoding": StemEncoding,
    "base_stems": BaseStems,
}
"""Fields of JobOptions whose value is one of a few words."""


class JobState(StrEnum):
    """State of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing more will happen to the job."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True)
class Stem:
    """One part of the song, as a file on the server; rate, channels and length are the song's."""

    source: str
    """The source's name, for example "drums"."""
    encoding: StemEncoding
    sample_rate_hz: int
    channels: int
    frames: int
    size_bytes: int
    sha256: str
    is_base: bool = False
    """True of the model as it is: one of `Job.base_stems`."""


@dataclass(frozen=True)
class JobFailure:
    """Failure of a job."""

    reason: str
    """Stable word, for example "WORKER_LOST"."""
    message: str
    """For people."""


class JobKind(StrEnum):
    """Purpose of a job."""

    SEPARATION = "separation"
    """Adaptation and separation: stems and a report."""
    ANALYSIS = "listening"
    """Analysis for suggestions and lint: no stems and no report."""


class VerdictOutcome(StrEnum):
    """Answer to the question whether fine-tuning helped."""

    HELPED = "helped"
    """An adapted network was kept."""
    DID_NOT = "did not"
    """The network was kept as it was."""
    CANNOT_TELL = "cannot tell"
    """Too little silence is marked to hold some back; the adapted network was kept, unjudged."""


@dataclass(frozen=True)
class SourceVerdict:
    """Leakage of one source into marked silence that was held back, before marks are applied."""

    source: str
    held_back_s: float
    before_dbfs: float
    """Level of the model as it is."""
    after_dbfs: float
    """Level of the network that made the stems; of the last epoch where the model was kept as it was."""


@dataclass(frozen=True)
class Verdict:
    """Whether fine-tuning helped the song, judged on marked silence that it had not seen."""

    outcome: VerdictOutcome
    kept_epoch: int
    """Epoch whose network made the stems; 0 = the model as it is."""
    held_back_s: float
    """Marked silence that was held back in seconds, all sources together."""
    sources: tuple[SourceVerdict, ...]
    """Sources of which silence was held back."""
    message: str
    """The same for people."""
    remixes_db: float | None = None
    """Gain on remixes of what was held back; None where nothing could be remixed."""


@dataclass(frozen=True)
class Adapter:
    """The tensors that fine-tuning changed, as a file on the server."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Job:
    """One adaptation and separation of one song."""

    job_id: str
    """Server-made."""
    request_id: str
    """Chosen by the client that made the job."""
    upload_id: str
    state: JobState
    options: JobOptions
    """Options, with every field set to the value used."""
    marks: tuple[Mark, ...]
    """Empty = plain separation."""
    attempt: int
    """Number of this run of the job; above 1 after a worker was lost."""
    queue_position: int
    """1 = next to run; 0 when not queued."""
    fraction: float
    """Share of the whole job that is done, 0 to 1."""
    last_seq: int
    create_time: datetime | None
    """UTC."""
    start_time: datetime | None
    """UTC; None until it started."""
    end_time: datetime | None
    """UTC; None until it ended."""
    failure: JobFailure | None
    """Set when FAILED."""
    stems: tuple[Stem, ...]
    """Set when SUCCEEDED, in the model's order; empty once only the adapter is kept."""
    audio: AudioInfo | None
    """The song's."""
    file_name: str
    """The name that came with the upload, for display only."""
    kind: JobKind = JobKind.SEPARATION
    array_id: str = ""
    """Id of the array that made it; empty = none."""
    verdict: Verdict | None = None
    """Set when SUCCEEDED, if fine-tuning was judged."""
    base_stems: tuple[Stem, ...] = ()
    """Stems of the model as it is, under the marks, while the server has them."""
    accepted: bool = False
    """True if it was asked to learn no more while it had not ended."""
    starred: bool = False
    """True if it is kept for ever."""
    song_sha256: str = ""
    """Hex digest of the song's bytes: jobs that share it are versions of one song."""
    adapter: Adapter | None = None
    """Set when SUCCEEDED, unless the model was kept as it is; kept for longer than the stems."""


@dataclass(frozen=True)
class Strategy:
    """A fine-tuning depth of a model."""

    name: str
    """Name in the paper's terms, for example "P-L3:D"."""
    trainable_parameters: int


@dataclass(frozen=True)
class Model:
    """A separation network that jobs can name."""

    name: str
    """Name in JobOptions.model."""
    architecture: str
    """For example "conv_tasnet"."""
    description: str
    sources: tuple[str, ...]
    """Names of the stems, in order."""
    sample_rate_hz: int
    """Rate of the network; stems come at the song's rate all the same."""
    audio_channels: int
    parameters: int
    sha256: str
    strategies: tuple[Strategy, ...]
    """Fine-tuning depths that it offers."""
    is_default: bool
    """Whether jobs that name no model get this one."""

    @property
    def is_of_ensembles(self) -> bool:
        """True if it is told which instruments of an ensemble play."""
        return self.architecture == "conditioned_unet"
