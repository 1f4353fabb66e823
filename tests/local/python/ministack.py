"""Runs MiniStack, for as long as standard input is open: whoever started it may die in any way, and nothing is left.

Prints "ready" once it answers. Its log goes to the file named by the first argument.
"""

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request

os.setsid()  # the functions that MiniStack starts stay in this group, and end with it
signal.signal(signal.SIGTERM, lambda *_: None)  # end() sends it to the group, so to this process too


def end():
    os.killpg(0, signal.SIGTERM)
    try:
        server.wait(3)
    finally:
        os.killpg(0, signal.SIGKILL)


with open(sys.argv[1], "ab") as log:
    server = subprocess.Popen([sys.executable, "-m", "ministack"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

threading.Thread(target=lambda: (sys.stdin.buffer.read(), end()), daemon=True).start()

while server.poll() is None:
    try:
        urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL"] + "/_ministack/ready", timeout=1)
        break
    except OSError:
        time.sleep(0.05)
print("ready", flush=True)
server.wait()
end()
