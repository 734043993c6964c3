"""Run in the router's environment: `call_grpc.py PORT`, requests as JSON lines in, answers as JSON lines out.

A request is [method, message]. The metadata that the executor sends goes along, and is not seen by the component.
"""

import json
import sys

import grpc  # type: ignore[import-untyped]
from google.protobuf.json_format import MessageToDict, ParseDict  # type: ignore[import-untyped]
from seldon_core.proto import prediction_pb2, prediction_pb2_grpc

REQUESTS = {"Route": prediction_pb2.SeldonMessage, "SendFeedback": prediction_pb2.Feedback}
METADATA = [("seldon-puid", "unseen")]


def main() -> None:
    with grpc.insecure_channel(f"127.0.0.1:{sys.argv[1]}") as channel:
        stub = prediction_pb2_grpc.RouterStub(channel)
        for line in sys.stdin:
            method, message = json.loads(line)
            request = ParseDict(message, REQUESTS[method]())
            answer = getattr(stub, method)(request, metadata=METADATA, timeout=30, wait_for_ready=True)
            sys.stdout.write(json.dumps(MessageToDict(answer)) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
