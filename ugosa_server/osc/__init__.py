"""Progress and control over OSC 1.0 (UDP), for DAWs and control surfaces; gRPC stays authoritative.

Out, to configured peers and to subscribers:

| address                   | type tags | arguments                              |
|---------------------------|-----------|----------------------------------------|
| `/ugosa/v1/job/progress`  | `,sisffs` | job, seq, state, fraction, eta_s, text |

- Every datagram is a complete snapshot of one job, of at most 1,400 bytes: nothing is lost when one is.
- `state` is QUEUED, RUNNING, CANCELLING, SUCCEEDED, FAILED or CANCELLED; `fraction` is 0 to 1; `eta_s` is
  seconds to the end, -1 while unknown; `text` is one line for people.
- `seq` is the sequence number of the job's newest event, the one that gRPC's WatchJob knows. A receiver
  drops what comes with seq <= the last one it showed: datagrams overtake each other, and heartbeats and
  repeats carry the seq of what they repeat.
- A job is sent on change, at most four times a second; once a second while nothing changes; and five times
  over two seconds when it has ended.
- OSC 1.0 allows ASCII; strings here are UTF-8, as song names are, which liblo and python-osc read
  correctly. Text that is too long ends in an ellipsis, never inside a character.

In, on a loopback address (`--osc`):

| address                 | type tags  | arguments         | effect                                        |
|-------------------------|------------|-------------------|-----------------------------------------------|
| `/ugosa/v1/subscribe`   | `,i`       | port              | progress to this port for 60 s                |
|                         | `,ii`      | port, ttl_s       | the same for 1 to 3600 s                      |
|                         | `,is`      | port, host        | to `localhost` or a loopback IP address        |
|                         | `,isi`     | port, host, ttl_s | both                                          |
| `/ugosa/v1/unsubscribe` | `,i` `,is` | port, [host]      | ends a subscription                           |
| `/ugosa/v1/query`       | none       |                   | sends a snapshot of every live job            |
|                         | `,s`       | job               | sends a snapshot of this job, ended or not    |
| `/ugosa/v1/cancel`      | `,s`       | job               | cancels it                                    |
| `/ugosa/v1/accept`      | `,s`       | job               | has it learn no more: on to the stems         |

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
