"""Page in a browser to mark, hear, compare and export: `ugosa web`, from the extra `[web]`.

A small gateway on this machine serves the page and is itself an ordinary client of the gRPC server.
"""
