"""A log that machines read: one JSON object a line, whatever is in the message."""

import json
import logging
import sys

from ugosa_server.log import JsonFormatter


def line(message, *arguments, exc_info=None):
    record = logging.LogRecord("ugosa.test", logging.WARNING, __file__, 1, message, arguments, exc_info)
    return JsonFormatter().format(record)


def test_line_names_its_job_and_its_upload():
    fields = json.loads(line("job %s of upload-0123456789abcdef: succeeded", "job-00112233445566ff"))
    assert fields["job_id"] == "job-00112233445566ff"
    assert fields["upload_id"] == "upload-0123456789abcdef"
    assert (fields["level"], fields["logger"]) == ("WARNING", "ugosa.test")


def test_fields_of_a_call_stand_beside_the_message():
    record = logging.makeLogRecord({"msg": "done", "principal": "anna", "song": "a.wav", "seconds": 1.5})
    fields = json.loads(JsonFormatter().format(record))
    assert (fields["principal"], fields["song"], fields["seconds"]) == ("anna", "a.wav", 1.5)
    assert "state" not in fields


def test_text_stays_in_its_line():
    text = line("song %s", 'a"\n{"level": "ERROR"}\u2028\x00')
    assert "\n" not in text
    assert json.loads(text)["message"] == 'song a"\n{"level": "ERROR"}\u2028\x00'


def test_traceback_stays_in_its_line():
    try:
        raise ValueError("why")
    except ValueError:
        text = line("failed", exc_info=sys.exc_info())
    assert "ValueError: why" in json.loads(text)["exception"]
    assert "\n" not in text
