"""Runs MiniStack, for as long as standard input is open: whoever started it may die in any way, and nothing is left.

Prints "ready" once it answers, or else what it has logged. The one argument is its home, which is removed in the end.
"""

import http.client
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request

os.setsid()  # the functions that MiniStack starts stay in this group, and end with it
signal.signal(signal.SIGTERM, lambda *_: None)  # the group is told to end, and this process is in it

log = os.path.join(sys.argv[1], "log")
additions = os.path.join(os.path.dirname(__file__), "additions.py")
with open(log, "ab") as out:
    server = subprocess.Popen([sys.executable, additions], stdin=subprocess.DEVNULL, stdout=out, stderr=out)


def end_with_input():
    sys.stdin.buffer.read()
    server.terminate()
    try:
        server.wait(3)
    except subprocess.TimeoutExpired:
        server.kill()


threading.Thread(target=end_with_input, daemon=True).start()

patience = time.monotonic() + 60
while server.poll() is None and time.monotonic() < patience:
    try:
        urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL"] + "/_ministack/ready", timeout=1)
        print("ready", flush=True)
        break
    except (OSError, http.client.HTTPException):
        time.sleep(0.05)
else:
    server.kill()
    with open(log, encoding="utf-8", errors="replace") as text:
        print(text.read(), flush=True)

server.wait()
os.killpg(0, signal.SIGTERM)
shutil.rmtree(sys.argv[1], ignore_errors=True)
os.killpg(0, signal.SIGKILL)
