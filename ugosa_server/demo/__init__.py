"""`ugosa-server demo`: the whole path on real music, from stems to marks to a job to a report."""

from ugosa_server.demo.run import run_demo

__all__ = ["run_demo"]
