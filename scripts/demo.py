"""A program that knows nothing of checkpoints: three threads count, one file is written."""
import os
import sys
import threading
import time

steps = int(sys.argv[1])
counts = [0, 0, 0]


def work(i):
    while True:
        counts[i] += 1
        time.sleep(0.001)


for i in range(3):
    threading.Thread(target=work, args=(i,), daemon=True).start()
for step in range(1, steps + 1):
    time.sleep(0.25)
    print(f"pid {os.getpid()}  step {step}  threads have counted to {counts}", flush=True)
print("done", flush=True)
