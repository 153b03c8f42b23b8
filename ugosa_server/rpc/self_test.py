"""One song through a running server in one call, as a client would send it: for `ugosa-server doctor`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import google_crc32c
import grpc

from ugosa_server.wire.ugosa.v1 import audio_pb2, job_pb2, marks_pb2, separation_service_pb2
from ugosa_server.wire.ugosa.v1.separation_service_pb2_grpc import SeparationServiceStub

QUICKEST_ADAPTATION = "P-L5:D"  # the decoder alone


def separate_once(
    target: str, wav: bytes, silent_source: str, frames: int, timeout_s: float
) -> dict[str, bytes]:
    """Separate a short WAV file with one source marked silent throughout; return each source's stem file.

    Raises:
        RuntimeError: the server is not there, or refused, or the job failed; the message says why.
    """

    def requests() -> Iterator[separation_service_pb2.SeparateRequest]:
        options = job_pb2.JobOptions(epochs=1, strategy=QUICKEST_ADAPTATION)
        header = separation_service_pb2.SeparateHeader(
            format=audio_pb2.AudioFormat(encoded=audio_pb2.EncodedFormat(file_name="doctor.wav")),
            options=options,
        )
        yield separation_service_pb2.SeparateRequest(header=header)
        chunk = audio_pb2.Chunk(offset=0, data=wav, crc32c=google_crc32c.value(wav))
        yield separation_service_pb2.SeparateRequest(chunk=chunk)
        mark = marks_pb2.Mark(
            source=silent_source, state=marks_pb2.MARK_STATE_SILENT, start_frame=0, end_frame=frames
        )
        yield separation_service_pb2.SeparateRequest(marks=marks_pb2.Marks(marks=[mark]))

    stems: defaultdict[str, bytes] = defaultdict(bytes)
    with grpc.insecure_channel(target) as channel:
        try:
            for answer in SeparationServiceStub(channel).Separate(requests(), timeout=timeout_s):
                match answer.WhichOneof("part"):
                    case "stem":
                        stems[answer.stem.source] += answer.stem.chunk.data
                    case "done" if answer.done.job.state != job_pb2.JOB_STATE_SUCCEEDED:
                        error = answer.done.job.error
                        raise RuntimeError(f"the job ended without stems: {error.reason}: {error.message}")
        except grpc.RpcError as error:
            raise RuntimeError(f"the server answered {error.code().name}: {error.details()}") from error
    return dict(stems)
