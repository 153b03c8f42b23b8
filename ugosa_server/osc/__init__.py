"""Progress and control over OSC 1.0 (UDP), for DAWs and control surfaces; gRPC stays authoritative.

The addresses, types and arguments of commands stand in `commands.COMMANDS`; docs/osc.md explains them, and
the rates of what is sent. Further rules:

- Every datagram is a complete snapshot of one job, of at most 1,400 bytes: nothing is lost when one is.
- `seq` is the sequence number of the job's newest event, the one that gRPC's WatchJob knows. A receiver
  drops what comes with seq <= the last one it showed: datagrams overtake each other, and heartbeats and
  repeats carry the seq of what they repeat.
- OSC 1.0 allows ASCII; strings here are UTF-8, as song names are, which liblo and python-osc read
  correctly. Text that is too long ends in an ellipsis, never inside a character.
- To stay subscribed, subscribe again before the time is over. A subscription starts with every live job.
- A packet's source address is never answered: it can be forged. The answer to a query goes to all peers and
  subscribers.
- Anything malformed, refused, or above 20 datagrams or commands a second is dropped and counted. Bundles, of
  at most 20 messages and four deep, are taken apart and carried out at once, whatever their time tag.
- Whoever can send to the loopback interface can cancel jobs and end their learning: open no control address
  on a machine whose other users you do not trust.
"""

from ugosa_server.osc.service import OscService
from ugosa_server.osc.snapshot import JobFeed, JobSnapshot

__all__ = ["JobFeed", "JobSnapshot", "OscService"]
