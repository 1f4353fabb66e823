"""Calls AWS, over and over: a line of JSON in is a call, a line of JSON out its answer. It ends with its input."""

import json
import sys

import botocore.config
import botocore.session


def text(value):
    """What JSON lacks: a time, in seconds since 1970, or a payload."""
    return value.read().decode() if hasattr(value, "read") else value.timestamp()


session = botocore.session.get_session()
once = botocore.config.Config(retries={"total_max_attempts": 1})
clients = {}
for line in sys.stdin:
    service, operation, parameters = json.loads(line)
    client = clients.get(service) or clients.setdefault(service, session.create_client(service, config=once))
    try:
        answer = getattr(client, operation)(**parameters)
    except Exception as error:
        answer = {"Error": f"{service} {operation}: {error}"}
    print(json.dumps(answer, default=text), flush=True)
