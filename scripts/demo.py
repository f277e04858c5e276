"""A program without any code for checkpoints. Until SIGTERM, two processes and a thread count, and it writes one file."""
import multiprocessing
import os
import signal
import threading
import time

counts = multiprocessing.Array("q", 3, lock=False)  # shared memory
ended = False


def work(i):
    while True:
        counts[i] += 1
        time.sleep(0.001)


def end(*_):
    global ended
    ended = True


multiprocessing.Process(target=work, args=(0,), daemon=True).start()
multiprocessing.Process(target=work, args=(1,), daemon=True).start()
threading.Thread(target=work, args=(2,), daemon=True).start()
signal.signal(signal.SIGTERM, end)
step = 0
while not ended:
    time.sleep(0.25)
    step += 1
    print(f"pid {os.getpid()}  step {step}  processes and thread have counted to {counts[:]}", flush=True)
print("done", flush=True)
