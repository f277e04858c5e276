"""A program without any code for checkpoints. Until SIGTERM, three threads count, and it writes one file."""
import os
import signal
import threading
import time

counts = [0, 0, 0]
ended = False


def work(i):
    while True:
        counts[i] += 1
        time.sleep(0.001)


def end(*_):
    global ended
    ended = True


signal.signal(signal.SIGTERM, end)
for i in range(3):
    threading.Thread(target=work, args=(i,), daemon=True).start()
step = 0
while not ended:
    time.sleep(0.25)
    step += 1
    print(f"pid {os.getpid()}  step {step}  threads have counted to {counts}", flush=True)
print("done", flush=True)
