"""One run of a job, in the worker process: from decoded mix and marks to stems and report."""
